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

  /** Place of a source; they are in order of their numbers. */
  function place(number) {
    let [low, high] = [0, source.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (source[middle] < number) low = middle + 1;
      else high = middle;
    }
    return source[low] === number ? low : undefined;
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
    /** Sources whose products are out of date. */
    setRerun(sources) {
      rerun = new Set(sources ?? []);
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
    flagNames: (i) => (flags[i] ? [...words].filter(([bit]) => flags[i] & bit).map(([, said]) => said) : NONE),
    flagWords: (i) => rows.flagNames(i).map((said) => said.toLowerCase()),
    allFlags: () => [...words.values()].map((said) => said.toLowerCase()),
    tagWords: (i) => (tags[source[i]] ?? NONE).map((tag) => tag.toLowerCase()),
    tags: (i) => tags[source[i]] ?? NONE,
    gratingWords: (i) => names.filter((_, k) => (gratings[i] >>> k) & 1),
    commentText: (i) => [comments[source[i]], meta.remarks?.[source[i]]].filter(Boolean).join(" | "),
    text: (i) => `${rows.commentText(i)} ${rows.tags(i).join(" ")}`.toLowerCase(),
  };
  for (const vote of own.values()) apply(vote);
  return rows;
}

const NONE = Object.freeze([]);

/**
 * Rows that a filter lets through, in order; rows without a value come last, and equal ones by number.
 * @param {object} rows
 * @param {(rows: object, i: number) => boolean} test
 * @param {(rows: object, i: number) => number|string} value  what is sorted by
 * @param {boolean} falling
 * @returns {Int32Array}
 */
export function choose(rows, test, value, falling) {
  const order = new Int32Array(rows.n);
  let n = 0;
  for (let i = 0; i < rows.n; i++) if (test(rows, i)) order[n++] = i;
  const found = order.subarray(0, n);
  const keys = new Array(rows.n);
  let [rising, last] = [!falling, -Infinity];
  for (const i of found) {
    const key = value(rows, i);
    rising &&= key >= last;
    keys[i] = last = key;
  }
  if (rising) return found; // as the numbers of the sources are at first
  const sign = falling ? -1 : 1;
  const compare = n > 0 && typeof keys[found[0]] === "string" ? compareTexts : compareNumbers;
  return found.sort((a, b) => compare(keys[a], keys[b], sign) || a - b);
}

function compareNumbers(a, b, sign) {
  if (a !== a || b !== b) return (a !== a) - (b !== b);
  return sign * (a - b);
}

function compareTexts(a, b, sign) {
  if (!a || !b) return !a - !b;
  return sign * (a < b ? -1 : a > b ? 1 : 0);
}

/**
 * How far one has come.
 * @param {object} rows
 * @returns {number[]} rows of quality 0 to 4
 */
export function progress(rows) {
  const counts = [0, 0, 0, 0, 0];
  for (let i = 0; i < rows.n; i++) counts[rows.quality(i)]++;
  return counts;
}
