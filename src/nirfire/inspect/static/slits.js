/** What people say of shutters and nods: what a key or click changes, and what is sent.  Nothing here draws. */

/**
 * State of a shutter, as the server would tell it.
 * @param {{ordinal: number, found: object|null}} shutter
 * @param {{by_hand: boolean, closed: number[]}} slit
 * @returns {"open"|"closed"|"stuck"|"unknown"}
 */
export function stateOf(shutter, slit) {
  if (!shutter.ordinal) return "closed";
  if (slit.by_hand) return slit.closed.includes(shutter.ordinal) ? "stuck" : "open";
  if (!shutter.found) return "open";
  return shutter.found.closed ? "stuck" : shutter.found.state === "unknown" ? "unknown" : "open";
}

/**
 * A slit after one of its shutters was marked, or its mark taken back.  What was found is not said again by hand.
 * @param {{by_hand: boolean, closed: number[], found: number[]}} slit
 * @param {number} ordinal
 * @returns {object}
 */
export function toggled(slit, ordinal) {
  const had = slit.closed.includes(ordinal);
  const closed = had ? slit.closed.filter((k) => k !== ordinal) : [...slit.closed, ordinal].sort((a, b) => a - b);
  return { ...slit, closed, by_hand: String(closed) !== String(slit.found) };
}

/**
 * A slit of which people say nothing.
 * @param {{found: number[]}} slit
 * @returns {object}
 */
export const asFound = (slit) => ({ ...slit, closed: [...slit.found], by_hand: false });

/**
 * What is sent of a slit.
 * @param {string} root
 * @param {number} source
 * @param {{by_hand: boolean, closed: number[]}} slit
 * @returns {object}
 */
export const shutterBody = (root, source, slit) => ({ root, source, closed: slit.by_hand ? slit.closed : null });

/**
 * The exposures of a visit and activity, one for each nod: what is said of nods holds for both detectors.
 * @param {object[]} exposures
 * @returns {object[]}
 */
export function nodsOf(exposures) {
  const seen = new Map();
  for (const one of exposures) if (one.together && !seen.has(one.nod)) seen.set(one.nod, one);
  return [...seen.values()].sort((a, b) => a.nod - b.nod);
}

/**
 * Let a nod be background of another, or not.
 * @param {object} nod
 * @param {number|string} other
 * @returns {object} the nod as it is then
 */
export function withBackground(nod, other) {
  const has = nod.backgrounds.includes(other);
  const wanted = has ? nod.backgrounds.filter((k) => k !== other) : [...nod.backgrounds, other];
  const backgrounds = nod.together.filter((k) => wanted.includes(k));
  return { ...nod, backgrounds, background_only: backgrounds.length === 0 };
}

/**
 * What is sent of the nods of an activity: of each that may not have all usual backgrounds, those that it may.  A nod
 * that is left out for a while keeps its backgrounds, and stays one of others.
 * @param {string} root
 * @param {number} source
 * @param {object[]} nods
 * @returns {object}
 */
export function nodBody(root, source, nods) {
  const out = nods.filter((one) => one.left_out && !one.left_out_for_all).map((one) => one.nod);
  const said = {};
  for (const one of nods) {
    if (one.left_out_for_all) continue;
    if (one.background_only) said[one.nod] = [];
    else if (String(one.backgrounds) !== String(one.usual)) said[one.nod] = one.backgrounds;
  }
  return { root, source, nods: Object.keys(said).length > 0 ? said : null, left_out: out };
}

/**
 * In words, for a tooltip.
 * @param {object} shutter
 * @returns {string}
 */
export function evidence({ ordinal, state, found, by_hand: byHand }) {
  if (!ordinal) return "commanded closed";
  const said = byHand ? `${state === "stuck" ? "stuck" : "open"}, said by hand` : state;
  if (!found) return `shutter ${ordinal}: ${said}; nothing was measured`;
  if (!Number.isFinite(found.level)) return `shutter ${ordinal}: ${said}; found ${found.state}`;
  const level = `${found.level.toFixed(2)} ± ${(found.error ?? NaN).toFixed(2)}`;
  return `shutter ${ordinal}: ${said}; found ${found.state}, sky ${level} of that through an open one`;
}
