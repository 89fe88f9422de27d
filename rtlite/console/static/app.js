// The console's frame: which view is shown, who is logged in, what is announced.

import { api } from "./api.js";
import { el } from "./dom.js";
import { feed } from "./feed.js";

const VIEWS = [
  { path: "#/", title: "Overview", load: () => import("./views/overview.js") },
  { path: "#/channels", title: "Channels", load: () => import("./views/channels.js") },
  { path: "#/connections", title: "Connections", load: () => import("./views/connections.js") },
  { path: "#/events", title: "Events", load: () => import("./views/events.js") },
  { path: "#/publish", title: "Publish", load: () => import("./views/publish.js") },
  { path: "#/connect", title: "Connect", load: () => import("./views/connect.js") },
  { path: "#/faults", title: "Faults", load: () => import("./views/faults.js") },
  { path: "#/webhooks", title: "Webhooks", load: () => import("./views/webhooks.js") },
  { path: "#/keys", title: "Keys and tokens", load: () => import("./views/keys.js") },
];

const main = document.getElementById("main");
const nav = document.getElementById("nav");
const announcer = document.getElementById("announcer");

const context = {
  api,
  feed,
  dev: false,
  origin: location.origin,
  /** Says a text to screen readers, once they are idle. */
  announce(text) {
    announcer.textContent = "";
    setTimeout(() => (announcer.textContent = text), 50);
  },
};

let cleanUp = () => {};
let shown = 0;

function viewOf(hash) {
  const path = (hash || "#/").split("?")[0];
  const fits = VIEWS.filter((view) => path === view.path || (view.path !== "#/" && path.startsWith(`${view.path}/`)));
  return fits[0] ?? null;
}

async function route() {
  const number = ++shown;
  cleanUp();
  cleanUp = () => {};
  const view = viewOf(location.hash);
  for (const link of nav.querySelectorAll("a")) {
    if (view && link.hash === view.path) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const root = el("div", { class: "view" });
  main.replaceChildren(root);
  if (view === null) {
    root.append(el("h1", {}, "Nothing here"), el("p", {}, el("a", { href: "#/" }, "Go to the overview")));
    return;
  }
  document.title = `${view.title} · rtlite`;
  try {
    const done = await (await view.load()).show(root, context);
    if (number !== shown) done?.(); // another view was asked for meanwhile
    else cleanUp = done ?? (() => {});
  } catch (error) {
    root.append(el("p", { role: "alert", class: "problem" }, error.message));
  }
}

nav.append(el("ul", {}, ...VIEWS.map((view) => el("li", {}, el("a", { href: view.path }, view.title)))));
nav.hidden = false;
addEventListener("hashchange", route);
route();
