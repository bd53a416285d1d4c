// <inverse-table>: the table in it sorts by a click on a head, is filtered by words, and is copied as CSV. Of a long one
// the first rows stand in the page until all are wanted.
import { DASH, element, shown } from "./words.js";

const FEWEST = 12; // rows of a table that has a filter
const FIRST = 100; // rows that stand in the page at first
const CAP = 2000; // rows of values that are written into the page; the copy has all
const settings = new Map(); // name of a table -> { column, down, words, all }: kept when it is drawn again
const collator = new Intl.Collator("en", { numeric: true });

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
const cellWords = (cell) => cell?.textContent.replaceAll("\u00a0", " ").trim() ?? "";
const isUndefined = (text) => text === "" || text === DASH;
const numeric = (text) => Number(NUMBER.exec(text)[0].replace("−", "-").replace(/[<≤×±,\s]/g, ""));
function compare(texts) {
  const known = texts.filter((text) => !isUndefined(text));
  const numbers = known.every((text) => NUMBER.test(text) && !/^1 in /.test(text));
  return (one, other) => (numbers ? numeric(one) - numeric(other) : collator.compare(one, other));
}

function sorted(rows, { column, down }) {
  if (column === null) return rows;
  const text = new Map(rows.map((row) => [row, cellWords(cellAt(row, column))]));
  const by = compare([...text.values()]);
  const undefinedLast = (one, other) => isUndefined(text.get(one)) - isUndefined(text.get(other));
  const sign = down ? -1 : 1;
  return rows.toSorted((one, other) => undefinedLast(one, other)
    || (isUndefined(text.get(one)) ? 0 : sign * by(text.get(one), text.get(other))));
}

function filterRows(rows, wanted) {
  const parts = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of rows) row.hidden = !parts.every((part) => row.textContent.toLowerCase().includes(part));
}

// Fields as RFC 4180 has them. What a spreadsheet would take for a formula is set off by an apostrophe.
const field = (value) => {
  const text = /^[=+@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
export const csv = (rows) => rows.map((row) => row.map((value) => field(`${value ?? ""}`)).join(",")).join("\r\n");

export async function copyText(text, button) {
  const words = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "copied";
  } catch { // a page without this right: the older way
    const area = document.body.appendChild(element("textarea", { readonly: "" }));
    area.value = text;
    area.select();
    button.textContent = document.execCommand("copy") ? "copied" : "the browser does not allow it";
    area.remove();
  }
  setTimeout(() => { button.textContent = words; }, 1500);
}

export class InverseTable extends HTMLElement {
  connectedCallback() {
    if (!this.ready && this.querySelector("table")) this.make();
  }

  // A table of rows of records: `columns` maps names to titles.
  show(columns, rows, name = "") {
    this.records = { columns, rows };
    this.setAttribute("name", name);
    const cells = (row) => Object.keys(columns).map((column, i) => element(i ? "td" : "th",
      { scope: i ? null : "row", class: typeof row[column] === "string" ? "words" : null }, shown(row, column)));
    const head = element("tr", {}, Object.values(columns).map((title) => element("th", { scope: "col" }, title)));
    const body = rows.slice(0, CAP).map((row) => element("tr", {}, cells(row)));
    const more = rows.length > CAP ? element("p", { class: "notice" }, `The first ${CAP} of ${rows.length} rows; the copy has all.`) : "";
    this.replaceChildren(more, element("div", { class: "scroll" }, element("table", { class: "values" },
      element("thead", {}, head), element("tbody", {}, body))));
    this.make();
  }

  make() {
    this.ready = true;
    const table = this.querySelector("table");
    const scroll = table.closest(".scroll") ?? table;
    scroll.setAttribute("role", scroll === table ? "table" : "region");
    if (scroll !== table) {
      scroll.setAttribute("tabindex", 0);
      scroll.setAttribute("aria-label", this.regionName(table));
    }
    const rows = [...(table.tBodies[0]?.rows ?? [])];
    if (rows.length < 2 || !table.tHead) return;
    const name = this.getAttribute("name") ?? [this.closest("section")?.id, table.className].join(" ");
    if (!settings.has(name)) settings.set(name, { column: null, down: false, words: "", all: false });
    const set = settings.get(name);
    const heads = columnHeads(table.tHead);
    const more = element("button", { type: "button", class: "small" });
    more.addEventListener("click", () => { set.all = true; apply(); });
    const apply = (whole = set.all) => {
      filterRows(rows, set.words);
      this.rows = sorted(rows, set);
      const matching = this.rows.filter((row) => !row.hidden);
      more.hidden = whole || matching.length <= FIRST;
      more.textContent = `show all ${matching.length} rows`;
      table.tBodies[0].replaceChildren(...(more.hidden ? matching : matching.slice(0, FIRST)));
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
    scroll.before(this.tools(rows, heads, set, apply));
    scroll.after(more);
    this.apply = apply;
    apply();
  }

  // What a screen reader calls the table: no two of a page are called the same.
  regionName(table) {
    if (this.records) return this.getAttribute("name") || "table";
    const heads = table.tHead ? columnHeads(table.tHead).slice(0, 3).map(cellWords).join(", ") : "table";
    return [this.closest("section")?.querySelector("h2")?.textContent, heads].filter(Boolean).join(": ");
  }

  tools(rows, heads, set, apply) {
    const input = element("input", { type: "search", placeholder: "filter rows", "aria-label": "filter the rows of the table" });
    input.value = set.words;
    input.addEventListener("input", () => { set.words = input.value; apply(); });
    const copy = element("button", { type: "button", class: "small" }, "copy as CSV");
    copy.addEventListener("click", () => copyText(this.csv(heads), copy));
    return element("div", { class: "table-tools" }, rows.length >= FEWEST ? input : null, copy);
  }

  // Numbers as they are recorded where the table is made of records; else the rows in sight, as they are shown.
  csv(heads = columnHeads(this.querySelector("table").tHead)) {
    if (this.records) return csv([this.names(), ...this.records.rows.map((row) => this.names().map((name) => row[name]))]);
    const rows = this.rows.filter((row) => !row.hidden);
    return csv([heads.map(cellWords), ...rows.map((row) => heads.map((_, i) => cellWords(cellAt(row, i))))]);
  }

  names() {
    const has = (name) => this.records.rows.some((row) => name in row);
    return Object.keys(this.records.columns).flatMap((name) => [name, `${name}_low`, `${name}_high`].filter((each) => each === name || has(each)));
  }
}
customElements.get("inverse-table") ?? customElements.define("inverse-table", InverseTable);
const everyTable = () => document.querySelectorAll("inverse-table");
addEventListener("beforeprint", () => everyTable().forEach((table) => table.apply?.(true)));
addEventListener("afterprint", () => everyTable().forEach((table) => table.apply?.()));
