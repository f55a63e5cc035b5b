/** Six close looks at the lines that should be strongest at the redshift shown, each with its strip of the 2D image. */

import { element, sharp, sized } from "./dom.js";
import { fixed } from "./format.js";
import { drawImage } from "./image2d.js";
import { RANKED } from "./lines.js";
import { modelOf, offsetOf } from "./redshift.js";
import { curve, fluxRange, indices, modelCurve, search, spectrumOf } from "./spectra.js";
import { palette } from "./theme.js";

const COUNT = 6;
const HALF_KMS = 2500;
const HALF_PIXELS = 9;
const C_KMS = 299792.458;
const FONT = "11px system-ui, sans-serif";

/**
 * Which lines to look at, by wavelength.
 * @param {object} object  decoded payload
 * @param {string} active  key of the spectrum that is preferred
 * @param {{name: string, label: string, wave: number}[]} lines
 * @param {number} z
 * @returns {{line: object, spectrum: import("./spectra.js").Spectrum, at: number, snr: number|null}[]}
 */
export function chosen(object, active, lines, z) {
  const order = [active, ...object.meta.spectra.map(({ key }) => key).filter((key) => key !== active)];
  const spectra = order.map((key) => spectrumOf(object, key)).filter(Boolean);
  const found = [];
  for (const name of RANKED) {
    const line = lines.find((one) => one.name === name);
    if (!line) continue;
    const spectrum = spectra.find((one) => covers(one, line.wave * (1 + z)));
    if (!spectrum) continue;
    const at = line.wave * (1 + z) * (1 + offsetOf(object, spectrum.key) / C_KMS);
    if (found.some((one) => one.spectrum === spectrum && Math.abs(one.at - at) < 0.4 * half(spectrum, at))) continue;
    found.push({ line, spectrum, at, snr: measured(spectrum, name, z), rank: found.length });
  }
  found.sort((a, b) => weight(b) - weight(a));
  return found.slice(0, COUNT).sort((a, b) => a.at - b.at);
}

/** A line that was measured well goes before one that is only expected. */
const weight = ({ snr, rank }) => (snr > 3 ? 100 + Math.log10(snr) * 10 : 0) - rank;

function covers(spectrum, at) {
  const [a, b] = [search(spectrum.wave, at * 0.995), search(spectrum.wave, at * 1.005)];
  if (at < spectrum.wave[2] || at > spectrum.wave[spectrum.n - 3]) return false;
  const flux = spectrum.get("flux");
  for (let i = Math.max(0, a - 1); i <= Math.min(b, spectrum.n - 1); i++) if (Number.isFinite(flux[i])) return true;
  return false;
}

/** Signal to noise of the fitted line, where the fit is of this redshift. */
function measured({ meta }, name, z) {
  if (!Number.isFinite(meta.z) || Math.abs(meta.z - z) > 0.003 * (1 + z)) return null;
  return meta.lines?.find((one) => one.name.split("+").includes(name))?.snr ?? null;
}

function half(spectrum, at) {
  const i = Math.min(spectrum.n - 2, Math.max(1, search(spectrum.wave, at)));
  return Math.max((HALF_KMS / C_KMS) * at, HALF_PIXELS * (spectrum.wave[i + 1] - spectrum.wave[i]));
}

/**
 * @param {object} app
 * @param {(key: string, range: [number, number]) => void} onLook  a click looks at the line in the large plot
 * @returns {{root: HTMLElement, draw: () => void}}
 */
export function createZooms(app, onLook) {
  const canvas = element("canvas", { "aria-label": "close looks at the strongest expected lines" });
  const root = element("section", { class: "zooms", data: { testid: "zooms" } }, [canvas]);
  const strip = document.createElement("canvas");
  const size = sized(canvas, () => draw());
  let shown = [];
  canvas.addEventListener("click", (event) => {
    const one = shown[Math.floor(event.offsetX / (size.width / Math.max(4, shown.length)))];
    if (one)
      onLook(one.spectrum.key, [one.at - 4 * half(one.spectrum, one.at), one.at + 4 * half(one.spectrum, one.at)]);
  });

  function draw() {
    const state = app.state.get();
    const { width, height } = size;
    if (width < 100 || height < 60) return;
    const context = sharp(canvas, width, height);
    shown =
      state.object && Number.isFinite(state.z) ? chosen(state.object, state.active, app.session.lines, state.z) : [];
    context.font = FONT;
    if (shown.length === 0) return empty(context, width, height, Number.isFinite(state.z));
    const each = width / Math.max(4, shown.length);
    for (const [k, one] of shown.entries()) {
      drawOne(context, strip, state, one, { left: k * each + 4, top: 0, width: each - 8, height });
    }
  }
  return { root, draw, destroy: () => size.stop() };
}

function empty(context, width, height, placed) {
  context.fillStyle = palette().soft;
  context.textAlign = "center";
  if (placed) context.fillText("no line of note within the spectrum at this redshift", width / 2, height / 2);
}

function drawOne(context, strip, state, { line, spectrum, at, snr }, { left, top, width, height }) {
  const colours = palette();
  const { view, theme } = state;
  const wide = half(spectrum, at);
  const range = [at - wide, at + wide];
  const image = spectrum.image ? Math.min(52, Math.round(height * 0.27)) : 0;
  const plot = { left, top: top + 17 + image, width, height: height - 17 - image - 17 };
  context.textBaseline = "alphabetic";
  context.textAlign = "left";
  context.fillStyle = colours.ink;
  const [label, said] = headOf(context, line.label, snr, width);
  context.fillText(label, left, top + 12);
  context.textAlign = "right";
  context.fillStyle = snr >= 3 ? colours.ink : colours.soft;
  context.fillText(said, left + width, top + 12);
  if (image) {
    drawImage(strip, spectrum, { width, height: image, range, kind: view.image, stretch: view.stretch, theme });
    context.drawImage(strip, left, top + 17, width, image);
  }
  curves(context, state, spectrum, range, plot, colours);
  context.strokeStyle = colours.line;
  context.globalAlpha = 0.8;
  context.beginPath();
  const x = Math.round(left + width / 2) + 0.5;
  context.moveTo(x, plot.top);
  context.lineTo(x, plot.top + plot.height);
  context.stroke();
  context.globalAlpha = 1;
  context.strokeStyle = colours.rule;
  context.strokeRect(left + 0.5, top + 17.5, width - 1, plot.height + image - 1);
  context.fillStyle = colours.soft;
  context.textAlign = "left";
  context.fillText(`${fixed(at, 3)} µm`, left, top + height - 4);
  context.textAlign = "right";
  const other = spectrum.key === state.active ? "" : spectrum.meta.grating;
  const kms = width > 150 ? `± ${Math.round((wide / at) * (C_KMS / 100)) / 10}k km/s` : "";
  context.fillText(other || kms, left + width, top + height - 4);
}

/** Name and S/N of a line: without its wavelength, then without the letters S/N, where there is no room. */
function headOf(context, label, snr, width) {
  const short = label.replace(/ \d+$/, "");
  const [number, said] = Number.isFinite(snr) ? [fixed(snr, 1), `S/N ${fixed(snr, 1)}`] : ["", ""];
  const fits = ([a, b]) => context.measureText(a).width + context.measureText(b).width + 6 <= width;
  return [[label, said], [short, said], [short, number]].find(fits) ?? [short, ""];
}

function curves(context, state, spectrum, [low, high], { left, top, width, height }, colours) {
  const { view } = state;
  const drawn = curve(spectrum, view);
  const model = view.model ? modelOf(state, spectrum) : null;
  const fit = model ? modelCurve(spectrum, model, view) : null;
  const [bottom, highest] = fluxRange(
    spectrum,
    drawn,
    fit,
    [0.75 * low + 0.25 * high, 0.25 * low + 0.75 * high],
    false,
  );
  const [i, j] = indices(spectrum, low, high);
  const toX = (wave) => left + ((wave - low) / (high - low)) * width;
  const toY = (flux) => top + height - ((flux - bottom) / (highest - bottom)) * height;
  const [a, b] = [Math.max(0, i - 1), Math.min(spectrum.n, j + 1)];
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.clip();
  if (view.band) {
    context.fillStyle = colours.band;
    for (let k = a; k < b; k++) {
      const [x, y] = [toX(spectrum.edges[k]), toY(drawn.flux[k] + drawn.err[k])];
      if (y === y) context.fillRect(x, y, toX(spectrum.edges[k + 1]) - x, toY(drawn.flux[k] - drawn.err[k]) - y);
    }
  }
  context.strokeStyle = colours.rule;
  context.beginPath();
  context.moveTo(left, toY(0));
  context.lineTo(left + width, toY(0));
  context.stroke();
  steps(context, spectrum, drawn.flux, [a, b], toX, toY, colours.data, 1.2);
  if (fit) steps(context, spectrum, fit, [a, b], toX, toY, state.late ? colours.weak : colours.model, 1.6);
  context.restore();
}

function steps(context, spectrum, values, [a, b], toX, toY, colour, width) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.beginPath();
  let pen = false;
  for (let k = a; k < b; k++) {
    const y = toY(values[k]);
    if (y !== y) {
      pen = false;
      continue;
    }
    if (pen) context.lineTo(toX(spectrum.edges[k]), y);
    else context.moveTo(toX(spectrum.edges[k]), y);
    context.lineTo(toX(spectrum.edges[k + 1]), y);
    pen = true;
  }
  context.stroke();
  context.lineWidth = 1;
}
