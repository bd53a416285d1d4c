// Resolution of draws that were made: they are weighed anew, and those without weight drop out. Nothing is drawn again.
import { element, number } from "./words.js";
import { askServer } from "./server.js";

const NOTCHES = 100;

export class ResolutionSlider {
  constructor(host) {
    this.host = host;
    this.input = element("input", { type: "range", min: 0, max: NOTCHES, step: 1, "aria-label": "bandwidth at which the draws are weighed" });
    this.words = element("output", {});
    this.box = element("div", { class: "slider", hidden: "" }, element("span", { class: "slider-name" }, "weigh these draws at"), element("span", {}, "finer"), this.input, element("span", {}, "coarser"), this.words);
    this.input.addEventListener("input", () => this.weigh());
  }

  show(answer, job) {
    const { low, high } = answer.bandwidths;
    [this.low, this.ratio, this.job] = [low, Math.log(high / low), job];
    this.box.hidden = !(this.ratio > 0);
    this.input.value = Math.round(NOTCHES * Math.log(answer.bandwidth / low) / this.ratio);
    this.say(answer);
  }

  hide() {
    this.stop();
    this.box.hidden = true;
  }

  stop() { this.working?.abort(); }

  say({ bandwidth, size }) { this.words.textContent = `h = ${number(bandwidth, 3)}, effective sample size ${number(size, 1)}`; }

  async weigh() {
    this.stop();
    this.working = new AbortController();
    const { signal } = this.working;
    const bandwidth = this.low * Math.exp(this.ratio * this.input.value / NOTCHES);
    this.words.textContent = `h = ${number(bandwidth, 3)} …`;
    try {
      for await (const event of askServer(`/api/jobs/${encodeURIComponent(this.job)}/weigh`, { bandwidth }, signal)) {
        if (event.event !== "weights") continue;
        this.host.showAnswer(event);
        this.say(event);
      }
    } catch (error) {
      if (!signal.aborted) this.host.fail(error);
    }
  }
}
