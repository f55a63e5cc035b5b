/** The columns of the list: headline, what each is sorted by, and how a cell is drawn. */

import { element } from "./dom.js";
import { error, fixed, probability, redshift, spectrumName } from "./format.js";

/** Letters and shapes for the grades, so that colour is never alone. */
export const GRADES = ["–", "1", "2", "3", "4"];

const CONFLICT = "people do not agree, or one gave two grades";

/**
 * @typedef {object} Column
 * @property {string} id
 * @property {string} title
 * @property {string} hint   what it is, for the tooltip of the headline
 * @property {boolean} [falling]  sorted from high to low at first
 * @property {((rows: object, i: number) => number|string)|null} value  what is sorted by; null: the source
 * @property {(cell: HTMLElement, rows: object, i: number) => void} draw
 */

/** @type {Column[]} */
export const COLUMNS = [
  {
    id: "source", title: "source", hint: "number of the source; badges: stale vote, products to be run again",
    value: null,
    draw: (cell, rows, i) => fill(cell, String(rows.source(i)), badges(rows, i)),
  },
  {
    id: "z", title: "z", hint: "my redshift where I set one (◆), else the automatic one",
    value: (rows, i) => rows.z(i),
    draw: drawRedshift,
  },
  {
    id: "zprob", title: "ZPROB", hint: "probability that the automatic redshift is right", falling: true,
    value: (rows, i) => rows.zprob(i),
    draw: (cell, rows, i) => text(cell, probability(rows.zprob(i))),
  },
  {
    id: "quality", title: "grade", hint: "my grade: 1 impossible, 2 tentative, 3 probable, 4 secure", falling: true,
    value: (rows, i) => rows.quality(i),
    draw: (cell, rows, i) => fill(cell, "", [grade(rows.quality(i))]),
  },
  {
    id: "snr", title: "S/N", hint: "per pixel, median over the spectrum; the highest of its spectra", falling: true,
    value: (rows, i) => rows.snr(i),
    draw: (cell, rows, i) => text(cell, fixed(rows.snr(i), rows.snr(i) < 9.95 ? 1 : 0)),
  },
  {
    id: "lines", title: "lines", hint: "emission lines above 5 sigma", falling: true,
    value: (rows, i) => rows.lines(i),
    draw: (cell, rows, i) => text(cell, String(rows.lines(i))),
  },
  {
    id: "gratings", title: "gratings", hint: "spectra of the source",
    value: (rows, i) => rows.gratingWords(i).join(" "),
    draw: (cell, rows, i) => text(cell, rows.gratingWords(i).map(shortName).join(" "), spectra(rows, i)),
  },
  {
    id: "flags", title: "flags", hint: "my flags, of any spectrum", falling: true,
    value: (rows, i) => rows.flags(i),
    draw: (cell, rows, i) => text(cell, rows.flagNames(i).join(", "), rows.flagNames(i).join(", ")),
  },
  {
    id: "votes", title: "votes", hint: "how many people graded it, and what they say together", falling: true,
    value: (rows, i) => rows.voters(i) + (rows.isConflict(i) ? 1000 : 0),
    draw: drawVotes,
  },
  {
    id: "comment", title: "comment and tags", hint: "mine, and those of others with their names",
    value: (rows, i) => rows.commentText(i) || rows.tags(i).join(" "),
    draw: drawComment,
  },
]; // prettier-ignore

/**
 * A grade as a chip: digit and colour.
 * @param {number} quality
 * @returns {HTMLElement}
 */
export function grade(quality) {
  return element("span", { class: `list-grade q${quality}`, text: GRADES[quality] });
}

function drawRedshift(cell, rows, i) {
  const own = rows.isMoved(i);
  const automatic = `${redshift(rows.zAuto(i), rows.zErr(i))} ${error(rows.zErr(i))}`;
  const mark = element("span", { class: "list-own", text: "◆", "aria-label": "mine" });
  cell.replaceChildren(...(own ? [mark] : []), fixed(rows.z(i), 4));
  cell.classList.toggle("no-z", rows.quality(i) === 1);
  cell.title = own ? `mine; automatic: ${automatic}` : automatic;
}

function drawVotes(cell, rows, i) {
  const voters = rows.voters(i);
  cell.title = "";
  if (!voters) return text(cell, "");
  if (rows.isConflict(i)) return fill(cell, `${voters} `, [badge("conflict", "conflict", CONFLICT)]);
  const z = rows.consensus(i) > 1 ? ` z ${redshift(rows.zConsensus(i))}` : "";
  fill(cell, `${voters} × `, [grade(rows.consensus(i))]);
  cell.append(z);
}

function drawComment(cell, rows, i) {
  const said = rows.votesSaid?.(i);
  if (said) return text(cell, said, said);
  const tags = rows.tags(i).map((tag) => element("span", { class: "list-tag", text: tag }));
  cell.replaceChildren(...tags, rows.commentText(i));
  cell.title = [rows.tags(i).join(" "), rows.commentText(i)].filter(Boolean).join(": ");
}

function badges(rows, i) {
  const found = [];
  if (rows.isStale(i)) found.push(badge("stale", "stale", "the products have changed since the vote"));
  if (rows.isRerun(i)) found.push(badge("rerun", "rerun", "its products are out of date: run again"));
  return found;
}

function badge(kind, said, title) {
  return element("span", { class: `list-badge ${kind}`, text: said, title });
}

/** Disperser alone, in the short form that fits a cell. */
function shortName(name) {
  return name.split("/")[0].toUpperCase();
}

function spectra(rows, i) {
  return rows.gratingWords(i).map((name) => spectrumName(name.replace("/", "_"))).join(", ");
}

function text(cell, value, title = "") {
  cell.textContent = value;
  cell.title = title;
}

function fill(cell, value, parts) {
  cell.replaceChildren(value, ...parts);
}
