// @ts-check
// One picture: asks the service about it, shows the answer, and what else can be had of it.

import { FaceCard, fromTemplate, part } from "./faces.js";
import { Overlay } from "./overlay.js";
import { annotated, curl, emotions, explanation, predict } from "./service.js";

const NO_FACE = "No face was found. Try a picture in which the face is larger, well lit and seen from the front.";

/** The element of one picture, which fills as the answers come; its events are `change-of-state`, `again`, `remove`. */
export class Picture {
  #file;
  #part;
  #overlay;
  #image;
  #cards = /** @type {FaceCard[]} */ ([]);
  /** @type {Prediction | undefined} */
  #prediction;
  summary = "";
  sign = "\u2026"; // In one or two letters.

  /** @param {File} file @param {string} caption of an example */
  constructor(file, caption) {
    this.#file = file;
    this.caption = caption;
    this.name = file.name;
    this.address = URL.createObjectURL(file);
    this.element = fromTemplate("result-template");
    this.#part = (/** @type {string} */ selector) => part(this.element, selector);
    this.element.setAttribute("aria-label", this.name);
    this.#part(".name").textContent = caption || this.name;
    this.element.classList.toggle("example", Boolean(caption));
    this.#overlay = new Overlay(this.#part("figure"), (index) => this.#light(index));
    this.#image = /** @type {HTMLImageElement} */ (this.#part("figure img"));
    this.#image.alt = this.name;
    this.#image.src = this.address;
    this.ready = this.#image.decode().then(() => this.#preview(), () => {}); // Browsers know fewer formats.
    this.element.addEventListener("click", ({ target }) => {
      this.#act(/** @type {Element} */ (target).closest("[data-action]"));
    });
    const list = this.#part(".faces");
    for (const event of ["pointerover", "pointerleave", "focusin"]) {
      list.addEventListener(event, ({ target }) => {
        this.#light(this.#cards.findIndex(({ element }) => element.contains(/** @type {Node} */ (target))));
      });
    }
  }

  /** Ask the service; throws what it refuses for now, and shows what it refuses for good. */
  async run() {
    this.#tell("Looking for faces\u2026", "\u2026");
    try {
      const labels = await emotions();
      this.#prediction = await predict(this.#file);
      this.#show(this.#prediction, labels);
    } catch (error) {
      if (!this.address) return; // It was removed meanwhile.
      const { code, message, passes, wantsKey } = /** @type {import("./service.js").Refusal} */ (error);
      if (passes || wantsKey) throw error;
      this.#part("[data-action=again]").hidden = code === "no_face";
      if (code === "no_face") this.#tell(NO_FACE, "\u2013");
      else this.#tell(message, "!", "error");
    } finally {
      this.#part(".actions").hidden = false;
      for (const action of ["json", "drawn"]) this.#part(`[data-action=${action}]`).hidden = !this.#prediction;
    }
  }

  /** @param {string} words */
  waits(words) {
    this.#part("[data-action=again]").hidden = !words.includes("try");
    this.#tell(words, "\u2026");
    this.#part(".actions").hidden = words.endsWith("\u2026"); // It is sent at once: nothing to do meanwhile.
  }

  /** Scroll, where the answer begins so low that it is hardly seen. */
  bringIntoView() {
    const { top } = this.#part(".faces").getBoundingClientRect();
    if (this.#prediction && !this.caption && top > 0.6 * innerHeight) this.element.scrollIntoView();
  }

  /** Forget it. */
  discard() {
    for (const image of this.element.querySelectorAll("img")) URL.revokeObjectURL(image.src);
    this.address = "";
    this.element.remove();
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
    const several = faces.length > 1;
    const count = several ? `${faces.length} faces` : "One face";
    this.#overlay.show(faces, image, labels, { numbered: several });
    this.#cards = faces.map((face, index) => {
      const card = new FaceCard(labels, !several);
      card.update(face, several ? String(index + 1) : "");
      card.details.append(this.#why(face, index));
      return card;
    });
    this.#part(".faces").replaceChildren(...this.#cards.map(({ element }) => element));
    this.ready.then(() => this.#cards.forEach((card, index) => card.crop(this.#image, faces[index].face_coordinates)));
    const stages = ["decode", "detect", "classify"].map((stage) => `${stage} ${Math.round(timings[stage])}`).join(", ");
    this.#part(".stats").textContent = `${count} in ${Math.round(timings.total)} ms (${stages})`;
    const names = faces.map((face) => (face.certain ? face.emotion : `perhaps ${face.emotion}`)).join(", ");
    const sign = labels.get(faces[0].emotion)?.emoji ?? "";
    this.#tell(`${count}: ${names}.`, sign, "spoken");
  }

  #preview() {
    this.element.style.setProperty("--aspect", String(this.#image.naturalWidth / this.#image.naturalHeight));
    this.#part("figure").hidden = false;
  }

  /** Show which box belongs to which card. @param {number} index -1 for none */
  #light(index) {
    this.#overlay.light(index);
    this.#cards.forEach(({ element }, at) => element.classList.toggle("lit", at === index));
  }

  /** A control that shows which parts of the face speak for a label. @param {Face} face @param {number} index */
  #why(face, index) {
    const box = fromTemplate("why-template");
    const choice = /** @type {HTMLSelectElement} */ (part(box, "select"));
    const image = /** @type {HTMLImageElement} */ (part(box, "img"));
    const words = part(box, "p");
    choice.append(...Object.keys(face.probabilities).map((name) => new Option(name)));
    choice.value = face.emotion;
    const explain = async () => {
      const wanted = choice.value;
      words.textContent = "Looking\u2026";
      try {
        const heat = await explanation(this.#file, index, wanted);
        if (wanted !== choice.value) return;
        URL.revokeObjectURL(image.src);
        image.src = URL.createObjectURL(heat);
        image.alt = `The face, red where it speaks for ${wanted}, blue where it speaks against it`;
        image.hidden = false;
        words.textContent = `Hiding what is red makes ${wanted} less probable, blue more. A rough guide.`;
      } catch (error) {
        image.hidden = true;
        words.textContent = /** @type {Error} */ (error).message;
      }
    };
    box.addEventListener("toggle", () => /** @type {HTMLDetailsElement} */ (box).open && image.hidden && explain());
    choice.addEventListener("change", explain);
    return box;
  }

  /** @param {HTMLButtonElement | null} button */
  async #act(button) {
    const action = button?.dataset.action ?? "";
    if (action === "json") this.#copy(button, JSON.stringify(this.#prediction, null, 2));
    if (action === "curl") this.#copy(button, curl(this.name));
    if (action === "drawn") this.#download();
    if (action === "again" || action === "remove") this.element.dispatchEvent(new Event(action));
  }

  /** @param {HTMLButtonElement | null} button @param {string} text */
  async #copy(button, text) {
    const done = await navigator.clipboard?.writeText(text).then(() => true, () => false); // Not over plain HTTP.
    if (!button || !done) return void prompt("Copy this:", text);
    const before = button.textContent;
    Object.assign(button, { textContent: "Copied", disabled: true });
    setTimeout(() => Object.assign(button, { textContent: before, disabled: false }), 1500);
  }

  async #download() {
    try {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await annotated(this.#file));
      link.download = `${this.name.replace(/\.\w+$/, "")}-expressions.jpg`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    } catch (error) {
      this.#tell(/** @type {Error} */ (error).message, this.sign, "error");
    }
  }
}
