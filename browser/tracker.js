// @ts-check
// Follows faces from frame to frame and smooths their probabilities. Twin of app/vision/tracker.py.

import constants from "./constants.json" with { type: "json" };
import { boxOverlap } from "./geometry.js";

const { MEMORY, SAME_FACE, SMOOTHING } = constants.tracker;

/** @typedef {{ id: number, box: Box, probabilities: Float32Array, seen: number }} Track */

/** Tracks the faces of one camera. */
export class Tracker {
  #tracks = /** @type {Track[]} */ ([]);
  #count = 0;

  /** The track of each face of the newest frame, pairs that overlap most first. @param {{ box: Box, probabilities: Float32Array }[]} faces @param {number} now in seconds */
  follow(faces, now) {
    this.#tracks = this.#tracks.filter(({ seen }) => now - seen <= MEMORY);
    const pairs = faces.flatMap(({ box }, number) => {
      return this.#tracks.map((track) => ({ share: boxOverlap(track.box, box), number, track }));
    });
    pairs.sort((first, second) => second.share - first.share);
    const found = /** @type {Map<number, Track>} */ (new Map());
    for (const { share, number, track } of pairs) {
      const free = !found.has(number) && ![...found.values()].includes(track);
      if (share >= SAME_FACE && free) found.set(number, track);
    }
    return faces.map((face, number) => this.#update(found.get(number), face, now));
  }

  /** @param {Track | undefined} track @param {{ box: Box, probabilities: Float32Array }} face @param {number} now */
  #update(track, { box, probabilities }, now) {
    if (!track) {
      this.#count += 1;
      const made = { id: this.#count, box, probabilities, seen: now };
      this.#tracks.push(made);
      return made;
    }
    const share = 1 - Math.exp(-(now - track.seen) / SMOOTHING);
    track.probabilities = track.probabilities.map((value, index) => (1 - share) * value + share * probabilities[index]);
    [track.box, track.seen] = [box, now];
    return track;
  }
}
