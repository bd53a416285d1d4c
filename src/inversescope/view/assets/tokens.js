// <inverse-tokens>: the tokens of a text; the one to read is chosen by a click or the arrow keys.
import { element } from "./words.js";
import { makeRadios } from "./parts.js";

export class InverseTokens extends HTMLElement {
  show(tokens, chosen, pick) {
    const radios = tokens.map((token, i) => element("button", { type: "button", class: "token", "aria-label": `token ${i}: ${token.trim() || "blank"}` },
      token.replaceAll("\n", "⏎") || "∅"));
    const mark = (at) => radios.forEach((radio, i) => radio.classList.toggle("after", i > at));
    makeRadios(this, radios, chosen, (i) => { mark(i); pick(i); });
    mark(chosen);
    this.setAttribute("aria-label", "token to read");
    this.replaceChildren(...radios);
  }
}
customElements.define("inverse-tokens", InverseTokens);
