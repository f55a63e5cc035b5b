/**
 * Votes on their way to the server.  Each is kept in the browser's storage under its own name from the key press
 * until the server has said that it is saved, so that neither a reload, a second tab nor a server that is away loses
 * one.  Sending twice is harmless: the server knows a vote by its uuid.  It is told how long ago the key was pressed,
 * not when, since the clocks of both may differ.
 */

const PREFIX = "nirfire.vote.";
const PAUSES = [300, 1000, 3000, 10000]; // ms between tries

/**
 * @param {(vote: {user: string, body: object}) => Promise<{saved: object, own: object}>} send
 * @returns {{put: Function, pending: () => object[], start: Function, retry: Function, on: Function}}
 */
export function createQueue(send) {
  const waiting = new Map(); // uuid -> {user, body, at}
  const listeners = new Set();
  let place = ""; // votes of another workspace that was served at this address stay where they are
  let busy = false;
  let failures = 0;
  let timer = 0;

  const tell = (event) => listeners.forEach((run) => run(event));

  async function work() {
    if (busy) return;
    busy = true;
    clearTimeout(timer);
    try {
      while (waiting.size > 0) {
        const [uuid, vote] = waiting.entries().next().value;
        const age = Math.max(0, Date.now() - vote.at) / 1000;
        const { own } = await send({ ...vote, body: { ...vote.body, age } });
        drop(uuid);
        failures = 0;
        tell({ kind: "saved", vote: { ...own, uuid }, body: vote.body }); // the page knows it by this name
      }
    } catch (problem) {
      onProblem(problem);
    } finally {
      busy = false;
    }
  }

  function onProblem(problem) {
    const [uuid, vote] = waiting.entries().next().value;
    if ([400, 404, 409, 413, 415, 422].includes(problem.status)) {
      drop(uuid);
      tell({ kind: "rejected", body: vote.body, error: problem });
      timer = setTimeout(work, 0);
      return;
    }
    if (problem.status === 500 && waiting.delete(uuid)) waiting.set(uuid, vote); // others first: it fails at this one
    tell({ kind: "waiting", error: problem });
    timer = setTimeout(work, PAUSES[Math.min(failures++, PAUSES.length - 1)]);
  }

  function drop(uuid) {
    waiting.delete(uuid);
    forget(place, uuid);
  }

  return {
    /** Take a vote; it is safe in the browser when this returns. */
    put(user, body) {
      const vote = { user, body, at: Date.now() };
      waiting.set(body.uuid, vote);
      remember(place, body.uuid, vote);
      tell({ kind: "put", body });
      void work();
    },
    pending: () => [...waiting.values()],
    /** Send what an earlier visit to this workspace left. */
    start(workspace) {
      place = `${PREFIX}${workspace}.`;
      for (const [uuid, vote] of left(place)) waiting.set(uuid, vote);
      tell({ kind: "put", body: null });
      void work();
    },
    retry() {
      failures = 0;
      void work();
    },
    on(run) {
      listeners.add(run);
      return () => listeners.delete(run);
    },
  };
}

/** @returns {string} a random uuid; also where the page is not a secure context */
export function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

function remember(place, id, vote) {
  try {
    localStorage.setItem(place + id, JSON.stringify(vote));
  } catch {
    // no storage: the vote still goes out, and closing the page asks first
  }
}

function forget(place, id) {
  try {
    localStorage.removeItem(place + id);
  } catch {
    // as above
  }
}

function left(place) {
  const votes = names(place).map(kept).filter((vote) => vote?.body?.uuid);
  return inOrder(votes.sort((a, b) => a.at - b.at).map((vote) => [vote.body.uuid, vote]));
}

function names(place) {
  try {
    const all = Array.from({ length: localStorage.length }, (_, k) => localStorage.key(k));
    return all.filter((name) => name.startsWith(place));
  } catch {
    return [];
  }
}

function kept(name) {
  try {
    return JSON.parse(localStorage.getItem(name));
  } catch {
    return null; // written by something else; it stays where it is, and the others go out
  }
}

/** Votes each after those that it builds on, even where the clock was set back between them. */
function inOrder(votes) {
  const left = new Map(votes);
  const found = [];
  while (left.size > 0) {
    const ready = ([, vote]) => !vote.body.builds_on?.some((one) => left.has(one));
    const next = [...left].find(ready) ?? left.entries().next().value;
    left.delete(next[0]);
    found.push(next);
  }
  return found;
}
