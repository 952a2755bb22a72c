// @ts-check
// The answer about one face in large: the face, its label, the bar of all seven, and why.

import { fromTemplate, part } from "./dom.js";
import { sentence } from "./why.js";
import { colour, crop, label, legend, mix, percent, remark, shares, tint, word } from "./words.js";

/**
 * @typedef {(label: string) => Promise<{ image: Blob, heat: number[] }>} Explain
 */

/** Owns the element of one face. */
export class FaceCard {
  #part;
  #face;
  #emotions;
  #explain;
  #wanted = "";

  /** @param {Face} face @param {Emotions} emotions @param {Explain} explain */
  constructor(face, emotions, explain) {
    this.#face = face;
    this.#emotions = emotions;
    this.#explain = explain;
    this.element = fromTemplate("face-template");
    this.#part = (/** @type {string} */ selector) => part(this.element, selector);
    tint(this.element, face, emotions);
    this.#part(".label").textContent = label(face, emotions);
    this.#part(".percent").textContent = shares(face);
    this.#part(".remark").textContent = remark(face);
    mix(this.#part(".mix"), Object.entries(face.probabilities), emotions);
    legend(this.#part(".legend"), face, emotions);
    this.#part("tbody").append(...Object.entries(face.probabilities).map(([name, share]) => this.#row(name, share)));
    const why = /** @type {HTMLButtonElement} */ (this.#part("[data-action=why]"));
    why.addEventListener("click", () => {
      if (this.#wanted) return this.#plain();
      /** @type {HTMLDetailsElement} */ (this.#part("details")).open = true;
      this.#why(face.emotion);
    });
  }

  /** Show the face itself. @param {HTMLImageElement} image that is decoded @param {Box} box */
  crop(image, box) {
    crop(/** @type {HTMLCanvasElement} */ (this.#part("canvas")), image, box);
  }

  /** @param {string} name @param {number} share */
  #row(name, share) {
    const row = fromTemplate("row-template");
    const bar = part(row, ".bar");
    const button = part(row, "button");
    button.textContent = word(this.#emotions, name);
    button.addEventListener("click", () => this.#why(name));
    row.dataset.label = name;
    bar.style.width = `${100 * share}%`;
    bar.style.background = colour(this.#emotions, name);
    part(row, "td:last-child").textContent = percent(share);
    return row;
  }

  /** Show which parts of the face speak for a label. @param {string} name */
  async #why(name) {
    const [image, words] = [/** @type {HTMLImageElement} */ (this.#part(".heat")), this.#part(".sentence")];
    this.#mark(name);
    words.textContent = "Looking\u2026";
    try {
      const { image: blob, heat } = await this.#explain(name);
      if (this.#wanted !== name) return;
      URL.revokeObjectURL(image.src);
      image.src = URL.createObjectURL(blob);
      image.alt = `The face, red where it speaks for ${word(this.#emotions, name).toLowerCase()}, blue where against`;
      image.hidden = false;
      words.textContent = sentence(heat, this.#face);
    } catch (error) {
      if (this.#wanted === name) this.#plain(/** @type {Error} */ (error).message);
    }
  }

  #plain(words = "") {
    this.#mark("");
    this.#part(".heat").hidden = true;
    this.#part(".sentence").textContent = words;
  }

  /** @param {string} name the label that is explained */
  #mark(name) {
    this.#wanted = name;
    this.#part("[data-action=why]").setAttribute("aria-pressed", String(name !== ""));
    for (const row of this.element.querySelectorAll("tr")) {
      part(row, "button").setAttribute("aria-pressed", String(row.dataset.label === name));
    }
  }
}
