// Tips: on hover and on touch; by the keyboard, Tab goes to a chart or a table and the arrow keys from one of its marks
// to the next. The reason of a dash is a tip there, too.
import { element } from "./words.js";

const MARKS = ".has-tip, [title]:not(button)";
// The tip stands where its styles are: in the page, or in the shadow tree that a notebook has around a widget.
let tip = null;
function tipBox(near) {
  const root = near.isConnected ? near.getRootNode() : document;
  const here = root.getElementById("tip") ?? (root.body ?? root).appendChild(element("div", { id: "tip", role: "status", hidden: "" }));
  if (tip && tip !== here) tip.hidden = true;
  tip = here;
}

export function placeTip(near, lines, left, top, bottom) {
  if (lines.length) tipBox(near);
  if (tip) tip.hidden = lines.length === 0;
  if (!lines.length) return;
  const [title, ...more] = lines;
  tip.replaceChildren(element("b", {}, title), ...more.map((words) => element("span", {}, words)));
  const fits = bottom + tip.offsetHeight < innerHeight;
  tip.style.left = `${Math.max(4, Math.min(left, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${fits ? bottom : Math.max(4, top - tip.offsetHeight)}px`;
}

// One mark of each chart, table and list is reached by Tab.
export function makeReachable(box) {
  for (const group of box.querySelectorAll("svg, table, dl, .samples")) {
    group.querySelectorAll(MARKS).forEach((mark, i) => mark.setAttribute("tabindex", i ? -1 : 0));
  }
}

function showTip(event) {
  const [[target], { clientX, clientY }] = [event.composedPath(), event];
  const over = target.closest?.(".has-tip");
  placeTip(target, over?.tip ? over.tip() : [], clientX + 14, clientY - 10, clientY + 18);
}

function showAt(target) {
  const over = target.closest?.(MARKS);
  const { left, top, bottom } = target.getBoundingClientRect();
  placeTip(target, over ? over.tip?.() ?? [over.getAttribute("title")] : [], left, top - 6, bottom + 6);
}

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
function stepThrough(event) {
  if (event.key === "Escape" && tip) tip.hidden = true;
  const [at, step] = [event.composedPath()[0], STEPS[event.key]];
  const box = at.matches?.(MARKS) && step ? at.closest("inverse-chart, [data-figure], table, dl") : null;
  if (!box) return;
  const all = [...box.querySelectorAll(MARKS)].filter((mark) => mark.checkVisibility());
  const next = all[all.indexOf(at) + step];
  if (!next) return;
  event.preventDefault();
  at.setAttribute("tabindex", -1);
  next.setAttribute("tabindex", 0);
  next.focus();
  showAt(next); // within a shadow tree, no event of the focus comes this far
}

for (const kind of ["pointerover", "pointermove", "pointerdown"]) document.addEventListener(kind, showTip);
document.addEventListener("focusin", (event) => showAt(event.composedPath()[0]));
document.addEventListener("keydown", stepThrough);
