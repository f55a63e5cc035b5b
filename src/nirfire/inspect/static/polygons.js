/** Corners of polygons as people write them: as DS9 counts, the centre of the first pixel being (1, 1). */

/**
 * @param {number[][]} corners  the centre of the first pixel being (0, 0)
 * @returns {string} "11,21  20,21"
 */
export const ds9 = (corners) => corners.map((one) => one.map((v) => Number((v + 1).toFixed(2))).join(",")).join("  ");

/**
 * @param {string} text  x,y pairs, as `ds9` gives them or as a polygon of a region file
 * @returns {{points: number[][], problem: string}}
 */
export function parsed(text) {
  const inner = text.trim().replace(/^polygon\s*\(?(.*?)\)?\s*(#.*)?$/i, "$1");
  const words = inner.split(/[\s,;()]+/).filter(Boolean);
  const numbers = words.map(Number);
  const wrong = words.find((_, k) => !Number.isFinite(numbers[k]));
  if (wrong !== undefined) return { points: [], problem: `${wrong} is not a number` };
  if (numbers.length % 2 !== 0) return { points: [], problem: "a corner lacks its y" };
  if (numbers.length < 6) return { points: [], problem: "three corners or more: x,y x,y x,y" };
  const points = [];
  for (let k = 0; k < numbers.length; k += 2) points.push([numbers[k] - 1, numbers[k + 1] - 1]);
  return { points, problem: "" };
}

/** @returns {boolean} two places are no further apart than this, along either axis */
export const near = ([x, y], [u, v], distance) => Math.abs(x - u) <= distance && Math.abs(y - v) <= distance;
