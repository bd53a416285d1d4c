// Tables: sorted by a click on a head, filtered by words. What a table shows is kept when it is drawn again.

const FEWEST = 12; // rows of a table that has a filter
const settings = new Map(); // table -> { column, down, words }
const order = new Intl.Collator("en", { numeric: true });

// The head of each column: the lowest cell that stands over this column alone.
function columnHeads(head) {
  const grid = [];
  for (const [i, row] of [...head.rows].entries()) {
    let column = 0;
    for (const cell of row.cells) {
      while (grid[i]?.[column]) column++;
      for (let down = 0; down < cell.rowSpan; down++) {
        for (let right = 0; right < cell.colSpan; right++) (grid[i + down] ??= [])[column + right] = cell;
      }
      column += cell.colSpan;
    }
  }
  return grid.at(-1) ?? [];
}

function cellAt(row, column) {
  let start = 0;
  for (const cell of row.cells) {
    start += cell.colSpan;
    if (column < start) return cell;
  }
  return null;
}

// A cell's number where every cell has one, else its words; undefined ones have neither.
const NUMBER = /^[<≤×±]?\s*[−+-]?(?:\d[\d,]*\.?\d*|\.\d+)(?![\w.])/;
const words = (cell) => cell?.textContent.replaceAll("\u00a0", " ").trim() ?? "";
const isUndefined = (text) => text === "" || text === DASH;
const numeric = (text) => Number(NUMBER.exec(text)[0].replace("−", "-").replace(/[<≤×±,\s]/g, ""));
function compare(texts) {
  const known = texts.filter((text) => !isUndefined(text));
  const numbers = known.every((text) => NUMBER.test(text) && !/^1 in /.test(text));
  return (one, other) => (numbers ? numeric(one) - numeric(other) : order.compare(one, other));
}

function sortRows(body, rows, { column, down }) {
  if (column === null) return body.append(...rows);
  const text = new Map(rows.map((row) => [row, words(cellAt(row, column))]));
  const by = compare([...text.values()]);
  const undefinedLast = (one, other) => isUndefined(text.get(one)) - isUndefined(text.get(other));
  const sign = down ? -1 : 1;
  body.append(...rows.toSorted((one, other) => undefinedLast(one, other)
    || (isUndefined(text.get(one)) ? 0 : sign * by(text.get(one), text.get(other)))));
}

function filterRows(rows, wanted) {
  const parts = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of rows) row.hidden = !parts.every((part) => row.textContent.toLowerCase().includes(part));
}

function makeSortable(box) {
  const shown = box.querySelector("table");
  const rows = [...shown.tBodies[0].rows];
  if (rows.length < 2 || !shown.tHead) return;
  const name = [box.closest("section")?.id, shown.className, box.closest(".panel")?.dataset.feature].join(" ");
  if (!settings.has(name)) settings.set(name, { column: null, down: false, words: "" });
  const set = settings.get(name);
  const heads = columnHeads(shown.tHead);
  const apply = () => {
    sortRows(shown.tBodies[0], rows, set);
    filterRows(rows, set.words);
    heads.forEach((head, i) => head.setAttribute("aria-sort", i !== set.column ? "none" : set.down ? "descending" : "ascending"));
  };
  heads.forEach((head, i) => {
    const button = element("button", { type: "button", class: "sort" }, ...head.childNodes);
    button.addEventListener("click", () => { // ascending, descending, as it was
      [set.column, set.down] = set.column !== i ? [i, false] : set.down ? [null, false] : [i, true];
      apply();
    });
    head.append(button);
  });
  if (rows.length >= FEWEST) box.before(filterBox(set, apply));
  apply();
}

function filterBox(set, apply) {
  const input = element("input", { type: "search", placeholder: "filter rows", "aria-label": "filter the rows of the table" });
  input.value = set.words;
  input.addEventListener("input", () => { set.words = input.value; apply(); });
  return element("div", { class: "filter" }, input);
}
