/** A whole exposure on a canvas: the image, what is masked, what is suggested, and the polygon that is being drawn. */

import { sharp } from "./dom.js";
import { LEVELS, mix, ramp, word } from "./ramps.js";
import { palette } from "./theme.js";

const SIZE = 2048;
const STRIPE = 10; // pixels of the detector: stripes of the mask
const MASKED = { light: [176, 0, 140], dark: [255, 120, 225] };
const EMPTY = { light: [226, 219, 205], dark: [62, 56, 44] }; // no value: neither end of a scale
const GREY = { light: [[255, 255, 255], [10, 12, 18]], dark: [[8, 11, 15], [255, 252, 240]] };

/**
 * Where the detector is seen: `scale` CSS pixels for one of the detector, the middle at (x, y).
 * @typedef {{scale: number, x: number, y: number, width: number, height: number}} Look
 */

/** @param {Look} look */
export const toScreen = (look, [x, y]) => [
  look.width / 2 + (x - look.x) * look.scale,
  look.height / 2 - (y - look.y) * look.scale,
];

/** @param {Look} look */
export const toDetector = (look, [x, y]) => [
  look.x + (x - look.width / 2) / look.scale,
  look.y - (y - look.height / 2) / look.scale,
];

/** The look at the whole detector. */
export const whole = (width, height) => ({
  scale: Math.min(width, height) / (SIZE + 24),
  x: (SIZE - 1) / 2,
  y: (SIZE - 1) / 2,
  width,
  height,
});

/**
 * Closer to a place, or further away; what is there stays where it is on the screen.
 * @param {Look} look
 * @param {number} factor
 * @param {number[]} about  pixel of the detector
 * @returns {Look}
 */
export function zoomed(look, factor, about) {
  const scale = Math.min(24, Math.max(Math.min(look.width, look.height) / (1.4 * SIZE), look.scale * factor));
  const ratio = look.scale / scale;
  return { ...look, scale, x: about[0] + (look.x - about[0]) * ratio, y: about[1] + (look.y - about[1]) * ratio };
}

/**
 * Value of a byte of the image.
 * @param {object} meta  answer of /api/rate
 * @param {number} level
 * @returns {number} NaN where there is none
 */
export function valueOf({ scale }, level) {
  if (level === 0) return NaN;
  const t = scale.low + ((scale.high - scale.low) * (level - 1)) / 254;
  return scale.kind === "linear" ? t : scale.zero + scale.soft * Math.sinh(t);
}

/**
 * The image as a canvas of its own size, with the first row at the foot.
 * @param {{meta: object, arrays: object}} payload
 * @param {number} stretch
 * @param {string} theme
 * @returns {OffscreenCanvas}
 */
export function developed({ meta, arrays }, stretch, theme) {
  const [rows, columns] = arrays.image.shape;
  const bytes = arrays.image.data;
  const table = meta.scale.kind === "linear" ? diverging(stretch, theme) : grey(meta.scale, stretch, theme);
  const picture = new ImageData(columns, rows);
  const words = new Uint32Array(picture.data.buffer);
  for (let row = 0; row < rows; row++) {
    const [from, to] = [row * columns, (rows - 1 - row) * columns];
    for (let c = 0; c < columns; c++) words[to + c] = table[bytes[from + c]];
  }
  const canvas = new OffscreenCanvas(columns, rows);
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

function grey(scale, stretch, theme) {
  const [from, to] = GREY[theme];
  const base = (Math.asinh(-0.4) - scale.low) / (scale.high - scale.low);
  const gain = 1.3 ** stretch;
  return lookup(theme, (t) => word(mix(from, to, Math.min(1, Math.max(0, (t - base) * gain + 0.08)))));
}

function diverging(stretch, theme) {
  const table = ramp(theme);
  const gain = 1.3 ** stretch;
  return lookup(theme, (t) => table[Math.round(LEVELS * (1 + Math.min(1, Math.max(-1, (2 * t - 1) * gain))))]);
}

function lookup(theme, colour) {
  return Uint32Array.from({ length: 256 }, (_, k) => (k === 0 ? word(EMPTY[theme]) : colour((k - 1) / 254)));
}

/**
 * The masked pixels as a canvas of the detector's size: stripes, told from the image by more than their colour.
 * @param {{data: Int32Array, shape: number[]}} runs
 * @param {string} theme
 * @returns {OffscreenCanvas|null} null when nothing is masked
 */
export function stencil(runs, theme) {
  if (runs.shape[0] === 0) return null;
  const picture = new ImageData(SIZE, SIZE);
  const words = new Uint32Array(picture.data.buffer);
  const [dense, thin] = [word(MASKED[theme], 190), word(MASKED[theme], 80)];
  for (let k = 0; k < runs.shape[0]; k++) {
    const [row, first, end] = runs.data.subarray(3 * k, 3 * k + 3);
    const at = (SIZE - 1 - row) * SIZE;
    for (let c = first; c < end; c++) words[at + c] = (row + c) % STRIPE < STRIPE / 3 ? dense : thin;
  }
  const canvas = new OffscreenCanvas(SIZE, SIZE);
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Look} look
 * @param {{image: OffscreenCanvas, mask: OffscreenCanvas|null, regions: object[], suggested: object[], chosen: object,
 *   corners: number[][], cursor: number[]|null, pointer: number[]|null, theme: string}} what
 */
export function paint(canvas, look, what) {
  const context = sharp(canvas, look.width, look.height);
  const colours = palette();
  context.fillStyle = colours.panel;
  context.fillRect(0, 0, look.width, look.height);
  const [left, top] = toScreen(look, [-0.5, SIZE - 0.5]);
  const size = SIZE * look.scale;
  context.imageSmoothingEnabled = look.scale < 1;
  context.imageSmoothingQuality = "medium";
  context.drawImage(what.image, left, top, size, size);
  if (what.mask) context.drawImage(what.mask, left, top, size, size);
  context.strokeStyle = colours.rule;
  context.strokeRect(left, top, size, size);
  const ink = `rgb(${MASKED[what.theme].join(" ")})`;
  for (const region of what.regions) outline(context, look, region, { ink, chosen: region === what.chosen, colours });
  for (const region of what.suggested) {
    outline(context, look, region, { ink: colours.line, dash: [5, 4], chosen: region === what.chosen, colours });
  }
  drawCorners(context, look, what, colours);
  if (what.cursor) drawCursor(context, look, what.cursor, colours);
}

function outline(context, look, { points, excluded }, { ink, dash, chosen, colours }) {
  if (!points) return;
  const path = new Path2D();
  points.forEach((point) => path.lineTo(...toScreen(look, point)));
  path.closePath();
  context.setLineDash([]);
  context.strokeStyle = colours.paper;
  context.lineWidth = chosen ? 6 : 3.5;
  context.stroke(path);
  context.strokeStyle = ink;
  context.lineWidth = chosen ? 3 : 1.5;
  context.setLineDash(dash ?? (excluded ? [2, 3] : []));
  context.stroke(path);
  context.setLineDash([]);
}

function drawCorners(context, look, { corners, cursor, pointer }, colours) {
  if (corners.length === 0) return;
  const points = corners.map((point) => toScreen(look, point));
  const next = pointer ?? cursor;
  const path = new Path2D();
  points.forEach(([x, y], i) => (i === 0 ? path.moveTo(x, y) : path.lineTo(x, y)));
  if (next) path.lineTo(...toScreen(look, next));
  for (const [width, colour] of [[4, colours.paper], [2, colours.model]]) {
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.stroke(path);
  }
  points.forEach(([x, y], i) => {
    context.beginPath();
    context.arc(x, y, i === 0 ? 6 : 4, 0, 2 * Math.PI);
    context.fillStyle = i === 0 ? colours.paper : colours.model;
    context.fill();
    context.stroke();
  });
}

function drawCursor(context, look, cursor, colours) {
  const [x, y] = toScreen(look, cursor).map((v) => Math.round(v) + 0.5);
  const path = new Path2D();
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    path.moveTo(x + 5 * dx, y + 5 * dy);
    path.lineTo(x + 16 * dx, y + 16 * dy);
  }
  for (const [width, colour] of [[4, colours.paper], [2, colours.model]]) {
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.stroke(path);
  }
}
