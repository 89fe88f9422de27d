// Everything that is published, as it happens.

import { el } from "../dom.js";
import { eventRow } from "../eventrow.js";
import { count } from "../format.js";

const MOST = 500; // events on the page

export async function show(root, context) {
  const asked = new URLSearchParams(location.hash.split("?")[1] ?? "");
  const fields = Object.fromEntries(["channel", "event", "text"].map((name) =>
    [name, el("input", { name, value: asked.get(name) ?? "", autocomplete: "off", spellcheck: "false" })]));
  const list = el("ol", { class: "events", "aria-label": "Events, the newest first" });
  const note = el("p", { class: "empty" }, "Waiting for an event. ", el("a", { href: "#/publish" }, "Publish one"), ", or let your program do it.");
  const missed = el("p", { class: "note", hidden: true });
  const state = el("p", { class: "muted", role: "status" });
  const hold = el("button", { type: "button", "aria-pressed": "false", onclick: () => pause(!paused) }, "Pause");
  const clear = el("button", { type: "button", onclick: () => {
    list.replaceChildren();
    note.hidden = false;
    missed.hidden = true;
    dropped = 0;
  } }, "Clear");

  let paused = false;
  let waiting = [];
  let dropped = 0;
  let stop = () => {};

  function pause(on) {
    paused = on;
    hold.setAttribute("aria-pressed", String(on));
    hold.textContent = on ? "Go on" : "Pause";
    if (!on) add(waiting.splice(0));
    say();
  }

  function say() {
    state.textContent = paused ? `Paused. ${count(waiting.length)} came meanwhile${waiting.length === MOST ? ", and more" : ""}.` : "";
  }

  function add(items) {
    if (items.length === 0) return;
    note.hidden = true;
    list.prepend(...items.toReversed().map((event) =>
      el("li", {}, eventRow({ ...event, shownChannel: true }, context,
        el("a", { class: "button", href: `#/channels/${encodeURIComponent(event.channel)}` }, "Its channel")))));
    while (list.childElementCount > MOST) list.lastElementChild.remove();
  }

  function listen() {
    const filter = Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, field.value.trim()]));
    stop();
    stop = context.feed.tail(filter, (told) => {
      if (told.dropped) {
        dropped += told.dropped;
        missed.hidden = false;
        missed.textContent = `${count(dropped)} events came faster than they can be shown, and are left out. A filter makes it fewer.`;
      }
      if (paused) waiting = [...waiting, ...told.items].slice(-MOST);
      else add(told.items);
      say();
    });
  }

  root.append(
    el("h1", {}, "Events"),
    el("form", { class: "row", role: "search", onsubmit: (event) => {
      event.preventDefault();
      list.replaceChildren();
      note.hidden = false;
      listen();
      context.announce("The filter is set");
    } },
    el("label", { class: "grow" }, "Channel, or its beginning and *", fields.channel),
    el("label", { class: "grow" }, "Event", fields.event),
    el("label", { class: "grow" }, "Text in the data", fields.text),
    el("button", {}, "Filter"), hold, clear),
    state, missed, list, note);
  listen();
  return () => stop();
}
