// The explanation of one activation: its hypotheses, those above chance first, each with inputs for and against.
import { element, number } from "./words.js";
import { markedWords, percent } from "./parts.js";

const MOST = 12;

function estimate(named) {
  if (!named || named.value === null || named.value === undefined) return "–";
  return named.low === null || named.low === undefined ? number(named.value) : `${number(named.value)} [${number(named.low)}, ${number(named.high)}]`;
}

function example(row, words) {
  return row ? element("p", { class: "example" }, element("span", { class: "which" }, `${words}, δ ${number(row.distance)}: `), row.text === null ? "" : markedWords(row.pieces)) : null;
}

function findingItem(finding) {
  const verdict = finding.used ? "encoded and used" : finding.use ?? "";
  return element("li", { class: finding.above_chance ? "finding" : "finding chance" },
    element("div", { class: "finding-head" }, element("b", { dir: "auto" }, finding.words || finding.hypothesis),
      verdict ? element("span", { class: finding.used ? "badge own" : "badge" }, verdict) : null),
    element("p", { class: "numbers-of" }, `corrected score ${estimate(finding.corrected)}`, finding.chance === null ? "" : `; chance ${percent(finding.chance)}`,
      `; effect when replaced ${estimate(finding.necessity)}`, finding.q_value === null ? "" : `; q ${finding.q_value < 0.001 ? "< 0.001" : number(finding.q_value, 3)}`),
    finding.note ? element("p", { class: "rule" }, finding.note) : null,
    element("details", {}, element("summary", {}, "inputs for and against"), finding.for.slice(0, 3).map((row) => example(row, "for")), example(finding.against, "against")));
}

export function explanationPanel(found) {
  const above = found.findings.filter((each) => each.above_chance);
  const listed = (above.length ? above : found.findings).slice(0, MOST);
  return element("section", { class: "explanation", "aria-label": "explanation" },
    element("h2", {}, `Explanation of ${found.site}`),
    found.verdict ? element("p", { class: "rule" }, `The generator here is: ${found.verdict}.`) : null,
    found.outside ? element("p", { class: "notice" }, found.outside) : null,
    found.left_out ? element("p", { class: "notice" }, found.left_out) : null,
    found.null_passes ? element("p", { class: "notice" }, "A hash of the input is above chance here too: read no hypothesis as a finding.") : null,
    above.length || !listed.length ? null : element("p", { class: "rule" }, "No hypothesis is above chance; these come first."),
    listed.length ? element("ol", {}, listed.map(findingItem)) : element("p", {}, "There is no hypothesis."));
}
