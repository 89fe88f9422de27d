// Tabs: one panel of several. The arrow keys move between them, as the ARIA pattern for tabs has it.

import { el } from "./dom.js";

let count = 0;

/**
 * `items` are `{id, title}`; `show(item, panel)` fills the panel of the one that is chosen, at first that with the id
 * `first`, and may return a function that cleans up. Returns the element, and `close()` for the last clean-up.
 */
export function tabs(label, items, first, show) {
  const prefix = `tabs${++count}`;
  const panel = el("div", { role: "tabpanel", id: `${prefix}-panel`, class: "tab-panel", tabindex: "0" });
  const buttons = items.map((item) =>
    el("button", {
      type: "button",
      role: "tab",
      id: `${prefix}-${item.id}`,
      "aria-controls": panel.id,
      onclick: () => choose(item),
    }, item.title),
  );
  let close = () => {};

  function choose(chosen) {
    close();
    close = () => {};
    items.forEach((item, number) => {
      buttons[number].setAttribute("aria-selected", item === chosen);
      buttons[number].tabIndex = item === chosen ? 0 : -1;
    });
    panel.setAttribute("aria-labelledby", `${prefix}-${chosen.id}`);
    panel.replaceChildren();
    close = show(chosen, panel) ?? (() => {});
  }

  function move(event) {
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    const number = (to + buttons.length) % buttons.length;
    buttons[number].focus();
    choose(items[number]);
  }

  const list = el("div", { role: "tablist", class: "tabs", "aria-label": label, onkeydown: move }, buttons);
  choose(items.find((item) => item.id === first) ?? items[0]);
  return { element: el("div", { class: "tabbed" }, list, panel), close: () => close() };
}
