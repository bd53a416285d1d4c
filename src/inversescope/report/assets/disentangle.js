// Cause, Isolate and Disentangle: the numbers of each way to intervene at its best site, beside the chart.

const CAUSAL = { cause: "Cause", isolate: "Isolate", disentangle: "Disentangle" };

function drawDisentangle() {
  const rows = select(data.charts.disentangle, chosen);
  return [chart("disentangle", data.charts.disentangle), bestTable(rows, [...new Set(rows.map((row) => row.method))])];
}

function causalTip(row) {
  const value = (name) => `${CAUSAL[name]} ${row[name] === null ? DASH : interval(row, name)}`;
  return [`${row.method} at ${row.site}`, row.attribute, ...Object.keys(CAUSAL).map(value),
    `n = ${row.targets} targets, ${row.pairs} answers; ${atLevel(row)}`];
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
