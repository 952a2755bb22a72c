// @ts-check
// What all chosen pictures show together, and their answers as files.

import { part, save } from "./dom.js";
import { emotions } from "./service.js";
import { counted, mix } from "./words.js";

const EXAMPLES = "Examples, answered in advance.";

/** Owns the line above the results; what it offers is seen from two pictures on. */
export class Total {
  #root;
  #pictures;

  /** @param {HTMLElement} root @param {() => import("./picture.js").Picture[]} pictures */
  constructor(root, pictures) {
    this.#root = root;
    this.#pictures = pictures;
    part(root, "[data-action=csv]").addEventListener("click", () => this.#csv());
    part(root, "[data-action=json]").addEventListener("click", () => this.#json());
  }

  async show() {
    const labels = await emotions();
    const pictures = this.#pictures();
    for (const element of this.#root.querySelectorAll("button, .mix")) {
      /** @type {HTMLElement} */ (element).hidden = pictures.length < 2;
    }
    if (!pictures.length) return void (part(this.#root, "p").textContent = EXAMPLES);
    const faces = pictures.flatMap(({ prediction }) => prediction?.faces ?? []);
    const waits = pictures.every(({ prediction }) => !prediction);
    part(this.#root, "p").textContent = `${counted(pictures.length, "picture")}${waits ? "" : `, ${counted(faces.length, "face")}`}`;
    const share = (/** @type {string} */ name) => faces.filter(({ emotion }) => emotion === name).length / faces.length;
    mix(part(this.#root, ".mix"), faces.length ? [...labels.keys()].map((name) => [name, share(name)]) : [], labels);
  }

  async #csv() {
    const names = [...(await emotions()).keys()];
    const columns = ["file", "face", "emotion", "confidence", "certain", "x", "y", "width", "height", ...names];
    const rows = this.#pictures().flatMap(({ name, prediction }) =>
      (prediction?.faces ?? []).map((face, index) => {
        const { emotion, confidence, certain, face_coordinates: { x, y, width, height }, probabilities } = face;
        return [name, index, emotion, confidence, certain, x, y, width, height, ...names.map((one) => probabilities[one])];
      }),
    );
    save(table(columns, rows), "expressions.csv");
  }

  #json() {
    const results = this.#pictures().map(({ name, prediction, summary }) => ({ filename: name, ...(prediction ?? { error: summary }) }));
    save(new Blob([JSON.stringify({ results }, null, 2)], { type: "application/json" }), "expressions.json");
  }
}

/** A CSV file (RFC 4180). @param {string[]} columns @param {unknown[][]} rows */
export function table(columns, rows) {
  const cell = (/** @type {unknown} */ value) => (/[",\r\n]/.test(`${value}`) ? `"${`${value}`.replaceAll('"', '""')}"` : `${value}`);
  return new Blob([[columns, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("")], { type: "text/csv" });
}
