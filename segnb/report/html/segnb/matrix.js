// The matrix of predictions: errors, a single class, and one image laid over another. Classes are read from the
// colours of the images.

// --- pixels ---

const canvas = (size) => make("canvas", { width: size, height: size }).getContext("2d", { willReadFrequently: true });

const pixels = (image, size) => {
  const on = canvas(size);
  on.drawImage(image, 0, 0, size, size);
  return on.getImageData(0, 0, size, size).data;
};

const rgb = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));

// A label map at the size of its image.
const map = (image, ids) => {
  const size = image.naturalWidth;
  const data = pixels(image, size);
  const labels = new Int16Array(size * size);
  for (let i = 0; i < labels.length; i += 1) {
    labels[i] = ids.get((data[4 * i] << 16) | (data[4 * i + 1] << 8) | data[4 * i + 2]) ?? -1;  // -1: void
  }
  return { size, labels };
};

// The photograph in light grey with colours over it: `colour` maps a pixel's index to [r, g, b] or nothing.
const overlaid = (photo, size, colour) => {
  const on = canvas(size);
  on.drawImage(photo, 0, 0, size, size);
  const picture = on.getImageData(0, 0, size, size);
  const { data } = picture;
  for (let i = 0; i < size * size; i += 1) {
    const grey = (data[4 * i] + data[4 * i + 1] + data[4 * i + 2]) / 3;
    data.set(colour(i) || Array(3).fill(255 - (255 - grey) * 0.35), 4 * i);
  }
  on.putImageData(picture, 0, 0);
  return on.canvas.toDataURL();
};

// --- one matrix ---

const rowsOf = (matrix) => [...matrix.querySelectorAll(".case")].map((row) => ({
  name: row.getAttribute("aria-label"),
  photo: row.querySelector(".photo"),
  truths: [...row.querySelectorAll(".truth")],
  guesses: [...row.querySelectorAll(".guess")]
    .map((image) => ({ label: image.parentElement.querySelector("b").textContent, image })),
}));

// The label maps of a row, from the original images and not from the current paint.
const read = async (row, sources, ids) => {
  const images = [...row.truths, ...row.guesses.map((guess) => guess.image)];
  const ready = await Promise.all(images.map((image) => loaded(sources.get(image))));
  const maps = new Map(images.map((image, i) => [image, map(ready[i], ids)]));
  return { photo: await loaded(sources.get(row.photo)), maps };
};

for (const matrix of document.querySelectorAll(".matrix")) {
  const { classes, marks } = JSON.parse(matrix.dataset.key);
  const ids = new Map(classes.map(({ id, colour }) => [parseInt(colour.slice(1), 16), id]));
  const colours = new Map(classes.map(({ id, colour }) => [id, rgb(colour)]));
  const [wrong, missed, found] = [marks.wrong, marks.missed, marks.found].map(rgb);
  const rows = rowsOf(matrix);
  const sources = new Map([...matrix.querySelectorAll("img")].map((image) => [image, image.src]));
  const originals = new Map();  // what `read` gives for each row
  let turn = 0;

  // --- colours over the pale photograph, by the index of the pixel ---

  const alone = (labels, only) => (place) => labels[place] === only && colours.get(only);

  const mistakes = (labels, truth, only) => (place) => {
    const [right, predicted] = [truth[place], labels[place]];
    if (only === null) return right !== predicted && right !== -1 && wrong;
    if (right === only) return predicted === only ? found : missed;
    return predicted === only && right !== -1 && wrong;
  };

  const paint = ({ truths, guesses }, { photo, maps }, errors, only) => {
    // image_matrix.py writes the ground truth at every size of the predictions.
    const truthAt = (size) => truths.map((image) => maps.get(image)).find((truth) => truth.size === size).labels;
    for (const image of [...truths, ...guesses.map((guess) => guess.image)]) {
      const { size, labels } = maps.get(image);
      const judged = errors && !truths.includes(image);
      if (judged) image.src = overlaid(photo, size, mistakes(labels, truthAt(size), only));
      else image.src = only === null ? sources.get(image) : overlaid(photo, size, alone(labels, only));
    }
  };

  // --- controls: predictions or errors, and the class ---

  const key = matrix.querySelector(".key");
  const chips = (entries) => entries.map(([name, colour]) => {
    const chip = make("span", { className: "chip" });
    chip.style.background = colour;
    return make("li", {}, chip, name);
  });
  const all = classes.map(({ name, colour }) => [name, colour]);

  const draw = async () => {
    const errors = show.value === "errors";
    const only = selected.value === "" ? null : Number(selected.value);
    const { name, colour } = classes.find(({ id }) => id === only) || {};
    let entries = only === null ? all : [[name, colour]];
    if (errors && only === null) entries = [["wrong", marks.wrong]];
    else if (errors) entries = [[`${name}: found`, marks.found], ["missed", marks.missed], ["false alarm", marks.wrong]];
    key.replaceChildren(...chips(entries));

    turn += 1;
    const mine = turn;
    for (const row of rows) {
      if (!originals.has(row)) originals.set(row, await read(row, sources, ids));
      await new Promise((next) => setTimeout(next));  // keeps the page responsive, so a later choice can take over
      if (mine !== turn) return;
      paint(row, originals.get(row), errors, only);
    }
  };
  const [view, show] = choice("Show", [["predictions", "predictions"], ["errors", "errors"]], draw);
  const [filter, selected] = choice("Class", [["", "all classes"], ...classes.map(({ id, name }) => [id, name])], draw);
  const hint = make("span", { textContent: "Click an image to compare it with another." });
  matrix.prepend(make("div", { className: "tools" }, view, filter, hint));

  // --- comparison: one image over another, with a movable divider ---

  const compare = (row, label, from) => {
    const pictures = new Map([["Image", row.photo], ["Ground truth", row.truths[0]],
      ...row.guesses.map((guess) => [guess.label, guess.image])]);
    const options = [...pictures.keys()].map((name) => [name, name]);
    const images = ["left", "right"].map((className) => make("img", { className, draggable: false }));
    const divider = make("input", { type: "range", min: 0, max: 100, value: 50 });
    const stack = make("div", { className: "stack" }, images[1], images[0]);

    const follow = () => {
      stack.style.setProperty("--at", `${divider.value}%`);
      divider.setAttribute("aria-valuetext", `${divider.value}% ${left.value}, ${100 - divider.value}% ${right.value}`);
    };
    const choose = () => {
      [left, right].forEach((select, i) => {
        images[i].src = sources.get(pictures.get(select.value));
        images[i].alt = pictures.get(select.value).alt;
      });
      follow();
    };
    const [onLeft, left] = choice("Left", options, choose);
    const [onRight, right] = choice("Right", options, choose);
    left.value = label;
    right.value = label === "Ground truth" ? "Image" : "Ground truth";
    divider.addEventListener("input", follow);
    const drag = (event) => {
      if (!event.buttons) return;
      const box = stack.getBoundingClientRect();
      divider.value = (100 * (event.clientX - box.left)) / box.width;
      follow();
    };
    stack.addEventListener("pointerdown", drag);
    stack.addEventListener("pointermove", drag);
    choose();
    open("viewer compare", `Comparison on ${row.name}`, from, make("h2", { textContent: row.name }),
      make("div", { className: "tools" }, onLeft, onRight), stack, make("label", { className: "divider" }, "Divider ", divider),
      make("ul", { className: "key", ariaLabel: "Colours" }, ...chips(all)));
  };

  for (const row of rows) {
    for (const { label, image } of [{ label: "Ground truth", image: row.truths[0] }, ...row.guesses]) {
      const button = press("", "", () => compare(row, label, button));
      button.className = "cell-button";
      button.title = "Compare with another image";
      button.setAttribute("aria-haspopup", "dialog");
      image.before(button);
      button.append(image);
    }
  }
}
