// A document that two editors have open: npm's yjs and y-websocket, twice in one page.

import { allow, el } from "../dom.js";
import { time } from "../format.js";
import { Doc, WebsocketProvider } from "../vendor/yjs.js";
import { journal } from "./journal.js";

const ROOM = "notes";
const TEXT = "content"; // the text's name in the document, as in the snippets

/** Binds a textarea to a Yjs text: what is typed becomes edits, and others' edits leave the cursor where it is. */
function bind(area, text) {
  area.addEventListener("input", () => {
    const before = text.toString();
    const now = area.value;
    const most = Math.min(before.length, now.length);
    let start = 0;
    while (start < most && before[start] === now[start]) start++;
    let end = 0;
    while (end < most - start && before.at(-1 - end) === now.at(-1 - end)) end++;
    text.doc.transact(() => {
      text.delete(start, before.length - start - end);
      text.insert(start, now.slice(start, now.length - end));
    }, area);
  });
  text.observe(({ delta, transaction }) => {
    if (transaction.origin === area) return;
    let [from, to, at] = [area.selectionStart, area.selectionEnd, 0];
    for (const { retain = 0, insert = "", delete: gone = 0 } of delta) {
      at += retain;
      const moved = (place) => (place > at ? Math.max(at, place + insert.length - gone) : place);
      [from, to] = [moved(from), moved(to)];
      at += insert.length;
    }
    area.value = text.toString();
    area.setSelectionRange(from, to);
  });
}

/** One editor: `connect()`, `disconnect()`, and its text. */
function editor(name, params, say) {
  const doc = new Doc();
  const text = doc.getText(TEXT);
  // Through the server alone, not from tab to tab inside the browser.
  const provider = new WebsocketProvider(`${location.origin.replace(/^http/, "ws")}/collab`, ROOM, doc, {
    params,
    connect: false,
    disableBc: true,
  });
  const area = el("textarea", { rows: "6", spellcheck: "false", disabled: true });
  const state = el("span", { class: "state", role: "status" });
  bind(area, text);
  const show = (status) => {
    state.dataset.state = { connected: "connected", connecting: "connecting", disconnected: "closed" }[status];
    state.textContent = `${status[0].toUpperCase()}${status.slice(1)}`;
  };
  show("disconnected");
  provider.on("status", ({ status }) => show(status));
  provider.on("sync", (synced) => {
    if (!synced) return;
    area.disabled = false;
    say("note", `${name} has the document as it stands`);
  });
  provider.on("connection-close", (event) => {
    if (event) say("bad", `${name}: closed with ${event.code}${event.reason ? `: ${event.reason}` : ""}`);
  });
  text.observe(({ transaction }) => {
    if (!transaction.local) say("event", el("b", {}, `${name} hears an edit`), ` ${text.length} characters`);
  });
  const element = el("div", { class: "editor" }, el("label", {}, name, area), state);
  return { element, provider, text, doc };
}

async function overHttp(secret, method, path, body) {
  const headers = { Authorization: `Bearer ${secret}`, "Content-Type": "application/json" };
  const answer = await fetch(`/collab/${ROOM}/document${path}`, { method, headers, body });
  if (!answer.ok && answer.status !== 404) throw new Error((await answer.json()).detail);
  return answer.ok ? answer.text() : "";
}

function tryout(protocol, credential) {
  const { element: log, say } = journal();
  const place = el("div", { class: "grid" }, el("p", { class: "empty" }, "Two editors of the document appear here."));
  const open = el("button", { type: "button", class: "primary", onclick: () => guarded(toggle) }, "Connect");
  const write = el("button", { type: "button", onclick: () => guarded(writeOverHttp) }, "Publish a test edit");
  const away = el("button", { type: "button", "aria-disabled": "true", onclick: () => guarded(comeBack) },
    "Disconnect 1, write 3 in 2, reconnect");
  let editors = null;
  let lines = 0;

  async function guarded(act) {
    try {
      await act();
    } catch (error) {
      say("bad", error.message);
    }
  }

  async function toggle() {
    if (editors === null) {
      const secret = await credential.secret();
      const params = { [secret.startsWith("pk_") ? "apiKey" : "token"]: secret };
      editors = ["Editor 1", "Editor 2"].map((name) => editor(name, params, say));
      place.replaceChildren(...editors.map(({ element }) => element));
    }
    const connecting = !editors[1].provider.shouldConnect;
    for (const { provider } of editors) provider[connecting ? "connect" : "disconnect"]();
    open.textContent = connecting ? "Disconnect" : "Connect";
    allow(away, connecting);
  }

  async function writeOverHttp() {
    const secret = await credential.secret();
    const before = await overHttp(secret, "GET", "?format=text");
    const line = `Line ${++lines}, written over HTTP at ${time(new Date())}\n`;
    const content = before && !before.endsWith("\n") ? `${before}\n${line}` : before + line;
    await overHttp(secret, "PUT", "", JSON.stringify({ [TEXT]: content }));
    say("out", "A line was added by PUT /collab/notes/document");
  }

  async function comeBack() {
    const [one, two] = editors;
    allow(away, false);
    one.provider.disconnect();
    for (let n = 1; n <= 3; n++) two.text.insert(two.text.length, `Edit ${n} while editor 1 was away\n`);
    say("out", "Editor 1 is away; editor 2 has written 3 lines");
    const caughtUp = new Promise((done) => {
      const look = () => {
        if (one.text.toString() !== two.text.toString()) return;
        one.text.unobserve(look);
        done();
      };
      one.text.observe(look);
    });
    one.provider.connect();
    await caughtUp;
    say("good", "All 3 that were missed have arrived, in order.");
    allow(away, true);
  }

  return {
    element: el("div", { class: "stack" }, el("div", { class: "row" }, open, write, away), place, log),
    close() {
      for (const { provider, doc } of editors ?? []) {
        provider.destroy();
        doc.destroy();
      }
    },
  };
}

export const collab = {
  id: "collab",
  title: "Yjs",
  about: ["A document that several edit at a time, by the protocol of y-websocket: ", el("code", {}, "WS /collab/{room}"), ". Type into either editor."],
  forms: ["js", "mjs", "sh", "py"],
  credential: { key: "pk_live_dev", rights: { publish: [`collab:${ROOM}`] } },
  tryout,
};
