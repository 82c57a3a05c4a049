for (const part of document.querySelectorAll("details")) part.open = true;
const parsed = (text) => text.match(/[\d.]+/g).map(Number);
const light = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = parsed(getComputedStyle(at).backgroundColor);
    if (colour.length < 4 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const poor = [];
let seen = 0;
for (const element of document.body.querySelectorAll("*")) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  if (!own || !element.getClientRects().length || element.closest("script, noscript")) continue;
  const style = getComputedStyle(element);
  const ink = parsed(element.closest("svg") ? style.fill : style.color);
  const [a, b] = [light(ink), light(behind(element))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 600);
  seen += 1;
  if (ratio < (large ? 3 : 4.5)) poor.push([ratio.toFixed(2), element.tagName, element.className.baseVal ?? element.className, element.textContent.slice(0, 30)]);
}
return { dark: matchMedia("(prefers-color-scheme: dark)").matches, seen, poor };
