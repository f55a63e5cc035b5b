/** The redshift that is shown: how it is set, and the models that follow it. */

import { ownVote } from "./draft.js";
import { spectraOf, spectrumOf, stepOfZ } from "./spectra.js";

const DZ = 0.005; // redshifts agree within DZ (1 + z), as the server has it

/**
 * The redshift to start with: one's own, also that of several grades that agree in it, else the automatic one.
 * @param {object} app
 * @returns {{z: number|null, zFrom: string}}
 */
export function firstRedshift(app) {
  const vote = ownVote(app);
  const given = vote?.rivals?.length > 0 ? vote.rivals : [vote];
  const places = given.filter((one) => one?.quality > 1 && Number.isFinite(one.z)).map(({ z }) => z);
  const low = Math.min(...places);
  const agree = places.length > 0 && Math.max(...places) - low <= DZ * (1 + low);
  if (agree) return { z: places.at(-1), zFrom: "saved" };
  return { z: app.state.get().object.meta.z ?? null, zFrom: "auto" };
}

/**
 * Set the redshift; the models follow.
 * @param {object} app
 * @param {number} z
 * @param {string} zFrom
 */
export function setZ(app, z, zFrom) {
  if (!Number.isFinite(z)) return;
  app.state.set({ z: Math.min(Math.max(z, 0), app.session.z_max), zFrom });
  followModels(app);
}

/** Back to the automatic redshift. */
export function automatic(app) {
  const { object } = app.state.get();
  if (Number.isFinite(object?.meta.z)) setZ(app, object.meta.z, "auto");
  else app.say("there is no automatic redshift");
}

/**
 * The solutions to choose from: the one of all gratings where there is one, and those of the spectrum that is active
 * (of its last refit over the whole range, if there was one).
 * @param {import("./state.js").State} state
 * @returns {{name: string, z: number, z_err: number, dchi2?: number, probability?: number}[]}
 */
export function solutions(state) {
  const { object, active, refit } = state;
  if (!object) return [];
  const anew = refit?.full && refit.key === active;
  const own = (anew ? refit.meta.peaks : object.meta.spectra.find((one) => one.key === active)?.peaks) ?? [];
  const named = own.map((one, k) => ({ ...one, z: sharedZ(object, active, one.z), name: String(k + 1) }));
  const { joint } = object.meta;
  const all = joint && !joint.error && Number.isFinite(joint.z);
  return all ? [{ name: "all", z: joint.z, z_err: joint.z_err, probability: joint.zprob }, ...named] : named;
}

/**
 * Go to the next or previous solution, round and round.
 * @param {object} app
 * @param {number} by  1 or -1
 */
export function stepSolution(app, by) {
  const state = app.state.get();
  const all = solutions(state);
  if (all.length === 0) return app.say("this spectrum has no solutions: fit it with U");
  const here = nearest(all, state.z);
  const next = here < 0 ? (by > 0 ? 0 : all.length - 1) : (here + by + all.length) % all.length;
  setZ(app, all[next].z, `solution ${all[next].name}`);
}

/**
 * Which solution a redshift is: the nearest one that is near enough.
 * @param {{z: number}[]} all
 * @param {number} z
 * @returns {number} -1: none
 */
export function nearest(all, z) {
  let [best, distance] = [-1, 1e-4 * (1 + z)];
  for (const [k, one] of all.entries()) {
    if (Math.abs(one.z - z) < distance) [best, distance] = [k, Math.abs(one.z - z)];
  }
  return best;
}

/**
 * A small step of z.
 * @param {object} app
 * @param {number} count  steps, negative ones go down
 */
export function nudge(app, count) {
  const { object, active, z } = app.state.get();
  if (!object || !Number.isFinite(z)) return;
  const strong = app.session.lines.find((line) => line.strong && within(object, active, line.wave * (1 + z)));
  const step = stepOfZ(spectrumOf(object, active), z, strong ? strong.wave * (1 + z) : NaN);
  setZ(app, z + count * step, "stepped");
}

function within(object, key, wave) {
  const spectrum = spectrumOf(object, key);
  return spectrum && wave > spectrum.wave[0] && wave < spectrum.wave[spectrum.n - 1];
}

const C_KMS = 299792.458;
const AGREES = 1; // support from which on a grating counts for the joint redshift

/**
 * How far the wavelengths of a spectrum are off those of all gratings together, as the joint fit found it.  It belongs
 * to the wavelengths, so it holds at every redshift: what is seen at one place is seen there whatever line it is.
 * @param {object} object  decoded payload
 * @param {string} key
 * @returns {number} km/s; 0 where there is no joint fit, or this spectrum does not agree with it
 */
export function offsetOf(object, key) {
  const { joint } = object.meta;
  if (!joint || joint.error) return 0;
  const row = joint.gratings?.find((one) => `${one.grating}_${one.filter}`.toLowerCase() === key);
  return row?.support > AGREES && Number.isFinite(row.offset) ? row.offset : 0;
}

/**
 * The redshift at which lines and model of one spectrum are drawn: the one shown, on the wavelengths of this spectrum.
 * @param {import("./state.js").State} state
 * @param {string} key
 * @returns {number|null}
 */
export function zOf({ object, z }, key) {
  if (!object || !Number.isFinite(z)) return null;
  return (1 + z) * (1 + offsetOf(object, key) / C_KMS) - 1;
}

/**
 * A redshift that one spectrum gives, on the wavelengths of all gratings together: what `zOf` turns round.
 * @param {object} object  decoded payload
 * @param {string} key
 * @param {number} z
 * @returns {number}
 */
export function sharedZ(object, key, z) {
  return (1 + z) / (1 + offsetOf(object, key) / C_KMS) - 1;
}

/** The redshift of one spectrum that is asked of the server, which knows none below 0 or beyond the last. */
function askedZ(app, key) {
  return Math.min(Math.max(0, zOf(app.state.get(), key) ?? 0), app.session.z_max);
}

const LATE = 250; // ms after which a model of another redshift is drawn as such
const PREPARED = 3000; // ms until a fit is asked for again that could not be done yet
const asked = new Map(); // source and key of a spectrum -> a request is under way

/**
 * The model of a spectrum at the redshift that is shown, as far as it is here.
 * @param {import("./state.js").State} state
 * @param {import("./spectra.js").Spectrum} spectrum
 * @returns {Float32Array|null} null: there is none
 */
export function modelOf(state, spectrum) {
  const z = zOf(state, spectrum.key);
  const own = state.models.get(spectrum.key);
  if (own && (same(own.z, z) || !same(spectrum.meta.z, z))) return own.model;
  return spectrum.get("model");
}

const same = (a, b) => Math.abs(a - b) < 1e-6 * (1 + b);

/** Ask for the models at this redshift, one request at a time for each spectrum; the last wish counts. */
export function followModels(app) {
  const { object, z, active, view } = app.state.get();
  if (!object || !Number.isFinite(z)) return;
  for (const one of spectraOf(object)) {
    if (one.key !== active && !view.together) continue;
    const wanted = askedZ(app, one.key);
    const have = app.state.get().models.get(one.key);
    if ((have && same(have.z, wanted)) || (one.fit && same(one.z, wanted) && !have)) continue;
    void follow(app, object, one.key);
  }
}

async function follow(app, object, key) {
  const place = `${object.meta.source} ${key}`;
  if (asked.get(place)) return;
  asked.set(place, true);
  const late = setTimeout(() => app.state.get().object === object && app.state.set({ late: true }), LATE);
  const wanted = () => askedZ(app, key);
  let z;
  try {
    do {
      z = wanted();
      const found = await modelAt(app, object, key, z);
      const { object: shown, models } = app.state.get();
      if (shown.meta.source !== object.meta.source) return;
      app.state.set({ models: new Map(models).set(key, { z, ...found }) });
    } while (wanted() !== z);
  } catch (problem) {
    if (problem.status === 409) askLater(app, object);
    else if (problem.status !== 404) app.report(problem);
  } finally {
    asked.delete(place);
    clearTimeout(late);
    if (asked.size === 0 && !later) app.state.set({ late: false });
  }
}

/** None for a spectrum without valid pixels, or a redshift beyond the range of its grating; why is said, once. */
async function modelAt(app, object, key, z) {
  try {
    const { arrays, meta } = await app.api.model(object.meta.source, key, z);
    return { model: arrays.model.data, meta };
  } catch (problem) {
    if (problem.status !== 400) throw problem;
    const { object: shown, models } = app.state.get();
    if (shown === object && !models.get(key)?.meta.error) app.report(problem);
    return { model: null, meta: { error: problem.message } };
  }
}

let later = 0; // timer

/** The fits are being prepared: until then what is drawn is a model of another redshift. */
function askLater(app, object) {
  if (app.state.get().object !== object) return;
  clearTimeout(later);
  app.state.set({ late: true });
  later = setTimeout(() => {
    later = 0;
    if (app.state.get().object === object) followModels(app);
    else if (asked.size === 0) app.state.set({ late: false });
  }, PREPARED);
}

/**
 * Fit the active spectrum again.
 * @param {object} app
 * @param {boolean} full  over the whole range, or near the redshift shown
 */
export async function refit(app, full) {
  const { object, active, z, fitting } = app.state.get();
  if (!object || fitting) return; // a key that is held asks once
  if (!full && !Number.isFinite(z)) return app.say("no redshift to fit near: type one with z, or fit all with U");
  app.state.set({ fitting: true });
  const started = performance.now();
  try {
    const body = { source: object.meta.source, key: active, z: askedZ(app, active) };
    const answer = await app.api.refit(full ? { ...body, full: true } : body);
    const { object: shown, models, z: now } = app.state.get();
    if (shown.meta.source !== object.meta.source) return;
    const get = (name) => answer.arrays[name]?.data ?? answer.arrays[`${active}/${name}`]?.data;
    const { meta } = answer;
    const fitted = sharedZ(object, active, meta.z);
    const scan = get("z").map((one) => sharedZ(object, active, one));
    const found = { key: active, full, meta: { ...meta, z: fitted }, z: scan, dchi2: get("dchi2"), p: get("p"), at: z };
    if (now !== z) {
      app.state.set({ refit: found });
      return app.say(`the fit found z = ${fitted.toFixed(4)}; you have chosen another since, which stays`);
    }
    app.state.set({ refit: found, models: new Map(models).set(active, { z: meta.z, model: get("model"), meta }) });
    setZ(app, fitted, full ? "fitted anew" : "refitted");
    app.say(`z = ${fitted.toFixed(4)} (${Math.round(performance.now() - started)} ms)`, "good");
  } catch (problem) {
    app.report(problem);
  } finally {
    app.state.set({ fitting: false });
  }
}
