// What the panels of a board show, as functions of the data. board.js follows in the same module.

const VIEWS = ["prediction", "errors", "confidence"];
const bytes = (view) => (view ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : null);
const rgb = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
const percent = (share) => `${(100 * share).toFixed(1)}%`;
const VOID = 255; // pixels without a label
const WAITING = "waiting …";
const WORTH = 0.01; // least probability that is printed

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
  if (!ids) return null;
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
  const { only, view, names, pending } = state;
  const [ids, sure] = [bytes(panel.classes), bytes(panel.confidence)];
  if (!ids || (view === "confidence" && !sure)) return pending[panel.title] ?? WAITING;
  const all = ids.length;
  if (view === "confidence") {
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

// ---- at the crosshair ------------------------------------------------------------------------------------

const largestOf = (pictures) => pictures.reduce((a, b) => (a.size > b.size ? a : b));
const place = (point, size) => point.map((part) => Math.min(Math.floor(part * size), size - 1));
const index = (point, size) => place(point, size)[1] * size + place(point, size)[0];
const className = (id, names) => (id === VOID ? "unlabelled" : names[id]);
const mapValue = (panel, at) => (layer(panel, null, {}).at(at) / 255).toFixed(2);

// One sentence on a point: the ground truth, then each predicted class, from most to fewest networks.
function sentence(point, panels, pictures, names) {
  const largest = largestOf(pictures);
  const [x, y] = place(point, largest.size);
  const name = (id) => className(id, names);
  const parts = [`Row ${y + 1}, column ${x + 1} of ${largest.size}`];
  if (largest.truth) parts.push(`ground truth ${name(bytes(largest.truth)[index(point, largest.size)])}`);
  const groups = new Map();
  for (const panel of panels) {
    const at = index(point, panel.size);
    if (panel.kind === "network" && panel.classes) {
      const id = bytes(panel.classes)[at];
      groups.set(id, [...(groups.get(id) ?? []), panel.title]);
    } else if (panel.kind === "map") {
      parts.push(`${panel.title} ${mapValue(panel, at)}`);
    }
  }
  for (const [id, titles] of [...groups].sort((a, b) => b[1].length - a[1].length)) {
    const who = titles.length > 3 ? `${titles.length} networks` : titles.join(", ");
    parts.push(`${name(id)}: ${who}`);
  }
  return `${parts.join("; ")}.`;
}

// The text of one panel at a point: the class, and its probability as soon as that is known.
function reading(point, panel, picture, names, values) {
  const at = index(point, panel.size);
  if (panel.kind === "map") return mapValue(panel, at);
  const ids = bytes(panel.kind === "truth" ? picture.truth : panel.classes);
  if (!ids) return "";
  const chance = values?.[ids[at]];
  return className(ids[at], names) + (chance === undefined ? "" : `, ${(100 * chance).toFixed(0)}%`);
}

// A table of probabilities: a row per network, and a column per class, the ground truth first. Classes are left
// out if all networks give them less than WORTH.
function probabilities(titles, answers, truth, state) {
  const { names, palette, pending } = state;
  const known = Object.values(answers);
  const sum = (id) => known.reduce((total, values) => total + values[id], 0);
  const columns = [...names.keys()]
    .filter((id) => id === truth || known.some((values) => values[id] >= WORTH))
    .sort((a, b) => (b === truth) - (a === truth) || sum(b) - sum(a));
  const head = columns.map((id) => {
    const chip = make("i");
    chip.style.background = `rgb(${palette.subarray(3 * id, 3 * id + 3).join(",")})`;
    const mark = id === truth ? [make("span", {}, "(ground truth)")] : [];
    return make("th", { scope: "col" }, make("b", {}, chip, names[id]), ...mark);
  });
  const lines = titles.map((title) => {
    const values = answers[title];
    if (!values) {
      const text = pending[title] ?? WAITING;
      const cell = make("td", { colspan: Math.max(columns.length, 1), class: "segnb-pending" }, text);
      return make("tr", {}, make("th", { scope: "row" }, title), cell);
    }
    const best = Math.max(...values);
    const cells = columns.map((id) => {
      const cell = make("td", values[id] === best ? { class: "segnb-best" } : {});
      if (values[id] >= WORTH) cell.textContent = `${(100 * values[id]).toFixed(0)}%`;
      cell.style.setProperty("--share", values[id]);
      return cell;
    });
    return make("tr", {}, make("th", { scope: "row" }, title), ...cells);
  });
  const least = `${100 * WORTH}%`;
  return make(
    "table",
    {},
    make("caption", {}, `Class probabilities at the crosshair (the highest in bold, those below ${least} left out)`),
    make("thead", {}, make("tr", {}, make("td"), ...head)),
    make("tbody", {}, ...lines),
  );
}
