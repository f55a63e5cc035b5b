/** Light and dark, and the colours that canvases draw with: the same variables as in style.css. */

const NAMES = [
  "ink",
  "soft",
  "faint",
  "rule",
  "paper",
  "panel",
  "data",
  "band",
  "model",
  "line",
  "weak",
  "auto",
  "zero",
  "good",
  "warn",
  "bad",
];
const STORED = "nirfire.theme";
let colours = null;

/** Follow the system unless the reader has chosen. */
export function chooseTheme(state) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const stored = read();
  apply(state, stored || (dark.matches ? "dark" : "light"));
  dark.addEventListener("change", () => read() || apply(state, dark.matches ? "dark" : "light"));
}

/** From light to dark and back. */
export function switchTheme(state) {
  const theme = state.get().theme === "dark" ? "light" : "dark";
  try {
    localStorage.setItem(STORED, theme);
  } catch {
    // chosen for this visit only
  }
  apply(state, theme);
}

function apply(state, theme) {
  document.documentElement.dataset.theme = theme;
  colours = null;
  state.set({ theme });
}

function read() {
  try {
    return localStorage.getItem(STORED);
  } catch {
    return null;
  }
}

/**
 * Colours of the theme that is on, as canvases take them.
 * @returns {Object<string, string>} by the name of the variable
 */
export function palette() {
  if (colours) return colours;
  const probe = document.createElement("span");
  document.body.append(probe);
  colours = {};
  for (const name of NAMES) {
    probe.className = `probe-${name}`;
    colours[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return colours;
}
