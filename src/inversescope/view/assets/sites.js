// <inverse-sites>: a grid of layers and kinds of sites, coloured by a feature's score.
import { element, number } from "./words.js";
import { makeRadios, scaleColour } from "./parts.js";

const NAMES = { resid_pre: "before block", resid_mid: "after attention", resid_post: "after block", attn_out: "attention", mlp_out: "MLP", z: "head" };
const rowName = (site) => (site.head === null || site.head === undefined ? NAMES[site.series] ?? site.series : `${NAMES[site.series] ?? site.series} ${site.head}`);

function scoreWords(score, feature) {
  if (!score) return feature ? `${feature}: no score` : "";
  const [value, low, high, , trusted] = score;
  return `${feature}: ${number(value)} [${number(low)}, ${number(high)}]${trusted ? "" : ", not to be trusted"}`;
}

export class InverseSites extends HTMLElement {
  // `score` gives the score of a site, null: there are none; only the sites of the generator can be chosen.
  show(sites, chosen, feature, score, pick) {
    const rows = Map.groupBy(sites.toSorted((one, other) => (one.head ?? -1) - (other.head ?? -1)), rowName);
    const layers = [...new Set(sites.map((site) => site.layer))].toSorted((one, other) => one - other);
    const radios = [];
    const grid = element("div", { class: "site-grid" });
    grid.style.setProperty("--columns", layers.length);
    for (const [name, listed] of rows) {
      const at = new Map(listed.map((site) => [site.layer, site]));
      grid.append(element("span", { class: "row-name", "aria-hidden": "true" }, name));
      for (const layer of layers) grid.append(this.cell(at.get(layer), chosen, feature, score, radios));
    }
    grid.append(element("span", { class: "row-name", "aria-hidden": "true" }, "layer"));
    const sparse = Math.ceil(layers.length / 12);
    for (const [i, layer] of layers.entries()) grid.append(element("span", { class: "layer-name", "aria-hidden": "true" }, i % sparse ? "" : `${layer}`));
    const names = radios.map((radio) => radio.dataset.site);
    makeRadios(this, radios, names.indexOf(chosen), (i) => pick(names[i]));
    this.setAttribute("aria-label", "site");
    const scale = score ? element("p", { class: "score-scale" }, "score: 0, chance", element("i", { "aria-hidden": "true" }), "1, certainty") : "";
    this.replaceChildren(element("div", { class: "grid-scroll" }, grid), scale);
  }

  cell(site, chosen, feature, score, radios) {
    if (!site) return element("span", { class: "no-site" });
    const found = score?.(site.site);
    const words = [site.site, score ? scoreWords(found, feature) : "", site.served ? "" : "the generator does not serve it"].filter(Boolean);
    const made = element(site.served ? "button" : "span", { class: `site-cell${site.served ? "" : " closed"}`, tip: () => words });
    if (score && (found?.[0] ?? null) === null) made.classList.add("no-score");
    else if (score) made.style.background = scaleColour(found[0]);
    if (!site.served) return made;
    made.type = "button";
    made.dataset.site = site.site;
    made.setAttribute("aria-label", words.join("; "));
    radios.push(made);
    return made;
  }
}
customElements.define("inverse-sites", InverseSites);
