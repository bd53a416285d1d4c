// Numbers of the page: unpacked, indexed, explained on hover; and the choices of the reader.

const count = (value) => (value === null ? DASH : value.toLocaleString("en-US"));
const equals = (value) => (value < data.smallestQ ? `<\u00a0${data.smallestQ}` : `=\u00a0${number(value, 3)}`);
// The q-value of a row: targets agree with their own samples more than with those of others.
const significance = ({ q_value: q }) => (q === null ? "" : `q\u00a0${equals(q)}`);

const data = JSON.parse(await inflated(document.getElementById("data").textContent));
setThemes(data.themes);
const undefinedMark = (reason) => element("span", { class: "undefined", title: reason }, DASH);
const rowsOf = (name) => { // the columns are given up
  const rows = unpack(data[name]);
  delete data[name];
  return rows;
};
const [scores, diagnostics, quality, byDistance, tests, disentangled] = ["scores", "diagnostics", "quality", "byDistance", "used", "disentangled"].map(rowsOf);
const MEASURES = { corrected: "corrected score", fcr: "FCR", bits: "bits" };
const UNCONDITIONED = ["nearest", "no condition"]; // methods without a level
for (const row of scores) [row.point, row.layer, row.head] = data.places[row.site];

async function inflated(text) {
  const coded = atob(text.trim());
  const bytes = new Uint8Array(coded.length);
  for (let i = 0; i < coded.length; i++) bytes[i] = coded.charCodeAt(i);
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

function unpack(table) {
  const names = Object.keys(table);
  const rows = Array.from({ length: names.length && (table[names[0]].codes ?? table[names[0]]).length }, () => ({}));
  for (const name of names) {
    const { codes, levels } = table[name];
    if (codes) codes.forEach((code, i) => { rows[i][name] = code === null ? null : levels[code]; });
    else table[name].forEach((value, i) => { rows[i][name] = value; });
  }
  return rows;
}

// A level is one number at every site: the resolution, or the bandwidth where that was set itself.
const levelOf = (row) => row.resolution ?? row.bandwidth;
const levelWords = (level) => (data.byResolution ? `1 in ${level}` : `h = ${level}`);
// The level of a row with its bandwidth, which differs from site to site.
const atLevel = ({ resolution, bandwidth }) => (resolution === null ? `h = ${bandwidth}` : `1 in ${resolution} (h = ${Number(bandwidth.toPrecision(3))})`);
const place = (method, site, feature, level) => `${method}\u0001${site}\u0001${feature}\u0001${level}`;
const index = new Map(scores.map((row) => [place(row.method, row.site, row.feature, levelOf(row)), row]));
const score = (method, site, feature, level) =>
  index.get(place(method, site, feature, UNCONDITIONED.includes(method) ? null : level)) ?? null;

// The reader's choices, for all sections at once.
const points = [...new Set(scores.filter((row) => row.head === null).map((row) => row.point))];
const mapped = new Set(scores.filter((row) => row.head !== null).map((row) => row.method));
const CHOICES = {
  feature: { words: "feature", options: data.features },
  level: { words: data.byResolution ? "resolution" : "h", options: data.levels, names: Object.fromEntries(data.levels.map((level) => [level, data.byResolution ? levelWords(level) : `${level}`])) },
  measure: { words: "score", options: Object.keys(MEASURES), names: MEASURES },
  point: { words: "curve", options: points, optional: true },
  heads: { words: "map", options: Object.keys(data.methods).filter((method) => mapped.has(method)), optional: true },
  site: { words: "site", options: data.shownSites, list: true },
  attribute: { words: "attribute", options: [...new Set(disentangled.map((row) => row.attribute))] },
};
const start = { ...data.start, point: "resid_post" };
const chosen = Object.fromEntries(Object.entries(CHOICES).map(([name, { options }]) =>
  [name, options.includes(start[name]) ? start[name] : options.at(["site", "attribute"].includes(name) ? -1 : 0) ?? null]));

// Tooltips
function scoreTip(row) {
  const h = row.bandwidth === null ? "" : `, ${atLevel(row)}`;
  const value = (name) => (row[name] === null ? null : `${MEASURES[name]} ${interval(row, name)}`);
  return [
    `${row.site}, ${row.feature}${h}`, data.methods[row.method],
    row.reason === null ? null : `undefined: ${row.reason}`,
    ...Object.keys(MEASURES).map(value), `chance ${number(row.chance)}`,
    row.q_value === null ? null : `${significance(row)} against shuffled targets`,
    row.gap === null ? null : `calibration gap ${interval(row, "gap")}`,
    row.verdict === null ? null : data.meanings[row.verdict],
    row.below_noise ? `h is ${data.belowNoise}` : null,
    row.others_targets ? `among inputs other than the source ${interval(row, "others")}, ${row.others_targets} targets` : null,
    row.source_weight === null ? null : `the source has ${number(row.source_weight)} of the weight`,
    row.null_passes ? `nothing is claimed: ${data.nullPasses}` : null,
    row.source_alone ? `nothing is claimed: ${data.sourceAlone}` : null,
    `n = ${row.targets} ${row.targets === 1 ? "target" : "targets"}${row.collapsed ? `, ${row.collapsed} collapsed` : ""}`,
    `${count(row.samples)} samples, ${row.undecided} undecided, ${row.unverified} unverified`,
    row.ess === null ? null : `effective sample size ${number(row.ess, 1)}`,
  ].filter((words) => words !== null);
}
