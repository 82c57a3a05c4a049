
"use strict";
(() => {
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);

  // --- theme
  const theme = byId("theme");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  // --- sortable tables
  const key = (cell) => {
    const number = Number(cell.dataset.v);
    return Number.isNaN(number) ? cell.dataset.v : number;
  };
  const order = (a, b) => {
    if (a === b) return 0;
    if (a === "nan" || b === "nan") return a === "nan" ? 1 : -1;
    if (typeof a === typeof b) return a < b ? -1 : 1;
    return typeof a === "number" ? -1 : 1;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const body = table.tBodies[0];
        const rows = [...body.rows].sort((a, b) => {
          const [x, y] = [key(a.cells[column]), key(b.cells[column])];
          return down && x !== "nan" && y !== "nan" ? order(y, x) : order(x, y);
        });
        body.append(...rows);
      });
    });
  }

  // --- answers: every text of a model goes through textContent
  const data = JSON.parse(byId("data").textContent);
  if (!data.items.length) return;
  const fields = ["c", "a", "d", "g"];
  const say = (name, values = {}) =>
    data.words[name].replace(/\{(\w+)\}/g, (whole, field) => values[field] ?? whole);
  const named = (field, value) => {
    if (field === "c") return say("change." + value);
    return field === "a" ? data.arms[value].label : value;
  };
  const make = (tag, text, name) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    element.textContent = text;
    return element;
  };
  for (const field of fields) {
    const select = byId("f-" + field);
    let values = [...new Set(data.items.map((item) => item[field]))].filter(Boolean);
    if (field === "c") values = data.changes.filter((change) => values.includes(change));
    if (field === "a") values = Object.keys(data.arms).filter((arm) => values.includes(arm));
    select.append(new Option(say("items.any"), ""), ...values.map((value) => new Option(named(field, value), value)));
    select.parentElement.hidden = values.length < 2;
    select.addEventListener("change", () => show());
  }
  const search = byId("f-q");
  let waiting;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(show, 120);
  });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());

  const card = (item) => {
    const article = make("article", "", "item " + item.c);
    const tags = make("p", "", "tags");
    const arm = make("span", data.arms[item.a].label);
    const dot = make("span", "", "key");
    const holder = make("span", "", "arm-" + (data.arms[item.a].k % data.colours));
    holder.append(dot, arm);
    tags.append(make("span", say("change." + item.c), "change"), holder, make("span", say("items.seed", { seed: item.s })));
    for (const text of [item.d, item.g, item.i]) if (text) tags.append(make("span", text));
    const list = make("dl", "");
    for (const [name, text] of [["asked", item.q], ["expected", item.t], ["before", item.b], ["after", item.e]]) {
      const said = make("dd", text);
      said.dir = "auto";
      list.append(make("dt", say("items." + name)), said);
    }
    article.append(tags, list);
    return article;
  };

  const page = 20;
  let matching = [];
  let shown = 0;
  const more = byId("more");
  const append = () => {
    const next = matching.slice(shown, shown + page);
    byId("answers").append(...next.map(card));
    shown += next.length;
    more.hidden = shown >= matching.length;
    byId("found").textContent = say("items.found", { n: `${shown} / ${matching.length}` });
  };
  const show = () => {
    const wanted = fields.map((field) => [field, byId("f-" + field).value]).filter(([, value]) => value);
    const text = search.value.trim().toLowerCase();
    matching = data.items.filter(
      (item) =>
        wanted.every(([field, value]) => item[field] === value) &&
        (!text || [item.q, item.t, item.b, item.e, item.i].some((part) => part.toLowerCase().includes(text))),
    );
    byId("answers").replaceChildren();
    shown = 0;
    append();
  };
  more.addEventListener("click", append);
  byId("filters").hidden = false;
  show();
})();
