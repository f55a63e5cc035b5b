/** Spectra as the page draws them: bin edges, units, smoothing, signal to noise; each computed once and kept. */

const OBJECTS = new WeakMap();
const UJY_TO_FLAM20 = 29.979246; // 1 uJy at 1 um in 1e-20 erg/s/cm2/A: divide by wave^2

/**
 * @typedef {object} Spectrum
 * @property {string} key
 * @property {object} meta      of the payload: z, z_err, peaks, lines, facts, ...
 * @property {number} n         pixels
 * @property {Float32Array} wave    um
 * @property {Float64Array} edges   um, n + 1
 * @property {(name: string) => Float32Array|null} get  an array of the payload
 * @property {{rows: number, n: number, sci: Float32Array, err: Float32Array}|null} image
 */

/**
 * @param {object} object  decoded payload of an object
 * @param {string} key
 * @returns {Spectrum|null} null where the product could not be read
 */
export function spectrumOf(object, key) {
  let known = OBJECTS.get(object);
  if (!known) OBJECTS.set(object, (known = new Map()));
  if (!known.has(key)) known.set(key, build(object, key));
  return known.get(key);
}

/**
 * What is told of the spectra that could be read; their fits may be damaged all the same.
 * @param {object} object  decoded payload
 * @returns {object[]}
 */
export const spectraOf = (object) => object.meta.spectra.filter(({ key }) => spectrumOf(object, key));

/**
 * Keep the spectra of an object, with all that was computed of them, for a newer answer of the same products: when only
 * votes have changed, the reader's zoom stays where it is.
 * @param {object} before
 * @param {object} now
 * @returns {boolean} they are of the same products
 */
export function adopt(before, now) {
  const prints = ({ meta }) => JSON.stringify(meta.spectra.map(({ key, spec, fit }) => [key, spec, fit]));
  const known = OBJECTS.get(before);
  const same = prints(before) === prints(now);
  if (known && same) OBJECTS.set(now, known);
  return same;
}

function build(object, key) {
  const meta = object.meta.spectra.find((one) => one.key === key);
  const get = (name) => object.arrays[`${key}/${name}`]?.data ?? null;
  const wave = get("wave");
  if (!meta || !wave || wave.length < 2) return null;
  const sci = object.arrays[`${key}/sci`];
  const image = sci ? { rows: sci.shape[0], n: sci.shape[1], sci: sci.data, err: get("err2d") } : null;
  return { key, meta, n: wave.length, wave, edges: edgesOf(wave), get, image, kept: new Map() };
}

function edgesOf(wave) {
  const n = wave.length;
  const edges = new Float64Array(n + 1);
  for (let i = 1; i < n; i++) edges[i] = 0.5 * (wave[i - 1] + wave[i]);
  edges[0] = 1.5 * wave[0] - 0.5 * wave[1];
  edges[n] = 1.5 * wave[n - 1] - 0.5 * wave[n - 2];
  return edges;
}

/**
 * What belongs to a spectrum, made once.
 * @template T
 * @param {Spectrum} spectrum
 * @param {string} name
 * @param {() => T} make
 * @returns {T}
 */
export function keep(spectrum, name, make) {
  if (!spectrum.kept.has(name)) spectrum.kept.set(name, make());
  return spectrum.kept.get(name);
}

/**
 * Extractions that there are: "opt", then the widths of the boxes.
 * @param {Spectrum|null} spectrum
 * @returns {string[]}
 */
export function extractions(spectrum) {
  return ["opt", ...["box3", "box4", "box5"].filter((name) => spectrum?.get(name))];
}

/**
 * Flux and error as the view wants them.
 * @param {Spectrum} spectrum
 * @param {{extraction: string, smooth: number, units: string}} view
 * @returns {{flux: Float32Array, err: Float32Array}} uJy or 1e-20 erg/s/cm2/A; NaN where there is none
 */
export function curve(spectrum, view) {
  const extraction = spectrum.get(view.extraction) ? view.extraction : "opt";
  return keep(spectrum, `curve ${extraction} ${view.smooth} ${view.units}`, () => {
    let flux = spectrum.get(extraction === "opt" ? "flux" : extraction);
    let err = spectrum.get(extraction === "opt" ? "err" : `${extraction}_err`);
    if (view.smooth > 1) ({ flux, err } = smoothed(flux, err, view.smooth, spectrum.get("shared")));
    return { flux: inUnits(spectrum, flux, view.units), err: inUnits(spectrum, err, view.units) };
  });
}

/**
 * A flux in uJy on the spectrum's grid, in the units of the view.
 * @param {Spectrum} spectrum
 * @param {Float32Array} values
 * @param {string} units  "fnu" or "flam"
 * @returns {Float32Array}
 */
function inUnits(spectrum, values, units) {
  if (units === "fnu") return values;
  return values.map((value, i) => (value * UJY_TO_FLAM20) / spectrum.wave[i] ** 2);
}

/**
 * A model on the spectrum's grid as the view wants it: smoothed with the weights that the flux is smoothed with.
 * @param {Spectrum} spectrum
 * @param {Float32Array} model  uJy
 * @param {{extraction: string, smooth: number, units: string}} view
 * @returns {Float32Array}
 */
export function modelCurve(spectrum, model, view) {
  if (view.smooth <= 1) return inUnits(spectrum, model, view.units);
  const { err } = curve(spectrum, { ...view, smooth: 0, units: "fnu" });
  return inUnits(spectrum, smoothed(model, err, view.smooth).flux, view.units);
}

/**
 * Mean of the neighbours, each by its inverse variance; its error counts what they share.
 * @param {Float32Array} flux
 * @param {Float32Array} err
 * @param {number} width  bins
 * @param {Float32Array|null} [shared]  correlation of each bin with the next, then with the next but one, ...; null:
 *   none is known
 */
function smoothed(flux, err, width, shared = null) {
  const half = (width - 1) / 2;
  const reach = Math.floor((shared?.length ?? 0) / flux.length);
  const weights = err.map((one, i) => (one > 0 && Number.isFinite(flux[i]) ? 1 / one ** 2 : 0));
  const made = { flux: new Float32Array(flux.length).fill(NaN), err: new Float32Array(flux.length).fill(NaN) };
  for (let i = 0; i < flux.length; i++) {
    let [sum, weight, common] = [0, 0, 0];
    const last = Math.min(flux.length - 1, i + half);
    for (let k = Math.max(0, i - half); k <= last; k++) {
      if (!(weights[k] > 0)) continue;
      sum += weights[k] * flux[k];
      weight += weights[k];
      for (let lag = 1; lag <= Math.min(reach, last - k); lag++)
        common += 2 * (shared[(lag - 1) * flux.length + k] || 0) * Math.sqrt(weights[k] * weights[k + lag]);
    }
    if (weight > 0 && Number.isFinite(flux[i]))
      [made.flux[i], made.err[i]] = [sum / weight, Math.sqrt(weight + common) / weight];
  }
  return made;
}

/**
 * The 2D spectrum to look at: signal to noise, or flux over its typical error.
 * @param {Spectrum} spectrum
 * @param {string} kind  "snr" or "flux"
 * @returns {{values: Float32Array, high: number}} and the value that is drawn brightest
 */
export function picture(spectrum, kind) {
  return keep(spectrum, `picture ${kind}`, () => {
    const { sci, err } = spectrum.image;
    const values = new Float32Array(sci.length);
    const typical = kind === "flux" ? percentile(err, 0.5) || 1 : 0;
    for (let i = 0; i < sci.length; i++) values[i] = err[i] > 0 ? sci[i] / (typical || err[i]) : NaN;
    const some = Float32Array.from({ length: values.length >> 3 }, (_, i) => values[8 * i]); // enough to tell
    return { values, high: Math.min(80, Math.max(4, percentile(some, 0.992))) };
  });
}

/**
 * @param {ArrayLike<number>} values
 * @param {number} share
 * @returns {number} of the finite ones; NaN where there is none
 */
export function percentile(values, share) {
  const good = new Float32Array(values.length);
  let count = 0;
  for (let i = 0; i < values.length; i++) if (values[i] - values[i] === 0) good[count++] = values[i];
  return count ? good.subarray(0, count).sort()[Math.min(count - 1, Math.floor(share * count))] : NaN;
}

/**
 * The range of an axis that shows flux and model.  Neither pixels of large error nor single ones that stick out stretch
 * it; what is significant over neighbours is inside.
 * @param {Spectrum} spectrum
 * @param {{flux: Float32Array, err: Float32Array}} drawn
 * @param {Float32Array|null} model
 * @param {[number, number]} range  um
 * @param {boolean} [fromZero]  the axis reaches down to zero
 * @returns {[number, number]}
 */
export function fluxRange(spectrum, drawn, model, [low, high], fromZero = true) {
  const [a, b] = indices(spectrum, low, high);
  const { flux, err } = drawn;
  const noise = percentile(err.subarray(a, b), 0.5) || 0;
  const usual = new Float32Array(b - a);
  let count = 0;
  let top = -Infinity;
  for (let i = a; i < b; i++) {
    const value = flux[i];
    if (value - value !== 0 || err[i] > 6 * noise) continue;
    usual[count++] = value;
    if (value > top) top = Math.max(top, significant(flux, err, i));
    if (model && model[i] > top && model[i] < value + 10 * err[i]) top = model[i];
  }
  if (count === 0) return [-1, 1];
  const sorted = usual.subarray(0, count).sort();
  top = Math.max(top, sorted[Math.round(0.99 * (count - 1))] + noise);
  const bottom = sorted[Math.round(0.01 * (count - 1))] - noise;
  if (!fromZero) return [bottom - 0.05 * (top - bottom), top + 0.1 * (top - bottom)];
  const least = Math.max(Math.min(bottom, 0), -0.6 * Math.abs(top));
  return [least - 0.04 * (top - least), top + 0.08 * (top - least)];
}

/** A flux as far as its neighbours bear it out; -Infinity where the three together are not significant. */
function significant(flux, err, i) {
  let sum = 0;
  let variance = 0;
  for (let k = Math.max(0, i - 1); k <= Math.min(flux.length - 1, i + 1); k++) {
    if (flux[k] !== flux[k]) continue;
    sum += flux[k];
    variance += err[k] * err[k];
  }
  if (sum <= 6 * Math.sqrt(variance)) return -Infinity;
  return Math.max(sum / 3, Math.min(flux[i], (1.6 * sum) / 3));
}

/**
 * Pixels within a range of wavelengths.
 * @param {Spectrum} spectrum
 * @param {number} low  um
 * @param {number} high
 * @returns {[number, number]} first, and one behind the last
 */
export function indices(spectrum, low, high) {
  const { wave, n } = spectrum;
  return [search(wave, low, n), search(wave, high, n)];
}

/**
 * @param {ArrayLike<number>} sorted
 * @param {number} value
 * @param {number} [n]
 * @returns {number} first index whose element is not below `value`
 */
export function search(sorted, value, n = sorted.length) {
  let [a, b] = [0, n];
  while (a < b) {
    const middle = (a + b) >> 1;
    if (sorted[middle] < value) a = middle + 1;
    else b = middle;
  }
  return a;
}

/**
 * The range that has data, with a little room.
 * @param {Spectrum} spectrum
 * @returns {[number, number]} um
 */
export function wholeRange(spectrum) {
  return keep(spectrum, "range", () => {
    const flux = spectrum.get("flux");
    let [a, b] = [0, spectrum.n - 1];
    while (a < b && !Number.isFinite(flux[a])) a++;
    while (b > a && !Number.isFinite(flux[b])) b--;
    const room = 0.006 * (spectrum.wave[b] - spectrum.wave[a]);
    return a < b ? [spectrum.wave[a] - room, spectrum.wave[b] + room] : [spectrum.edges[0], spectrum.edges[spectrum.n]];
  });
}

/**
 * Step of the redshift keys: half a pixel where the strongest line in view would be.
 * @param {Spectrum|null} spectrum
 * @param {number} z
 * @param {number} [wave]  um, where to look; else the middle
 * @returns {number}
 */
export function stepOfZ(spectrum, z, wave = NaN) {
  if (!spectrum) return 0.001 * (1 + z);
  const middle = Math.min(spectrum.n - 2, Math.max(1, search(spectrum.wave, wave) || Math.floor(spectrum.n / 2)));
  const pixel = (spectrum.wave[middle + 1] - spectrum.wave[middle - 1]) / 2 / spectrum.wave[middle];
  return 0.5 * pixel * (1 + z);
}
