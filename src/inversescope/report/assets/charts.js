// Charts: the specifications of the page's data, each with the rows of the reader's choices.

const ROWS = { scores, used: tests, byDistance, distances: rowsOf("distances"), gaps: rowsOf("gaps"), disentangled };
const notice = (words) => element("p", { class: "notice" }, words);
const noFeatures = () => notice("No feature was scored in this run: its task has no labels.");
const noGenerator = () => notice("The generator drew no samples in this run.");
const kept = new Map(); // name of a chart -> its element, the same one when it is shown again

// The same rule as `rows.select` in Python.
function select({ usermeta: { rows, where, by } }, choices) {
  const [listed, wanted] = [Object.entries(where), Object.entries(by)];
  return ROWS[rows].filter((row) => listed.every(([column, values]) => values.includes(row[column]))
    && wanted.every(([column, choice]) => row[column] === choices[choice] || (column === "level" && row[column] === null)));
}

function chart(name, spec, choices = chosen) {
  const inWords = (choice) => (choice === "level" ? levelWords(choices.level) : choices[choice]);
  const about = Object.values(spec.usermeta.by).map(inWords).join(", ");
  const made = kept.get(name) ?? element("inverse-chart", { name });
  kept.set(name, made);
  const [title, description] = [spec.title, spec.description].map((words) => [about, words].filter(Boolean));
  made.show({ ...spec, title, description: description.join(": ") }, select(spec, choices));
  return made;
}

// One panel per feature: the chosen one on screen, all of them in print.
let onPaper = false;
const panels = (draw) => data.features.filter((feature) => onPaper || feature === chosen.feature).map((feature) =>
  element("div", { class: "panel", "data-feature": feature }, element("h3", {}, feature), draw(feature, { ...chosen, feature })));

function drawOverview() {
  if (data.features.length === 0) return [noFeatures()];
  if (!data.charts.overview) return [notice("This run has no sites of whole layers.")];
  return [chart("overview", data.charts.overview[chosen.measure])];
}

// A curve over layers above a map of layers and heads.
function drawFeatures() {
  if (data.features.length === 0) return [noFeatures()];
  const { layers, heads } = data.charts;
  return panels((feature, choices) => [
    layers ? chart(`layers ${feature}`, layers[chosen.measure], choices) : notice("This run has no sites of whole layers."),
    heads ? chart(`heads ${feature}`, heads[chosen.measure], choices) : notice("This run has no sites of single heads."),
  ]);
}

function drawLevels() {
  if (data.features.length === 0) return [noFeatures()];
  return panels((feature, choices) => chart(`levels ${feature}`, data.charts.levels, choices));
}

function drawByDistance() {
  if (data.features.length === 0) return [noFeatures()];
  return [chosen.site === null ? noGenerator() : chart("by distance", data.charts.byDistance)];
}

function drawDistances() {
  if (data.generatorSites.length === 0) return [noGenerator()];
  const verified = data.charts.distances && select(data.charts.distances, chosen).length;
  return [verified ? chart("distances", data.charts.distances) : notice(`${DASH} Undefined: no sample of this site was verified.`),
    diagnosticTable()];
}
