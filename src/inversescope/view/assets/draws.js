// <inverse-draws>: verified inputs for one activation, sorted and filtered; a row opens to its labels. Rows keep their
// place in the page while more arrive.
import { element, number } from "./words.js";
import { copyText, csv } from "./inverse-table.js";
import { button, markedWords, meter, percent } from "./parts.js";

const MEANING = {
  level: "how near: one input in N of the prior remains at bandwidth h",
  "effective sample size": "as many draws of equal weight would tell as much",
  distances: "median of the draws; of the inputs that should be there (reference); of inputs of the prior",
  "first look": "single texts by their distance, without weights",
};
const HEADS = [["distance", "distance δ"], ["weight", "weight"], ["times", "draws"], ["text", "input"]];
const UNENDED = "(a draw that never ended: it could not be verified)";
export const DROPPED = 0.001; // weight below which a draw has dropped out

const firstWay = { distance: 1, weight: -1, times: -1, text: 1 };
function sorted(rows, by) {
  const [column, way] = [by.replace("-", ""), by.startsWith("-") ? -1 : 1];
  const value = (row) => row[column] ?? null;
  return rows.toSorted((one, other) => (value(one) === null) - (value(other) === null)
    || (value(one) === null ? 0 : way * (column === "text" ? value(one).localeCompare(value(other)) : value(one) - value(other))));
}

export class InverseDraws extends HTMLElement {
  // `set` has `sort` and `filter`; `changed` is called when a reader changes them, `use` with a text to read next.
  show(answer, set, changed, use = null) {
    [this.answer, this.set, this.changed, this.use] = [answer, set, changed, use];
    this.opened ??= new Set();
    if (!this.body) this.make();
    this.fill();
  }

  make() {
    this.heads = HEADS.map(([name, words]) => {
      const sort = button(words, () => {
        const first = firstWay[name] > 0 ? name : `-${name}`;
        this.set.sort = this.set.sort !== first ? first : first.startsWith("-") ? name : `-${name}`;
        this.changed();
        this.fill();
      }, { class: "sort" });
      return element("span", { role: "columnheader", class: `col-${name}` }, sort);
    });
    this.filter = element("input", { type: "search", placeholder: "filter inputs", "aria-label": "filter the inputs" });
    this.filter.addEventListener("input", () => { this.set.filter = this.filter.value; this.changed(); this.fill(); });
    this.count = element("span", { class: "count" });
    const copy = button("copy as CSV", () => copyText(this.csv(), copy), { class: "small" });
    this.body = element("div", { class: "draw-rows", role: "rowgroup", tabindex: 0, "aria-label": "inputs" });
    this.table = element("div", { class: "draw-table", role: "table", "aria-label": "inputs for this activation" },
      element("div", { class: "draw head", role: "row" }, this.heads), this.body);
    this.replaceChildren(element("div", { class: "table-tools" }, this.filter, this.count, copy), this.table);
  }

  fill() {
    const { rows } = this.answer;
    const by = this.set.sort ?? "distance";
    HEADS.forEach(([name], i) => this.heads[i].setAttribute("aria-sort", by.replace("-", "") !== name ? "none" : by.startsWith("-") ? "descending" : "ascending"));
    if (this.filter.value !== (this.set.filter ?? "")) this.filter.value = this.set.filter ?? "";
    const wanted = (this.set.filter ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    const kept = sorted(rows, by).filter((row) => wanted.every((word) => (row.text ?? UNENDED).toLowerCase().includes(word)));
    const [farthest, heaviest] = ["distance", "weight"].map((name) => Math.max(...rows.map((row) => row[name] ?? 0), 1e-9));
    const focused = this.contains(document.activeElement) ? document.activeElement.closest(".draw")?.dataset.key : null;
    this.body.replaceChildren(...kept.map((row) => this.row(row, farthest, heaviest)));
    if (focused) [...this.body.children].find((each) => each.dataset.key === focused)?.querySelector("button")?.focus();
    const dropped = rows.filter((row) => row.weight !== null && row.weight < DROPPED).length;
    const draws = rows.reduce((sum, row) => sum + row.times, 0);
    this.table.classList.toggle("look", Boolean(this.answer.look));
    this.count.textContent = this.answer.look ? `${kept.length} of ${rows.length} texts` : `${kept.length} of ${rows.length} inputs, ${draws} draws${dropped ? `; ${dropped} without weight here` : ""}`;
  }

  row(row, farthest, heaviest) {
    const key = row.text ?? UNENDED;
    const out = row.weight !== null && row.weight < DROPPED;
    const words = row.text === null ? UNENDED : markedWords(row.pieces);
    const more = element("div", { class: "more" });
    const toggle = element("button", { type: "button", class: "open-draw", "aria-expanded": this.opened.has(key), dir: "auto" }, words);
    const state = row.source ? element("b", { class: "badge own" }, "the source itself") : row.accepted ? element("span", { class: "badge" }, "accepted") : null;
    toggle.addEventListener("click", () => {
      const opens = !this.opened.delete(key);
      if (opens) this.opened.add(key);
      toggle.setAttribute("aria-expanded", opens);
      more.replaceChildren(...(opens ? this.details(row) : []));
    });
    if (this.opened.has(key)) more.replaceChildren(...this.details(row));
    const cell = (name, ...children) => element("span", { role: "cell", class: `col-${name}` }, ...children);
    const made = element("div", { class: `draw${out ? " out" : ""}${row.source ? " own" : ""}`, role: "row" },
      cell("distance", meter(row.distance, farthest, "of-distance")), cell("weight", meter(row.weight, heaviest, "of-weight", 3)),
      cell("times", row.times > 1 ? `×${row.times}` : ""), cell("text", toggle, state, more));
    made.dataset.key = key;
    return made;
  }

  details(row) {
    const labels = Object.entries(row.labels).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value ?? "undecided")));
    const nats = row.log_p ?? row.log_q;
    if (nats !== null && nats !== undefined) labels.push(element("div", {}, element("dt", {}, row.log_p === undefined ? "ln q of the generator" : "ln P under the prior"), element("dd", {}, number(nats))));
    if (row.ruler) labels.push(element("div", {}, element("dt", {}, "distance in words"), element("dd", {}, row.ruler)));
    const copy = button("copy the input", () => copyText(row.text, copy), { class: "small" });
    const tools = row.text === null ? [] : [this.use ? button("read this input", () => this.use(row.text), { class: "small" }) : null, copy];
    return [element("dl", { class: "labels" }, labels), element("div", { class: "row-tools" }, tools)];
  }

  csv() {
    const labels = [...new Set(this.answer.rows.flatMap((row) => Object.keys(row.labels)))];
    const names = ["text", "distance", "weight", "times", "accepted", "source"];
    return csv([[...names, ...labels], ...this.answer.rows.map((row) => [...names.map((name) => row[name]), ...labels.map((name) => row.labels[name])])]);
  }
}
customElements.define("inverse-draws", InverseDraws);

// Above the draws: what they share with the source, and how far they can be believed.
export function answerSummary(answer) {
  const shared = (answer.shared ?? []).filter(({ weight }) => weight !== null).toSorted((one, other) => other.weight - one.weight);
  const lines = [answer.left_out && `No answer at this level: ${answer.left_out}.`, answer.outside, ...(answer.warnings ?? [])].filter(Boolean);
  if (answer.look) lines.push("Not draws yet: nothing is weighted here. They follow once the model has read its vocabulary.");
  const facts = [
    ...(answer.site ? [["site", answer.site]] : []),
    [answer.look ? "first look" : "level", answer.level],
    ...(answer.size === null || answer.size === undefined ? [] : [["effective sample size", number(answer.size, 1)]]),
    ...(answer.distances ? [["distances", answer.distances]] : []), ...(answer.cut_off ? [["left out", answer.cut_off]] : []),
  ];
  return [
    element("dl", { class: "answer-facts" }, facts.map(([name, value]) => element("div", {}, element("dt", MEANING[name] ? { tip: () => [name, MEANING[name]] } : {}, name), element("dd", {}, value)))),
    ...lines.map((words) => element("p", { class: "notice" }, words)),
    ...(answer.ruler ? [rulerLine(answer.ruler)] : []),
    shared.length ? element("div", { class: "shared" }, element("h2", {}, "Shared with the source, by weight"), element("ul", {}, shared.map(sharedLine))) : null,
    ...(answer.notes ?? []).map((words) => element("p", { class: "rule" }, words)),
  ].filter(Boolean);
}

// Natural text: what a distance means, by pairs of inputs that share their last tokens.
function rulerLine(ruler) {
  const words = (shared) => (shared === 0 ? "unrelated" : shared === 1 ? "the last token shared" : `the last ${shared} shared`);
  return element("p", { class: "rule" }, `Median δ of two inputs: ${ruler.map(([shared, median]) => `${number(median)} ${words(shared)}`).join(", ")}.`);
}

function sharedLine({ feature, value, weight, others }) {
  const bar = element("i", { class: "fill of-weight" });
  bar.style.width = `${100 * weight}%`;
  const rest = others === null || others === undefined ? "" : `${percent(others)} of the other inputs' weight`;
  return element("li", rest ? { tip: () => [`${feature}: ${value}`, rest] } : {}, element("span", { class: "share" }, percent(weight)),
    element("span", { class: "track", "aria-hidden": "true" }, bar), element("span", { class: "feature" }, feature), element("span", { class: "value" }, value ?? "undecided"));
}
