// Front end of board.py, where the traits are documented. It needs no library and no build step. panels.js comes
// before it in the same module.

const PATIENCE = 1000; // milliseconds without an answer of the kernel before the board says so

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
  const table = make("div", {
    class: "segnb-table",
    role: "group",
    tabindex: "0", // it scrolls sideways
    "aria-label": "Class probabilities",
  });
  const results = make("div", {}, here, table);
  const board = make("div", { class: "segnb-board" });
  board.append(thumbs, sliders(), said, grid, legend, results);
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
      pending: model.get("pending"),
      strength: model.get("strength"),
    };
  }

  function redraw() {
    const pictures = model.get("pictures");
    if (!pictures.length) return;
    const now = state();
    const largest = largestOf(pictures);
    const [heading, name] = model.get("heading");
    const first = [{ kind: "picture", title: heading, note: name, size: largest.size }];
    if (largest.truth) first.push({ kind: "truth", title: "Ground truth", note: "", size: largest.size });
    const panels = [...first, ...model.get("panels")];
    while (grid.children.length > panels.length) grid.lastChild.remove();
    while (grid.children.length < panels.length) {
      const frame = make("div", { class: "segnb-frame" }, make("canvas", { role: "img" }));
      frame.append(make("i"), make("i"));
      grid.append(make("figure", {}, frame, make("figcaption", {}, make("b"), make("span"), make("em"))));
    }
    panels.forEach((panel, n) => {
      const picture = pictures.find((one) => one.size === panel.size);
      const [canvas, title, note] = ["canvas", "b", "span"].map((tag) => grid.children[n].querySelector(tag));
      draw(canvas, panel, picture, now);
      const text = caption(panel, bytes(picture.truth), now);
      [title.textContent, note.textContent] = [panel.title, text];
      const label = panel.kind === "picture" ? "Selected image" : panel.title; // "Image" is the list's name
      grid.children[n].classList.toggle("segnb-waiting", panel.kind === "network" && !panel.classes);
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
    const aimed = point.length === 2 && shown.pictures.length > 0;
    board.classList.toggle("segnb-aimed", aimed);
    const { point: asked, values } = model.get("answers");
    const answers = String(asked) === String(point) ? values : {}; // of an earlier point until the kernel answers
    shown.panels.forEach((panel, n) => {
      const picture = shown.pictures.find((one) => one.size === panel.size);
      const here = () => reading(point, panel, picture, model.get("names"), answers[panel.title]);
      const text = aimed && ["network", "truth", "map"].includes(panel.kind) ? here() : "";
      grid.children[n].querySelector("em").textContent = text ? `Here: ${text}` : "";
    });
    if (!aimed) {
      here.textContent = "Click a pixel, or move the crosshair with the arrow keys.";
      table.replaceChildren();
      return;
    }
    board.style.setProperty("--x", point[0]);
    board.style.setProperty("--y", point[1]);
    here.textContent = sentence(point, shown.panels, shown.pictures, model.get("names"));
    const largest = largestOf(shown.pictures);
    const truth = bytes(largest.truth)?.[index(point, largest.size)];
    const titles = shown.panels.filter((panel) => panel.kind === "network").map((panel) => panel.title);
    const asks = values && titles.length; // other boards have no probabilities
    table.replaceChildren(...(asks ? [probabilities(titles, answers, truth, state())] : []));
  }

  function layout() {
    board.style.setProperty("--across", `${model.get("across")}px`);
    board.style.setProperty("--aspect", model.get("aspect"));
  }

  function say() {
    const busy = model.get("busy");
    said.textContent = late ? "Waiting for the kernel. If it has stopped, run all cells again." : busy || model.get("said");
    said.classList.toggle("segnb-busy", late || busy !== "");
  }

  // -- results are where one looks, and a kernel that does not answer is named --

  // Scroll as little as possible until the result is in view, but keep in view what was used.
  function reveal(result, used) {
    for (const node of [result, used]) node?.scrollIntoView({ block: "nearest" });
  }

  let late = false;
  let patience = 0;
  function ask() {
    clearTimeout(patience);
    patience = setTimeout(() => say((late = true)), PATIENCE);
    model.send({ kind: "there?" });
  }
  function heard(message) {
    if (message.kind !== "here") return;
    clearTimeout(patience);
    if (late) say((late = false)); // otherwise what is said stays, such as what is wrong with a file
  }

  // Controls are widgets of their own, next to the board in the same output.
  function used(event) {
    const output = board.closest(".jp-OutputArea-output") ?? board.parentElement;
    const control = event.target.closest?.("select, input, button");
    if (!control || !output?.contains(control) || (event.type === "click") !== (control.tagName === "BUTTON")) return;
    ask();
    reveal(grid.firstElementChild, control);
  }
  const USES = ["click", "change"];
  for (const kind of USES) window.addEventListener(kind, used, true);

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
    all[focused]?.focus();
  }

  // -- the crosshair: the kernel receives its position once it rests --
  let resting = 0;
  function point(x, y, rest) {
    model.set("point", [x, y].map((part) => Math.min(Math.max(part, 0), 1)));
    clearTimeout(resting);
    resting = setTimeout(() => {
      model.save_changes();
      ask();
    }, rest);
  }

  grid.addEventListener("click", (event) => {
    const frame = event.target.closest(".segnb-frame");
    if (!frame) return;
    const box = frame.getBoundingClientRect();
    point((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, 0);
    reveal(results, frame.parentElement);
  });

  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  grid.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey || !shown.pictures.length) return;
    event.preventDefault();
    event.stopPropagation();
    const { size } = largestOf(shown.pictures);
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
    "change:pictures change:panels change:heading change:pending change:view change:only change:strength": soon,
    "change:point change:answers": aim,
    "change:across change:aspect": layout,
    "change:said change:busy": say,
    "change:thumbs change:picked": redrawThumbs,
    "msg:custom": heard,
  };
  for (const [names, act] of Object.entries(events)) model.on(names, act);
  el.append(board);
  layout();
  say();
  redraw();
  redrawThumbs();
  return () => {
    window.removeEventListener("keydown", leaveKeys, true);
    for (const kind of USES) window.removeEventListener(kind, used, true);
    clearTimeout(patience);
    for (const [names, act] of Object.entries(events)) model.off(names, act);
  };
}

export default { render };
