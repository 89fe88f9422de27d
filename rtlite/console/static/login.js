// Logging in with an admin key. It is shown to the server once, and kept nowhere in the browser.

import { el } from "./dom.js";

/** Shows the form until a login holds; resolves to what `/api/session` says of it. */
export function login(root, context, text) {
  return new Promise((resolve) => {
    const key = el("input", {
      type: "password",
      name: "key",
      autocomplete: "current-password",
      autocapitalize: "none",
      spellcheck: "false",
      required: true,
      "aria-describedby": "login-problem",
    });
    const problem = el("p", { class: "problem", id: "login-problem", role: "alert", hidden: true });
    const button = el("button", { class: "primary" }, "Log in");

    async function submit(event) {
      event.preventDefault();
      button.disabled = true;
      problem.hidden = true;
      try {
        resolve(await context.api.post("/api/session", { key: key.value }));
      } catch (error) {
        problem.textContent = error.status === 401 ? "This key does not hold." : error.message;
        problem.hidden = false;
        key.select();
        key.focus();
      } finally {
        button.disabled = false;
      }
    }

    root.append(
      el("form", { class: "panel stack login", onsubmit: submit },
        el("h1", {}, "Log in"),
        text ? el("p", { class: "note", role: "status" }, text) : null,
        el("label", {}, "Admin key", key),
        problem,
        button,
        el("p", { class: "muted" }, "The first start of the server printed one. Another is made beside its file: ",
          el("code", {}, "rtlite keys create --kind admin --user you"))));
    key.focus();
  });
}
