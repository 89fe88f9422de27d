// The theme: the system's, unless the switch says otherwise. Loaded before the page is drawn, by console and docs.
(() => {
  const root = document.documentElement;
  const themes = ["system", "light", "dark"];
  const read = () => {
    try {
      const kept = localStorage.getItem("theme");
      return themes.includes(kept) ? kept : "system";
    } catch {
      return "system"; // storage may be forbidden; then the choice lasts as long as the page
    }
  };
  const set = (theme) => {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
  };
  set(read());
  let current = read();
  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    const show = () => {
      const word = document.createElement("span");
      word.className = "wide";
      word.textContent = "Theme:";
      button.replaceChildren(word, ` ${current}`);
      button.setAttribute("aria-label", `Theme: ${current}`);
    };
    show();
    button.addEventListener("click", () => {
      current = themes[(themes.indexOf(current) + 1) % themes.length];
      set(current);
      show();
      try {
        localStorage.setItem("theme", current);
      } catch {
        // as above
      }
    });
  });
})();
