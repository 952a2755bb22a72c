// @ts-check
// Answers a camera's frames and follows the faces. Twin of app/live_session.py.

import { NoFace, labelled } from "./analyzer.js";
import constants from "./constants.json" with { type: "json" };
import { Tracker } from "./tracker.js";

const { FULL_SEARCH_SECONDS } = constants.live_session;

/** One camera, or one video. */
export class LiveSession {
  #analyzer;
  #tracker = new Tracker();
  #near = /** @type {import("./detector.js").FoundFace[]} */ ([]);
  #searched = -Infinity;

  /** @param {import("./analyzer.js").Analyzer} analyzer */
  constructor(analyzer) {
    this.#analyzer = analyzer;
  }

  /** @param {Pixels} pixels @param {number} frame its number */
  answer(pixels, frame) {
    const now = performance.now() / 1000;
    if (now - this.#searched > FULL_SEARCH_SECONDS) [this.#near, this.#searched] = [[], now];
    try {
      const { found, probabilities, prediction } = this.#analyzer.analyze(pixels, this.#near);
      this.#near = found;
      return { frame, ...prediction, faces: this.#followed(prediction.faces, probabilities, now) };
    } catch (error) {
      if (error instanceof NoFace) return { frame, faces: [] };
      throw error;
    }
  }

  /** @param {Face[]} faces @param {Float32Array[]} rows of probabilities @param {number} now in seconds */
  #followed(faces, rows, now) {
    const found = faces.map(({ face_coordinates: box }, index) => ({ box, probabilities: rows[index] }));
    return this.#tracker.follow(found, now).map(({ id, probabilities }, index) => {
      return { id, ...faces[index], ...labelled(probabilities, faces[index].detection) };
    });
  }
}
