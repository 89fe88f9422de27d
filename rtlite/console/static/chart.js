// Charts of the last minutes, drawn as SVG; what they show is said as text and in a table as well.

import { el } from "./dom.js";
import { time } from "./format.js";

const SECONDS = 300;
const HEIGHT = 150;
const LEFT = 52;
const BOTTOM = 18;
const TOP = 8;
const GAP = 3000; // milliseconds without a number: the line is broken
const NS = "http://www.w3.org/2000/svg";

function svg(name, attributes = {}, text = null) {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== null) element.textContent = text;
  return element;
}

/** The next "round" number: 1, 2 or 5 times a power of ten. */
function round(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * power).find((top) => top >= value * 0.999);
}

/** `series` are `{name, key}`; `format(value)` says a value with its unit; `least` is what the scale reaches at least.
 * `update(items)` draws them. */
export function chart({ title, series, format, least }) {
  const drawing = svg("svg", { class: "chart", "aria-hidden": "true" });
  const legend = el("p", { class: "legend" });
  const said = series.map(({ name }, number) => {
    const value = el("strong");
    legend.append(el("span", { class: `series s${number}` }, `${name} `, value));
    return value;
  });
  const summary = el("p", { class: "muted" });
  const rows = el("tbody");
  const details = el("details", {},
    el("summary", {}, "As a table"),
    el("div", { class: "scroll short", tabindex: "0", role: "region", "aria-label": `${title}, as a table` },
      el("table", {},
        el("caption", { class: "unseen" }, title),
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Time"), series.map(({ name }) => el("th", { scope: "col", class: "number" }, name)))),
        rows)));
  let last = [];
  details.addEventListener("toggle", () => tabulate(last));

  function update(items) {
    last = items;
    const width = Math.max(260, drawing.clientWidth || 600);
    drawing.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const now = items.length ? Date.parse(items.at(-1).time) : Date.now();
    const shown = items.filter((item) => now - Date.parse(item.time) <= SECONDS * 1000);
    const most = Math.max(0, ...shown.flatMap((item) => series.map(({ key }) => item[key] ?? 0)));
    const top = round(Math.max(most, least));
    const x = (item) => LEFT + (width - LEFT) * (1 - (now - Date.parse(item.time)) / (SECONDS * 1000));
    const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
    drawing.replaceChildren();
    for (const share of [0, 0.5, 1]) {
      drawing.append(
        svg("line", { x1: LEFT, x2: width, y1: y(share * top), y2: y(share * top), class: "grid-line" }),
        svg("text", { x: LEFT - 6, y: y(share * top) + 4, "text-anchor": "end" }, format(share * top)));
    }
    for (const minutes of width < 420 ? [5, 0] : [5, 4, 3, 2, 1, 0]) {
      const at = LEFT + (width - LEFT) * (1 - minutes / 5);
      const anchor = minutes === 5 ? "start" : minutes ? "middle" : "end";
      drawing.append(svg("text", { x: at, y: HEIGHT - 4, "text-anchor": anchor }, minutes ? `−${minutes} min` : "now"));
    }
    series.forEach(({ key }, number) => {
      let path = "";
      let before = null;
      for (const item of shown) {
        if (item[key] === null || item[key] === undefined) {
          before = null;
          continue;
        }
        const joined = before !== null && Date.parse(item.time) - before < GAP;
        path += `${joined ? "L" : "M"}${x(item).toFixed(1)} ${y(item[key]).toFixed(1)}${joined ? "" : "h0.1"}`;
        before = Date.parse(item.time);
      }
      drawing.append(svg("path", { d: path, class: `line s${number}` }));
      said[number].textContent = shown.length ? format(shown.at(-1)[key]) : "–";
    });
    summary.textContent = shown.length ? `At most ${format(most)} in the last 5 minutes.` : "No numbers yet: they are taken while a console is open.";
    if (details.open) tabulate(items);
  }

  function tabulate(items) {
    if (!details.open) return;
    rows.replaceChildren(...items.slice(-60).reverse().map((item) =>
      el("tr", {}, el("td", {}, time(item.time)), series.map(({ key }) => el("td", { class: "number" }, format(item[key]))))));
  }

  const element = el("figure", { class: "panel figure", "aria-label": title }, el("figcaption", {}, el("h2", {}, title), legend), drawing, summary, details);
  new ResizeObserver(() => update(last)).observe(drawing);
  return { element, update };
}
