// Faults: what is made slow, deaf or broken on purpose, for how long still, and a form to set more.

import { el } from "../dom.js";

const OFTEN = 1000; // ms between two looks
const FIELDS = {
  latency: { label: "Latency (ms)", type: "number", min: 0 },
  jitter: { label: "Jitter (ms)", type: "number", min: 0 },
  code: { label: "Close code", type: "number", min: 1000 },
  text: { label: "Reason", type: "text" },
  rate: { label: "Bytes a second", type: "number", min: 1 },
  status: { label: "Status", type: "number", min: 400 },
  retry_after: { label: "Retry-After (s)", type: "number", min: 0 },
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
  const parts = given.map((name) => `${name.replace("_", "-")} ${fault[name]}`);
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
  const rows = el("tbody", {});
  const empty = el("p", { class: "empty" }, "No fault is set.");
  const clear = el("button", { type: "button", class: "danger", onclick: () => act(() => api.delete("/api/faults")) }, "End all");
  const table = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Faults" },
    el("table", {}, el("thead", {}, el("tr", {}, ["Fault", "For", "How", "Struck", "Ends in", ""].map((name) => el("th", { scope: "col" }, name)))), rows));

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

  function draw(faults) {
    // Rows stay where they are, so that a button keeps the focus while the times go on.
    const known = new Map([...rows.children].map((row) => [row.dataset.id, row]));
    for (const fault of faults) {
      const row = known.get(fault.id) ?? rows.appendChild(rowOf(fault));
      known.delete(fault.id);
      row.querySelector(".struck").textContent = fault.struck;
      row.querySelector(".left").textContent = remaining(fault.remaining);
    }
    for (const row of known.values()) row.remove();
    table.hidden = clear.hidden = faults.length === 0;
    empty.hidden = faults.length > 0;
  }

  function rowOf(fault) {
    const end = el("button", { type: "button", "aria-label": `End ${fault.kind} for ${whom(fault)}`, onclick: () => act(() => api.delete(`/api/faults/${fault.id}`)) }, "End");
    return el("tr", { "data-id": fault.id },
      el("th", { scope: "row" }, fault.kind),
      el("td", { class: "long" }, whom(fault)),
      el("td", { class: "long" }, what(fault)),
      el("td", { class: "struck number" }),
      el("td", { class: "left" }),
      el("td", { class: "actions" }, end));
  }

  let timer = null;
  let left = false;
  async function look() {
    clearTimeout(timer);
    try {
      draw((await api.get("/api/faults")).items);
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
    el("section", { class: "stack", "aria-label": "Faults that are set" }, el("div", { class: "head" }, el("h2", {}, "Set now"), clear), table, empty),
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
    el("div", { class: "row" }, el("label", {}, "Kind", kind), help),
    own,
    choices,
    el("div", { class: "fields" },
      el("label", {}, "Probability", el("input", { name: "probability", type: "number", min: "0", max: "1", step: "any", value: "1" })),
      el("label", {}, "At most (times)", el("input", { name: "count", type: "number", min: "1", placeholder: "no end" })),
      el("label", {}, "Seed", el("input", { name: "seed", type: "number", min: "0", placeholder: "any" })),
      el("label", {}, "Lasts", el("input", { name: "duration", placeholder: "5m", autocomplete: "off" }))),
    el("div", { class: "row" }, el("button", { class: "primary" }, "Set the fault")));
}
