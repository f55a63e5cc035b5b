/** What is known and said of the object: redshift, solutions, grade, flags, notes, votes of others, facts. */

import { block, copy, element, keyButton } from "./dom.js";
import { degrees, error, probability, redshift, sexagesimal, significant, spectrumName } from "./format.js";
import { flags, grades, notes } from "./judgement.js";
import { facts, others } from "./record.js";
import { nearest, solutions, zOf } from "./redshift.js";

/**
 * @param {object} app
 * @param {Object<string, Function>} does  grade(q), setZ(z, from), flag(bit), typeZ(), ...
 * @returns {{root: HTMLElement, draw: (changed: Set<string>) => void, zInput: HTMLInputElement,
 *   comment: HTMLTextAreaElement, tags: HTMLInputElement}}
 */
export function createSidebar(app, does) {
  const made = {
    identity: identity(app),
    redshift: redshiftBlock(app, does),
    solutions: solutionList(app, does),
    grades: grades(app, does),
    flags: flags(app, does),
    notes: notes(app),
    others: others(app),
    facts: facts(app),
  };
  const root = element(
    "aside",
    { class: "sidebar", data: { testid: "sidebar" } },
    Object.values(made).map((one) => one.root),
  );
  const wants = {
    identity: ["object", "order", "source"],
    redshift: ["z", "zFrom", "object", "own", "active", "fitting", "refit", "models"],
    solutions: ["z", "object", "active", "refit"],
    grades: ["object", "own", "pending"],
    flags: ["object", "own", "active", "flagging"],
    notes: ["object", "own"],
    others: ["object", "own"],
    facts: ["object", "active"],
  };
  return {
    root,
    draw(changed) {
      for (const [name, part] of Object.entries(made)) {
        if (changed.has("all") || wants[name].some((key) => changed.has(key)))
          part.draw(app.state.get(), changed.has("object"));
      }
    },
    zInput: made.redshift.input,
    comment: made.notes.comment,
    tags: made.notes.tags,
  };
}

function identity(app) {
  const number = element("strong", { class: "source", data: { testid: "source" } });
  const name = element("span", { class: "name" });
  const place = element("button", { type: "button", class: "plain place-of", title: "copy" });
  place.addEventListener("click", () =>
    copy(place.dataset.copy).then(() => app.say("position copied", "good"), app.report),
  );
  return {
    root: block("identity", "", [number, name, place]),
    draw({ object }) {
      if (!object) return;
      const { source, ra, dec } = object.meta;
      number.textContent = source;
      name.textContent = object.meta.name === String(source) ? "" : object.meta.name;
      place.textContent = degrees(ra, dec);
      place.dataset.copy = degrees(ra, dec).replace("−", "-").replace("+", "");
      place.title = `${sexagesimal(ra, dec)} (press to copy degrees)`;
    },
  };
}

function redshiftBlock(app, does) {
  const value = element("output", { class: "z num", data: { testid: "z" } });
  const err = element("span", { class: "z-err num" });
  const from = element("span", { class: "chip from" });
  const input = element("input", {
    class: "z-input num",
    "aria-label": "redshift",
    inputmode: "decimal",
    hidden: true,
    data: { testid: "z-input" },
  });
  const odds = element("p", { class: "odds" });
  const warnings = element("ul", { class: "warnings" });
  const typed = () => Number(input.value.trim().replace(",", ".").replace("−", "-"));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") input.blur();
    if (event.key !== "Enter") return;
    event.preventDefault();
    const z = typed();
    if (z > app.session.z_max || z < 0) app.say(`redshifts go from 0 to ${app.session.z_max} here`, "bad");
    if (input.value.trim() !== "" && z >= 0 && z <= app.session.z_max) {
      does.setZ(z, "typed");
      input.blur();
    } else input.setAttribute("aria-invalid", "true");
  });
  input.addEventListener("input", () => input.removeAttribute("aria-invalid"));
  input.addEventListener("blur", () => (input.hidden = true));
  const head = element("div", { class: "z-line" }, [
    element("span", { class: "z-name", text: "z" }),
    value,
    input,
    err,
    keyButton("set", "z", () => does.typeZ(), { class: "plain" }),
  ]);
  return {
    root: block("redshift", "", [head, element("div", { class: "z-from" }, [from]), odds, warnings]),
    input,
    draw(state) {
      const { object, z, zFrom, fitting } = state;
      if (!object) return;
      const told = object.meta;
      const spectrum = told.spectra.find((one) => one.key === state.active);
      const isAuto = Number.isFinite(told.z) && Math.abs(z - told.z) < 1e-7;
      const known = isAuto ? told.z_err : solutions(state)[nearest(solutions(state), z)]?.z_err;
      value.textContent = redshift(z, known);
      err.textContent = error(known);
      from.textContent = fitting ? "fitting …" : fromSaid(zFrom, told, z, isAuto);
      from.classList.toggle("busy", fitting);
      tellWorth(odds, state, spectrum, isAuto);
      const fit = told.joint && !told.joint.error ? told.joint : spectrum;
      const anew = state.refit?.key === state.active && Math.abs(state.refit.meta.z - z) < 1e-9 ? state.refit : null;
      const texts = anew ? (anew.meta.zwarn ?? []) : isAuto || !Number.isFinite(told.z) ? (fit?.zwarn ?? []) : [];
      const damaged = [told.joint, ...told.spectra].map((one) => one?.error).filter(Boolean);
      warnings.replaceChildren(...[...texts, ...damaged].map((text) => element("li", { text })));
    },
  };
}

/** What the redshift shown is worth: a probability for the automatic one, chi-squared above the best for another. */
function tellWorth(odds, state, spectrum, isAuto) {
  const { object, refit, models, active, z } = state;
  const told = object.meta;
  const joint = told.joint && !told.joint.error ? told.joint : null;
  const fitted = refit && refit.key === active && Math.abs(refit.meta.z - z) < 1e-9 ? refit.meta : null;
  const model = models.get(active);
  const parts = [];
  if (isAuto || fitted) {
    const p = isAuto ? told.zprob : fitted.zprob;
    if (Number.isFinite(p)) parts.push(["right with probability ", probability(p)]);
    if (isAuto && joint) parts.push(["", `${joint.n_agree} of ${told.spectra.length} gratings agree`]);
    if (isAuto && spectrum?.class) parts.push(["", spectrum.class]);
  }
  const above = model && Math.abs(model.z - zOf(state, active)) < 1e-9 ? model.meta.dchi2 : null;
  if (model?.meta.error) parts.push(["", "no model"]);
  if (!isAuto && Number.isFinite(above)) parts.push(["Δχ² to the best fit ", significant(above, 3)]);
  odds.replaceChildren(
    ...parts.map(([text, value], k) =>
      element("span", { text: `${k ? " · " : ""}${text}` }, [
        element(text ? "b" : "span", { class: odd(text, value) ? "num low" : "num", text: value }),
      ]),
    ),
  );
}

const odd = (text, value) => text.startsWith("right") && (value.startsWith("<") || Number(value) < 0.5);

function fromSaid(zFrom, told, z, isAuto) {
  if (!Number.isFinite(z)) return "no redshift yet: U fits one, z types one";
  if (isAuto)
    return told.origin && told.origin !== "joint"
      ? `automatic, ${spectrumName(told.origin)}`
      : "automatic, all gratings";
  if (!Number.isFinite(told.z)) return zFrom;
  const dz = z - told.z;
  return `${zFrom} · Δz ${dz < 0 ? "−" : "+"}${significant(Math.abs(dz), 2)}`;
}

function solutionList(app, does) {
  const list = element("ol", { class: "solution-list" });
  const root = block("solutions", "", [
    element("h2", {}, ["Solutions ", element("kbd", { text: "i" }), element("kbd", { text: "o" })]),
    list,
  ]);
  return {
    root,
    draw(state) {
      const all = solutions(state);
      const here = nearest(all, state.z);
      root.hidden = all.length === 0;
      list.replaceChildren(
        ...all.map((one, k) => {
          const worth = Number.isFinite(one.dchi2)
            ? `Δχ² ${significant(one.dchi2, 2)}`
            : `p ${probability(one.probability)}`;
          const row = element(
            "button",
            { type: "button", class: "plain solution num", "aria-current": k === here ? "true" : null },
            [
              element("span", { class: "rank", text: one.name }),
              element("span", { text: redshift(one.z, one.z_err) }),
              element("span", { class: "worth", text: worth }),
            ],
          );
          row.addEventListener("click", () => does.setZ(one.z, `solution ${one.name}`));
          return element("li", {}, [row]);
        }),
      );
    },
  };
}
