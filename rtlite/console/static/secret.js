// What is shown once, and copying it.

import { el, focusHeading } from "./dom.js";

export function copyButton(text, context, label = "Copy") {
  return el("button", {
    type: "button",
    onclick: async (event) => {
      await copy(text(), context, event.currentTarget);
    },
  }, label);
}

async function copy(text, context, button) {
  try {
    await navigator.clipboard.writeText(text);
    context.announce("Copied");
  } catch {
    // without TLS a page has no clipboard: the text is selected, to be copied by hand
    const shown = button.parentElement.querySelector("code");
    if (shown) getSelection().selectAllChildren(shown);
    context.announce("Selected; copy it with the keyboard");
    return;
  }
  const said = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = said), 1500);
}

/** A secret that cannot be had again, in a place of its own. */
export function secretPanel(title, secret, about, context) {
  const close = el("button", { type: "button", onclick: () => {
    panel.remove();
    focusHeading();
  } }, "Done");
  const panel = el("section", { class: "panel stack shown-once", tabindex: "-1", "aria-label": title },
    el("h2", {}, title),
    el("p", {}, about),
    el("div", { class: "secret" }, el("code", {}, secret), copyButton(() => secret, context), close));
  return panel;
}
