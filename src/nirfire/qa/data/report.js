"use strict";

document.querySelectorAll("table.sortable th").forEach((head) => {
  head.tabIndex = 0;
  const sort = () => {
    const body = head.closest("table").tBodies[0];
    const column = head.cellIndex;
    const up = head.dataset.order !== "up";
    head.parentNode.querySelectorAll("th").forEach((other) => delete other.dataset.order);
    head.dataset.order = up ? "up" : "down";
    const key = (row) => {
      const cell = row.cells[column];
      if (!cell) return "";
      return cell.classList.contains("number") ? parseFloat(cell.textContent) : cell.textContent;
    };
    const order = (x, y) => {
      const sign = up ? 1 : -1;
      if (typeof x === "number" && typeof y === "number") {
        if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
        return sign * (x - y);
      }
      if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
      return sign * x.localeCompare(y);
    };
    const rows = Array.from(body.rows, (row) => [key(row), row]).sort((a, b) => order(a[0], b[0]));
    body.replaceChildren(...rows.map((one) => one[1]));
  };
  head.addEventListener("click", sort);
  head.addEventListener("keydown", (event) => {
    if (event.key === "Enter") sort();
  });
});

// a table of many rows gets a field: only rows that have all its words are shown
document.querySelectorAll("table.sortable").forEach((table) => {
  const rows = Array.from(table.tBodies[0].rows);
  if (rows.length < 30) return;
  const field = document.createElement("input");
  const count = document.createElement("span");
  field.className = "filter";
  field.type = "search";
  field.placeholder = "only rows with these words";
  field.setAttribute("aria-label", field.placeholder);
  count.className = "count";
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const filter = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, k) => {
      row.hidden = !words.every((word) => texts[k].includes(word));
      shown += row.hidden ? 0 : 1;
    });
    count.textContent = `${shown} of ${rows.length}`;
  };
  field.addEventListener("input", filter);
  filter();
  table.parentNode.before(field, count);
});
