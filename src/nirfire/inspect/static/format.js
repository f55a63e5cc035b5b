/** Numbers as the page writes them. */

const DASH = "–";

/**
 * A number with as many decimals as are asked for; a dash where there is none.
 * @param {number|null|undefined} value
 * @param {number} [decimals]
 * @returns {string}
 */
export function fixed(value, decimals = 2) {
  return Number.isFinite(value)
    ? value
        .toFixed(decimals)
        .replace(/^-(0\.?0*)$/, "$1")
        .replace("-", "−")
    : DASH;
}

/** Decimals of a redshift and of its error: two digits of the error, and never fewer than four decimals. */
const decimalsOf = (err) => (err > 0 ? Math.min(6, Math.max(4, 1 - Math.floor(Math.log10(err)))) : 4);

/**
 * A redshift, with as many decimals as its error.
 * @param {number|null|undefined} z
 * @param {number|null} [err]
 * @returns {string}
 */
export function redshift(z, err = null) {
  return fixed(z, decimalsOf(err));
}

/**
 * The error of a redshift, with as many decimals as the redshift.
 * @param {number|null|undefined} err
 * @returns {string}
 */
export function error(err) {
  return err > 0 && Number.isFinite(err) ? `± ${fixed(err, decimalsOf(err))}` : "";
}

/**
 * A probability; it never reads 1, and 0 only where it is.
 * @param {number|null|undefined} p
 * @returns {string}
 */
export function probability(p) {
  if (!Number.isFinite(p)) return DASH;
  if (p > 0.999) return "> 0.999";
  if (p < 0.001 && p > 0) return "< 0.001";
  return p.toFixed(3);
}

/**
 * Three significant digits, with an exponent where the number is very large or small.
 * @param {number|null|undefined} value
 * @param {number} [digits]
 * @returns {string}
 */
export function significant(value, digits = 3) {
  if (!Number.isFinite(value)) return DASH;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3)
    return value
      .toExponential(digits - 1)
      .replace("e+", "e")
      .replace("-", "−");
  return fixed(value, Math.max(0, digits - 1 - Math.floor(Math.log10(size))));
}

/**
 * RA and Dec in degrees.
 * @param {number} ra
 * @param {number} dec
 * @returns {string}
 */
export function degrees(ra, dec) {
  if (!Number.isFinite(ra) || !Number.isFinite(dec)) return DASH;
  return `${ra.toFixed(6)} ${dec < 0 ? "−" : "+"}${Math.abs(dec).toFixed(6)}`;
}

/**
 * RA and Dec in hours and degrees, for a tooltip or another archive's search box.
 * @param {number} ra
 * @param {number} dec
 * @returns {string}
 */
export function sexagesimal(ra, dec) {
  if (!Number.isFinite(ra) || !Number.isFinite(dec)) return DASH;
  return `${sixty(ra / 15, 3)} ${dec < 0 ? "-" : "+"}${sixty(Math.abs(dec), 2)}`;
}

function sixty(value, decimals) {
  const unit = 10 ** decimals;
  const seconds = Math.round(value * 3600 * unit);
  const whole = (number) => String(number).padStart(2, "0");
  const second = ((seconds % (60 * unit)) / unit).toFixed(decimals).padStart(3 + decimals, "0");
  return `${whole(Math.floor(seconds / (3600 * unit)))}:${whole(Math.floor(seconds / (60 * unit)) % 60)}:${second}`;
}

/**
 * A time of a vote, as date and minutes of the reader's own clock.
 * @param {string} iso
 * @returns {string}
 */
export function moment(iso) {
  const time = new Date(iso);
  if (Number.isNaN(time.getTime())) return iso;
  const two = (number) => String(number).padStart(2, "0");
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${day} ${two(time.getHours())}:${two(time.getMinutes())}`;
}

/**
 * The key of a spectrum as an astronomer writes it: `prism_clear` is PRISM/CLEAR.
 * @param {string} key
 * @returns {string}
 */
export function spectrumName(key) {
  return key.toUpperCase().replace("_", "/");
}
