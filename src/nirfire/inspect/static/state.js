/**
 * One store of all that the page shows.  Views read it with `get`, change it with `set`, and say with `on` which
 * keys they draw.  Nothing is deep: a changed object or array is a new one.
 */

/**
 * @typedef {object} State
 * @property {object|null} list      decoded answer of /api/objects
 * @property {number[]|Int32Array|null} order  sources in the order and filter of the list; n and p go through it
 * @property {number|null} source    the object that is shown
 * @property {object|null} object    its decoded payload
 * @property {string|null} active    key of the spectrum that z, refit, flags and zooms are about
 * @property {number|null} z         the redshift that lines and models are drawn at
 * @property {string} zFrom          where z comes from: auto, saved, solution, typed, step, click, refit
 * @property {object} view           what is drawn, see VIEW
 * @property {number} pending        votes that are not saved yet
 * @property {object[]} rejected     votes that the server refused: [{vote, error}]
 * @property {Map<number, object>} own  own latest vote by source, as far as this page knows
 * @property {string} user           who votes
 * @property {object|null} stale     answer of /api/stale
 * @property {string} theme          light or dark
 * @property {Map<string, {z: number, model: Float32Array}>} models  by spectrum, where z is not the fitted one
 * @property {object|null} refit     the last refit of the object: {key, full, meta, z, dchi2, p}
 * @property {boolean} fitting       a refit is running
 * @property {string} route          list, conflicts, object or rate
 * @property {boolean} late          the models of this redshift are long in coming
 * @property {boolean} flagging      the next key sets a flag
 * @property {string} waiting        why votes are not saved yet
 */

/** What is drawn, as it is before anybody presses a key. */
export const VIEW = Object.freeze({
  lines: true,
  model: true,
  band: true,
  smooth: 0,
  units: "fnu",
  extraction: "opt",
  image: "snr",
  stretch: 0,
  chi2: "log",
  together: false,
  cutouts: false,
});

const REMEMBERED = "nirfire.view";

/**
 * @template {object} T
 * @param {T} first
 * @returns {{get: () => T, set: (patch: Partial<T>) => void, on: (keys: string[], run: (state: T, changed: Set<string>)
 *   => void) => () => void}}
 */
export function createStore(first) {
  let state = { ...first };
  const listeners = new Set();
  return {
    get: () => state,
    set(patch) {
      const changed = new Set(Object.keys(patch).filter((key) => patch[key] !== state[key]));
      if (changed.size === 0) return;
      state = { ...state, ...patch };
      for (const listener of [...listeners]) {
        if (listener.keys.some((key) => changed.has(key))) listener.run(state, changed);
      }
    },
    on(keys, run) {
      const listener = { keys, run };
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** @returns {State} the state before anything is loaded, with the view as it was left last time */
export function firstState() {
  return {
    list: null,
    order: null,
    source: null,
    object: null,
    active: null,
    z: null,
    zFrom: "auto",
    view: recalled("localStorage", REMEMBERED, VIEW),
    pending: 0,
    rejected: [],
    own: new Map(),
    user: "",
    stale: null,
    theme: "light",
    models: new Map(),
    refit: null,
    fitting: false,
    waiting: "",
    route: "",
    flagging: false,
    late: false,
  };
}

/**
 * Change what is drawn, and remember it for the next visit.
 * @param {{get: Function, set: Function}} state
 * @param {object} patch
 */
export function setView(state, patch) {
  const view = { ...state.get().view, ...patch };
  state.set({ view });
  const { stretch, cutouts, ...kept } = view;
  keep("localStorage", REMEMBERED, kept);
}

/**
 * Keep a choice for the next visit.
 * @param {"localStorage"|"sessionStorage"} where
 * @param {string} name
 * @param {object} value
 */
export function keep(where, name, value) {
  try {
    globalThis[where].setItem(name, JSON.stringify(value));
  } catch {
    // a browser without storage forgets; nothing else is lost
  }
}

/**
 * What was kept, as far as it is of the kinds of the first values.
 * @param {"localStorage"|"sessionStorage"} where
 * @param {string} name
 * @param {object} first
 * @returns {object}
 */
export function recalled(where, name, first) {
  try {
    const kept = JSON.parse(globalThis[where].getItem(name) || "{}");
    const known = Object.entries(kept).filter(([key, one]) => typeof one === typeof first[key]);
    return { ...first, ...Object.fromEntries(known) };
  } catch {
    return { ...first };
  }
}
