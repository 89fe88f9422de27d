// Forms that ask the server for something.

import { el } from "./dom.js";

/** A form in a panel; what is refused is said below it. */
export function form(title, yes, submit, fields) {
  const problem = el("p", { class: "problem", role: "alert", hidden: true });
  return el("form", {
    class: "panel stack",
    "aria-label": title,
    onsubmit: async (event) => {
      event.preventDefault();
      problem.hidden = true;
      const given = Object.fromEntries(new FormData(event.currentTarget));
      try {
        await submit(given, event.target);
      } catch (error) {
        problem.textContent = error.message;
        problem.hidden = false;
      }
    },
  }, el("h2", {}, title), el("div", { class: "row" }, fields), problem, el("div", { class: "row" }, el("button", { class: "primary" }, yes)));
}
