/** Paths that uPlot draws for us: histograms and bands over pixels of unequal width, with gaps between them. */

import { indices } from "./spectra.js";

/** From wavelength and flux to canvas pixels, as two linear functions. */
function scales(u) {
  const { left, top, width, height } = u.bbox;
  const { x, y } = u.scales;
  const [kx, ky] = [width / (x.max - x.min), height / (y.max - y.min)];
  const clip = (v) => Math.min(top + 2 * height, Math.max(top - height, v));
  return { toX: (v) => left + (v - x.min) * kx, toY: (v) => clip(top + height - (v - y.min) * ky) };
}

function visible(spectrum, [low, high]) {
  const [a, b] = indices(spectrum, low, high);
  return [Math.max(0, a - 1), Math.min(spectrum.n, b + 1)];
}

/**
 * A histogram: one level per pixel, joined where neighbours have data.
 * @param {object} u  the uPlot
 * @param {{spectrum: object, range: [number, number]}} now
 * @param {Float32Array|null|undefined} values
 * @param {number} [thin]  width of the line where pixels are closer than those of the screen
 * @returns {object|null} paths for uPlot
 */
export function stepPath(u, { spectrum, range }, values, thin = 0.6) {
  if (!spectrum || !values) return null;
  const { toX, toY } = scales(u);
  const [a, b] = visible(spectrum, range);
  const path = new Path2D();
  let pen = false;
  for (let i = a; i < b; i++) {
    if (values[i] !== values[i]) {
      pen = false;
      continue;
    }
    const y = toY(values[i]);
    const x = toX(spectrum.edges[i]);
    if (pen) path.lineTo(x, y);
    else path.moveTo(x, y);
    path.lineTo(toX(spectrum.edges[i + 1]), y);
    pen = true;
  }
  const crowded = (b - a) / (u.bbox.width / devicePixelRatio) > 1.2;
  return { stroke: path, fill: null, clip: null, band: null, gaps: null, flags: 0, ...(crowded && { _width: thin }) };
}

/**
 * One standard error about the flux, as a filled band.
 * @param {object} u
 * @param {{spectrum: object, range: [number, number], drawn: {flux: Float32Array, err: Float32Array}}} now
 * @returns {object|null}
 */
export function bandPath(u, { spectrum, range, drawn }) {
  if (!spectrum || !drawn) return null;
  const { toX, toY } = scales(u);
  const [a, b] = visible(spectrum, range);
  const path = new Path2D();
  for (let i = a; i < b; i++) {
    const [flux, err] = [drawn.flux[i], drawn.err[i]];
    if (flux !== flux) continue;
    const [x, y] = [toX(spectrum.edges[i]), toY(flux + err)];
    path.rect(x, y, toX(spectrum.edges[i + 1]) - x, toY(flux - err) - y);
  }
  return { stroke: null, fill: path, clip: null, band: null, gaps: null, flags: 0 };
}

/**
 * Horizontal rules at given values, drawn at once.
 * @param {object} u
 * @param {number[]} levels
 * @param {string} colour
 */
export function levelPath(u, levels, colour) {
  const { toY } = scales(u);
  const { left, width } = u.bbox;
  u.ctx.save();
  u.ctx.strokeStyle = colour;
  u.ctx.globalAlpha = 0.6;
  u.ctx.lineWidth = 1;
  u.ctx.beginPath();
  for (const level of levels) {
    const y = Math.round(toY(level)) + 0.5;
    u.ctx.moveTo(left, y);
    u.ctx.lineTo(left + width, y);
  }
  u.ctx.stroke();
  u.ctx.restore();
}
