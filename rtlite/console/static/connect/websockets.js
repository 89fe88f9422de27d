// The blog's WebSockets, the one that takes commands, and that of event channels: all are JSON.

import { el } from "../dom.js";

/** Opens one; `opened(send)` once it is open, `came(message)` for each message. Returns a function that closes it. */
function socket(path, on, opened, came) {
  const ws = new WebSocket(`${location.origin.replace(/^http/, "ws")}${path}`);
  ws.onopen = () => opened((message) => ws.send(JSON.stringify(message)));
  ws.onmessage = (event) => came(JSON.parse(event.data));
  ws.onclose = (event) => on.end(`Closed with ${event.code}${event.reason ? `: ${event.reason}` : ""}`);
  return () => ws.close();
}

async function connectBlog(path, { credential, since, on }) {
  // With ?since= every message has its position; a blog's own client may leave it out.
  const query = `token=${encodeURIComponent(await credential.secret())}&since=${encodeURIComponent(since ?? "0s")}`;
  return socket(`${path}?${query}`, on, () => {}, ({ type, position, recovered, ...data }) => {
    if (type === "connected" && recovered !== undefined) on.open(greeting(recovered), position);
    else on.event(type, data, position);
  });
}

const greeting = (recovered) => (recovered ? "Connected; nothing was missed" : "Connected; part of what was missed is gone");

export const blogNotifications = {
  id: "blog-notifications",
  title: "Blog inbox",
  about: ["A blog user's notifications: ", el("code", {}, "WS /blog/ws/notifications"), "."],
  forms: ["js", "mjs", "sh", "py"],
  credential: { key: "mbk_dev" },
  sample: "new_comment",
  channel: (user) => `notifications:${user}`,
  connect: (what) => connectBlog("/blog/ws/notifications", what),
};

export const blogArticle = {
  id: "blog-article",
  title: "Blog article",
  about: ["Live views and reactions of one article: ", el("code", {}, "WS /blog/ws/articles/{slug}"), "."],
  forms: ["js", "html", "mjs", "sh", "py"],
  credential: { key: "mbk_dev" },
  sample: "view_update",
  channel: () => "article:hello",
  connect: (what) => connectBlog("/blog/ws/articles/hello", what),
};

const CONVERSATION = "conversation:conv-123";

export const commands = {
  id: "commands",
  title: "Commands",
  about: ["A WebSocket that takes commands (subscribe, publish, presence, ping): ", el("code", {}, "WS /ws"), "."],
  forms: ["js", "mjs", "sh", "py"],
  credential: { rights: { subscribe: [CONVERSATION], publish: [CONVERSATION] } },
  sample: "chat_message",
  channel: () => CONVERSATION,
  async connect({ credential, since, on }) {
    const begin = (send) => send({ type: "subscribe", data: { channel: CONVERSATION, since: since ?? undefined } });
    return socket(`/ws?token=${await credential.secret()}`, on, begin, ({ type, channel, data, position }) => {
      if (type === "subscribed") on.open(`Subscribed to ${CONVERSATION}. ${greeting(data.recovered)}`, data.position);
      else if (type === "error") on.note(`${data.code}: ${data.message}`);
      else if (channel === CONVERSATION) on.event(type, data, position);
      else on.note(`${type} ${JSON.stringify(data)}`);
    });
  },
};

const CHANGES = "changes:product";

export const events = {
  id: "events",
  title: "Event channels",
  about: ["A WebSocket for any number of channels: ", el("code", {}, "WS /_events"), "."],
  forms: ["js", "mjs", "sh", "py"],
  credential: { key: "pk_live_dev", rights: { subscribe: [CHANGES] } },
  sample: "UPDATED",
  channel: () => CHANGES,
  async connect({ credential, since, on }) {
    const begin = (send) => send({ type: "subscribe", channel: CHANGES, since: since ?? undefined });
    return socket(`/_events?${await credential.query()}`, on, begin, ({ type, event, data, position, ...more }) => {
      if (type === "subscribed") on.open(`Subscribed to ${CHANGES}. ${greeting(more.recovered)}`, position);
      else if (type === "error") on.note(`${more.code}: ${more.message}`);
      else if (type === undefined) on.event(event, data, position);
    });
  },
};
