// The reader's choices and place in the address, so that a link, a reload and the way back show the same.

const START = { ...chosen };
const VIEWS = ["report", "summary"]; // the whole page, or its first parts alone, as one page to print
let linkedId = ""; // the id that the address names: a section, a target, a hypothesis
let view = VIEWS[0];

// Takes the choices out of the address; those that the page does not have are left as they are.
function readAddress() {
  const [id, query = ""] = location.hash.slice(1).split("?");
  const wanted = new URLSearchParams(query);
  for (const [name, { options }] of Object.entries(CHOICES)) {
    if (!wanted.has(name)) continue;
    const option = options.find((each) => `${each}` === wanted.get(name));
    if (option !== undefined) chosen[name] = option;
  }
  if (wanted.has("view")) view = VIEWS.includes(wanted.get("view")) ? wanted.get("view") : view;
  linkedId = id;
}

// Puts them there: those that differ from the first ones.
function writeAddress(id = linkedId) {
  linkedId = id;
  const query = new URLSearchParams(Object.entries(chosen).filter(([name, value]) => value !== START[name]));
  if (view !== VIEWS[0]) query.set("view", view);
  const written = `${query}` ? `#${id}?${query}` : `#${id}`;
  if (written !== (location.hash || "#")) history.replaceState(null, "", written);
}

// Scrolls to what the address names, and marks it where it is one of many.
function showPlace() {
  for (const marked of document.querySelectorAll(".linked")) marked.classList.remove("linked");
  const linked = reached(linkedId);
  if (linked === null) return;
  if (linked.matches("article, tr")) linked.classList.add("linked");
  linked.scrollIntoView({ behavior: "instant" });
  drawNear();
  linked.scrollIntoView({ behavior: "instant" }); // what was drawn above has moved it
}

const linkTo = (id, words) => element("a", { class: "link", href: `#${id}`, "aria-label": `link to ${words}` }, "#");
