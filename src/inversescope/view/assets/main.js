// The page: its head, and the view that the address names.
import { element } from "./words.js";
import { setThemes } from "./inverse-chart.js";
import { chartThemes } from "./themes.js";
import { bundle, getRecords } from "./server.js";
import { keepState, readState, writtenState } from "./state.js";
import { button, problemBox } from "./parts.js";
import { overviewView, runsView } from "./runs.js";
import { storedView } from "./stored.js";
import { invertView } from "./invert.js";

const VIEW = { runs: runsView, overview: overviewView, stored: storedView, invert: invertView };
const TITLE = { runs: "Runs", overview: "Overview", stored: "Stored draws", invert: "Invert" };
const top = document.querySelector("header.top");
const main = document.getElementById("main");
let state = readState();
let closing = null;

function themeButton() {
  const dark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const made = button(dark() ? "light" : "dark", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    made.textContent = dark() ? "light" : "dark";
    document.dispatchEvent(new Event("themechange"));
  }, { class: "small", "aria-label": "change the theme" });
  return made;
}

function fillTop(listed) {
  const name = listed.runs.find((run) => run.id === state.run)?.name ?? (state.run ? "unknown run" : null);
  const views = state.run ? ["runs", "overview", "stored", "invert"] : bundle ? ["runs"] : ["runs", "invert"];
  const links = views.filter((view) => !bundle || view !== "invert").map((view) => {
    const query = state.run ? `?run=${encodeURIComponent(state.run)}` : "";
    const words = view === "invert" && !state.run ? "Natural text" : TITLE[view];
    return element("a", { href: view === "runs" ? "#runs" : `#${view}${query}`, "aria-current": view === state.view ? "page" : null }, words);
  });
  top.replaceChildren(element("a", { href: "#runs", class: "name" }, "InverseScope"),
    name && state.view !== "runs" ? element("span", { class: "run-name" }, name) : "", element("nav", { "aria-label": "views" }, links), themeButton());
  document.title = [TITLE[state.view], name, "InverseScope"].filter(Boolean).join(" · ");
}

async function show() {
  closing?.abort();
  const signal = (closing = new AbortController()).signal;
  state = readState();
  main.className = `view-${state.view}`;
  try {
    const listed = await getRecords("/api/runs");
    if (signal.aborted) return;
    fillTop(listed);
    main.replaceChildren(element("p", { class: "status", role: "status" }, "loading …"));
    const made = await VIEW[state.view]({ state, listed, signal, keep: () => keepState(state), go: (next) => { location.hash = writtenState(next); } });
    if (!signal.aborted) main.replaceChildren(...[made].flat());
  } catch (error) {
    if (!signal.aborted) main.replaceChildren(problemBox(error));
  }
}

setThemes(chartThemes);
addEventListener("hashchange", show);
show();
