// --- contents: open next to the text, folded above it on narrow screens, with a mark at the current section ---

const contents = document.querySelector(".contents");
const fold = contents.querySelector("details");
const links = new Map();
for (const link of contents.querySelectorAll("ol a")) links.set(link.hash.slice(1), link);

const wide = matchMedia("(min-width: 64rem)");
const settle = () => { fold.open = wide.matches; };
wide.addEventListener("change", settle);
settle();
contents.addEventListener("click", (event) => {
  if (event.target.closest("ol a") && !wide.matches) fold.open = false;
});

// The current section is the last one whose heading has come to the top of the screen, where links take it. At the
// end of the page, headings cannot get that far: the section of the address counts if in sight, otherwise the last.
const TOP = 60;  // CSS pixels
const headings = [...links.keys()].map((id) => document.getElementById(id));
const mark = () => {
  const top = (heading) => heading.getBoundingClientRect().top;
  let current = headings.filter((heading) => top(heading) < TOP).pop() || headings[0];
  if (innerHeight + scrollY > document.documentElement.scrollHeight - 2) {
    const low = headings.filter((heading) => top(heading) >= TOP && top(heading) < innerHeight);
    current = low.find((heading) => heading.id === location.hash.slice(1)) || low.pop() || current;
  }
  const here = links.get(current.id);
  for (const link of links.values()) {
    if (link === here) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  // Keeps the mark in view; scrollIntoView might move the page.
  const gap = here.getBoundingClientRect().top - contents.getBoundingClientRect().top;
  if (gap < 0 || gap > contents.clientHeight - 40) contents.scrollTop += gap - contents.clientHeight / 2;
};
if (headings.length) {
  let waiting = false;
  const soon = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; mark(); });
  };
  for (const event of ["scroll", "resize", "hashchange"]) addEventListener(event, soon, { passive: true });
  mark();
}

// --- code: one switch shows all of it; without this script, each cell has its own ---

const cells = [...document.querySelectorAll("details.code")];
if (cells.length) {
  const root = document.documentElement;
  const code = press("Show code", "", () => {
    // What is in the middle of the screen stays there.
    const seen = [...document.querySelectorAll("main :is(h2, h3, h4, p, figure, .table)")]
      .find((place) => place.getBoundingClientRect().bottom > innerHeight / 3);
    const before = seen && seen.getBoundingClientRect().top;
    const shown = root.classList.toggle("with-code");
    code.setAttribute("aria-pressed", shown);
    for (const cell of cells) cell.open = shown;
    if (seen) scrollBy(0, seen.getBoundingClientRect().top - before);
  });
  code.className = "show-code";
  code.setAttribute("aria-pressed", "false");
  fold.before(code);
}

// --- folded parts: a link into one opens it; without this script a click does ---

const reveal = () => {
  const place = location.hash && document.getElementById(location.hash.slice(1));
  let opened = false;
  for (let up = place; up; up = up.parentElement) {
    if (up.tagName === "DETAILS" && !up.open) opened = up.open = true;
  }
  if (opened) place.scrollIntoView();
};
addEventListener("hashchange", reveal);
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#']");
  if (link && link.hash === location.hash) reveal();  // the hash does not change, so no event follows
});
reveal();

for (const chapter of document.querySelectorAll("article")) {
  const here = [...chapter.querySelectorAll("details.claim")];
  if (here.length < 2) continue;
  const all = () => here.every((claim) => claim.open);
  const button = press("", "", () => {
    const open = !all();
    for (const claim of here) claim.open = open;
  });
  button.className = "open-all";
  const name = () => { button.textContent = `${all() ? "Close" : "Open"} all claims in this chapter`; };
  for (const claim of here) claim.addEventListener("toggle", name);
  name();
  here[0].closest(".cell").before(button);
}
