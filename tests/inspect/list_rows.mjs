// Filter, order and progress of the list, without a browser: node list_rows.mjs STATIC
import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";

const from = (name) => import(pathToFileURL(`${process.argv[2]}/${name}`));
const { parseQuery, QueryError } = await from("query.js");
const { rowsOf, choose } = await from("rows.js");

const NO = NaN;
const arrays = {
  source: Int32Array.of(7, 101, 102, 1010),
  z: Float64Array.of(1, 2, 4.5, NO),
  z_own: Float64Array.of(NO, 2.3, 4.5, NO),
  z_err: Float32Array.of(0.1, 0.1, 0.1, NO),
  zprob: Float32Array.of(0.5, 0.9, 0.95, NO),
  zwarn: Int32Array.of(0, 4, 0, 0),
  snr: Float32Array.of(1, 2, 3, 4),
  n_lines: Int32Array.of(0, 1, 2, 3),
  ra: Float64Array.of(1, 2, 3, 4),
  dec: Float64Array.of(1, 2, 3, 4),
  gratings: Uint32Array.of(2, 3, 2, 1),
  quality: Int8Array.of(0, 4, 3, 0),
  flags: Int32Array.of(0, 4 | 32, 0, 0),
  stale: Uint8Array.of(0, 1, 0, 0),
  conflict: Uint8Array.of(0, 0, 1, 0),
  n_voters: Int8Array.of(0, 1, 2, 0),
  consensus_quality: Int8Array.of(0, 4, 0, 0),
  consensus_z: Float64Array.of(NO, 2.3, NO, NO),
};
const meta = {
  spectra: ["g395m_f290lp", "prism_clear"],
  comments: { 101: "broad Hα?" },
  remarks: { 102: "ben: two  words here" },
  tags: { 101: ["LRD"] },
  complete: true,
};
const list = { meta, arrays: Object.fromEntries(Object.entries(arrays).map(([name, data]) => [name, { data }])) };
const flags = [[4, "stuck shutter"], [32, "low S/N"], [1, "chip gap"]].map(([bit, said]) => ({ bit, said }));
const unsaved = new Map([[102, { source: 102, quality: 3, z: 4.5, flags: {}, stale: false, comment: "", tags: [] }]]);
const rows = rowsOf(list, { flags }, unsaved, { sources: [7] });
const numbers = (order) => [...order].map((i) => rows.source(i));
const found = (text) => numbers(choose(rows, parseQuery(text), null, false));

const EXPECTED = [
  ["", [7, 101, 102, 1010]],
  ["101", [101, 1010]],
  ["-101", [7, 102]],
  ["z>2", [101, 102]],
  ["z=2.3", [101]],
  ["z=2.31", [101]],
  ["z=2.33", []],
  ["z=4..5", [102]],
  ["z=..2", [7]],
  ["zauto=2", [101]],
  ["z>-1 z<100", [7, 101, 102]],
  ["zprob<0.9", [7]],
  ["zprob>=0.9", [101, 102]],
  ["p=0.9", [101]],
  ["z>4 zprob<=0.95 snr>=3 lines=2 votes=2", [102]],
  ["q=0,4", [7, 101, 1010]],
  ["-q=0", [101, 102]],
  ["flag:stuck", [101]],
  ['flag:"low s/n"', [101]],
  ["flag:any", [101]],
  ["flag:none", [7, 102, 1010]],
  ["flag:chip", []],
  ["-is:todo -flag:any", [102]],
  ["tag:lrd", [101]],
  ["tag:any", [101]],
  ["LRD", [101]],
  ['"broad hα"', [101]],
  ["comment:words", [102]],
  ["grating:prism", [7, 101, 102]],
  ["g:395m -grating:prism", [1010]],
  ["is:stale", [101]],
  ["is:conflict", [102]],
  ["is:todo", [7, 1010]],
  ["is:graded", [101, 102]],
  ["is:moved", [101]],
  ["is:rerun", [7]],
];
for (const [text, expected] of EXPECTED) assert.deepEqual(found(text), expected, text);
for (const text of ["foo>3", "z>", "z>x", "z=1,x", "is:x", "flag:qqq", "foo:3"]) {
  assert.throws(() => found(text), QueryError, text);
}

const ordered = (value, falling) => numbers(choose(rows, null, value, falling));
assert.deepEqual(ordered((some, i) => some.z(i), false), [7, 101, 102, 1010]);
assert.deepEqual(ordered((some, i) => some.z(i), true), [102, 101, 7, 1010], "rows without a value come last");
assert.deepEqual(ordered((some, i) => some.commentText(i), false), [102, 101, 7, 1010]);
assert.deepEqual(ordered((some, i) => some.quality(i), true), [101, 102, 7, 1010], "equal ones by number");
assert.deepEqual(ordered((some, i) => some.commentText(i), true), [101, 102, 7, 1010], "empty texts come last");
assert.deepEqual(ordered((some, i) => some.gratingWords(i).join(" "), true), [7, 102, 101, 1010]);
assert.deepEqual(ordered((some, i) => some.lines(i) % 2, true), [101, 1010, 7, 102], "equal ones by number");
assert.deepEqual(ordered(null, true), [1010, 102, 101, 7]);
assert.deepEqual(numbers(choose(rows, () => false, (some, i) => some.z(i), true)), []);

assert.deepEqual(rows.counts(), { grades: [2, 0, 0, 1, 1], stale: 1, conflict: 1, rerun: 1 });
rows.apply({ source: 7, quality: 1, z: null, flags: { prism_clear: 1 }, stale: false, comment: "x", tags: ["t"] });
rows.apply({ source: 999999, quality: 1, z: null });
assert.deepEqual(rows.counts().grades, [1, 1, 0, 1, 1]);
assert.deepEqual(found("flag:chip tag:t"), [7]);
assert.equal(rows.setRerun([102, 999999]), true);
assert.deepEqual([found("is:rerun"), rows.counts().rerun], [[102], 1], "of those in the list");
assert.deepEqual([rows.setRerun(null), rows.setRerun([])], [true, false]);
assert.deepEqual([rows.place(1010), rows.place(5), rows.place(2000)], [3, undefined, undefined]);

const many = { ...rows, n: 50000, source: (i) => i + 1, z: (i) => (i * 7919) % 50021 };
const start = performance.now();
choose(many, parseQuery("z>100"), (some, i) => some.z(i), true);
assert.ok(performance.now() - start < 1000, "50,000 rows are ordered quickly");
process.stdout.write(`${EXPECTED.length} filters\n`);
