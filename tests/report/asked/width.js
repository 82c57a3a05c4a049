const wide = [...document.body.querySelectorAll("*")].filter((element) => {
  const box = element.getBoundingClientRect();
  return box.right > innerWidth + 1 && !element.closest(".scroll, .panel.broad, .top ul, caption, .skip, details:not([open])");
});
return { page: document.documentElement.scrollWidth, window: innerWidth, wide: wide.slice(0, 5).map((element) => element.outerHTML.slice(0, 120)) };
