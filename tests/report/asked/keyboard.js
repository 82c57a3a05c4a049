const stops = [...document.querySelectorAll("a[href], button, select, input, summary, [tabindex]")].filter(
  (element) => element.tabIndex >= 0 && (element.getClientRects().length || element.className === "skip"),
);
const named = (element) => element.ariaLabel || element.textContent.trim() || element.labels?.[0]?.textContent.trim();
const order = stops.map((element) => element.tabIndex);
const scrolls = [...document.querySelectorAll(".scroll, pre")];
return {
  first: stops[0].className,
  positive: order.filter((place) => place > 0).length,
  unnamed: stops.filter((element) => element.tagName !== "PRE" && !named(element)).map((element) => element.outerHTML.slice(0, 120)),
  unreachable: scrolls.filter((element) => element.tabIndex !== 0).length,
  hollow: stops.filter((element) => {
    element.focus({ focusVisible: true });
    return document.activeElement === element && getComputedStyle(element).outlineStyle === "none";
  }).length,
  stops: stops.length,
};
