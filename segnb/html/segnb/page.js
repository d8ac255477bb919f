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

// Claims are folded. A link to one opens it, and so does printing; without this script a click does.
const claims = [...document.querySelectorAll("details.claim")];
const opens = () => {
  const place = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const claim = place && place.closest("details.claim");
  if (claim) { claim.open = true; place.scrollIntoView(); }
};
addEventListener("hashchange", opens);
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#claim-']");
  if (link && link.hash === location.hash) opens();  // the address stays as it is, and so tells nobody
});
opens();
let folded = [];
addEventListener("beforeprint", () => {
  folded = claims.filter((claim) => !claim.open);
  for (const claim of folded) claim.open = true;
});
addEventListener("afterprint", () => { for (const claim of folded) claim.open = false; });

if (claims.length) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "open-all";
  const name = () => { button.textContent = claims.every((claim) => claim.open) ? "Fold all claims" : "Open all claims"; };
  button.addEventListener("click", () => {
    const open = !claims.every((claim) => claim.open);
    for (const claim of claims) claim.open = open;
  });
  for (const claim of claims) claim.addEventListener("toggle", name);
  name();
  claims[0].closest(".cell").before(button);
}
