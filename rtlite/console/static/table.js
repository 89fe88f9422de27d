// Tables whose rows change while one looks: a row keeps its place in the document, and so its focus.

import { el, focusHeading } from "./dom.js";

/**
 * `columns` are `{title, class?, cell}`, where `cell(item)` is a text or an element. A cell is written only if its
 * text, or what `columns[i].key(item)` says, is another than before. `update(items)` shows these, in this order.
 */
export function table({ caption, columns, key, empty, label }) {
  const body = el("tbody", { role: "rowgroup" });
  const note = el("p", { class: "empty", hidden: true }, empty ?? "Nothing here.");
  // The roles are the elements' own; on a phone each row is a card, and browsers would forget them.
  const head = el("tr", { role: "row" }, columns.map(({ title, class: name, unseen }) =>
    el("th", { scope: "col", role: "columnheader", class: name }, unseen ? el("span", { class: "unseen" }, title) : title)));
  const whole = el("table", { role: "table", class: "cards" },
    el("caption", { class: caption ? null : "unseen" }, caption ?? label), el("thead", { role: "rowgroup" }, head), body);
  const scroll = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption ?? label }, whole);
  const rows = new Map();

  function row(item) {
    const cells = columns.map(({ class: name, title, unseen }) => el("td", { role: "cell", class: name, "data-title": unseen ? null : title }));
    return { element: el("tr", { role: "row" }, cells), cells, shown: columns.map(() => undefined) };
  }

  function update(items) {
    const kept = new Set(items.map(key));
    const focused = body.contains(document.activeElement);
    for (const [id, { element }] of rows) {
      if (kept.has(id)) continue;
      element.remove();
      rows.delete(id);
    }
    let before = body.firstElementChild;
    for (const item of items) {
      const id = key(item);
      let entry = rows.get(id);
      if (entry === undefined) rows.set(id, (entry = row(item)));
      columns.forEach((column, number) => {
        const said = column.key ? column.key(item) : column.cell(item);
        if (entry.shown[number] === said) return;
        entry.shown[number] = said;
        entry.cells[number].replaceChildren(column.key ? column.cell(item) : (said ?? "–"));
      });
      if (entry.element === before) before = before.nextElementSibling;
      else body.insertBefore(entry.element, before);
    }
    note.hidden = items.length > 0;
    scroll.hidden = items.length === 0;
    if (!focused || body.contains(document.activeElement)) return;
    if (items.length > 0) scroll.focus();
    else focusHeading();
  }

  update([]);
  return { element: el("div", { class: "stack" }, scroll, note), update };
}
