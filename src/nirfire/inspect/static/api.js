/**
 * Everything that goes to or comes from the server: requests, the binary payload, a cache of objects with prefetch.
 * Votes go through queue.js.
 */

import { headersOf, takeEarly } from "./early.js";
import { createQueue } from "./queue.js";

const MAGIC = "NFB1";
const KEPT = 48; // objects kept decoded
const ARRAYS = {
  f4: Float32Array,
  f8: Float64Array,
  i4: Int32Array,
  u4: Uint32Array,
  i2: Int16Array,
  u2: Uint16Array,
  i1: Int8Array,
  u1: Uint8Array,
};

/** A refusal of the server, or no answer (status 0). */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} message
   * @param {string} [remedy]
   */
  constructor(status, message, remedy = "") {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.remedy = remedy;
  }
}

/**
 * Read a binary payload; the arrays are views, nothing is copied, but for those that are all the same.
 * @param {ArrayBuffer} buffer
 * @returns {{meta: object, arrays: Object<string, {data: Float32Array, shape: number[]}>}}
 */
export function decode(buffer) {
  const view = new DataView(buffer);
  const magic = buffer.byteLength < 8 ? "" : String.fromCharCode(...new Uint8Array(buffer, 0, 4));
  if (magic !== MAGIC) throw new ApiError(0, "the answer of the server is no payload of this page", "reload the page");
  const length = view.getUint32(4, true);
  const header = JSON.parse(worded(new Uint8Array(buffer, 8, length)));
  const arrays = {};
  for (const [name, { dtype, shape, offset, same }] of Object.entries(header.arrays)) {
    const size = shape.reduce((a, b) => a * b, 1);
    const found = new ARRAYS[dtype](buffer, 8 + length + offset, same ? 1 : size);
    arrays[name] = { data: same ? new ARRAYS[dtype](size).fill(found[0]) : found, shape };
  }
  return { meta: header.meta, arrays };
}

/**
 * @param {() => string} user  who the requests are from; empty: who the server was started for
 * @returns {object} all requests of the page
 */
export function createApi(user) {
  const send = (path, options) => request(path, options, user());
  const get = (path, options = {}) => send(path, options);
  const post = (path, body, options = {}) => send(path, { ...options, method: "POST", body });
  const objects = objectCache(get);
  return {
    get,
    post,
    del: (path) => send(path, { method: "DELETE" }),
    session: () => get("/api/session"),
    objects: () => get("/api/objects"),
    ...objects,
    model: (source, key, z, options) => get(`/api/model/${source}/${key}?z=${z}`, options),
    refit: (body, options) => post("/api/refit", body, options),
    history: (source) => get(`/api/votes/${source}`),
    conflicts: () => get("/api/conflicts"),
    cutouts: (source) => get(`/api/cutouts/${source}`),
    stale: () => get("/api/stale"),
    queue: createQueue((vote) => send("/api/votes", { method: "POST", body: vote.body, as: vote.user })),
  };
}

async function request(path, { method = "GET", body, signal, priority, as, known } = {}, user = "") {
  const who = as ?? user;
  const headers = headersOf(who);
  if (method !== "GET") {
    headers["X-Nirfire"] = "1";
    headers["Content-Type"] = "application/json";
  }
  const options = { method, headers, signal, priority, body: body === undefined ? undefined : JSON.stringify(body) };
  let answer, whole;
  try {
    const early = method === "GET" && takeEarly(path, who);
    if (early) ({ answer, body: whole } = await early);
    else answer = await fetch(path, options);
  } catch (problem) {
    if (problem.name === "AbortError") throw problem;
    throw new ApiError(0, "the server does not answer", "is `nirfire inspect` still running?");
  }
  if (!answer.ok) throw await refusal(answer, whole);
  const etag = answer.headers.get("etag");
  if (known && etag === known) return null;
  whole ??= answer.arrayBuffer();
  const type = answer.headers.get("content-type") || "";
  if (!type.startsWith("application/octet-stream")) return JSON.parse(worded(await whole));
  return { ...decode(await whole), etag };
}

const worded = (buffer) => new TextDecoder().decode(buffer);

async function refusal(answer, whole = answer.arrayBuffer()) {
  const text = worded(await whole);
  try {
    const { error, remedy } = JSON.parse(text);
    return new ApiError(answer.status, error || `HTTP ${answer.status}`, remedy || "");
  } catch {
    return new ApiError(answer.status, `HTTP ${answer.status} ${answer.statusText}`.trim());
  }
}

/** Run when there is nothing else to do. */
export const whenIdle = (run) => (globalThis.requestIdleCallback ?? setTimeout)(run);

/** Decoded objects, newest last; each is asked for once, and what is asked for ahead waits behind what is needed. */
function objectCache(get) {
  const kept = new Map(); // source -> {promise, value, time}

  function load(source, priority) {
    const promise = get(`/api/object/${source}`, { priority });
    const entry = { promise, value: null, time: 0 };
    kept.delete(source);
    kept.set(source, entry);
    while (kept.size > KEPT) kept.delete(kept.keys().next().value);
    promise.then(
      (value) => Object.assign(entry, { value, time: performance.now() }),
      () => kept.get(source) === entry && kept.delete(source),
    );
    return promise;
  }

  return {
    /** @param {number} source */
    object: (source) => kept.get(source)?.promise ?? load(source, "high"),
    /** The object if it is here already: painted in the same breath as the key. */
    peek: (source) => kept.get(source)?.value ?? null,
    /** Milliseconds since the object was fetched. */
    age: (source) => performance.now() - (kept.get(source)?.time ?? 0),
    /**
     * Ask again for an object that is here: its products or votes may have changed.
     * @param {number} source
     * @returns {Promise<object|null>} the new one; null where it is what it was
     */
    async freshen(source) {
      const entry = kept.get(source);
      if (!entry?.value) return null;
      const value = await get(`/api/object/${source}`, { priority: "low", known: entry.value.etag });
      entry.time = performance.now();
      if (value && kept.get(source) === entry) Object.assign(entry, { value, promise: Promise.resolve(value) });
      return value;
    },
    /** Forget one object, or all. */
    forget: (source) => (source === undefined ? kept.clear() : kept.delete(source)),
    /**
     * Fetch and decode ahead, one after another.
     * @param {number[]} sources
     * @param {(object: object) => void} [onCome]  called with each that was fetched, when there is nothing else to do
     */
    async prefetch(sources, onCome = () => {}) {
      for (const source of sources) {
        if (kept.has(source)) continue;
        try {
          const object = await load(source, "low");
          whenIdle(() => onCome(object));
        } catch {
          return; // it will be asked for again, and told, when it is wanted
        }
      }
    },
  };
}
