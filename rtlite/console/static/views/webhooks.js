// Programs that are called: which, what they got, and sending it again.

import { ask } from "../ask.js";
import { el } from "../dom.js";
import { form } from "../form.js";
import { age, count, exact, time } from "../format.js";
import { secretPanel } from "../secret.js";
import { table } from "../table.js";

const PAGE = 50;
const REFRESH = 3000; // milliseconds
const MESSAGE = /^msg_([a-z0-9]{8})-(\d+)$/; // of an event of the history: where it stands among all events

export async function show(root, context) {
  const id = location.hash.split("?")[0].split("/")[2];
  return id === undefined ? showList(root, context) : showOne(root, context, decodeURIComponent(id));
}

async function showList(root, context) {
  const secrets = el("div", { class: "stack" });
  const list = table({
    label: "Webhooks",
    key: (item) => item.id,
    columns: [
      { title: "URL", class: "long", key: (item) => item.url, cell: (item) => el("a", { href: `#/webhooks/${item.id}` }, item.url) },
      { title: "Channels", class: "long", cell: (item) => item.channels.join(", ") },
      { title: "State", key: (item) => stateOf(item), cell: stateTag },
      { title: "Next attempt", key: (item) => age(item.nextAttempt), cell: (item) => (item.nextAttempt ? `in ${age(item.nextAttempt)}` : "–") },
      { title: "Lost", class: "number", cell: (item) => count(item.lost) },
      { title: "Made", cell: (item) => `${age(item.created)} ago` },
    ],
    empty: "No webhook yet. Make one below: each event of its channels is posted to its URL, signed, until it is taken.",
  });

  async function load() {
    list.update((await context.api.get("/api/webhooks")).items);
  }

  root.append(el("h1", {}, "Webhooks"), secrets, list.element,
    form("A new webhook", "Make the webhook", async (given, element) => {
      const made = await context.api.post("/api/webhooks", {
        url: given.url,
        channels: given.channels.split(/[\s,]+/).filter(Boolean),
        description: given.description,
        ...(given.since ? { since: given.since } : {}),
      });
      const panel = secretPanel("The secret of the webhook", made.secret, "Its endpoint checks the signature with it. It is shown this once.", context);
      secrets.replaceChildren(panel);
      panel.focus();
      element.reset();
      await load();
    }, [
      el("label", { class: "grow" }, "URL", el("input", { name: "url", type: "url", required: true, placeholder: "https://…", autocomplete: "off" })),
      el("label", { class: "grow" }, "Channels", el("input", { name: "channels", required: true, placeholder: "article:*, changes:product", autocomplete: "off", spellcheck: "false" })),
      el("label", { class: "grow" }, "Description", el("input", { name: "description", autocomplete: "off" })),
      el("label", {}, "Since", el("input", { name: "since", placeholder: "now, or 2h", autocomplete: "off" })),
    ]));
  await load();
  const timer = setInterval(() => load().catch(() => {}), REFRESH); // the bar says when the server is away
  return () => clearInterval(timer);
}

async function showOne(root, context, id) {
  const path = `/api/webhooks/${encodeURIComponent(id)}`;
  const secrets = el("div", { class: "stack" });
  const title = el("h1", { class: "long" });
  const facts = el("dl", { class: "facts" });
  const said = el("p", { role: "status", class: "muted" });
  const onOff = el("button", { type: "button", onclick: () => act(() => change({ enabled: !webhook.enabled }), "Changed") });
  const attempts = table({
    label: "Attempts to deliver",
    key: (item) => item.number,
    columns: [
      { title: "Time", key: (item) => item.at, cell: (item) => el("span", { title: exact(item.at) }, time(item.at)) },
      { title: "Outcome", key: (item) => item.delivered, cell: (item) =>
        el("span", { class: `tag ${item.delivered ? "good" : "bad"}` }, item.delivered ? `taken, ${item.status}` : (item.error ?? `answered ${item.status}`)) },
      { title: "Event", class: "long", cell: (item) => item.type },
      { title: "Channel", class: "long", cell: (item) => item.channel ?? "–" },
      { title: "Attempt", class: "number", cell: (item) => count(item.attempt) },
      { title: "Took", class: "number", cell: (item) => `${count(item.duration)} ms` },
      { title: "Send again", unseen: true, class: "actions", key: (item) => item.number, cell: (item) => MESSAGE.test(item.message)
        ? el("button", { type: "button", "aria-label": `Send again from here: ${item.type} of ${time(item.at)}`, onclick: () => again(item) }, "Send again from here")
        : "" },
    ],
    empty: "Nothing was sent yet. Send a test, or publish to one of its channels.",
  });
  const older = el("button", { type: "button", hidden: true, onclick: () => {
    pages += 1;
    load();
  } }, "Older attempts");
  let webhook;
  let pages = 1;

  async function load() {
    webhook = await context.api.get(path);
    title.textContent = webhook.url;
    onOff.textContent = webhook.enabled ? "Disable" : "Enable";
    const told = {
      "State": stateTag(webhook),
      "Channels": webhook.channels.join(", "),
      "Description": webhook.description || "–",
      "Failing since": webhook.failingSince ? `${age(webhook.failingSince)}, ${count(webhook.attempts)} attempts at this event` : "–",
      "Next attempt": webhook.nextAttempt ? `in ${age(webhook.nextAttempt)}` : "–",
      "Lost": `${count(webhook.lost)} events were gone before they were taken`,
    };
    facts.replaceChildren(...Object.entries(told).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
    const items = [];
    let before = "";
    for (let page = 0; page < pages && before !== null; page += 1) {
      const answer = await context.api.get(`${path}/attempts`, { limit: PAGE, before });
      items.push(...answer.items);
      before = answer.next;
    }
    older.hidden = before === null;
    attempts.update(items);
  }

  const change = (wanted) => context.api.patch(path, wanted);

  async function act(action, done) {
    try {
      const answer = await action();
      said.textContent = typeof done === "function" ? done(answer) : done;
      await load();
    } catch (error) {
      said.textContent = error.message;
    }
  }

  async function again(item) {
    const [, epoch, place] = MESSAGE.exec(item.message);
    const about = "This event and every later one of its channels is sent once more, under the same ids. A good endpoint takes each only once.";
    if (!(await ask(`Send ${item.type} again?`, { yes: "Send again", about }))) return;
    await act(() => change({ since: `msg_${epoch}-${place - 1}`, enabled: true }), "They are on their way.");
  }

  async function remove() {
    if (!(await ask("Delete this webhook?", { yes: "Delete it", about: "What it has not taken yet is not sent any more." }))) return;
    await context.api.delete(path);
    location.hash = "#/webhooks";
  }

  async function rotate() {
    if (!(await ask("Give it a new secret?", { yes: "New secret", about: "The old one signs beside it for a day, so that the endpoint can change over." }))) return;
    await act(async () => {
      const { secret } = await context.api.post(`${path}/rotate`);
      const panel = secretPanel("The new secret", secret, "It is shown this once. Copy it now.", context);
      secrets.replaceChildren(panel);
      panel.focus();
    }, "");
  }

  root.append(
    el("p", {}, el("a", { href: "#/webhooks" }, "All webhooks")), title, secrets, facts,
    el("div", { class: "row" },
      el("button", { type: "button", class: "primary", onclick: () => act(() => context.api.post(`${path}/test`), (answer) =>
        answer.delivered ? `The test was taken (${answer.status}).` : `The test was not taken: ${answer.error ?? answer.status}.`) }, "Send a test"),
      onOff,
      el("button", { type: "button", onclick: rotate }, "New secret"),
      el("button", { type: "button", class: "danger", onclick: remove }, "Delete")),
    said, el("h2", {}, "Attempts"), attempts.element, older);
  await load();
  const timer = setInterval(() => load().catch(() => {}), REFRESH); // the bar says when the server is away
  return () => clearInterval(timer);
}

function stateOf(item) {
  if (item.enabled) return item.failingSince ? "failing" : "delivering";
  return { operator: "disabled", gone: "gone", failing: "given up", refused: "not allowed" }[item.disabled] ?? item.disabled;
}

function stateTag(item) {
  const state = stateOf(item);
  return el("span", { class: `tag ${{ delivering: "good", failing: "warn", disabled: "" }[state] ?? "bad"}` }, state);
}
