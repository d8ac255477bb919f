// --- below each figure: a larger view, and downloads ---

const PNG = "data:image/png;base64,";

const inflated = async (base64) => {
  const stream = new Blob([bytes(base64)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Blob([await new Response(stream).arrayBuffer()], { type: "image/svg+xml" });
};

for (const [figure, name] of figures) {
  const image = figure.querySelector("img");
  const enlarge = press("Enlarge", "Enlarge this figure", () => {
    const large = make("img", { src: image.src, alt: image.alt });
    large.style.width = `${image.naturalWidth}px`;
    const box = make("div", { className: "scroll", tabIndex: 0 }, large);
    const caption = figure.querySelector("figcaption");
    open("viewer", "Enlarged figure", enlarge, box, ...(caption ? [make("p", { textContent: caption.textContent })] : []));
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
