/**
 * The language of the filter: words that must all hold.
 *
 *   101            number of the source begins with this       LRD "two words"  in a comment or a tag
 *   z>4  zprob<0.9 numbers: > >= < <= = and ranges             q=0,1  z=3..4   one of these
 *   flag:stuck     a flag of mine (any, none)                  tag:LRD  grating:prism
 *   is:stale       stale, conflict, todo, graded, moved, rerun  -q=4             not
 */

/** Numbers that can be asked for, with other names for them. */
const NUMBERS = {
  z: "z", zauto: "zAuto", zown: "zOwn", zcons: "zConsensus", zerr: "zErr", zprob: "zprob", p: "zprob", zwarn: "zwarn",
  snr: "snr", q: "quality", quality: "quality", lines: "lines", votes: "voters", cq: "consensus", ra: "ra", dec: "dec",
  id: "source", source: "source",
}; // prettier-ignore

/** Numbers that come in single precision: what is typed is rounded likewise. */
const SINGLE = new Set(["zErr", "zprob", "snr"]);

/** What `is:` knows. */
const STATES = {
  stale: (rows, i) => rows.isStale(i),
  conflict: (rows, i) => rows.isConflict(i),
  todo: (rows, i) => rows.quality(i) === 0,
  graded: (rows, i) => rows.quality(i) > 0,
  moved: (rows, i) => rows.isMoved(i),
  rerun: (rows, i) => rows.isRerun(i),
};

const COMPARE = {
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
};

/** What is wrong with a filter, in words for the reader. */
export class QueryError extends Error {}

/**
 * @param {string} text
 * @returns {((rows: object, i: number) => boolean)|null} true for the rows that the filter lets through; null: all
 */
export function parseQuery(text) {
  const tests = (text.match(/-?[^\s":=<>]*[:=<>]*"[^"]*"?|\S+/g) ?? []).map(parseWord);
  if (tests.length === 0) return null;
  return tests.length === 1 ? tests[0] : (rows, i) => tests.every((test) => test(rows, i));
}

function parseWord(word) {
  if (/^[-!]./.test(word)) {
    const test = parseWord(word.slice(1));
    return (rows, i) => !test(rows, i);
  }
  const named = /^([a-z]+):(.*)$/i.exec(word);
  if (named) return parseNamed(named[1].toLowerCase(), plain(named[2]));
  const number = /^([a-z]+)(>=|<=|=|>|<)(.*)$/i.exec(word);
  if (number) return parseNumber(number[1].toLowerCase(), number[2], number[3]);
  if (/^\d+$/.test(word)) return (rows, i) => String(rows.source(i)).startsWith(word);
  const wanted = plain(word);
  return (rows, i) => rows.text(i).includes(wanted);
}

function parseNamed(name, value) {
  if (name === "is") {
    const test = STATES[value];
    if (!test) throw new QueryError(`is:${value}? There is ${Object.keys(STATES).join(", ")}`);
    return test;
  }
  const members = { flag: "flagWords", flags: "flagWords", tag: "tagWords", tags: "tagWords" }[name];
  if (members) {
    if (value === "any") return (rows, i) => rows[members](i).length > 0;
    if (value === "none") return (rows, i) => rows[members](i).length === 0;
    let known = members === "tagWords";
    return (rows, i) => {
      known ||= rows.allFlags().some((one) => one.includes(value));
      if (!known) throw new QueryError(`no flag has “${value}”: ${rows.allFlags().join(", ")}`);
      return rows[members](i).some((one) => one.includes(value));
    };
  }
  if (name === "grating" || name === "g") return (rows, i) => rows.gratingWords(i).some((one) => one.includes(value));
  if (name === "comment") return (rows, i) => rows.commentText(i).toLowerCase().includes(value);
  throw new QueryError(`${name}: is not known; there is is:, flag:, tag:, grating:, comment:`);
}

function parseNumber(name, sign, value) {
  const field = NUMBERS[name];
  const exact = SINGLE.has(field) ? Math.fround : (one) => one;
  if (!field) throw new QueryError(`${name} is not known; there is ${[...new Set(Object.keys(NUMBERS))].join(", ")}`);
  if (sign !== "=") {
    const [limit, compare] = [exact(numberOf(value, name)), COMPARE[sign]];
    return (rows, i) => compare(rows[field](i), limit);
  }
  const choices = value.split(",").map((one) => rangeOf(one, name).map(exact));
  return (rows, i) => choices.some(([low, high]) => rows[field](i) >= low && rows[field](i) <= high);
}

/** A range as asked for, or what is meant by one number: redshifts are equal within 0.005 (1 + z). */
function rangeOf(text, name) {
  const parts = text.split("..");
  if (parts.length === 2) {
    return [parts[0] ? numberOf(parts[0], name) : -Infinity, parts[1] ? numberOf(parts[1], name) : Infinity];
  }
  const value = numberOf(text, name);
  const width = ["z", "zauto", "zown", "zcons"].includes(name) ? 0.005 * (1 + value) : 0;
  return [value - width, value + width];
}

function numberOf(text, name) {
  const value = Number(text);
  if (text === "" || !Number.isFinite(value)) throw new QueryError(`${name}: a number is missing, “${text}” is none`);
  return value;
}

function plain(text) {
  return text.replace(/^"|"$/g, "").toLowerCase();
}
