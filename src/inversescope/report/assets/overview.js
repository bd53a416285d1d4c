// All features at once over the layers, with the sites at which they are used.

const HUES = 8; // colours there are; further features are dashed
const LABELS = 128; // pixels for the names at the end of the curves

function drawOverview(width) {
  if (data.features.length === 0) return [noFeatures()];
  if (points.length === 0) return [notice("This run has no sites of whole layers.")];
  const sites = layerSites.filter(([, [name]]) => name === chosen.point);
  const method = ["reference", "weighted"].find((name) => scores.some((row) => row.method === name));
  const rows = (feature) => sites.map(([site]) => score(method, site, feature, chosen.level));
  const shown = data.features.filter((feature) => rows(feature).some((row) => row !== null && row[chosen.measure] !== null));
  const height = 300;
  const right = width - Math.min(LABELS, width / 4);
  const x = (layer) => LEFT + ((layer + 0.5) * (right - LEFT)) / layers;
  const [low, high] = overviewRange(shown.flatMap(rows).filter((row) => row !== null && row[chosen.measure] !== null));
  const y = linear(low, high, height - 26, 18);
  const hue = (feature) => `hue-${data.features.indexOf(feature) % HUES}${data.features.indexOf(feature) < HUES ? "" : " more"}`;
  const drawn = shown.map((feature) => {
    const all = rows(feature).map((row, i) => point(row, chosen.measure, x(sites[i][1][1]), y));
    return { feature, all, defined: all.filter((p) => p !== null) };
  });
  const names = apart(drawn.map(({ feature, defined }) => ({ feature, end: defined.at(-1) })));
  return [picture(width, height, `${MEASURES[chosen.measure]} of every feature over layers, ${chosen.point}, ${levelWords(chosen.level)}`,
    text(LEFT, 8, `${MEASURES[chosen.measure]}, ${chosen.point}, ${data.methods[method]}`, "title", "start"),
    strips(sites.filter(([site]) => shown.some((feature) => nullPasses(site, feature, chosen.level)))
      .map(([, [, layer]]) => x(layer)), x(1) - x(0), 18, height - 26),
    verticalAxis(y, ticks(low, high), LEFT, right, chosen.measure === "bits" ? 1 : 2),
    chosen.measure === "fcr" ? null : line(LEFT, y(0), right, y(0), "line chance"),
    drawn.map(({ feature, all }) => band(all, hue(feature))),
    drawn.map(({ feature, all }) => curve(all, hue(feature))),
    [false, true].map((full) => drawn.map(({ feature, defined }) =>
      defined.filter((p) => used(p, feature) === full).map((p) => overviewMark(p, feature, hue(feature))))),
    names.map(({ feature, end, place }) => [line(end.x + 5, end.y, right + 6, place, `line lead ${hue(feature)}`),
      text(right + 10, place + 3.5, feature, `name ${hue(feature)}`, "start")]),
    layerTicks(x, height - 6),
    shown.length ? null : text(width / 2, height / 2, `${DASH} undefined at this level`, "title"))];
}

const checked = (p, feature) => tests.find((row) => row.site === p.row.site && row.feature === feature);
const used = (p, feature) => checked(p, feature)?.verdict === "encoded and used";

// Full, and on top, where the feature is encoded and used; hollow where the test has any other verdict.
function overviewMark(p, feature, kind) {
  const verdict = checked(p, feature)?.verdict;
  const tip = () => [...p.tip(), ...(verdict ? [`encoded and used? ${verdict}`] : [])];
  return verdict ? marker(kind, p.x, p.y, { hollow: !used(p, feature), size: 3, tip }) : hit(p.x, p.y, tip);
}

function overviewRange(known) {
  const end = (row, name) => row[`${chosen.measure}_${name}`] ?? row[chosen.measure];
  return [Math.max(-0.5, Math.min(0, ...known.map((row) => end(row, "low")))), Math.max(0.1, ...known.map((row) => end(row, "high")))];
}

// Names beside the ends of their curves, in their order, none on top of another.
function apart(names) {
  const sorted = names.toSorted((one, other) => one.end.y - other.end.y);
  const step = 13;
  for (const [i, name] of sorted.entries()) name.place = Math.max(name.end.y, i ? sorted[i - 1].place + step : 0);
  const over = sorted.length ? Math.max(0, sorted.at(-1).place - 292) : 0;
  for (const name of sorted) name.place -= over;
  return sorted;
}
