/**
 * What a person says of the object: a grade saves the redshift that is shown and goes on; flags, comment and tags are
 * saved as they are set, with the redshift and grade saved before.  Nothing waits for the server.  Each vote names
 * those that the page showed, so that one made in another window or on another machine meanwhile is not undone.
 */

import { uuid } from "./queue.js";

/**
 * @param {object} app
 * @param {number} [source]
 * @returns {object|null} what this person says of the object shown, also when it is not saved yet
 */
export function ownVote(app, source = app.state.get().source) {
  const { own, object } = app.state.get();
  const mine = own.get(source);
  const told = object?.meta.source === source ? object.meta.votes?.own : null;
  if (!mine || !told) return mine ?? told ?? null;
  return mine.unsaved || mine.n_votes > told.n_votes ? mine : told; // votes are only ever added
}

/** The object that is shown and asked for; null while another one is on its way: nobody judges what he cannot see. */
function inView(app) {
  const { object, source } = app.state.get();
  return object?.meta.source === source ? object : null;
}

/**
 * Save a grade with the redshift that is shown.
 * @param {object} app
 * @param {number} quality  1 to 4
 * @returns {boolean} false: not saved, and why has been said
 */
export function grade(app, quality) {
  const { z } = app.state.get();
  const object = inView(app);
  if (!object) return false;
  if (quality > 1 && !Number.isFinite(z)) {
    app.say("no redshift yet: type one with z, or grade it 1", "bad");
    return false;
  }
  put(app, ownVote(app), { z: quality === 1 ? null : z, quality, seen: fingerprints(object), regrades: true });
  return true;
}

/** Take the grade back; flags, comment and tags stay. */
export function clearGrade(app) {
  const vote = inView(app) && ownVote(app);
  if (!(vote?.quality > 0 || vote?.rivals?.length)) return;
  put(app, vote, { z: null, quality: 0, seen: fingerprints(app.state.get().object), regrades: true });
}

/**
 * Save flags, a comment or tags.
 * @param {object} app
 * @param {{flags?: object, comment?: string, tags?: string[]}} patch
 * @param {object|null} [vote]  what this person said of the object when the writing began
 */
export function note(app, patch, vote = ownVote(app)) {
  if (!inView(app)) return;
  const graded = vote?.quality > 0; // a grade of an earlier product stays one of that product
  const seen = graded ? vote.seen : fingerprints(app.state.get().object);
  put(app, vote, { z: graded ? vote.z : null, quality: vote?.quality ?? 0, seen, regrades: false, ...patch });
}

/**
 * Turn one flag of a spectrum on or off.
 * @param {object} app
 * @param {string} key  of the spectrum
 * @param {number} bit
 */
export function toggleFlag(app, key, bit) {
  const flags = { ...(ownVote(app)?.flags ?? {}) };
  flags[key] = (flags[key] ?? 0) ^ bit;
  if (flags[key] === 0) delete flags[key];
  note(app, { flags });
}

/**
 * Flags that may be given to a spectrum.
 * @param {object} app
 * @param {string} key
 * @returns {{bit: number, said: string}[]}
 */
export function flagsFor(app, key) {
  const kind = key.startsWith("prism") ? "prism" : "grating";
  return app.session.flags.filter((flag) => flag.for === "all" || flag.for === kind);
}

function fingerprints(object) {
  return Object.fromEntries(object.meta.spectra.map(({ key, spec, fit }) => [key, { spec, fit: fit ?? null }]));
}

/** Send a vote that changes an earlier one, and builds on it and on all that it is made of. */
function put(app, vote, patch) {
  if (app.session.read_only) return app.say("votes cannot be saved: the workspace is read only", "bad");
  const { object, own } = app.state.get();
  const { source } = object.meta;
  const { flags = {}, comment = "", tags = [] } = vote ?? {};
  const builds_on = vote?.heads ?? [];
  const body = { uuid: uuid(), source, flags, comment, tags, builds_on, ...patch };
  const who = app.session.user;
  app.state.set({ own: new Map(own).set(source, unsaved(who, body, Date.now())) });
  app.api.queue.put(who, body);
}

/**
 * A vote on its way, as the page takes it for one's own.
 * @param {string} user
 * @param {object} body
 * @param {number} at  ms since 1970
 * @returns {object}
 */
export function unsaved(user, body, at) {
  const time = new Date(at).toISOString();
  return { ...body, user, time, heads: [body.uuid], rivals: [], stale: false, unsaved: true };
}
