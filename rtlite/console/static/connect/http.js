// Server-sent events, polling, and the terminal, whose `rtlite tail` listens by server-sent events.

import { el } from "../dom.js";

const CHANGES = "changes:product";

/** An EventSource on `path`, which comes back by itself. Returns a function that closes it. */
async function listen(path, { credential, since, on }) {
  const place = since ? `&lastEventId=${encodeURIComponent(since)}` : "";
  const url = `${path}${path.includes("?") ? "&" : "?"}${await credential.query()}${place}`;
  const source = new EventSource(url);
  source.addEventListener("connected", ({ data, lastEventId }) => {
    const { channel, channels, recovered } = JSON.parse(data);
    const what = channel ?? channels.join(", ");
    on.open(`Connected to ${what}${recovered ? "" : "; part of what was missed is gone"}`, lastEventId || null);
  });
  source.addEventListener("message", ({ data, lastEventId }) => {
    const { event, data: content } = JSON.parse(data);
    on.event(event, content, lastEventId || null);
  });
  source.addEventListener("closed", ({ data }) => {
    const { code, message } = JSON.parse(data);
    on.note(`${code}: ${message}`);
  });
  source.onerror = async () => {
    if (source.readyState === EventSource.CONNECTING) on.away("The connection is lost; the browser tries again");
    else on.end(await refusal(url)); // a status that no retry mends
  };
  return () => source.close();
}

/** Why: an EventSource does not tell its page. */
async function refusal(url) {
  const stop = new AbortController();
  try {
    const answer = await fetch(url, { signal: stop.signal });
    if (answer.ok) return `The stream was ended with ${answer.status}`;
    const { detail } = await answer.json();
    return `Refused with ${answer.status}: ${detail}`;
  } catch {
    return "The server does not answer";
  } finally {
    stop.abort();
  }
}

export const sse = {
  id: "sse",
  title: "SSE",
  about: ["Server-sent events, which every browser reads with EventSource: ", el("code", {}, "GET /sse/{channel}"), "."],
  forms: ["js", "mjs", "sh", "py"],
  credential: { key: "pk_live_dev", rights: { subscribe: [CHANGES] } },
  sample: "UPDATED",
  channel: () => CHANGES,
  connect: (what) => listen(`/sse/${CHANGES}`, what),
};

export const terminal = {
  id: "terminal",
  title: "Terminal",
  about: [
    "Publish, follow and stream from a terminal or a Python program. The try-out shows what ",
    el("code", {}, "rtlite tail article:hello stream:nightly"),
    " prints: run the shell's lines and see them here.",
  ],
  forms: ["sh", "curl.sh", "py"],
  credential: { rights: { subscribe: ["article:hello", "stream:nightly"] } },
  unnamed: true, // its programs need an admin key
  sample: "view_update",
  channel: () => "article:hello",
  connect: (what) => listen("/sse?channel=article:hello&channel=stream:nightly", what),
};

export const polling = {
  id: "polling",
  title: "Polling",
  about: ["Ask again and again; each answer says where the next begins: ", el("code", {}, "GET /api/channels/{channel}/history"), "."],
  forms: ["js", "sh", "py"],
  credential: { key: "pk_live_dev", rights: { subscribe: [CHANGES] } },
  sample: "UPDATED",
  channel: () => CHANGES,
  async connect({ credential, since, on }) {
    const stop = new AbortController();
    const headers = { Authorization: `Bearer ${await credential.secret()}` };

    async function ask(place, wait) {
      const query = new URLSearchParams({ since: place, wait });
      const answer = await fetch(`/api/channels/${CHANGES}/history?${query}`, { headers, signal: stop.signal });
      const page = await answer.json();
      if (!answer.ok) throw new Error(`Refused with ${answer.status}: ${page.detail}`);
      if (!page.recovered) on.note("Part of what was missed is gone");
      for (const { event, data } of page.items) on.event(event, data, page.next);
      return page.next;
    }

    async function poll() {
      try {
        let next = since ?? "0s";
        if (since === null) next = await ask(next, "0s"); // where "now" is
        on.open(`Asking for ${CHANGES}, each time for up to 25 s`, next);
        while (true) next = await ask(next, "25s");
      } catch (error) {
        if (!stop.signal.aborted) on.end(error.message);
      }
    }
    poll();
    return () => stop.abort();
  },
};
