// The channels, and one of them.

import { showChannel } from "../channel.js";
import { el } from "../dom.js";
import { age, bytes, compact, count, exact } from "../format.js";
import { channelLink } from "../links.js";
import { table } from "../table.js";

const REFRESH = 5000; // milliseconds
const MOST = 5; // pages that are read again; of more, what is busy is told by the feed

export async function show(root, context) {
  const name = location.hash.split("?")[0].split("/")[2];
  return name === undefined ? showList(root, context) : showChannel(root, context, decodeURIComponent(name));
}

async function showList(root, context) {
  let items = [];
  let next = null;
  let pages = 1;
  let prefix = "";
  let busy = new Map();

  const list = table({
    label: "Channels",
    key: (item) => item.channel,
    columns: [
      { title: "Channel", class: "long", key: (item) => item.channel, cell: (item) => channelLink(item.channel) },
      { title: "Rate", class: "number", cell: (item) => (item.rate ? `${compact(item.rate)}/s` : "–") },
      { title: "Subscribers", class: "number", cell: (item) => count(item.subscribers) },
      { title: "Present", class: "number", cell: (item) => count(item.members) },
      {
        title: "Last event",
        key: (item) => `${item.event ?? ""} ${age(item.lastEvent)}`,
        cell: (item) => item.lastEvent
          ? el("span", { title: exact(item.lastEvent) }, item.event ? `${item.event}, ` : "", `${age(item.lastEvent)} ago`)
          : "–",
      },
      { title: "History", class: "number", cell: (item) => (item.events === undefined ? "not kept" : count(item.events)) },
      { title: "Size", class: "number", cell: (item) => bytes(item.bytes) },
    ],
    empty: el("span", {}, "No channel yet: there is one as soon as something is published to it. ",
      el("a", { href: "#/publish" }, "Publish an event"), "."),
  });
  const more = el("button", { type: "button", hidden: true, onclick: () => {
    pages += 1;
    load();
  } }, "More channels");
  const search = el("input", { type: "search", name: "prefix", autocomplete: "off", spellcheck: "false", placeholder: "article:" });

  async function load() {
    const found = [];
    let after = "";
    for (let page = 0; page < pages && after !== null; page += 1) {
      const answer = await context.api.get("/api/channels", { prefix, after });
      found.push(...answer.items);
      after = answer.next;
    }
    items = found;
    next = after;
    more.hidden = next === null;
    draw();
  }

  /** What the server lists, with what is going on; of channels that keep no history, only those that are busy. */
  function draw() {
    const known = new Set(items.map((item) => item.channel));
    const shown = items.map((item) => ({ ...item, ...busy.get(item.channel) }));
    if (next === null) shown.push(...[...busy.values()].filter(({ channel }) => !known.has(channel) && channel.startsWith(prefix)));
    shown.sort((one, other) => (one.channel < other.channel ? -1 : 1));
    list.update(shown);
  }

  root.append(
    el("div", { class: "head" }, el("h1", {}, "Channels"),
      el("form", { class: "row", role: "search", onsubmit: (event) => {
        event.preventDefault();
        prefix = search.value.trim();
        pages = 1;
        load().then(() => context.announce(`${items.length}${next === null ? "" : " and more"} channels`));
      } }, el("label", {}, "Name begins with", search), el("button", {}, "Find"))),
    list.element, more);
  await load();
  const timer = setInterval(() => pages <= MOST && load().catch(() => {}), REFRESH); // the bar says when the server is away
  const stop = context.feed.subscribe("snapshot", (snapshot) => {
    busy = new Map(snapshot.channels.map((item) => [item.channel, item]));
    draw();
  });
  return () => {
    clearInterval(timer);
    stop();
  };
}
