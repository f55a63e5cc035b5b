/** Start of the page: session, header, routes (by hash) and what works everywhere. */

import { createApi, whenIdle } from "./api.js";
import { element } from "./dom.js";
import { unsaved } from "./draft.js";
import { loadRest, remembered } from "./early.js";
import { mountHeader } from "./header.js";
import { createKeys, showSheet } from "./keys.js";
import { createStore, firstState } from "./state.js";
import { chooseTheme, switchTheme } from "./theme.js";

/** What draws each route; loaded when it is first needed. */
const VIEWS = {
  list: () => import("./list.js"),
  conflicts: () => import("./list.js"),
  object: () => Promise.all([import("./object.js"), plots(), loadRest()]).then(([module]) => module),
  rate: () => Promise.all([import("./rate.js"), loadRest()]).then(([module]) => module),
};

let plotting = null;

/** The library that draws curves: it takes its time to start, which the list does not wait for. */
function plots() {
  plotting ??= new Promise((resolve, reject) => {
    const script = element("script", { src: "vendor/uPlot.iife.min.js" });
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => reject(new Error("uPlot did not load: reload the page")));
    document.head.append(script);
  });
  return plotting;
}

const state = createStore(firstState());
const api = createApi(() => state.get().user);
const keys = createKeys();
const place = document.getElementById("view");
let shown = null; // {name, view, unbind}
let turn = 0;
let urlTimer = 0;
let whole = null; // all sources of the last list
const AGAIN = 1000; // ms until the list is asked for again while the server is still reading products

/** What every view gets. */
const app = { api, state, keys, go, say, session: null, route: { name: "list", arg: "" }, refreshStale };

/**
 * Go to a route, "#/object/101"; the view changes before this returns where it is loaded already.
 * @param {string} hash
 */
function go(hash) {
  clearTimeout(urlTimer);
  urlTimer = setTimeout(() => {
    if (location.hash !== hash) history.pushState(null, "", hash);
  }, 120); // a held key goes through many objects: the browser need not remember each
  void route(hash);
}

function parse(hash) {
  const [name, ...rest] = hash.replace(/^#?\/?/, "").split("/");
  const arg = decoded(rest.join("/"));
  if (name === "object" && /^\d+$/.test(arg)) return { name, arg };
  if (name === "rate") return { name, arg };
  return { name: name === "conflicts" ? "conflicts" : "list", arg };
}

/** What was typed into the address may be no code of any text. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function route(hash) {
  if (!app.session) return; // start() comes back to it
  if (place.contains(document.activeElement)) document.activeElement.blur(); // saves what is written there
  app.route = parse(hash);
  const name = app.route.name === "conflicts" ? "list" : app.route.name;
  document.body.dataset.route = app.route.name;
  const source = app.route.name === "object" ? { source: Number(app.route.arg) } : {};
  state.set({ route: app.route.name, ...source });
  if (shown?.name === name) return shown.view.update();
  const mine = ++turn;
  try {
    const module = await VIEWS[name]();
    if (mine !== turn) return;
    leave();
    const root = element("section", { class: `view view-${name}` });
    place.replaceChildren(root);
    const view = module.mount(root, app);
    shown = { name, view, unbind: keys.add(view.keys ?? [], { list: "List", object: "Object", rate: "Mask" }[name]) };
    view.update();
  } catch (problem) {
    report(problem);
  }
}

function leave() {
  if (!shown) return;
  shown.unbind();
  shown.view.unmount();
  shown = null;
}

/**
 * A short message at the foot of the page.
 * @param {string} text
 * @param {"info"|"good"|"bad"} [kind]
 */
function say(text, kind = "info") {
  const box = document.getElementById("messages");
  const line = element("p", { class: `message ${kind}`, text });
  box.append(line);
  while (box.children.length > 3) box.firstChild.remove();
  setTimeout(() => line.remove(), kind === "bad" ? 9000 : 3000);
}

function report(problem) {
  say([problem.message, problem.remedy].filter(Boolean).join(": "), "bad");
}

/** Ask what is stale, for instance after an edit of shutters or masks. */
async function refreshStale() {
  try {
    state.set({ stale: await api.stale() });
  } catch (problem) {
    if (![0, 404].includes(problem.status)) report(problem); // that the server is away is told by the votes
  }
}

/** Ask for the list until the server has read all products; its order is that of all sources until the list view has one. */
async function loadList() {
  const list = await api.objects();
  const { order } = state.get();
  const [before, all] = [whole, list.arrays.source.data];
  whole = all;
  state.set(order && order !== before ? { list } : { list, order: all });
  if (!list.meta.complete) setTimeout(() => loadList().catch(report), AGAIN);
}

function onQueue(event) {
  const { own, rejected } = state.get();
  if (event.kind === "rejected") {
    const kept = new Map(own);
    if (kept.get(event.body.source)?.uuid === event.body.uuid) kept.delete(event.body.source);
    state.set({ rejected: [...rejected, event], own: kept });
    say(`the vote on ${event.body.source} was refused: ${event.error.message}`, "bad");
  }
  if (event.kind === "saved") {
    const known = own.get(event.vote.source);
    const mine = event.vote.user === app.session.user; // who used this browser before may have left some
    if (mine && (!known || known.uuid === event.vote.uuid))
      state.set({ own: new Map(own).set(event.vote.source, event.vote) });
  }
  const pending = api.queue.pending().length;
  state.set({ pending, waiting: event.kind === "waiting" ? event.error.message : "" });
}

function bindEverywhere() {
  keys.bind("", {
    list: () => go("#/"),
    conflicts: () => go("#/conflicts"),
    masks: () => go("#/rate/"),
    theme: () => switchTheme(state),
    sheet: () => showSheet(document.getElementById("sheet"), keys.rows()),
  });
  addEventListener("hashchange", () => void route(location.hash));
  addEventListener("popstate", () => void route(location.hash));
  addEventListener("online", () => api.queue.retry());
  addEventListener("focus", () => void refreshStale());
  setInterval(() => {
    if (state.get().stale?.jobs > 0 && document.visibilityState === "visible") void refreshStale(); // perhaps redone
  }, 20_000);
  addEventListener("beforeunload", (event) => {
    if (place.contains(document.activeElement)) document.activeElement.blur(); // saves what is written there
    if (api.queue.pending().length > 0) event.preventDefault();
  });
}

async function start() {
  app.report = report;
  chooseTheme(state);
  bindEverywhere();
  api.queue.on(onQueue);
  state.set({ user: remembered("nirfire.user") });
  const { name, arg } = parse(location.hash);
  const session = api.session(); // all that the first view needs is asked for at once
  const first = name === "object" ? api.object(Number(arg)) : null;
  const list = loadList();
  for (const one of [first, list]) one?.catch(() => {}); // told where it is waited for
  void VIEWS[name]?.().catch(() => {});
  try {
    app.session = await session;
    document.title = `${app.session.observation} – nirfire`;
    api.queue.start(app.session.workspace);
    state.set({ own: left() });
    mountHeader(document.getElementById("header"), app);
    await route(location.hash);
    await list;
    await new Promise(whenIdle);
    await Promise.all([loadRest(), refreshStale().then(plots)]); // before they are asked for
  } catch (problem) {
    if (problem.status === 400 && !app.session && state.get().user) return startUnnamed();
    report(problem);
  }
}

/** Own votes of an earlier visit that are not saved yet, by source. */
function left() {
  const mine = api.queue.pending().filter(({ user }) => user === app.session.user);
  return new Map(mine.map(({ user, body, at }) => [body.source, unsaved(user, body, at)]));
}

/** The name that the browser remembers cannot be used: go on without it. */
function startUnnamed() {
  localStorage.removeItem("nirfire.user");
  location.reload();
}

void start();
