/** Above the list: the filter with its help, what is shown, and how far one has come. */

import { grade } from "./columns.js";
import { element } from "./dom.js";

const HELP = [
  ["101", "source numbers that begin with 101"],
  ["z>4  zprob<0.9  snr>=3", "numbers: z zauto zown zerr zprob zwarn snr q lines votes cq ra dec"],
  ["z=3..4  q=0,1  z=2.31", "a range, several values, a redshift within 0.005 (1+z)"],
  ["flag:stuck  flag:any", "my flags, by the beginning or a part of their name"],
  ["tag:lrd  comment:merger", "tags and comments"],
  ["grating:prism", "sources that have this spectrum"],
  ["is:todo  is:stale", "also graded, conflict, moved (I set another z), rerun (products out of date)"],
  ["blagn  \"two words\"", "text in comments and tags"],
  ["-q=4  -flag:any", "with a minus: not"],
]; // prettier-ignore
const SAID = ["not inspected", "impossible", "tentative", "probable", "secure"];
const CHIPS = [
  ["is:todo", "to do", ({ grades }) => grades[0]],
  ["is:stale", "stale", ({ stale }) => stale],
  ["is:conflict", "conflict", ({ conflict }) => conflict],
  ["is:rerun", "rerun", ({ rerun }) => rerun],
];
const DELAY = 20; // ms after the last letter, for long lists

/**
 * @param {HTMLElement} root
 * @param {{filter: (text: string) => void, leave: () => void, toggle: (word: string) => void}} does
 * @returns {{show: Function, wrong: Function, focus: Function, setFilter: Function, help: Function}}
 */
export function mountListHead(root, does) {
  const input = element("input", { type: "search", class: "list-filter", id: "list-filter", autocomplete: "off",
    spellcheck: "false", placeholder: "filter: z>4 zprob<0.9 q=0 flag:stuck tag:LRD 101", "aria-label": "filter",
    "aria-describedby": "list-wrong", data: { testid: "list-filter" }, on: { input: typed, keydown } }); // prettier-ignore
  const wrong = element("p", { class: "list-wrong", id: "list-wrong", role: "alert", hidden: true });
  const count = element("span", { class: "list-count num", role: "status", data: { testid: "list-count" } });
  const chips = element("span", { class: "list-chips" });
  const title = element("h1", { class: "list-title" });
  const bar = element("div", { class: "list-bar", role: "img", data: { testid: "list-bar" } });
  const legend = element("div", { class: "list-legend num" });
  const help = element("details", { class: "list-help" }, [
    element("summary", {}, ["filter help ", element("kbd", { text: "h" })]),
    element("dl", {}, HELP.flatMap(([what, does]) => [element("dt", { text: what }), element("dd", { text: does })])),
  ]);
  root.append(
    element("div", { class: "list-top" }, [
      element("div", { class: "list-line" }, [title, element("div", { class: "list-progress" }, [bar, legend])]),
      element("div", { class: "list-line" }, [input, element("kbd", { text: "/", "aria-hidden": "true" }), count, chips]),
      wrong,
      help,
    ]),
  );
  let timer = 0;
  let many = false;

  function typed() {
    clearTimeout(timer);
    timer = setTimeout(() => does.filter(input.value), many ? DELAY : 0);
  }

  function keydown(event) {
    if (event.isComposing || !["Enter", "Escape", "ArrowDown"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    clearTimeout(timer);
    if (event.key === "Escape" && input.value) input.value = "";
    does.filter(input.value);
    input.blur();
    does.leave();
  }

  function drawProgress(rows, counts) {
    const done = rows.n - counts[0];
    const order = [4, 3, 2, 1, 0];
    bar.replaceChildren(
      ...order.filter((q) => counts[q] > 0).map((q) => {
        const part = element("span", { class: `list-part q${q}`, title: `${SAID[q]}: ${counts[q]}` });
        part.style.flexGrow = counts[q];
        return part;
      }),
    );
    const percent = rows.n ? ((100 * done) / rows.n).toFixed(done && done < rows.n ? 1 : 0) : 0;
    const text = `${number(done)} of ${number(rows.n)} inspected (${percent} %)`;
    bar.setAttribute("aria-label", `${text}: ${order.map((q) => `${SAID[q]} ${counts[q]}`).join(", ")}`);
    legend.replaceChildren(
      element("strong", { text, data: { testid: "list-progress" } }),
      ...order.slice(0, 4).map((q) =>
        element("button", { type: "button", class: "plain", title: `${SAID[q]}: show only these`, on: {
          click: () => does.toggle(`q=${q}`) } }, [grade(q), ` ${SAID[q]} ${number(counts[q])}`])), // prettier-ignore
    );
  }

  function drawChips(counts, filter) {
    const words = filter.split(/\s+/);
    chips.replaceChildren(
      ...CHIPS.map(([word, said, count]) => [word, said, count(counts)])
        .filter(([word, , n]) => n > 0 || words.includes(word))
        .map(([word, said, n]) =>
          element("button", { type: "button", class: "list-chip", "aria-pressed": String(words.includes(word)),
            title: `filter: ${word}`, data: { chip: word }, on: { click: () => does.toggle(word) } }, [ // prettier-ignore
            `${said} `, element("span", { class: "num", text: number(n) })])), // prettier-ignore
    );
  }

  return {
    /** Show what the list holds now. */
    show({ rows, shown, queue, filter, list }) {
      many = rows.n > 5000;
      if (document.activeElement !== input) input.value = filter;
      title.textContent = queue ? "Conflicts" : "Sources";
      count.textContent = shown === rows.n ? `${number(rows.n)} shown` : `${number(shown)} of ${number(rows.n)} shown`;
      if (!list.meta.complete) count.textContent += ", still reading…";
      const counts = rows.counts();
      drawProgress(rows, counts.grades);
      drawChips(counts, filter);
    },
    /** Say what the filter does not understand; nothing when it does. */
    wrong(text) {
      wrong.textContent = text;
      wrong.hidden = !text;
      input.setAttribute("aria-invalid", String(Boolean(text)));
    },
    focus() {
      input.focus();
      input.select();
    },
    setFilter(text) {
      input.value = text;
      does.filter(text);
    },
    help() {
      help.open = !help.open;
    },
  };
}

function number(value) {
  return String(value).replace(/\B(?=(\d{3})+$)/g, "\u2009"); // toLocaleString takes 50 ms the first time
}
