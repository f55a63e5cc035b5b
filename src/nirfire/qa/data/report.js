document.querySelectorAll("table.sortable th").forEach(function (head) {
  head.addEventListener("click", function () {
    var body = head.closest("table").tBodies[0];
    var column = head.cellIndex;
    var up = head.dataset.order !== "up";
    head.parentNode.querySelectorAll("th").forEach(function (other) { delete other.dataset.order; });
    head.dataset.order = up ? "up" : "down";
    function key(row) {
      var cell = row.cells[column];
      if (!cell) { return ""; }
      return cell.dataset.key === undefined ? cell.textContent : parseFloat(cell.dataset.key);
    }
    Array.from(body.rows).sort(function (a, b) {
      var x = key(a), y = key(b), sign = up ? 1 : -1;
      if (typeof x === "number" && typeof y === "number") {
        if (isNaN(x)) { return 1; }
        if (isNaN(y)) { return -1; }
        return sign * (x - y);
      }
      return sign * String(x).localeCompare(String(y));
    }).forEach(function (row) { body.appendChild(row); });
  });
});
