// The numbers of each picture as a table, filled when it is opened.

const shownValue = (row, name) => ((row?.[name] ?? null) === null ? DASH
  : (row[`${name}_low`] ?? null) === null ? number(row[name]) : `${number(row[name])} ${range(row, name)}`);
const curveSites = () => layerSites.filter(([, [name]]) => name === chosen.point).map(([site]) => site);
const methodsOf = (rows) => Object.keys(data.methods).filter((method) => rows.some((row) => row.method === method));

// By section: the heads, and the rows of texts.
const VALUES = {
  overview() {
    const method = ["reference", "weighted"].find((name) => scores.some((row) => row.method === name));
    return [["site", ...data.features], curveSites().map((site) =>
      [site, ...data.features.map((feature) => shownValue(score(method, site, feature, chosen.level), chosen.measure))])];
  },
  features() {
    const methods = methodsOf(scores);
    const sites = [...curveSites(), ...headSites.map(([site]) => site)];
    return [["site", ...methods], sites.map((site) =>
      [site, ...methods.map((method) => shownValue(score(method, site, chosen.feature, chosen.level), chosen.measure))])];
  },
  levels() {
    const methods = ["reference", "generator", "weighted"];
    const row = (site, level) => {
      const found = methods.map((method) => score(method, site, chosen.feature, level));
      return [site, levelWords(level), ...found.map((each) => shownValue(each, "fcr")), shownValue(found.find((each) => each), "chance")];
    };
    return [["site", data.byResolution ? "resolution" : "h", ...methods, "chance"],
      data.shownSites.flatMap((site) => data.levels.map((level) => row(site, level)))];
  },
  distances() {
    const rows = distances.filter((row) => row.site === chosen.site);
    const prior = rows.filter((row) => row.method === "prior");
    const share = (bin, level) => rows.find((row) => row.method === "generator" && levelOf(row) === level && row.low === bin.low);
    const text = (row) => ((row?.share ?? null) === null ? DASH : number(row.share, 3));
    return [["δ from", "to", "prior", ...data.levels.map(levelWords)], prior.map((bin) =>
      [number(bin.low), number(bin.high), text(bin), ...data.levels.map((level) => text(share(bin, level)))])];
  },
  "by-distance"() {
    return [["feature", "δ from", "to", "consistency", "chance", "targets"],
      byDistance.filter((row) => row.site === chosen.site).map((row) =>
        [row.feature, number(row.low), number(row.high), shownValue(row, "fcr"), number(row.chance), `${row.targets}`])];
  },
  disentangle() {
    return [["activation of", "site", ...Object.values(CAUSAL), "targets"],
      disentangled.filter((row) => (row.attribute ?? ALL) === chosen.attribute).map((row) =>
        [row.method, row.site, ...Object.keys(CAUSAL).map((name) => shownValue(row, name)), `${row.targets}`])];
  },
};

function fillValues(box) {
  box.querySelectorAll(":scope > :not(summary)").forEach((old) => old.remove());
  if (!box.open) return;
  const [heads, rows] = VALUES[box.dataset.values]();
  const head = element("tr", {}, heads.map((word) => element("th", {}, word)));
  const body = rows.map(([first, ...cells]) => element("tr", {}, rowHead(first), cells.map((cell) => element("td", {}, cell))));
  box.append(table("values", head, body));
  sortable(box.querySelector(".scroll"));
}

function values(section) {
  if (!(section in VALUES)) return [];
  const box = element("details", { class: "values", "data-values": section }, element("summary", {}, "The values as a table"));
  box.addEventListener("toggle", () => fillValues(box));
  return [box];
}
