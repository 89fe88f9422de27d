// Elements from JavaScript: text is always text, never markup.

/** `el("a", { href: "#/", class: "quiet", onclick: f }, "text", child, null)`; null children are left out. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else element.setAttribute(key, String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Whether a button does anything now. It keeps the focus meanwhile, which one that is `disabled` loses. */
export function allow(button, yes) {
  button.setAttribute("aria-disabled", String(!yes));
}

addEventListener("click", (event) => {
  if (event.target.closest('[aria-disabled="true"]') === null) return;
  event.preventDefault();
  event.stopImmediatePropagation();
}, { capture: true });

/** What had the focus is there no more: Tab goes on from the view's heading. */
export function focusHeading() {
  const heading = document.querySelector("main h1");
  if (heading === null) return;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
}
