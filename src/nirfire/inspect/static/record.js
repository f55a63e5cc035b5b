/** What is on record, in the sidebar: votes of others and of earlier days, facts of the products, measured lines. */

import { ownVote } from "./draft.js";
import { block, element } from "./dom.js";
import { fixed, moment, redshift, significant } from "./format.js";
import { SHORT } from "./judgement.js";

const LATE = 60_000; // ms

/**
 * Votes of others, and all there ever were.
 * @param {object} app
 * @returns {{root: HTMLElement, draw: Function}}
 */
export function others(app) {
  const list = element("ul", { class: "votes" });
  const past = element("ul", { class: "votes" });
  const history = element("details", { data: { testid: "history" } }, [element("summary", {}), past]);
  const root = block("others", "Votes of others", [list, history]);
  history.addEventListener("toggle", async () => {
    const source = app.state.get().object?.meta.source;
    if (!history.open || source === undefined) return;
    const { votes } = await app.api.history(source).catch((problem) => (app.report(problem), { votes: [] }));
    if (app.state.get().object?.meta.source === source)
      past.replaceChildren(...votes.map((vote) => oneVote(vote, true)));
  });
  return {
    root,
    draw({ object }, changed) {
      const told = object?.meta.votes ?? {};
      const votes = (told.others ?? []).flatMap((vote) => (vote.rivals.length > 0 ? vote.rivals : [vote]));
      const rows = votes.map((vote) => oneVote(vote, false));
      if (told.hidden > 0) rows.push(element("li", { text: `${told.hidden} hidden until you have graded it` }));
      list.replaceChildren(...rows);
      if (changed) history.open = false;
      const count = Math.max(told.n_history ?? 0, ownVote(app) ? 1 : 0);
      history.hidden = count === 0;
      history.firstChild.textContent = "all votes ever";
      root.firstChild.hidden = rows.length === 0;
      root.hidden = rows.length === 0 && count === 0;
    },
  };
}

function oneVote(vote, dated) {
  return element("li", {}, [
    element("b", { class: `grade-dot q${vote.quality}`, text: String(vote.quality) }),
    element("span", { class: "num", text: vote.quality > 1 ? `z ${redshift(vote.z)}` : SHORT[vote.quality] }),
    element("span", {
      class: "who",
      text: dated ? `${vote.user}, ${moment(vote.time)}` : vote.user,
      title: moment(vote.time) + (late(vote) ? `, saved ${moment(vote.saved)}` : ""),
    }),
    vote.stale ? element("span", { class: "badge stale", text: "stale" }) : null,
    vote.comment ? element("q", { text: vote.comment }) : null,
  ]);
}

/** True for a vote that waited for the server. */
function late({ time, saved }) {
  return Boolean(saved) && Date.parse(saved) - Date.parse(time) > LATE;
}

/**
 * What the products say of themselves.
 * @param {object} app
 * @returns {{root: HTMLElement, draw: Function}}
 */
export function facts(app) {
  const list = element("dl", { class: "facts" });
  const lines = element("table", { class: "line-table num" });
  const measured = element("details", {}, [element("summary", { text: "Lines measured" }), lines]);
  const root = block("facts", "Facts", [list, measured]);
  const label = (name) => app.session.lines.find((one) => one.name === name)?.label ?? name;
  return {
    root,
    draw({ object, active }) {
      const told = object?.meta.spectra.find((one) => one.key === active);
      const rows = told?.facts ?? [];
      root.hidden = rows.length === 0;
      list.replaceChildren(...rows.flatMap(([name, text]) => [element("dt", { text: name }), element("dd", { text })]));
      const strong = [...(told?.lines ?? [])].filter((one) => one.snr > 2).sort((a, b) => b.snr - a.snr);
      measured.hidden = strong.length === 0;
      const head = ["line", "S/N", "EW₀ [Å]"].map((text) => element("th", { text }));
      lines.replaceChildren(
        element("tr", {}, head),
        ...strong.map((one) =>
          element("tr", {}, [
            element("td", { text: label(one.name) }),
            element("td", { text: fixed(one.snr, 1) }),
            element("td", { text: significant(one.ew_rest, 3) }),
          ]),
        ),
      );
    },
  };
}
