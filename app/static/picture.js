// @ts-check
// One picture: asks the service about it, shows the answer, and what else can be had of it.

import { FaceCard, drawBoxes, fromTemplate, part } from "./faces.js";
import { annotated, curl, explanation, predict } from "./service.js";

/** The element of one picture, which fills as the answers come. */
export class Picture {
  #file;
  #emotions;
  #part;
  /** @type {import("./service.js").Prediction | undefined} */
  #prediction;

  /** @param {File} file @param {import("./service.js").Emotions} emotions */
  constructor(file, emotions) {
    this.#file = file;
    this.#emotions = emotions;
    this.element = fromTemplate("result-template");
    this.#part = (/** @type {string} */ selector) => part(this.element, selector);
    this.element.setAttribute("aria-label", file.name);
    this.#preview();
    this.element.addEventListener("click", ({ target }) => {
      this.#act(/** @type {Element} */ (target).closest("[data-action]"));
    });
  }

  /** Ask the service; throws what it refuses, after showing it. */
  async analyse() {
    this.tell("Looking for faces\u2026");
    try {
      this.#prediction = await predict(this.#file);
    } catch (error) {
      const { code, message } = /** @type {import("./service.js").Failure} */ (error);
      if (code === "no_face") this.tell("No face was found. Try one that is well lit, upright and looks at you.");
      else this.tell(message, true);
      throw error;
    } finally {
      this.#part(".actions").hidden = false;
      for (const action of ["json", "drawn"]) this.#part(`[data-action=${action}]`).hidden = !this.#prediction;
    }
    this.#show(/** @type {import("./service.js").Prediction} */ (this.#prediction));
  }

  /** @param {string} text */
  tell(text, wrong = false) {
    const status = this.#part(".status");
    status.textContent = text;
    status.classList.toggle("error", wrong);
  }

  #preview() {
    const image = /** @type {HTMLImageElement} */ (this.#part("img"));
    image.addEventListener("load", () => (this.#part("figure").hidden = false));
    image.alt = this.#file.name;
    image.src = URL.createObjectURL(this.#file);
  }

  /** @param {import("./service.js").Prediction} prediction */
  #show({ faces, image, timings_ms: timings }) {
    const several = faces.length > 1;
    drawBoxes(this.#part(".boxes"), faces, image, this.#emotions, { numbered: several });
    const cards = faces.map((face, index) => {
      const card = new FaceCard(this.#emotions);
      card.update(face, several ? index + 1 : "");
      card.element.append(this.#why(face, index));
      return card.element;
    });
    this.#part(".faces").replaceChildren(...cards);
    const labels = faces.map((face) => (face.certain ? face.emotion : "not sure")).join(", ");
    this.tell(`${several ? `${faces.length} faces` : "One face"}: ${labels}.`);
    const stages = ["decode", "detect", "classify"].map((stage) => `${stage} ${Math.round(timings[stage])}`).join(", ");
    this.#part(".stats").textContent = `${Math.round(timings.total)} ms: ${stages}`;
  }

  /**
   * A control that shows which parts of the face speak for a label.
   * @param {import("./service.js").Face} face @param {number} index
   */
  #why(face, index) {
    const box = document.createElement("details");
    const summary = document.createElement("summary");
    const label = document.createElement("label");
    const choice = document.createElement("select");
    const image = document.createElement("img");
    const words = document.createElement("p");
    summary.textContent = "Why?";
    const names = Object.keys(face.probabilities);
    choice.append(...names.map((name) => new Option(name, name, false, name === face.emotion)));
    label.append("What speaks for ", choice);
    image.hidden = true;
    words.setAttribute("role", "status");
    box.append(summary, label, image, words);

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
        words.textContent = "Hiding what is red makes it less probable, what is blue more. A rough guide.";
      } catch (error) {
        image.hidden = true;
        words.textContent = /** @type {Error} */ (error).message;
      }
    };
    box.addEventListener("toggle", () => box.open && image.hidden && explain());
    choice.addEventListener("change", explain);
    return box;
  }

  /** @param {HTMLButtonElement | null} button */
  async #act(button) {
    if (!button) return;
    const { action } = button.dataset;
    if (action === "json") await this.#copy(button, JSON.stringify(this.#prediction, null, 2));
    if (action === "curl") await this.#copy(button, curl(this.#file.name));
    if (action === "drawn") await this.#download(button);
    if (action === "remove") this.#remove();
  }

  /** @param {HTMLButtonElement} button @param {string} text */
  async #copy(button, text) {
    const words = (await copied(text)) ? "Copied" : "The browser does not allow it";
    const before = button.textContent;
    button.textContent = words;
    button.disabled = true;
    setTimeout(() => Object.assign(button, { textContent: before, disabled: false }), 1500);
  }

  /** @param {HTMLButtonElement} button */
  async #download(button) {
    button.disabled = true;
    try {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await annotated(this.#file));
      link.download = `${this.#file.name.replace(/\.\w+$/, "")}-expressions.jpg`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    } catch (error) {
      this.tell(/** @type {Error} */ (error).message, true);
    } finally {
      button.disabled = false;
    }
  }

  #remove() {
    for (const image of this.element.querySelectorAll("img")) URL.revokeObjectURL(image.src);
    const next = this.element.nextElementSibling ?? this.element.previousElementSibling;
    this.element.remove();
    const control = next?.querySelector("[data-action=remove]") ?? document.getElementById("file");
    /** @type {HTMLElement} */ (control).focus();
  }
}

/** Put text on the clipboard; pages that came over plain HTTP have only the old way. @param {string} text */
async function copied(text) {
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    );
  }
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}
