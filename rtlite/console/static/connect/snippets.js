// Programs to copy: files that run as they stand against `rtlite serve --dev`, made to fit this server.

import { el } from "../dom.js";
import { tabs } from "../tabs.js";

const HOST = "//127.0.0.1:8000";
const FORMS = {
  js: { id: "js", title: "Browser" },
  html: { id: "html", title: "HTML" },
  mjs: { id: "mjs", title: "Node" },
  "curl.sh": { id: "curl.sh", title: "curl" },
  sh: { id: "sh", title: "Shell" },
  py: { id: "py", title: "Python" },
};
let preferred = "js"; // the language that was chosen last, in whatever protocol

/** A snippet's text with this server's address, and with what `credential` has in place of the keys of --dev. */
export function fitted(text, context, credential) {
  const at = new URL(context.origin);
  let fit = text.replaceAll(`http:${HOST}`, at.origin).replaceAll(`ws:${HOST}`, at.origin.replace(/^http/, "ws"));
  if (context.dev) return fit.replaceAll("YOUR_TOKEN", credential.known ?? "YOUR_TOKEN");
  const secret = credential.known ?? "YOUR_TOKEN";
  fit = fit
    .replaceAll("apiKey=pk_live_dev", `token=${secret}`)
    .replaceAll('apiKey: "pk_live_dev"', `authorization: "Bearer ${secret}"`)
    .replaceAll(/(mbk|pk_live|rts)_dev\b/g, secret)
    .replaceAll("YOUR_TOKEN", secret)
    .replaceAll("rtk_dev", "YOUR_ADMIN_KEY");
  return fit.replaceAll("notifications:dev", `notifications:${credential.user}`);
}

/** The snippets of a protocol, one tab per language, and a button that copies the one that is shown. */
export function snippets(protocol, context, credential) {
  const forms = protocol.forms.map((form) => FORMS[form]);
  const copied = el("span", { class: "muted", role: "status" });
  const copy = el("button", { type: "button" }, "Copy");
  const languages = tabs(`Languages for ${protocol.title}`, forms, preferred, (form, panel) => {
    preferred = form.id;
    const code = el("code", {});
    panel.append(el("pre", { tabindex: "0", "aria-label": `${form.title} program` }, code));
    let text = null;
    const draw = () => {
      if (text !== null) code.textContent = fitted(text, context, credential);
      copied.textContent = "";
    };
    copy.onclick = () => put(code.textContent, copied);
    credential.addEventListener("change", draw);
    load(protocol, form).then(
      (found) => {
        text = found;
        draw();
      },
      (error) => (code.textContent = error.message),
    );
    return () => credential.removeEventListener("change", draw);
  });
  const bar = el("span", { class: "row middle" }, copied, copy);
  const head = el("div", { class: "head" }, el("h2", {}, "In your program"), bar);
  return { element: el("section", { class: "panel", "aria-label": "Program" }, head, languages.element), close: languages.close };
}

async function load(protocol, form) {
  const answer = await fetch(`/console/snippets/${protocol.id}${form.id.includes(".") ? "-" : "."}${form.id}`);
  if (!answer.ok) throw new Error("The snippet could not be loaded.");
  return (await answer.text()).trimEnd();
}

async function put(text, status) {
  try {
    await navigator.clipboard.writeText(text);
    status.textContent = "Copied";
  } catch {
    status.textContent = "The browser does not allow it here: select the text and copy it.";
  }
}
