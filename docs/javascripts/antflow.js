// Roles, names and focus for what the theme's script draws: a keyboard can scroll each wide table,
// a screen reader names it and the search, and the buttons of a block of code are no navigation.

function mend(selector, attributes) {
  for (const found of document.querySelectorAll(selector))
    for (const [name, value] of Object.entries(attributes)) found.setAttribute(name, value);
}

function mendCode() {
  mend(".md-code__nav", { role: "presentation" });
}

function letKeyboardScroll(entries) {
  for (const { target } of entries)
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
}

// The label of a section that has a page of its own is an icon.
function nameSections() {
  for (const list of document.querySelectorAll(".md-nav[aria-labelledby]")) {
    const title = list.querySelector(":scope > .md-nav__title");
    list.setAttribute("aria-label", title.textContent.trim());
    list.removeAttribute("aria-labelledby");
  }
}

document$.subscribe(() => {
  nameSections();
  mend(".md-search", { "aria-label": "Search" });
  mend(".md-typeset__scrollwrap", { role: "group", "aria-label": "Table" });
  mendCode();
  const widths = new ResizeObserver(letKeyboardScroll);
  for (const table of document.querySelectorAll(".md-typeset__scrollwrap")) widths.observe(table);
  // The buttons of a block are drawn when it comes into view.
  const blocks = new MutationObserver(mendCode);
  for (const block of document.querySelectorAll(".highlight > pre"))
    blocks.observe(block, { childList: true });
});
