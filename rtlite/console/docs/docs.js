// Buttons that copy a block of code, links to headings, and the list of pages, folded on a phone.
(() => {
  const announcer = document.getElementById("announcer");
  for (const block of document.querySelectorAll(".code")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      const text = block.querySelector("code").textContent;
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = announcer.textContent = "Copied";
      } catch {
        // Not allowed, or no https: select it, so that the keyboard can copy it.
        getSelection().selectAllChildren(block.querySelector("code"));
        button.textContent = announcer.textContent = "Selected";
      }
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
    block.append(button);
  }
  for (const heading of document.querySelectorAll("article h2[id], article h3[id]")) {
    const link = document.createElement("a");
    link.className = "anchor";
    link.href = `#${heading.id}`;
    link.textContent = "#";
    link.setAttribute("aria-label", `Link to “${heading.textContent}”`);
    heading.append(" ", link);
  }
  const contents = document.getElementById("contents");
  const wide = matchMedia("(min-width: 60rem)");
  const fold = () => (contents.open = wide.matches);
  wide.addEventListener("change", fold);
  fold();
})();
