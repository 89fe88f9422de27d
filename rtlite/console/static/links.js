// Where things are found in the console.

import { el } from "./dom.js";

export function channelLink(channel) {
  return el("a", { href: `#/channels/${encodeURIComponent(channel)}` }, channel);
}
