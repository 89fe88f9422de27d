// Publish: a template for each event that the protocols name, to change and to send, once or again and again.

import { allow, el } from "../dom.js";
import { time } from "../format.js";
import { parse } from "../jsontext.js";

const LONGEST = 50; // results that are shown
const LARGEST = 100_000; // repetitions
const NO_TEMPLATE = "";

/** A labelled control with a line below it for what is wrong. */
function field(label, control) {
  const id = `${control.id}-wrong`;
  const wrong = el("span", { class: "wrong", id, role: "alert" });
  control.setAttribute("aria-describedby", id);
  const complain = (text) => {
    wrong.textContent = text;
    control.setAttribute("aria-invalid", text !== "");
  };
  return { element: el("div", { class: "field" }, el("label", {}, label, control), wrong), control, complain };
}

export async function show(root, context) {
  const { api } = context;
  const { items } = await api.get("/api/samples");
  const template = el("select", { id: "template" },
    el("option", { value: NO_TEMPLATE }, "No template"),
    items.map(({ name, about }) => el("option", { value: name }, `${name}: ${about}`)));
  const channel = field("Channel", el("input", { id: "channel", required: true, maxlength: "255", spellcheck: "false", autocomplete: "off" }));
  const event = field("Event", el("input", { id: "event", required: true, spellcheck: "false", autocomplete: "off" }));
  const data = field("Data (JSON)", el("textarea", { id: "data", class: "data", spellcheck: "false" }));
  const id = field("Id (optional)", el("input", { id: "id", maxlength: "64", spellcheck: "false", autocomplete: "off" }));
  const times = el("input", { id: "times", type: "number", min: "1", max: String(LARGEST), value: "1", required: true });
  const every = el("input", { id: "every", type: "number", min: "0", step: "0.1", value: "1", required: true });
  const send = el("button", { class: "primary" }, "Publish");
  const stop = el("button", { type: "button", hidden: true }, "Stop");
  const progress = el("p", { class: "muted", role: "status" });
  const arrives = el("p", { class: "muted" });
  const results = el("ol", { class: "results" });
  const published = el("section", { class: "panel", "aria-label": "Published", hidden: true }, el("h2", {}, "Published"), results);
  const fields = [channel, event, data, id];
  let sample = null; // the template, as long as its data is as it came
  let asked = 0; // counts the templates that were asked for
  let running = null;

  async function use(turn = 0) {
    const mine = ++asked;
    const found = await api.get(`/api/samples/${template.value}`, { channel: channel.control.value, turn });
    if (mine !== asked) return; // something else was chosen or typed meanwhile
    event.control.value = found.event;
    data.control.value = JSON.stringify(found.data, null, 2);
    data.complain("");
    arrives.replaceChildren("Arrives at ", found.arrivesAt.join(", "));
    sample = found;
  }

  /** What is typed stays, whichever template comes. */
  function keep() {
    asked++;
    sample = null;
  }

  /** The event in the fields, or null, with the first field that is wrong in focus. */
  function read() {
    const wrong = [];
    const check = (each, work) => {
      try {
        each.complain("");
        return work(each.control.value);
      } catch (error) {
        each.complain(error.message);
        wrong.push([each.control, error.at]);
        return null;
      }
    };
    const given = (text) => {
      if (text.trim() === "") throw new Error("This is needed");
      return text.trim();
    };
    const made = { channel: check(channel, given), event: check(event, given), data: check(data, parse) };
    if (id.control.value.trim()) made.id = id.control.value.trim();
    if (wrong.length === 0) return made;
    const [control, at] = wrong[0];
    control.focus();
    if (at !== undefined) control.setSelectionRange(at, Math.min(at + 1, control.value.length));
    return null;
  }

  /** The server's refusals begin with the field's name. */
  function refused(error) {
    const named = fields.find(({ control }) => error.message.startsWith(`${control.id}:`));
    if (named) {
      named.complain(error.message.slice(named.control.id.length + 2));
      named.control.focus();
    } else progress.replaceChildren(el("span", { class: "problem" }, error.message));
  }

  function tell({ id: stored, channel: where, offset }, name) {
    published.hidden = false;
    results.prepend(el("li", {},
      el("time", { class: "muted" }, time(new Date())), el("b", {}, name), el("span", { class: "mono" }, where),
      el("span", {}, `offset ${offset}`), el("code", {}, stored)));
    while (results.childElementCount > LONGEST) results.lastElementChild.remove();
  }

  async function publish(submitted) {
    submitted.preventDefault();
    if (running) return;
    const wanted = Number(times.value);
    progress.textContent = "";
    running = new AbortController();
    stop.hidden = wanted === 1;
    allow(send, false);
    let done = 0;
    try {
      while (done < wanted && !running.signal.aborted) {
        if (done > 0) {
          await pause(1000 * Number(every.value), running.signal);
          if (running.signal.aborted) break;
          if (sample) await use(done); // as untouched templates do, it goes on from turn to turn
        }
        const made = read();
        if (made === null) break;
        tell(await api.post("/api/publish", made), made.event);
        done++;
        if (wanted > 1) progress.textContent = `${done} of ${wanted} published`;
      }
      if (done > 0) context.announce(done === 1 ? "Published" : `${done} published`);
    } catch (error) {
      refused(error);
    } finally {
      running = null;
      allow(send, true);
      if (document.activeElement === stop) send.focus();
      stop.hidden = true;
    }
  }

  template.addEventListener("change", () => {
    keep();
    if (template.value === NO_TEMPLATE) return arrives.replaceChildren();
    channel.control.value = items.find(({ name }) => name === template.value).channel;
    return use().catch(refused);
  });
  channel.control.addEventListener("change", () => sample && use().catch(refused));
  for (const each of [event, data]) each.control.addEventListener("input", keep);
  data.control.addEventListener("input", () => {
    try {
      parse(data.control.value);
      data.complain("");
    } catch (error) {
      data.complain(error.message);
    }
  });
  stop.addEventListener("click", () => running?.abort());

  const form = el("form", { class: "panel stack", novalidate: true, onsubmit: publish },
    el("label", {}, "Template", template),
    el("div", { class: "fields wide" }, channel.element, event.element, id.element),
    data.element,
    arrives,
    el("div", { class: "row" },
      el("label", {}, "Times", times), el("label", {}, "Seconds between", every), send, stop, progress));
  form.addEventListener("keydown", (pressed) => {
    if (pressed.key === "Enter" && (pressed.ctrlKey || pressed.metaKey)) form.requestSubmit();
  });
  // The view of a channel leads to #/publish?channel=…: a template of its kind, if there is one.
  const wanted = new URLSearchParams(location.hash.split("?")[1] ?? "").get("channel");
  const kind = (name) => name.split(":")[0];
  const first = wanted === null ? items[0] : items.find((each) => kind(each.channel) === kind(wanted));
  channel.control.value = wanted ?? first.channel;
  template.value = first?.name ?? NO_TEMPLATE;
  if (first) await use();
  root.append(el("h1", {}, "Publish"), form, published);
  return () => running?.abort();
}

/** Resolves after so many milliseconds, or once `signal` is aborted. */
function pause(milliseconds, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      done();
    });
  });
}
