/** The view of one object: its spectra, the evidence for its redshift, and what a person says of it. */

import { clearGrade, flagsFor, grade, toggleFlag } from "./draft.js";
import { element, keyButton } from "./dom.js";
import { spectrumName } from "./format.js";
import { FLAG_KEYS } from "./keys.js";
import { createIdentify } from "./identify.js";
import { createMover } from "./moves.js";
import { createEvidence, scanOf } from "./pz.js";
import { automatic, followModels, modelOf, nudge, offsetOf, refit, setZ, stepSolution, zOf } from "./redshift.js";
import { createSidebar } from "./sidebar.js";
import { createPanel } from "./spectrum.js";
import { extractions, spectraOf, spectrumOf } from "./spectra.js";
import { setView } from "./state.js";
import { createToolbar } from "./toolbar.js";
import { createZooms } from "./zooms.js";

const DRAWN = [
  "object",
  "z",
  "zFrom",
  "active",
  "view",
  "models",
  "refit",
  "own",
  "pending",
  "theme",
  "fitting",
  "flagging",
  "late",
  "order",
];
const ALWAYS = ["next", "previous", "unseen", "find"]; // also while an object is on its way
const HEAVY = ["object", "active", "view", "theme", "late"]; // what needs more than the markers to be drawn anew

/**
 * @param {HTMLElement} root
 * @param {object} app
 * @returns {{update: () => void, unmount: () => void, keys: object[]}}
 */
export function mount(root, app) {
  const { state, say } = app;
  const dirty = new Set();
  const panels = [];
  let cutouts = null;
  let first = true;
  let stopFlags = () => {};
  const mover = createMover(app);
  const sidebar = createSidebar(app, {
    grade: vote,
    clear: () => actions.clear(),
    setZ: (z, from) => setZ(app, z, from),
    typeZ: () => actions.typeZ(),
    flag: (bit) => toggleFlag(app, state.get().active, bit),
  });
  const evidence = createEvidence(app, (z) => setZ(app, z, "clicked"));
  const zooms = createZooms(app, look);
  const identify = createIdentify(app, scanOf);
  const toolbar = createToolbar((id) => actions[id](), activate);
  const columns = element("div", { class: "columns", data: { testid: "spectra" } });
  const bottom = element("div", { class: "bottom" }, [evidence.root, zooms.root]);
  const drawer = element("div", { class: "drawer", hidden: true, data: { testid: "cutouts" } });
  const plots = element("div", { class: "plots" }, [toolbar.root, columns, bottom, drawer]);
  const failed = element("div", { class: "failed", role: "alert", hidden: true });
  root.append(plots, sidebar.root, identify.root, failed);

  const actions = {
    grade1: () => vote(1),
    grade2: () => vote(2),
    grade3: () => vote(3),
    grade4: () => vote(4),
    clear: () => (clearGrade(app), automatic(app)),
    next: () => mover.by(1),
    previous: () => mover.by(-1),
    unseen: () => mover.unseen(),
    typeZ,
    down: (name) => nudge(app, name.startsWith("Shift") ? -10 : -1),
    up: (name) => nudge(app, name.startsWith("Shift") ? 10 : 1),
    solution: () => stepSolution(app, 1),
    solutionBack: () => stepSolution(app, -1),
    automatic: () => automatic(app),
    refit: () => refit(app, false),
    refitAll: () => refit(app, true),
    identify: () => identify.start(shown(), shown().pointer()),
    lines: () => flip("lines"),
    model: () => flip("model"),
    band: () => flip("band"),
    smooth: () => turn("smooth", [0, 3, 5]),
    units: () => turn("units", ["fnu", "flam"]),
    extraction: () => turn("extraction", extractions(spectrumOf(state.get().object, state.get().active))),
    image: () => turn("image", ["snr", "flux"]),
    softer: () => setView(state, { stretch: Math.max(-8, state.get().view.stretch - 1) }),
    harder: () => setView(state, { stretch: Math.min(8, state.get().view.stretch + 1) }),
    chi2: () => turn("chi2", ["log", "linear"]),
    grating: nextGrating,
    together: () => (flip("together"), followModels(app)),
    zoomIn: () => shown().zoom(1 / 1.6, middle()),
    zoomOut: () => shown().zoom(1.6, middle()),
    left: () => shown().pan(-0.25),
    right: () => shown().pan(0.25),
    reset: () => (panels.forEach((one) => one.reset()), evidence.reset(), mark("view")),
    cutouts: () => flip("cutouts"),
    flags: listenForFlags,
    comment: () => focus(sidebar.comment),
    tags: () => focus(sidebar.tags),
    find: () => mover.find(),
  };
  const guarded = Object.fromEntries(
    Object.entries(actions).map(([id, run]) => [id, (name) => (ALWAYS.includes(id) || here() ? run(name) : null)]),
  );
  const off = [app.keys.bind("object", guarded), state.on(DRAWN, (_, changed) => mark(...changed))];
  off.push(state.on(["source"], () => mover.open().catch(onFailure)));
  off.push(
    state.on(["source"], () => identify.stop()),
    state.on(["source", "active"], () => stopFlags()), // the next key is not for another spectrum
    state.on(["source", "object"], showLoading),
  );

  /** Whether the object that is shown is the one that was asked for. */
  function here() {
    const { object, source } = state.get();
    return object?.meta.source === source;
  }

  function vote(quality) {
    if (grade(app, quality)) mover.by(1, { done: true });
  }

  function flip(name) {
    setView(state, { [name]: !state.get().view[name] });
  }

  function turn(name, values) {
    const here = values.indexOf(state.get().view[name]);
    setView(state, { [name]: values[(here + 1) % values.length] });
  }

  function nextGrating() {
    const readable = spectraOf(state.get().object);
    if (readable.length < 2) return say(`there is only ${spectrumName(state.get().active)}`);
    const here = readable.findIndex(({ key }) => key === state.get().active);
    activate(readable[(here + 1) % readable.length].key);
  }

  function activate(key) {
    if (key === state.get().active) return;
    state.set({ active: key });
    followModels(app);
  }

  function onFeature(key, wave) {
    activate(key);
    identify.start(shown(), wave);
  }

  function typeZ() {
    const input = sidebar.zInput;
    input.hidden = false;
    input.value = Number.isFinite(state.get().z) ? state.get().z.toFixed(4) : "";
    focus(input);
    input.select();
  }

  function focus(field) {
    field.focus();
    field.setSelectionRange?.(field.value.length, field.value.length);
  }

  function listenForFlags() {
    const { active } = state.get();
    const offered = flagsFor(app, active);
    stopFlags();
    stopFlags = () => (release(), (stopFlags = () => {}), state.set({ flagging: false }));
    const release = app.keys.capture((name) => {
      const found = offered.find(({ bit }, k) => FLAG_KEYS[bit] === name || String(k + 1) === name);
      if (found) toggleFlag(app, active, found.bit);
      else stopFlags();
      return true;
    });
    state.set({ flagging: true });
  }

  function shown() {
    return panels.find((one) => one.root.dataset.key === state.get().active) ?? panels[0];
  }

  /** Where to look closer: at the strongest line that is in view, else the middle. */
  function middle() {
    const { z } = state.get();
    const [low, high] = shown().range();
    const all = app.session.lines.filter((line) => line.strong).map((line) => line.wave * (1 + (z ?? 0)));
    const inside = all.filter((at) => at > low && at < high);
    const centre = (low + high) / 2;
    return inside.sort((a, b) => Math.abs(a - centre) - Math.abs(b - centre))[0] ?? centre;
  }

  function look(key, range) {
    activate(key);
    queueMicrotask(() => shown().look(range));
  }

  function mark(...names) {
    if (dirty.size === 0) queueMicrotask(paint);
    names.forEach((name) => dirty.add(name));
  }

  function paint() {
    const changed = new Set(dirty);
    dirty.clear();
    const now = state.get();
    if (!now.object || !root.isConnected) return;
    arrange(now);
    drawSpectra(
      now,
      HEAVY.some((name) => changed.has(name)),
    );
    if (["object", "z", "active", "refit", "view", "theme", "models", "late"].some((name) => changed.has(name))) {
      evidence.draw();
      zooms.draw();
    }
    sidebar.draw(changed);
    toolbar.draw(now);
    if (changed.has("object")) tellPainted(now.object.meta.source);
  }

  /** As many panels as spectra are shown; those that are there are used again. */
  function arrange({ object, view, active }) {
    const wanted = view.together
      ? spectraOf(object).map(({ key }) => key)
      : [active];
    while (panels.length > wanted.length) {
      const panel = panels.pop();
      panel.destroy();
      panel.root.remove();
    }
    while (panels.length < wanted.length) {
      const panel = createPanel(app, { onActive: activate, onFeature });
      panels.push(panel);
      columns.append(panel.root);
    }
    panels.forEach((panel, k) => (panel.root.dataset.key = wanted[k]));
    showDrawer(view.cutouts);
  }

  function drawSpectra(now, heavy) {
    for (const panel of panels) {
      const spectrum = spectrumOf(now.object, panel.root.dataset.key);
      const error = now.object.meta.spectra.find(({ key }) => key === panel.root.dataset.key)?.error;
      panel.fail(spectrum ? "" : (error ?? "this spectrum has no data"));
      if (!spectrum) continue;
      const model = modelOf(now, spectrum);
      const z = zOf(now, spectrum.key);
      const offset = offsetOf(now.object, spectrum.key);
      const active = panels.length > 1 && spectrum.key === now.active;
      if (heavy || panel.spectrum() !== spectrum)
        panel.show(spectrum, { z, offset, model, late: now.late, view: now.view, active });
      else panel.move(z, model);
    }
  }

  async function showDrawer(open) {
    if (drawer.hidden !== open) return cutouts?.update();
    drawer.hidden = !open;
    plots.classList.toggle("with-cutouts", open);
    if (!open) return closeDrawer();
    const { mount: mountCutouts } = await import("./cutouts.js");
    if (drawer.hidden || cutouts) return;
    cutouts = mountCutouts(drawer, app);
    cutouts.off = app.keys.add(cutouts.keys ?? [], "Exposures");
    cutouts.update();
  }

  function closeDrawer() {
    cutouts?.off();
    cutouts?.unmount();
    cutouts = null;
    drawer.replaceChildren();
  }

  function tellPainted(source) {
    requestAnimationFrame(() => {
      document.body.dataset.painted = source;
    });
  }

  function showLoading() {
    root.classList.toggle("loading", !here());
    if (here()) failed.hidden = true;
  }

  function onFailure(problem) {
    root.classList.remove("loading");
    failed.replaceChildren(
      element("h2", { text: `Source ${app.route.arg}` }),
      element("p", { text: problem.message }),
      element("p", { text: problem.remedy ?? "" }),
      keyButton("list", "L", () => app.go("#/")),
    );
    failed.hidden = false;
  }

  return {
    update() {
      const fresh = first;
      first = false;
      mover.open().then(() => fresh && mark("all", "object"), onFailure);
    },
    unmount() {
      off.forEach((run) => run());
      stopFlags();
      closeDrawer();
      identify.stop();
      [...panels, evidence, zooms].forEach((one) => one.destroy());
      mover.stop();
    },
    keys: [],
  };
}
