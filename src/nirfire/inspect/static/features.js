/** Finding features of a spectrum, and the redshifts that each line would give it. */

import { curve, indices, keep, search } from "./spectra.js";
import { RANKED } from "./lines.js";

const LEAST = 4; // signal to noise of a feature
const APART = 5; // pixels between features
const HALF = 20; // pixels of the running median on either side
const OFFERED = 9; // lines that are offered: one digit each

/**
 * Emission features, the strongest first.
 * @param {import("./spectra.js").Spectrum} spectrum
 * @param {object} view
 * @returns {{wave: number, snr: number}[]}  um
 */
export function features(spectrum, view) {
  return keep(spectrum, `features ${view.extraction}`, () => {
    const { flux, err } = curve(spectrum, { ...view, smooth: 0, units: "fnu" });
    const worth = Array.from(flux, (_, i) => significance(flux, err, i));
    const found = [];
    const order = [...worth.keys()].filter((i) => worth[i] > LEAST).sort((a, b) => worth[b] - worth[a]);
    for (const i of order) {
      if (found.some((one) => Math.abs(one.pixel - i) < APART)) continue;
      found.push({ pixel: i, wave: centre(spectrum.wave, flux, i), snr: worth[i] });
    }
    return found;
  });
}

/** Of three pixels above the median of their surroundings. */
function significance(flux, err, i) {
  let [sum, variance] = [0, 0];
  const level = median(flux, i);
  for (let k = Math.max(0, i - 1); k <= Math.min(flux.length - 1, i + 1); k++) {
    if (flux[k] !== flux[k]) continue;
    [sum, variance] = [sum + flux[k] - level, variance + err[k] ** 2];
  }
  return variance > 0 && flux[i] === flux[i] ? sum / Math.sqrt(variance) : 0;
}

function median(flux, i) {
  const near = flux
    .slice(Math.max(0, i - HALF), i + HALF + 1)
    .filter((value) => value === value)
    .sort();
  return near[near.length >> 1] ?? 0;
}

/** Mean wavelength of the light above the surroundings, of five pixels. */
function centre(wave, flux, i) {
  const level = median(flux, i);
  let [sum, weight] = [0, 0];
  for (let k = Math.max(0, i - 2); k <= Math.min(wave.length - 1, i + 2); k++) {
    const light = Math.max(0, flux[k] - level) || 0;
    [sum, weight] = [sum + light * wave[k], weight + light];
  }
  return weight > 0 ? sum / weight : wave[i];
}

/**
 * The feature at a wavelength: the strongest one within two pixels, else the wavelength itself.
 * @param {import("./spectra.js").Spectrum} spectrum
 * @param {object} view
 * @param {number} wave  um
 * @returns {{wave: number, snr: number|null}}
 */
export function featureAt(spectrum, view, wave) {
  const pixel = Math.max(0, search(spectrum.edges, wave) - 1);
  const near = features(spectrum, view).find((one) => Math.abs(one.pixel - pixel) <= 2);
  return near ?? { pixel, wave, snr: null };
}

/**
 * What a feature may be: the usual strong lines with the redshift that each asks for, and chi-squared there.
 * @param {number} wave  um, observed
 * @param {{name: string, label: string, wave: number}[]} lines
 * @param {{z: Float64Array, dchi2: Float32Array}|null} scan
 * @param {number} zMax
 * @param {(z: number) => number} onAll  from this spectrum's wavelengths to those of all gratings together
 * @returns {{line: object, z: number, dchi2: number|null}[]} the usual ones first
 */
export function candidates(wave, lines, scan, zMax, onAll = (z) => z) {
  const found = [];
  for (const name of RANKED) {
    const line = lines.find((one) => one.name === name);
    const z = line ? onAll(wave / line.wave - 1) : -1;
    if (z >= 0 && z <= zMax) found.push({ line, z, dchi2: scan ? lowest(scan, z) : null });
    if (found.length === OFFERED) break;
  }
  return found;
}

/** Lowest chi-squared close to a redshift: the feature's wavelength is only known to a pixel or so. */
function lowest({ z, dchi2 }, at) {
  const reach = 0.004 * (1 + at);
  const [a, b] = [search(z, at - reach), search(z, at + reach)];
  let least = Infinity;
  for (let k = Math.max(0, a - 1); k <= Math.min(z.length - 1, b); k++) least = Math.min(least, dchi2[k]);
  return Number.isFinite(least) ? least : null;
}

/**
 * Features within a range, the strongest first.
 * @param {import("./spectra.js").Spectrum} spectrum
 * @param {object} view
 * @param {[number, number]} range  um
 * @returns {{wave: number, snr: number}[]}
 */
export function featuresWithin(spectrum, view, [low, high]) {
  const [a, b] = indices(spectrum, low, high);
  return features(spectrum, view).filter(({ pixel }) => pixel >= a && pixel < b);
}
