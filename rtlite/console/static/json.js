// JSON to read: indented and coloured, as text in elements and never as markup.

import { el } from "./dom.js";

const LONGEST = 100_000; // characters that are coloured; what is longer is shown plain
const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d[\d.eE+-]*/g;

export function jsonView(value) {
  const text = JSON.stringify(value, null, 2);
  const pre = el("pre", { class: "json", tabindex: "0", role: "region", "aria-label": "JSON" });
  if (text.length > LONGEST) {
    pre.append(text);
    return pre;
  }
  let at = 0;
  for (const match of text.matchAll(TOKEN)) {
    pre.append(text.slice(at, match.index));
    if (match[2]) pre.append(el("span", { class: "name" }, match[1]), match[2]);
    else pre.append(el("span", { class: match[1] ? "text" : "value" }, match[0]));
    at = match.index + match[0].length;
  }
  pre.append(text.slice(at));
  return pre;
}

/** One line of it, for lists. */
export function preview(value, longest = 160) {
  const text = JSON.stringify(value);
  return text.length > longest ? `${text.slice(0, longest)}…` : text;
}
