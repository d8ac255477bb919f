// --- the cells of a table ---

// The cells of each row, a cell that spans columns once per column.
const filled = (rows) => rows.map((row) => [...row.cells].flatMap((cell) => Array(cell.colSpan).fill(cell)));

const words = (cell) => {
  const copy = cell.cloneNode(true);
  for (const line of copy.querySelectorAll("br")) line.replaceWith("; ");
  return copy.textContent.replace(/\s+/g, " ").trim();
};

const bodyRows = (table) => [...table.tBodies].flatMap((body) => [...body.rows]);

// --- CSV: the head as one line, then the rows in their current order; groups get a column of their own ---

const PRINTED = /^[+−-]?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?(e[+-]?\d+)?$/;
const field = (text) => {
  const plain = PRINTED.test(text) ? text.replace("−", "-").replaceAll(",", "") : text;
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
};

const csv = (table) => {
  const head = filled([...table.tHead.rows]);
  const columns = head[0].map((_, x) => [...new Set(head.map((line) => line[x]))]);
  const titles = columns.map((cells) => cells.map(words).filter(Boolean).join(" / "));
  const grouped = table.querySelector("tbody .group") !== null;
  const lines = [grouped ? ["Group", ...titles] : titles];
  let group = "";
  for (const line of filled(bodyRows(table))) {
    if (line[0].parentElement.classList.contains("group")) { group = words(line[0]); continue; }
    const cells = line.map((cell, x) => (x && cell === line[x - 1] ? "" : words(cell)));
    lines.push(grouped ? [group, ...cells] : cells);
  }
  return lines.map((line) => `${line.map(field).join(",")}\r\n`).join("");
};

for (const [table, name] of tables) {
  const download = press("CSV", `Download this table as CSV (${name}.csv)`, () => {
    save(new Blob([csv(table)], { type: "text/csv;charset=utf-8" }), `${name}.csv`);
  });
  table.parentElement.after(make("p", { className: "tools" }, download));
}

// --- sorting: ascending, descending, original; groups stay together and the mIoU of classes stays last ---

const NUMBER = /^[<>≤≥≈~×+±[(\s]*([−-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)(?![\d.:-])(?=$|[\s%×(±,;–…\]]|[a-zA-Zµ]{1,3}\b)/;
const MISSING = /^(|[–—-]|nan|n\/a|none|no value|not (measured|measurable)\b.*)$/i;
const order = new Intl.Collator("en", { numeric: true });

// Verdicts have an order of their own; a symbol precedes the word.
const VERDICTS = ["supported", "refuted", "inconclusive", "not measurable at this size", "not measured"];
const verdict = (text) => VERDICTS.findIndex((word) => text.replace(/^[^a-z]+/, "").startsWith(word));

const amount = (text) => {
  const match = NUMBER.exec(text);
  if (!match) return null;
  const value = Number(match[1].replace("−", "-").replaceAll(",", ""));
  return text.startsWith("<") ? value - Math.abs(value) * 1e-9 : value;
};

// Compares rows by their texts; missing values come last in both directions.
const comparison = (texts, sign) => {
  const values = [...texts.values()].filter((text) => !MISSING.test(text));
  if (values.some((text) => verdict(text) >= 0)) {
    const place = (row) => (verdict(texts.get(row) || "") + VERDICTS.length + 1) % (VERDICTS.length + 1);
    return (one, other) => sign * (place(one) - place(other));
  }
  const numbers = values.length > 0 && values.filter((text) => amount(text) !== null).length > values.length / 2;
  const value = (row) => {
    const text = texts.get(row);
    if (text === undefined || MISSING.test(text)) return null;
    return numbers ? amount(text) : text;
  };
  return (one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (numbers ? a - b : order.compare(a, b));
  };
};

const sortable = (table) => {
  const original = [...table.tBodies].map((body) => [...body.rows]);
  const rows = original.flat();
  const data = rows.filter((row) => !row.classList.contains("group"));
  if (data.length < 2) return;

  // Claims are sorted across groups, because their numbers name the group; page.css hides its heading.
  const across = table.classList.contains("verdicts");
  const sort = (column, sign) => {
    const lines = filled(rows);
    (across && sign ? [original.flat()] : original).forEach((before, place) => {
      const head = before.filter((row) => !data.includes(row));
      // In a table with groups, such as that of a claim, mIoU is a row like the others.
      const foot = before.slice(-1).filter((row) => data.length === rows.length && words(row.cells[0]) === "mIoU");
      const moved = before.filter((row) => !head.includes(row) && !foot.includes(row));
      if (sign) {
        const own = (row) => lines[rows.indexOf(row)];
        const texts = new Map(moved.filter((row) => own(row)[column] && own(row)[column] !== own(row)[column - 1])
          .map((row) => [row, words(own(row)[column])]));
        moved.sort(comparison(texts, sign));
      }
      table.tBodies[place].append(...head, ...moved, ...foot);
    });
  };

  const heads = filled([...table.tHead.rows]).at(-1);
  heads.forEach((head, column) => {
    if (head.colSpan > 1) return;
    const button = press("", words(head) ? "" : "Sort by row name", () => {
      const next = { ascending: "descending", descending: "" };
      const state = head.hasAttribute("aria-sort") ? next[head.getAttribute("aria-sort")] : "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      if (state) head.setAttribute("aria-sort", state);
      sort(column, { ascending: 1, descending: -1, "": 0 }[state]);
    });
    button.className = "sort";
    button.title = "Sort";
    button.append(...(words(head) ? head.childNodes : []));
    head.replaceChildren(button);
  });
};
for (const table of tables.keys()) sortable(table);

// --- verdicts: a filter by verdict ---

for (const table of document.querySelectorAll("table.verdicts")) {
  const rows = bodyRows(table).filter((row) => row.querySelector("td.verdict"));
  const word = (row) => VERDICTS[verdict(words(row.querySelector("td.verdict")))];
  const buttons = ["all", ...VERDICTS].map((name) => {
    const fits = (row) => name === "all" || word(row) === name;
    const count = rows.filter(fits).length;
    const button = press(`${name} (${count})`, "", () => {
      for (const other of buttons) other.setAttribute("aria-pressed", other === button);
      for (const row of rows) row.hidden = !fits(row);
    });
    button.setAttribute("aria-pressed", name === "all");
    button.disabled = count === 0;
    return button;
  });
  const bar = make("div", { className: "tools filter" }, ...buttons);
  bar.setAttribute("role", "group");
  bar.setAttribute("aria-label", "Filter claims by verdict");
  if (rows.length) table.parentElement.before(bar);
}
