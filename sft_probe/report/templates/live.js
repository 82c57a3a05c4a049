"use strict";
(() => {
  const root = document.documentElement;

  // --- theme
  const theme = document.getElementById("theme");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  // --- while something runs, the middle of the page is fetched anew
  const refresh = async () => {
    const seconds = Number(document.body.dataset.refresh);
    if (!seconds) return;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.getElementById("live").replaceChildren(...page.getElementById("live").childNodes);
      document.body.dataset.refresh = page.body.dataset.refresh;
    } catch {
      // the server has ended; it may come back
    }
    setTimeout(refresh, 1000 * seconds);
  };
  setTimeout(refresh, 1000 * Number(document.body.dataset.refresh));
})();
