/**
 * The evidence for a redshift: chi-squared above its minimum and p(z), over the whole range and near the redshift
 * shown.  A click sets z; a drag looks closer, a double click shows all again.
 */

import { element, sharp, sized } from "./dom.js";
import { fixed } from "./format.js";
import { search, spectrumOf } from "./spectra.js";
import { nearest, offsetOf, sharedZ, solutions } from "./redshift.js";
import { palette } from "./theme.js";

const FONT = "11px system-ui, sans-serif";
const BOX = { left: 44, right: 8, top: 16, bottom: 28 };

/**
 * @param {object} app
 * @param {(z: number) => void} onPick
 * @returns {{root: HTMLElement, draw: () => void, reset: () => void}}
 */
export function createEvidence(app, onPick) {
  const whole = panel("whole range", (z) => onPick(z));
  const near = panel("near", (z) => onPick(z));
  const root = element("section", { class: "evidence", data: { testid: "evidence" } }, [whole.root, near.root]);

  let drawn = null; // what a closer look was at

  function draw() {
    const state = app.state.get();
    if (drawn?.source !== state.object?.meta.source) both.forEach((one) => one.reset());
    if (drawn?.z !== state.z && !near.holds(state.z)) near.reset();
    drawn = { source: state.object?.meta.source, z: state.z };
    const scan = scanOf(state);
    const marks = { z: state.z, auto: state.object?.meta.z, peaks: solutions(state), log: state.view.chi2 === "log" };
    marks.said = saidOf(state, scan);
    whole.draw(scan, marks, scan ? [scan.z[0], scan.z[scan.z.length - 1]] : [0, 10]);
    const half = closeUp(state, marks.peaks);
    near.draw(nearScan(state, scan), marks, [(state.z ?? 0) - half, (state.z ?? 0) + half]);
  }

  const both = [whole, near];
  return {
    root,
    draw,
    reset: () => both.forEach((one) => one.reset()),
    destroy: () => both.forEach((one) => one.destroy()),
  };
}

/**
 * The scan over the whole range: of the last refit of all, else of the product.
 * @param {import("./state.js").State} state
 * @returns {{z: Float64Array, dchi2: Float32Array, p: Float32Array|null, joint?: object}|null}
 */
export function scanOf({ object, active, refit }) {
  if (!object || !active) return null;
  if (refit?.full && refit.key === active && refit.z) return refit;
  const spectrum = spectrumOf(object, active);
  const [own, dchi2, p] = ["z", "dchi2", "p"].map((name) => spectrum?.get(name) ?? null);
  const z = own && shared(object, active, own);
  const joint = object.arrays["joint/p"] && { z: object.arrays["joint/z"].data, p: object.arrays["joint/p"].data };
  return z && dchi2 ? { z, dchi2, p, joint } : null;
}

/** What is drawn, and of what: where there are several gratings each curve says whose it is. */
function saidOf({ object, active }, scan) {
  const told = object?.meta.spectra ?? [];
  const name = told.find(({ key }) => key === active)?.grating;
  const offset = object && active ? Math.round(offsetOf(object, active)) : 0;
  return {
    chi2: told.length > 1 ? `Δχ² ${name}` : "Δχ²",
    p: scan?.joint ? "p(z) all" : "p(z)",
    moved: offset ? `${name} is shown on the wavelengths of all gratings: its own are ${offset} km/s off` : "",
  };
}

/** Redshifts of a spectrum's own scan, on the wavelengths of all gratings together. */
function shared(object, key, own) {
  if (!known.has(own)) known.set(own, object.meta.joint ? own.map((one) => sharedZ(object, key, one)) : own);
  return known.get(own);
}

const known = new WeakMap(); // z of a scan -> the same, shared

/** Half the width of the close-up: some ten standard errors, as far as that makes sense. */
function closeUp({ z, object }, peaks) {
  const err = peaks[nearest(peaks, z ?? 0)]?.z_err ?? object?.meta.z_err ?? 0.002;
  return Math.min(0.05 * (1 + (z ?? 0)), Math.max(0.001 * (1 + (z ?? 0)), 10 * err));
}

function nearScan({ active, refit, z }, scan) {
  const inside = refit?.z && refit.key === active && z >= refit.z[0] && z <= refit.z[refit.z.length - 1];
  return inside ? refit : scan;
}

function panel(title, onPick) {
  const canvas = element("canvas", { "aria-label": `chi-squared and p(z), ${title}` });
  const root = element("div", { class: "evidence-panel" }, [canvas]);
  const kept = { range: null, zoomed: null, args: null };
  const hover = { x: NaN, from: NaN };
  const size = sized(canvas, () => repaint());
  const inner = () => size.width - BOX.left - BOX.right;
  const toZ = (x) => {
    const [a, b] = kept.range.map(Math.log1p);
    return Math.expm1(a + ((x - BOX.left) / inner()) * (b - a));
  };

  function repaint() {
    if (kept.args) paint(canvas, size, title, kept, hover, ...kept.args);
  }

  canvas.addEventListener("pointermove", (event) => ((hover.x = event.offsetX), repaint()));
  canvas.addEventListener("pointerleave", () => ((hover.x = NaN), repaint()));
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    hover.from = event.offsetX;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointerup", (event) => {
    const [from, to] = [hover.from, event.offsetX].sort((a, b) => a - b);
    hover.from = NaN;
    if (!kept.args || Number.isNaN(from)) return;
    if (to - from > 5) kept.zoomed = [toZ(from), toZ(to)];
    else if (to >= BOX.left && to <= BOX.left + inner()) onPick(toZ(event.offsetX));
    repaint();
  });
  canvas.addEventListener("dblclick", () => ((kept.zoomed = null), repaint()));
  return {
    root,
    reset: () => (kept.zoomed = null),
    /** Whether a closer look still has this redshift in it. */
    holds: (z) => !kept.zoomed || (z >= kept.zoomed[0] && z <= kept.zoomed[1]),
    destroy: () => size.stop(),
    draw(scan, marks, range) {
      canvas.title = marks.said.moved;
      kept.args = [scan, marks, range];
      repaint();
    },
  };
}

function paint(canvas, { width, height }, title, kept, hover, scan, marks, range) {
  if (width < 80 || height < 50) return;
  const context = sharp(canvas, width, height);
  kept.range = kept.zoomed ?? [Math.max(-0.02, range[0]), range[1]];
  const frame = { left: BOX.left, top: BOX.top, width: width - BOX.left - BOX.right };
  frame.height = height - BOX.top - BOX.bottom;
  const [a, b] = kept.range.map(Math.log1p);
  const toX = (z) => frame.left + ((Math.log1p(z) - a) / (b - a)) * frame.width;
  const colours = palette();
  context.font = FONT;
  heading(context, title === "near" ? { title: "close up" } : marks.said, frame, colours, hover, kept.range);
  zAxis(context, kept.range, toX, frame, colours);
  if (!scan) return title === "near" ? undefined : nothing(context, frame, colours);
  const [i, j] = [
    Math.max(0, search(scan.z, kept.range[0]) - 1),
    Math.min(scan.z.length, search(scan.z, kept.range[1]) + 1),
  ];
  const toY = levels(scan, [i, j], marks, frame);
  context.save();
  context.beginPath();
  context.rect(frame.left, frame.top, frame.width, frame.height);
  context.clip();
  const density = scan.joint ?? scan;
  if (density.p) area(context, density, kept.range, toX, frame, colours);
  rules(context, toY, frame, colours);
  trace(context, scan, [i, j], toX, toY, colours);
  context.restore();
  chi2Axis(context, toY, frame, colours);
  markers(context, marks, toX, toY, frame, colours, kept.range);
}

function heading(context, said, frame, colours, hover, range) {
  context.textAlign = "left";
  context.textBaseline = "alphabetic";
  const share = (hover.x - frame.left) / frame.width;
  const [a, b] = range.map(Math.log1p);
  const inside = share >= 0 && share <= 1;
  const text = inside ? `set z = ${fixed(Math.expm1(a + share * (b - a)), 4)}` : said.title;
  const names = [[said.chi2, colours.data], [" and ", colours.soft], [said.p, colours.auto]];
  const words = text ? [[text, colours.soft]] : names;
  let x = frame.left;
  for (const [word, colour] of words) {
    context.fillStyle = colour;
    context.fillText(word, x, frame.top - 5);
    x += context.measureText(word).width;
  }
  if (inside) drawHover(context, frame, colours, hover);
}

/** Where the mouse is, and what a drag has come over. */
function drawHover(context, frame, colours, hover) {
  if (Math.abs(hover.x - hover.from) > 5) {
    context.fillStyle = colours.band;
    context.fillRect(Math.min(hover.from, hover.x), frame.top, Math.abs(hover.x - hover.from), frame.height);
  }
  context.strokeStyle = colours.faint;
  context.beginPath();
  context.moveTo(Math.round(hover.x) + 0.5, frame.top);
  context.lineTo(Math.round(hover.x) + 0.5, frame.top + frame.height);
  context.stroke();
}

function nothing(context, frame, colours) {
  context.fillStyle = colours.soft;
  context.textAlign = "center";
  context.fillText("not fitted yet: U fits it", frame.left + frame.width / 2, frame.top + frame.height / 2);
}

/** Height of a chi-squared: logarithmic in 1 + dchi2, or linear up to a few times the second solution. */
function levels(scan, [i, j], marks, frame) {
  let top = 1;
  for (let k = i; k < j; k++) top = Math.max(top, scan.dchi2[k]);
  const second = marks.peaks.find(({ dchi2 }) => dchi2 > 0)?.dchi2;
  const limit = marks.log ? top : Math.min(top, Math.max(30, 4 * (second || 0)));
  const scale = marks.log ? Math.log10(1 + limit) : limit;
  const toY = (d) =>
    frame.top + frame.height * (1 - 0.96 * ((marks.log ? Math.log10(1 + Math.max(0, d)) : d) / scale) - 0.02);
  return Object.assign(toY, { limit, log: marks.log });
}

function area(context, scan, [low, high], toX, frame, colours) {
  const [i, j] = [Math.max(0, search(scan.z, low) - 1), Math.min(scan.z.length, search(scan.z, high) + 1)];
  let top = 0;
  for (let k = i; k < j; k++) top = Math.max(top, scan.p[k]);
  let all = 0;
  for (const p of scan.p) all = Math.max(all, p);
  if (!(top > 0) || top < 1e-6 * all) return;
  const base = frame.top + frame.height;
  context.beginPath();
  context.moveTo(toX(scan.z[i]), base);
  for (let k = i; k < j; k++) context.lineTo(toX(scan.z[k]), base - (0.94 * frame.height * scan.p[k]) / top);
  context.lineTo(toX(scan.z[j - 1]), base);
  context.fillStyle = colours.auto;
  context.strokeStyle = colours.auto;
  context.globalAlpha = 0.3;
  context.fill();
  context.globalAlpha = 0.9;
  context.stroke();
  context.globalAlpha = 1;
}

function rules(context, toY, frame, colours) {
  context.strokeStyle = colours.rule;
  context.beginPath();
  for (const value of ticks(toY)) {
    const y = Math.round(toY(value)) + 0.5;
    context.moveTo(frame.left, y);
    context.lineTo(frame.left + frame.width, y);
  }
  context.stroke();
}

function ticks({ limit, log }) {
  if (log) return [0, 1, 10, 100, 1e3, 1e4, 1e5].filter((value) => value <= limit);
  const step = [5, 10, 20, 50, 100, 200, 500, 1000, 1e4].find((one) => limit / one < 5) ?? limit;
  return Array.from({ length: Math.floor(limit / step) + 1 }, (_, k) => k * step);
}

function trace(context, scan, [i, j], toX, toY, colours) {
  context.beginPath();
  for (let k = i; k < j; k++) context.lineTo(toX(scan.z[k]), toY(scan.dchi2[k]));
  context.strokeStyle = colours.data;
  context.lineWidth = 1;
  context.stroke();
}

function chi2Axis(context, toY, frame, colours) {
  context.fillStyle = colours.soft;
  context.textAlign = "right";
  context.textBaseline = "middle";
  let last = Infinity;
  for (const value of ticks(toY)) {
    if (last - toY(value) < 11) continue;
    last = toY(value);
    context.fillText(value >= 1e4 ? `10${value >= 1e5 ? "⁵" : "⁴"}` : String(value), frame.left - 5, last);
  }
  context.save();
  context.translate(8, frame.top + frame.height / 2);
  context.rotate(-Math.PI / 2);
  context.textAlign = "center";
  context.fillText("Δχ²", 0, 0);
  context.restore();
}

function zAxis(context, range, toX, frame, colours) {
  context.strokeStyle = colours.faint;
  context.strokeRect(frame.left + 0.5, frame.top + 0.5, frame.width - 1, frame.height - 1);
  context.fillStyle = colours.soft;
  context.textAlign = "center";
  context.textBaseline = "alphabetic";
  const base = frame.top + frame.height;
  const room = frame.left + frame.width + BOX.right;
  const taken = [];
  for (const { value, text } of zTicks(range, frame.width)) {
    const x = toX(value);
    const half = context.measureText(text).width / 2;
    context.beginPath();
    context.moveTo(Math.round(x) + 0.5, base);
    context.lineTo(Math.round(x) + 0.5, base + 4);
    context.stroke();
    if (!text || x + half > room || taken.some((one) => Math.abs(one.x - x) < one.half + half + 8)) continue;
    context.fillText(text, x, base + 15);
    taken.push({ x, half });
  }
  context.textAlign = "left";
  context.fillText("z", 8, base + 15);
}

const ROUND = [0, 10, 5, 1, 2, 20, 3, 15, 7, 4, 6, 8, 12]; // redshifts to name before others where not all have room

/**
 * Ticks of a redshift axis, those to label first: even ones where the range is narrow, else whole numbers.
 * @param {[number, number]} range
 * @param {number} width  px
 * @returns {{value: number, text: string}[]}  no text: a tick alone
 */
export function zTicks([low, high], width) {
  if (high - low > 4) {
    const whole = Array.from({ length: Math.floor(high) + 1 }, (_, k) => k).filter((value) => value > low - 0.01);
    const rank = (value) => (ROUND.indexOf(value) + ROUND.length + 1) % (ROUND.length + 1);
    const text = (value) => (ROUND.includes(value) ? String(value) : "");
    return whole.sort((a, b) => rank(a) - rank(b)).map((value) => ({ value, text: text(value) }));
  }
  const most = Math.max(2, width / 40);
  const step = STEPS.find((one) => (high - low) / one <= most) ?? 1;
  const decimals = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
  const first = Math.max(0, Math.ceil(low / step - 1e-6));
  const count = Math.max(0, Math.floor(high / step + 1e-6) - first + 1);
  const values = Array.from({ length: count }, (_, k) => (first + k) * step);
  return values.map((value) => ({ value, text: value.toFixed(decimals) }));
}

const STEPS = [1, 2, 5].flatMap((one) => [1e-4, 1e-3, 0.01, 0.1, 1].map((ten) => one * ten)).sort((a, b) => a - b);

function markers(context, { z, auto, peaks }, toX, toY, frame, colours, [low, high]) {
  const inside = (value) => Number.isFinite(value) && value >= low && value <= high;
  if (inside(auto)) pointer(context, toX(auto), frame.top + 1, 5, colours.auto);
  if (inside(z)) {
    context.strokeStyle = colours.model;
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(toX(z), frame.top);
    context.lineTo(toX(z), frame.top + frame.height);
    context.stroke();
    context.lineWidth = 1;
    pointer(context, toX(z), frame.top + frame.height - 1, -7, colours.model);
  }
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (const peak of [...peaks].reverse()) {
    if (!inside(peak.z) || !Number.isFinite(peak.dchi2)) continue;
    const x = toX(peak.z);
    const y = Math.min(toY(peak.dchi2), frame.top + frame.height - 18); // above the pointer of z
    context.beginPath();
    context.arc(x, y, 7, 0, 2 * Math.PI);
    context.fillStyle = colours.paper;
    context.strokeStyle = colours.ink;
    context.fill();
    context.stroke();
    context.fillStyle = colours.ink;
    context.fillText(peak.name, x, y + 0.5);
  }
}

function pointer(context, x, y, size, colour) {
  context.beginPath();
  context.moveTo(x - Math.abs(size), y);
  context.lineTo(x + Math.abs(size), y);
  context.lineTo(x, y + size * 1.3);
  context.fillStyle = colour;
  context.fill();
}
