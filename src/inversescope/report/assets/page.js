// The page: its controls, what is drawn again when one of them changes, the theme.

const SECTIONS = {
  overview: { uses: ["level", "measure", "point"], draw: drawOverview },
  features: { uses: ["feature", "level", "measure", "point", "heads"], draw: drawFeatures },
  levels: { uses: ["feature"], draw: drawLevels },
  calibration: { uses: [], draw: drawCalibration },
  hypotheses: { uses: ["site", "level"], draw: drawHypotheses },
  targets: { uses: ["site", "level", "feature"], draw: drawTargets },
  distances: { uses: ["site"], draw: drawDistances },
  quality: { uses: ["site"], draw: drawQuality },
  used: { uses: ["feature"], draw: drawUsed },
  disentangle: { uses: ["attribute"], draw: drawDisentangle },
  controls: { uses: ["feature", "level", "measure"], draw: drawControls },
  "by-distance": { uses: ["site"], draw: drawByDistance },
};
const all = (selector) => document.querySelectorAll(selector);

// The table of a box as an element that sorts, filters and copies it. Its name is what is kept when it is drawn again.
function sortable(box) {
  const name = [box.closest("section")?.id, box.querySelector("table").className, box.closest(".panel")?.dataset.feature].join(" ");
  const table = element("inverse-table", { name });
  box.replaceWith(table);
  table.append(box);
  table.make();
}

function control(name) {
  const { words, options, names = {}, list, optional } = CHOICES[name];
  if (options.length < (optional ? 2 : 1)) return null;
  const label = { "aria-label": words };
  const widget = list
    ? element("select", label, options.map((option) => element("option", { value: option }, option)))
    : element("span", { class: "choices", role: "group", ...label },
      options.map((option) => element("button", { type: "button" }, `${Object.hasOwn(names, option) ? names[option] : option}`)));
  const chooseHere = (value) => {
    choose(name, value);
    writeAddress(widget.closest("section").id);
  };
  if (list) widget.addEventListener("change", () => chooseHere(widget.value));
  else [...widget.children].forEach((button, i) => button.addEventListener("click", () => chooseHere(options[i])));
  return element("div", { class: `control control-${name}`, "data-choice": name }, words, widget);
}

function showChoice(name) {
  for (const box of all(`[data-choice="${name}"]`)) {
    for (const list of box.querySelectorAll("select")) list.value = chosen[name];
    const pressed = (i) => CHOICES[name].options[i] === chosen[name];
    box.querySelectorAll("button").forEach((button, i) => button.setAttribute("aria-pressed", pressed(i)));
  }
}

function choose(name, value) {
  chosen[name] = value;
  showChoice(name);
  draw(Object.keys(SECTIONS).filter((section) => SECTIONS[section].uses.includes(name)));
}

// Figures near the window are drawn at once, the others when they come near: those of a large run have thousands of
// elements. Until then a figure shows what it showed before. Large ones are given up when they are far away.
const NEARBY = 1500; // pixels
const FAR = 6000;
const LARGE = 1500; // elements
const stale = new Set();
const approach = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (isIntersecting && stale.has(target)) fillFigure(target);
}, { rootMargin: `${NEARBY}px` });
const leaving = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (!isIntersecting) emptyFigure(target);
}, { rootMargin: `${FAR}px` });

function draw(sections) {
  for (const section of sections) {
    for (const box of all(`[data-figure="${section}"]`)) {
      if (!box.checkVisibility()) continue; // it has no width
      stale.add(box);
      approach.unobserve(box);
      approach.observe(box); // it looks again
    }
  }
  drawNear();
}
function drawNear() {
  for (const box of stale) {
    if (!box.checkVisibility()) continue;
    const { top, bottom } = box.getBoundingClientRect();
    if (onPaper || (bottom > -NEARBY && top < innerHeight + NEARBY)) fillFigure(box);
  }
}
function fillFigure(box) {
  stale.delete(box);
  box.replaceChildren(...SECTIONS[box.dataset.figure].draw());
  box.querySelectorAll(".scroll:not(inverse-table .scroll)").forEach(sortable);
  makeReachable(box);
  box.style.minHeight = "";
  leaving.observe(box);
}
function emptyFigure(box) {
  if (onPaper || stale.has(box) || box.getElementsByTagName("*").length < LARGE) return;
  if (box.contains(document.activeElement) || box.querySelector("details[open]")) return;
  box.style.minHeight = `${box.offsetHeight}px`;
  box.replaceChildren();
  stale.add(box);
}

// The element of an id, which may stand in a figure that is not drawn yet.
function reached(id) {
  for (const box of /-\d+$/.test(id) ? stale : []) {
    if (document.getElementById(id)) break;
    fillFigure(box);
  }
  return document.getElementById(id);
}

// The theme is kept for the other pages, where the browser lets a page keep something.
const THEMES = ["automatic", "light", "dark"];
const KEPT = "inversescope-theme";
function showTheme(theme) {
  document.documentElement.dataset.theme = theme;
  document.dispatchEvent(new Event("themechange"));
  document.getElementById("theme").textContent = `theme: ${theme}`;
}
function keptTheme() {
  try {
    const kept = localStorage.getItem(KEPT);
    return THEMES.includes(kept) ? kept : THEMES[0];
  } catch {
    return THEMES[0];
  }
}
function nextTheme() {
  const theme = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
  showTheme(theme);
  try {
    localStorage.setItem(KEPT, theme);
  } catch {
    // it holds for this page alone
  }
}

// Sections that come into sight are drawn: they had no width before.
function showView() {
  document.documentElement.dataset.view = view;
  document.getElementById("view").textContent = view === "summary" ? "whole report" : "one-page summary";
}
function nextView() {
  view = VIEWS[(VIEWS.indexOf(view) + 1) % VIEWS.length];
  showView();
  draw(Object.keys(SECTIONS));
  writeAddress("");
}

// What the address says, at the start and when it changes.
function followAddress() {
  const before = JSON.stringify([chosen, view]);
  readAddress();
  showView();
  Object.keys(chosen).forEach(showChoice);
  if (JSON.stringify([chosen, view]) !== before) draw(Object.keys(SECTIONS));
  writeAddress();
  showPlace();
}

// Paper has the panels of every feature.
function drawForPaper(start) {
  onPaper = start;
  draw(Object.keys(SECTIONS).filter((section) => SECTIONS[section].uses.includes("feature")));
  if (!start) return;
  all("inverse-chart").forEach((chart) => chart.draw());
  all("#reading, #provenance details").forEach((box) => (box.open = true));
}

for (const box of all("[data-controls]")) {
  box.append(...box.dataset.controls.split(" ").map(control).filter((node) => node !== null));
}
showTheme(keptTheme());
readAddress();
showView();
Object.keys(CHOICES).forEach(showChoice);
document.getElementById("theme").addEventListener("click", nextTheme);
document.getElementById("view").addEventListener("click", nextView);
all(".scroll").forEach(sortable);
makeReachable(document);
addEventListener("hashchange", followAddress);
addEventListener("beforeprint", () => drawForPaper(true));
addEventListener("afterprint", () => drawForPaper(false));
draw(Object.keys(SECTIONS));
document.documentElement.dataset.drawn = "yes";
showPlace();
