// @ts-check
// Proposes faces by BlazeFace. Twin of app/vision/blazeface.py.

import constants from "./constants.json" with { type: "json" };
import { Square, clamp, cutUpright, round, shrunk, turn } from "./geometry.js";
import { blank, freed, part, paste, resized, turned } from "./mats.js";

const { SIDE, CELLS, LEAST_SCORE, MOST_SCORE, SAME } = constants.blazeface;
const LEAST_LOGIT = Math.fround(Math.log(LEAST_SCORE / (1 - LEAST_SCORE)));
const VALUES = 16; // Of a cell: the middle and size of the face, then six landmarks.

/** A face proposed by the network. */
export class Proposal {
  /** @param {Square} square @param {number} score 0 to 1 @param {Point[]} landmarks right eye, left eye, nose, mouth, ears */
  constructor(square, score, landmarks) {
    this.square = square;
    this.score = score;
    this.landmarks = landmarks;
    const [right, left] = landmarks;
    this.roll = Math.atan2(left.y - right.y, left.x - right.x) * (180 / Math.PI);
  }
}

/** Proposes faces. */
export class BlazeFace {
  #network;

  /** @param {import("./litert.js").Network} network */
  constructor(network) {
    this.#network = network;
  }

  /** Search one square of a picture, at most one proposal per face. @param {Mat} colours @param {Square} view @param {number} roll */
  propose(colours, view, roll = 0) {
    const values = freed(() => {
      const seen = roll % 90 ? cutUpright(colours, view, roll, SIDE, true) : turned(framed(colours, view), round(roll / 90));
      return networkInput(seen.data);
    });
    const outputs = this.#network.run(values);
    const logits = /** @type {Float32Array} */ (outputs.find(({ length }) => length === CELLS * CELLS));
    const regions = /** @type {Float32Array} */ (outputs.find(({ length }) => length === VALUES * CELLS * CELLS));
    const cells = [...logits.keys()].filter((cell) => logits[cell] >= LEAST_LOGIT);
    cells.sort((first, second) => logits[second] - logits[first]);
    const { sine, cosine } = turn(roll);
    const proposals = cells.map((cell) => {
      const [column, row] = [((cell % CELLS) + 0.5) / CELLS, (Math.floor(cell / CELLS) + 0.5) / CELLS];
      const region = Array.from(regions.subarray(VALUES * cell, VALUES * (cell + 1)), (value) => value / SIDE);
      const places = [0, 2, 3, 4, 5, 6, 7].map((pair) => {
        const [x, y] = [region[2 * pair] + column - 0.5, region[2 * pair + 1] + row - 0.5];
        return { x: (x * cosine - y * sine) * view.side + view.x, y: (x * sine + y * cosine) * view.side + view.y };
      });
      const square = new Square(places[0].x, places[0].y, Math.max(region[2], region[3]) * view.side);
      return new Proposal(square, Math.min(1 / (1 + Math.exp(-logits[cell])), MOST_SCORE), places.slice(1));
    });
    return distinct(proposals, ({ square }) => square);
  }
}

/** Non-maximum suppression: the items whose square overlaps none kept before. @template T @param {T[]} items best first @param {(item: T) => Square} squareOf */
export function distinct(items, squareOf) {
  let left = items.filter((item) => squareOf(item).side > 0);
  const kept = /** @type {T[]} */ ([]);
  while (left.length) {
    const [best] = left;
    kept.push(best);
    left = left.filter((item) => item !== best && squareOf(item).overlap(squareOf(best)) <= SAME);
  }
  return kept;
}

/** The view scaled to the network's input. @param {Mat} colours @param {Square} view */
function framed(colours, view) {
  const [left, top] = [view.x - view.side / 2, view.y - view.side / 2];
  const [x, y] = [Math.max(round(left), 0), Math.max(round(top), 0)];
  const right = clamp(round(left + view.side), 0, colours.cols);
  const bottom = clamp(round(top + view.side), 0, colours.rows);
  const canvas = blank(SIDE);
  if (right <= x || bottom <= y) return canvas;
  const factor = SIDE / view.side;
  const [wide, high] = [right - x, bottom - y].map((length) => clamp(round(length * factor), 1, SIDE));
  const seen = shrunk(part(colours, x, y, right - x, bottom - y), wide, high);
  const to = [clamp(round((x - left) * factor), 0, SIDE - wide), clamp(round((y - top) * factor), 0, SIDE - high)];
  paste(canvas, to[0], to[1], resized(seen, wide, high, factor < 1));
  return canvas;
}

/** Pixels as the network takes them, -1 to 1. @param {Uint8Array} pixels */
function networkInput(pixels) {
  const values = new Float32Array(pixels.length);
  for (let index = 0; index < values.length; index += 1) values[index] = Math.fround(pixels[index] / 127.5) - 1;
  return values;
}
