// How the server does, now and in the last minutes.

import { chart } from "../chart.js";
import { el } from "../dom.js";
import { age, bytes, count, latency, rate, time } from "../format.js";
import { channelLink } from "../links.js";
import { reasonTag } from "../reasons.js";
import { table } from "../table.js";

const DISCONNECTS = 8;

export async function show(root, context) {
  const figures = figureList(["Published", "Delivered", "Time to publish", "Connections", "Waiting to be stored", "Memory"]);
  const rates = chart({
    title: "Events per second",
    series: [{ name: "Published", key: "published" }, { name: "Delivered", key: "delivered" }],
    format: rate,
    least: 1,
  });
  const times = chart({
    title: "Time to publish",
    series: [{ name: "Half of all within", key: "p50" }, { name: "99 % within", key: "p99" }],
    format: latency,
    least: 0.001,
  });
  const busiest = table({
    label: "Busiest channels",
    key: (item) => item.channel,
    columns: [
      { title: "Channel", class: "long", key: (item) => item.channel, cell: (item) => channelLink(item.channel) },
      { title: "Rate", class: "number", cell: (item) => rate(item.rate) },
      { title: "Subscribers", class: "number", cell: (item) => count(item.subscribers) },
      { title: "Last event", cell: (item) => item.event },
    ],
    empty: el("span", {}, "Nothing was published in the last seconds. ", el("a", { href: "#/publish" }, "Publish an event"), " or ",
      el("a", { href: "#/connect" }, "connect a client"), "."),
  });
  const slow = table({
    label: "Connections that are behind",
    key: (item) => item.id,
    columns: [
      { title: "User", class: "long", cell: (item) => item.user ?? "nobody yet" },
      { title: "Protocol", cell: (item) => item.protocol },
      { title: "Reads", cell: (item) => item.reads },
      { title: "Queue", class: "number", cell: (item) => bytes(item.queued) },
    ],
    empty: "Every connection has taken what was sent to it.",
  });
  const gone = table({
    label: "Recent disconnects",
    key: (item) => item.id,
    columns: [
      { title: "Time", cell: (item) => time(item.closed) },
      { title: "Reason", key: (item) => item.reason, cell: (item) => reasonTag(item.reason) },
      { title: "User", class: "long", cell: (item) => item.user ?? "nobody" },
      { title: "Protocol", cell: (item) => item.protocol },
      { title: "Lasted", class: "number", cell: (item) => age(item.opened, Date.parse(item.closed)) },
    ],
    empty: "No connection has ended since the server started.",
  });

  let disconnects = (await context.api.get("/api/disconnects")).items.slice(0, DISCONNECTS);
  gone.update(disconnects);

  root.append(
    el("div", { class: "head" }, el("h1", {}, "Overview")),
    figures.element,
    el("div", { class: "grid wide" }, rates.element, times.element),
    el("div", { class: "grid wide" },
      el("section", { class: "stack" }, el("h2", {}, "Busiest channels"), busiest.element),
      el("section", { class: "stack" }, el("h2", {}, "Behind"), slow.element)),
    el("section", { class: "stack" },
      el("div", { class: "head" }, el("h2", {}, "Recent disconnects"), el("a", { href: "#/connections" }, "All connections")),
      gone.element));
  rates.update(context.feed.numbers);
  times.update(context.feed.numbers);

  return context.feed.subscribe("snapshot", (snapshot) => {
    figures.update({
      "Published": rate(snapshot.published),
      "Delivered": rate(snapshot.delivered),
      "Time to publish": latency(snapshot.p50),
      "Connections": count(snapshot.connections),
      "Waiting to be stored": count(snapshot.waiting),
      "Memory": bytes(snapshot.memory),
    });
    rates.update(context.feed.numbers);
    times.update(context.feed.numbers);
    busiest.update(snapshot.channels.slice(0, 10));
    slow.update(snapshot.slow.slice(0, 10));
    const known = new Set(disconnects.map(({ id }) => id));
    disconnects = [...snapshot.disconnects.filter(({ id }) => !known.has(id)), ...disconnects].slice(0, DISCONNECTS);
    gone.update(disconnects);
  });
}

function figureList(names) {
  const values = new Map(names.map((name) => [name, el("dd", {}, "–")]));
  const element = el("dl", { class: "figures" }, names.map((name) => el("div", {}, el("dt", {}, name), values.get(name))));
  return {
    element,
    update(said) {
      for (const [name, text] of Object.entries(said)) {
        if (values.get(name).textContent !== text) values.get(name).textContent = text;
      }
    },
  };
}
