/** The 2D spectrum on a canvas, on the wavelength axis of the 1D spectrum below it. */

import { sharp } from "./dom.js";
import { palette } from "./theme.js";
import { keep, picture, search } from "./spectra.js";

const LEVELS = 256;
const RAMPS = {
  // zero is the colour of the page; light is darker (or brighter) than it, what is negative has another hue
  light: {
    below: [
      [172, 86, 14],
      [255, 255, 255],
    ],
    above: [
      [255, 255, 255],
      [150, 178, 214],
      [52, 92, 160],
      [12, 18, 44],
    ],
  },
  dark: {
    below: [
      [70, 150, 220],
      [17, 22, 28],
    ],
    above: [
      [17, 22, 28],
      [122, 58, 40],
      [240, 150, 60],
      [255, 250, 225],
    ],
  },
};
const tables = {};
const spare = document.createElement("canvas");

/**
 * Draw a 2D spectrum.
 * @param {HTMLCanvasElement} canvas
 * @param {import("./spectra.js").Spectrum} spectrum
 * @param {{width: number, height: number, range: [number, number], kind: string, stretch: number, theme: string}} how
 *   CSS pixels; um; "snr" or "flux"; steps of brightness
 */
export function drawImage(canvas, spectrum, { width, height, range, kind, stretch, theme }) {
  const context = sharp(canvas, width, height);
  if (!spectrum.image || width < 4 || height < 4) return;
  const pixels = resampled(spectrum, brightness(spectrum, kind, stretch), range, canvas.width, colours(theme));
  spare.width = canvas.width;
  spare.height = spectrum.image.rows;
  spare.getContext("2d").putImageData(pixels, 0, 0);
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(spare, 0, 0, canvas.width, canvas.height);
}

/**
 * Which colour each pixel has, by its number in the table; made ahead for the objects that come next.
 * @param {import("./spectra.js").Spectrum} spectrum
 * @param {string} kind
 * @param {number} stretch
 * @returns {{values: Float32Array, levels: Uint16Array, scale: number}}
 */
export function brightness(spectrum, kind, stretch) {
  return keep(spectrum, `brightness ${kind} ${stretch}`, () => {
    const { values, high } = picture(spectrum, kind);
    const scale = LEVELS / Math.asinh((high * 1.4 ** stretch) / SOFT);
    const levels = new Uint16Array(values.length);
    for (let i = 0; i < levels.length; i++) levels[i] = levelOf(values[i], scale);
    return { values, levels, scale };
  });
}

const SOFT = 1.5; // signal to noise above which the scale turns logarithmic

/** Where a value lies in the table of colours; 0 where there is none. */
function levelOf(value, scale) {
  if (value !== value) return 0;
  return Math.min(2 * LEVELS, Math.max(1, Math.round(LEVELS + Math.asinh(value / SOFT) * scale)));
}

/** One column per screen pixel: the mean of the pixels it covers, or the one it lies in. */
function resampled(spectrum, { values, levels, scale }, [low, top], width, table) {
  const { rows, n } = spectrum.image;
  const { edges } = spectrum;
  const pixels = new ImageData(width, rows);
  const out = new Uint32Array(pixels.data.buffer);
  const step = (top - low) / width;
  let b = Math.max(0, search(edges, low, n + 1) - 1);
  for (let c = 0; c < width; c++) {
    const end = low + (c + 1) * step;
    const a = b;
    while (b < n - 1 && edges[b + 1] <= end) b++;
    if (end < edges[0] || low + c * step > edges[n]) continue;
    const only = b - a < 2; // finer than the pixels: the one under the middle
    const first = only && edges[b] < end - step / 2 ? b : a;
    for (let r = 0, i = first, to = (rows - 1) * width + c; r < rows; r++, i += n, to -= width) {
      out[to] = table[only ? levels[i] : levelOf(mean(values, i, i + b - a), scale)];
    }
  }
  return pixels;
}

function mean(values, from, to) {
  let sum = 0;
  let count = 0;
  for (let i = from; i <= to; i++) {
    if (values[i] !== values[i]) continue;
    sum += values[i];
    count++;
  }
  return count > 0 ? sum / count : NaN;
}

function colours(theme) {
  tables[theme] ??= Uint32Array.from({ length: 2 * LEVELS + 1 }, (_, k) => {
    if (k === 0) return 0; // transparent
    const ramp = RAMPS[theme];
    const rgb = k < LEVELS ? between(ramp.below, k / LEVELS) : between(ramp.above, (k - LEVELS) / LEVELS);
    return (255 << 24) | (rgb[2] << 16) | (rgb[1] << 8) | rgb[0];
  });
  return tables[theme];
}

function between(stops, share) {
  const at = share * (stops.length - 1);
  const k = Math.min(stops.length - 2, Math.floor(at));
  return stops[k].map((value, i) => Math.round(value + (at - k) * (stops[k + 1][i] - value)));
}

const NAME = 15; // CSS pixels for the name of the axis, as of the axes below
const APART = 24; // at least between two numbers of the axis

/**
 * The extraction profile beside the 2D spectrum, row by row, and the axis of its rows, counted from the source.
 * @param {HTMLCanvasElement} canvas
 * @param {import("./spectra.js").Spectrum} spectrum
 * @param {number} width  CSS pixels
 * @param {number} height
 */
export function drawProfile(canvas, spectrum, width, height) {
  const context = sharp(canvas, width, height);
  const profile = spectrum.get("prof_opt");
  if (!profile || !spectrum.image) return;
  const top = profile.reduce((a, b) => (b > a ? b : a), 0) || 1;
  const row = height / profile.length;
  const at = (value) => width - 3 - (width - 5 - NAME) * Math.max(0, value / top);
  context.beginPath();
  context.moveTo(width - 3, height);
  profile.forEach((value, k) => {
    context.lineTo(at(value), height - k * row);
    context.lineTo(at(value), height - (k + 1) * row);
  });
  context.lineTo(width - 3, 0);
  context.fillStyle = palette().band;
  context.fill();
  context.strokeStyle = palette().faint;
  context.stroke();
  drawRows(context, spectrum.get("prof_y"), { width, height, row });
}

/** Numbers of rows, where the profile leaves room: not at the source. */
function drawRows(context, rows, { width, height, row }) {
  const step = [5, 10, 20, 50].find((one) => one * row >= APART) ?? 100;
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = palette().soft;
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (let value = Math.ceil(rows[0] / step) * step; value <= rows.at(-1); value += step) {
    const y = height - (value - rows[0] + 0.5) * row;
    if (value === 0 || y < 6 || y > height - 6) continue;
    context.fillRect(width - 4, y - 0.5, 4, 1);
    context.fillText(String(value), width - 7, y);
  }
  context.translate(NAME / 2 + 1, height / 2);
  context.rotate(-Math.PI / 2);
  context.textAlign = "center";
  context.fillText("row [pix]", 0, 0);
}
