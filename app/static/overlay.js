// @ts-check
// What is drawn over a picture or video: the box of each face, and its label where that hides no face.

import { label, shares, short, tint } from "./words.js";

const GAP = 3; // Pixels between a box and its label.
const HIDDEN = 0.2; // Share of a face that its own label may hide.

/** @typedef {{ box: Box, shape: SVGElement, pill: HTMLElement, long: string, short: string }} Drawn */

/** The boxes and labels of one figure. */
export class Overlay {
  #figure;
  #boxes;
  #pills;
  #faces = /** @type {Drawn[]} */ ([]);
  #width = 1; // Of the picture, in its own pixels.

  /** @param {HTMLElement} figure @param {{ pointed?: (index: number) => void, chosen?: (index: number) => void }} [tell] */
  constructor(figure, { pointed = () => {}, chosen = () => {} } = {}) {
    this.#figure = figure;
    this.#boxes = /** @type {SVGElement} */ (figure.querySelector(".boxes"));
    this.#pills = /** @type {HTMLElement} */ (figure.querySelector(".pills"));
    const index = (/** @type {EventTarget | null} */ target) => this.#faces.findIndex(({ shape }) => shape === target);
    this.#boxes.addEventListener("pointerover", ({ target }) => pointed(index(target)));
    this.#boxes.addEventListener("pointerleave", () => pointed(-1));
    this.#boxes.addEventListener("click", ({ target }) => index(target) >= 0 && chosen(index(target)));
    new ResizeObserver(() => this.#place()).observe(figure);
  }

  /** @param {Face[]} faces @param {Size} size of the upright picture @param {Emotions} emotions */
  show(faces, size, emotions, { mirrored = false, numbered = false } = {}) {
    this.#width = size.width;
    this.#faces = faces.map((face, index) => {
      const shape = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      const pill = document.createElement("span");
      for (const element of [shape, pill]) tint(element, face, emotions);
      const box = { ...face.face_coordinates };
      if (mirrored) box.x = size.width - box.x - box.width;
      const [number, words] = [String(index + 1), short(face, emotions)];
      if (numbered) return { box, shape, pill, long: `${number} ${words}`, short: number };
      return { box, shape, pill, long: `${label(face, emotions)} ${shares(face)}`, short: words };
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

  /** Show some of the faces alone. @param {boolean[]} shown */
  filter(shown) {
    this.#faces.forEach(({ shape, pill }, at) => [shape, pill].map((one) => one.classList.toggle("out", !shown[at])));
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
    this.#faces.forEach(({ pill, long, short: little }, index) => {
      const obstacles = [...boxes.filter((_, other) => other !== index), ...taken];
      const free = (/** @type {Box} */ place) => inside(place, bounds) && !obstacles.some((other) => meet(place, other));
      let place;
      for (const text of [long, little]) {
        pill.textContent = text;
        const size = pill.getBoundingClientRect();
        place ??= [...around(boxes[index], size), ...within(boxes[index], size, bounds)].find(free);
        if (place) break;
      }
      if (place) taken.push(place);
      else pill.textContent = long; // Which is seen while its face is pointed at.
      pill.classList.toggle("crowded", !place);
      const { width, height } = pill.getBoundingClientRect();
      const [x, y] = place ? [place.x, place.y] : [boxes[index].x, boxes[index].y - height - GAP];
      pill.style.translate = `${clamp(x, bounds.width - width)}px ${clamp(y, bounds.height - height)}px`;
    });
  }
}

/** @param {number} value @param {number} most */
const clamp = (value, most) => Math.max(0, Math.min(value, most));

/** Where a label of a size may stand: above its box, below, or beside it. @param {Box} box @param {Size} size */
function around(box, { width, height }) {
  const [left, right, before, after] = [box.x, box.x + box.width - width, box.x - width - GAP, box.x + box.width + GAP];
  const [above, below] = [box.y - height - GAP, box.y + box.height + GAP];
  const places = [[left, above], [right, above], [left, below], [right, below], [after, box.y], [before, box.y]];
  return places.map(([x, y]) => ({ x, y, width, height }));
}

/** In its box, where it hides little of the face. @param {Box} box @param {Size} size @param {Size} bounds */
function within(box, { width, height }, bounds) {
  if (width * height > HIDDEN * box.width * box.height) return [];
  return [{ x: clamp(box.x, bounds.width - width), y: clamp(box.y, bounds.height - height), width, height }];
}

/** @param {Box} one @param {Size} bounds */
const inside = ({ x, y, width, height }, bounds) =>
  x >= 0 && y >= 0 && x + width <= bounds.width && y + height <= bounds.height;

/** @param {Box} one @param {Box} other */
const meet = (one, other) =>
  one.x < other.x + other.width && other.x < one.x + one.width &&
  one.y < other.y + other.height && other.y < one.y + one.height;
