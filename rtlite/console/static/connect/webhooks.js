// A webhook: it is made when the try-out connects, and deleted when it disconnects. With --dev its endpoint is a stream
// of this same server, so that what the endpoint gets is seen here as well.

import { el } from "../dom.js";

const CHANNELS = ["article:*"];
const STREAM = "webhook-demo";
const KEY = "rts_dev";
const NAME = "the console's try-out";
const OFTEN = 500; // ms between two looks at its attempts

const url = el("input", { type: "url", class: "grow", required: true, autocomplete: "off", placeholder: "https://example.com/hook" });

/** Follows what the endpoint gets, from when it resolves on: to a function that stops. */
async function received(on) {
  const headers = { Authorization: `Bearer ${KEY}`, "Content-Type": "application/json" };
  await fetch(`/streams/${STREAM}`, { method: "PUT", headers, body: "{}" }); // there to be read before it is written to
  const source = new EventSource(`/sse/stream:${STREAM}?token=${KEY}`);
  source.addEventListener("message", ({ data }) => on.note(`The endpoint got ${JSON.stringify(JSON.parse(data).data)}`));
  await new Promise((done) => {
    for (const kind of ["connected", "error"]) source.addEventListener(kind, done, { once: true });
  });
  return () => source.close();
}

async function follow(api, id, on, signal) {
  let seen = 0;
  while (!signal.aborted) {
    const { items } = await api.get(`/api/webhooks/${id}/attempts`, { limit: 20 }, signal);
    for (const attempt of items.filter(({ number }) => number > seen).reverse()) {
      seen = attempt.number;
      const { message, type, channel, status, error, duration } = attempt;
      if (attempt.delivered) on.event(type, { channel, status, duration, message }, message);
      else on.note(`${type} was not taken: ${error ?? status}; it is sent again`);
    }
    await new Promise((done) => setTimeout(done, OFTEN));
  }
}

export const webhooks = {
  id: "webhooks",
  title: "Webhooks",
  about: ["Every event is posted to a URL of yours, signed and in order: ", el("code", {}, "POST /api/webhooks"), "."],
  forms: ["sh", "mjs", "py"],
  credential: { key: KEY },
  unnamed: true, // the session makes the webhook; its programs need an admin key
  sample: "view_update",
  channel: () => "article:hello",
  tells: ({ channel }) => channel === "article:hello", // an attempt does not say with what data
  settings(context) {
    if (context.dev) url.value ||= `${context.origin}/streams/${STREAM}/messages?token=${KEY}`;
    const about = context.dev ? "The endpoint (as it stands, a stream of this server)" : "The endpoint";
    return el("label", {}, about, url);
  },
  async connect({ since, on, context }) {
    const { api } = context;
    if (!url.reportValidity()) throw new Error("The endpoint's URL is needed");
    const left = (await api.get("/api/webhooks")).items.filter(({ description }) => description === NAME);
    for (const { id } of left) await api.delete(`/api/webhooks/${id}`);
    const deaf = url.value.includes(`/streams/${STREAM}/`) ? await received(on) : () => {};
    const wanted = { url: url.value, channels: CHANNELS, description: NAME, ...(since && { since }) };
    const { id, created } = await api.post("/api/webhooks", wanted);
    const stop = new AbortController();
    on.open(`The webhook ${id} is told of ${CHANNELS}`, since ?? created);
    follow(api, id, on, stop.signal).catch((error) => stop.signal.aborted || on.end(error.message));
    return () => {
      stop.abort();
      deaf();
      api.delete(`/api/webhooks/${id}`).catch(() => {}); // what is left over is deleted the next time
    };
  },
};
