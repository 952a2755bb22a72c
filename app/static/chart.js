// @ts-check
// The expressions of a face over the last minute: bands whose heights are the probabilities, newest at the right.

import { fromTemplate, part } from "./faces.js";

const SECONDS = 60;

/** The moments of one face; a gap of more than a second stays empty. */
export class Chart {
  #moments = /** @type {[number, Record<string, number>][]} */ ([]);
  #emotions;
  #canvas;

  /** @param {Emotions} emotions */
  constructor(emotions) {
    this.#emotions = emotions;
    this.element = fromTemplate("chart-template");
    this.#canvas = /** @type {HTMLCanvasElement} */ (part(this.element, "canvas"));
  }

  /** @param {number} seconds @param {Record<string, number>} probabilities */
  add(seconds, probabilities) {
    this.#moments.push([seconds, probabilities]);
    while (this.#moments[0][0] < seconds - SECONDS) this.#moments.shift();
  }

  /** @param {number} now */
  draw(now) {
    const sides = [this.#canvas.clientWidth, this.#canvas.clientHeight];
    const [width, height] = sides.map((side) => Math.round(side * devicePixelRatio));
    Object.assign(this.#canvas, { width, height }); // Which also empties it.
    const context = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext("2d"));
    const x = (/** @type {number} */ seconds) => width * (1 - (now - seconds) / SECONDS);
    for (const [index, [seconds, probabilities]] of this.#moments.entries()) {
      const next = this.#moments[index + 1]?.[0] ?? now;
      if (next - seconds > 1) continue;
      const left = Math.floor(x(seconds));
      let top = 0;
      for (const [name, probability] of Object.entries(probabilities)) {
        context.fillStyle = this.#emotions.get(name)?.colour ?? "gray";
        context.fillRect(left, top * height, Math.ceil(x(next)) - left, probability * height + 1);
        top += probability;
      }
    }
  }
}
