// Tables: calibration gaps, targets with their samples, diagnostics, controls.

const table = (kind, head, rows) => element("div", { class: "scroll" },
  element("table", { class: kind }, element("thead", {}, head), element("tbody", {}, rows)));
const rowHead = (words) => element("th", { scope: "row" }, words);

// Calibration: the chart of gaps, and the same in words.
function drawCalibration() {
  if (data.features.length === 0) return [noFeatures()];
  if (data.generatorSites.length === 0) return [noGenerator()];
  return [chart("calibration", data.charts.gaps), ...calibrationWords()];
}

function calibrationWords() {
  const groups = (by) => [...Map.groupBy(scores.filter((row) => row.method === "generator"), by)];
  const checked = (rows) => rows.filter((row) => row.verdict !== "unchecked").length;
  const failed = ["copies", "undertrained"];
  const bad = (rows) => rows.filter((row) => failed.includes(row.verdict)).length;
  const failing = groups((row) => row.site).filter(([, rows]) => bad(rows))
    .map(([site, rows]) => `${site} (${bad(rows)} of ${checked(rows)})`);
  const blind = groups(levelOf).filter(([, rows]) => checked(rows) === 0).map(([level]) => levelWords(level));
  const words = [];
  if (failing.length) {
    const found = failed.filter((word) => scores.some((row) => row.verdict === word));
    words.push(`${found.map((word) => capital(data.meanings[word])).join(". ")}. Comparisons beyond ±${data.small}: ${failing.join(", ")}.`);
  } else if (blind.length < data.levels.length) words.push("On these targets the generator fails nowhere. That alone does not make it calibrated: see the verdicts above.");
  if (blind.length) {
    words.push(`Unchecked at every site: ${blind.join(", ")}. A reference from the pool needs an effective sample size ` +
      `of ${data.enough}.`);
  }
  return words.map((sentence) => element("p", { class: "lead" }, sentence));
}
const capital = (words) => words[0].toUpperCase() + words.slice(1);

// Hypotheses: found by the miner at the chosen site and level.
function drawHypotheses() {
  const found = data.hypotheses.filter((row) => row.site === chosen.site && levelOf(row) === chosen.level);
  if (found.length === 0) return [notice("Nothing was found here: no candidate was above chance on the discovery targets.")];
  const head = element("tr", {}, ["hypothesis", "corrected score", "bits", "chance", "q", "targets", "necessity", "encoded and used?", "equal or contained"]
    .map((words) => element("th", {}, words)));
  return [table("hypotheses", head, found.map(hypothesisRow))];
}
function hypothesisRow(row) {
  const why = "too few targets decide it, or all of them alike";
  const cell = (value, words) => element("td", {}, value === null ? undefinedMark(why) : words);
  const estimate = (name) => cell(row[name], [`${number(row[name])} `, element("span", { class: "range" }, range(row, name))]);
  const use = tests.find((each) => each.site === row.site && each.feature === row.hypothesis);
  const necessity = use === undefined || use.necessity === null
    ? undefinedMark(use === undefined ? "not measured: only for the first hypotheses of a site" : use.reason)
    : [`${number(use.necessity)} `, use.necessity_low === null ? null : element("span", { class: "range" }, range(use, "necessity"))];
  const merged = element("details", {}, element("summary", {}, `${row.merged.length} more`),
    row.merged.map((source) => element("code", {}, source)));
  const title = row.null_passes ? data.nullPasses : row.source_alone ? data.sourceAlone : null;
  const id = `hypothesis-${row.rank}`;
  return element("tr", { id, class: row.significant ? "" : "unconfirmed", title },
    element("th", { scope: "row" }, `${row.rank}. ${row.words} `, linkTo(id, `hypothesis ${row.rank}`), element("code", {}, row.hypothesis)),
    estimate("corrected"), estimate("bits"), cell(row.chance, number(row.chance)),
    cell(row.q_value, row.q_value < data.smallestQ ? equals(row.q_value) : number(row.q_value, 3)), element("td", {}, `${row.targets}`),
    element("td", {}, necessity), element("td", { class: "verdict", title: use?.reason ?? "" }, use?.verdict ?? ""),
    element("td", {}, row.merged.length ? merged : ""));
}

// Targets: the source input, and the samples drawn for it.
const NEAR = 8; // rows of samples shown at once

function drawTargets() {
  const [i, j] = [data.shownSites.indexOf(chosen.site), data.levels.indexOf(chosen.level)];
  if (i < 0 || data.targets.length === 0) return [noGenerator()];
  const farthest = Math.max(1, ...data.samples[i].flat(2).flatMap(({ shown }) => shown.map((sample) => sample.distance ?? 0)));
  const words = `${data.targets.length} of ${data.targets[0].of} targets, the first ${data.shownDraws} draws of each. ` +
    `Distance bars end at δ = ${number(farthest)}, weight bars at 1. ${typicalDistances()}`;
  const cards = data.targets.map((target, k) => targetCard(target, data.samples[i][j][k], farthest));
  return [element("p", { class: "lead" }, words), ...cards];
}

// The distances of samples mean something only beside those of the reference and of the prior.
function typicalDistances() {
  const row = diagnostic(chosen.level);
  if (!row) return "";
  return `At ${atLevel(row)} the median δ of the samples is ${number(row.median_distance)}; ` +
    (row.reference_median_distance === null ? "" : `that of the reference is ${number(row.reference_median_distance)}, `) +
    `that of the prior ${number(row.prior_median_distance)}.`;
}

function targetCard(target, samples, farthest) {
  const f = data.features.indexOf(chosen.feature);
  const label = f < 0 ? null : `${chosen.feature}: ${target.labels[f] ?? "undecided"}`;
  const rows = samples.shown.map((sample) => sampleRow(sample, target, f, farthest));
  const id = `target-${target.row}`;
  return element("article", { id, class: "target" },
    element("header", {}, element("span", {}, `source input of target ${target.row} `, linkTo(id, `target ${target.row}`)),
      element("span", {}, `${target.acceptance === null ? "" : `other inputs accepted ${number(target.acceptance)}, `}rank ${target.rank} of ${target.of}`)),
    element("p", { class: "input", dir: "auto" }, target.text),
    target.outside.includes(chosen.site) ? element("p", { class: "outside" }, "outside of the prior: farther from every stored input than those are from each other") : null,
    label === null ? null : element("p", { class: "given", dir: "auto" }, label),
    samples.left_out === null ? null : notice(`Counts in no mean at ${levelWords(chosen.level)}: ${samples.left_out}.`),
    samples.unreliable ? notice("Unreliable: the weights have a heavy tail for so few inputs.") : null,
    rows.length === 0 ? notice("No sample was drawn here.")
      : element("div", { class: "samples" }, sampleHead(), rows.slice(0, NEAR)),
    rows.length > NEAR ? farther(samples.shown.slice(NEAR), rows.slice(NEAR)) : null);
}
function sampleHead() {
  const [words, kinds] = [["distance δ", "weight", "draws", "sample", chosen.feature ?? "", ""],
    ["", "", "times", "words-of", "label", "state"]];
  return element("div", { class: "sample head" }, words.map((word, i) => element("span", { class: kinds[i] }, word)));
}
function farther(samples, rows) {
  const draws = (state) => samples.reduce((sum, sample) => sum + (sample.state === state ? sample.n : 0), 0);
  const words = diagnostic(chosen.level)?.acceptance_counts
    ? `${draws("accepted")} accepted, ${draws("verified")} not accepted, ${draws("unverified")} unverified`
    : `${draws("accepted") + draws("verified")} verified, ${draws("unverified")} unverified`;
  return element("details", { class: "rest" }, element("summary", {}, `${samples.length} more rows; draws: ${words}`),
    element("div", { class: "samples" }, rows));
}

function sampleRow(sample, target, f, farthest) {
  const unverified = sample.state === "unverified";
  const label = f < 0 ? null : sample.labels[f];
  const same = label === null ? "undecided" : label === target.labels[f] ? "same" : "other";
  return element("div", { class: `sample ${sample.state}` },
    meter("distance", sample.distance, farthest, unverified ? "unverified: distance not known" : "distance undefined"),
    meter("weight", sample.weight, 1, unverified ? "unverified: no weight" : "no draw of this target has weight"),
    element("span", { class: "times" }, sample.n > 1 ? `×${sample.n}` : ""),
    element("span", { class: "words-of", dir: "auto" }, sample.text.map(piece)),
    element("span", { class: `label ${same}`, dir: "auto" }, f < 0 ? "" : label ?? "undecided"),
    element("span", { class: "state" }, sample.source ? "the source itself" : stateWords(sample.state)));
}
function stateWords(state) {
  if (state === "unverified") return state;
  if (!diagnostic(chosen.level)?.acceptance_counts) return "";
  return state === "verified" ? "not accepted" : state;
}
// Every second piece differs from the source input; an empty one marks where words of it are missing.
function piece(words, i) {
  if (i % 2 === 0) return words;
  const blank = words.match(/^\s*/)[0];
  const title = words ? null : "words of the source input are missing here";
  return [blank, element("mark", { title }, words.slice(blank.length))];
}
function meter(kind, value, full, why) {
  if (value === null) return element("span", { class: `meter ${kind}` }, element("span", {}, undefinedMark(why)));
  return element("span", { class: `meter ${kind}` }, element("span", {}, number(value)),
    element("i", { "aria-hidden": "true", style: `width: ${((100 * value) / full).toFixed(1)}%` }));
}

// Diagnostics of the chosen site, and the quality of its samples: name in the records, words, digits.
const COUNTS = true; // shown only at levels where acceptance has a meaning
const DIAGNOSTICS = [
  ["draws", "draws", 0], ["unverified", "unverified", 0], ["source_draws", "source, share of draws", 2],
  ["source_weight", "source, share of weight", 2], ["acceptance", "accepted, share", 2, COUNTS],
  ["others_acceptance", "accepted without the source, share", 2, COUNTS],
  ["distinct", "distinct", 0], ["distinct_accepted", "distinct accepted without the source", 0, COUNTS], ["novel", "not in training, share", 2],
  ["ess", "effective sample size, weights", 1], ["collapsed", "collapsed targets", 0], ["collapsed_missed", "of these: draws missed the mass", 0],
  ["collapsed_few", "weights on too few inputs", 0], ["collapsed_far", "no near draw", 0],
  ["pareto_k", "Pareto k̂, weights", 2], ["unreliable", "targets with unreliable weights", 0],
  ["reference_ess", "effective sample size, reference", 1],
  ["median_distance", "median δ", 2], ["reference_median_distance", "median δ, reference", 2],
  ["prior_median_distance", "median δ, prior", 2], ["noise_floor", "noise floor, δ", 3],
  ["edits_acceptance", "accepted, share, edits", 2, COUNTS],
  ["edits_median_distance", "median δ, edits", 2],
];
const QUALITY = [
  ["distinct", "distinct, share", 2], ["pool_distinct", "real: distinct", 2],
  ["similarity", "alike", 2], ["pool_similarity", "real: alike", 2],
  ["nearest_train", "to nearest training input", 2], ["pool_nearest_train", "real: to nearest training input", 2],
  ["compared", "targets compared", 0], ["auc", "classifier, AUC", 2], ["p_value", "p", 3],
];
const diagnostic = (level) => diagnostics.find((row) => row.site === chosen.site && levelOf(row) === level);
const diagnosticTable = () => byLevel("diagnostics", diagnostics, DIAGNOSTICS, "there was nothing to measure it on");
// One row a measure, one column a level: there are many measures and few levels.
function byLevel(kind, records, measures, nothing) {
  const found = data.levels.map((level) => records.find((row) => row.site === chosen.site && levelOf(row) === level));
  const below = (row) => (row?.below_noise ? element("span", { class: "range" }, ` ${data.belowNoise}`) : null);
  const head = element("tr", {}, element("th", {}, data.byResolution ? "resolution" : "h"),
    data.levels.map((level, i) => element("th", {}, found[i] ? atLevel(found[i]) : levelWords(level), below(found[i]))));
  const entry = (row, [name, , digits, counts]) => {
    if (counts && row && !row.acceptance_counts) return undefinedMark(`at this level hardly any input of the reference has δ ≤ ${data.accepted}`);
    if ((row?.[name] ?? null) === null) return undefinedMark(row ? nothing : "no draws at this level");
    const limits = row[`${name}_low`] == null ? null : element("span", { class: "range" }, ` ${range(row, name)}`);
    return [number(row[name], digits), limits];
  };
  return table(kind, head, measures.map((measure) => element("tr", {}, rowHead(measure[1]),
    found.map((row) => element("td", {}, entry(row, measure))))));
}
function drawQuality() {
  if (data.generatorSites.length === 0) return [noGenerator()];
  return [byLevel("quality", quality, QUALITY, "the pool has too few inputs near the targets, or all samples are training inputs")];
}

// Controls: one row per site, one column per method.
function drawControls() {
  if (data.features.length === 0) return [noFeatures()];
  if (data.generatorSites.length === 0) return [noGenerator()];
  const order = Object.keys(data.methods);
  const head = element("tr", {}, element("th", {}, "site"), order.map((method) => element("th", {}, method)));
  const cells = (site, feature) => order.map((method) => controlCell(method, site, feature));
  const rows = (feature) => data.generatorSites.map((site) => element("tr", {}, rowHead(site), cells(site, feature)));
  return panels((feature) => table("by-method", head.cloneNode(true), rows(feature)));
}
function controlCell(method, site, feature) {
  const row = score(method, site, feature, chosen.level);
  if (row === null) return element("td", {}, undefinedMark(`no ${method} was computed here`));
  if (row[chosen.measure] === null) return element("td", {}, undefinedMark(row.reason ?? "undefined"));
  return element("td", { class: row.null_passes || row.source_alone ? "null-passes" : "", tip: () => scoreTip(row) }, `${number(row[chosen.measure])} `,
    element("span", { class: "range" }, range(row, chosen.measure)), " ",
    element("span", { class: "range" }, significance(row)));
}
