/** Masks: polygons drawn on a whole exposure, by mouse, by keys, or as numbers. */

import { element, keyButton } from "./dom.js";
import { told } from "./edits.js";
import { fixed, significant } from "./format.js";
import { ds9, near, parsed } from "./polygons.js";
import { developed, paint, stencil, toDetector, toScreen, valueOf, whole, zoomed } from "./ratepaint.js";
import { createMaskPanel } from "./maskpanel.js";

const EDGE = [-0.5, 2047.5];
const DRAG = 4; // CSS pixels: less is a click
const VIEWS = { counts: "counts", sky: "sky, smoothed" };

/**
 * @param {HTMLElement} root
 * @param {object} app
 * @returns {{update: () => void, unmount: () => void, keys: object[]}}
 */
export function mount(root, app) {
  const { state } = app;
  let [exposures, payload, look, turn] = [null, null, null, 0];
  let drawing = { corners: [], cursor: null, pointer: null };
  let how = { view: "counts", stretch: 0 };
  let chosen = -1; // of regions and suggestions
  let sheets = { image: null, mask: null };
  let held = null; // a mouse button
  let sure = { exposure: "", until: 0 }; // who removes a whole mask says so twice
  let [saving, pending] = [Promise.resolve(), []];
  let framed = 0;
  const canvas = element("canvas", {
    class: "rate-image", role: "img", "aria-label": "exposure", data: { testid: "rate-image" },
    on: { pointerdown: onDown, pointermove: onMove, pointerup: onUp, pointerleave: () => point(null), wheel: onWheel },
  });
  const readout = element("p", { class: "num rate-readout", data: { testid: "rate-readout" } });
  const panel = createMaskPanel(app, {
    open: (name) => app.go(`#/rate/${name}`),
    view: switchView,
    choose: (k) => choose(k),
    use: (k) => use(k),
    remove: (k) => remove(k),
    clear: () => clear(),
    add: (points) => save([points], []),
    typed: (text) => typed(text),
  });
  const frame = element("div", { class: "rate-frame" }, [canvas, readout]);
  root.append(element("div", { class: "rate" }, [frame, panel.root]));
  const resized = new ResizeObserver(() => fit());
  resized.observe(frame);
  const off = [state.on(["theme"], () => (develop(), draw()))];

  async function update() {
    try {
      exposures ??= (await app.api.get("/api/exposures")).exposures;
      const name = app.route.arg || (await likely());
      if (!name) throw new Error("there are no exposures: this workspace was made from cutouts");
      if (payload?.meta.exposure !== name) await load(name, true);
    } catch (problem) {
      app.report(problem);
      panel.trouble(`${problem.message} ${problem.remedy ?? ""}`);
    }
  }

  /** The exposure that is meant when none is named: the first of the object that was shown, or of all. */
  async function likely() {
    const { source } = state.get();
    const own = source === null ? [] : (await app.api.cutouts(source)).meta.exposures.map((one) => one.exposure);
    const known = exposures.filter((one) => one.image).map((one) => one.exposure);
    return known.find((name) => own.includes(name)) ?? known[0];
  }

  async function load(name, anew) {
    const mine = ++turn;
    const found = await app.api.get(`/api/rate/${encodeURIComponent(name)}?view=${how.view}`);
    if (mine !== turn) return;
    payload = found;
    if (anew) {
      drawing = { corners: [], cursor: null, pointer: null };
      look = null;
      chosen = -1;
    }
    develop();
    fit();
    panel.draw(payload.meta, { exposures, view: VIEWS[how.view], chosen, corners: drawing.corners });
    root.dataset.exposure = name;
  }

  function develop() {
    if (!payload) return;
    const { theme } = state.get();
    sheets = { image: developed(payload, how.stretch, theme), mask: stencil(payload.arrays.runs, theme) };
  }

  function fit() {
    const [width, height] = [frame.clientWidth, frame.clientHeight];
    if (width < 10 || height < 10) return;
    look = look ? { ...look, width, height } : whole(width, height);
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    draw();
  }

  /** Draw with the next frame, once. */
  function draw() {
    if (framed) return;
    framed = requestAnimationFrame(() => {
      framed = 0;
      if (!payload || !look || !root.isConnected) return;
      const { mask, suggested } = payload.meta;
      const regions = [...mask, ...pending.filter((one) => one.exposure === payload.meta.exposure)];
      const { theme } = state.get();
      paint(canvas, look, { ...sheets, ...drawing, regions, suggested, chosen: all()[chosen], theme });
      tellPlace();
    });
  }

  const all = () => [...payload.meta.mask, ...payload.meta.suggested];

  function tellPlace() {
    const at = drawing.pointer ?? drawing.cursor;
    const { meta, arrays } = payload;
    if (!at) return (readout.textContent = `${meta.detector.toUpperCase()} ${meta.grating} ${meta.filter}`);
    const [rows, columns] = arrays.image.shape;
    const [column, row] = at.map((v) => Math.floor((Math.round(v) + 0.5) / meta.bin));
    const inside = column >= 0 && row >= 0 && column < columns && row < rows;
    const value = inside ? valueOf(meta, arrays.image.data[row * columns + column]) : NaN;
    const unit = meta.unit === "sigma" ? "σ" : meta.unit;
    readout.textContent = `x ${fixed(at[0] + 1, 1)}  y ${fixed(at[1] + 1, 1)}  ${significant(value, 3)} ${unit}`;
  }

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  const inside = ([x, y]) => [x, y].map((v) => Math.min(EDGE[1], Math.max(EDGE[0], v)));

  function point(at) {
    drawing = { ...drawing, pointer: at };
    draw();
  }

  function onDown(event) {
    if (!look || event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    held = { from: place(event), look, moved: false };
  }

  function onMove(event) {
    if (!look) return;
    const at = place(event);
    if (held) {
      const [dx, dy] = [at[0] - held.from[0], at[1] - held.from[1]];
      held.moved ||= Math.hypot(dx, dy) >= DRAG;
      if (held.moved) look = { ...held.look, x: held.look.x - dx / look.scale, y: held.look.y + dy / look.scale };
    }
    drawing = { ...drawing, cursor: null };
    point(toDetector(look, at));
  }

  function onUp(event) {
    const click = held && !held.moved;
    held = null;
    if (!click) return;
    const first = drawing.corners[0];
    const at = place(event);
    if (drawing.corners.length > 2 && near(toScreen(look, first), at, 9)) return close();
    corner(toDetector(look, at));
  }

  function onWheel(event) {
    event.preventDefault();
    if (!look) return;
    look = zoomed(look, 1.0016 ** -event.deltaY, toDetector(look, place(event)));
    draw();
  }

  function corner(at) {
    if (!payload.meta.editable) return app.say(payload.meta.reason, "bad");
    setCorners([...drawing.corners, inside(at).map((v) => Math.round(v * 100) / 100)]);
  }

  function setCorners(corners) {
    drawing = { ...drawing, corners };
    panel.corners(corners);
    draw();
  }

  function close() {
    const corners = drawing.corners.filter((one, k, list) => k === 0 || !near(one, list[k - 1], 0.3));
    if (drawing.corners.length === 0) return app.say("no polygon yet: click, or use the arrows and the space bar");
    if (corners.length < 3) return app.say("a polygon has three corners or more", "bad");
    setCorners([]);
    return save([corners], []);
  }

  function typed(text) {
    const { points, problem } = parsed(text);
    if (problem) return problem;
    void save([points], []);
    return "";
  }

  /** One after another; what is on its way is drawn already, and comes back as corners when it is refused. */
  function save(polygons, removed) {
    const name = payload.meta.exposure;
    const sent = polygons.map((points) => ({ points, excluded: false, exposure: name }));
    chosen = -1;
    pending = [...pending, ...sent];
    draw();
    root.dataset.saving = "1";
    saving = saving.then(async () => {
      try {
        const { written, stale } = await app.api.post(`/api/masks/${name}`, { polygons, removed });
        app.say(`${written} written: ${told(stale)}`, "good");
        state.set({ stale });
        await reload(name);
      } catch (problem) {
        app.report(problem);
        if (payload.meta.exposure === name && drawing.corners.length === 0) setCorners(polygons[0] ?? []);
      }
      pending = pending.filter((one) => !sent.includes(one));
      if (pending.length === 0) delete root.dataset.saving;
      draw();
    });
    return saving;
  }

  async function reload(name) {
    exposures = (await app.api.get("/api/exposures")).exposures;
    if (payload.meta.exposure === name) await load(name, false);
  }

  function choose(k) {
    const list = all();
    if (list.length === 0) return app.say("nothing is masked or suggested here");
    chosen = (k + list.length) % list.length;
    const points = list[chosen].points;
    if (points) {
      const middle = [0, 1].map((axis) => points.reduce((sum, one) => sum + one[axis], 0) / points.length);
      const [x, y] = toScreen(look, middle);
      const seen = x > 0 && y > 0 && x < look.width && y < look.height;
      if (!seen) look = { ...look, x: middle[0], y: middle[1] };
    }
    panel.choose(chosen);
    return draw();
  }

  function remove(k) {
    const region = all()[k];
    if (!region) return app.say("choose a region first: j and k");
    if (!payload.meta.mask.includes(region)) return app.say("it is only a suggestion");
    if (!region.drawn) return app.say("drawn elsewhere: edit the region file, or remove the whole mask", "bad");
    return save([], [region.text]);
  }

  function use(k) {
    const region = all()[k];
    if (!region || !payload.meta.suggested.includes(region)) return app.say("choose a suggestion first: j and k");
    return save([region.points], []);
  }

  async function clear() {
    await saving;
    const { exposure, mask } = payload.meta;
    if (mask.length === 0) return app.say("this exposure has no mask of its own");
    if (sure.exposure !== exposure || performance.now() > sure.until) {
      sure = { exposure, until: performance.now() + 4000 };
      const what = mask.length === 1 ? "its region" : `all ${mask.length} regions`;
      const others = mask.some((one) => !one.drawn) ? ", also what was drawn elsewhere" : "";
      return app.say(`once more to remove ${what}${others}`, "bad");
    }
    sure = { exposure: "", until: 0 };
    try {
      const { written, stale } = await app.api.del(`/api/masks/${exposure}`);
      app.say(`${written} removed: ${told(stale)}`, "good");
      state.set({ stale });
      await reload(exposure);
    } catch (problem) {
      app.report(problem);
    }
    return undefined;
  }

  function switchView() {
    how = { ...how, view: how.view === "counts" ? "sky" : "counts", stretch: 0 };
    load(payload.meta.exposure, false).catch((problem) => {
      how = { ...how, view: "counts" };
      app.report(problem);
    });
  }

  function stretch(by) {
    how = { ...how, stretch: Math.min(10, Math.max(-10, how.stretch + by)) };
    develop();
    draw();
  }

  function zoom(factor) {
    look = zoomed(look, factor, drawing.cursor ?? drawing.pointer ?? [look.x, look.y]);
    draw();
  }

  /** Move the cursor; the image follows when it would leave the frame. */
  function move(name) {
    const [dx, dy] = { Left: [-1, 0], Right: [1, 0], Up: [0, 1], Down: [0, -1] }[name.replace(/.*Arrow/, "")];
    const step = name.startsWith("Shift") ? 1 : Math.max(1, Math.round(16 / look.scale));
    const from = drawing.cursor ?? (drawing.pointer ?? [look.x, look.y]).map(Math.round);
    const cursor = inside([from[0] + dx * step, from[1] + dy * step]);
    const [x, y] = toScreen(look, cursor);
    if (x < 20 || y < 20 || x > look.width - 20 || y > look.height - 20) look = { ...look, x: cursor[0], y: cursor[1] };
    drawing = { ...drawing, cursor, pointer: null };
    draw();
  }

  function neighbour(by) {
    const names = exposures.filter((one) => one.image).map((one) => one.exposure);
    const next = names[(names.indexOf(payload.meta.exposure) + by + names.length) % names.length];
    app.go(`#/rate/${next}`);
  }

  function leave() {
    if (drawing.corners.length > 0) return setCorners([]);
    const { source } = state.get();
    return app.go(source === null ? "#/" : `#/object/${source}`);
  }

  const ready = (run) => (...given) => (payload && look ? run(...given) : null);
  const here = () => drawing.cursor ?? drawing.pointer ?? [look.x, look.y].map(Math.round);
  const arrows = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"];
  const keys = [
    { key: arrows, does: "move the cursor", run: move },
    { key: arrows.map((name) => `Shift+${name}`), does: "by one pixel", run: move },
    { key: " ", does: "a corner at the cursor", run: () => corner(here()) },
    { key: "Enter", does: "close the polygon and save it", run: close },
    { key: "Backspace", does: "take the last corner back", run: () => setCorners(drawing.corners.slice(0, -1)) },
    { key: "Escape", does: "drop the polygon; without one, back to the object", run: leave },
    { key: "t", does: "type the corners of a polygon", run: () => panel.type(ds9(drawing.corners)) },
    { key: "j", does: "next region or suggestion", run: () => choose(chosen + 1) },
    { key: "k", does: "the one before", run: () => choose(chosen < 0 ? -1 : chosen - 1) },
    { key: "x", does: "remove the chosen region", run: () => remove(chosen) },
    { key: "u", does: "use the chosen suggestion", run: () => use(chosen) },
    { key: "X", does: "remove the whole mask (twice)", run: clear },
    { key: "v", does: "counts, or the smoothed sky", run: switchView },
    { key: "[", does: "fainter light comes out", run: () => stretch(1) },
    { key: "]", does: "less bright", run: () => stretch(-1) },
    { key: ["+", "="], does: "closer", run: () => zoom(1.5) },
    { key: "-", does: "further away", run: () => zoom(1 / 1.5) },
    { key: "r", does: "the whole exposure", run: () => ((look = whole(look.width, look.height)), draw()) },
    { key: "n", does: "next exposure", run: () => neighbour(1) },
    { key: "p", does: "previous exposure", run: () => neighbour(-1) },
  ];

  return {
    update,
    unmount() {
      resized.disconnect();
      off.forEach((run) => run());
      turn++;
    },
    keys: keys.map((one) => ({ ...one, run: ready(one.run) })),
  };
}
