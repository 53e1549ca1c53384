// What tools/check_site.py asks a page, from inside of it.

const SETTLING_MS = 5000;

window.antflow = {
  /** Waits until scripts of the page have let a keyboard reach what scrolls, or some seconds. */
  async settle() {
    const until = performance.now() + SETTLING_MS;
    const scrolls = element => element.scrollWidth > element.clientWidth;
    const isOpen = element => scrolls(element) && element.tabIndex < 0;
    do await new Promise(requestAnimationFrame);
    while (
      performance.now() < until &&
      [...document.querySelectorAll(".md-typeset pre > code, .md-typeset__scrollwrap")].some(isOpen)
    );
  },

  /** Returns what is wrong with the page's layout in a window as wide as this one. */
  layout(wide) {
    const root = document.documentElement;
    const found = [];
    if (root.scrollWidth > root.clientWidth)
      found.push(`the page scrolls sideways, for ${this.outside().join(", ")}`);
    for (const image of document.images)
      if (image.complete && !image.naturalWidth) found.push(`a broken picture: ${image.src}`);
    for (const code of wide ? document.querySelectorAll("pre > code") : []) {
      const missing = code.scrollWidth - code.clientWidth;
      if (missing > 0) found.push(`code is ${missing} pixels wider than its column: ${name(code)}`);
    }
    return found;
  },

  /** Returns the names of the first elements that stand out of the window. */
  outside() {
    const width = document.documentElement.clientWidth;
    const out = element => element.getBoundingClientRect().right > width + 1;
    const cut = element => getComputedStyle(element).overflowX !== "visible";
    const parents = element => {
      const main = element.closest("main");
      const all = [];
      for (let up = element.parentElement; up && up !== main; up = up.parentElement) all.push(up);
      return all;
    };
    const all = [...document.querySelectorAll("main *")];
    return all.filter(each => out(each) && !parents(each).some(cut)).slice(0, 3).map(name);
  },

  /** Returns one element of each kind of text: its colour, size, weight and backgrounds. */
  kindsOfText() {
    const kinds = new Map();
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text = texts.nextNode(); text; text = texts.nextNode()) {
      const element = text.parentElement;
      if (!text.data.trim() || !element.checkVisibility()) continue;
      const key = kind(element);
      if (!kinds.has(key)) kinds.set(key, element);
    }
    return [...kinds.values()];
  },

  /** Returns what axe finds: the rule, the element and what is wrong with it. */
  async axe(options, kindsOnly) {
    const context = kindsOnly ? { include: this.kindsOfText() } : document;
    const { violations } = await axe.run(context, options);
    return violations.flatMap(rule =>
      rule.nodes.map(node => {
        const wrong = node.failureSummary.split("\n").slice(1).map(line => line.trim());
        return `${rule.id}: ${node.target.join(" ")}: ${wrong.join("; ")}`;
      }),
    );
  },
};

function name(element) {
  const text = (element.innerText || element.alt || "").trim().split("\n")[0];
  return `${element.tagName.toLowerCase()} "${text.slice(0, 60)}"`;
}

function kind(element) {
  const style = getComputedStyle(element);
  const parts = [style.color, style.fontSize, style.fontWeight];
  for (let up = element; up; up = up.parentElement) {
    const { backgroundColor, opacity } = getComputedStyle(up);
    parts.push(backgroundColor === "rgba(0, 0, 0, 0)" ? "" : backgroundColor);
    parts.push(opacity === "1" ? "" : opacity);
  }
  return parts.filter(part => part).join(" ");
}
