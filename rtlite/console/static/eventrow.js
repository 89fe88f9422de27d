// One event in a list.

import { el } from "./dom.js";
import { bytes, exact } from "./format.js";
import { jsonView, preview } from "./json.js";
import { copyButton } from "./secret.js";

/** An event as a line that opens. `actions` are buttons beside its data. */
export function eventRow(event, context, ...actions) {
  const data = event.beginning === undefined ? event.data : null;
  const line = el("summary", {},
    el("time", { datetime: event.timestamp, title: exact(event.timestamp) }, exact(event.timestamp).slice(11)),
    event.shownChannel ? el("span", { class: "channel" }, event.channel) : null,
    el("strong", {}, event.event),
    el("span", { class: "mono preview" }, event.beginning === undefined ? preview(data) : `${event.beginning.slice(0, 160)}…`));
  const details = el("details", { class: "event" }, line);
  details.addEventListener("toggle", () => {
    if (!details.open || details.childElementCount > 1) return;
    const text = () => JSON.stringify(data, null, 2);
    details.append(el("div", { class: "stack" },
      el("p", { class: "muted" }, `Offset ${event.offset} · id `, el("code", {}, event.id), ` · ${exact(event.timestamp)}`),
      event.beginning === undefined
        ? jsonView(data)
        : el("p", {}, `${bytes(event.size)} of data; its beginning: `, el("code", {}, event.beginning.slice(0, 2000))),
      el("div", { class: "row" }, event.beginning === undefined ? copyButton(text, context, "Copy the data") : null, actions)));
  });
  return details;
}
