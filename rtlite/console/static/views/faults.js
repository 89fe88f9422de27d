// Faults: what is made slow, deaf or broken on purpose, for how long still, and a form to set more.

import { el, focusHeading } from "../dom.js";
import { table } from "../table.js";

const OFTEN = 1000; // ms between two looks
const FIELDS = {
  latency: { label: "Latency (ms)", unit: " ms", type: "number", min: 0 },
  jitter: { label: "Jitter (ms)", unit: " ms", type: "number", min: 0 },
  code: { label: "Close code", type: "number", min: 1000 },
  text: { label: "Reason", type: "text" },
  rate: { label: "Bytes a second", unit: " bytes/s", type: "number", min: 1 },
  status: { label: "Status", type: "number", min: 400 },
  retry_after: { label: "Retry-After (s)", unit: " s", type: "number", min: 0 },
};
const CHOICES = { protocol: "Protocol", channel: "Channel or kind:*", user: "User", connection: "Connection" };
const PROTOCOLS = ["http", "blog", "commands", "events", "sse", "socketio", "graphql", "collab"];

/** Whom a fault is for, in words. */
function whom(fault) {
  const chosen = Object.keys(CHOICES).filter((name) => fault[name] !== null);
  return chosen.length === 0 ? "everyone" : chosen.map((name) => `${name} ${fault[name]}`).join(", ");
}

function what(fault) {
  const given = Object.keys(FIELDS).filter((name) => fault[name] !== undefined && fault[name] !== null && fault[name] !== "");
  const parts = given.map((name) => `${name.replace("_", "-")} ${fault[name]}${FIELDS[name].unit ?? ""}`);
  if (fault.probability < 1) parts.push(`probability ${fault.probability}, seed ${fault.seed}`);
  if (fault.count !== null) parts.push(`at most ${fault.count} times`);
  return parts.join(", ");
}

function remaining(seconds) {
  const whole = Math.ceil(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

export async function show(root, context) {
  const { api } = context;
  const problem = el("p", { class: "problem", role: "alert", hidden: true });
  const clear = el("button", { type: "button", class: "danger", onclick: () => act(() => api.delete("/api/faults")) }, "End all");
  const list = table({
    label: "Faults that are set",
    key: (fault) => fault.id,
    columns: [
      { title: "Fault", key: (fault) => fault.id, cell: (fault) => el("strong", {}, fault.kind) },
      { title: "For", class: "long", cell: whom },
      { title: "How", class: "long", cell: (fault) => what(fault) || "–" },
      { title: "Struck", class: "number", cell: (fault) => String(fault.struck) },
      { title: "Ends in", cell: (fault) => remaining(fault.remaining) },
      { title: "End", unseen: true, class: "actions", key: (fault) => fault.id, cell: (fault) =>
        el("button", { type: "button", "aria-label": `End ${fault.kind} for ${whom(fault)}`, onclick: () => act(() => api.delete(`/api/faults/${fault.id}`)) }, "End") },
    ],
    empty: "No fault is set.",
  });

  async function act(work) {
    try {
      await work();
      problem.hidden = true;
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    }
    await look();
  }

  let timer = null;
  let left = false;
  async function look() {
    clearTimeout(timer);
    try {
      const { items } = await api.get("/api/faults");
      list.update(items);
      if (items.length === 0 && document.activeElement === clear) focusHeading();
      clear.hidden = items.length === 0;
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    }
    clearTimeout(timer); // of another look meanwhile
    if (!left) timer = setTimeout(look, OFTEN);
  }

  const { allowed, kinds } = await api.get("/api/faults");
  const about = "A fault makes a part of this server slow, deaf or broken on purpose, to see how clients bear it. It ends by itself.";
  root.append(
    el("h1", {}, "Faults"),
    el("p", { class: "muted" }, about),
    allowed
      ? formOf(kinds, (fault) => act(() => api.post("/api/faults", fault)))
      : el("p", { class: "note" }, "Faults are not allowed on this server. They are with --dev, or with the setting ", el("code", {}, "faults"), ": start it with ", el("code", {}, "rtlite serve --faults"), "."),
    problem,
    el("section", { class: "stack", "aria-label": "Faults that are set" }, el("div", { class: "head" }, el("h2", {}, "Set now"), clear), list.element),
  );
  await look();
  return () => {
    left = true;
    clearTimeout(timer);
  };
}

/** The form: the fields are those of the chosen kind. */
function formOf(kinds, add) {
  const kind = el("select", { name: "kind" }, kinds.map((each) => el("option", { value: each.kind }, each.kind)));
  const help = el("p", { class: "muted" });
  const own = el("div", { class: "fields" });
  const choices = el("div", { class: "fields" });

  function draw() {
    const chosen = kinds.find((each) => each.kind === kind.value);
    help.textContent = `${chosen.help[0].toUpperCase()}${chosen.help.slice(1)}.`;
    own.replaceChildren(...Object.entries(chosen.fields).map(([name, value]) => {
      const { label, type, min } = FIELDS[name];
      return el("label", {}, label, el("input", { name, type, min, value: value ?? "", required: chosen.required.includes(name) }));
    }));
    choices.replaceChildren(...chosen.chosen.map((name) => {
      const control = name === "protocol"
        ? el("select", { name }, el("option", { value: "" }, "any"), PROTOCOLS.map((each) => el("option", {}, each)))
        : el("input", { name, placeholder: "any", autocomplete: "off", spellcheck: "false" });
      return el("label", {}, CHOICES[name], control);
    }));
    own.hidden = own.childElementCount === 0;
    choices.hidden = choices.childElementCount === 0;
  }

  function submit(event) {
    event.preventDefault();
    const fault = {};
    for (const control of event.target.elements) {
      if (!control.name || control.value === "") continue;
      fault[control.name] = control.type === "number" ? Number(control.value) : control.value;
    }
    add(fault);
  }

  kind.addEventListener("change", draw);
  draw();
  return el("form", { class: "panel stack", onsubmit: submit, "aria-label": "Set a fault" },
    el("div", { class: "row" }, el("label", {}, "Kind", kind)),
    help,
    own,
    choices,
    el("div", { class: "fields" },
      el("label", {}, "Probability", el("input", { name: "probability", type: "number", min: "0", max: "1", step: "any", value: "1" })),
      el("label", {}, "At most (times)", el("input", { name: "count", type: "number", min: "1", placeholder: "no end" })),
      el("label", {}, "Seed", el("input", { name: "seed", type: "number", min: "0", placeholder: "any" })),
      el("label", {}, "Lasts", el("input", { name: "duration", placeholder: "5m", autocomplete: "off" }))),
    el("div", { class: "row" }, el("button", { class: "primary" }, "Set the fault")));
}
