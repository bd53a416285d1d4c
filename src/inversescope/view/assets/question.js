// <inverse-question>: one question and its answer.
import { element, number } from "./words.js";
import "./inverse-chart.js";
import { makeReachable } from "./tips.js";
import { drawsChart } from "./themes.js";
import { Failure, askServer, sendVector } from "./server.js";
import { button, choice, labelled, makeRadios, numberField, problemBox } from "./parts.js";
import { answerSummary } from "./draws.js";
import { explanationPanel } from "./explanation.js";
import { ResolutionSlider } from "./slider.js";
import { scoreOf } from "./stored.js";
import "./tokens.js";
import "./sites.js";

const PAUSE = 350; // milliseconds after the last key, until the text is read
const step = (number, title, ...content) => element("div", { class: "step" }, element("h2", {}, element("span", { class: "step-number", "aria-hidden": "true" }, number), title), ...content);

export class InverseQuestion extends HTMLElement {
  open({ question, run, model, signal, keep, name }) {
    Object.assign(this, { question, run, model, keep, name });
    signal.addEventListener("abort", () => this.stop());
    this.setAttribute("role", "group");
    this.tokens = document.createElement("inverse-tokens");
    this.sites = document.createElement("inverse-sites");
    this.levels = element("div", { class: "choices" });
    this.ask = element("form", { class: "ask" }, this.textStep(), step("2", "Token to read", this.tokens), this.siteStep(), this.levelStep(), this.actions());
    this.ask.addEventListener("submit", (event) => { event.preventDefault(); this.invert(); });
    this.status = element("p", { class: "status", role: "status" });
    this.failed = element("div");
    this.summary = element("div", { class: "summary" });
    this.slider = new ResolutionSlider(this);
    this.draws = document.createElement("inverse-draws");
    this.chart = element("details", { class: "distances", open: "" }, element("summary", {}, "Distances of the draws"));
    this.explained = element("div");
    this.answer = element("div", { class: "answer" }, this.status, this.failed, element("div", { class: "answer-body", hidden: "" },
      this.summary, this.slider.box, this.draws, this.chart), this.explained);
    this.replaceChildren(this.ask, this.answer);
    this.status.textContent = "Choose a token and a site, then invert.";
    this.fillSites();
    this.fillLevels();
    this.readText();
  }

  focusFirst() { this.area.focus(); }

  textStep() {
    this.area = element("textarea", { rows: 3, "aria-label": "text", spellcheck: "false", dir: "auto" });
    this.area.value = this.question.text ?? "";
    this.area.addEventListener("input", () => {
      Object.assign(this.question, { text: this.area.value, vector: null, name: null, position: null });
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => this.readText(), PAUSE);
    });
    this.area.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.invert(); });
    const file = element("input", { type: "file", accept: ".npy,.npz,.safetensors,.pt", "aria-label": "file with a vector", class: "file" });
    file.addEventListener("change", () => { if (file.files[0]) this.takeVector(file.files[0]); });
    const box = step("1", "Text", this.area, this.run ? element("label", { class: "drop" }, "or a vector: drop a file here, or choose one ", file) : null);
    box.addEventListener("dragover", (event) => { event.preventDefault(); box.classList.add("over"); });
    box.addEventListener("dragleave", () => box.classList.remove("over"));
    box.addEventListener("drop", (event) => {
      event.preventDefault();
      box.classList.remove("over");
      const [dropped] = event.dataTransfer.files;
      if (dropped && this.run) this.takeVector(dropped);
    });
    return box;
  }

  siteStep() {
    const features = this.run?.features.length ? choice("coloured by", this.run.features.map((name) => [name, name]), this.question.feature, (name) => {
      this.question.feature = name;
      this.fillSites();
      this.keep();
    }) : null;
    this.siteName = element("code", {}, this.question.site ?? "");
    return step("3", "Site", element("div", { class: "site-head" }, this.siteName, features ? labelled("coloured by the score of", features) : null), this.sites);
  }

  levelStep() {
    const set = (name) => (value) => { this.question[name] = value; this.keep(); };
    const field = (words, name, limits) => labelled(words, numberField(words, this.question[name], limits, set(name)));
    const budget = this.run ? [field("at most tokens", "tokens", { min: 1 }), field("at most seconds", "seconds", { min: 1 })] : [];
    const more = element("details", { class: "budget" }, element("summary", {}, this.run ? "Draws, seed and budget" : "Draws and seed"), element("div", { class: "controls" },
      field("draws", "n", { min: 2, max: 1000 }), field("seed", "seed", { min: 0 }), budget));
    return step("4", "Resolution", this.levels, more);
  }

  actions() {
    this.go = element("button", { type: "submit", class: "primary" }, "Invert");
    this.end = button("Cancel", () => this.cancel(), { hidden: "" });
    this.explainButton = this.run ? button("Explain", () => this.explain()) : null;
    return element("div", { class: "actions" }, this.go, this.explainButton, this.end);
  }

  fillSites() {
    const listed = this.run?.sites ?? this.naturalSites ?? [];
    const { feature, site } = this.question;
    const level = this.question.resolution ?? this.run?.headline?.resolution ?? this.run?.levels.at(-1);
    this.siteName.textContent = site ?? "";
    this.sites.show(listed, site, feature, this.run ? scoreOf(this.run, level, feature) : null, (chosen) => {
      this.question.site = chosen;
      this.siteName.textContent = chosen;
      this.fillLevels();
      this.keep();
    });
  }

  fillLevels() {
    const of = this.run ? (this.run.levels_of_site[this.question.site] ?? []).map(([resolution, bandwidth]) => [resolution === null ? "bandwidth" : "resolution", resolution ?? bandwidth])
      : [...new Set([2, 4, 6, 8, 10, this.question.bits ?? 2])].sort((one, other) => one - other).map((bits) => ["bits", bits]);
    const words = ([kind, value]) => (kind === "bits" ? `${value} ${value === 1 ? "bit" : "bits"}` : kind === "resolution" ? `1 in ${value}` : `h = ${value}`);
    const options = [[null, null], ...of];
    const radios = options.map((option) => element("button", { type: "button" }, option[0] ? words(option) : "finest that answers"));
    const chosen = options.findIndex(([kind, value]) => kind && this.question[kind] === value);
    makeRadios(this.levels, radios, Math.max(chosen, 0), (i) => {
      Object.assign(this.question, { resolution: null, bandwidth: null, bits: null });
      const [kind, value] = options[i];
      if (kind) this.question[kind] = value;
      this.fillSites();
      this.keep();
    });
    this.levels.setAttribute("aria-label", "resolution");
    this.levels.replaceChildren(...radios);
  }

  // What the server needs of the question.
  asked() {
    const { text, vector, position, site, resolution, bandwidth, bits, n, seed, tokens, seconds } = this.question;
    const source = vector ? { vector } : { text: text ?? "" };
    return { run: this.run?.id, ...source, position: vector ? null : position, site, resolution, bandwidth, bits, n, seed, tokens, seconds };
  }

  async readText() {
    this.keep();
    this.reading?.abort();
    this.reading = new AbortController();
    const { signal } = this.reading;
    if (this.question.vector) return this.showVector();
    try {
      if (!this.run && !this.naturalSites) await this.readSites(signal);
      for await (const event of askServer("/api/tokens", { run: this.run?.id, text: this.question.text }, signal)) {
        if (event.event === "status") this.say(event.words);
        if (event.event === "tokens") this.fillTokens(event.tokens);
      }
      if (this.failed.dataset.of === "text") this.fail(null);
    } catch (error) {
      if (!signal.aborted) this.fail(error, "text");
    }
  }

  async readSites(signal) {
    for await (const event of askServer("/api/sites", { text: this.question.text }, signal)) {
      if (event.event === "status") this.say(event.words);
      if (event.event === "sites") this.naturalSites = event.places;
    }
    const blocks = this.naturalSites.filter((site) => site.series === "resid_post");
    const whole = blocks.length ? blocks : this.naturalSites;
    this.question.site ??= whole[Math.floor(whole.length / 2)].site;
    this.fillSites();
  }

  fillTokens(tokens) {
    const last = tokens.length - 1;
    if ((this.question.position ?? last) > last) this.question.position = null;
    this.tokens.show(tokens, this.question.position ?? last, (i) => { this.question.position = i; this.keep(); });
    this.tokensRead = tokens;
    if (!this.busy && !this.last) this.say("Choose a token and a site, then invert.");
    this.dispatchEvent(new CustomEvent("ready", { bubbles: true }));
  }

  async takeVector(file) {
    try {
      const { vector, width, name } = await sendVector(file, "");
      Object.assign(this.question, { vector, text: null, name: `${name} (${width} numbers)`, position: null });
      this.fail(null);
      this.showVector();
      this.keep();
    } catch (error) {
      this.fail(error, "text");
    }
  }

  showVector() {
    this.area.value = "";
    this.area.placeholder = "a vector is inverted; type here for a text";
    this.tokens.replaceChildren(element("p", { class: "rule" }, `The vector ${this.question.name ?? ""} is taken as it is: it has no tokens.`));
  }

  // Progress of a part, with the time left once that can be told.
  inProgress({ done, total, note }) {
    const now = performance.now();
    if (this.part?.note !== note || done < this.part.first) this.part = { note, first: done, since: now };
    const { first, since } = this.part;
    const left = (now - since) / 1000 / (done - first) * (total - done);
    const time = now - since < 5000 || !Number.isFinite(left) ? "" : left < 90 ? `, about ${Math.ceil(left)} s left` : `, about ${Math.ceil(left / 60)} min left`;
    return `${note || "working"}: ${done.toLocaleString("en")} of ${total.toLocaleString("en")}${time}`;
  }

  say(words) { this.status.textContent = words; }

  fail(error, of = "") {
    this.failed.dataset.of = of;
    this.failed.replaceChildren(...(error ? [problemBox(error)] : []));
    if (error) this.say("");
  }

  async work(path, question, take) {
    this.working?.abort();
    this.working = new AbortController();
    const { signal } = this.working;
    this.setBusy(true);
    this.fail(null);
    try {
      for await (const event of askServer(path, question, signal)) {
        if (event.event === "job") this.job = event.id;
        else if (event.event === "status") this.say(`${event.words} …`);
        else if (event.event === "progress") this.say(this.inProgress(event));
        else take(event);
      }
    } catch (error) {
      if (!signal.aborted) this.fail(error instanceof Failure ? error : new Failure({ problem: `${error.message}` }));
    } finally {
      if (this.working?.signal === signal) this.setBusy(false);
    }
  }

  invert() {
    this.slider.hide();
    this.last = null;
    this.say("waiting for the first draws …");
    this.keep();
    return this.work("/api/invert", this.asked(), (answer) => {
      [this.last, this.drawnBy] = [answer, this.job];
      this.showAnswer(answer);
      if (answer.done) this.finish(answer);
    });
  }

  // A coarser question, at which draws of natural text are to be believed.
  atBits(bits) {
    this.question.bits = Math.floor(bits * 10) / 10;
    this.fillLevels();
    this.invert();
  }

  explain() {
    this.say("explaining: draws, hypotheses, patched runs …");
    const { tokens, seconds, bits, n, ...question } = this.asked();
    return this.work("/api/explain", question, (found) => {
      if (found.event !== "explanation") return;
      this.explained.replaceChildren(explanationPanel(found));
      this.say(`explained in ${found.seconds.toFixed(1)} s`);
    });
  }

  showAnswer(answer) {
    this.answer.querySelector(".answer-body").hidden = false;
    this.draws.hidden = answer.done && !answer.rows.length; // no answer at this level
    this.chart.hidden = this.draws.hidden || answer.look;
    const budget = answer.tokens_read === undefined ? "" : ` · ${answer.tokens_read.toLocaleString("en")} tokens read`;
    if (answer.seconds !== undefined) this.say(`${answer.ended ? `${answer.ended}: ` : ""}${answer.draws} of ${answer.wanted} draws verified${budget} · ${answer.seconds.toFixed(1)} s`);
    this.summary.replaceChildren(...answerSummary(answer));
    makeReachable(this.summary);
    if (answer.believed_bits) this.summary.append(button(`Invert at ${number(answer.believed_bits, 1)} bits`, () => this.atBits(answer.believed_bits)));
    this.draws.show(answer, this.question, this.keep, (text) => {
      this.area.value = text;
      this.area.dispatchEvent(new Event("input"));
      this.area.focus();
    });
  }

  finish(answer) {
    const chart = this.chart.querySelector("inverse-chart") ?? this.chart.appendChild(document.createElement("inverse-chart"));
    chart.show(drawsChart, answer.rows.filter((row) => row.distance !== null).map((row) => ({ distance: row.distance, draws: row.times, source: row.source })));
    if (answer.bandwidths && this.run) this.slider.show(answer, this.drawnBy);
    this.dispatchEvent(new CustomEvent("answered", { bubbles: true }));
  }

  setBusy(busy) {
    this.busy = busy;
    this.end.hidden = !busy;
    this.answer.setAttribute("aria-busy", busy);
  }

  cancel() {
    this.working?.abort();
    this.setBusy(false);
    this.say(this.last?.look ? "cancelled: this is the first look" : this.last ? `cancelled after ${this.last.draws} of ${this.last.wanted} draws` : "cancelled");
    if (this.last && !this.last.look) this.finish(this.last);
    this.go.focus();
  }

  stop() {
    this.working?.abort();
    this.reading?.abort();
    this.slider.stop();
  }
}
customElements.define("inverse-question", InverseQuestion);
