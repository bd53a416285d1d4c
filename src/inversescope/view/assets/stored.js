// Draws that a run has stored, for its own targets: target, site and level are chosen; nothing is computed.
import { element } from "./words.js";
import { bundle, getRecords } from "./server.js";
import { choice, labelled, problemBox } from "./parts.js";
import { answerSummary } from "./draws.js";
import "./sites.js";

export function levelWords(run, value) {
  return run.by_resolution ? `1 in ${Number(value)}` : `h = ${value}`;
}

export function scoreOf(run, level, feature) {
  return (site) => run.scores[site]?.[`${level}`]?.[feature] ?? null;
}

export async function storedView({ state, keep, go }) {
  const run = await getRecords(`/api/runs/${encodeURIComponent(state.run)}`);
  if (!run.sampled || !run.targets.length) return [element("h1", {}, "Stored draws"), element("p", {}, "This run has no stored draws: its step `verify` is not done.")];
  const [question, served] = [state.a, run.sites.filter((site) => site.served)];
  question.target ??= run.targets[0].row;
  question.site ??= run.headline && served.some((site) => site.site === run.headline.site) ? run.headline.site : served.at(-1).site;
  question.feature ??= run.headline?.feature ?? run.features[0];
  question.resolution ??= run.headline?.resolution ?? run.headline?.bandwidth ?? run.levels.at(-1);
  const [summary, draws, failed, sites] = [element("div", { class: "summary" }), document.createElement("inverse-draws"), element("div"), document.createElement("inverse-sites")];
  const text = element("p", { class: "input" });
  const fill = async () => {
    keep();
    sites.show(run.sites, question.site, question.feature, scoreOf(run, question.resolution, question.feature), (site) => { question.site = site; fill(); });
    text.textContent = run.targets.find((target) => target.row === question.target)?.shown ?? "";
    const query = new URLSearchParams({ site: question.site, target: question.target, level: question.resolution });
    try {
      const answer = await getRecords(`/api/runs/${encodeURIComponent(run.id)}/samples?${query}`);
      failed.replaceChildren();
      summary.replaceChildren(...answerSummary(answer));
      draws.show(answer, question, keep, run.trained && !bundle ? (chosen) => go({ ...state, view: "invert", a: { ...question, text: chosen } }) : null);
    } catch (error) {
      failed.replaceChildren(problemBox(error));
      summary.replaceChildren();
    }
  };
  const set = (name, as = String) => (value) => { question[name] = as(value); fill(); };
  const controls = element("div", { class: "controls" },
    labelled("target", choice("target", run.targets.map((target) => [target.row, target.shown]), question.target, set("target", Number))),
    labelled("resolution", choice("resolution", run.levels.map((level) => [level, levelWords(run, level)]), question.resolution, set("resolution", Number))),
    labelled("coloured by", choice("feature", run.features.map((name) => [name, name]), question.feature, set("feature"))));
  fill();
  return [element("h1", {}, "Stored draws"), controls, element("div", { class: "stored-sites" }, sites), text, failed, summary, draws];
}
