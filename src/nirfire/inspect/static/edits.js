/** What edits of shutters, nods and masks say of themselves. */

/**
 * What an edit has made stale, in words.
 * @param {{jobs: number, sources: number[], problem: string|null}} stale
 * @returns {string}
 */
export function told({ jobs, sources, problem }) {
  if (problem) return problem;
  if (jobs === 0) return "nothing is stale";
  const some = sources.slice(0, 3).join(", ") + (sources.length > 3 ? ` and ${sources.length - 3} more` : "");
  return `${jobs} product${jobs === 1 ? " is" : "s are"} stale${some ? `, of ${some}` : ""}`;
}
