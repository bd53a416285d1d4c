// Encoded and used: the score against the effect of other activations, site by site.

const tests = unpack(data.used);
const KINDS = ["same", "other", "random"];
const clip = (value) => Math.max(-1, Math.min(2, value));

function drawUsed(width) {
  if (data.features.length === 0) return [noFeatures()];
  if (tests.length === 0) return [noGenerator()];
  const rows = (feature) => tests.filter((row) => row.feature === feature);
  return panels((feature) => element("div", {}, usedScatter(rows(feature), feature, Math.min(width, 640)),
    usedTable(rows(feature))));
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

// Sites that hardly move anything have no necessity: they stand in a strip of their own below the axis.
function usedScatter(rows, feature, width) {
  const height = 330;
  const [bottom, strip] = [height - 58, height - 40];
  const known = rows.filter((row) => row.corrected !== null);
  const ends = (name) => known.filter((row) => row[name] !== null)
    .flatMap((row) => [row[`${name}_low`] ?? row[name], row[`${name}_high`] ?? row[name]].map(clip));
  const [low, high] = [Math.min(-0.1, ...ends("necessity")), Math.max(1, ...ends("necessity"))];
  const x = linear(Math.min(-0.1, ...ends("corrected")), 1, LEFT + 4, width - RIGHT);
  const y = linear(low, high, bottom, 14);
  const [limitX, limitY] = [x(data.limits.encoded), y(data.limits.used)];
  const region = (left, words, anchor, top) => text(left, top, words, "title", anchor);
  return picture(width, height, `corrected score of ${feature} against its necessity, by site`,
    verticalAxis(y, ticks(low, high), LEFT, width - RIGHT, 1),
    ticks(0, 1).map((value) => text(x(value), height - 22, number(value, 1), "tick")),
    line(limitX, 14, limitX, strip + 8, "limit"), line(LEFT, limitY, width - RIGHT, limitY, "limit"),
    region(width - RIGHT, "encoded and used", "end", 26), region(width - RIGHT, "encoded, unused", "end", limitY + 14),
    region(limitX - 4, "neither", "end", bottom - 4),
    text(LEFT, 8, "necessity", "title", "start"), text(LEFT - 6, strip + 4, "none", "tick", "end"),
    text((LEFT + width) / 2, height - 6, "corrected score, at the finest resolution at which it is reliable", "title"),
    known.map((row) => usedPoint(row, x, y, strip)),
    known.length ? null : text(width / 2, height / 2, `${DASH} undefined: no score is reliable here`, "title"));
}

function usedPoint(row, x, y, strip) {
  const still = row.necessity === null;
  const [left, top] = [x(row.corrected), still ? strip : y(clip(row.necessity))];
  const [, layer, head] = data.places[row.site];
  const upright = still || row.necessity_low === null ? null
    : bar("weighted", left, y(clip(row.necessity_low)), y(clip(row.necessity_high)));
  const flat = row.corrected_low === null ? null
    : line(x(clip(row.corrected_low)), top, x(clip(row.corrected_high)), top, "bar weighted");
  const look = { hollow: row.verdict === "cannot tell", tip: () => usedTip(row) };
  return [upright, flat, marker("weighted", left, top, look),
    layer === null || head !== null ? null : text(left + 6, top - 5, layer, "tick", "start")];
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
