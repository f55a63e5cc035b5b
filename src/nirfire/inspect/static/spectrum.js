/** One spectrum: 2D above, labels of lines, 1D with error band and model, residual; all on one wavelength axis. */

import { element, sharp } from "./dom.js";
import { fixed, probability, significant, spectrumName } from "./format.js";
import { drawImage, drawProfile } from "./image2d.js";
import { drawLines, linesWithin, restTicks } from "./lines.js";
import { bandPath, levelPath, stepPath } from "./paths.js";
import { curve, fluxRange, indices, modelCurve, percentile, search, wholeRange } from "./spectra.js";
import { palette } from "./theme.js";

const GUTTER = 58; // of the flux axis
const LABEL = 15; // of it, for its name
const MARGIN = 10; // right of the plots
const UNITS = { fnu: "fν [µJy]", flam: "fλ [10⁻²⁰ cgs/Å]" };
const REACHES = [4.5, 9, 18, 45, 90]; // of the residual axis, in units of the error
const RESIDUAL = REACHES[0];
let count = 0;

/**
 * @param {object} app
 * @param {{onActive: (key: string) => void, onFeature: (key: string, wave: number) => void}} events
 * @returns {{root: HTMLElement, show: Function, zoom: Function, pan: Function, reset: Function, focus: Function,
 *   redraw: Function, destroy: Function}}
 */
export function createPanel(app, { onActive, onFeature }) {
  const parts = skeleton();
  const now = { spectrum: null, range: null, drawn: null, model: null, view: null, z: null, active: false };
  const sync = `panel${count++}`;
  const flux = new uPlot(
    fluxOptions(now, sync, events()),
    [
      [0, 1],
      [0, 0],
      [0, 0],
      [0, 0],
    ],
    parts.flux,
  );
  const residual = new uPlot(
    residualOptions(now, sync, events()),
    [
      [0, 1],
      [0, 0],
    ],
    parts.residual,
  );
  const observer = new ResizeObserver(() => now.spectrum && draw(true));
  for (const part of [parts.flux, parts.residual]) observer.observe(part);
  let place = null; // where the panels are; measured when they change
  parts.root.addEventListener("pointerdown", () => now.spectrum && onActive(now.spectrum.key));
  for (const plot of [flux, residual]) {
    plot.over.addEventListener("wheel", onWheel, { passive: false });
    plot.over.addEventListener("pointerdown", () => (now.dragged = false));
    plot.over.addEventListener("click", (event) => {
      clearTimeout(now.click);
      if (now.dragged || event.detail > 1) return;
      const wave = plot.posToVal(event.offsetX, "x");
      now.click = setTimeout(() => onFeature(now.spectrum.key, wave), 220); // unless it becomes a double click
    });
  }

  function events() {
    return {
      select: (u) => {
        const { left, width } = u.select;
        if (width > 4) setRange([u.posToVal(left, "x"), u.posToVal(left + width, "x")]);
        now.dragged = width > 4;
        u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
      },
      hover: (u) => {
        now.pointer = u.cursor.left >= 0 ? u.posToVal(u.cursor.left, "x") : NaN;
        readout(now.pointer);
      },
      whole: () => setRange(null),
    };
  }

  function onWheel(event) {
    event.preventDefault();
    const share = event.offsetX / flux.over.clientWidth;
    const [low, high] = now.range;
    const at = low + share * (high - low);
    const factor = Math.exp(Math.sign(event.deltaY) * 0.2);
    setRange([at - (at - low) * factor, at + (high - at) * factor]);
  }

  function setRange(range) {
    if (!now.spectrum) return;
    const whole = wholeRange(now.spectrum);
    const wide = range && range[1] - range[0] > (whole[1] - whole[0]) * 0.999;
    const least = 6 * (now.spectrum.edges[1] - now.spectrum.edges[0]);
    if (range && range[1] - range[0] < least) return;
    now.range = !range || wide ? whole : shifted(range, whole);
    now.zoomed = Boolean(range) && !wide;
    draw();
  }

  function draw(resized = false) {
    if (resized || !place) resize();
    const { spectrum, view, range, z } = now;
    parts.root.classList.toggle("zoomed", Boolean(now.zoomed));
    now.drawn = curve(spectrum, view);
    const model = view.model ? now.model : null;
    now.fit = model ? modelCurve(spectrum, model, view) : null;
    now.residual = residualOf(spectrum, now.drawn, now.fit, range);
    now.y = fluxRange(spectrum, now.drawn, now.fit, range);
    const data = [spectrum.wave, now.drawn.flux, now.drawn.flux, now.drawn.flux];
    for (const plot of [flux, residual]) {
      plot.batch(() => {
        plot.setData(data.slice(0, plot.series.length), false);
        plot.setScale("x", { min: range[0], max: range[1] });
      });
    }
    const { image } = place;
    const box = { width: place.width, height: image[1] - image[0], range };
    drawImage(parts.image, spectrum, { ...box, kind: view.image, stretch: view.stretch, theme: app.state.get().theme });
    drawProfile(parts.profile, spectrum, GUTTER, box.height);
    drawMarks(z);
  }

  function drawMarks(z) {
    const context = sharp(parts.marks, place.whole.width, place.whole.height);
    const where = { ...place, range: now.range };
    if (now.feature) drawFeature(context, where, now.feature);
    if (!Number.isFinite(z)) return;
    if (now.view.lines) drawLines(context, linesWithin(app.session.lines, z, now.range), where);
    drawRest(context, where, z, place.whole.height);
  }

  function measure() {
    const whole = parts.body.getBoundingClientRect();
    const inner = (node) => {
      const box = node.getBoundingClientRect();
      return [box.top - whole.top, box.bottom - whole.top];
    };
    const [image, labels] = [inner(parts.image), inner(parts.labels)];
    place = { left: GUTTER, width: whole.width - GUTTER - MARGIN, whole, image, labels };
    place.plots = [[inner(flux.over)[0], inner(residual.over)[1]]]; // one stroke through both
  }

  function drawRest(context, { left, width, range }, z, height) {
    const colours = palette();
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = colours.soft;
    context.textAlign = "center";
    for (const { at, text } of restTicks(range, z, width / 75)) {
      const x = left + ((at - range[0]) / (range[1] - range[0])) * width;
      if (x > left + 10 && x < left + width - 10) context.fillText(text, x, height - 4);
    }
    context.textAlign = "left";
    context.fillText("rest µm", 4, height - 4);
    context.fillText("obs µm", 4, height - 19);
  }

  function resize() {
    const width = parts.body.clientWidth;
    flux.setSize({ width, height: parts.flux.clientHeight });
    residual.setSize({ width, height: parts.residual.clientHeight });
    for (const plot of [flux, residual]) plot.batch(() => {});
    measure();
  }

  function readout(wave) {
    const { spectrum, drawn, z, view } = now;
    if (!spectrum || !Number.isFinite(wave)) return void (parts.readout.textContent = "");
    const i = Math.min(spectrum.n - 1, Math.max(0, search(spectrum.edges, wave) - 1));
    const [value, err] = [drawn.flux[i], drawn.err[i]];
    const rest = Number.isFinite(z) ? ` · rest ${fixed(wave / (1 + z), 4)}` : "";
    const unit = view.units === "fnu" ? "µJy" : "10⁻²⁰";
    parts.readout.textContent = Number.isFinite(value)
      ? `${fixed(wave, 4)} µm${rest} · ${significant(value)} ± ${significant(err, 2)} ${unit}, S/N ${fixed(value / err, 1)}`
      : `${fixed(wave, 4)} µm${rest} · no data`;
  }

  return {
    root: parts.root,
    /** Draw a spectrum; the range is kept while it stays the same spectrum. */
    show(spectrum, { z, offset, model, late, view, active }) {
      const fresh = now.spectrum !== spectrum;
      Object.assign(now, { spectrum, z, model, late, view, active });
      if (fresh) [now.range, now.zoomed] = [wholeRange(spectrum), false];
      if (fresh) heading(parts, spectrum, offset);
      parts.root.classList.toggle("active", active);
      draw();
    },
    /** Only z has changed. */
    move(z, model) {
      const same = model === now.model;
      Object.assign(now, { z, model });
      if (same) drawMarks(z);
      else draw();
    },
    zoom(factor, at) {
      if (!now.spectrum) return;
      const [low, high] = now.range;
      const centre = at > low && at < high ? at : (low + high) / 2;
      const half = ((high - low) / 2) * factor;
      setRange([centre - half, centre + half]);
    },
    pan(share) {
      if (!now.spectrum) return;
      const by = share * (now.range[1] - now.range[0]);
      setRange([now.range[0] + by, now.range[1] + by]);
    },
    look: (range) => setRange(range),
    reset: () => setRange(null),
    redraw: () => now.spectrum && draw(true),
    /** Say why there is nothing to draw; empty: there is. */
    fail(text) {
      if (parts.failure.textContent === text) return;
      parts.failure.textContent = text;
      parts.root.classList.toggle("unreadable", text !== "");
      if (text) parts.title.textContent = spectrumName(parts.root.dataset.key);
      if (text) now.spectrum = null;
    },
    range: () => now.range ?? [0, 0],
    /** Wavelength under the mouse; NaN where it is elsewhere. */
    pointer: () => now.pointer ?? NaN,
    /** Mark a feature; null: none. */
    point(wave) {
      now.feature = wave;
      if (now.spectrum) drawMarks(now.z);
    },
    spectrum: () => now.spectrum,
    destroy() {
      observer.disconnect();
      flux.destroy();
      residual.destroy();
    },
  };
}

function drawFeature(context, { left, width, range, plots, image }, wave) {
  const x = left + ((wave - range[0]) / (range[1] - range[0])) * width;
  context.fillStyle = palette().auto;
  context.globalAlpha = 0.22;
  for (const [top, bottom] of [...plots, image]) context.fillRect(x - 5, top, 10, bottom - top);
  context.globalAlpha = 1;
}

/** Residuals in units of the error, and how far the axis reaches: further where the model is far off. */
function residualOf(spectrum, drawn, fit, [low, high]) {
  if (!fit) return null;
  const values = new Float32Array(spectrum.n);
  for (let i = 0; i < values.length; i++) values[i] = (drawn.flux[i] - fit[i]) / drawn.err[i];
  const [a, b] = indices(spectrum, low, high);
  const most = percentile(values.subarray(a, b).map(Math.abs), 0.95);
  return { values, reach: REACHES.find((one) => one > most) ?? REACHES.at(-1) };
}

function shifted([low, high], whole) {
  const by = Math.max(0, whole[0] - low) - Math.max(0, high - whole[1]);
  return [low + by, high + by];
}

function skeleton() {
  const make = (name, tag = "div") => element(tag, { class: `spec-${name}` });
  const parts = { title: make("title", "span"), readout: make("readout", "span"), failure: make("failure", "p") };
  Object.assign(parts, { profile: make("profile", "canvas"), image: make("image", "canvas"), labels: make("labels") });
  Object.assign(parts, { flux: make("flux"), residual: make("residual"), marks: make("marks", "canvas") });
  const body = [element("div", { class: "spec-two" }, [parts.profile, parts.image]), parts.labels, parts.flux];
  parts.body = element("div", { class: "spec-body" }, [...body, parts.residual, parts.marks]);
  const head = element("header", { class: "spec-head" }, [parts.title, parts.readout]);
  parts.root = element("section", { class: "spec", data: { testid: "spectrum" } }, [head, parts.body, parts.failure]);
  return parts;
}

function heading(parts, spectrum, offset) {
  const { z, zprob, snr } = spectrum.meta;
  parts.body.classList.toggle("no-image", !spectrum.image); // the observer of sizes draws again
  const told = [spectrumName(spectrum.key)];
  if (Math.abs(offset) > 20) told.push(`λ ${offset < 0 ? "−" : "+"}${Math.abs(Math.round(offset))} km/s`);
  told.push(Number.isFinite(snr) ? `S/N ${significant(snr, 2)}` : "no valid pixel");
  if (Number.isFinite(z)) told.push(`z ${fixed(z, 4)}`);
  if (Number.isFinite(zprob)) told.push(`ZPROB ${probability(zprob)}`);
  parts.title.textContent = told.join(" · ");
  parts.title.title = offset ? "its wavelengths against those of all gratings; lines and model are moved along" : "";
  parts.root.dataset.key = spectrum.key;
}

function common(sync, events) {
  return {
    width: 600,
    height: 200,
    legend: { show: false },
    padding: [7, MARGIN, 0, 0], // room for half a label
    cursor: {
      drag: { x: true, y: false, setScale: false },
      points: { show: false },
      y: false,
      sync: { key: sync, scales: ["x", null] },
      bind: { dblclick: (u) => () => events.whole(u) },
    },
    hooks: { setSelect: [events.select], setCursor: [events.hover] },
  };
}

function axis(extra) {
  return {
    stroke: () => palette().soft,
    grid: { stroke: () => palette().rule, width: 1 },
    ticks: { stroke: () => palette().rule, size: 4 },
    font: "11px system-ui, sans-serif",
    labelFont: "11px system-ui, sans-serif",
    ...extra,
  };
}

function fluxOptions(now, sync, events) {
  const colour = (name) => () => palette()[name];
  const plain = { auto: false, points: { show: false } };
  return {
    ...common(sync, events),
    padding: [7, MARGIN, 7, 0],
    scales: {
      x: { time: false, auto: false, range: (u, a, b) => now.range ?? [a, b] },
      y: { range: () => now.y ?? [0, 1] },
    },
    axes: [
      axis({ show: true, size: 0, values: () => [] }),
      axis({
        size: GUTTER - LABEL,
        gap: 3,
        label: () => UNITS[now.view?.units ?? "fnu"],
        labelSize: LABEL,
        labelGap: 0,
        values: (u, all) => all.map(short),
      }),
    ],
    series: [
      {},
      { ...plain, fill: colour("band"), paths: (u) => (now.view?.band ? bandPath(u, now) : null) },
      { ...plain, stroke: colour("data"), width: 1, paths: (u) => stepPath(u, now, now.drawn?.flux) },
      {
        ...plain,
        stroke: () => (now.late ? palette().weak : palette().model),
        width: 1.6,
        paths: (u) => stepPath(u, now, now.fit, 1.3),
      },
    ],
    hooks: {
      ...common(sync, events).hooks,
      drawAxes: [(u) => levelPath(u, [0], palette().faint)],
    },
  };
}

function residualOptions(now, sync, events) {
  const plain = { auto: false, points: { show: false } };
  const reach = () => now.residual?.reach ?? RESIDUAL;
  return {
    ...common(sync, events),
    scales: {
      x: { time: false, auto: false, range: (u, a, b) => now.range ?? [a, b] },
      y: { range: () => [-reach(), reach()] },
    },
    axes: [
      axis({ size: 34, gap: 2, space: 70 }),
      axis({
        size: GUTTER - LABEL,
        gap: 3,
        label: "resid. / σ",
        labelSize: LABEL,
        labelGap: 0,
        splits: () => [-1, 0, 1].map((sign) => (sign * reach()) / 1.5),
      }),
    ],
    series: [
      {},
      { ...plain, stroke: () => palette().data, width: 1, paths: (u) => stepPath(u, now, now.residual?.values) },
    ],
    hooks: {
      ...common(sync, events).hooks,
      drawAxes: [(u) => levelPath(u, [-1, 0, 1], palette().faint)],
    },
  };
}

function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e4 || size < 1e-3 ? value.toExponential(0).replace("e+", "e") : String(Number(value.toPrecision(6)));
}
