// Figures: features over layers and heads, consistency over resolutions, distances.

const LEFT = 44;
const RIGHT = 8;
const noFeatures = () => notice("No feature was scored in this run: its task has no labels.");
const noGenerator = () => notice("The generator drew no samples in this run.");

// One panel per feature; the chosen one is shown on screen, all of them in print.
const panels = (draw) => data.features.map((feature) => element("div",
  { class: `panel${feature === chosen.feature ? " active" : ""}`, "data-feature": feature },
  element("h3", {}, feature), draw(feature)));

// Small figures side by side, `draw(item, width)` for each.
function tiles(items, width, title, draw) {
  const gap = width < 620 ? 14 : 22;
  const columns = Math.max(2, Math.min(items.length, Math.floor((width + gap) / (172 + gap))));
  const size = (width - (columns - 1) * gap) / columns;
  const style = `grid-template-columns: repeat(${columns}, minmax(0, 1fr)); column-gap: ${gap}px`;
  return element("div", { class: "tiles", style }, items.map((item) =>
    element("figure", {}, element("h3", {}, title(item)), draw(item, size))));
}

// Sites and levels at which a hash of the input is above chance too, so that every feature is; or at which the source
// alone carries the score.
const nullPasses = (site, feature, level) => ["reference", "weighted", "generator"].map((method) => score(method, site, feature, level))
  .some((row) => row?.null_passes || row?.source_alone);
const strips = (places, width, top, bottom) => places.map((x) => shape("rect", { class: "null-passes",
  x: x - width / 2, y: top, width, height: bottom - top, tip: () => ["nothing is claimed", data.nullPasses, `or ${data.sourceAlone}`] }));

// Features: a curve over layers above a map of layers and heads, sharing the axis of layers.
function drawFeatures(width) {
  if (data.features.length === 0) return [noFeatures()];
  const x = (layer) => LEFT + ((layer + 0.5) * (width - LEFT - RIGHT)) / layers;
  return panels((feature) => [
    points.length ? layerCurve(feature, x, width) : notice("This run has no sites of whole layers."),
    heads ? [headMap(feature, x, width), mapScale(feature)] : notice("This run has no sites of single heads."),
  ]);
}

function layerCurve(feature, x, width) {
  const sites = layerSites.filter(([, [name]]) => name === chosen.point);
  const rows = (method) => sites.map(([site]) => score(method, site, feature, chosen.level));
  const known = Object.keys(data.methods).flatMap(rows).filter((row) => row !== null && row[chosen.measure] !== null);
  const [low, high] = measureRange(feature, known);
  const height = 236;
  const y = linear(low, high, height - 26, 18);
  const layer = (i) => sites[i][1][1];
  const at = (method, shift = 0) => rows(method).map((row, i) => point(row, chosen.measure, x(layer(i)) + shift, y));
  const defined = (method, shift) => at(method, shift).filter((p) => p !== null);
  const chance = chosen.measure === "fcr" ? known[0]?.chance ?? 0 : 0;
  const label = `${MEASURES[chosen.measure]} of ${feature} over layers, ${chosen.point}, ${levelWords(chosen.level)}`;
  const markers = (method, shift) => defined(method, shift).map((p) => [bar(method, p.x, p.low, p.high),
    marker(method, p.x, p.y, { hollow: p.row.verdict !== "agrees", tip: p.tip })]);
  const hover = (p) => hit(p.x, p.y, p.tip);
  const why = rows("reference").find((row) => row?.reason)?.reason ?? "no score at this level";
  return picture(width, height, label,
    text(LEFT, 8, `${MEASURES[chosen.measure]}, ${chosen.point}`, "title", "start"),
    strips(sites.filter(([site]) => nullPasses(site, feature, chosen.level)).map(([, [, on]]) => x(on)), x(1) - x(0), 18, height - 26),
    verticalAxis(y, ticks(low, high), LEFT, width - RIGHT, 2),
    line(LEFT, y(chance), width - RIGHT, y(chance), "line chance"),
    text(width - RIGHT, y(chance) + 12, "chance", "tick", "end"),
    band(at("reference"), "reference"),
    curve(at("nearest"), "nearest"), curve(defined("shuffled"), "shuffled"),
    curve(defined("no condition"), "no-condition"), curve(at("reference"), "reference"),
    ["nearest", "shuffled", "no condition", "reference"].map((method) => defined(method).map(hover)),
    markers("generator", -3.5), markers("weighted", 3.5),
    layerTicks(x, height - 6), known.length ? null : text(width / 2, height / 2, `${DASH} undefined: ${why}`, "title"));
}

function measureRange(feature, rows) {
  const lows = rows.map((row) => row[`${chosen.measure}_low`] ?? row[chosen.measure]);
  return [Math.max(-0.5, Math.min(0, ...lows)), chosen.measure === "bits" ? mostBits(feature) : 1];
}
function mostBits(feature) {
  const rows = scores.filter((row) => row.feature === feature && row.bits !== null);
  return rows.reduce((most, row) => Math.max(most, row.bits_high ?? row.bits), 0.01);
}
function layerTicks(x, y) {
  const most = Math.max(1, Math.floor((x(layers - 1) - x(0)) / 40));
  return ticks(0, layers - 1, most).filter(Number.isInteger).map((layer) => text(x(layer), y, layer, "tick"));
}

function headMap(feature, x, width) {
  const side = x(1) - x(0);
  const tall = Math.max(9, Math.min(17, side));
  const [top, bottom] = [20, 20 + heads * tall];
  const full = chosen.measure === "bits" ? mostBits(feature) : 1;
  const absent = (site) => [site, `undefined: no ${chosen.heads} was computed here`];
  const cells = headSites.map(([site, [, layer, head]]) => {
    const row = score(chosen.heads, site, feature, chosen.level);
    const value = row === null || row[chosen.measure] === null ? null : row[chosen.measure] / full;
    return cell(x(layer) - side / 2, top + head * tall, side, tall, value, () => (row ? scoreTip(row) : absent(site)));
  });
  const label = (head) => text(LEFT - 6, top + (head + 0.5) * tall + 3.5, head, "tick", "end");
  return picture(width, bottom + 32, `${MEASURES[chosen.measure]} of ${feature} over layers and heads, ${chosen.heads}`,
    text(LEFT, 11, `${MEASURES[chosen.measure]}, z by head, ${chosen.heads}`, "title", "start"), cells,
    ticks(0, heads - 1, 12).filter(Number.isInteger).map(label),
    layerTicks(x, bottom + 14), text((LEFT + width - RIGHT) / 2, bottom + 29, "layer", "tick"));
}
const mapScale = (feature) => element("div", { class: "scale" }, "≤ 0", element("i", { class: "sequential" }),
  chosen.measure === "bits" ? number(mostBits(feature)) : "1", element("i", { class: "hatched" }), "undefined");

// Consistency over levels: one tile per site of the generator.
function drawLevels(width) {
  if (data.features.length === 0) return [noFeatures()];
  if (data.shownSites.length === 0) return [noGenerator()];
  const draw = (feature) => (site, size) => levelTile(site, feature, size);
  return panels((feature) => tiles(data.shownSites, width, (site) => site, draw(feature)));
}

function levelTile(site, feature, width) {
  const [height, left] = [136, 26];
  const x = logarithmic(data.levels, ...(data.byResolution ? [width - 12, left + 10] : [left + 10, width - 12]));
  const y = linear(0, 1, height - 22, 8);
  const rows = (method) => data.levels.map((level) => score(method, site, feature, level));
  const at = (method, shift) => rows(method).map((row, i) => point(row, "fcr", x(data.levels[i]) + shift, y));
  const solid = (row) => score("reference", site, feature, levelOf(row))?.trusted;
  const drawn = [["reference", 0], ["generator", -3], ["weighted", 3]].map(([method, shift]) => [
    curve(at(method, shift), method),
    at(method, shift).filter((p) => p !== null).map((p) => [
      method === "reference" ? null : bar(method, p.x, p.low, p.high),
      marker(method, p.x, p.y, { hollow: !solid(p.row), size: 2.7, tip: p.tip }),
    ]),
  ]);
  const known = ["reference", "generator", "weighted"].flatMap(rows).filter((row) => row !== null && row.fcr !== null);
  const chance = known.find((row) => row.chance !== null)?.chance;
  return picture(width, height, `FCR of ${feature} against ${data.byResolution ? "resolution" : "h"} at ${site}`,
    strips(data.levels.filter((level) => nullPasses(site, feature, level)).map(x), 14, 8, height - 22),
    verticalAxis(y, [0, 0.5, 1], left, width, 1), band(at("reference", 0), "reference"),
    chance === undefined ? null : line(left, y(chance), width, y(chance), "line chance"), drawn,
    data.levels.map((level) => text(x(level), height - 6, levelShort(level), "tick")),
    known.length ? null : text((left + width) / 2, y(0.5) - 5, `${DASH} undefined`, "tick"));
}

// Consistency by the distance of the pool's inputs, one tile per feature at the chosen site.
function drawByDistance(width) {
  if (data.features.length === 0) return [noFeatures()];
  if (chosen.site === null) return [noGenerator()];
  const known = byDistance.some((row) => row.feature === data.nullFeature);
  return [tiles(known ? [...data.features, data.nullFeature] : data.features, width, (feature) => feature, byDistanceTile)];
}

function byDistanceTile(feature, width) {
  const [height, left] = [136, 26];
  const rows = byDistance.filter((row) => row.site === chosen.site && row.feature === feature && row.fcr !== null);
  const middle = (row) => (row.high === null ? row.low : (row.low + row.high) / 2); // the last bin is open
  const x = linear(0, Math.max(2, ...rows.map(middle)), left + 4, width - 6);
  const y = linear(0, 1, height - 22, 8);
  const tip = (row) => () => [`${chosen.site}, ${feature}`, `δ from ${number(row.low)} ${row.high === null ? "on" : `to ${number(row.high)}`}`,
    `consistency ${interval(row, "fcr")}`, `chance ${number(row.chance)}`, `${row.targets} targets, ${count(row.pairs)} pairs`];
  const at = rows.map((row) => ({ x: x(middle(row)), y: y(row.fcr), low: y(row.fcr_low ?? row.fcr),
    high: y(row.fcr_high ?? row.fcr), tip: tip(row) }));
  const chance = rows.map((row) => ({ x: x(middle(row)), y: y(row.chance) }));
  return picture(width, height, `Consistency of ${feature} against distance at ${chosen.site}`,
    verticalAxis(y, [0, 0.5, 1], left, width, 1), band(at, "reference"), curve(chance, "chance"), curve(at, "reference"),
    at.map((p) => hit(p.x, p.y, p.tip)),
    [0, 0.5, 1, 1.5, 2].map((value) => text(x(value), height - 6, value, "tick")),
    rows.length ? null : text((left + width) / 2, y(0.5) - 5, `${DASH} undefined`, "tick"));
}

// Distances: a histogram per level, against that of the prior.
function drawDistances(width) {
  if (data.generatorSites.length === 0) return [noGenerator()];
  const rows = distances.filter((row) => row.site === chosen.site);
  const graphs = rows.length === 0 ? notice(`${DASH} Undefined: no sample of this site was verified.`)
    : tiles(data.levels, width, levelWords, (level, size) => histogram(rows, level, size));
  return [graphs, diagnosticTable()];
}

function histogram(rows, level, width) {
  const density = (row) => row.share / (row.high - row.low);
  const prior = rows.filter((row) => row.method === "prior");
  const draws = rows.filter((row) => row.method === "generator" && levelOf(row) === level);
  const [height, farthest] = [140, Math.max(...rows.map((row) => row.high))];
  const x = linear(0, farthest, 4, width - 6);
  const y = linear(0, Math.max(1e-9, ...[...prior, ...draws].map(density)), height - 22, 6);
  const outline = prior.flatMap((row) => [[x(row.low), y(density(row))], [x(row.high), y(density(row))]]);
  const tip = (row) => () => [`δ from ${number(row.low)} to ${number(row.high)}`,
    `generator, ${levelWords(level)}: share ${number(row.share, 3)}`,
    `prior: share ${number(prior.find((other) => other.low === row.low)?.share, 3)}`];
  const bin = (row) => shape("rect", { class: "bin", x: x(row.low) + 0.3, y: y(density(row)), tip: tip(row),
    width: Math.max(0.5, x(row.high) - x(row.low) - 0.6), height: y(0) - y(density(row)) });
  const drawn = diagnostic(level);
  const marks = [drawn?.acceptance_counts ? line(x(data.accepted), 6, x(data.accepted), y(0), "limit") : null,
    (drawn?.reference_median_distance ?? null) === null ? null
      : line(x(drawn.reference_median_distance), 6, x(drawn.reference_median_distance), y(0), "median")];
  return picture(width, height, `Distances at ${chosen.site}, ${levelWords(level)}`,
    draws.filter((row) => row.share > 0).map(bin), shape("polyline", { points: path(outline), class: "outline" }),
    marks, line(4, y(0), width - 6, y(0), "base"),
    ticks(0, farthest).map((value) => text(x(value), height - 6, value, "tick")),
    draws.length ? null : text(width / 2, height / 2, `${DASH} undefined: none verified`, "tick"));
}
