// Small parts of the page: messages, choices by the arrow keys, meters.
import { element, number } from "./words.js";

export function problemBox(error) {
  const said = error.said ?? { problem: `this is a fault of the page: ${error.message}` };
  const line = (name) => (said[name] ? element("p", {}, element("b", {}, `${name}: `), `${said[name]}`) : null);
  return element("div", { class: "problem", role: "alert" }, element("p", { class: "first" }, said.problem), line("given"), line("allowed"), line("remedy"));
}

export function button(words, click, attributes = {}) {
  const made = element("button", { type: "button", ...attributes }, words);
  made.addEventListener("click", click);
  return made;
}

export function labelled(words, control, more = null) {
  return element("label", { class: "control" }, element("span", {}, words), control, more);
}

export function choice(name, options, chosen, change) {
  const made = element("select", { "aria-label": name }, options.map(([value, words]) => element("option", { value }, words)));
  made.value = chosen ?? options[0]?.[0] ?? "";
  made.addEventListener("change", () => change(made.value));
  return made;
}

export function numberField(name, value, limits, change) {
  const made = element("input", { type: "number", "aria-label": name, ...limits });
  made.value = value ?? "";
  made.addEventListener("change", () => change(made.value === "" ? null : Number(made.value)));
  return made;
}

// One of several: Tab goes to the chosen one, the arrow keys to the others. `columns` is their number in a row.
export function makeRadios(box, radios, chosen, pick, columns = 1) {
  const mark = (index) => radios.forEach((radio, i) => {
    radio.setAttribute("aria-checked", i === index);
    radio.tabIndex = i === (index < 0 ? 0 : index) ? 0 : -1;
  });
  radios.forEach((radio, i) => {
    radio.setAttribute("role", "radio");
    radio.addEventListener("click", () => { mark(i); pick(i); });
    radio.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -i, End: radios.length - 1 - i }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      const next = radios[Math.min(Math.max(i + step, 0), radios.length - 1)];
      next.focus();
      next.click();
    });
  });
  box.setAttribute("role", "radiogroup");
  mark(chosen);
}

export function meter(value, largest, kind, digits = 2) {
  const full = largest > 0 ? Math.min(1, Math.max(0, (value ?? 0) / largest)) : 0;
  const bar = element("i", { class: `fill ${kind}` });
  bar.style.width = `${100 * full}%`;
  return element("span", { class: "meter-cell" }, element("span", {}, number(value, digits)), element("span", { class: "track", "aria-hidden": "true" }, bar));
}

// Words that differ from the source's are marked; an empty mark stands where words are missing.
export function markedWords(pieces) {
  return pieces.map((piece, i) => {
    if (i % 2 === 0) return piece;
    if (piece === "") return element("mark", { title: "words of the source are missing here" });
    const words = piece.trimStart();
    return [piece.slice(0, piece.length - words.length), element("mark", {}, words)];
  }).flat();
}

export const percent = (share) => (share === null || share === undefined ? "–" : `${Math.round(100 * share)}%`);

// Colour of a score from 0 (chance) to 1, in the steps of the page's scale.
export function scaleColour(value) {
  const at = Math.min(Math.max(value, 0), 1) * 4;
  const step = Math.min(Math.floor(at), 3);
  return `color-mix(in oklab, var(--scale-${step + 1}) ${Math.round(100 * (at - step))}%, var(--scale-${step}))`;
}
