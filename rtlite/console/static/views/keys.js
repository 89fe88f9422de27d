// API keys and tokens: made, shown once, revoked.

import { ask } from "../ask.js";
import { el } from "../dom.js";
import { form } from "../form.js";
import { age, exact } from "../format.js";
import { secretPanel } from "../secret.js";
import { table } from "../table.js";

const KINDS = [
  ["blog", "blog – a user of the blog API"],
  ["project", "project – reads changes and jobs; publishable"],
  ["stream", "stream – the owner of streams"],
  ["admin", "admin – everything under /api"],
];
const ROLES = ["user", "customer", "collab", "admin"];
const AGES = [["", "Never"], ["30d", "In 30 days"], ["90d", "In 90 days"], ["365d", "In a year"]];
const MOST = 200; // rows
const LIFETIMES = [["15m", "15 minutes"], ["1h", "1 hour"], ["24h", "24 hours"]];

export async function show(root, context) {
  const revoked = el("input", { type: "checkbox", name: "revoked", onchange: () => draw() });
  const secrets = el("div", { class: "stack" });
  const list = table({
    label: "API keys",
    key: (item) => item.id,
    columns: [
      { title: "Key", key: (item) => item.prefix, cell: (item) => el("code", {}, `${item.prefix}…`) },
      { title: "Kind", key: (item) => item.kind, cell: (item) => (item.kind === "project" && item.write ? "project, write" : item.kind) },
      { title: "User", class: "long", cell: (item) => item.user },
      { title: "Name", class: "long", cell: (item) => item.name || "–" },
      { title: "Made", key: (item) => age(item.created), cell: (item) => el("span", { title: exact(item.created) }, `${age(item.created)} ago`) },
      { title: "Last used", cell: (item) => (item.last_used ? `${age(item.last_used)} ago` : "never") },
      { title: "State", key: (item) => stateOf(item), cell: (item) => el("span", { class: `tag ${item.revoked ? "bad" : "good"}` }, stateOf(item)) },
      { title: "Revoke", unseen: true, class: "actions", key: (item) => `${item.id}${item.revoked}`, cell: (item) => item.revoked ? "" :
        el("button", { type: "button", class: "danger", "aria-label": `Revoke ${item.prefix}… of ${item.user}`, onclick: () => revoke(item) }, "Revoke") },
    ],
    empty: "No key fits. Make one below.",
  });

  const search = el("input", { type: "search", name: "find", autocomplete: "off", spellcheck: "false", oninput: () => draw() });
  const more = el("p", { class: "muted", hidden: true });
  let keys = [];

  async function load() {
    keys = (await context.api.get("/api/keys")).items.reverse(); // the newest first
    draw();
  }

  function draw() {
    const text = search.value.trim();
    const found = keys.filter((item) => (revoked.checked || !item.revoked)
      && [item.user, item.name, item.prefix, item.kind].some((part) => part.includes(text)));
    list.update(found.slice(0, MOST));
    more.hidden = found.length <= MOST;
    more.textContent = `The newest ${MOST} of ${found.length} are shown.`;
  }

  async function revoke(item) {
    const own = item.id === context.session.credential;
    const about = `What is open with it is closed at once.${own ? " It is the one that you are logged in with: you are logged out." : ""}`;
    if (!(await ask(`Revoke ${item.prefix}… of ${item.user}?`, { yes: "Revoke it", about }))) return;
    await context.api.delete(`/api/keys/${item.id}`);
    context.announce("The key is revoked");
    if (!own) await load(); // else the feed hears that the session is over
  }

  function reveal(title, secret, about) {
    const panel = secretPanel(title, secret, about, context);
    secrets.replaceChildren(panel);
    panel.focus();
  }

  const keyForm = form("A new key", "Make the key", async (given) => {
    const made = await context.api.post("/api/keys", {
      kind: given.kind,
      user: given.user,
      name: given.name,
      ...(given.expires ? { expires: given.expires } : {}),
      ...(given.kind === "project" && given.write ? { scope: "write" } : {}),
    });
    reveal("The new key", made.key, "It is shown this once. Copy it now.");
    await load();
  }, [
    el("label", {}, "Kind", el("select", { name: "kind" }, options(KINDS))),
    el("label", { class: "grow" }, "User", el("input", { name: "user", required: true, autocomplete: "off", spellcheck: "false" })),
    el("label", { class: "grow" }, "Name", el("input", { name: "name", autocomplete: "off", placeholder: "What it is for" })),
    el("label", {}, "Expires", el("select", { name: "expires" }, options(AGES))),
    el("label", { class: "check" }, el("input", { type: "checkbox", name: "write" }), "A project key may write"),
  ]);

  const tokenForm = form("A token", "Sign the token", async (given) => {
    const made = await context.api.post("/api/tokens", {
      user: given.user,
      role: given.role,
      ttl: given.ttl,
      subscribe: words(given.subscribe),
      publish: words(given.publish),
    });
    reveal("The token", made.token, "A JWT. It is kept nowhere; it holds until it expires, and cannot be revoked.");
  }, [
    el("label", { class: "grow" }, "User", el("input", { name: "user", required: true, autocomplete: "off", spellcheck: "false" })),
    el("label", {}, "Role", el("select", { name: "role" }, options(ROLES.map((role) => [role, role])))),
    el("label", {}, "Holds for", el("select", { name: "ttl" }, options(LIFETIMES, "1h"))),
    el("label", { class: "grow" }, "May read besides", el("input", { name: "subscribe", placeholder: "article:*, room:1", spellcheck: "false", autocomplete: "off" })),
    el("label", { class: "grow" }, "May publish to", el("input", { name: "publish", placeholder: "room:1", spellcheck: "false", autocomplete: "off" })),
  ]);

  root.append(
    el("h1", {}, "Keys and tokens"), secrets,
    el("div", { class: "head" }, el("h2", {}, "Keys"),
      el("div", { class: "row" }, el("label", { class: "check" }, revoked, "Show revoked ones"), el("label", {}, "Find by user, name, kind or key", search))),
    list.element, more, keyForm, tokenForm);
  await load();
}

function stateOf(item) {
  if (item.revoked) return "revoked";
  if (!item.expires) return "in force";
  return Date.parse(item.expires) < Date.now() ? "expired" : `expires in ${age(item.expires)}`;
}

const options = (pairs, chosen) => pairs.map(([value, text]) => el("option", { value, selected: value === chosen }, text));

const words = (text) => text.split(/[\s,]+/).filter(Boolean);
