
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

  // --- downloads: what the page holds is enough, also where the folder beside it is missing
  const save = (content, type, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  };
  const onClick = (kind, act) => {
    for (const link of document.querySelectorAll(`a[data-${kind}]`)) {
      link.hidden = false;
      link.addEventListener("click", (event) => {
        event.preventDefault();
        act(link);
      });
    }
  };
  const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const raw = (text) => {
    if (text === undefined || ["nan", "inf", "-inf"].includes(text)) return "";
    return Number.isNaN(Number(text)) && /^[=+@-]/.test(text) ? `'${text}` : text;
  };
  const csv = (table) => {
    const heads = [...table.tHead.rows[0].cells].map((head) => head.dataset);
    const lines = [heads.flatMap(({ k, i }) => (i ? [k, `${k}_low`, `${k}_high`] : [k]))];
    for (const row of table.tBodies[0].rows)
      lines.push([...row.cells].flatMap(({ dataset: { v, l, h } }, place) => (heads[place].i ? [v, l, h] : [v]).map(raw)));
    return lines.map((line) => line.map(quoted).join(",") + "\n").join("");
  };
  onClick("csv", (link) => {
    const name = link.dataset.csv;
    const table = document.querySelector(`table[data-name="${CSS.escape(name)}"]`);
    save(csv(table), "text/csv", `${name}.csv`);
  });
  const svgNames = "http://www.w3.org/2000/svg";
  const mark = (name, attributes, text = "") => {
    const element = document.createElementNS(svgNames, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.textContent = text;
    return element;
  };
  const wrapped = (text, wide) => {
    const lines = [""];
    for (const word of text.split(/(?<=\s)|(?<=[\u3000-\u9fff\uff00-\uffef])/)) {
      const size = [...(lines.at(-1) + word)].reduce((sum, letter) => sum + (letter > "\u2e80" ? 2 : 1), 0);
      if (size > wide && lines.at(-1)) lines.push("");
      lines[lines.length - 1] += word;
    }
    return lines;
  };
  const sheet = (figure) => {
    const panels = [...figure.querySelectorAll(".panel svg")];
    const sizes = panels.map((panel) => panel.viewBox.baseVal);
    const columns = Math.min(3, panels.length);
    const across = Math.max(...sizes.map((size) => size.width)) * 1.5;
    const down = Math.max(...sizes.map((size) => size.height)) * 1.5;
    const width = Math.max(columns * across, 720);
    const whole = mark("svg", { xmlns: svgNames, width, "font-family": "system-ui, sans-serif" });
    whole.append(mark("rect", { width: "100%", height: "100%", fill: "#ffffff" }));
    let top = 24;
    const say = (selector, size, fill, weight) => {
      for (const line of wrapped(figure.querySelector(selector).textContent, width / (0.6 * size))) {
        whole.append(mark("text", { x: 12, y: top, "font-size": size, fill, "font-weight": weight }, line));
        top += 19;
      }
    };
    say("h3", 15, "#1f2328", "bold");
    say(".subtitle", 11, "#59636e", "normal");
    let left = 18;
    for (const key of figure.querySelectorAll(".legend li")) {
      const fill = getComputedStyle(key).getPropertyValue("--arm").trim();
      whole.append(mark("circle", { cx: left, cy: top - 4, r: 5, fill }));
      whole.append(mark("text", { x: left + 11, y: top, "font-size": 11, fill: "#1f2328" }, key.textContent));
      left += 34 + 8 * key.textContent.length;
    }
    if (left > 18) top += 24;
    panels.forEach((panel, place) => {
      const copy = panel.cloneNode(true);
      const at = { x: (place % columns) * across, y: top + Math.floor(place / columns) * down };
      const size = { width: sizes[place].width * 1.5, height: sizes[place].height * 1.5 };
      for (const [key, value] of Object.entries({ ...at, ...size })) copy.setAttribute(key, value);
      whole.append(copy);
    });
    const height = top + Math.ceil(panels.length / columns) * down;
    whole.setAttribute("height", height);
    whole.setAttribute("viewBox", `0 0 ${width} ${height}`);
    return { text: new XMLSerializer().serializeToString(whole), width, height };
  };
  const figureOf = (link) => sheet(link.closest("figure"));
  onClick("svg", (link) => save(figureOf(link).text, "image/svg+xml", `${link.dataset.svg}.svg`));
  onClick("png", (link) => {
    const { text, width, height } = figureOf(link);
    const image = new Image();
    image.addEventListener("load", () => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [2 * width, 2 * height];
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob((blob) => save(blob, "image/png", `${link.dataset.png}.png`));
    });
    image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(text);
  });

  // --- answers: every text of a model goes through textContent
  const data = JSON.parse(byId("data").textContent);
  if (!data.items.length) return;
  const fields = ["c", "a", "p", "d", "g"];
  const say = (name, values = {}) =>
    data.words[name].replace(/\{(\w+)\}/g, (whole, field) => values[field] ?? whole);
  const named = (field, value) => {
    if (field === "c") return say("change." + value);
    if (field === "p") return data.probes[value] ?? value;
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
    if (data.map) {
      const link = make("a", say("items.map"));
      link.href = "#" + data.map;
      tags.append(link);
    }
    const list = make("dl", "");
    const tell = (name, text, tokens, kind) => {
      const said = make("dd", tokens ? "" : text, kind);
      for (const [token, value] of tokens ?? []) {
        const level = data.levels.filter((least) => value >= least).length;
        const part = make("span", token, "k" + level);
        if (level) part.title = say("items.nats", { value });
        said.append(part);
      }
      said.dir = "auto";
      list.append(make("dt", name), said);
    };
    tell(say("items.asked"), item.q);
    tell(say("items.expected"), item.t);
    tell(say("items.before"), item.b, item.kb);
    tell(say("items.after"), item.e, item.ke);
    for (const [row, likeness] of item.n ?? [])
      tell(say("items.near", { likeness: likeness.toFixed(2) }), data.rows[row].join(" → "), undefined, "near");
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
