// Front end of board.py, where the traits are documented. It needs no library and no build step.

const VIEWS = ["prediction", "errors", "confidence"];
const bytes = (view) => (view ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : null);
const rgb = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
const percent = (share) => `${(100 * share).toFixed(1)}%`;
const VOID = 255; // pixels without a label

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// ---- overlays of an image --------------------------------------------------------------------------------

// A layer gives the colour over each pixel i, or null; `pale` fades the image below.
function layer(panel, truth, state) {
  const { palette, scale, marks, only, view } = state;
  const ofClass = (id) => palette.subarray(3 * id, 3 * id + 3);
  const ofScale = (value) => scale.subarray(3 * value, 3 * value + 3);
  const shown = (id) => only < 0 || id === only;
  const paint = (ids) => ({ colour: (i) => (shown(ids[i]) ? ofClass(ids[i]) : null) });
  if (panel.kind === "picture") return null;
  if (panel.kind === "truth") return paint(truth);
  if (panel.kind === "changed") {
    const mask = bytes(panel.mask);
    return { pale: true, colour: (i) => (mask[i] ? marks.changed : null) };
  }
  if (panel.kind === "map") {
    const values = bytes(panel.values);
    const at = (i) => {
      const row = Math.floor(i / panel.size / panel.cell);
      return values[row * panel.width + Math.floor((i % panel.size) / panel.cell)];
    };
    return { at, colour: (i) => ofScale(at(i)) };
  }
  const ids = bytes(panel.classes);
  if (view === "errors" && truth) {
    const right = (i) => ids[i] === truth[i] || truth[i] === VOID;
    if (only < 0) return { pale: true, colour: (i) => (right(i) ? null : marks.wrong) };
    return {
      pale: true,
      colour(i) {
        if (truth[i] === only) return ids[i] === only ? marks.found : marks.missed;
        return ids[i] === only && !right(i) ? marks.wrong : null;
      },
    };
  }
  const sure = bytes(panel.confidence);
  if (view === "confidence" && sure) return { colour: (i) => (shown(ids[i]) ? ofScale(sure[i]) : null) };
  return view === "confidence" ? null : paint(ids);
}

function draw(canvas, panel, picture, state) {
  const size = panel.size;
  const image = bytes(picture.image);
  const over = layer(panel, bytes(picture.truth), state);
  canvas.width = canvas.height = size;
  const drawn = new ImageData(size, size);
  const strength = panel.kind === "changed" ? 1 : state.strength;
  for (let i = 0; i < size * size; i++) {
    let [r, g, b] = [image[3 * i], image[3 * i + 1], image[3 * i + 2]];
    if (over?.pale) r = g = b = 255 - (255 - (r + g + b) / 3) * 0.35;
    const colour = over?.colour(i);
    if (colour) {
      r += strength * (colour[0] - r);
      g += strength * (colour[1] - g);
      b += strength * (colour[2] - b);
    }
    drawn.data.set([r, g, b, 255], 4 * i);
  }
  canvas.getContext("2d").putImageData(drawn, 0, 0);
}

// ---- text of a panel -------------------------------------------------------------------------------------

function count(length, holds) {
  let many = 0;
  for (let i = 0; i < length; i++) many += holds(i);
  return many;
}

function caption(panel, truth, state) {
  if (panel.kind !== "network") return panel.note;
  const { only, view, names } = state;
  const [ids, sure] = [bytes(panel.classes), bytes(panel.confidence)];
  const all = ids.length;
  if (view === "confidence") {
    if (!sure) return "running the network …";
    const here = only < 0 ? all : count(all, (i) => ids[i] === only);
    let sum = 0;
    for (let i = 0; i < all; i++) if (only < 0 || ids[i] === only) sum += sure[i];
    return here ? `mean confidence ${(sum / here / 255).toFixed(2)}` : `predicts no ${names[only]}`;
  }
  if (only < 0) return view === "errors" && !truth ? "errors need a ground truth" : panel.note;
  if (view !== "errors" || !truth) return `${percent(count(all, (i) => ids[i] === only) / all)} ${names[only]}`;
  const found = count(all, (i) => truth[i] === only && ids[i] === only);
  const either = count(all, (i) => truth[i] !== VOID && (truth[i] === only || ids[i] === only));
  return either ? `IoU of ${names[only]} here ${(found / either).toFixed(2)}` : `no ${names[only]} here`;
}

function classesSeen(panels, pictures, only) {
  const seen = new Set();
  for (const { truth } of pictures) bytes(truth)?.forEach((id) => seen.add(id));
  for (const panel of panels) bytes(panel.classes)?.forEach((id) => seen.add(id));
  return [...seen].filter((id) => id !== VOID && (only < 0 || id === only)).sort((a, b) => a - b);
}

function key(panels, pictures, state) {
  const { view, only, names, palette, marks, scale } = state;
  const css = (c) => `rgb(${c[0]},${c[1]},${c[2]})`;
  const entry = (text, background, kind = "") => {
    const chip = make("i", { class: kind });
    chip.style.background = background;
    return make("li", {}, chip, text);
  };
  const stops = [0, 64, 128, 191, 255].map((v) => css(scale.subarray(3 * v, 3 * v + 3)));
  const ramp = (text) => entry(text, `linear-gradient(90deg, ${stops.join(",")})`, "segnb-ramp");
  const entries = [];
  const networks = panels.some((panel) => panel.kind === "network");
  if (networks && view === "errors" && pictures.some((one) => one.truth)) {
    const kinds = only < 0 ? { wrong: "wrong" } : { found: "found", missed: "missed", wrong: "false alarm" };
    for (const [name, text] of Object.entries(kinds)) entries.push(entry(text, css(marks[name])));
  }
  if (networks && view === "confidence") entries.push(ramp("confidence, 0 to 1"));
  if (panels.some((panel) => panel.kind === "changed")) entries.push(entry("changed", css(marks.changed)));
  if (panels.some((panel) => panel.kind === "map")) entries.push(ramp("gate value, 0 (closed) to 1 (open)"));
  for (const id of classesSeen(panels, pictures, only))
    entries.push(entry(names[id], css(palette.subarray(3 * id, 3 * id + 3))));
  return entries;
}

// One sentence on a point: the ground truth, then each predicted class, from most to fewest networks.
function sentence(point, panels, pictures, names) {
  const largest = pictures.reduce((a, b) => (a.size > b.size ? a : b));
  const place = (size) => point.map((part) => Math.min(Math.floor(part * size), size - 1));
  const index = (size) => place(size)[1] * size + place(size)[0];
  const [x, y] = place(largest.size);
  const name = (id) => (id === VOID ? "unlabelled" : names[id]);
  const parts = [`Row ${y + 1}, column ${x + 1} of ${largest.size}`];
  if (largest.truth) parts.push(`ground truth ${name(bytes(largest.truth)[index(largest.size)])}`);
  const groups = new Map();
  for (const panel of panels) {
    const at = index(panel.size);
    if (panel.kind === "network") {
      const id = bytes(panel.classes)[at];
      groups.set(id, [...(groups.get(id) ?? []), panel.title]);
    } else if (panel.kind === "map") {
      parts.push(`${panel.title} ${(layer(panel, null, {}).at(at) / 255).toFixed(2)}`);
    }
  }
  for (const [id, titles] of [...groups].sort((a, b) => b[1].length - a[1].length)) {
    const who = titles.length > 3 ? `${titles.length} networks` : titles.join(", ");
    parts.push(`${name(id)}: ${who}`);
  }
  return `${parts.join("; ")}.`;
}

// ---- the board -------------------------------------------------------------------------------------------

function render({ model, el }) {
  const grid = make("div", {
    class: "segnb-grid",
    role: "application",
    tabindex: "0",
    "aria-roledescription": "images with a crosshair",
    "aria-label": `${model.get("label")}: arrow keys move the crosshair by one pixel, with Shift by eight`,
  });
  const thumbs = make("div", { class: "segnb-thumbs", role: "group", "aria-label": "Matching images" });
  const legend = make("ul", { class: "segnb-key", "aria-label": "Colours" });
  const here = make("p", { role: "status", class: "segnb-here" });
  const said = make("p", { role: "status", class: "segnb-said" });
  const board = make("div", { class: "segnb-board" });
  board.append(thumbs, sliders(), grid, legend, here, said);
  let shown = { panels: [], pictures: [] };

  function sliders() {
    const slider = (text, trait, min, max, step) => {
      const input = make("input", { type: "range", min, max, step, value: model.get(trait) });
      input.addEventListener("input", () => {
        model.set(trait, Number(input.value));
        model.save_changes();
      });
      return make("label", {}, text, input);
    };
    return make(
      "div",
      { class: "segnb-sliders" },
      slider("Overlay", "strength", 0, 1, 0.05),
      slider("Panel width", "across", 100, 600, 10),
    );
  }

  function state() {
    const marks = Object.fromEntries(Object.entries(model.get("marks")).map(([k, v]) => [k, rgb(v)]));
    return {
      names: model.get("names"),
      palette: bytes(model.get("palette")),
      scale: bytes(model.get("scale")),
      marks,
      view: VIEWS[model.get("view")],
      only: model.get("only") - 1,
      strength: model.get("strength"),
    };
  }

  function redraw() {
    const pictures = model.get("pictures");
    if (!pictures.length) return;
    const now = state();
    const largest = pictures.reduce((a, b) => (a.size > b.size ? a : b));
    const first = [{ kind: "picture", title: "Image", note: "", size: largest.size }];
    if (largest.truth) first.push({ kind: "truth", title: "Ground truth", note: "", size: largest.size });
    const panels = [...first, ...model.get("panels")];
    while (grid.children.length > panels.length) grid.lastChild.remove();
    while (grid.children.length < panels.length) {
      const frame = make("div", { class: "segnb-frame" }, make("canvas", { role: "img" }));
      frame.append(make("i"), make("i"));
      grid.append(make("figure", {}, frame, make("figcaption", {}, make("b"), make("span"))));
    }
    panels.forEach((panel, n) => {
      const picture = pictures.find((one) => one.size === panel.size);
      const [canvas, title, note] = ["canvas", "b", "span"].map((tag) => grid.children[n].querySelector(tag));
      draw(canvas, panel, picture, now);
      const text = caption(panel, bytes(picture.truth), now);
      [title.textContent, note.textContent] = [panel.title, text];
      const label = panel.kind === "picture" ? "Selected image" : panel.title; // "Image" is the list's name
      canvas.setAttribute("aria-label", text ? `${label}: ${text}` : label);
    });
    shown = { panels, pictures };
    legend.replaceChildren(...key(panels, pictures, now));
    aim();
  }

  let waiting = 0; // one drawing for all changes of a frame
  const soon = () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(redraw);
  };

  function aim() {
    const point = model.get("point");
    board.classList.toggle("segnb-aimed", point.length === 2);
    if (point.length !== 2 || !shown.pictures.length) {
      here.textContent = "Click a pixel, or move the crosshair with the arrow keys.";
      return;
    }
    board.style.setProperty("--x", point[0]);
    board.style.setProperty("--y", point[1]);
    here.textContent = sentence(point, shown.panels, shown.pictures, model.get("names"));
  }

  function layout() {
    board.style.setProperty("--across", `${model.get("across")}px`);
    board.style.setProperty("--aspect", model.get("aspect"));
  }

  function say() {
    said.textContent = model.get("busy") || model.get("said");
  }

  // -- thumbnails --
  function redrawThumbs() {
    const all = model.get("thumbs").map((one, n) => {
      const canvas = make("canvas");
      draw(canvas, { kind: "picture", size: one.size }, one, {});
      const chosen = String(n === model.get("picked"));
      const button = make("button", { type: "button", "aria-pressed": chosen }, canvas, one.text);
      button.addEventListener("click", () => {
        model.set("picked", n);
        model.save_changes();
      });
      return button;
    });
    const focused = [...thumbs.children].indexOf(document.activeElement);
    thumbs.replaceChildren(...all);
    thumbs.hidden = !all.length;
    all[focused]?.focus();
  }

  // -- the crosshair: the kernel receives its position once it rests --
  let resting = 0;
  function point(x, y, patience) {
    model.set("point", [x, y].map((part) => Math.min(Math.max(part, 0), 1)));
    clearTimeout(resting);
    resting = setTimeout(() => model.save_changes(), patience);
  }

  grid.addEventListener("click", (event) => {
    const frame = event.target.closest(".segnb-frame");
    if (!frame) return;
    const box = frame.getBoundingClientRect();
    point((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, 0);
  });

  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  grid.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey || !shown.pictures.length) return;
    event.preventDefault();
    event.stopPropagation();
    const size = Math.max(...shown.pictures.map((one) => one.size));
    const before = model.get("point").length === 2 ? model.get("point") : [0.5, 0.5];
    const by = event.shiftKey ? 8 : 1;
    // From the centre of a pixel to the centre of another, so that rounding errors do not block a step.
    const to = before.map((part, axis) => {
      const pixel = Math.min(Math.floor(part * size), size - 1) + by * step[axis];
      return (Math.min(Math.max(pixel, 0), size - 1) + 0.5) / size;
    });
    point(...to, 150);
  });

  // -- the user's image --
  async function take(file) {
    if (!file) return;
    if (file.size > model.get("takes")) {
      said.textContent = `${file.name}: the file is larger than ${model.get("takes") >> 20} MiB. Choose a smaller file.`;
      return;
    }
    said.textContent = `Sending ${file.name} …`;
    model.send({ kind: "file", name: file.name }, undefined, [await file.arrayBuffer()]);
  }
  if (model.get("takes")) {
    const input = make("input", { type: "file", accept: "image/png,image/jpeg" });
    input.addEventListener("change", () => take(input.files[0]).then(() => (input.value = "")));
    const text = "Your own image (PNG or JPEG): drop it anywhere here, or choose a file";
    board.prepend(make("label", { class: "segnb-file" }, text, input));
    for (const kind of ["dragenter", "dragover", "dragleave", "drop"])
      board.addEventListener(kind, (event) => {
        if (!event.dataTransfer?.types.includes("Files")) return;
        event.preventDefault();
        event.stopPropagation();
        board.classList.toggle("segnb-over", kind === "dragenter" || kind === "dragover");
        if (kind === "drop") take(event.dataTransfer.files[0]);
      });
  }

  // JupyterLab uses plain keys, such as arrows, to move between cells, even from a control in an output.
  // Here, plain keys belong to the controls; keys with Ctrl or Cmd, such as "save", stay JupyterLab's.
  function leaveKeys(event) {
    const output = board.closest(".jp-OutputArea-output") ?? board;
    if (output.contains(event.target))
      event.target.toggleAttribute("data-lm-suppress-shortcuts", !(event.ctrlKey || event.metaKey));
  }
  window.addEventListener("keydown", leaveKeys, true);

  const events = {
    "change:pictures change:panels change:view change:only change:strength": soon,
    "change:point": aim,
    "change:across change:aspect": layout,
    "change:said change:busy": say,
    "change:thumbs change:picked": redrawThumbs,
  };
  for (const [names, act] of Object.entries(events)) model.on(names, act);
  el.append(board);
  layout();
  say();
  redraw();
  redrawThumbs();
  return () => {
    window.removeEventListener("keydown", leaveKeys, true);
    for (const [names, act] of Object.entries(events)) model.off(names, act);
  };
}

export default { render };
