// What the page shows, in its address: a link restores it. #VIEW?run=...&text=...&site=...; the second question of a
// comparison has the same names with "b." before them.
const TEXTS = ["text", "vector", "site", "feature", "sort", "filter", "name"];
const NUMBERS = ["position", "resolution", "bandwidth", "bits", "n", "seed", "tokens", "seconds", "target"];
const VIEWS = ["runs", "overview", "invert", "stored"];
export const FEWEST_DRAWS = 48;

export function readState(hash = location.hash) {
  const [view, query = ""] = hash.replace(/^#/, "").split("?");
  const given = new URLSearchParams(query);
  return {
    view: VIEWS.includes(view) ? view : "runs",
    run: given.get("run"),
    a: readQuestion(given, ""),
    b: given.has("b") ? readQuestion(given, "b.") : null,
  };
}

function readQuestion(given, before) {
  const found = {};
  for (const name of TEXTS) if (given.has(before + name)) found[name] = given.get(before + name);
  for (const name of NUMBERS) {
    const value = Number.parseFloat(given.get(before + name));
    if (Number.isFinite(value)) found[name] = value;
  }
  return found;
}

export function writtenState(state) {
  const query = new URLSearchParams();
  if (state.run) query.set("run", state.run);
  for (const [question, before] of [[state.a, ""], [state.b, "b."]]) {
    for (const name of [...TEXTS, ...NUMBERS]) {
      const value = question?.[name];
      if (value !== null && value !== undefined && value !== "") query.set(before + name, value);
    }
  }
  if (state.b) query.set("b", "1");
  return `#${state.view}?${query}`;
}

export const keepState = (state) => history.replaceState(null, "", writtenState(state));
