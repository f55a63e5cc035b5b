/** The line at the top: where one is, how far one has come, what is not saved, what is stale. */

import { copy, element, keyButton } from "./dom.js";
import { showSheet } from "./keys.js";
import { switchTheme } from "./theme.js";

/**
 * @param {HTMLElement} root
 * @param {object} app
 */
export function mountHeader(root, app) {
  const { state, session } = app;
  const brand = element("a", { class: "brand", href: "#/" }, [
    element("b", { text: "nirfire" }),
    ` ${session.observation}`,
  ]);
  const list = keyButton("list", "L", () => app.go("#/"), { class: "plain" });
  const conflicts = keyButton("conflicts", "q", () => app.go("#/conflicts"), { class: "plain" });
  const masks = keyButton("masks", "M", () => app.go("#/rate/"), { class: "plain" });
  const links = { list, conflicts, rate: masks };
  const place = element("span", { class: "position num", data: { testid: "position" } });
  const done = element("span", { class: "done num", data: { testid: "progress" } });
  const bar = element("progress", { class: "bar", max: "1", value: "0", "aria-label": "objects graded by you" });
  const pending = element("button", {
    type: "button",
    class: "badge unsaved",
    hidden: true,
    data: { testid: "pending" },
  });
  const stale = element("button", { type: "button", class: "badge stale", hidden: true, data: { testid: "stale" } });
  const user = element("button", {
    type: "button",
    class: "plain user",
    title: "change who votes",
    data: { testid: "user" },
  });
  const theme = keyButton("", "d", () => switchTheme(state), { class: "plain" });
  const help = keyButton("keys", "?", () => showSheet(document.getElementById("sheet"), app.keys.rows()), {
    class: "plain",
  });
  const blind = session.blind
    ? element("span", { class: "badge", text: "blind", title: "votes of others are hidden until you have voted" })
    : null;
  const sealed = session.read_only
    ? element("span", { class: "badge trouble", text: "read only", title: "votes cannot be saved in this folder" })
    : null;
  pending.addEventListener("click", () => app.api.queue.retry());
  stale.addEventListener("click", () => showCommand(app));
  user.addEventListener("click", () => askName(app));
  const right = [pending, stale, sealed, blind, user, theme, help].filter(Boolean);
  root.replaceChildren(brand, list, conflicts, masks, place, bar, done, element("span", { class: "gap" }), ...right);

  function draw() {
    const now = state.get();
    const here = now.order ? now.order.indexOf(now.source) + 1 : 0;
    const inObject = document.body.dataset.route === "object";
    for (const [name, link] of Object.entries(links)) {
      if (name === document.body.dataset.route) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    for (const part of [place, bar, done]) part.hidden = !inObject;
    place.textContent = inObject && here > 0 ? `${here} of ${now.order.length}` : "";
    pending.hidden = now.pending === 0 && now.rejected.length === 0;
    const refused = now.rejected.length > 0 ? `${now.rejected.length} refused` : "";
    pending.textContent = [now.pending > 0 ? `${now.pending} not saved yet` : "", refused].filter(Boolean).join(", ");
    pending.title = now.waiting ? `${now.waiting}; trying again` : "on the way to the server";
    pending.classList.toggle("trouble", Boolean(now.waiting) || now.rejected.length > 0);
    stale.hidden = !(now.stale?.jobs > 0);
    stale.textContent = now.stale ? `${now.stale.jobs} stale` : "";
    user.textContent = now.user || session.user;
    theme.firstChild.textContent = now.theme === "dark" ? "dark" : "light";
  }

  /** How many objects have a grade of one's own; counted again only when that can have changed. */
  function count() {
    const { list, own } = state.get();
    if (!list) return;
    const { source, quality } = list.arrays;
    let graded = 0;
    for (let k = 0; k < source.data.length; k++) {
      if ((own.get(source.data[k])?.quality ?? quality.data[k]) > 0) graded++;
    }
    bar.max = source.data.length || 1;
    bar.value = graded;
    done.textContent = `${graded} of ${source.data.length} graded`;
  }

  state.on(["route", "order", "source", "pending", "rejected", "waiting", "stale", "user", "theme"], draw);
  state.on(["list", "own"], () => requestAnimationFrame(count));
  app.api.queue.on(({ kind, vote }) => {
    if (kind === "saved" && vote.user === session.user && vote.rivals.length > 0)
      app.say(`${vote.source}: you graded it elsewhere too, and otherwise. Both are kept: look again`, "bad");
  });
  draw();
  count();
}

function showCommand(app) {
  const { stale } = app.state.get();
  const command = stale.command || app.session.rerun;
  const said =
    `${stale.jobs} products are no longer what the settings and edits ask for` +
    (stale.sources?.length ? `, of ${stale.sources.length} sources` : "") +
    ". This makes exactly those anew:";
  const dialog = element("dialog", { class: "ask" }, [
    element("h2", { text: "Stale products" }),
    element("p", { text: said }),
    element("pre", { class: "command", text: command, tabindex: "0" }),
    element("form", { method: "dialog" }, [
      element("button", {
        type: "button",
        text: "copy",
        on: { click: () => copy(command).then(() => app.say("copied", "good"), app.report) },
      }),
      element("button", { text: "close" }),
    ]),
  ]);
  open(dialog);
}

function askName(app) {
  const input = element("input", {
    name: "name",
    maxlength: "40",
    required: true,
    "aria-label": "name",
    value: app.state.get().user || app.session.user,
  });
  const dialog = element("dialog", { class: "ask" }, [
    element("h2", { text: "Who votes?" }),
    element("form", { method: "dialog" }, [input, element("button", { value: "ok", text: "vote by this name" })]),
  ]);
  dialog.addEventListener("close", async () => {
    const name = input.value.trim();
    if (dialog.returnValue !== "ok" || !name || name === app.session.user) return;
    try {
      const { user } = await app.api.get("/api/session", { as: name });
      localStorage.setItem("nirfire.user", user);
      location.reload();
    } catch (problem) {
      app.report(problem); // no name for a person: the one before stays
    }
  });
  open(dialog);
  input.select();
}

function open(dialog) {
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
}
