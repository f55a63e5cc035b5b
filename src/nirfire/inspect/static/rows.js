/** The list of all sources as the list view reads it: the server's arrays, and newer votes of this page on top. */

/**
 * @param {{meta: object, arrays: object}} list  answer of /api/objects
 * @param {object} session
 * @param {Map<number, object>} own  own votes that are newer than the list
 * @param {object|null} stale  answer of /api/stale
 * @returns {object} numbers and words of row i, and `apply` for a vote that came later
 */
export function rowsOf(list, session, own, stale) {
  const { meta } = list;
  const get = (name) => list.arrays[name]?.data;
  const [source, z, quality, zOwn] = [get("source"), get("z"), get("quality").slice(), get("z_own")?.slice()];
  const [flags, isStale, conflict] = [get("flags")?.slice(), get("stale")?.slice(), get("conflict")];
  const [gratings, consensus, consensusZ, voters] =
    ["gratings", "consensus_quality", "consensus_z", "n_voters"].map(get);
  const [zErr, zprob, zwarn, snr, lines, ra, dec] = ["z_err", "zprob", "zwarn", "snr", "n_lines", "ra", "dec"].map(get);
  const comments = { ...meta.comments };
  const tags = { ...meta.tags };
  let rerun = new Set(stale?.sources ?? []);
  const words = new Map(session.flags.map(({ bit, said }) => [bit, said]));
  const names = meta.spectra.map((key) => key.replace("_", "/"));
  const namesOf = kept((bits) => names.filter((_, k) => (bits >>> k) & 1)); // few are different
  const flagsOf = kept((bits) => [...words].filter(([bit]) => bits & bit).map(([, said]) => said));
  const flagWordsOf = kept((bits) => flagsOf(bits).map((said) => said.toLowerCase()));

  /** Place of a source; they are in order of their numbers. */
  function place(number) {
    const found = lowest(source, number);
    return source[found] === number ? found : undefined;
  }

  function apply(vote) {
    const i = place(vote.source);
    if (i === undefined) return;
    quality[i] = vote.quality;
    zOwn[i] = vote.z ?? NaN;
    flags[i] = Object.values(vote.flags ?? {}).reduce((all, bits) => all | bits, 0);
    isStale[i] = vote.stale ? 1 : 0;
    if (vote.comment) comments[vote.source] = vote.comment;
    else delete comments[vote.source];
    if (vote.tags?.length) tags[vote.source] = vote.tags;
    else delete tags[vote.source];
  }

  const rows = {
    n: source.length,
    apply,
    place,
    /**
     * Take up which sources have products that are out of date.
     * @returns {boolean} false where these are none, as before
     */
    setRerun(sources) {
      const before = rerun.size;
      rerun = new Set(sources ?? []);
      return before + rerun.size > 0;
    },
    /**
     * How many rows have each grade, and each badge.
     * @returns {{grades: number[], stale: number, conflict: number, rerun: number}}
     */
    counts() {
      const [grades, found] = [[0, 0, 0, 0, 0], { stale: 0, conflict: 0 }];
      for (let i = 0; i < source.length; i++) {
        grades[quality[i]]++;
        found.stale += isStale[i];
        found.conflict += conflict[i];
      }
      return { grades, ...found, rerun: [...rerun].filter((one) => place(one) !== undefined).length };
    },
    source: (i) => source[i],
    /** The redshift that counts for this person: the own one where there is one. */
    z: (i) => (zOwn[i] === zOwn[i] ? zOwn[i] : z[i]),
    zAuto: (i) => z[i],
    zOwn: (i) => zOwn[i],
    zConsensus: (i) => consensusZ[i],
    zErr: (i) => zErr[i],
    zprob: (i) => zprob[i],
    zwarn: (i) => zwarn[i],
    snr: (i) => snr[i],
    quality: (i) => quality[i],
    lines: (i) => lines[i],
    voters: (i) => voters[i],
    consensus: (i) => consensus[i],
    ra: (i) => ra[i],
    dec: (i) => dec[i],
    flags: (i) => flags[i],
    gratings: (i) => gratings[i],
    isStale: (i) => isStale[i] === 1,
    isConflict: (i) => conflict[i] === 1,
    isRerun: (i) => rerun.has(source[i]),
    /** True where the own redshift is another than the automatic one. */
    isMoved: (i) => Math.abs(zOwn[i] - z[i]) > 1e-6 * (1 + zOwn[i]) || (zOwn[i] === zOwn[i] && z[i] !== z[i]),
    flagNames: (i) => flagsOf(flags[i]),
    flagWords: (i) => flagWordsOf(flags[i]),
    allFlags: () => [...words.values()].map((said) => said.toLowerCase()),
    tagWords: (i) => (tags[source[i]] ?? NONE).map((tag) => tag.toLowerCase()),
    tags: (i) => tags[source[i]] ?? NONE,
    gratingWords: (i) => namesOf(gratings[i]),
    commentText: (i) => [comments[source[i]], meta.remarks?.[source[i]]].filter(Boolean).join(" | "),
    text: (i) => `${rows.commentText(i)} ${rows.tags(i).join(" ")}`.toLowerCase(),
  };
  for (const vote of own.values()) apply(vote);
  return rows;
}

const NONE = Object.freeze([]);

/** A function that makes each of its values once. */
function kept(make) {
  const made = new Map();
  return (key) => {
    let value = made.get(key);
    if (value === undefined) made.set(key, (value = make(key)));
    return value;
  };
}

/**
 * Rows that a filter lets through, in order; rows without a value come last, and equal ones by number.
 * @param {object} rows
 * @param {((rows: object, i: number) => boolean)|null} test  null: all
 * @param {((rows: object, i: number) => number|string)|null} value  what is sorted by; null: the number of the source
 * @param {boolean} falling
 * @returns {Int32Array}
 */
export function choose(rows, test, value, falling) {
  const order = new Int32Array(rows.n);
  let n = 0;
  for (let i = 0; i < rows.n; i++) if (test === null || test(rows, i)) order[n++] = i;
  const found = order.subarray(0, n);
  if (value === null) return falling ? found.reverse() : found; // rows are in the order of their numbers
  const number = n > 0 && typeof value(rows, found[0]) === "string" ? ranked(rows, found, value) : value;
  const keys = new Float64Array(n);
  for (let k = 0; k < n; k++) {
    const key = falling ? -number(rows, found[k]) : number(rows, found[k]);
    keys[k] = key === key ? key : Infinity;
  }
  return sorted(found, keys);
}

/** Rows by their keys, equal ones in the order they are in; far faster than with a function that compares two. */
function sorted(found, keys) {
  const rising = keys.slice().sort();
  const [order, taken] = [new Int32Array(found.length), new Int32Array(found.length)];
  for (let k = 0; k < found.length; k++) {
    const first = lowest(rising, keys[k]);
    order[first + taken[first]++] = found[k];
  }
  return order;
}

/** Place of the first of rising numbers that is not below this one. */
function lowest(rising, number) {
  let [low, high] = [0, rising.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rising[middle] < number) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Texts as numbers in the same order; empty ones as none. */
function ranked(rows, found, value) {
  const texts = new Set();
  for (const i of found) texts.add(value(rows, i));
  const places = new Map([...texts].sort().map((text, place) => [text, text ? place : NaN]));
  return (_, i) => places.get(value(rows, i));
}
