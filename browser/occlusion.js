// @ts-check
// Explains a label by hiding each part of a face and measuring the change. Twin of app/model/occlusion.py.

import constants from "./constants.json" with { type: "json" };
import { round } from "./geometry.js";
import { blurred } from "./mats.js";

const { BLUR, GRID, PATCH } = constants.occlusion;
const { INPUT_SIZE } = constants.preprocess;
const LEAST_PROBABILITY = 1e-30;

/** The crop, followed by copies with one part hidden each, row by row. @param {Float32Array} crop */
export function occluded(crop) {
  const hidden = blurred(crop, INPUT_SIZE, BLUR);
  const copies = Array.from({ length: GRID * GRID }, (_, index) => {
    const [[top, bottom], [left, right]] = [span(Math.floor(index / GRID)), span(index % GRID)];
    const copy = crop.slice();
    for (let row = top; row < bottom; row += 1) {
      const [start, end] = [row * INPUT_SIZE + left, row * INPUT_SIZE + right];
      copy.set(hidden.subarray(start, end), start);
    }
    return copy;
  });
  return [crop, ...copies];
}

/** How much a label's log-odds drop when each part is hidden. @param {Float32Array[]} rows of probabilities @param {number} label */
export function evidence(rows, label) {
  const [whole, ...odds] = rows.map((row) => {
    const others = row.reduce((sum, value, index) => (index === label ? sum : sum + value), 0);
    return Math.log(Math.max(row[label], LEAST_PROBABILITY)) - Math.log(Math.max(others, LEAST_PROBABILITY));
  });
  return odds.map((value) => whole - value);
}

/** @param {number} number of a row or column of parts */
function span(number) {
  const middle = ((number + 0.5) * INPUT_SIZE) / GRID;
  return [Math.max(round(middle - PATCH / 2), 0), Math.min(round(middle + PATCH / 2), INPUT_SIZE)];
}
