// A try-out: it connects with the protocol from this page, and shows what comes.

import { allow, el } from "../dom.js";
import { journal } from "./journal.js";

const PATIENCE = 10_000; // ms for what was missed to arrive

const same = (data, published) => JSON.stringify(data) === JSON.stringify(published);

/**
 * `protocol.connect({credential, since, on, context})` opens a connection from `since` on, or from now on if that is
 * null, and returns a function that closes it. What happens it tells by
 * `on.open(text, place)`, `on.event(name, data, place)`, `on.note(text)`, `on.away(text)` when it will come back by
 * itself, and `on.end(text)` when it will not. `place` is where to go on. `protocol.tells(data, published)` is whether
 * an event's data is of what was published; without it, the two are the same.
 */
export function tryout(protocol, credential, context) {
  const state = el("p", { class: "state", role: "status" });
  const { element: log, say } = journal();
  const open = el("button", { type: "button", class: "primary", onclick: () => (hangUp ? disconnect() : connect()) });
  const test = el("button", { type: "button", onclick: () => busy(publish) }, "Publish a test event");
  const resume = el("button", { type: "button", "aria-disabled": "true", onclick: () => busy(comeBack) },
    "Disconnect, publish 3, reconnect");
  let hangUp = null;
  let number = 0; // of the connection: what an earlier one still says is not listened to
  let place = null;
  let turn = 0;
  let heard = () => {};
  let atWork = false;

  function become(name, text) {
    state.dataset.state = name;
    state.textContent = text;
    open.textContent = hangUp ? "Disconnect" : "Connect";
    allow(resume, !atWork && name === "connected");
  }

  async function connect() {
    const mine = ++number;
    const only = (act) => (...values) => (mine === number ? act(...values) : undefined);
    hangUp = () => {};
    become("connecting", "Connecting");
    const on = {
      open: only((text, at) => {
        place = at ?? place;
        become("connected", "Connected");
        say("note", text);
      }),
      event: only((name, data, at) => {
        place = at ?? place;
        say("event", el("b", {}, name), " ", el("code", {}, JSON.stringify(data)));
        heard(data);
      }),
      note: only((text) => say("note", text)),
      away: only((text) => {
        become("connecting", "Coming back");
        say("bad", text);
      }),
      end: only((text) => {
        hangUp = null;
        become("closed", text);
        say("bad", text);
      }),
    };
    try {
      const close = await protocol.connect({ credential, since: place, on, context });
      if (mine === number && hangUp) hangUp = close;
      else close();
    } catch (error) {
      on.end(error.message);
    }
  }

  function disconnect() {
    number++;
    hangUp?.();
    hangUp = null;
    become("closed", "Disconnected by this page");
    say("note", "Disconnected");
  }

  async function publish() {
    const sample = await context.api.get(`/api/samples/${protocol.sample}`, {
      channel: protocol.channel(credential.user),
      turn: turn++,
    });
    const { channel, event, data } = sample;
    const receipt = await context.api.post("/api/publish", { channel, event, data });
    say("out", `Published ${event} on ${channel}: offset ${receipt.offset}`);
    return data;
  }

  async function comeBack() {
    disconnect();
    const missed = [];
    while (missed.length < 3) missed.push(await publish());
    const arrived = new Promise((done, failed) => {
      const timer = setTimeout(() => failed(new Error(`${missed.length} of 3 did not arrive`)), PATIENCE);
      heard = (data) => {
        if (missed.length > 0 && (protocol.tells ?? same)(data, missed[0])) missed.shift();
        if (missed.length > 0) return;
        clearTimeout(timer);
        done();
      };
    });
    try {
      await Promise.all([arrived, connect()]);
      const text = "All 3 that were missed have arrived, in order.";
      say("good", text);
      context.announce(text);
    } finally {
      heard = () => {};
    }
  }

  async function busy(act) {
    atWork = true;
    allow(test, false);
    allow(resume, false);
    try {
      await act();
    } catch (error) {
      say("bad", error.message);
    } finally {
      atWork = false;
      allow(test, true);
      allow(resume, state.dataset.state === "connected");
    }
  }

  become("idle", "Not connected");
  return {
    element: el("div", { class: "stack" }, el("div", { class: "row" }, open, test, resume), state, log),
    close() {
      number++;
      hangUp?.();
    },
  };
}
