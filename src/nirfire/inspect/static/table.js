/**
 * A table of many rows of which only the visible ones exist.  The rows that scroll out are used again for those that
 * scroll in.  One row is the current one; the keys are those of the list.
 */

import { element } from "./dom.js";

const SPARE = 6; // rows drawn beyond each edge
const HEIGHT = 28; // of a row [CSS pixels], told to list.css: to measure one would lay out the page once more

/**
 * @param {HTMLElement} root
 * @param {import("./columns.js").Column[]} columns
 * @param {{open: (i: number) => void, sort: (id: string) => void, moved: (place: number, shown: boolean) => void}} does
 * @returns {object} `show`, `redraw`, `move`, `to`, `current`, `sorted`, `rename`, `focus`, `close`
 */
export function createTable(root, columns, does) {
  const head = element("div", { class: "list-head", role: "row", "aria-rowindex": "1" }, columns.map(headline));
  const space = element("div", { class: "list-space", role: "rowgroup" });
  const frame = element("div", { class: "list-frame", tabindex: "0", role: "grid", "aria-label": "sources", data: {
    testid: "list-table" } }, [element("div", { class: "list-heads", role: "rowgroup" }, [head]), space]); // prettier-ignore
  frame.style.setProperty("--row-height", `${HEIGHT}px`);
  root.append(frame);
  const blank = element("div", { class: "list-row", role: "row" }, columns.map(({ id }) =>
    element("div", { class: `list-cell c-${id}`, role: "gridcell" }))); // prettier-ignore
  const pool = [];
  let data = { rows: null, order: new Int32Array(0) };
  let current = 0;
  let asked = 0;

  function headline(column) {
    const arrow = element("span", { class: "list-arrow", "aria-hidden": "true" });
    const button = element("button", { type: "button", class: "plain", title: column.hint, on: {
      click: () => does.sort(column.id) } }, [column.title, arrow]); // prettier-ignore
    return element("div", { class: `list-cell c-${column.id}`, role: "columnheader", data: { column: column.id } }, [
      button,
    ]);
  }

  function makeRow() {
    const row = blank.cloneNode(true);
    row.addEventListener("click", () => {
      to(row.place);
      frame.focus();
    });
    row.addEventListener("dblclick", () => does.open(data.order[row.place]));
    const made = { row, cells: [...row.children], place: -1 };
    Object.defineProperty(row, "place", { get: () => made.place });
    return made;
  }

  /** Give every visible place a row; rows that keep their place are left alone unless all is new. */
  function draw(all = false) {
    asked = 0;
    if (!data.rows || !frame.isConnected) return;
    const first = Math.max(0, Math.floor(frame.scrollTop / HEIGHT) - SPARE);
    const seen = Math.ceil(frame.clientHeight / HEIGHT) + 2 * SPARE;
    const last = Math.min(data.order.length, first + seen);
    while (pool.length < last - first) pool.push(makeRow());
    const free = pool.filter((one) => all || one.place < first || one.place >= last);
    const kept = new Set(all ? [] : pool.filter((one) => !free.includes(one)).map((one) => one.place));
    for (let place = first; place < last; place++) if (!kept.has(place)) drawRow(free.pop(), place);
    for (const one of free) {
      one.row.remove();
      one.place = -1;
    }
    mark();
  }

  function drawRow(one, place) {
    const i = data.order[place];
    one.place = place;
    one.row.id = `list-row-${place}`;
    one.row.dataset.source = data.rows.source(i);
    one.row.setAttribute("aria-rowindex", place + 2);
    one.row.classList.toggle("odd", place % 2 === 1);
    one.row.style.transform = `translateY(${place * HEIGHT}px)`;
    columns.forEach((column, k) => column.draw(one.cells[k], data.rows, i));
    if (!one.row.isConnected) space.append(one.row);
  }

  function mark() {
    for (const one of pool) {
      one.row.classList.toggle("current", one.place === current);
      one.row.setAttribute("aria-selected", one.place === current);
    }
    if (data.order.length > 0) frame.setAttribute("aria-activedescendant", `list-row-${current}`);
  }

  function drawSoon() {
    asked ||= requestAnimationFrame(() => draw());
  }

  function to(place, centre = false, shown = false) {
    current = Math.max(0, Math.min(data.order.length - 1, place));
    const [top, room] = [current * HEIGHT, frame.clientHeight - head.offsetHeight];
    if (centre) frame.scrollTop = top - room / 2;
    else if (top < frame.scrollTop) frame.scrollTop = top;
    else if (top + HEIGHT > frame.scrollTop + room) frame.scrollTop = top + HEIGHT - room;
    draw();
    does.moved(current, shown);
  }

  const watch = new ResizeObserver(drawSoon);
  watch.observe(frame);
  frame.addEventListener("scroll", drawSoon, { passive: true });

  return {
    /**
     * Show these rows, with this source as the current one if it is among them.
     * @param {object} rows
     * @param {Int32Array} order
     * @param {number|null} source
     * @param {boolean} [stay]  do not scroll: these are the same rows, as they are now
     */
    show(rows, order, source, stay = false) {
      data = { rows, order };
        space.style.height = `${order.length * HEIGHT}px`;
      frame.setAttribute("aria-rowcount", order.length + 1);
      const place = source === null ? -1 : order.indexOf(rows.place(source) ?? -1);
      if (stay && place >= 0) {
        current = place;
        draw(true);
        return;
      }
      draw(true);
      to(Math.max(0, place), place >= 0, true);
    },
    redraw: () => draw(true),
    move: (step) => to(current + step),
    to,
    /** Rows that fit on the screen, for whole pages. */
    page: () => Math.max(1, Math.floor((frame.clientHeight - head.offsetHeight) / HEIGHT) - 1),
    current: () => (data.order.length > 0 ? data.order[current] : null),
    place: () => current,
    /** Mark the column that is sorted by. */
    sorted(id, falling) {
      for (const cell of head.children) {
        const mine = cell.dataset.column === id;
        cell.setAttribute("aria-sort", mine ? (falling ? "descending" : "ascending") : "none");
        cell.querySelector(".list-arrow").textContent = mine ? (falling ? "▼" : "▲") : "";
      }
    },
    /** Give a column another headline. */
    rename(id, title) {
      head.querySelector(`[data-column="${id}"] button`).firstChild.data = title;
    },
    focus: () => frame.focus({ preventScroll: true }),
    close() {
      watch.disconnect();
      cancelAnimationFrame(asked);
    },
  };
}
