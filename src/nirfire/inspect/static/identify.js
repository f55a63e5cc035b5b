/**
 * "What if this is H alpha?": a feature is chosen, by the mouse or the strongest one in view, and each line that it may
 * be is a digit away; the redshift follows, and with it all lines and the model.
 */

import { element } from "./dom.js";
import { candidates, featureAt, featuresWithin } from "./features.js";
import { fixed, redshift, significant } from "./format.js";
import { spectrumOf } from "./spectra.js";
import { setZ, sharedZ } from "./redshift.js";

/**
 * @param {object} app
 * @param {(state: object) => {z: Float64Array, dchi2: Float32Array}|null} scanOf
 * @returns {{root: HTMLElement, start: (panel: object, wave?: number) => void, stop: () => void}}
 */
export function createIdentify(app, scanOf) {
  const title = element("h2");
  const list = element("ol", { class: "candidates num" });
  const hint = element("p", { class: "hint" }, [
    element("kbd", { text: "1–9" }),
    " tries a line  ",
    element("kbd", { text: "j" }),
    element("kbd", { text: "J" }),
    " next feature, the one before  ",
    element("kbd", { text: "Enter" }),
    " keeps  ",
    element("kbd", { text: "Esc" }),
    " leaves",
  ]);
  const root = element("div", { class: "identify", hidden: true, data: { testid: "identify" } }, [title, list, hint]);
  const now = { panel: null, all: [], k: 0, before: null, release: null };

  function start(panel, wave = NaN) {
    const { active, object, view, z, zFrom } = app.state.get();
    const spectrum = spectrumOf(object, active);
    if (!spectrum) return;
    const all = featuresWithin(spectrum, view, panel.range());
    const chosen = Number.isFinite(wave) ? featureAt(spectrum, view, wave) : all[0];
    if (!chosen) return app.say("no feature stands out here: point at one, then j");
    stop();
    Object.assign(now, { panel, all: all.includes(chosen) ? all : [chosen, ...all], before: { z, zFrom } });
    now.k = now.all.indexOf(chosen);
    now.release = app.keys.capture(onKey);
    root.hidden = false;
    draw();
  }

  function stop() {
    now.release?.();
    now.release = null;
    root.hidden = true;
    now.panel?.point(null);
  }

  function offered() {
    const state = app.state.get();
    const onAll = (z) => sharedZ(state.object, state.active, z);
    return candidates(now.all[now.k].wave, app.session.lines, scanOf(state), app.session.z_max, onAll);
  }

  function draw() {
    const { wave, snr } = now.all[now.k];
    const worth = snr ? `, S/N ${fixed(snr, 1)}` : "";
    title.textContent = `Feature at ${fixed(wave, 4)} µm${worth}: which line?`;
    const rows = offered();
    const least = Math.min(...rows.map((one) => one.dchi2 ?? Infinity));
    list.replaceChildren(
      ...rows.map(({ line, z, dchi2 }, k) => {
        const worth = Number.isFinite(dchi2) ? `Δχ² ${significant(dchi2, 2)}` : "";
        const row = element("button", { type: "button", class: "plain candidate" }, [
          element("kbd", { text: String(k + 1) }),
          element("span", { text: line.label }),
          element("span", { text: `z ${redshift(z)}` }),
          element("span", { class: "worth", text: worth }),
        ]);
        row.classList.toggle("best", dchi2 === least && Number.isFinite(dchi2));
        row.addEventListener("click", () => choose(k));
        return element("li", {}, [row]);
      }),
    );
    now.panel.point(wave);
  }

  function choose(k) {
    const one = offered()[k];
    if (one) setZ(app, one.z, `${one.line.label} at ${fixed(now.all[now.k].wave, 3)} µm`);
  }

  function onKey(name) {
    if (/^[1-9]$/.test(name)) choose(Number(name) - 1);
    else if (name === "j" || name === "J") {
      now.k = (now.k + (name === "j" ? 1 : -1) + now.all.length) % now.all.length;
      draw();
    } else {
      const { z, zFrom } = now.before;
      stop();
      if (name === "Escape" && Number.isFinite(z)) setZ(app, z, zFrom);
      return name === "Escape" || name === "Enter"; // any other key does what it always does
    }
    return true;
  }

  return { root, start, stop };
}
