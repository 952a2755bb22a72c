// @ts-check
// One picture: asks the service about it, shows the answer, and what else can be had of it.

import { fromTemplate, part, save } from "./dom.js";
import { Faces } from "./faces.js";
import { Overlay } from "./overlay.js";
import { Refusal, annotated, emotions, explanation, predict } from "./service.js";
import { Snippets } from "./snippets.js";
import { colour, counted, label, word } from "./words.js";

const NO_FACE = "No face was found. Try a picture in which the face is larger, well lit and seen from the front.";

/**
 * @typedef {{ name: string, address: string, file: () => Promise<File>, thumb?: string, sample?: Sample }} Source a file
 *   that was chosen, or a picture that comes with the page and its answer
 */

/** The element of one picture, which fills as the answers come; its events are `change-of-state`, `again`, `remove`. */
export class Picture {
  #source;
  #part;
  #overlay;
  #image;
  #faces;
  #snippets;
  #loaded = /** @type {(value?: unknown) => void} */ (() => {});
  /** @type {Prediction | undefined} */
  prediction;
  summary = "";
  sign = "\u2026"; // In a letter, or empty where `colour` says it.
  colour = "";

  /** @param {Source} source */
  constructor(source) {
    this.#source = source;
    this.name = source.name;
    this.element = fromTemplate("result-template");
    this.#part = (/** @type {string} */ selector) => part(this.element, selector);
    this.element.setAttribute("aria-label", this.name);
    this.#part(".name").textContent = source.sample?.credit ?? this.name;
    this.element.classList.toggle("sample", Boolean(source.sample));
    this.#image = /** @type {HTMLImageElement} */ (this.#part("figure img"));
    this.#image.alt = source.sample?.title ?? this.name;
    this.ready = new Promise((resolve) => (this.#loaded = resolve));
    if (!source.sample) this.load();
    const pointed = (/** @type {number} */ index) => this.#light(index);
    this.#overlay = new Overlay(this.#part("figure"), { pointed, chosen: (index) => this.#faces.reveal(index) });
    this.#faces = new Faces(this.element, this.#image, (index, name) => this.#why(index, name), {
      pointed,
      filtered: (shown) => this.#overlay.filter(shown),
    });
    this.#snippets = new Snippets(this.#part(".code"), this.name);
    this.element.addEventListener("click", ({ target }) => {
      this.#act(/** @type {Element} */ (target).closest("[data-action]")?.getAttribute("data-action") ?? "");
    });
  }

  /** Decode the picture, once. */
  load() {
    if (this.#image.src) return;
    this.#image.src = this.#source.address;
    const decoded = this.#image.decode().then(() => this.#preview(this.#image.naturalWidth, this.#image.naturalHeight));
    decoded.catch(() => {}).then(this.#loaded); // Browsers know fewer formats than the service.
  }

  /** Ask the service; throws what it refuses for now, and shows what it refuses for good. */
  async run() {
    this.#tell("Looking for faces\u2026", "\u2026");
    try {
      const labels = await emotions();
      this.prediction = await this.#answer();
      this.#show(this.prediction, labels);
    } catch (error) {
      if (!this.#source.address) return; // It was removed meanwhile.
      const { code, message, passes, wantsKey, lasts } = /** @type {Refusal} */ (error);
      if (passes || wantsKey) throw error;
      this.#part("[data-action=again]").hidden = lasts;
      if (code === "no_face") this.#tell(NO_FACE, "\u2013");
      else this.#tell(message, "!", "error");
    } finally {
      this.#part(".actions").hidden = false;
      this.#part("[data-action=drawn]").hidden = this.#part(".code").hidden = !this.prediction;
    }
  }

  /** @param {string} words */
  waits(words) {
    this.#part("[data-action=again]").hidden = !words.includes("try");
    this.#tell(words, "\u2026");
    this.#part(".actions").hidden = words.endsWith("\u2026"); // It is sent at once: nothing to do meanwhile.
  }

  /** Forget it. */
  discard() {
    if (!this.#source.sample) URL.revokeObjectURL(this.#source.address);
    this.#source.address = "";
    this.element.remove();
  }

  /** @returns {Promise<Prediction>} */
  async #answer() {
    const { sample, file } = this.#source;
    if (!sample) return predict(await file());
    if ("code" in sample.answer) throw new Refusal(sample.answer.detail, 400, sample.answer.code);
    return sample.answer;
  }

  /** @param {string} summary @param {string} sign */
  #tell(summary, sign, style = "") {
    const status = this.#part(".status");
    status.textContent = summary;
    status.className = `status ${style}`;
    [this.summary, this.sign] = [summary, sign];
    this.element.dispatchEvent(new Event("change-of-state"));
  }

  /** @param {Prediction} prediction @param {Emotions} labels */
  #show({ faces, image, timings_ms: timings }, labels) {
    if (this.#source.sample) this.#preview(image.width, image.height); // Before it is decoded.
    this.#overlay.show(faces, image, labels, { numbered: faces.length > 1 });
    this.#faces.show(faces, labels);
    this.ready.then(() => this.#faces.crop());
    if (this.prediction) this.#snippets.show(this.prediction);
    const stages = ["decode", "detect", "classify"].map((stage) => `${stage} ${Math.round(timings[stage])}`).join(", ");
    const count = this.#part(".count");
    count.textContent = counted(faces.length, "face");
    count.title = `Answered in ${Math.round(timings.total)} ms (${stages})`;
    this.colour = colour(labels, faces[0].emotion);
    const names = faces.map((face) => (face.certain ? word(labels, face.emotion) : label(face, labels))).join(", ");
    this.#tell(`${counted(faces.length, "face")}: ${names}`, "", "spoken");
  }

  /** @param {number} width @param {number} height */
  #preview(width, height) {
    this.element.style.setProperty("--aspect", String(width / height));
    this.#part("figure").hidden = false;
  }

  /** Show which box, tile and lines belong together. @param {number} index -1 for none */
  #light(index) {
    this.#overlay.light(index);
    this.#faces.light(index);
    this.#snippets.light(index);
  }

  /** Which parts of a face speak for a label. @param {number} index @param {string} name */
  async #why(index, name) {
    return explanation(await this.#source.file(), index, name);
  }

  /** @param {string} action */
  #act(action) {
    if (action === "drawn") this.#download();
    if (action === "again" || action === "remove") this.element.dispatchEvent(new Event(action));
  }

  async #download() {
    try {
      save(await annotated(await this.#source.file()), `${this.name.replace(/\.\w+$/, "")}-expressions.jpg`);
    } catch (error) {
      this.#tell(/** @type {Error} */ (error).message, this.sign, "error");
    }
  }
}
