// Programs to copy: files that run as they stand against `rtlite serve --dev`, made to fit this server.

import { el } from "../dom.js";
import { copyButton } from "../secret.js";
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
  const languages = tabs(`Languages for ${protocol.title}`, forms, preferred, (form, panel) => {
    preferred = form.id;
    const code = el("code", {});
    const copy = copyButton(() => code.textContent, context);
    const pre = el("pre", { tabindex: "0", role: "region", "aria-label": `${form.title} program` }, code);
    const hint = el("p", { class: "muted", hidden: true }, "YOUR_ADMIN_KEY: an admin key is made under ", el("a", { href: "#/keys" }, "Keys and tokens"), ".");
    panel.append(el("div", { class: "snippet" }, pre, copy, hint));
    let text = null;
    const draw = () => {
      if (text === null) return;
      code.textContent = fitted(text, context, credential);
      hint.hidden = !code.textContent.includes("YOUR_ADMIN_KEY");
    };
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
  const section = el("section", { class: "panel", "aria-label": "Program" }, el("h2", {}, "In your program"), languages.element);
  return { element: section, close: languages.close };
}

async function load(protocol, form) {
  const answer = await fetch(`/console/snippets/${protocol.id}${form.id.includes(".") ? "-" : "."}${form.id}`);
  if (!answer.ok) throw new Error("The snippet could not be loaded.");
  return (await answer.text()).trimEnd();
}
