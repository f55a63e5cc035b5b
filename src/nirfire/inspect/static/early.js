/**
 * First of all modules, and without imports: asks for what the first view shows while the other modules are still on
 * their way, since a browser has only six requests under way at once.
 */

const early = new Map(); // path -> {user, found}
const coming = []; // files of the other views

/**
 * What the browser keeps for this address and port.
 * @param {string} name
 * @returns {string} empty where it keeps nothing
 */
export function remembered(name) {
  try {
    return localStorage.getItem(name) ?? "";
  } catch {
    return "";
  }
}

/**
 * Headers of every request: the token that the printed address brought, and who asks.
 * @param {string} user  empty: who the server was started for
 * @returns {Object<string, string>}
 */
export function headersOf(user) {
  const headers = { "X-Nirfire-Token": remembered("nirfire-token") };
  if (user) headers["X-Nirfire-User"] = encodeURIComponent(user);
  return headers;
}

function ask(path, user) {
  const found = fetch(path, { headers: headersOf(user) }).then((answer) => {
    const body = answer.arrayBuffer(); // taken in as it comes
    body.catch(() => {}); // told where it is waited for, as the answer is
    return { answer, body };
  });
  found.catch(() => {});
  early.set(path, { user, found });
}

/**
 * The answer to what was asked for here, for the first who wants it.
 * @param {string} path
 * @param {string} user
 * @returns {Promise<{answer: Response, body: Promise<ArrayBuffer>}>|null}
 */
export function takeEarly(path, user) {
  const asked = early.get(path);
  early.delete(path);
  return asked?.user === user ? asked.found : null;
}

/**
 * Ask for all files of the other views at once, so that none waits for another.
 * @returns {Promise<unknown>} when their styles are there
 */
export function loadRest() {
  for (const link of document.querySelectorAll("link[data-later]:not([rel])")) coming.push(load(link));
  return Promise.all(coming);
}

function load(link) {
  link.rel = link.dataset.later;
  if (link.rel !== "stylesheet") return null;
  return new Promise((resolve, reject) => {
    link.addEventListener("load", resolve);
    link.addEventListener("error", () => reject(new Error(`${link.href} did not load: reload the page`)));
  });
}

const shown = /^#?\/?object\/(\d+)$/.exec(location.hash);
const user = remembered("nirfire.user");
ask("/api/session", user);
if (shown) ask(`/api/object/${Number(shown[1])}`, user);
ask("/api/objects", user);
if (shown || /^#?\/?rate/.test(location.hash)) loadRest().catch(() => {}); // told where it is waited for
