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

// The current section is the last one whose heading has passed the upper third of the screen.
const headings = [...links.keys()].map((id) => document.getElementById(id));
const mark = () => {
  const passed = headings.filter((heading) => heading.getBoundingClientRect().top < innerHeight / 3);
  const here = links.get((passed.pop() || headings[0]).id);
  for (const link of links.values()) {
    if (link === here) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  // Keeps the mark in view; scrollIntoView might move the page.
  const gap = here.getBoundingClientRect().top - contents.getBoundingClientRect().top;
  if (gap < 0 || gap > contents.clientHeight - 40) contents.scrollTop += gap - contents.clientHeight / 2;
};
if (headings.length) {
  const watch = new IntersectionObserver(mark, { rootMargin: "0px 0px -66% 0px" });
  headings.forEach((heading) => watch.observe(heading));
}

// --- folded parts: a link into one opens it, and printing opens all claims; without this script a click does ---

const claims = [...document.querySelectorAll("details.claim")];
const reveal = () => {
  const place = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
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
let folded = [];
addEventListener("beforeprint", () => {
  folded = claims.filter((claim) => !claim.open);
  for (const claim of folded) claim.open = true;
});
addEventListener("afterprint", () => { for (const claim of folded) claim.open = false; });

for (const chapter of document.querySelectorAll("article")) {
  const here = claims.filter((claim) => chapter.contains(claim));
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
