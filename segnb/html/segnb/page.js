"use strict";
const contents = document.querySelector(".contents");
const fold = contents.querySelector("details");
const links = new Map();
for (const link of contents.querySelectorAll("ol a")) links.set(link.hash.slice(1), link);

// Beside the text the contents stay open; above it, on a narrow screen, they start folded.
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
  // Keeps the mark in view without moving the page, which scrollIntoView may do.
  const gap = here.getBoundingClientRect().top - contents.getBoundingClientRect().top;
  if (gap < 0 || gap > contents.clientHeight - 40) contents.scrollTop += gap - contents.clientHeight / 2;
};
if (headings.length) {
  const watch = new IntersectionObserver(mark, { rootMargin: "0px 0px -66% 0px" });
  headings.forEach((heading) => watch.observe(heading));
}
