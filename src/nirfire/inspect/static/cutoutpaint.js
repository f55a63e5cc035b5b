/** One exposure of a source on a canvas: pixels, boundaries of the shutters, the source, and what is stuck. */

import { sharp } from "./dom.js";
import { LEVELS, ramp, word } from "./ramps.js";
import { palette } from "./theme.js";

const GUTTER = 30; // CSS pixels at the left for ordinals
const AXIS = 15; // below, for wavelengths
const BEYOND = 8; // rows outside of the pixels that are shown at most, for shutters that calibration left out
const MARKS = { open: "", stuck: "✕", unknown: "?", closed: "–" };
const STEPS = [0.05, 0.1, 0.2, 0.5, 1];

/**
 * Middle and scatter of the pixels of several images together.
 * @param {{data: Float32Array}[]} images
 * @param {boolean} lit  sky is in them: their zero is no light
 * @returns {{zero: number, sigma: number}}
 */
export function scaleOf(images, lit) {
  const values = images.flatMap(({ data }) => {
    const step = Math.max(1, Math.floor(data.length / 3000));
    return Array.from({ length: Math.floor(data.length / step) }, (_, k) => data[k * step]).filter(Number.isFinite);
  });
  const middle = median(values) ?? 0;
  const sigma = 1.4826 * (median(values.map((v) => Math.abs(v - middle))) ?? 0) || 1;
  return lit ? { zero: 0, sigma: Math.max(sigma, middle / 3) } : { zero: middle, sigma };
}

function median(values) {
  const sorted = values.sort((a, b) => a - b);
  return sorted.length > 0 ? sorted[sorted.length >> 1] : undefined;
}

/**
 * @param {{image: {data: Float32Array, shape: number[]}, wave: {data: Float32Array}, edges: object|undefined,
 *   source: object|undefined, shutters: object[]}} shot
 * @returns {object} which rows are shown, and where shutters lie
 */
export function layoutOf(shot, width, rowHeight, axis) {
  const [nRows, nColumns] = shot.image.shape;
  let [low, high] = [-0.5, nRows - 0.5];
  shot.shutters.forEach((_, k) => {
    for (const value of edgesAt(shot, k, nColumns >> 1)) {
      if (Number.isFinite(value)) [low, high] = [Math.min(low, value), Math.max(high, value)];
    }
  });
  low = Math.max(low, -0.5 - BEYOND);
  high = Math.min(high, nRows - 0.5 + BEYOND);
  const height = Math.round((high - low) * rowHeight);
  const inner = width - GUTTER;
  return {
    width,
    height: height + (axis ? AXIS : 0),
    imageHeight: height,
    xOf: (column) => GUTTER + ((column + 0.5) / nColumns) * inner,
    columnOf: (x) => Math.floor(((x - GUTTER) / inner) * nColumns),
    yOf: (row) => (high - row) * rowHeight,
    rowOf: (y) => high - y / rowHeight,
  };
}

/** The two edges of a shutter in a column; the nearest column that knows them. */
function edgesAt({ edges }, k, column) {
  if (!edges) return [NaN, NaN];
  const [, , n] = edges.shape;
  const at = Math.min(Math.max(column, 0), n - 1);
  for (let far = 0; far < n; far++) {
    for (const c of [at - far, at + far]) {
      if (c < 0 || c >= n) continue;
      const pair = [edges.data[2 * k * n + c], edges.data[(2 * k + 1) * n + c]];
      if (Number.isFinite(pair[0])) return pair[0] < pair[1] ? pair : [pair[1], pair[0]];
    }
  }
  return [NaN, NaN];
}

/**
 * Which shutter lies at a place of the canvas.
 * @returns {number} its index; -1: none
 */
export function shutterAt(shot, layout, x, y) {
  const [row, column] = [layout.rowOf(y), layout.columnOf(x)];
  return shot.shutters.findIndex((_, k) => {
    const [low, high] = edgesAt(shot, k, column);
    return row >= low && row < high;
  });
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {object} shot
 * @param {object} layout
 * @param {{scale: {zero: number, sigma: number}, stretch: number, theme: string, chosen: number,
 *   axis: boolean}} how
 */
export function paint(canvas, shot, layout, how) {
  const colours = palette();
  Object.assign(canvas.style, { width: `${layout.width}px`, height: `${layout.height}px` });
  const context = sharp(canvas, layout.width, layout.height);
  context.fillStyle = colours.panel;
  context.fillRect(GUTTER, 0, layout.width - GUTTER, layout.imageHeight);
  drawPixels(context, shot, layout, how, colours);
  shot.shutters.forEach((shutter, k) => drawShutter(context, shot, layout, k, shutter, k === how.chosen, colours));
  drawSource(context, shot, layout, colours);
  if (how.axis) drawAxis(context, shot, layout, colours);
}

function drawPixels(context, shot, layout, { scale, stretch, theme }, colours) {
  const [nRows, nColumns] = shot.image.shape;
  const picture = new ImageData(nColumns, nRows);
  const words = new Uint32Array(picture.data.buffer);
  const table = ramp(theme);
  const none = word(rgb(colours.panel));
  const factor = LEVELS / Math.asinh(12 * 1.4 ** stretch);
  for (let row = 0; row < nRows; row++) {
    for (let column = 0; column < nColumns; column++) {
      const value = shot.image.data[row * nColumns + column];
      const level = Math.round(LEVELS + Math.asinh((value - scale.zero) / scale.sigma / 1.5) * factor);
      const at = (nRows - 1 - row) * nColumns + column;
      words[at] = Number.isNaN(value) ? none : table[Math.min(2 * LEVELS, Math.max(0, level))];
    }
  }
  const small = new OffscreenCanvas(nColumns, nRows);
  small.getContext("2d").putImageData(picture, 0, 0);
  context.imageSmoothingEnabled = false;
  const top = layout.yOf(nRows - 0.5);
  context.drawImage(small, GUTTER, top, layout.width - GUTTER, layout.yOf(-0.5) - top);
}

/** @returns {number[]} red, green and blue of a computed colour */
export function rgb(colour) {
  return (colour.match(/[\d.]+/g) ?? [0, 0, 0]).slice(0, 3).map(Number);
}

/** The outline of a shutter as a path. */
function outline(shot, layout, k) {
  const [, , n] = shot.edges.shape;
  const path = new Path2D();
  const points = [];
  const step = Math.max(1, Math.floor(n / 60));
  for (let c = 0; c < n; c += step) {
    const pair = [shot.edges.data[2 * k * n + c], shot.edges.data[(2 * k + 1) * n + c]];
    if (Number.isFinite(pair[0])) points.push([layout.xOf(c), ...pair.sort((a, b) => a - b).map(layout.yOf)]);
  }
  if (points.length === 0) return null;
  points[0][0] = GUTTER;
  points.at(-1)[0] = layout.width;
  points.forEach(([x, y], i) => (i === 0 ? path.moveTo(x, y) : path.lineTo(x, y)));
  [...points].reverse().forEach(([x, , y]) => path.lineTo(x, y));
  path.closePath();
  return path;
}

function drawShutter(context, shot, layout, k, shutter, chosen, colours) {
  const path = shot.edges && outline(shot, layout, k);
  if (!path) return;
  context.save();
  context.beginPath();
  context.rect(GUTTER, 0, layout.width - GUTTER, layout.imageHeight);
  context.clip();
  if (shutter.state === "stuck") hatch(context, path, layout, colours.bad);
  context.strokeStyle = chosen ? colours.line : shutter.state === "stuck" ? colours.bad : colours.soft;
  context.lineWidth = chosen ? 2 : 1;
  context.setLineDash(chosen || shutter.state === "stuck" ? [] : [2, 3]);
  context.stroke(path);
  context.restore();
  const [low, high] = edgesAt(shot, k, 0);
  const y = Math.min(layout.imageHeight - 6, Math.max(6, layout.yOf((low + high) / 2)));
  context.fillStyle = shutter.state === "stuck" ? colours.bad : chosen ? colours.line : colours.soft;
  context.font = `${chosen ? "bold " : ""}11px system-ui, sans-serif`;
  context.textBaseline = "middle";
  context.textAlign = "right";
  context.fillText(`${MARKS[shutter.state]}${shutter.ordinal ? ` ${shutter.ordinal}` : ""}`, GUTTER - 5, y);
}

/** Oblique lines: what is stuck is told by more than a colour. */
function hatch(context, path, { width, imageHeight }, colour) {
  context.save();
  context.clip(path);
  context.strokeStyle = colour;
  context.globalAlpha = 0.75;
  context.lineWidth = 1;
  context.beginPath();
  for (let x = GUTTER - imageHeight; x < width; x += 9) {
    context.moveTo(x, imageHeight);
    context.lineTo(x + imageHeight, 0);
  }
  context.stroke();
  context.restore();
}

/** Where the source was planned: a dotted line, and wedges at its ends. */
function drawSource(context, shot, layout, colours) {
  if (!shot.source) return;
  const data = shot.source.data;
  const known = [];
  for (let c = 0; c < data.length; c += 4) {
    const y = layout.yOf(data[c]);
    if (y >= 0 && y <= layout.imageHeight) known.push([layout.xOf(c), y]);
  }
  if (known.length < 2) return;
  context.save();
  context.strokeStyle = context.fillStyle = colours.line;
  context.setLineDash([1, 5]);
  context.beginPath();
  known.forEach(([x, y], i) => (i === 0 ? context.moveTo(x, y) : context.lineTo(x, y)));
  context.stroke();
  wedge(context, GUTTER, known[0][1], 6);
  wedge(context, layout.width, known.at(-1)[1], -6);
  context.restore();
}

function wedge(context, x, y, size) {
  context.beginPath();
  context.moveTo(x, y - Math.abs(size) * 0.7);
  context.lineTo(x + size, y);
  context.lineTo(x, y + Math.abs(size) * 0.7);
  context.fill();
}

function drawAxis(context, shot, layout, colours) {
  const wave = shot.wave.data;
  const known = [...wave.keys()].filter((c) => Number.isFinite(wave[c]));
  if (known.length < 2) return;
  const [first, last] = [wave[known[0]], wave[known.at(-1)]];
  const step = STEPS.find((one) => (last - first) / one <= 8) ?? 1;
  context.fillStyle = colours.soft;
  context.strokeStyle = colours.rule;
  context.font = "10.5px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "alphabetic";
  for (let tick = Math.ceil(first / step) * step; tick <= last; tick += step) {
    const column = known.find((c) => wave[c] >= tick);
    const x = layout.xOf(column);
    context.beginPath();
    context.moveTo(x, layout.imageHeight);
    context.lineTo(x, layout.imageHeight + 3);
    context.stroke();
    const text = step >= 1 ? tick.toFixed(0) : tick.toFixed(step < 0.1 ? 2 : 1);
    if (x < layout.width - 22) context.fillText(text, x, layout.height - 1);
  }
  context.textAlign = "right";
  context.fillText("µm", layout.width, layout.height - 1);
}
