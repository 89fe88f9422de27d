// History played again: from an event on, in its own time or faster; watched, or published anew as well.

import { el } from "./dom.js";
import { exact } from "./format.js";
import { preview } from "./json.js";

const PAGE = 100;
const MOST = 200; // lines
const LONGEST = 60_000; // milliseconds that it waits between two events, whatever lay between them

export function replay(path, channel, context) {
  const log = el("ol", { class: "events plain", "aria-label": "Events that are played", tabindex: "0" });
  const state = el("p", { class: "muted", role: "status" });
  const speed = el("select", { name: "speed" }, [
    ["1", "As it was"], ["10", "10 times as fast"], ["100", "100 times as fast"], ["0", "Without waiting"],
  ].map(([value, text]) => el("option", { value }, text)));
  const target = el("input", { name: "target", value: channel, autocomplete: "off", spellcheck: "false" });
  const publishing = el("input", { type: "checkbox", name: "publish", onchange: () => (where.hidden = !publishing.checked) });
  const where = el("label", { hidden: true }, "To the channel", target);
  const start = el("button", { type: "button", class: "primary", onclick: () => run() }, "Play");
  const hold = el("button", { type: "button", hidden: true, "aria-pressed": "false", onclick: () => pause(!paused) }, "Pause");
  const close = el("button", { type: "button", onclick: () => {
    stop();
    opener.focus();
    element.hidden = true;
  } }, "Close");
  const title = el("h2", { tabindex: "-1" }, "Replay");
  const element = el("section", { class: "panel stack", hidden: true, "aria-label": "Replay" },
    title,
    el("div", { class: "row" }, el("label", {}, "Speed", speed),
      el("label", { class: "check" }, publishing, "Publish each again"), where, start, hold, close),
    state, log);

  let from = null;
  let opener = null; // what had the focus before
  let running = null; // what stops the one that runs
  let paused = false;
  let wake = () => {};

  function pause(on) {
    paused = on;
    hold.setAttribute("aria-pressed", String(on));
    hold.textContent = on ? "Go on" : "Pause";
    wake();
  }

  function stop() {
    running?.abort();
    running = null;
  }

  /** Resolves after so many milliseconds of not being paused. :throws: the signal's reason, once it is over. */
  async function wait(milliseconds, signal) {
    let left = milliseconds;
    while (left > 0 || paused) {
      signal.throwIfAborted();
      const began = performance.now();
      await new Promise((resolve) => {
        wake = resolve;
        signal.addEventListener("abort", resolve, { once: true });
        if (!paused) setTimeout(resolve, left);
      });
      if (!paused) left -= performance.now() - began;
    }
    signal.throwIfAborted();
  }

  async function run() {
    stop();
    const mine = (running = new AbortController());
    const again = publishing.checked ? target.value.trim() : null;
    log.replaceChildren();
    hold.hidden = false;
    pause(false);
    let played = 0;
    let before = null;
    let since = `${from.epoch ?? from.position.split("-")[0]}-${from.offset - 1}`;
    try {
      const last = (await context.api.get(`${path}/history`, { order: "desc", limit: 1 })).items[0]?.offset ?? 0;
      for (let done = false; !done; ) {
        const { items, next } = await context.api.get(`${path}/history`, { since, limit: PAGE }, mine.signal);
        done = items.length === 0 || items.at(-1).offset >= last; // what is published meanwhile is not played
        for (const event of items.filter(({ offset }) => offset <= last)) {
          const at = Date.parse(event.timestamp);
          const factor = Number(speed.value);
          if (before !== null && factor) await wait(Math.min(LONGEST, Math.max(0, at - before)) / factor, mine.signal);
          else await wait(0, mine.signal);
          before = at;
          if (again !== null) await context.api.post("/api/publish", { channel: again, event: event.event, data: event.data });
          played += 1;
          log.append(el("li", {}, el("time", {}, exact(event.timestamp).slice(11)), el("strong", {}, event.event),
            el("span", { class: "mono preview" }, preview(event.data))));
          while (log.childElementCount > MOST) log.firstElementChild.remove();
          log.scrollTop = log.scrollHeight;
          state.textContent = `${played} played${again === null ? "" : `, each published to ${again}`}…`;
        }
        since = next;
      }
      state.textContent = `${played} played${again === null ? "" : `, each published to ${again}`}. That was the last.`;
    } catch (error) {
      if (!mine.signal.aborted) state.textContent = `Stopped after ${played}: ${error.message}`;
    } finally {
      if (running === mine) {
        running = null;
        if (document.activeElement === hold) start.focus();
        hold.hidden = true;
      }
    }
  }

  return {
    element,
    stop,
    /** Open the panel for a replay from `event` on. */
    begin(event) {
      stop();
      from = event;
      opener = document.activeElement;
      element.hidden = false;
      hold.hidden = true;
      log.replaceChildren();
      state.textContent = `From ${event.event} of ${exact(event.timestamp)} on.`;
      title.focus();
      element.scrollIntoView({ block: "nearest" });
    },
  };
}
