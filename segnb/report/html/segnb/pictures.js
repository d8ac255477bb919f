// --- below each figure: a larger view, and downloads ---

const PNG = "data:image/png;base64,";

const inflated = async (base64) => {
  const stream = new Blob([bytes(base64)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Blob([await new Response(stream).arrayBuffer()], { type: "image/svg+xml" });
};

// On narrow screens, page.css makes figures wider than their cards, so the keyboard must be able to scroll them.
const narrow = matchMedia("(max-width: 48rem)");
const reach = () => {
  for (const figure of figures.keys()) {
    if (narrow.matches) figure.querySelector(".card").tabIndex = 0;
    else figure.querySelector(".card").removeAttribute("tabindex");
  }
};
narrow.addEventListener("change", reach);
reach();

for (const [figure, name] of figures) {
  const image = figure.querySelector("img");
  const enlarge = press("Enlarge", "Enlarge this figure", () => {
    const large = make("img", { src: image.src, alt: image.alt });
    const box = make("div", { className: "scroll", tabIndex: 0 }, large);
    box.classList.toggle("turns", figure.classList.contains("turns"));
    const size = press("", "", () => {
      const whole = box.classList.toggle("whole");
      // A narrow screen shows the figure at the size of its text, a wide one at twice that size.
      large.style.width = whole ? "" : `${image.getAttribute("width") * (narrow.matches ? 1 : 2)}px`;
      size.textContent = whole ? "Full size" : "Fit to window";
    });
    large.addEventListener("click", () => size.click());
    size.click();
    if (narrow.matches) size.click();
    const caption = figure.querySelector("figcaption");
    open("viewer enlarged", "Enlarged figure", enlarge, size, box, ...(caption ? [make("p", { textContent: caption.textContent })] : []));
  });
  image.addEventListener("click", () => enlarge.click());
  const tools = make("p", { className: "tools" }, enlarge);
  if (image.src.startsWith(PNG)) {
    tools.append(press("PNG", `Download this figure as PNG (${name}.png)`, () => {
      save(new Blob([bytes(image.src.slice(PNG.length))], { type: "image/png" }), `${name}.png`);
    }));
  }
  if (figure.dataset.svg && "DecompressionStream" in window) {
    tools.append(press("SVG", `Download this figure as SVG (${name}.svg)`, async () => {
      save(await inflated(figure.dataset.svg), `${name}.svg`);
    }));
  }
  figure.append(tools);
}
