// Encoded and used: the numbers of each site beside the chart.

const KINDS = ["same", "other", "random"];

function drawUsed() {
  if (data.features.length === 0) return [noFeatures()];
  if (tests.length === 0) return [noGenerator()];
  return panels((feature, choices) => [chart(`used ${feature}`, data.charts.used, choices),
    usedTable(tests.filter((row) => row.feature === feature))]);
}

function usedTip(row) {
  const kinds = (name) => KINDS.map((kind) => number(row[`${name}_${kind}`])).join(" / ");
  const value = (name, words) => (row[name] === null ? null : `${words} ${interval(row, name)}`);
  return [
    `${row.site}, ${row.feature}: ${row.verdict}`, row.reason,
    value("corrected", "corrected score"),
    row.method === null ? null : `${data.methods[row.method]}, ${atLevel({ resolution: row.score_resolution, bandwidth: row.score_bandwidth })}`,
    value("necessity", "necessity"), value("sufficiency", "sufficiency"),
    `activations of ${KINDS.join(" / ")}, samples at ${atLevel({ resolution: row.donor_resolution, bandwidth: row.donor_bandwidth })}:`,
    row.continuation === null ? null : `compared behind a continuation: ${row.continuation}`,
    `KL ${kinds("kl")} nats; its own ${number(row.kl_own, 4)}`,
    row.kept_same === null ? null : `logit difference kept ${kinds("kept")}`, `δ ${kinds("distance")}`,
    `n = ${row.targets} targets${row.matched ? `, other of minimal pairs in ${row.matched}` : ""}` +
      (row.from_pool ? `, of the pool in ${row.from_pool}` : ""),
  ].filter((words) => words !== null);
}

const USED_COLUMNS = [
  ["corrected", "corrected score"], ["necessity", "necessity"], ["sufficiency", "sufficiency"],
  ["effect", "KL, other − same"], ["distance_same", "δ, same"], ["distance_other", "δ, other"],
];
function usedTable(rows) {
  const words = ["site", "verdict", ...USED_COLUMNS.map(([, named]) => named), "targets"];
  const entry = (row, name) => element("td", { tip: () => usedTip(row) },
    row[name] === null ? undefinedMark(row.reason ?? "undefined") : number(row[name]),
    (row[`${name}_low`] ?? null) === null ? null : element("span", { class: "range" }, ` ${range(row, name)}`));
  const verdict = (row) => element("td", { class: "verdict", title: row.reason }, row.verdict);
  const cells = (row) => [verdict(row), USED_COLUMNS.map(([name]) => entry(row, name)), element("td", {}, row.targets)];
  return table("used", element("tr", {}, words.map((word) => element("th", {}, word))),
    rows.map((row) => element("tr", {}, rowHead(row.site), cells(row))));
}
