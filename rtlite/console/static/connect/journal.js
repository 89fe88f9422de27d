// What happens in a try-out, line by line.

import { el } from "../dom.js";
import { time } from "../format.js";

const LONGEST = 200; // lines

/** Returns the element, and `say(kind, ...parts)`, where kind is note, event, out, good or bad. */
export function journal() {
  const element = el("div", { class: "log", role: "log", "aria-label": "What happens", tabindex: "0" });

  function say(kind, ...parts) {
    const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 40;
    element.append(el("p", { "data-kind": kind }, el("time", {}, time(new Date())), el("span", {}, parts)));
    while (element.childElementCount > LONGEST) element.firstElementChild.remove();
    if (atEnd) element.scrollTop = element.scrollHeight;
  }

  return { element, say };
}
