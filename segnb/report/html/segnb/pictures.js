// --- below each figure: a larger view, and downloads ---

const SVG = "data:image/svg+xml,";

// A figure as a PNG; drawings are twice as large as on the page.
const painted = async (image) => {
  const drawing = await loaded(image.src);
  const canvas = make("canvas", { width: drawing.naturalWidth, height: drawing.naturalHeight });
  canvas.getContext("2d").drawImage(drawing, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
};

// An SVG with the description as its title, for programs other than a browser.
const titled = (image) => {
  const title = new XMLSerializer().serializeToString(document.createTextNode(image.alt));
  const drawing = decodeURIComponent(image.getAttribute("src").slice(SVG.length));
  return new Blob([drawing.replace(">", () => `><title>${title}</title>`)], { type: "image/svg+xml" });
};

// On narrow screens, page.css makes figures wider than their cards, so the keyboard must be able to scroll them.
const narrow = matchMedia("(max-width: 48rem)");
const reach = () => {
  for (const figure of figures.keys()) figure.querySelector(".card").tabIndex = narrow.matches ? 0 : -1;
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
  tools.append(press("PNG", `Download this figure as PNG (${name}.png)`, async () => {
    save(await painted(image), `${name}.png`);
  }));
  if (image.getAttribute("src").startsWith(SVG)) {
    tools.append(press("SVG", `Download this figure as SVG (${name}.svg)`, () => save(titled(image), `${name}.svg`)));
  }
  figure.append(tools);
}
