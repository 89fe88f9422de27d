// The live feed: one stream of server-sent events for the whole page. It is closed while the page is hidden.

import { api } from "./api.js";

const KEPT = 300; // snapshots, for charts
const PAUSE = 5000; // milliseconds before a stream that was refused is tried again
const listeners = new Map(); // kind → set of functions
let tail = null; // { filter, listener } of the view that shows events
let source = null;
let wanted = false;
let timer = null;
let state = "off";
let latest = null;
let numbers = [];

/** Of the stream: "off", "connecting", "live" or "away". */
function become(next) {
  if (state === next) return;
  state = next;
  tell("state", state);
}

function tell(kind, value) {
  for (const listener of listeners.get(kind) ?? []) listener(value);
}

function url() {
  const query = new URLSearchParams();
  if (tail !== null) {
    query.set("events", "1");
    for (const [name, value] of Object.entries(tail.filter)) if (value) query.set(name, value);
  }
  const text = query.toString();
  return text ? `/api/live?${text}` : "/api/live";
}

function open() {
  close();
  if (!wanted || document.hidden) return;
  become("connecting");
  const mine = (source = new EventSource(url()));
  mine.onopen = () => become("live");
  mine.onerror = () => {
    become("away");
    if (mine.readyState === EventSource.CLOSED && source === mine) refused();
  };
  mine.addEventListener("closed", (event) => {
    if (["revoked", "expired"].includes(JSON.parse(event.data).code)) ended();
  });
  mine.addEventListener("past", (event) => {
    numbers = JSON.parse(event.data).items;
  });
  mine.addEventListener("snapshot", (event) => {
    latest = JSON.parse(event.data);
    numbers = [...numbers.filter((item) => item.time !== latest.time), latest].slice(-KEPT);
    tell("snapshot", latest);
  });
  mine.addEventListener("events", (event) => tail?.listener(JSON.parse(event.data)));
}

function close() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

/** No EventSource says why it was refused: the session may be over. */
async function refused() {
  try {
    if ((await api.get("/api/session")).session === null) return ended();
  } catch {
    // the server is away: it is tried again all the same
  }
  timer = setTimeout(open, PAUSE);
}

function ended() {
  feed.stop();
  tell("ended", null);
}

addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
addEventListener("pagehide", close);
addEventListener("pageshow", (event) => event.persisted && open());

export const feed = {
  /** The snapshots of the last minutes, the oldest first. */
  get numbers() {
    return numbers;
  },
  /** Calls `listener` with each "snapshot" (there is one every second), "state" or "ended"; returns what stops it. */
  subscribe(kind, listener) {
    if (!listeners.has(kind)) listeners.set(kind, new Set());
    listeners.get(kind).add(listener);
    if (kind === "state") listener(state);
    if (kind === "snapshot" && latest !== null) listener(latest);
    return () => listeners.get(kind).delete(listener);
  },
  /** Calls `listener` with `{items, dropped}`: events of `{channel, event, text}`. One at a time; returns what stops it. */
  tail(filter, listener) {
    const mine = (tail = { filter, listener });
    open();
    return () => {
      if (tail !== mine) return;
      tail = null;
      open();
    };
  },
  start() {
    if (wanted) return;
    wanted = true;
    open();
  },
  stop() {
    wanted = false;
    close();
    become("off");
  },
};
