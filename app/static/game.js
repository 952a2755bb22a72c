// @ts-check
// Seven faces: who looks into the camera tries to show each expression. Judges nobody else, and keeps nothing.

import { fromTemplate, part, save } from "./dom.js";
import { model } from "./service.js";
import { colour, crop, percent, word } from "./words.js";

const SIDE = 192; // Of a face, in pixels.
const ENOUGH = 0.5; // Probability from which a slot is filled.
const WEAK = 0.65; // Recall under which the model is said to be weak.

/** @typedef {{ canvas: HTMLCanvasElement, element: HTMLElement, best: number }} Slot */

/** Owns the slots below the video. */
export class Game {
  #root;
  #slots = /** @type {Map<string, Slot>} */ (new Map());
  #emotions = /** @type {Emotions} */ (new Map());
  #recalls = /** @type {Record<string, number>} */ ({});

  /** @param {HTMLElement} root */
  constructor(root) {
    this.#root = root;
    part(root, "[data-action=strip]").addEventListener("click", () => this.#strip());
  }

  /** Start with empty slots. @param {Emotions} emotions */
  begin(emotions) {
    this.#emotions = emotions;
    this.#slots.clear();
    for (const name of emotions.keys()) {
      const element = fromTemplate("slot-template");
      const canvas = /** @type {HTMLCanvasElement} */ (part(element, "canvas"));
      part(element, ".label").textContent = word(emotions, name);
      element.style.setProperty("--colour", colour(emotions, name));
      this.#slots.set(name, { canvas, element, best: 0 });
    }
    part(this.#root, "ol").replaceChildren(...[...this.#slots.values()].map(({ element }) => element));
    this.#say();
    model().then(({ evaluation }) => {
      const [figures] = Object.values(evaluation);
      this.#recalls = Object.fromEntries(Object.entries(figures.labels).map(([name, { recall }]) => [name, recall]));
      this.#say();
    }, () => {});
  }

  /** Keep a face where it is the best of its label. @param {Face} face @param {HTMLCanvasElement} frame */
  see(face, frame, mirrored = false) {
    const slot = this.#slots.get(face.emotion);
    if (!slot || face.confidence < Math.max(ENOUGH, slot.best)) return;
    const first = !slot.best;
    slot.best = face.confidence;
    Object.assign(slot.canvas, { width: SIDE, height: SIDE });
    if (mirrored) slot.canvas.getContext("2d")?.setTransform(-1, 0, 0, 1, SIDE, 0);
    crop(slot.canvas, frame, face.face_coordinates);
    slot.element.classList.add("filled");
    part(slot.element, ".percent").textContent = percent(face.confidence);
    if (first) this.#say();
  }

  /** What is missing, how it looks, and where the model is weak. */
  #say() {
    const missing = [...this.#slots].filter(([, { best }]) => !best).map(([name]) => name);
    const [found, next] = [this.#slots.size - missing.length, missing[0]];
    part(this.#root, "[data-action=strip]").hidden = !found;
    if (!next) return void (part(this.#root, "p").textContent = "All seven. Each slot keeps the best that you show.");
    const recall = this.#recalls[next];
    const weak = recall < WEAK ? ` The model is weak here: it recognizes ${percent(recall)} of such faces, so it may not be you.` : "";
    const { description = "" } = this.#emotions.get(next) ?? {};
    part(this.#root, "p").textContent = `${found} of 7. Try ${word(this.#emotions, next).toLowerCase()}: ${description}${weak}`;
  }

  /** Save all that is filled as one picture. */
  #strip() {
    const filled = [...this.#slots].filter(([, { best }]) => best);
    const [gap, text] = [12, 44];
    const width = filled.length * (SIDE + gap) + gap;
    const canvas = Object.assign(document.createElement("canvas"), { width, height: SIDE + text + 2 * gap });
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.fillStyle = "#12141c";
    context.fillRect(0, 0, canvas.width, canvas.height);
    filled.forEach(([name, slot], index) => {
      const left = gap + index * (SIDE + gap);
      context.drawImage(slot.canvas, left, gap, SIDE, SIDE);
      context.fillStyle = colour(this.#emotions, name);
      context.fillRect(left, gap + SIDE, SIDE, 5);
      context.fillStyle = "#fff";
      context.font = "600 20px system-ui, sans-serif";
      context.fillText(`${word(this.#emotions, name)} ${percent(slot.best)}`, left, gap + SIDE + 34);
    });
    canvas.toBlob((blob) => blob && save(blob, "seven-faces.png"), "image/png");
  }
}
