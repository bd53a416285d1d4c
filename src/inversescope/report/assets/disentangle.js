// Cause, Isolate and Disentangle: a curve over sites for each way to intervene, and each at its best site in a table.

const disentangled = unpack(data.disentangled);
const CAUSAL = { cause: "Cause", isolate: "Isolate", disentangle: "Disentangle" };
// Methods drawn as curves, each in the look of its inputs; the table has all of them.
const DRAWN = {
  "samples": "generator", "samples, means": "weighted", "pool": "reference", "pool, means": "nearest",
  "pool, shuffled": "shuffled",
};

function drawDisentangle(width) {
  const rows = disentangled.filter((row) => (row.attribute ?? ALL) === chosen.attribute);
  const sites = [...new Set(rows.map((row) => row.site))];
  const methods = [...new Set(rows.map((row) => row.method))];
  const drawn = methods.filter((method) => method in DRAWN);
  const keys = element("div", { class: "keys" }, drawn.map((method) => key(DRAWN[method], method)));
  const tile = (measure, size) => causalTile(rows, sites, drawn, measure, size);
  return [keys, tiles(Object.keys(CAUSAL), width, (measure) => CAUSAL[measure], tile), bestTable(rows, methods)];
}

function causalTip(row) {
  const value = (name) => `${CAUSAL[name]} ${row[name] === null ? DASH : interval(row, name)}`;
  return [`${row.method} at ${row.site}`, row.attribute ?? ALL, ...Object.keys(CAUSAL).map(value),
    `n = ${row.targets} targets, ${row.pairs} answers; ${atLevel(row)}`];
}

function causalTile(rows, sites, methods, measure, width) {
  const [height, left] = [190, 26];
  const x = linear(0, Math.max(1, sites.length - 1), left + 10, width - 12);
  const y = linear(0, 1, height - 22, 8);
  const shift = (method) => 2.5 * (methods.indexOf(method) - (methods.length - 1) / 2); // so that equal values all show
  const at = (method) => sites.map((site, i) => {
    const row = rows.find((row) => row.site === site && row.method === method);
    if (!row || row[measure] === null) return null;
    const [low, high] = [row[`${measure}_low`] ?? row[measure], row[`${measure}_high`] ?? row[measure]];
    return { x: x(i) + shift(method), y: y(row[measure]), low: y(low), high: y(high), tip: () => causalTip(row) };
  });
  const draw = (method) => {
    const [points, kind] = [at(method), DRAWN[method]];
    const marked = (p) => [bar(kind, p.x, p.low, p.high), marker(kind, p.x, p.y, { size: 2.7, tip: p.tip })];
    return [curve(points, kind), points.filter((point) => point !== null).map(marked)];
  };
  const step = Math.ceil(sites.length / Math.max(1, Math.floor(width / 44)));
  const named = (site) => data.places[site]?.[1] ?? site;
  return picture(width, height, `${CAUSAL[measure]} of ${chosen.attribute} over sites`,
    verticalAxis(y, [0, 0.5, 1], left, width, 1), methods.map(draw),
    sites.map((site, i) => (i % step ? null : text(x(i), height - 6, named(site), "tick"))));
}

function bestTable(rows, methods) {
  const best = (method) => rows.filter((row) => row.method === method)
    .reduce((most, row) => ((row.disentangle ?? -1) > (most.disentangle ?? -1) ? row : most));
  const entry = (row, name) => element("td", { tip: () => causalTip(row) },
    row[name] === null ? undefinedMark("it has none, or no target has such a source") : number(row[name]),
    (row[`${name}_low`] ?? null) === null ? null : element("span", { class: "range" }, ` ${range(row, name)}`));
  const head = ["activation of", "best site", ...Object.values(CAUSAL), "targets"];
  return table("disentangle", element("tr", {}, head.map((words) => element("th", {}, words))),
    methods.map(best).map((row) => element("tr", {}, rowHead(row.method), element("td", {}, row.site),
      Object.keys(CAUSAL).map((name) => entry(row, name)), element("td", {}, `${row.targets}`))));
}
