/** What a person says of the object, in the sidebar: grade, flags, comment and tags. */

import { flagsFor, note, ownVote } from "./draft.js";
import { block, element, keyButton } from "./dom.js";
import { moment, redshift, spectrumName } from "./format.js";
import { FLAG_KEYS } from "./keys.js";
import { setZ } from "./redshift.js";

/** Grades in one word. */
export const SHORT = ["not inspected", "impossible", "tentative", "probable", "secure"];
const MOST_TAGS = 20; // as the server has it
const LONGEST_TAG = 40;

/**
 * The four grades, and what is saved of them.
 * @param {object} app
 * @param {Object<string, Function>} does
 * @returns {{root: HTMLElement, draw: Function}}
 */
export function grades(app, does) {
  const said = element("p", { class: "saved", data: { testid: "saved" } });
  const buttons = [1, 2, 3, 4].map((quality) => {
    const words = app.session.quality.find(({ value }) => value === quality)?.said ?? SHORT[quality];
    const button = keyButton(SHORT[quality], String(quality), () => does.grade(quality), {
      class: `grade q${quality}`,
      title: words,
    });
    button.dataset.quality = quality;
    return button;
  });
  const back = keyButton("clear", "0", () => does.clear(), { class: "plain" });
  return {
    root: block("grades", "", [
      element("div", { class: "grade-row" }, buttons),
      element("div", { class: "saved-row" }, [said, back]),
    ]),
    draw(state) {
      const vote = ownVote(app);
      for (const button of buttons) {
        button.setAttribute("aria-pressed", String(Number(button.dataset.quality) === vote?.quality));
      }
      const rivals = vote?.rivals ?? [];
      back.hidden = !(vote?.quality > 0 || rivals.length > 0);
      const waiting = state.pending > 0 && app.api.queue.pending().some(({ body }) => body.uuid === vote?.uuid);
      const parts = vote?.quality > 0 ? [`your grade: ${SHORT[vote.quality]}`] : ["not graded by you"];
      if (vote?.quality > 1) parts.push(`z ${redshift(vote.z)}`);
      if (waiting) parts.push("not saved yet");
      said.textContent = parts.join(", ");
      said.classList.toggle("stale", Boolean(vote?.stale && vote.quality > 0));
      if (vote?.stale && vote.quality > 0)
        said.append(element("span", { class: "badge stale", text: "made anew since: look again" }));
      if (rivals.length > 0)
        said.replaceChildren(
          `${rivals.length > 2 ? rivals.length : "two"} votes of yours: `,
          ...rivals.map((vote) => rivalButton(app, vote)),
          element("span", { class: "badge trouble", text: "grade it again" }),
        );
    },
  };
}

/** A grade with its time, where there are several that did not know of each other; a click shows its redshift. */
function rivalButton(app, { quality, z, time }) {
  const said = `${SHORT[quality]}${quality > 1 ? ` z ${redshift(z)}` : ""} (${moment(time)})`;
  const options = { class: "plain", title: "show this redshift", disabled: z === null };
  return keyButton(said, "", () => setZ(app, z, "saved"), options);
}

/**
 * Flags of the spectrum that is active.
 * @param {object} app
 * @param {Object<string, Function>} does
 * @returns {{root: HTMLElement, draw: Function}}
 */
export function flags(app, does) {
  const title = element("h2");
  const list = element("div", { class: "flag-list" });
  const root = block("flags", "", [title, list]);
  return {
    root,
    draw({ object, active, flagging }) {
      if (!object || !active) return;
      const mine = ownVote(app)?.flags?.[active] ?? 0;
      const elsewhere = Object.entries(ownVote(app)?.flags ?? {}).filter(([key, bits]) => key !== active && bits);
      title.replaceChildren("Flags of ", spectrumName(active), " ", element("kbd", { text: "f" }));
      root.classList.toggle("listening", Boolean(flagging));
      list.replaceChildren(
        ...flagsFor(app, active).map(({ bit, said }, k) => {
          const key = flagging ? `${FLAG_KEYS[bit]} ${k + 1}` : "";
          return keyButton(said, key, () => does.flag(bit), {
            class: "chip flag",
            "aria-pressed": String((mine & bit) > 0),
          });
        }),
        ...elsewhere.map(([key]) => element("span", { class: "badge", text: `also flags on ${spectrumName(key)}` })),
      );
    },
  };
}

/**
 * Comment and tags; saved when they are left.
 * @param {object} app
 * @returns {{root: HTMLElement, draw: Function}}
 */
export function notes(app) {
  const comment = element("textarea", {
    rows: "2",
    "aria-label": "comment",
    placeholder: "comment",
    maxlength: "4000",
    data: { testid: "comment" },
  });
  const tags = element("input", {
    "aria-label": "tags",
    placeholder: "tags, e.g. LRD BLAGN",
    data: { testid: "tags" },
  });
  const labels = (text) => [...new Set(text.split(/[\s,;]+/).filter(Boolean))];
  const fields = [
    { field: comment, shown: (vote) => vote?.comment ?? "", patch: (text) => ({ comment: text.trim() }) },
    { field: tags, shown: (vote) => (vote?.tags ?? []).join(" "), patch: (text) => ({ tags: labels(text) }) },
  ];
  let held = null; // the source of what the fields hold
  for (const { field, shown, patch } of fields) {
    let begun; // what was said when the writing began; what comes meanwhile is not what is written over
    const save = () => {
      if (begun === undefined) return;
      const [changed, vote] = [patch(field.value), begun];
      begun = undefined;
      if (shown(changed) === shown(vote)) return draw(app.state.get());
      if (changed.tags?.length > MOST_TAGS || changed.tags?.some((tag) => [...tag].length > LONGEST_TAG))
        return app.say(`at most ${MOST_TAGS} tags, each of at most ${LONGEST_TAG} letters: not saved`, "bad");
      note(app, changed, vote);
    };
    field.addEventListener("focus", () => {
      const { object, source } = app.state.get();
      if (object?.meta.source === source) begun = ownVote(app);
      else field.blur(); // what it holds is of the object before
    });
    field.addEventListener("blur", save);
    field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        field.value = shown(begun);
        field.blur();
      }
      if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        field.blur();
      }
    });
  }

  function draw({ object }) {
    const vote = ownVote(app);
    const other = held !== object?.meta.source;
    held = object?.meta.source;
    for (const { field, shown } of fields) if (other || document.activeElement !== field) field.value = shown(vote);
  }

  const line = (label, key, field) =>
    element("label", { class: "note" }, [element("span", {}, [label, " ", element("kbd", { text: key })]), field]);
  const root = block("notes", "", [line("Comment", "c", comment), line("Tags", "t", tags)]);
  return { root, comment, tags, draw };
}
