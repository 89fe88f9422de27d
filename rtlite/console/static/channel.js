// One channel: who is there, what was said, and saying it again.

import { el } from "./dom.js";
import { eventRow } from "./eventrow.js";
import { age, bytes, compact, count } from "./format.js";
import { preview } from "./json.js";
import { replay } from "./replay.js";
import { table } from "./table.js";

const PAGE = 50;
const MOST = 500; // events on the page; older ones make room
const REFRESH = 5000; // milliseconds

export async function showChannel(root, context, channel) {
  const path = `/api/channels/${encodeURIComponent(channel)}`;
  const facts = el("dl", { class: "figures" });
  const history = historyOf(path, channel, context, (event) => again.begin(event));
  const again = replay(path, channel, context);
  const there = presenceOf(path, context);

  root.append(
    el("p", {}, el("a", { href: "#/channels" }, "All channels")),
    el("div", { class: "head" }, el("h1", { class: "mono" }, channel),
      el("a", { class: "button", href: `#/publish?channel=${encodeURIComponent(channel)}` }, "Publish to it")),
    facts, again.element, there.element, history.element); // the history is long

  let kept = null;
  let behind = false;
  async function refresh() {
    const { items } = await context.api.get("/api/channels", { prefix: channel });
    kept = items.find((item) => item.channel === channel) ?? null;
    draw({});
    await there.load();
  }

  function draw(busy) {
    const said = {
      "Subscribers": count(busy.subscribers ?? kept?.subscribers ?? 0),
      "Rate": `${compact(busy.rate ?? 0)}/s`,
      "Last event": busy.lastEvent ?? kept?.lastEvent ? `${age(busy.lastEvent ?? kept.lastEvent)} ago` : "–",
      "History": kept ? `${count(kept.events)} events` : "none",
      "Size": kept ? bytes(kept.bytes) : "–",
    };
    facts.replaceChildren(...Object.entries(said).map(([name, text]) => el("div", {}, el("dt", {}, name), el("dd", {}, text))));
  }

  const stops = [
    context.feed.subscribe("snapshot", (snapshot) => {
      draw(snapshot.channels.find((item) => item.channel === channel) ?? {});
      if (behind) history.newest().catch(() => {}); // the bar says when the server is away
      behind = false;
    }),
    context.feed.tail({ channel }, ({ items, dropped }) => {
      if (history.add(items) || dropped) behind = true;
    }),
    context.feed.subscribe("state", (state) => {
      if (state === "live") behind = true; // it tells what comes from now on
    }),
  ];
  const timer = setInterval(() => refresh().catch(() => {}), REFRESH); // the bar says when the server is away
  const leave = () => {
    clearInterval(timer);
    again.stop();
    stops.forEach((stop) => stop());
  };
  try {
    await Promise.all([refresh(), history.newest()]);
  } catch (error) {
    leave();
    throw error;
  }
  return leave;
}

/**
 * The events, the newest first, with none missing between two. What the feed tells is put on top. Where that leaves a
 * gap, the newest page is read; where it does not reach down to what stands here, that goes, and is read again if asked.
 */
function historyOf(path, channel, context, onReplay) {
  const list = el("ol", { class: "events", "aria-label": `Events of ${channel}, the newest first` });
  const note = el("p", { class: "empty" }, "Nothing was published here yet.");
  const older = el("button", { type: "button", hidden: true, onclick: () => page(next) }, "Older events");
  const rows = []; // {offset, epoch, element}, in the order in which they stand
  let next = null; // where the page of older events begins
  let kept = true;
  let loaded = false;

  function put(event) {
    const epoch = event.epoch ?? event.position.split("-")[0];
    if (rows.length && rows[0].epoch !== epoch) empty(); // the history was lost, and began anew
    let at = rows.findIndex((row) => row.offset <= event.offset);
    if (at < 0) at = rows.length;
    if (rows[at]?.offset === event.offset) return;
    const replay = kept ? el("button", { type: "button", onclick: () => onReplay(event) }, "Replay from here") : null;
    const element = el("li", {}, eventRow(event, context, replay));
    list.insertBefore(element, rows[at]?.element ?? null);
    rows.splice(at, 0, { offset: event.offset, epoch, element });
  }

  function empty() {
    rows.splice(0);
    list.replaceChildren();
    next = null;
  }

  /** Reads a page: the newest, or the one before what `since` names. */
  async function page(since) {
    let answer;
    try {
      answer = await context.api.get(`${path}/history`, { order: "desc", limit: PAGE, since });
    } catch (error) {
      if (error.code !== "no_history") throw error;
      kept = false;
      loaded = true;
      note.textContent = "This kind of channel keeps no history. Events appear here as they come.";
      return;
    }
    answer.items.forEach(put);
    if (since !== null || !loaded) next = answer.next;
    loaded = true;
    close();
  }

  /** Lets what stands below a gap go. */
  function close() {
    const gap = rows.findIndex((row, at) => at > 0 && row.offset !== rows[at - 1].offset - 1);
    if (gap > 0) shorten(gap);
    older.hidden = next === null;
    note.hidden = rows.length > 0;
  }

  function shorten(length) {
    for (const row of rows.splice(length)) row.element.remove();
    next = `${rows.at(-1).epoch}-${rows.at(-1).offset}`;
  }

  return {
    element: el("section", { class: "stack" }, el("h2", {}, "History"), list, note, older),
    newest: () => page(null),
    /** Returns whether events are missing between these and those that stand here. */
    add(items) {
      const gap = kept && rows.length > 0 && items.length > 0 && items[0].offset > rows[0].offset + 1;
      items.forEach(put);
      if (rows.length > MOST) shorten(MOST);
      if (kept && loaded) older.hidden = next === null;
      note.hidden = rows.length > 0;
      return gap;
    },
  };
}

function presenceOf(path, context) {
  const members = table({
    label: "Who is present",
    key: (item) => item.user,
    columns: [
      { title: "User", class: "long", cell: (item) => item.user },
      { title: "Connections", class: "number", cell: (item) => count(item.connections) },
      { title: "Since", class: "number", cell: (item) => age(item.joined) },
      { title: "Says of itself", class: "long", cell: (item) => (item.data === null ? "–" : preview(item.data)) },
    ],
    empty: "Nobody. A client is present where it asks for presence when it subscribes.",
  });
  const more = el("p", { class: "muted", hidden: true }, "Only the first 100 are shown.");
  const element = el("section", { class: "stack" }, el("h2", {}, "Presence"), members.element, more);
  return {
    element,
    async load() {
      try {
        const { items, next } = await context.api.get(`${path}/presence`, { limit: 100 });
        members.update(items);
        more.hidden = next === null;
      } catch (error) {
        if (error.code !== "no_presence") throw error;
        element.hidden = true;
      }
    },
  };
}
