// Drawing: scales, axes, marks. Colours come from CSS classes, so figures follow the theme.

const SVG = "http://www.w3.org/2000/svg";
const shape = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

const picture = (width, height, label, ...children) =>
  shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label }, ...children);
const undefinedMark = (reason) => element("span", { class: "undefined", title: reason }, DASH);
const notice = (words) => element("p", { class: "notice" }, words);

// Scales
function linear(low, high, start, end) {
  const span = high - low || 1;
  return (value) => start + ((value - low) / span) * (end - start);
}
function logarithmic(values, start, end) {
  const [low, high] = [Math.log(Math.min(...values)), Math.log(Math.max(...values))];
  if (low === high) return () => (start + end) / 2;
  return (value) => start + ((Math.log(value) - low) / (high - low)) * (end - start);
}
// At most `most` round numbers from low to high.
function ticks(low, high, most = 5) {
  const rough = (high - low) / most || 1;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = magnitude * [1, 2, 2.5, 5, 10].find((factor) => factor * magnitude >= rough - 1e-12);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9; i++) {
    found.push(Number((i * step).toPrecision(6)));
  }
  return found;
}

// Marks
const text = (x, y, words, kind = "", anchor = "middle") =>
  shape("text", { x, y, class: kind, "text-anchor": anchor }, `${words}`);
const line = (x1, y1, x2, y2, kind) => shape("line", { x1, y1, x2, y2, class: kind });
const bar = (kind, x, low, high) => line(x, low, x, high, `bar ${kind}`);
const hit = (x, y, tip) => shape("circle", { cx: x, cy: y, r: 7, class: "hit", tip });
const path = (corners) => corners.map((corner) => corner.map((value) => value.toFixed(1)).join()).join(" ");

// Runs of consecutive defined points: an undefined one breaks the line.
function runs(points) {
  const found = [[]];
  for (const point of points) point === null ? found.push([]) : found.at(-1).push(point);
  return found.filter((run) => run.length > 0);
}
const curve = (points, kind) =>
  runs(points).map((run) => shape("polyline", { points: path(run.map(({ x, y }) => [x, y])), class: `line ${kind}` }));
function band(points, kind) {
  const edge = (run, end) => run.map((p) => [p.x, p[end]]);
  const outline = (run) => path([...edge(run, "low"), ...edge(run, "high").toReversed()]);
  return runs(points).map((run) => shape("polygon", { class: `band ${kind}`, points: outline(run) }));
}

// A marker per method and per feature, told apart by form as well as by colour; those of features have radius 1.
const FORMS = [
  "M-1 0a1 1 0 1 0 2 0a1 1 0 1 0-2 0Z", "M-.9-.9H.9V.9H-.9Z", "M0-1.2L1.2 0L0 1.2L-1.2 0Z", "M0-1.2L1.1.8H-1.1Z",
  "M0 1.2L1.1-.8H-1.1Z", "M-1.2-.4H-.4V-1.2H.4V-.4H1.2V.4H.4V1.2H-.4V.4H-1.2Z",
];
function marker(kind, x, y, { hollow = false, size = 3.6, tip } = {}) {
  const attributes = { class: `mark ${kind}${hollow ? " hollow" : ""}`, tip };
  const hue = /^hue-(\d)/.exec(kind)?.[1];
  if (hue) return shape("path", { ...attributes, d: FORMS[hue % FORMS.length], transform: `translate(${x} ${y}) scale(${size})` });
  if (kind !== "weighted") return shape("circle", { ...attributes, cx: x, cy: y, r: size });
  const corner = { x: x - size, y: y - size, width: 2 * size, height: 2 * size };
  return shape("rect", { ...attributes, ...corner, transform: `rotate(45 ${x} ${y})` });
}

const verticalAxis = (y, values, left, right, digits) => values.map((value) => [
  line(left, y(value), right, y(value), "grid"), text(left - 6, y(value) + 3.5, number(value, digits), "tick", "end"),
]);

// The colour of a share from 0 to 1 on the sequential scale of five stops, and of -1 to 1 on the diverging one.
function sequential(value) {
  const place = Math.min(1, Math.max(0, value)) * 4;
  const stop = Math.min(3, Math.floor(place));
  return `color-mix(in oklab, var(--scale-${stop}), var(--scale-${stop + 1}) ${((place - stop) * 100).toFixed(0)}%)`;
}
function diverging(value) {
  const [end, size] = [value < 0 ? "below" : "above", Math.min(1, Math.abs(value))];
  return `color-mix(in oklab, var(--scale-middle), var(--scale-${end}) ${(size * 100).toFixed(0)}%)`;
}

function cell(x, y, width, height, value, tip) {
  const look = value === null ? { class: "cell none" } : { class: "cell", style: `fill: ${sequential(value)}` };
  const [left, top, wide, tall] = [x, y, width, height].map((value) => value.toFixed(1));
  return shape("rect", { x: left, y: top, width: wide, height: tall, tip, ...look });
}

// The sample of one method in a legend.
function key(kind, words) {
  const bin = (height, i) => shape("rect", { x: 3 + i * 5, y: 13 - height, width: 4.4, height, class: "bin" });
  const ribbon = () => shape("rect", { y: 2, width: 26, height: 10, class: "band reference" });
  const drawings = {
    generator: () => [bar(kind, 13, 1, 13), marker(kind, 13, 7)],
    weighted: () => [bar(kind, 13, 1, 13), marker(kind, 13, 7)],
    reference: () => [ribbon(), line(0, 7, 26, 7, "line reference")],
    draws: () => [5, 9, 12, 7].map(bin),
    prior: () => [shape("path", { d: "M1 13V8H7V3H13V5H19V10H25V13", class: "outline" })],
  };
  const drawing = drawings[kind] ? drawings[kind]() : [line(0, 7, 26, 7, `line ${kind}`)];
  const swatch = shape("svg", { width: 26, height: 14, "aria-hidden": "true" }, drawing);
  return element("span", { class: "key" }, swatch, words);
}
