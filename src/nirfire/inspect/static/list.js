/** The list of all sources: filter, order, progress, and the queue of conflicts. */

import { COLUMNS } from "./columns.js";
import { element } from "./dom.js";
import { redshift } from "./format.js";
import { mountListHead } from "./listhead.js";
import { parseQuery, QueryError } from "./query.js";
import { choose, rowsOf } from "./rows.js";
import { keep, recalled } from "./state.js";
import { createTable } from "./table.js";

const REMEMBERED = "nirfire.list";
const POLL = 20000; // ms between looks at what others have done
const AGAIN = 1000; // while the server is still reading products
const AHEAD = 200; // ms on a row before its object is fetched
const FRESH = 1500; // a list younger than this is not asked for again, but for the queue, which one's own vote empties
const FIRST = Object.freeze({ filter: "", sort: "source", falling: false });
const settled = new WeakMap(); // list -> own votes that it knows
let asked = 0; // when the list was last asked for

/**
 * @param {HTMLElement} root
 * @param {object} app
 * @returns {{update: Function, unmount: Function, keys: object[]}}
 */
export function mount(root, app) {
  const { state } = app;
  let view = recalled("sessionStorage", REMEMBERED, FIRST);
  let rows = null;
  let order = new Int32Array(0);
  let chosen = null; // the rows that `order` is of
  let queue = null; // what people say, by source, in the queue of conflicts
  let timer = 0;
  let ahead = 0;
  let gone = false;

  const head = mountListHead(root, { filter: setFilter, leave: () => table.focus(), toggle });
  const table = createTable(root, COLUMNS, {
    open: (i) => app.go(`#/object/${rows.source(i)}`),
    sort: sortBy,
    moved,
  });

  /** The current row is the source that the other views start from; its spectra are fetched ahead. */
  function moved(place, shown) {
    if (order.length === 0) return;
    const source = rows.source(order[place]);
    state.set({ source });
    clearTimeout(ahead);
    if (!shown) ahead = setTimeout(() => app.api.prefetch([source]), AHEAD);
  }

  const isQueue = () => app.route.name === "conflicts";

  function setFilter(text) {
    view = { ...view, filter: text };
    keep("sessionStorage", REMEMBERED, view);
    render();
  }

  /** Put a word into the filter, or take it out; without a word, empty it. */
  function toggle(word) {
    const words = view.filter.split(/\s+/).filter(Boolean);
    const left = words.filter((one) => one !== word);
    head.setFilter(word === null ? "" : (left.length < words.length ? left : [...words, word]).join(" "));
    table.focus();
  }

  function sortBy(id) {
    const column = COLUMNS.find((one) => one.id === id);
    view = { ...view, sort: id, falling: view.sort === id ? !view.falling : Boolean(column.falling) };
    keep("sessionStorage", REMEMBERED, view);
    render();
    table.focus();
  }

  function nextColumn(step) {
    const at = COLUMNS.findIndex((one) => one.id === view.sort);
    const column = COLUMNS[(at + step + COLUMNS.length) % COLUMNS.length];
    view = { ...view, sort: column.id, falling: Boolean(column.falling) };
    keep("sessionStorage", REMEMBERED, view);
    render();
  }

  /** Take the list of the state, with own votes that are newer; a fresher list does not scroll what is on the screen. */
  function load(stay) {
    const { list, own, stale } = state.get();
    if (!list || !app.session) return;
    const known = settled.get(list);
    const newer = known ? new Map([...own].filter(([, vote]) => !known.has(vote))) : own;
    rows = rowsOf(list, app.session, newer, stale);
    rows.votesSaid = (i) => (isQueue() ? queue?.get(rows.source(i)) : undefined);
    render(stay);
    if (isQueue()) void readQueue();
    clearTimeout(timer);
    timer = setTimeout(refresh, list.meta.complete ? POLL : AGAIN);
  }

  function render(stay = false) {
    if (!rows) return;
    root.classList.toggle("is-queue", isQueue());
    const column = COLUMNS.find((one) => one.id === view.sort) ?? COLUMNS[0];
    try {
      const test = parseQuery(view.filter);
      const all = isQueue() ? (some, i) => some.isConflict(i) && (test === null || test(some, i)) : test;
      order = choose(rows, all, column.value, view.falling);
      head.wrong("");
    } catch (problem) {
      if (!(problem instanceof QueryError)) throw problem;
      head.wrong(problem.message); // the rows of the last filter that could be read stay
      if (chosen !== rows) order = choose(rows, null, column.value, view.falling);
    }
    chosen = rows;
    const { source } = state.get();
    const sources = new Int32Array(order.length);
    for (let k = 0; k < order.length; k++) sources[k] = rows.source(order[k]);
    state.set({ order: sources });
    table.sorted(column.id, view.falling);
    tell(); // before the rows, whose room it takes
    table.show(rows, order, source, stay);
    requestAnimationFrame(() => {
      document.body.dataset.listed = String(order.length);
      performance.mark("listed");
    });
  }

  /** Say above the rows what is shown. */
  function tell() {
    head.show({ rows, shown: order.length, queue: isQueue(), filter: view.filter, list: state.get().list });
    table.rename("comment", isQueue() ? "who says what" : "comment and tags");
  }

  /** Take up what changes rows but not the list: they stay where they are until the list is shown anew. */
  function touch({ own, stale }, changed) {
    if (!rows || changed.has("list")) return;
    if (!rows.setRerun(stale?.sources) && !changed.has("own")) return;
    if (changed.has("own")) for (const vote of own.values()) if (!settled.get(state.get().list)?.has(vote)) rows.apply(vote);
    table.redraw();
    tell();
  }

  async function refresh() {
    clearTimeout(timer);
    timer = setTimeout(refresh, POLL);
    if (gone || document.hidden) return;
    asked = performance.now();
    const waiting = new Set(app.api.queue.pending().map((vote) => vote.body.uuid));
    const known = new Set([...state.get().own.values()].filter((vote) => !waiting.has(vote.uuid)));
    try {
      const list = await app.api.objects();
      if (gone) return;
      const { revision } = state.get().list?.meta ?? {};
      if (revision && revision === list.meta.revision) return; // nothing has changed
      settled.set(list, known);
      state.set({ list });
    } catch (problem) {
      app.report(problem);
    }
  }

  async function readQueue() {
    try {
      const { conflicts } = await app.api.conflicts();
      const told = ({ votes, twice = [] }) => [...twice.map((name) => `two votes of ${name}`), ...votes.map(saidBy)];
      queue = new Map(conflicts.map((one) => [one.source, told(one).join("  ·  ")]));
      table.redraw();
    } catch (problem) {
      app.report(problem);
    }
  }

  function open() {
    const i = table.current();
    if (i !== null) app.go(`#/object/${rows.source(i)}`);
  }

  const off = [
    state.on(["list"], () => load(rows !== null)),
    state.on(["own", "stale"], touch),
    state.on(["user"], () => void refresh()),
  ];
  const move = (step) => () => table.move(step);

  return {
    update() {
      load(false);
      if (state.get().list && (isQueue() || performance.now() - asked > FRESH)) void refresh();
      table.focus();
    },
    unmount() {
      gone = true;
      clearTimeout(timer);
      clearTimeout(ahead);
      off.forEach((run) => run());
      table.close();
    },
    keys: [
      { key: ["j", "ArrowDown"], does: "next row", run: move(1) },
      { key: ["k", "ArrowUp"], does: "previous row", run: move(-1) },
      { key: ["PageDown"], does: "a page down", run: () => table.move(table.page()) },
      { key: ["PageUp"], does: "a page up", run: () => table.move(-table.page()) },
      { key: ["Home"], does: "first row", run: () => table.to(0) },
      { key: ["End"], does: "last row", run: () => table.to(order.length - 1) },
      { key: ["Enter", "o"], does: "open the source", run: open },
      { key: ["/"], does: "filter (Enter or Esc goes back to the rows)", run: () => head.focus() },
      { key: ["Escape"], does: "no filter", run: () => toggle(null) },
      { key: ["0"], does: "only what I have not graded, or all", run: () => toggle("is:todo") },
      { key: ["<"], does: "order by the column to the left", run: () => nextColumn(-1) },
      { key: [">"], does: "order by the column to the right", run: () => nextColumn(1) },
      { key: ["r"], does: "the other way round", run: () => sortBy(view.sort) },
      { key: ["h"], does: "what the filter understands", run: () => head.help() },
    ].map((one) => ({ ...one, group: "List" })),
  };
}

/** What one person says, in a few words. */
function saidBy(vote) {
  const comment = vote.comment ? ` “${vote.comment.replace(/\s+/g, " ")}”` : "";
  return `${vote.user}: ${vote.quality}${vote.z === null ? "" : ` z ${redshift(vote.z)}`}${comment}`;
}
