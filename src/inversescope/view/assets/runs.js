// The list of runs, and the overview of one: what it found, its charts, its report.
import { element, number } from "./words.js";
import "./inverse-chart.js";
import { bundle, getRecords } from "./server.js";
import { problemBox } from "./parts.js";

const link = (view, run, words, kind = "link-button") => element("a", { href: `#${view}?run=${encodeURIComponent(run)}`, class: kind }, words);

function runCard(run) {
  if (run.problem) return element("li", { class: "run-card" }, element("h2", {}, run.name), problemBox({ said: { problem: run.problem } }));
  const facts = [run.model, run.task, run.sites ? `${run.sites} sites` : "no generator", run.started].filter(Boolean).join(" · ");
  const state = run.done ? null : element("p", { class: "notice" }, `Not finished: the next step is ${run.next}. \`inversescope run --resume\` goes on.`);
  return element("li", { class: "run-card" }, element("h2", {}, run.name), element("p", { class: "rule" }, facts),
    run.headline ? element("p", { class: "finding-line" }, run.headline) : null, state,
    element("p", { class: "actions" }, run.trained && !bundle ? link("invert", run.id, "Invert a text", "link-button primary") : null, link("overview", run.id, "Overview"), link("stored", run.id, "Stored draws")));
}

export function runsView({ listed }) {
  const none = listed.runs.length ? null : element("p", {}, "There is no run here. A run is opened with ", element("code", {}, "inversescope view RUN"), ".");
  const natural = bundle ? null : element("li", { class: "run-card" }, element("h2", {}, "Natural text"),
    element("p", { class: "rule" }, `${listed.model} · the prior is the model's own text; nothing is trained`),
    element("p", {}, "Any text, at any layer, without a run. A first look comes within a minute, draws after some minutes the first time."),
    element("p", { class: "actions" }, element("a", { href: "#invert", class: "link-button primary" }, "Invert a text")));
  return [element("h1", {}, bundle ? "A run to look at" : "Which inputs does the model treat alike?"),
    element("p", { class: "lead" }, "Choose a run, then a text, a token and a site: the generator draws inputs whose activation there is the same, and the model reads each of them again."),
    none, element("ul", { class: "run-list" }, listed.runs.map(runCard), natural)].filter(Boolean);
}

function chartSection(run, name, title) {
  const made = element("section", { class: "chart-section" }, element("h2", {}, title));
  made.filled = getRecords(`/api/runs/${encodeURIComponent(run)}/chart/${name}`).then(({ spec }) => {
    const chart = document.createElement("inverse-chart");
    chart.show(spec, spec.data.values);
    made.append(chart);
    return true;
  }, (error) => {
    made.append(problemBox(error));
    return false;
  });
  return made;
}

// The report in a frame of its own, once its charts could be made.
function reportSection(run, charts) {
  const address = bundle ? `data/${run.id}-report.html` : `/api/runs/${encodeURIComponent(run.id)}/report`;
  const made = element("section", { class: "report-section" }, element("h2", {}, "Report"));
  if (!charts.length) return [made.append(element("p", {}, "The step `report` is not done.")), made][1];
  charts[0].filled.then((whole) => {
    if (!whole) return made.append(element("p", {}, "It cannot be made, for the same reason."));
    made.append(element("p", {}, element("a", { href: address, target: "_blank", rel: "noopener" }, "Open the report alone")));
    if (!bundle) made.append(element("iframe", { src: address, title: "report of the run", loading: "lazy" }));
  });
  return made;
}

function factsList(pairs) {
  return element("dl", { class: "facts" }, pairs.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, `${value ?? "–"}`))));
}

function verdictCounts(rows) {
  const counts = Map.groupBy(rows, (row) => row.verdict);
  return [...counts].map(([verdict, of]) => `${of.length} ${verdict}`).join(", ") || "not calibrated yet";
}

// Each hypothesis once, where its interval begins highest, and the number of sites at which it is significant.
function bestHypotheses(rows) {
  const lowest = (row) => row.corrected_low ?? -Infinity;
  const found = Map.groupBy(rows.filter((row) => row.corrected !== null), (row) => row.words);
  return [...found.values()].map((of) => {
    const sites = new Set(of.filter((row) => row.significant).map((row) => row.site)).size;
    const best = of.reduce((one, other) => (lowest(other) > lowest(one) ? other : one));
    return { ...best, level: best.resolution === null ? `h = ${number(best.bandwidth)}` : `1 in ${best.resolution}`, sites: sites === 1 ? "1 site" : `${sites} sites` };
  }).toSorted((one, other) => lowest(other) - lowest(one));
}

export async function overviewView({ state }) {
  const run = await getRecords(`/api/runs/${encodeURIComponent(state.run)}`);
  const { headline } = run;
  const best = bestHypotheses(run.hypotheses);
  const table = document.createElement("inverse-table");
  if (best.length) table.show({ words: "hypothesis", corrected: "corrected score", chance: "chance", site: "at site", level: "level", sites: "significant at" }, best, `hypotheses of ${run.id}`);
  const finished = run.steps.find(([step]) => step === "report")?.[1];
  const charts = finished ? [chartSection(run.id, "overview", "All features over the layers"), chartSection(run.id, "layers", `One feature over the layers: ${headline?.feature ?? run.features[0]}`)] : [];
  return [element("h1", {}, headline?.sentence ?? `${run.name}: not scored yet`), headline?.numbers ? element("p", { class: "numbers" }, headline.numbers) : null,
    run.done ? null : element("p", { class: "notice" }, `Not finished: the next step is ${run.next}.`),
    element("p", { class: "actions" }, run.trained && !bundle ? link("invert", run.id, "Invert a text", "link-button primary") : null, link("stored", run.id, "Stored draws")),
    element("dl", { class: "figures" }, [["model", run.model], ["task", run.task], ["sites", run.sites.length], ["sites of the generator", run.sites.filter((site) => site.served).length],
      ["calibration", verdictCounts(run.calibration)]].map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", { class: "value" }, `${value ?? "–"}`)))),
    ...charts,
    best.length ? element("section", {}, element("h2", {}, "Mined hypotheses"), element("p", { class: "rule" }, "Each where its interval begins highest; the report has all of its sites."), table) : null,
    reportSection(run, charts), element("details", {}, element("summary", {}, "Provenance"), factsList(Object.entries(run.provenance)))].filter(Boolean);
}
