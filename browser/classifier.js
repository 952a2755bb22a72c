// @ts-check
// Classifies faces with the int8 VGG16. Twin of the litert engine in app/model/classifier.py.

import constants from "./constants.json" with { type: "json" };

const { INPUT_SIZE } = constants.preprocess;
const { MAX_BATCH } = constants.backend;

/** Seven probabilities of a face. */
export class Classifier {
  #network;
  #input = new Float32Array(3 * INPUT_SIZE ** 2);

  /** @param {import("./litert.js").Network} network */
  constructor(network) {
    this.#network = network;
  }

  /** @param {Float32Array} luma 0 to 1 */
  predict(luma) {
    for (let index = 0; index < this.#input.length; index += 1) this.#input[index] = luma[Math.floor(index / 3)];
    const [logits] = this.#network.run(this.#input);
    const most = Math.max(...logits);
    const exponents = logits.map((logit) => Math.exp(logit - most));
    const sum = exponents.reduce((total, value) => total + value, 0);
    return exponents.map((value) => value / sum);
  }

  /** In parts, so that other work gets its turn in between. @param {Float32Array[]} crops @param {() => Promise<void>} pause */
  async inParts(crops, pause) {
    const rows = /** @type {Float32Array[]} */ ([]);
    for (let start = 0; start < crops.length; start += MAX_BATCH) {
      rows.push(...crops.slice(start, start + MAX_BATCH).map((crop) => this.predict(crop)));
      await pause();
    }
    return rows;
  }
}
