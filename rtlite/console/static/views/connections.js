// Who is connected, how far behind, and who was until a moment ago.

import { ask } from "../ask.js";
import { allow, el } from "../dom.js";
import { age, bytes, count, exact, time } from "../format.js";
import { reasonTag } from "../reasons.js";
import { table } from "../table.js";

const PAGE = 100;
const REFRESH = 2000; // milliseconds

export async function show(root, context) {
  let filter = "";
  let after = [""]; // where each page that was seen begins; the last is shown

  const open = table({
    label: "Open connections",
    key: (item) => item.id,
    columns: [
      { title: "User", class: "long", cell: (item) => item.user ?? "nobody yet" },
      { title: "Protocol", cell: (item) => item.protocol },
      { title: "Listens to", class: "long", cell: (item) => listed(item.channels) },
      { title: "Reads", key: (item) => item.reads, cell: (item) => el("span", { class: item.reads === "live" ? "tag good" : "tag warn" }, item.reads) },
      { title: "Queue", class: "number", cell: (item) => bytes(item.queued) },
      { title: "Sent", class: "number", cell: (item) => bytes(item.sent) },
      { title: "Since", key: (item) => age(item.opened), cell: (item) => el("span", { title: exact(item.opened) }, age(item.opened)) },
      { title: "Address", cell: (item) => item.address },
      { title: "Close", unseen: true, class: "actions", key: (item) => item.id, cell: (item) =>
        el("button", { type: "button", class: "danger", "aria-label": `Close the connection of ${item.user ?? "nobody"} (${item.protocol})`, onclick: () => end(item) }, "Close") },
    ],
    empty: el("span", {}, "Nobody is connected. ", el("a", { href: "#/connect" }, "Connect a client"), " with a snippet for its protocol."),
  });
  const gone = table({
    label: "Recent disconnects",
    key: (item) => item.id,
    columns: [
      { title: "Closed", key: (item) => item.id, cell: (item) => el("span", { title: exact(item.closed) }, time(item.closed)) },
      { title: "Reason", key: (item) => item.reason, cell: (item) => reasonTag(item.reason) },
      { title: "User", class: "long", cell: (item) => item.user ?? "nobody" },
      { title: "Protocol", cell: (item) => item.protocol },
      { title: "Listened to", class: "long", cell: (item) => listed(item.channels) },
      { title: "Lasted", class: "number", cell: (item) => age(item.opened, Date.parse(item.closed)) },
      { title: "Sent", class: "number", cell: (item) => bytes(item.sent) },
      { title: "Address", cell: (item) => item.address },
    ],
    empty: "No connection has ended since the server started.",
  });
  const total = el("p", { class: "muted" });
  const back = el("button", { type: "button", "aria-disabled": "true", onclick: () => turn(after.slice(0, -1)) }, "Previous");
  const forth = el("button", { type: "button", "aria-disabled": "true" }, "Next");
  const search = el("input", { type: "search", name: "filter", autocomplete: "off", spellcheck: "false" });

  function turn(pages) {
    after = pages;
    load();
  }

  async function load() {
    const { items, next, total: all } = await context.api.get("/api/connections", { limit: PAGE, after: after.at(-1), filter });
    open.update(items);
    total.textContent = filter ? `${count(all)} fit` : `${count(all)} open`;
    allow(back, after.length > 1);
    allow(forth, next !== null);
    forth.onclick = () => turn([...after, next]);
  }

  async function loadGone() {
    gone.update((await context.api.get("/api/disconnects")).items);
  }

  async function end(item) {
    const about = "The client is told that the operator closed it. Most clients do not come back by themselves then; nothing keeps them from it.";
    if (!(await ask(`Close the connection of ${item.user ?? "nobody"}?`, { yes: "Close it", about }))) return;
    try {
      await context.api.delete(`/api/connections/${item.id}`);
    } catch (error) {
      if (error.status !== 404) throw error; // it has gone by itself
    }
    context.announce("The connection is closed");
    await Promise.all([load(), loadGone()]);
  }

  root.append(
    el("div", { class: "head" }, el("h1", {}, "Connections"),
      el("form", { class: "row", role: "search", onsubmit: (event) => {
        event.preventDefault();
        filter = search.value.trim();
        turn([""]);
      } }, el("label", {}, "User, protocol, channel or address", search), el("button", {}, "Find"))),
    open.element,
    el("div", { class: "row middle" }, back, forth, total),
    el("h2", {}, "Recent disconnects"), gone.element);
  await Promise.all([load(), loadGone()]);

  const timer = setInterval(() => load().catch(() => {}), REFRESH); // the bar says when the server is away
  const stop = context.feed.subscribe("snapshot", (snapshot) => {
    if (snapshot.disconnects.length) loadGone().catch(() => {});
  });
  return () => {
    clearInterval(timer);
    stop();
  };
}

function listed(channels) {
  if (channels.length === 0) return "–";
  return channels.length > 3 ? `${channels.slice(0, 2).join(", ")} and ${channels.length - 2} more` : channels.join(", ");
}
