/** Line markers that follow z through all panels of a spectrum, with labels that never cover one another. */

import { palette } from "./theme.js";

const TIER = 13; // px of a row of labels
const GAP = 5;
const FONT = "11px system-ui, sans-serif";

/** Lines by how often they are the strongest ones of a galaxy; several of one name in a blend count once. */
export const RANKED = [
  "Ha",
  "OIII5008",
  "Hb",
  "OII3727",
  "Lya",
  "SIII9533",
  "HeI10833",
  "Paa",
  "Pab",
  "NeIII3869",
  "CIII]",
  "CIV",
  "SII6718",
  "Hg",
  "Pag",
  "MgII2796",
  "SIII9071",
  "HeII1640",
  "Brb",
  "Bra",
  "HeI5877",
  "OIII]1663",
  "FeII12570",
  "CaII8544",
  "Hd",
  "HeI7067",
  "Brg",
  "FeII16440",
];

/**
 * The lines of the session that fall into a range, the ones to label first.
 * @param {{name: string, label: string, wave: number, strong: boolean}[]} lines
 * @param {number} z
 * @param {[number, number]} range  um, observed
 * @returns {{name: string, label: string, wave: number, strong: boolean, at: number}[]}  `at`: um, observed
 */
export function linesWithin(lines, z, [low, high]) {
  return lines
    .map((line) => ({ ...line, at: line.wave * (1 + z) }))
    .filter(({ at }) => at > low && at < high)
    .sort((a, b) => Number(b.strong) - Number(a.strong) || rank(a.name) - rank(b.name));
}

function rank(name) {
  const found = RANKED.indexOf(name);
  return found < 0 ? RANKED.length : found;
}

const MAKES_ROOM = 12; // so many lines push a label aside where their own has no room
const BESIDE = 3; // px by which a label that is not centred reaches over its line

/**
 * Where labels go.  A label sits in one of a few tiers above its line, if need be beside it; a thin leader joins them,
 * and crosses no text.
 * @param {{x: number, width: number}[]} wanted  in the order of their importance
 * @param {number} tiers
 * @param {number} limit  width of the panel
 * @returns {({left: number, tier: number}|null)[]}  tier 0 is nearest to the plot; null: no room
 */
export function placed(wanted, tiers, limit) {
  const boxes = wanted.map(() => null);
  const taken = (k) => boxes.filter((box, i) => box && i !== k);
  const places = (k) => {
    const { x, width } = wanted[k];
    const inside = (left) => Math.min(Math.max(0, left), limit - width);
    const lefts = [x - width / 2, x - BESIDE, x - width + BESIDE].map(inside);
    return Array.from({ length: tiers }, (_, tier) => lefts.map((left) => ({ left, width, tier, x }))).flat();
  };
  for (const k of wanted.keys()) {
    boxes[k] = places(k).find((box) => taken(k).every((other) => apart(box, other))) ?? null;
    if (boxes[k] || k >= MAKES_ROOM) continue;
    for (const box of places(k)) {
      const ways = taken(k).filter((other) => !apart(box, other));
      if (ways.length !== 1) continue;
      const i = boxes.indexOf(ways[0]);
      const aside = places(i).find((other) => [box, ...taken(i)].every((one) => apart(other, one)));
      if (!aside) continue;
      [boxes[i], boxes[k]] = [aside, box];
      break;
    }
  }
  return boxes.map((box) => box && { left: box.left, tier: box.tier });
}

/** Whether two labels leave each other alone: their texts, and the leader of the upper one. */
function apart(one, other) {
  const [left, right] = one.left < other.left ? [one, other] : [other, one];
  if (one.tier === other.tier) return left.left + left.width + GAP < right.left;
  const [upper, lower] = one.tier > other.tier ? [one, other] : [other, one];
  return upper.x < lower.left - 2 || upper.x > lower.left + lower.width + 2;
}

/**
 * Draw the markers.
 * @param {CanvasRenderingContext2D} context  over all panels, in CSS pixels
 * @param {object[]} lines  of `linesWithin`
 * @param {{left: number, width: number, range: [number, number], image: [number, number], labels: [number, number],
 *   plots: [number, number][]}} where  panels from top to bottom; CSS pixels, um
 */
export function drawLines(context, lines, { left, width, range, image, labels, plots }) {
  const colours = palette();
  const [low, high] = range;
  const toX = (wave) => left + ((wave - low) / (high - low)) * width;
  context.font = FONT;
  context.textBaseline = "alphabetic";
  const wanted = lines.map((line) => ({ x: toX(line.at) - left, width: context.measureText(line.label).width }));
  const tiers = Math.max(1, Math.floor((labels[1] - labels[0]) / TIER));
  const places = placed(wanted, tiers, width);
  for (const [k, line] of lines.entries()) {
    const x = Math.round(toX(line.at)) + 0.5;
    const place = places[k];
    context.strokeStyle = line.strong ? colours.line : colours.weak;
    context.globalAlpha = line.strong ? 0.75 : 0.5;
    context.setLineDash(line.strong ? [] : [2, 3]);
    context.beginPath();
    if (line.strong || place) for (const [top, bottom] of plots) segment(context, x, top, bottom);
    else segment(context, x, plots[0][0], plots[0][0] + 5); // no room to name it: a tick
    if (line.strong || place) {
      segment(context, x, image[0], image[0] + 7);
      segment(context, x, image[1] - 7, image[1]);
    }
    context.stroke();
    context.setLineDash([]);
    context.globalAlpha = 1;
    if (!place) continue;
    const bottom = labels[1] - place.tier * TIER;
    context.beginPath();
    segment(context, x, bottom, labels[1] + 1);
    context.stroke();
    context.fillStyle = line.strong ? colours.line : colours.soft;
    context.fillText(line.label, left + place.left, bottom - 3);
  }
}

function segment(context, x, top, bottom) {
  context.moveTo(x, top);
  context.lineTo(x, bottom);
}

const SPACINGS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5];

/**
 * Ticks of the rest-frame axis.
 * @param {[number, number]} range  um, observed
 * @param {number} z
 * @param {number} count  about how many
 * @returns {{at: number, text: string}[]}  um observed, um rest
 */
export function restTicks([low, high], z, count) {
  const [a, b] = [low / (1 + z), high / (1 + z)];
  const step = SPACINGS.find((one) => (b - a) / one <= count) ?? 10;
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const ticks = [];
  for (let value = Math.ceil(a / step) * step; value < b; value += step) {
    ticks.push({ at: value * (1 + z), text: value.toFixed(decimals) });
  }
  return ticks;
}
