// @ts-check
// The faces of one picture: one in large, or a tile for each, of which one is in large; from seven on a wall.

import { fromTemplate, part } from "./dom.js";
import { FaceCard } from "./face.js";
import { colour, counted, crop, label, mix, shares, short, tint, word } from "./words.js";

const CROWD = 7; // Faces from which there is a wall.
const UNSURE = "not sure";

/** @typedef {{ face: Face, element: HTMLElement, button: HTMLElement }} Tile */

/** Owns the part of a picture's element that is about its faces. */
export class Faces {
  #list;
  #summary;
  #explain;
  #filtered;
  #tiles = /** @type {Tile[]} */ ([]);
  #card = /** @type {FaceCard | undefined} */ (undefined);
  #box = /** @type {Box | undefined} */ (undefined); // Of the face in large.
  #opened = -1;
  #emotions = /** @type {Emotions} */ (new Map());
  #image;

  /**
   * @param {HTMLElement} root @param {HTMLImageElement} image
   * @param {(index: number, label: string) => ReturnType<import("./face.js").Explain>} explain
   * @param {{ pointed: (index: number) => void, filtered: (shown: boolean[]) => void }} tell what is pointed at, -1 for
   *   nothing, and which faces are shown
   */
  constructor(root, image, explain, { pointed, filtered }) {
    this.#list = part(root, ".faces");
    this.#summary = part(root, ".summary");
    this.#image = image;
    this.#explain = explain;
    this.#filtered = filtered;
    for (const event of ["pointerover", "pointerleave", "focusin"]) {
      this.#list.addEventListener(event, ({ target }) => {
        const node = /** @type {Element} */ (target);
        const at = this.#tiles.findIndex(({ element }) => element.contains(node));
        pointed(at < 0 && this.#card?.element.contains(node) ? this.#opened : at);
      });
    }
  }

  /** @param {Face[]} faces @param {Emotions} emotions */
  show(faces, emotions) {
    this.#emotions = emotions;
    this.#opened = -1;
    this.#list.classList.toggle("wall", faces.length >= CROWD);
    this.#tiles = faces.length > 1 ? faces.map((face, index) => this.#tile(face, index)) : [];
    this.#list.replaceChildren(...this.#tiles.map(({ element }) => element));
    this.#summary.hidden = faces.length < CROWD;
    if (!this.#summary.hidden) this.#summarize(faces);
    if (faces.length === 1) this.#list.append(this.#cardOf(faces[0], 0));
    else if (faces.length < CROWD) this.open(0);
  }

  /** Draw what needs the decoded picture. */
  crop() {
    if (!this.#image.naturalWidth) return;
    if (this.#box) this.#card?.crop(this.#image, this.#box);
    for (const { face, button } of this.#tiles) {
      crop(/** @type {HTMLCanvasElement} */ (part(button, "canvas")), this.#image, face.face_coordinates);
    }
  }

  /** Show one face in large, under its tile. @param {number} index */
  open(index) {
    const tile = this.#tiles[index];
    if (!tile) return;
    this.#card?.element.remove();
    const closes = this.#opened === index;
    this.#opened = closes ? -1 : index;
    this.#tiles.forEach(({ button }, at) => button.setAttribute("aria-expanded", String(at === this.#opened)));
    if (!closes) tile.element.after(this.#cardOf(tile.face, index));
  }

  /** Show a face that was chosen elsewhere. @param {number} index */
  reveal(index) {
    if (index !== this.#opened) this.open(index);
    const element = this.#card?.element;
    element?.scrollIntoView({ block: "nearest" });
    element?.animate?.({ opacity: [0.3, 1] }, matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 250);
  }

  /** @param {number} index -1 for none */
  light(index) {
    this.#tiles.forEach(({ button }, at) => button.classList.toggle("lit", at === index));
    const face = this.#tiles[index]?.face;
    part(this.#summary, ".pointed").textContent = face ? this.#words(face, index) : "Point at a face, or choose one.";
  }

  /** @param {Face} face @param {number} index */
  #cardOf(face, index) {
    this.#card = new FaceCard(face, this.#emotions, (name) => this.#explain(index, name));
    this.#box = face.face_coordinates;
    if (this.#image.naturalWidth) this.#card.crop(this.#image, this.#box);
    return this.#card.element;
  }

  /** @param {Face} face @param {number} index */
  #tile(face, index) {
    const element = fromTemplate("tile-template");
    const button = part(element, "button");
    tint(button, face, this.#emotions);
    button.setAttribute("aria-label", this.#words(face, index));
    part(button, ".number").textContent = String(index + 1);
    part(button, ".label").textContent = short(face, this.#emotions);
    mix(part(button, ".mix"), Object.entries(face.probabilities), this.#emotions);
    button.addEventListener("click", () => this.open(index));
    return { face, element, button };
  }

  /** @param {Face} face @param {number} index */
  #words(face, index) {
    return `${index + 1} ${label(face, this.#emotions)} ${shares(face)}`;
  }

  /** A bar of what the faces show, and a button for each, which hides the others. @param {Face[]} faces */
  #summarize(faces) {
    const kind = (/** @type {Face} */ face) => (face.certain ? face.emotion : UNSURE);
    const counts = /** @type {Map<string, number>} */ (new Map());
    for (const face of faces) counts.set(kind(face), (counts.get(kind(face)) ?? 0) + 1);
    const order = ([name, count] = ["", 0]) => (name === UNSURE ? 0 : count);
    const kinds = [...counts].sort((one, other) => order(other) - order(one));
    part(this.#summary, ".total").textContent = counted(faces.length, "face");
    mix(part(this.#summary, ".mix"), kinds.map(([name, count]) => [name, count / faces.length]), this.#emotions);
    const buttons = kinds.map(([name, count]) => {
      const textContent = `${name === UNSURE ? "Not sure" : word(this.#emotions, name)} ${count}`;
      const button = Object.assign(document.createElement("button"), { type: "button", className: "dot", textContent });
      button.style.setProperty("--colour", colour(this.#emotions, name));
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => {
        const only = button.getAttribute("aria-pressed") === "false";
        buttons.forEach((one) => one.setAttribute("aria-pressed", String(only && one === button)));
        this.#filter(faces.map((face) => !only || kind(face) === name));
      });
      return button;
    });
    part(this.#summary, ".filters").replaceChildren(...buttons);
    this.light(-1);
  }

  /** @param {boolean[]} shown */
  #filter(shown) {
    if (this.#opened >= 0 && !shown[this.#opened]) this.open(this.#opened);
    this.#tiles.forEach(({ element }, index) => (element.hidden = !shown[index]));
    this.#filtered(shown);
  }
}
