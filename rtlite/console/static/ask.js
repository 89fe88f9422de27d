// A question before something that cannot be undone.

import { el } from "./dom.js";

/** Resolves to whether the operator said yes. The dialog is the browser's own: it holds the focus and gives it back. */
export function ask(question, { yes = "Yes", about = "" } = {}) {
  return new Promise((resolve) => {
    const no = el("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
    const go = el("button", { type: "button", class: "danger", onclick: () => dialog.close("yes") }, yes);
    const title = el("h2", { id: "ask-title" }, question);
    const dialog = el("dialog", {
      "aria-labelledby": "ask-title",
      onclose: () => {
        dialog.remove();
        resolve(dialog.returnValue === "yes");
      },
    }, el("div", { class: "stack" }, title, about ? el("p", {}, about) : null, el("div", { class: "row end" }, no, go)));
    document.body.append(dialog);
    dialog.showModal();
    no.focus();
  });
}
