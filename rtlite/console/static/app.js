// The console's frame: who is logged in, which view is shown, what is announced.

import { api, onLoggedOut } from "./api.js";
import { el } from "./dom.js";
import { feed } from "./feed.js";
import { compact } from "./format.js";
import { login } from "./login.js";

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
const menu = document.getElementById("menu");
const status = document.getElementById("status");
const logout = document.getElementById("logout");
const announcer = document.getElementById("announcer");

const context = {
  api,
  feed,
  dev: false,
  session: null,
  origin: location.origin,
  /** Says a text to screen readers, once they are idle. */
  announce(text) {
    announcer.textContent = "";
    setTimeout(() => (announcer.textContent = text), 50);
  },
};

let cleanUp = () => {};
let shown = 0; // counts the views, so that one that loads late is not put over the next

function viewOf(hash) {
  const path = (hash || "#/").split("?")[0];
  return VIEWS.find((view) => path === view.path || (view.path !== "#/" && path.startsWith(`${view.path}/`))) ?? null;
}

function leave() {
  const done = cleanUp;
  cleanUp = () => {};
  done();
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
}

async function route({ focus = true } = {}) {
  const number = ++shown;
  leave();
  openMenu(false);
  const view = viewOf(location.hash);
  for (const link of nav.querySelectorAll("a")) {
    if (view !== null && link.hash === view.path) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const root = el("div", { class: "view" });
  main.replaceChildren(root);
  document.title = `${view?.title ?? "Nothing here"} · rtlite`;
  if (view === null) {
    root.append(el("h1", {}, "Nothing here"), el("p", {}, el("a", { href: "#/" }, "Go to the overview")));
  } else {
    try {
      const done = (await (await view.load()).show(root, context)) ?? (() => {});
      if (number !== shown) return done();
      cleanUp = done;
    } catch (error) {
      if (number !== shown || error.status === 401) return;
      root.append(el("p", { role: "alert", class: "problem" }, error.message));
    }
  }
  scrollTo(0, 0);
  if (focus) focusOn(root.querySelector("h1"));
}

/** After a change of view the focus is at its heading: there a screen reader goes on, and so does Tab. */
function focusOn(heading) {
  if (heading === null || heading.parentElement?.closest("dialog[open]")) return;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
}

function openMenu(open) {
  nav.classList.toggle("open", open);
  menu.setAttribute("aria-expanded", String(open));
}

function enter(state, { focus }) {
  context.dev = state.dev;
  context.session = state.session;
  nav.hidden = menu.hidden = status.hidden = false;
  logout.hidden = state.dev; // anyone is let in again
  logout.title = `Logged in as ${state.session.user}`;
  feed.start();
  route({ focus });
}

async function ask(text = "") {
  shown += 1;
  leave();
  feed.stop();
  context.session = null;
  nav.hidden = menu.hidden = status.hidden = logout.hidden = true;
  document.title = "Log in · rtlite";
  const root = el("div", { class: "view" });
  main.replaceChildren(root);
  enter(await login(root, context, text), { focus: true });
}

/** Sessions end by time, with their key, or with the server. With --dev a new one is there for the asking. */
async function sessionEnded() {
  const { session } = context;
  if (session === null) return;
  context.session = null;
  if (context.dev) {
    try {
      return enter(await api.post("/api/session"), { focus: false });
    } catch (error) {
      if (error.status === 0) { // the server is away again: the feed asks until it answers
        context.session = session;
        return feed.start();
      }
    }
  }
  ask("Your session is over: it expired, its key was revoked, or the server was started anew. Log in again.");
}

nav.append(el("ul", {}, VIEWS.map((view) => el("li", {}, el("a", { href: view.path }, view.title)))));
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the part after # names a view
  focusOn(main.querySelector("h1"));
});
menu.addEventListener("click", () => openMenu(menu.getAttribute("aria-expanded") !== "true"));
nav.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !nav.classList.contains("open")) return;
  openMenu(false);
  menu.focus();
});
logout.addEventListener("click", async () => {
  context.session = null;
  await api.delete("/api/session");
  ask("You are logged out.");
});
addEventListener("hashchange", () => context.session !== null && route());
onLoggedOut(sessionEnded);
feed.subscribe("ended", sessionEnded);
feed.subscribe("state", (state) => {
  status.dataset.state = state;
  if (state !== "live") say(state === "away" ? "The server does not answer" : "Connecting…");
});
feed.subscribe("snapshot", (snapshot) => {
  const rate = snapshot.published === null ? "" : `${compact(snapshot.published)} events/s · `; // at first, none was measured
  say(`${rate}${compact(snapshot.connections)} connected`);
});

function say(text) {
  status.firstElementChild.textContent = text;
}

/** With --dev nobody needs a key. */
async function begin() {
  try {
    let state = await api.get("/api/session");
    if (state.session === null && state.dev) state = await api.post("/api/session");
    if (state.session === null) ask();
    else enter(state, { focus: false });
  } catch (error) {
    main.replaceChildren(el("div", { class: "view" }, el("h1", {}, "rtlite"), el("p", { role: "alert", class: "problem" }, error.message)));
  }
}

begin();
