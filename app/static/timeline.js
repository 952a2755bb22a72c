// @ts-check
// Draws the expressions of the last minute: bands whose heights are the probabilities, newest at the right.

const SECONDS = 60;

/** The moments of one face; a gap of more than a second stays empty. */
export class Timeline {
  #moments = /** @type {[number, Record<string, number>][]} */ ([]);
  #emotions;

  /** @param {import("./service.js").Emotions} emotions */
  constructor(emotions) {
    this.#emotions = emotions;
    this.element = document.createElement("canvas");
    this.element.setAttribute("role", "img");
    this.element.setAttribute("aria-label", "Expressions of the last minute");
  }

  /** @param {number} seconds @param {Record<string, number>} probabilities */
  add(seconds, probabilities) {
    this.#moments.push([seconds, probabilities]);
    while (this.#moments[0][0] < seconds - SECONDS) this.#moments.shift();
  }

  /** @param {number} now */
  draw(now) {
    const canvas = this.element;
    const sides = [canvas.clientWidth, canvas.clientHeight];
    const [width, height] = sides.map((side) => Math.round(side * devicePixelRatio));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.clearRect(0, 0, width, height);
    const x = (/** @type {number} */ seconds) => width * (1 - (now - seconds) / SECONDS);
    for (const [index, [seconds, probabilities]] of this.#moments.entries()) {
      const next = this.#moments[index + 1]?.[0] ?? now;
      if (next - seconds > 1) continue;
      const left = Math.floor(x(seconds));
      let top = 0;
      for (const [name, probability] of Object.entries(probabilities)) {
        context.fillStyle = this.#emotions.get(name)?.colour ?? "#888";
        context.fillRect(left, top * height, Math.ceil(x(next)) - left, probability * height + 1);
        top += probability;
      }
    }
  }
}
