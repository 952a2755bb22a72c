// @ts-check
// Finds the faces of a picture and cuts them out for the classifier. Twin of app/vision/faces.py.

import constants from "./constants.json" with { type: "json" };
import { freed, matOf, pixelsOf } from "./mats.js";
import { facePart, modelInput } from "./preprocess.js";

const { ENOUGH_DETAIL, DETAIL_SIZE, SEARCH_SIDE } = constants.faces;

/** @typedef {import("./detector.js").FoundFace} FoundFace */

/** The faces of a picture, largest first, and the classifier's input for each. @param {Pixels} pixels @param {import("./detector.js").FaceDetector} detector @param {FoundFace[]} near */
export function findFaces(pixels, detector, near = []) {
  return freed(() => {
    const copy = matOf(reduced(pixels, SEARCH_SIDE));
    const faces = detector.find(copy, near, pixels);
    if (!faces.length) return { faces, crops: [] };
    const smallest = Math.min(...faces.map(({ box }) => Math.min(box.width, box.height)));
    const coarse = smallest * copy.cols < ENOUGH_DETAIL * pixels.width && copy.cols < pixels.width;
    const short = Math.floor((Math.min(pixels.width, pixels.height) * DETAIL_SIZE) / smallest) + 1;
    const colours = coarse ? matOf(reduced(pixels, short)) : copy;
    return { faces, crops: faces.map(({ box, roll }) => modelInput(colours, box, pixels, roll)) };
  });
}

/** A face in colour, upright like its crop. @param {Pixels} pixels @param {Box} box @param {number} side @param {number} roll @returns {Pixels} */
export function facePixels(pixels, box, side, roll) {
  return freed(() => {
    const short = Math.floor((side * Math.min(pixels.width, pixels.height)) / Math.min(box.width, box.height)) + 1;
    return pixelsOf(facePart(matOf(reduced(pixels, short)), box, pixels, roll, side));
  });
}

/**
 * Reduced by the largest whole factor that keeps the shorter side; a JPEG first by a power of two, as the service decodes it.
 * @param {Pixels} pixels @param {number} short
 */
function reduced(pixels, short) {
  const { width, height, jpeg } = pixels;
  const share = short / Math.min(width, height);
  const most = Math.min(Math.floor(width / Math.ceil(width * share)), Math.floor(height / Math.ceil(height * share)));
  const decoded = averaged(pixels, jpeg ? ([8, 4, 2].find((power) => power <= most) ?? 1) : 1);
  return averaged(decoded, Math.max(Math.floor(Math.min(decoded.width, decoded.height) / short), 1));
}

/** Reduced by a whole factor, averaged as Pillow's `reduce` does. @param {Pixels} pixels @param {number} factor @returns {Pixels} */
function averaged({ data, width, height }, factor) {
  if (factor === 1) return { data, width, height };
  const [wide, high] = [Math.ceil(width / factor), Math.ceil(height / factor)];
  const result = new Uint8Array(3 * wide * high);
  for (let row = 0; row < high; row += 1) {
    const [top, bottom] = [row * factor, Math.min((row + 1) * factor, height)];
    for (let column = 0; column < wide; column += 1) {
      const [left, right] = [column * factor, Math.min((column + 1) * factor, width)];
      const count = (bottom - top) * (right - left);
      const share = Math.floor(Math.fround(2 ** 24 / count));
      const sums = [0, 0, 0];
      for (let y = top; y < bottom; y += 1) {
        for (let at = 3 * (y * width + left); at < 3 * (y * width + right); at += 3) {
          sums[0] += data[at];
          sums[1] += data[at + 1];
          sums[2] += data[at + 2];
        }
      }
      const place = 3 * (row * wide + column);
      for (let band = 0; band < 3; band += 1) result[place + band] = ((sums[band] + (count >> 1)) * share) / 2 ** 24;
    }
  }
  return { data: result, width: wide, height: high };
}
