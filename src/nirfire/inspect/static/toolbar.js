/** The row above the plots: gratings, and what is drawn; each says its key and does the same by mouse. */

import { element, keyButton } from "./dom.js";
import { spectrumName } from "./format.js";
import { spectrumOf } from "./spectra.js";

const SMOOTH = { 0: "unsmoothed", 3: "smoothed 3 px", 5: "smoothed 5 px" };
const UNITS = { fnu: "fν", flam: "fλ" };
const EXTRACTION = { opt: "optimal", box3: "box 3", box4: "box 4", box5: "box 5" };
const IMAGE = { snr: "2D S/N", flux: "2D flux" };

/**
 * @param {(id: string) => void} run  an action of the key table
 * @param {(key: string) => void} activate  another spectrum
 * @returns {{root: HTMLElement, draw: (state: object) => void}}
 */
export function createToolbar(run, activate) {
  const gratings = element("div", { class: "gratings", role: "group", "aria-label": "gratings" });
  const make = (id, key, text = "") =>
    keyButton(text, key, () => run(id), { class: "tool", data: { testid: `tool-${id}` } });
  const tools = {
    together: make("together", "b", "side by side"),
    lines: make("lines", "l", "lines"),
    model: make("model", "m", "model"),
    band: make("band", "e", "errors"),
    smooth: make("smooth", "s"),
    units: make("units", "w"),
    extraction: make("extraction", "x"),
    image: make("image", "k"),
    cutouts: make("cutouts", "v", "exposures"),
    reset: make("reset", "r", "whole range"),
  };
  const say = (id, text) => (tools[id].firstChild.textContent = text);
  const press = (id, on) => tools[id].setAttribute("aria-pressed", String(on));
  return {
    root: element("div", { class: "toolbar" }, [gratings, ...Object.values(tools)]),
    draw({ object, active, view }) {
      const keys = object.meta.spectra.map(({ key, error }) => `${key} ${error ?? ""}`).join();
      if (gratings.dataset.keys !== keys) {
        gratings.dataset.keys = keys;
        const several = object.meta.spectra.length > 1;
        const names = shortNames(object.meta.spectra);
        gratings.replaceChildren(...object.meta.spectra.map((one, k) => tab(object, one, names[k], several, activate)));
        if (several) gratings.append(element("kbd", { text: "g" }));
      }
      for (const button of gratings.querySelectorAll("button")) {
        button.setAttribute("aria-pressed", String(button.dataset.key === active));
      }
      tools.together.hidden = object.meta.spectra.length < 2;
      for (const id of ["lines", "model", "band"]) press(id, view[id]);
      for (const id of ["together", "cutouts"]) tools[id].setAttribute("aria-expanded", String(view[id]));
      say("smooth", SMOOTH[view.smooth] ?? "smoothed");
      say("units", UNITS[view.units] ?? UNITS.fnu);
      say("extraction", EXTRACTION[view.extraction] ?? view.extraction);
      say("image", `${IMAGE[view.image]}${view.stretch ? ` ×${(1.4 ** -view.stretch).toFixed(1)}` : ""}`);
    },
  };
}

/** The disperser alone, where that tells the spectra apart. */
function shortNames(spectra) {
  const short = spectra.map(({ grating }) => grating);
  return new Set(short).size === short.length ? short : spectra.map(({ key }) => spectrumName(key));
}

function tab(object, { key, error }, name, several, activate) {
  const button = element("button", { type: "button", class: "tab", text: name, disabled: !several, title: error });
  button.dataset.key = key;
  if (!spectrumOf(object, key)) button.classList.add("broken");
  button.addEventListener("click", () => activate(key));
  return button;
}
