// How to connect: for each protocol a program to copy, and a try-out in this page.

import { collab } from "../connect/collab.js";
import { Credential } from "../connect/credential.js";
import { graphql } from "../connect/graphql.js";
import { polling, sse, terminal } from "../connect/http.js";
import { snippets } from "../connect/snippets.js";
import { socketio } from "../connect/socketio.js";
import { tryout } from "../connect/tryout.js";
import { webhooks } from "../connect/webhooks.js";
import { blogArticle, blogNotifications, commands, events } from "../connect/websockets.js";
import { el } from "../dom.js";
import { tabs } from "../tabs.js";

const PROTOCOLS = [
  blogNotifications, blogArticle, commands, events, sse, socketio, graphql, collab, polling, webhooks, terminal,
];

/** What is presented, where that is not a key of --dev: made on a click, since it is a credential. */
function minting(protocol, credential, context) {
  if (credential.fixed || protocol.unnamed) return null;
  const what = credential.kind === null ? "token" : "key";
  const status = el("span", { class: "muted", role: "status" });
  const make = el("button", {
    type: "button",
    onclick: () =>
      credential.renew().then(
        () => (status.textContent = "It is in the snippets now, and shown nowhere else."),
        (error) => (status.textContent = error.message),
      ),
  }, `Make a ${what} for 10 minutes`);
  if (context.dev) make.click();
  return el("div", { class: "row middle" }, make, status);
}

function panel(protocol, root, context) {
  history.replaceState(null, "", `#/connect/${protocol.id}`);
  const credential = new Credential(context, protocol.credential);
  const code = snippets(protocol, context, credential);
  const live = (protocol.tryout ?? tryout)(protocol, credential, context);
  root.append(
    el("p", { class: "about" }, protocol.about),
    minting(protocol, credential, context) ?? "",
    el("div", { class: "grid connect" },
      code.element,
      el("section", { class: "panel", "aria-label": "Try it" },
        el("h2", {}, "Try it here"),
        el("div", { class: "stack" }, protocol.settings?.(context) ?? "", live.element))),
  );
  return () => {
    code.close();
    live.close();
  };
}

export async function show(root, context) {
  const wanted = location.hash.split("/")[2];
  const all = tabs("Protocols", PROTOCOLS, wanted, (protocol, place) => panel(protocol, place, context));
  root.append(el("h1", {}, "Connect"), all.element);
  return all.close;
}
