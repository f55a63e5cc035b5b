/** From object to object: what is shown at once when it is here, fetched when it is not, and fetched ahead. */

import { ownVote } from "./draft.js";
import { element } from "./dom.js";
import { firstRedshift, followModels } from "./redshift.js";
import { brightness } from "./image2d.js";
import { adopt, curve, spectraOf, spectrumOf, wholeRange } from "./spectra.js";

const AHEAD = [1, 2, 3, -1];
const CALM = 200; // ms on an object before that: who hurries past needs no news
const OLD = 2000; // ms after which an object is asked for again behind its back: others vote too
const COMING = "the list is still on its way: which object is next is not known yet";

/**
 * @param {object} app
 * @returns {{by: Function, unseen: Function, find: Function, open: () => Promise<void>, stop: () => void}}
 */
export function createMover(app) {
  const { state, api } = app;
  let opened = null;
  let timer = 0;

  function position() {
    const { order, source } = state.get();
    return order ? order.indexOf(source) : -1;
  }

  /** The source `by` places on in the order of the list; null at its end. */
  function neighbour(by) {
    const { order, source } = state.get();
    if (!order) return null;
    const here = position();
    if (here < 0)
      return (
        (by > 0 ? Array.from(order).find((one) => one > source) : Array.from(order).findLast((one) => one < source)) ??
        null
      );
    return order[here + by] ?? null;
  }

  function by(count, { done = false } = {}) {
    if (!state.get().order) return app.say(done ? `saved; ${COMING}` : COMING);
    const next = neighbour(count);
    if (next !== null && next !== undefined) return app.go(`#/object/${next}`);
    app.say(
      count > 0
        ? done
          ? "saved; that was the last object of the list"
          : "the last object of the list"
        : "the first object of the list",
    );
  }

  function unseen() {
    const { order } = state.get();
    if (!order) return app.say(COMING);
    const here = position();
    const turned = [...Array.from(order).slice(here + 1), ...Array.from(order).slice(0, Math.max(0, here))];
    const next = turned.find((source) => !(gradeOf(source) > 0));
    if (next === undefined) return app.say("all objects of the list have a grade of yours", "good");
    app.go(`#/object/${next}`);
  }

  function gradeOf(source) {
    const { own, list } = state.get();
    if (own.has(source)) return own.get(source).quality;
    const row = list ? list.arrays.source.data.indexOf(source) : -1;
    return row < 0 ? 0 : list.arrays.quality.data[row];
  }

  async function open() {
    const source = Number(app.route.arg);
    if (opened === source && state.get().object?.meta.source === source) return;
    opened = source;
    try {
      show(api.peek(source) ?? (await api.object(source)), source);
    } catch (problem) {
      if (opened === source) throw problem; // else another one was asked for since
    }
    if (opened !== source) return;
    const wait = Math.max(CALM, OLD - api.age(source)); // also one that was just fetched grows old while it is shown
    setTimeout(() => opened === source && freshen(source), wait);
  }

  function show(object, source) {
    if (opened !== source) return; // another one was asked for since
    state.set({ object, active: activeOf(object), models: new Map(), refit: null, late: false, flagging: false, ...firstOf(object) });
    followModels(app);
    clearTimeout(timer);
    timer = setTimeout(ahead, 0);
  }

  /** The spectrum of the same grating as before, where it can be read. */
  function activeOf(object) {
    const readable = spectraOf(object);
    const before = state.get().active;
    return (readable.find(({ key }) => key === before) ?? readable[0] ?? object.meta.spectra[0])?.key ?? null;
  }

  function firstOf(object) {
    const held = { ...app, state: { get: () => ({ ...state.get(), object, source: object.meta.source }) } };
    return firstRedshift(held);
  }

  function ahead() {
    const wanted = AHEAD.map(neighbour).filter((one) => Number.isFinite(one));
    void api.prefetch(wanted, prepare);
  }

  /** What the first look at an object needs, computed before it is asked for. */
  function prepare(object) {
    const { view } = state.get();
    for (const { key } of object.meta.spectra) {
      const spectrum = spectrumOf(object, key);
      if (!spectrum) continue;
      curve(spectrum, view);
      wholeRange(spectrum);
      if (spectrum.image) brightness(spectrum, view.image, view.stretch);
    }
  }

  /** Ask again for an object that was fetched a while ago; what is being done with it stays. */
  async function freshen(source) {
    const now = await api.freshen(source).catch((problem) => gone(source, problem));
    const before = state.get().object;
    if (!now || opened !== source || before?.meta.source !== source) return;
    if (adopt(before, now)) state.set({ object: now });
    else {
      const first = state.get().zFrom === "auto" ? firstOf(now) : {}; // what was fitted before is of before
      state.set({ object: now, active: activeOf(now), models: new Map(), refit: null, ...first });
    }
    followModels(app);
  }

  /** What is shown may have been removed since; that a server is away is told by the votes. */
  function gone(source, { status, message }) {
    if (status !== 404 || opened !== source) return null;
    api.forget(source);
    app.say(`${message} any more: what you see was read before`, "bad");
    return null;
  }

  function find() {
    const input = element("input", {
      "aria-label": "source number",
      placeholder: "source number",
      inputmode: "numeric",
      data: { testid: "find" },
    });
    const close = () => box.remove();
    const box = element("div", { class: "find" }, [input]);
    input.addEventListener("blur", close);
    input.addEventListener("keydown", (event) => {
      if (event.key === "Escape") return input.blur();
      if (event.key !== "Enter") return;
      event.preventDefault();
      const wanted = input.value.trim();
      const known = state.get().list?.arrays.source.data;
      input.blur();
      if (!/^\d+$/.test(wanted)) return app.say("a source is a number; texts can be found in the list (L, then /)");
      if (known && !known.includes(Number(wanted))) return app.say(`there is no source ${wanted}`, "bad");
      app.go(`#/object/${wanted}`);
    });
    document.body.append(box);
    input.focus();
  }

  const off = [
    state.on(["order"], () => state.get().object && (clearTimeout(timer), (timer = setTimeout(ahead, 0)))),
    api.queue.on(({ kind, vote, body }) => {
      // who has voted may see the votes of others
      if (kind === "saved" && api.peek(vote.source)?.meta.votes?.hidden > 0) void freshen(vote.source);
      if (kind === "rejected") void freshen(body.source);
    }),
    () => removeEventListener("focus", look),
  ];
  addEventListener("focus", look);

  /** Back from another window, where the same person may have voted on what is shown here. */
  function look() {
    if (opened !== null) void freshen(opened);
  }

  return { by, unseen, find, open, stop: () => off.forEach((run) => run()), ownVote };
}
