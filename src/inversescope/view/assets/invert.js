// The main path: a text or a vector, the token to read, a site, a resolution, and the draws as they are verified.
// Two questions stand side by side where two are compared.
import { element } from "./words.js";
import { getRecords } from "./server.js";
import { button } from "./parts.js";
import "./question.js";

const EXAMPLE = "My sister moved to Berlin because she wanted to study";

async function opened(state, listed) {
  if (!state.run) return null;
  return getRecords(`/api/runs/${encodeURIComponent(state.run)}`);
}

function withDefaults(question, run, listed) {
  question.n ??= 48;
  question.seed ??= 0;
  if (!question.vector) question.text ??= run?.targets[0]?.text ?? EXAMPLE;
  if (!run) return;
  const served = run.sites.filter((site) => site.served).map((site) => site.site);
  if (!served.includes(question.site)) question.site = served.includes(run.headline?.site) ? run.headline.site : served.at(-1);
  question.feature ??= run.headline?.feature ?? run.features[0];
}

export async function invertView({ state, listed, signal, keep, go }) {
  const run = await opened(state, listed);
  if (run && !run.trained) return [element("h1", {}, "Invert"), element("p", { class: "notice" }, `This run has no trained generator yet: its next step is ${run.next}.`)];
  const panels = element("div", { class: "panels" });
  const add = (name) => {
    withDefaults(state[name], run, listed);
    const panel = document.createElement("inverse-question");
    panel.setAttribute("aria-label", name === "a" ? "question" : "second question");
    panel.open({ question: state[name], run, model: listed.model, signal, keep, name });
    panels.append(panel);
    return panel;
  };
  const set = () => panels.classList.toggle("two", state.b !== null);
  add("a");
  if (state.b) add("b");
  const compare = button(state.b ? "Close the comparison" : "Compare with another", () => {
    if (state.b) {
      state.b = null;
      panels.lastChild.stop();
      panels.lastChild.remove();
    } else {
      state.b = { ...state.a };
      add("b").focusFirst();
    }
    compare.textContent = state.b ? "Close the comparison" : "Compare with another";
    set();
    keep();
  });
  set();
  keep();
  const words = run ? `Inputs of the run's prior (${run.task}) that ${run.model} treats like yours.` : `Inputs of natural text that ${listed.model} treats like yours: first the nearest of the texts that it writes by itself, then draws. The first question for a model takes minutes.`;
  return [element("div", { class: "view-head" }, element("div", {}, element("h1", {}, run ? `Invert a text with ${run.name}` : "Invert any text"), element("p", { class: "lead" }, words)), compare), panels];
}
