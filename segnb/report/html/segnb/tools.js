"use strict";
// Helpers of the other parts. report.py joins all parts into one script, each in a block of its own.

const make = (name, properties, ...children) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
};

const loaded = async (src) => {
  const image = make("img", { src });
  await image.decode();
  return image;
};

const press = (text, label, act) => {
  const button = make("button", { type: "button", textContent: text });
  if (label) button.setAttribute("aria-label", label);
  button.addEventListener("click", act);
  return button;
};

const choice = (label, options, act) => {
  const select = make("select", {}, ...options.map(([value, text]) => make("option", { value, textContent: text })));
  select.addEventListener("change", act);
  return [make("label", {}, `${label} `, select), select];
};

const save = (blob, name) => {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
};

// A dialog over the page. Esc, its button or a click outside closes it, and the focus returns to `from`.
const open = (className, label, from, ...content) => {
  const dialog = make("dialog", { className }, press("Close", "", () => dialog.close()), ...content);
  dialog.setAttribute("aria-label", label);
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => { dialog.remove(); from.focus({ preventScroll: true }); });
  document.body.append(dialog);
  dialog.showModal();
};

// Files of figures and tables are named after their anchors: fig-f1-differences.svg, table-fcn-scores.csv.
const named = (selector, place) =>
  new Map([...document.querySelectorAll(selector)].map((tag) => [tag, tag.closest(place).id]));
const figures = named("main figure.picture", "[id]");
const tables = named("main .table table:has(thead)", ".table");  // the id of the table itself is that of pandas
