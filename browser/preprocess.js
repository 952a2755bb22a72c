// @ts-check
// Turns a picture and a face box into the classifier's input. Twin of app/vision/preprocess.py.

import constants from "./constants.json" with { type: "json" };
import { Square, clamp, cutUpright, round } from "./geometry.js";
import { grey, part, resized } from "./mats.js";

const { INPUT_SIZE, DETAIL_SIZE, UPRIGHT } = constants.preprocess;

/**
 * The pixels of a face; one that is turned far is cut out upright.
 * @param {Mat} mat the picture, or a reduced copy @param {Box} box @param {Size} size of the picture @param {number} roll @param {number} side
 */
export function facePart(mat, box, size, roll, side) {
  const [x, y] = [mat.cols / size.width, mat.rows / size.height];
  if (Math.abs(roll) > UPRIGHT) return cutUpright(mat, Square.of(box).scaled(x), roll, side);
  const [left, right] = [box.x * x, (box.x + box.width) * x].map((edge) => clamp(round(edge), 0, mat.cols));
  const [top, bottom] = [box.y * y, (box.y + box.height) * y].map((edge) => clamp(round(edge), 0, mat.rows));
  return part(mat, left, top, right - left, bottom - top);
}

/** A face as the classifier takes it: luma, 48x48, enlarged to 96x96, 0 to 1. @param {Mat} mat @param {Box} box @param {Size} size @param {number} roll */
export function modelInput(mat, box, size, roll) {
  const luma = grey(facePart(mat, box, size, roll, DETAIL_SIZE));
  const detail = resized(luma, DETAIL_SIZE, DETAIL_SIZE, Math.min(luma.rows, luma.cols) > DETAIL_SIZE);
  return Float32Array.from(resized(detail, INPUT_SIZE, INPUT_SIZE).data, (value) => value / 255);
}
