/** Colours of images: what is below zero, zero (the colour of the page), and above, in light and dark. */

export const LEVELS = 256; // on either side of zero

const STOPS = {
  light: {
    below: [[255, 255, 255], [172, 86, 14]],
    above: [[255, 255, 255], [150, 178, 214], [52, 92, 160], [12, 18, 44]],
  },
  dark: {
    below: [[17, 22, 28], [70, 150, 220]],
    above: [[17, 22, 28], [122, 58, 40], [240, 150, 60], [255, 250, 225]],
  },
};
const tables = {};

/**
 * @param {number[]} colour  red, green, blue
 * @param {number} [alpha]
 * @returns {number} a pixel of an image, as a word
 */
export const word = ([r, g, b], alpha = 255) => ((alpha << 24) | (b << 16) | (g << 8) | r) >>> 0;

/**
 * @param {number[]} from
 * @param {number[]} to
 * @param {number} t  0 to 1
 * @returns {number[]} the colour between
 */
export const mix = (from, to, t) => from.map((value, c) => Math.round(value + t * (to[c] - value)));

/**
 * @param {string} theme
 * @returns {Uint32Array} words of the levels from -LEVELS to LEVELS
 */
export function ramp(theme) {
  tables[theme] ??= Uint32Array.from({ length: 2 * LEVELS + 1 }, (_, k) => {
    const t = (k - LEVELS) / LEVELS;
    const stops = t < 0 ? STOPS[theme].below : STOPS[theme].above;
    const at = Math.abs(t) * (stops.length - 1);
    const i = Math.min(stops.length - 2, Math.floor(at));
    return word(mix(stops[i], stops[i + 1], at - i));
  });
  return tables[theme];
}
