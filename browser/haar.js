// @ts-check
// Looks closely at a face with OpenCV's Haar cascade. Twin of `HaarDetector.confirm` in app/vision/haar.py.

import constants from "./constants.json" with { type: "json" };
import { Square, cutUpright, round, turn } from "./geometry.js";
import { Cascade, freed } from "./mats.js";

const { CONFIRM_SIDE, CONFIRM_MARGIN, CONFIRM_SCALE, CONFIRM_SIZES } = constants.haar;
const SPAN = 1 + 2 * CONFIRM_MARGIN;

/** @typedef {{ square: Square, strength: number }} Window median of the hits, and their number times the best margin */

/** Confirms faces. */
export class HaarDetector {
  #cascade;

  /** @param {string} text of the cascade's XML file */
  constructor(text) {
    this.#cascade = new Cascade(text);
  }

  /** Search the surroundings of a candidate in small steps. @param {Mat} grey @param {Square} square @param {number} roll @returns {Window} */
  confirm(grey, square, roll = 0) {
    const [smallest, largest] = CONFIRM_SIZES.map((share) => round(CONFIRM_SIDE * share));
    const hits = freed(() => {
      const around = cutUpright(grey, square.grown(SPAN), roll, round(CONFIRM_SIDE * SPAN));
      return this.#cascade.hits(around, CONFIRM_SCALE, smallest, largest);
    });
    if (!hits.length) return { square, strength: 0 };
    const factor = square.side / CONFIRM_SIDE;
    const [left, top, side] = [hits.map(({ x }) => x), hits.map(({ y }) => y), hits.map(({ width }) => width)]
      .map((values) => median(values) * factor);
    const right = left + side / 2 - (square.side * SPAN) / 2;
    const down = top + side / 2 - (square.side * SPAN) / 2;
    const { sine, cosine } = turn(roll);
    const place = new Square(square.x + right * cosine - down * sine, square.y + right * sine + down * cosine, side);
    return { square: place, strength: hits.length * Math.max(...hits.map(({ margin }) => margin), 0) };
  }
}

/** @param {number[]} values */
function median(values) {
  const sorted = values.toSorted((first, second) => first - second);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
