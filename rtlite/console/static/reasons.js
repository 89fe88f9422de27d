// Why connections end, in words: the names are those of the table of close codes.

import { el } from "./dom.js";

const USUAL = new Set(["normal", "stopping", "closed_by_operator", "reconfigured", "deleted"]);
const OURS = new Set(["internal_error", "over_capacity"]);

export function reasonTag(reason) {
  const name = USUAL.has(reason) ? "" : OURS.has(reason) ? " bad" : " warn";
  return el("span", { class: `tag${name}` }, reason.replaceAll("_", " "));
}
