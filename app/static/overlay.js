// @ts-check
// What is drawn over a picture or video: the box of each face, and its label where that covers no other face.

import { label, percent, weak } from "./faces.js";

const GAP = 3; // Pixels between a box and its label.

/** The boxes and labels of one figure. */
export class Overlay {
  #figure;
  #boxes;
  #pills;
  #faces = /** @type {{ box: Box, shape: Element, pill: HTMLElement, long: string, short: string }[]} */ ([]);
  #width = 1; // Of the picture, in its own pixels.

  /** @param {HTMLElement} figure @param {(index: number) => void} [pointed] told which box is pointed at, or -1 */
  constructor(figure, pointed = () => {}) {
    this.#figure = figure;
    this.#boxes = /** @type {SVGElement} */ (figure.querySelector(".boxes"));
    this.#pills = /** @type {HTMLElement} */ (figure.querySelector(".pills"));
    this.#boxes.addEventListener("pointerover", ({ target }) => {
      pointed(this.#faces.findIndex(({ shape }) => shape === target));
    });
    this.#boxes.addEventListener("pointerleave", () => pointed(-1));
    new ResizeObserver(() => this.#place()).observe(figure);
  }

  /** @param {Face[]} faces @param {Size} size of the upright picture @param {Emotions} emotions */
  show(faces, size, emotions, { mirrored = false, numbered = false } = {}) {
    this.#width = size.width;
    this.#faces = faces.map((face, index) => {
      const shape = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      const pill = document.createElement("span");
      for (const one of [shape, pill]) {
        one.setAttribute("class", `${face.certain ? "" : "unsure"} ${weak(face) ? "weak" : ""}`);
        one.style.setProperty("--colour", emotions.get(face.emotion)?.colour ?? "white");
      }
      const box = { ...face.face_coordinates };
      if (mirrored) box.x = size.width - box.x - box.width;
      const [number, words] = [String(index + 1), label(face)];
      if (numbered) return { box, shape, pill, long: `${number} ${words}`, short: number };
      return { box, shape, pill, long: `${words} ${percent(face.confidence)}`, short: words };
    });
    this.#boxes.replaceChildren(...this.#faces.map(({ shape }) => shape));
    this.#pills.replaceChildren(...this.#faces.map(({ pill }) => pill));
    this.#place();
  }

  /** Make one face stand out. @param {number} index -1 for none */
  light(index) {
    this.#figure.classList.toggle("lighting", index >= 0);
    this.#faces.forEach(({ shape, pill }, at) => [shape, pill].map((one) => one.classList.toggle("lit", at === index)));
  }

  /** In pixels of the page, whatever the figure's size is now. */
  #place() {
    const bounds = this.#figure.getBoundingClientRect();
    const scale = bounds.width / this.#width;
    const boxes = this.#faces.map(({ box: { x, y, width, height }, shape }) => {
      const box = { x: x * scale, y: y * scale, width: width * scale, height: height * scale };
      for (const [name, value] of Object.entries(box)) shape.setAttribute(name, String(value));
      return box;
    });
    const taken = /** @type {Box[]} */ ([]);
    this.#faces.forEach(({ pill, long, short }, index) => {
      const obstacles = [...boxes.filter((_, other) => other !== index), ...taken];
      const free = (/** @type {Box} */ one) => inside(one, bounds) && !obstacles.some((other) => meet(one, other));
      pill.textContent = long;
      let place = around(boxes[index], pill.getBoundingClientRect()).find(free);
      if (!place) {
        if (obstacles.length) pill.textContent = short;
        const { width, height } = pill.getBoundingClientRect();
        const x = Math.max(Math.min(boxes[index].x, bounds.width - width), 0);
        place = { x, y: Math.max(boxes[index].y, 0), width, height };
      }
      pill.style.translate = `${place.x}px ${place.y}px`;
      taken.push(place);
    });
  }
}

/** Where a label of a size may stand: above its box, below, or beside it. @param {Box} box @param {Size} size */
function around(box, { width, height }) {
  const [left, right, before, after] = [box.x, box.x + box.width - width, box.x - width - GAP, box.x + box.width + GAP];
  const [above, below] = [box.y - height - GAP, box.y + box.height + GAP];
  const places = [[left, above], [right, above], [left, below], [right, below], [after, box.y], [before, box.y]];
  return places.map(([x, y]) => ({ x, y, width, height }));
}

/** @param {Box} one @param {Size} bounds */
const inside = ({ x, y, width, height }, bounds) =>
  x >= 0 && y >= 0 && x + width <= bounds.width && y + height <= bounds.height;

/** @param {Box} one @param {Box} other */
const meet = (one, other) =>
  one.x < other.x + other.width && other.x < one.x + one.width &&
  one.y < other.y + other.height && other.y < one.y + one.height;
