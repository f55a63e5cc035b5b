/** Beside an exposure: which one it is, its regions, suggestions, and a field for corners that are typed. */

import { element, keyButton } from "./dom.js";
import { ds9 } from "./polygons.js";

/**
 * @param {object} app
 * @param {object} acts  open, view, choose, use, remove, clear, typed
 * @returns {object} root; draw(meta, how), corners(list), choose(k), type(text), trouble(text)
 */
export function createMaskPanel(app, acts) {
  const title = element("div", { class: "rate-title" });
  const list = element("div", { class: "rate-regions", data: { testid: "regions" } });
  const said = element("p", { class: "trouble", role: "alert", hidden: true });
  const field = element("textarea", {
    rows: "3",
    spellcheck: "false",
    "aria-label": "corners of a polygon, x,y as DS9 counts",
    placeholder: "x,y  x,y  x,y",
    data: { testid: "corners" },
    on: { keydown: onKey },
  });
  const drawn = element("p", { class: "rate-hint" });
  const root = element("aside", { class: "rate-panel" }, [
    title,
    drawn,
    list,
    element("h2", { text: "Corners, as DS9 counts" }),
    element("div", { class: "rate-type" }, [field]),
    said,
  ]);

  function onKey(event) {
    if (event.key === "Escape") return field.blur();
    if (event.key !== "Enter" || event.shiftKey) return undefined;
    event.preventDefault();
    const problem = acts.typed(field.value);
    trouble(problem);
    field.setAttribute("aria-invalid", String(Boolean(problem)));
    if (problem) return undefined;
    field.value = "";
    return field.blur();
  }

  function trouble(text) {
    said.textContent = text;
    said.hidden = !text;
  }

  function draw(meta, { exposures, view, chosen }) {
    const on = { change: () => (acts.open(select.value), select.blur()) };
    const options = exposures.map((one) => option(one, meta.exposure));
    const select = element("select", { "aria-label": "exposure", data: { testid: "exposure" }, on }, options);
    title.replaceChildren(
      element("h2", { text: "Mask" }),
      select,
      element("div", { class: "rate-tools" }, [
        tool("next", "n", () => step(exposures, meta, 1)),
        tool(view, "v", acts.view),
        tool("remove all", "X", acts.clear),
      ]),
    );
    const { mask, suggested, listed, problem, editable, reason } = meta;
    trouble([problem, editable ? "" : reason].filter(Boolean).join(" "));
    const regions = mask.map((one, k) => item(one, k, one.drawn ? "remove" : "", () => acts.remove(k)));
    const offered = suggested.map((one, k) => item(one, mask.length + k, "use", () => acts.use(mask.length + k)));
    list.replaceChildren(
      element("h2", { text: ["No region yet", "1 region"][mask.length] ?? `${mask.length} regions` }),
      ...regions,
      listed > 0 ? element("p", { class: "faint", text: `${listed} more in observations.toml` }) : "",
      ...(offered.length > 0 ? [element("h2", { text: "Suggested" }), ...offered] : []),
      offered.length === 0 ? element("p", { class: "faint" }, ["nirfire mask suggest looks for artefacts"]) : "",
    );
    choose(chosen);
  }

  function step(exposures, meta, by) {
    const names = exposures.filter((one) => one.image).map((one) => one.exposure);
    acts.open(names[(names.indexOf(meta.exposure) + by) % names.length]);
  }

  function tool(text, key, run) {
    return keyButton(text, key, (event) => (event?.currentTarget?.blur(), run()), { class: "tool" });
  }

  function option({ exposure, grating, n_regions: n, image }, shown) {
    const text = `${exposure}  ${grating}${n > 0 ? `  ${n} masked` : ""}`;
    return element("option", { value: exposure, text, selected: exposure === shown, disabled: !image });
  }

  function item(region, k, act, run) {
    const label = (/text=\{(.*?)\}/.exec(region.text)?.[1] ?? "").replace(/^inspect /, "");
    const shape = region.points ? `${region.points.length} corners` : region.text.split("(")[0].replace(/^[-+\s]+/, "");
    const words = `${region.excluded ? "without " : ""}${shape}${label ? `: ${label}` : ""}`;
    const on = { click: () => acts.choose(k) };
    return element("div", { class: "rate-region", data: { region: k } }, [
      element("button", { type: "button", class: "plain", text: words, title: region.text, on }),
      act
        ? element("button", { type: "button", class: "tool", text: act, on: { click: run } })
        : element("span", { class: "faint", text: "by hand" }),
    ]);
  }

  function choose(k) {
    for (const one of list.querySelectorAll("[data-region]")) {
      one.classList.toggle("chosen", one.dataset.region === String(k));
    }
  }

  function corners(points) {
    drawn.replaceChildren(
      ...(points.length === 0
        ? [
            "Click corners, or move with the arrows and press the space bar. ",
            element("kbd", { text: "Enter" }),
            " closes and saves, ",
            element("kbd", { text: "⌫" }),
            " takes a corner back.",
          ]
        : [`${points.length} corner${points.length === 1 ? "" : "s"}: ${ds9(points)}`]),
    );
  }

  corners([]);
  return {
    root,
    draw,
    corners,
    choose,
    trouble,
    type(text) {
      field.value = text;
      field.focus();
    },
  };
}
