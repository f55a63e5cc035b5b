/**
 * The one table of keys: it drives the page, and the sheet that `?` shows is made from it.
 * `where` says in which view a key works ("" everywhere); the views say with `bind` what an action does.
 */

const GRADE = "Grade";
const MOVE = "Go";
const REDSHIFT = "Redshift";
const SHOW = "Show";
const NOTE = "Notes";
const PAGE = "Page";

/** @type {{id: string, keys: string[], group: string, does: string, where: string}[]} */
export const TABLE = [
  row("grade1", ["1"], GRADE, "impossible: no redshift can be told; save and go on"),
  row("grade2", ["2"], GRADE, "tentative (right in about 1 of 2); save and go on"),
  row("grade3", ["3"], GRADE, "probable (about 4 of 5); save and go on"),
  row("grade4", ["4"], GRADE, "secure (more than 95 of 100); save and go on"),
  row("clear", ["0"], GRADE, "take the grade back and return to the automatic redshift"),
  row("next", ["n", "ArrowRight"], MOVE, "next object"),
  row("previous", ["p", "ArrowLeft"], MOVE, "previous object"),
  row("unseen", ["N"], MOVE, "next object without a grade of mine"),
  row("typeZ", ["z"], REDSHIFT, "type a redshift (Enter sets it, Esc leaves it)"),
  row("down", [",", "Shift+,"], REDSHIFT, "a little lower (with Shift ten times as far)"),
  row("up", [".", "Shift+."], REDSHIFT, "a little higher (with Shift ten times as far)"),
  row("solution", ["o"], REDSHIFT, "next solution of the fit"),
  row("solutionBack", ["i"], REDSHIFT, "previous solution"),
  row("automatic", ["a"], REDSHIFT, "the automatic redshift"),
  row("refit", ["u"], REDSHIFT, "fit again, near this redshift"),
  row("refitAll", ["U"], REDSHIFT, "fit again, over the whole range"),
  row("identify", ["j"], REDSHIFT, "which line is this? of the feature under the pointer, or the strongest in view"),
  row("lines", ["l"], SHOW, "lines"),
  row("model", ["m"], SHOW, "model"),
  row("smooth", ["s"], SHOW, "smooth: off, 3, 5 pixels"),
  row("band", ["e"], SHOW, "error band"),
  row("units", ["w"], SHOW, "flux per frequency or per wavelength"),
  row("extraction", ["x"], SHOW, "extraction: optimal, or a box of 3, 4, 5 rows"),
  row("image", ["k"], SHOW, "2D spectrum as S/N or as flux"),
  row("softer", ["["], SHOW, "2D spectrum: brighter, faint light comes out"),
  row("harder", ["]"], SHOW, "2D spectrum: less bright"),
  row("chi2", ["y"], SHOW, "chi-squared on a logarithmic or linear scale"),
  row("grating", ["g"], SHOW, "next grating"),
  row("together", ["b"], SHOW, "gratings side by side"),
  row("zoomIn", ["+", "="], SHOW, "closer, about the strongest line"),
  row("zoomOut", ["-"], SHOW, "further away"),
  row("left", ["Shift+ArrowLeft"], SHOW, "move to shorter wavelengths"),
  row("right", ["Shift+ArrowRight"], SHOW, "move to longer wavelengths"),
  row("reset", ["r"], SHOW, "the whole range again"),
  row("cutouts", ["v"], SHOW, "exposures with their shutters"),
  row("flags", ["f"], NOTE, "flags of this spectrum: then the letter or digit of each, Enter when done"),
  row("comment", ["c"], NOTE, "comment (Enter saves)"),
  row("tags", ["t"], NOTE, "tags, separated by blanks"),
  row("find", ["/"], MOVE, "find a source by its number"),
  row("conflicts", ["q"], PAGE, "objects that people disagree on", ""),
  row("list", ["L"], PAGE, "list of objects", ""),
  row("masks", ["M"], PAGE, "exposures and their masks", ""),
  row("theme", ["d"], PAGE, "dark or light", ""),
  row("sheet", ["?"], PAGE, "this sheet", ""),
];

/** Letter of each flag, after `f`. */
export const FLAG_KEYS = { 1: "g", 2: "c", 4: "s", 8: "m", 16: "n", 32: "l", 64: "o", 128: "x", 256: "x" };

function row(id, keys, group, does, where = "object") {
  return { id, keys, group, does, where };
}

/**
 * @param {KeyboardEvent} event
 * @returns {string} the key's name in the table: "n", "ArrowLeft", "Shift+ArrowLeft", "Shift+,"
 */
export function nameOf(event) {
  const { key, shiftKey, code } = event;
  // what Shift makes of comma and full stop: in some layouts a full stop itself is typed with Shift
  if (shiftKey && code === "Comma" && ",<;".includes(key)) return "Shift+,";
  if (shiftKey && code === "Period" && ".>:".includes(key)) return "Shift+.";
  if (/^[a-z]$/i.test(key)) return event.getModifierState?.("CapsLock") ? cased(key, shiftKey) : key;
  if (key > "\u007f" && key.length === 1 && /^Key[A-Z]$/.test(code)) return cased(code.slice(3), shiftKey);
  return shiftKey && key.length > 1 ? `Shift+${key}` : key;
}

/** A letter as Shift alone has it; of a keyboard without Latin letters the one that stands at its place. */
const cased = (letter, shifted) => (shifted ? letter.toUpperCase() : letter.toLowerCase());

/**
 * @param {string} name
 * @returns {string} as it is written on a keyboard
 */
export function written(name) {
  const signs = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Backspace: "⌫", Delete: "Del" };
  return name.replace(/Arrow\w+|Backspace|Delete/, (key) => signs[key] ?? key).replace("Shift+", "⇧ ");
}

const MODIFIERS = ["Shift", "Control", "Alt", "AltGraph", "Meta", "CapsLock", "NumLock"];
const TYPING = "input:not([type=checkbox]):not([type=button]), textarea, select, [contenteditable=true]";

/**
 * The dispatcher: one listener for the whole page.  Keys are off while somebody types in a field, while a dialog is
 * open, and with Ctrl, Alt or Meta.
 * @returns {{bind: Function, add: Function, capture: Function, rows: () => object[]}}
 */
export function createKeys() {
  const tables = []; // the youngest first: a view's key goes before one that works everywhere
  const captors = [];
  let opener = ""; // the key that has led into a field, until it is let go: its repeats are no text

  document.addEventListener("keyup", ({ code }) => (opener = code === opener ? "" : opener));
  document.addEventListener("keydown", (event) => {
    const altGr = event.getModifierState("AltGraph");
    if (event.isComposing || event.metaKey || ((event.ctrlKey || event.altKey) && !altGr)) return;
    if (MODIFIERS.includes(event.key)) return; // Shift is pressed before a capital letter
    if (event.repeat && event.code === opener && event.target.closest?.(TYPING)) return event.preventDefault();
    if (event.target.closest?.(TYPING) || document.querySelector("dialog[open]")) return;
    const name = nameOf(event);
    if (captors.length > 0 && (event.repeat || captors[0](name, event))) return event.preventDefault();
    if (event.target.closest?.("button, summary, a") && ["Enter", " "].includes(name)) return;
    const found = tables.flat().find((one) => one.keys.includes(name));
    if (!found) return;
    event.preventDefault();
    if (event.repeat && found.group === GRADE) return; // a key that is held grades one object, not all that follow
    found.run(name, event);
    opener = document.activeElement?.matches(TYPING) ? event.code : "";
  });

  function add(rows) {
    tables.unshift(rows);
    return () => tables.splice(tables.indexOf(rows), 1);
  }

  return {
    /**
     * Say what actions of the table do.
     * @param {string} where
     * @param {Object<string, (name: string) => void>} actions  by id
     * @returns {() => void} takes them off again
     */
    bind: (where, actions) =>
      add(
        TABLE.filter((one) => one.where === where && actions[one.id]).map((one) => ({ ...one, run: actions[one.id] })),
      ),
    /**
     * Keys of a view of its own.
     * @param {{key: string|string[], does: string, run: Function, group?: string}[]} rows
     * @param {string} group  headline in the sheet
     * @returns {() => void}
     */
    add: (rows, group) => add(rows.map((one) => ({ group, ...one, keys: [one.key].flat() }))),
    /** Let one function see every key first, until it is taken off; it returns true for what it took. */
    capture(run) {
      captors.unshift(run);
      return () => captors.includes(run) && captors.splice(captors.indexOf(run), 1);
    },
    /** What works now, for the sheet. */
    rows: () => tables.flat(),
  };
}

/**
 * The sheet of all keys that work now.
 * @param {HTMLDialogElement} dialog
 * @param {object[]} rows
 */
export function showSheet(dialog, rows) {
  const groups = new Map();
  for (const one of rows) groups.set(one.group, [...(groups.get(one.group) ?? []), one]);
  const body = dialog.querySelector(".sheet-body");
  body.replaceChildren(
    ...[...groups].map(([name, members]) => {
      const section = document.createElement("section");
      const title = document.createElement("h3");
      title.textContent = name;
      const list = document.createElement("dl");
      for (const one of members) {
        const term = document.createElement("dt");
        term.append(
          ...one.keys.map((key) => Object.assign(document.createElement("kbd"), { textContent: written(key) })),
        );
        list.append(term, Object.assign(document.createElement("dd"), { textContent: one.does }));
      }
      section.append(title, list);
      return section;
    }),
  );
  dialog.showModal();
}
