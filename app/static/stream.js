// @ts-check
// Expressions over time: seven bands whose heights are the probabilities, averaged over the faces in view.

import { colour } from "./words.js";

const GAP = 1; // Seconds without a moment that stay empty.

/** @typedef {{ time: number, probabilities: Record<string, number> }} Moment */

/** The moments of one video, in the order of time. */
export class Stream {
  moments = /** @type {Moment[]} */ ([]);
  #canvas;

  /** @param {HTMLElement} root with a canvas */
  constructor(root) {
    this.#canvas = /** @type {HTMLCanvasElement} */ (root.querySelector("canvas"));
  }

  /** @param {number} time in seconds @param {Face[]} faces none of which is no moment */
  add(time, faces) {
    if (!faces.length) return;
    const names = Object.keys(faces[0].probabilities);
    const mean = (/** @type {string} */ name) => faces.reduce((sum, face) => sum + face.probabilities[name], 0) / faces.length;
    const at = this.moments.findLastIndex((moment) => moment.time < time) + 1;
    const again = this.moments[at]?.time === time ? 1 : 0;
    this.moments.splice(at, again, { time, probabilities: Object.fromEntries(names.map((name) => [name, mean(name)])) });
  }

  /** Forget what is older. @param {number} time */
  forget(time) {
    while (this.moments.length && this.moments[0].time < time) this.moments.shift();
  }

  /** @param {Emotions} emotions @param {number} from in seconds @param {number} to in seconds */
  draw(emotions, from, to) {
    const sides = [this.#canvas.clientWidth, this.#canvas.clientHeight];
    const [width, height] = sides.map((side) => Math.round(side * devicePixelRatio));
    Object.assign(this.#canvas, { width, height }); // Which also empties it.
    const context = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext("2d"));
    const x = (/** @type {number} */ time) => (width * (time - from)) / (to - from);
    this.moments.forEach(({ time, probabilities }, index) => {
      const next = Math.min(this.moments[index + 1]?.time ?? to, time + GAP);
      const left = Math.floor(x(time));
      let top = 0;
      for (const [name, share] of Object.entries(probabilities)) {
        context.fillStyle = colour(emotions, name);
        context.fillRect(left, top * height, Math.ceil(x(next)) - left, share * height + 1);
        top += share;
      }
    });
  }
}
