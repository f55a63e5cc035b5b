/** The exposures of an object: its cutouts, which shutters are stuck, which nods serve for which. */

import { element, keyButton } from "./dom.js";
import { spectrumName } from "./format.js";
import { layoutOf, paint, scaleOf, shutterAt } from "./cutoutpaint.js";
import { told } from "./edits.js";
import { asFound, evidence, nodBody, nodsOf, shutterBody, stateOf, toggled, withBackground } from "./slits.js";

const WORDS = { open: "open", stuck: "stuck", unknown: "not known", closed: "commanded closed" };
const ROW = 3; // CSS pixels of a row of the detector

/**
 * @param {HTMLElement} root
 * @param {object} app
 * @returns {{update: () => void, unmount: () => void, keys: object[]}}
 */
export function mount(root, app) {
  const { state } = app;
  let [source, payload, kind, chosen, turn] = [null, null, "bkgsub", null, 0];
  let [saving, unsaved] = [Promise.resolve(), 0];
  const body = element("div", { class: "cutouts", tabindex: "-1" });
  root.append(body);
  const resized = new ResizeObserver(() => drawImages());
  resized.observe(body);
  const off = [state.on(["theme", "view"], () => drawImages()), state.on(["stale"], () => drawStale())];

  async function update() {
    if (state.get().source === source) return;
    source = state.get().source;
    await load();
  }

  /** What is shown of another object cannot be touched while this one is on its way. */
  async function load() {
    const mine = ++turn;
    payload = null;
    body.inert = true;
    try {
      const found = await app.api.cutouts(source);
      if (mine !== turn) return;
      payload = found;
      chosen = null;
      body.inert = false;
      draw();
    } catch (problem) {
      if (mine !== turn) return;
      body.inert = false;
      body.replaceChildren(element("p", { class: "trouble", text: `${problem.message} ${problem.remedy ?? ""}` }));
    }
  }

  const focusedControl = () => (body.contains(document.activeElement) ? document.activeElement.dataset.control : null);

  /** Build all anew; whoever had the focus keeps it. */
  function draw() {
    const wanted = focusedControl();
    const { exposures, slits, problems } = payload.meta;
    const roots = [...new Set(exposures.map((one) => one.root))];
    body.replaceChildren(
      head(),
      ...problems.map((text) => element("p", { class: "trouble", text })),
      ...roots.map((name) => drawRoot(name, slits[name], exposures.filter((one) => one.root === name))),
      exposures.length === 0 ? element("p", { text: "There are no cutouts of this object." }) : "",
    );
    drawImages();
    drawStale();
    if (wanted) body.querySelector(`[data-control="${wanted}"]`)?.focus();
  }

  function head() {
    const sky = kind === "bkgsub" ? "sky subtracted" : "with sky";
    return element("div", { class: "cutouts-head" }, [
      element("h2", { text: "Exposures" }),
      keyButton(sky, "h", switchSky, { class: "tool", "data-testid": "cutouts-sky" }),
      element("span", { class: "cutouts-hint" }, [
        element("kbd", { text: "↑" }), element("kbd", { text: "↓" }), " choose a shutter or nod, ",
        element("kbd", { text: "Enter" }), " changes it, ", element("kbd", { text: "⌫" }), " as found",
      ]),
      element("span", { class: "badge stale", hidden: true, data: { testid: "cutouts-stale" } }),
    ]);
  }

  function drawRoot(name, slit, exposures) {
    const shutters = exposures.find((one) => one.shutters.length > 0)?.shutters ?? [];
    const detectors = [...new Set(exposures.map((one) => one.detector))].sort();
    const nods = nodsOf(exposures);
    const rows = [...new Set(exposures.map((one) => one.nod))].sort((a, b) => a - b);
    const grid = element("div", { class: "cutouts-grid", data: { columns: detectors.length } });
    for (const nod of rows) {
      const here = nods.find((one) => one.nod === nod);
      const last = nod === rows.at(-1);
      grid.append(nodCell(name, here, nod, nods));
      for (const detector of detectors) {
        const shot = exposures.find((one) => one.nod === nod && one.detector === detector);
        grid.append(shot ? shotCell(shot, last) : element("div"));
      }
    }
    return element("section", { class: "cutouts-root", data: { root: name } }, [
      element("div", { class: "cutouts-slit", role: "group", "aria-label": `shutters of ${name}` }, [
        element("b", { text: spectrumName(exposures[0].key) }),
        element("span", { class: "num faint", text: name }),
        ...[...shutters].filter((one) => one.ordinal).map((one) => shutterButton(name, slit, one)),
        ...slitNotes(name, slit, shutters),
      ]),
      grid,
    ]);
  }

  function shutterButton(name, slit, shutter) {
    const id = `${name}/${shutter.ordinal}`;
    const stuck = shutter.state === "stuck";
    const mark = { stuck: "✕ ", unknown: "? ", open: "" }[shutter.state];
    return element(
      "button",
      {
        type: "button",
        class: `shutter ${shutter.state}`,
        title: evidence(shutter),
        "aria-pressed": String(stuck),
        "aria-label": `shutter ${shutter.ordinal}, ${WORDS[shutter.state]}${slit.by_hand ? ", said by hand" : ""}`,
        data: { control: id, testid: `shutter-${shutter.ordinal}`, state: shutter.state, ordinal: shutter.ordinal },
        on: {
          click: () => toggle(name, shutter.ordinal),
          focus: () => choose(id),
          mouseenter: () => choose(id),
          blur: () => choose(null),
          mouseleave: () => choose(null),
        },
      },
      [element("span", { text: `${mark}${shutter.ordinal} ${WORDS[shutter.state]}` })],
    );
  }

  function slitNotes(name, slit, shutters) {
    const notes = [];
    if (!slit.editable) notes.push(element("span", { class: "faint", text: "which shutters were open is not known" }));
    if (slit.by_hand) {
      notes.push(element("span", { class: "badge", text: "by hand" }));
      const data = { control: `${name}/found`, testid: "as-found" };
      notes.push(keyButton("as found", "⌫", () => takeBack(name), { class: "tool", data }));
    }
    if (slit.neighbours.length > 0) {
      const links = slit.neighbours.flatMap((n) => [" ", element("a", { href: `#/object/${n}`, text: String(n) })]);
      notes.push(element("span", { class: "faint" }, ["in the same slitlet, marked on its own:", ...links]));
    }
    return notes;
  }

  /** A nod: whether it takes part, and which others are its background. */
  function nodCell(name, nod, number, nods) {
    const cell = element("div", { class: "nod", role: "group", "aria-label": `nod ${number}` }, [
      element("b", { text: `nod ${number}` }),
    ]);
    if (!nod) return cell;
    const button = (id, text, pressed, run, label, disabled = false) =>
      element("button", {
        type: "button",
        class: `nod-choice ${id}`,
        text,
        disabled,
        title: label,
        "aria-label": label,
        "aria-pressed": String(pressed),
        data: { control: `${name}/nod/${number}/${id}`, testid: `nod-${number}-${id}` },
        on: { click: run },
      });
    const used = !nod.left_out;
    const everywhere = nod.left_out_for_all;
    const said = everywhere ? "takes no part: said of all sources" : used ? "takes part" : "takes no part";
    const leave = () => leaveOut(name, number);
    cell.append(button("part", used ? "in" : "out", used, leave, `nod ${number} ${said}`, everywhere));
    if (!used) return cell;
    const others = nod.together.filter((k) => k !== number && !nods.find((one) => one.nod === k)?.left_out);
    const lonely = !nod.background_only && !others.some((k) => nod.backgrounds.includes(k));
    const word = nod.background_only ? "background only" : lonely ? "no background left" : "minus";
    cell.append(element("span", { class: lonely ? "warn" : "faint", text: word }));
    for (const other of others) {
      const has = nod.backgrounds.includes(other);
      const label = `nod ${other} ${has ? "is" : "is not"} background of nod ${number}`;
      cell.append(button(other, String(other), has, () => choosePair(name, number, other), label));
    }
    return cell;
  }

  function shotCell(shot, axis) {
    const canvas = element("canvas", {
      role: "img",
      "aria-label": `${shot.exposure}: ${shot.shutters.map((one) => `shutter ${one.ordinal} ${one.state}`).join(", ")}`,
      data: { exposure: shot.exposure, axis: axis ? "1" : "" },
      on: {
        mousemove: (event) => hover(event, shot),
        mouseleave: () => choose(null),
        click: (event) => press(event, shot),
      },
    });
    const whole = shot.has_mask ? "exposure, masked in part" : "exposure";
    const hidden = shot.shutters.some((one) => one.has_source && one.state === "stuck");
    const source = hidden ? "source behind a stuck shutter" : shot.in_shutter ? "" : "source not in an open shutter";
    const notes = [source, shot.sky === "global" ? "global sky" : "", shot.error ?? ""];
    return element("div", { class: shot.left_out ? "shot out" : "shot" }, [
      element("div", { class: "shot-head" }, [
        element("span", { text: shot.detector.toUpperCase() }),
        element("span", { class: "warn", text: notes.filter(Boolean).join("; ") }),
        shot.has_image ? element("a", { href: `#/rate/${shot.exposure}`, tabindex: "-1", text: whole }) : null,
      ]),
      canvas,
    ]);
  }

  /** What cutoutpaint.js draws of an exposure; null where it has no pixels. */
  function pictured(exposure) {
    const { arrays, meta } = payload;
    const shot = meta.exposures.find((one) => one.exposure === exposure);
    const image = arrays[`${exposure}/${kind}`] ?? arrays[`${exposure}/cal`];
    if (!image) return null;
    const [wave, edges, place] = ["wave", "edges", "source"].map((name) => arrays[`${exposure}/${name}`]);
    return { image, wave, edges, source: place, shutters: shot.shutters, root: shot.root };
  }

  function drawImages() {
    if (!payload || !body.isConnected) return;
    const { theme, view } = state.get();
    for (const grid of body.querySelectorAll(".cutouts-grid")) {
      const canvases = [...grid.querySelectorAll("canvas")];
      const shots = canvases.map((canvas) => pictured(canvas.dataset.exposure));
      const scale = scaleOf(shots.filter(Boolean).map((shot) => shot.image), kind === "cal");
      canvases.forEach((canvas, k) => {
        canvas.hidden = !shots[k];
        if (!shots[k]) return;
        const axis = canvas.dataset.axis === "1";
        const layout = layoutOf(shots[k], Math.floor(canvas.parentElement.clientWidth), ROW, axis);
        const at = shots[k].shutters.findIndex((one) => `${shots[k].root}/${one.ordinal}` === chosen);
        paint(canvas, shots[k], layout, { scale, stretch: view.stretch, theme, chosen: at, axis });
        canvas.layout = layout;
      });
    }
  }

  function choose(id) {
    if (chosen === id) return;
    chosen = id;
    drawImages();
  }

  function under(event, shot) {
    const picture = payload && pictured(shot.exposure);
    if (!picture) return undefined;
    const box = event.target.getBoundingClientRect();
    const k = shutterAt(picture, event.target.layout, event.clientX - box.left, event.clientY - box.top);
    return picture.shutters[k];
  }

  function hover(event, shot) {
    const found = under(event, shot);
    event.target.title = found ? evidence(found) : "";
    event.target.classList.toggle("over", Boolean(found?.ordinal));
    choose(found?.ordinal ? `${shot.root}/${found.ordinal}` : null);
  }

  function press(event, shot) {
    const found = under(event, shot);
    if (found?.ordinal) toggle(shot.root, found.ordinal);
  }

  function toggle(name, ordinal) {
    changeSlit(name, (slit) => toggled(slit, ordinal));
  }

  function takeBack(name) {
    if (payload?.meta.slits[name]?.by_hand) changeSlit(name, asFound);
  }

  /** Of the shutters that have the focus; where there is one visit and activity only, of that. */
  function takeBackHere() {
    const roots = Object.keys(payload?.meta.slits ?? {});
    const here = focusedControl()?.split("/")[0] ?? (roots.length === 1 ? roots[0] : null);
    if (here === null) return app.say("choose a shutter first: arrows up and down");
    return takeBack(here);
  }

  /** Show what was said at once; when it is refused, what holds is read again. */
  function changeSlit(name, change) {
    const slit = change(payload.meta.slits[name]);
    const exposures = payload.meta.exposures.map((shot) =>
      shot.root !== name ? shot : { ...shot, shutters: shot.shutters.map((one) => restated(one, slit)) },
    );
    replaceMeta({ slits: { ...payload.meta.slits, [name]: slit }, exposures });
    save("shutters", shutterBody(name, payload.meta.source, slit));
  }

  const restated = (shutter, slit) => ({ ...shutter, state: stateOf(shutter, slit), by_hand: slit.by_hand });

  function leaveOut(name, number) {
    changeNods(name, number, (nod) => ({ ...nod, left_out: !nod.left_out }));
  }

  function choosePair(name, number, other) {
    changeNods(name, number, (nod) => withBackground(nod, other));
  }

  function changeNods(name, number, change) {
    const exposures = payload.meta.exposures.map((shot) =>
      shot.root === name && shot.nod === number && shot.together ? change(shot) : shot,
    );
    replaceMeta({ exposures });
    const nods = nodsOf(exposures.filter((one) => one.root === name));
    save("nods", nodBody(name, payload.meta.source, nods));
  }

  function replaceMeta(patch) {
    payload = { ...payload, meta: { ...payload.meta, ...patch } };
    draw();
  }

  /** One after another, in the order in which they were said; what others have said meanwhile is not overwritten. */
  function save(kind, said) {
    const tokens = payload.meta.slits[said.root].seen;
    unsaved++;
    body.dataset.saving = "1";
    saving = saving.then(async () => {
      try {
        const { written, stale, seen } = await app.api.post(`/api/${kind}`, { ...said, seen: tokens[kind] });
        tokens[kind] = seen; // one object for all copies of the slit
        app.say(`${written} written: ${told(stale)}`, "good");
        state.set({ stale });
      } catch (problem) {
        app.report(problem);
        if (said.source === source) await load();
      }
      if (--unsaved === 0) delete body.dataset.saving;
    });
  }

  function drawStale() {
    const badge = body.querySelector("[data-testid=cutouts-stale]");
    const { stale } = state.get();
    if (!badge) return;
    badge.hidden = !stale?.sources?.includes(source);
    badge.textContent = "stale: to be made anew";
    badge.title = stale?.command ?? "";
  }

  function switchSky() {
    kind = kind === "bkgsub" ? "cal" : "bkgsub";
    if (payload) draw();
  }

  /** Move the focus through shutters and nods. */
  function step(by) {
    const controls = [...body.querySelectorAll("[data-control]:not(:disabled)")];
    if (controls.length === 0) return;
    const here = controls.indexOf(document.activeElement);
    const next = here < 0 ? (by > 0 ? 0 : controls.length - 1) : Math.min(controls.length - 1, Math.max(0, here + by));
    controls[next].focus();
    controls[next].scrollIntoView({ block: "nearest" });
  }

  return {
    update,
    unmount() {
      resized.disconnect();
      off.forEach((run) => run());
      turn++;
    },
    keys: [
      { key: "ArrowDown", does: "next shutter or nod; Enter changes it", run: () => step(1) },
      { key: "ArrowUp", does: "the one before", run: () => step(-1) },
      { key: ["Backspace", "Delete"], does: "the shutters as they were found", run: takeBackHere },
      { key: "h", does: "exposures with or without their sky", run: switchSky },
    ],
  };
}
