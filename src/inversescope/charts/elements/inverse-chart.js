// <inverse-chart>: a Vega-Lite specification and its rows as a picture, drawn when it comes into sight and given up when
// it is far away, to the width that there is, in the colours of the page; with its values as a table and the picture as
// SVG or PNG. Needs no `eval`.
import { element } from "./words.js";
import { makeReachable, placeTip } from "./tips.js";
import "./inverse-table.js";

const NARROW = 620; // pixels: below, small charts stand closer
let themes = { light: {}, dark: {} };
let printing = false; // paper is light
export const setThemes = (configs) => { themes = configs; };

// The theme that the page shows at an element, whoever decided it.
export function themeAt(node) {
  if (printing) return "light";
  const scheme = getComputedStyle(node).colorScheme.split(" ");
  if (scheme.includes("dark") && scheme.includes("light")) return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  return scheme.includes("dark") ? "dark" : "light";
}

// The specification for a width: small charts as many beside each other as have room; a title of two parts on one line
// or two.
export function fitted(spec, rows, width) {
  const title = Array.isArray(spec.title) && width >= NARROW ? spec.title.join(": ") : spec.title ?? "";
  const made = { ...spec, title: { text: title, limit: width }, data: { values: rows.map((row) => ({ ...row })) } }; // a view writes into its rows
  if (!spec.facet) return { ...made, width: Math.max(120, width) };
  const { tile, axis } = spec.usermeta;
  const gap = width < NARROW ? 12 : spec.spacing?.column ?? 14;
  const many = new Set(rows.map((row) => row[spec.facet.field])).size || spec.facet.sort?.length || 1;
  const columns = Math.max(1, Math.min(Math.max(2, many), Math.floor((width + gap) / (tile + gap))));
  const each = Math.max(80, Math.floor((width - (columns - 1) * gap) / columns - axis - 4));
  return { ...made, columns, spacing: { ...spec.spacing, column: gap }, spec: { ...spec.spec, width: each } };
}

// The height of a picture that is not drawn yet, about.
function expected(spec, rows, width) {
  const { columns, spec: each } = fitted({ ...spec, data: null }, rows, width);
  if (!each) return spec.height ?? 150;
  const many = new Set(rows.map((row) => row[spec.facet.field])).size || 1;
  return Math.ceil(many / columns) * (each.height + 60) + 40;
}

// The lines of a tip: what a mark says, without what is undefined.
export function tipLines(value) {
  if (typeof value !== "object" || value === null) return value ? [`${value}`] : [];
  const said = Object.entries(value).filter(([, words]) => !["null", "undefined", "NaN", ""].includes(`${words}`));
  return said.map(([name, words], i) => (i ? `${name}: ${words}` : `${words}`));
}

const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (isIntersecting) target.draw();
}, { rootMargin: "600px" });
const distance = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (!isIntersecting && !printing) target.giveUp();
}, { rootMargin: "4000px" });
const widths = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) if (target.drawnWidth && Math.round(contentRect.width) !== target.drawnWidth) target.redraw();
});

export class InverseChart extends HTMLElement {
  show(spec, rows) {
    [this.spec, this.rows, this.drawnWidth] = [rows.length ? spec : null, rows, null];
    if (!this.spec) return this.sayWhyEmpty(spec);
    this.picture ??= element("div", { class: "picture" });
    if (!this.picture.isConnected) this.replaceChildren(this.picture, this.tools());
    this.fillValues();
    if (this.isConnected) this.watch();
  }

  // Words in place of a picture without any row.
  sayWhyEmpty(spec) {
    this.view?.finalize();
    this.view = null;
    this.replaceChildren(element("p", { class: "notice" }, `Nothing to draw: no value was recorded for “${spec.description}”.`));
  }

  connectedCallback() {
    if (this.spec) this.watch();
    this.onTheme = () => this.redraw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", this.onTheme);
    document.addEventListener("themechange", this.onTheme);
  }

  disconnectedCallback() {
    for (const observer of [sight, distance, widths]) observer.unobserve(this);
    this.view?.finalize();
    matchMedia("(prefers-color-scheme: dark)").removeEventListener("change", this.onTheme);
    document.removeEventListener("themechange", this.onTheme);
  }

  watch() {
    if (!this.view) this.picture.style.minHeight = `${expected(this.spec, this.rows, this.clientWidth || NARROW)}px`;
    for (const observer of [sight, distance]) observer.unobserve(this); // both look again
    for (const observer of [sight, distance, widths]) observer.observe(this);
  }

  // The picture goes, its place stays. What the keyboard stands on is kept.
  giveUp() {
    if (!this.view || this.picture.contains(document.activeElement)) return;
    this.picture.style.minHeight = `${this.picture.offsetHeight}px`;
    this.view?.finalize();
    [this.view, this.drawnWidth] = [null, null];
    this.picture.replaceChildren();
    sight.unobserve(this);
    sight.observe(this); // it may be back already
  }

  redraw() {
    if (!this.drawnWidth) return;
    this.drawnWidth = null;
    this.watch();
  }

  async draw() {
    const width = Math.round(this.clientWidth);
    if (!width || this.drawnWidth === width || !this.spec) return;
    this.drawnWidth = width;
    const config = themes[themeAt(this)];
    const { spec } = vegaLite.compile(fitted(this.spec, this.rows, width), { config, logger: vega.logger(vega.Error) });
    this.view?.finalize();
    this.view = new vega.View(vega.parse(spec, null, { ast: true }), {
      expr: vegaInterpreter.expressionInterpreter, renderer: "svg", container: this.picture, logLevel: vega.Error, hover: false,
    });
    this.view.tooltip((_, event, item, value) => event // none where the page moves under the pointer
      && placeTip(this, item ? tipLines(value) : [], event.clientX + 14, event.clientY - 10, event.clientY + 18));
    const view = await this.view.runAsync(); // the marks stand in the page when it is done
    if (view !== this.view) return; // drawn again meanwhile
    this.picture.style.minHeight = "";
    for (const mark of this.picture.querySelectorAll("[aria-roledescription$='mark'], path, rect")) {
      const tooltip = mark.__data__?.tooltip;
      if (!tooltip) continue;
      mark.classList.add("has-tip");
      mark.tip = () => tipLines(mark.__data__?.tooltip);
      mark.setAttribute("role", "img");
      mark.setAttribute("aria-label", mark.tip().join("; "));
      mark.closest("[aria-hidden='true']")?.removeAttribute("aria-hidden");
    }
    for (const group of this.picture.querySelectorAll("[role='graphics-symbol']:not([aria-label])")) { // without any mark
      group.removeAttribute("role");
      group.removeAttribute("aria-roledescription");
    }
    makeReachable(this);
    this.dispatchEvent(new CustomEvent("drawn", { bubbles: true }));
  }

  tools() {
    this.values = element("details", { class: "values" }, element("summary", {}, "The values as a table"));
    this.values.addEventListener("toggle", () => this.fillValues());
    const save = (kind) => {
      const button = element("button", { type: "button", class: "small", "aria-label": `save the chart as ${kind}` }, kind);
      button.addEventListener("click", () => this.save(kind.toLowerCase()));
      return button;
    };
    return element("div", { class: "chart-tools" }, element("span", { class: "exports" }, save("SVG"), save("PNG")), this.values);
  }

  fillValues() {
    if (!this.values?.open) return this.values?.querySelector("inverse-table")?.remove();
    const table = this.values.querySelector("inverse-table") ?? this.values.appendChild(document.createElement("inverse-table"));
    table.ready = false;
    table.show(this.spec.usermeta.values, this.rows, `values ${this.getAttribute("name") ?? this.spec.description}`);
  }

  async save(kind) {
    await this.draw();
    const address = kind === "png" ? await this.view.toImageURL("png", 2)
      : URL.createObjectURL(new Blob([await this.view.toSVG()], { type: "image/svg+xml" }));
    const name = this.spec.description.replace(/[^\w-]+/g, "-").toLowerCase();
    const link = element("a", { href: address, download: `${name}.${kind}` });
    link.click();
    if (kind === "svg") setTimeout(() => URL.revokeObjectURL(address), 1000);
  }
}
customElements.get("inverse-chart") ?? customElements.define("inverse-chart", InverseChart);
const everyChart = () => document.querySelectorAll("inverse-chart");
addEventListener("beforeprint", () => {
  printing = true;
  for (const chart of everyChart()) {
    chart.drawnWidth = null;
    chart.draw();
  }
});
addEventListener("afterprint", () => {
  printing = false;
  for (const chart of everyChart()) chart.redraw();
});
