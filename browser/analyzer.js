// @ts-check
// Answers pictures: finds faces, classifies and labels them. Twin of app/analyzer.py.

import { BlazeFace } from "./blazeface.js";
import { Classifier } from "./classifier.js";
import constants from "./constants.json" with { type: "json" };
import { FaceDetector } from "./detector.js";
import { facePixels, findFaces } from "./faces.js";
import { rounded } from "./geometry.js";
import { HaarDetector } from "./haar.js";
import { Network, startLiteRt } from "./litert.js";
import { startOpenCV } from "./mats.js";
import { evidence, occluded } from "./occlusion.js";

const { CERTAIN_FACE, DECIMALS } = constants.analyzer;
const { HEAT_SIDE } = constants.drawing;
const { card, emotions, settings } = constants;
const LANDMARKS = ["right_eye", "left_eye", "nose", "mouth", "right_ear", "left_ear"];

/** @typedef {Face & { message: string }} Answer */

/** No face was found in a picture. */
export class NoFace extends Error {
  code = "no_face";
}

/** Answers pictures, one at a time. */
export class Analyzer {
  #detector;
  #classifier;

  /** @param {FaceDetector} detector @param {Classifier} classifier */
  constructor(detector, classifier) {
    this.#detector = detector;
    this.#classifier = classifier;
  }

  /**
   * Start both libraries and load the models.
   * @param {Record<"opencv" | "litert" | "cascade", string> & Record<"wasm" | "blazeface" | "classifier", Uint8Array>} files
   */
  static async load({ opencv, litert, wasm, cascade, blazeface, classifier }) {
    await startOpenCV(opencv);
    const runtime = await startLiteRt(litert, wasm);
    const proposer = new BlazeFace(new Network(runtime, blazeface));
    const detector = new FaceDetector(new HaarDetector(cascade), proposer, settings.smallest_face);
    return new Analyzer(detector, new Classifier(new Network(runtime, classifier)));
  }

  /** Answer every face in a picture. @param {Pixels} pixels @param {import("./faces.js").FoundFace[]} near faces of the frame before */
  analyze(pixels, near = []) {
    const started = performance.now();
    const { faces: found, crops } = this.#found(pixels, near);
    const detected = performance.now();
    const probabilities = crops.map((crop) => this.#classifier.predict(crop));
    const faces = found.map((face, index) => described(face, probabilities[index]));
    const ended = performance.now();
    const timings = { decode: 0, detect: detected - started, classify: ended - detected, total: ended - started };
    const image = { width: pixels.width, height: pixels.height };
    const model = { name: card.name, version: card.version };
    return { found, probabilities, prediction: { faces, image, model, timings_ms: timings } };
  }

  /**
   * Which parts of a face speak for a label: the face in colour, and the evidence, row by row.
   * @param {Pixels} pixels @param {number} number of the face @param {string} label
   * @param {() => Promise<void>} pause called between parts of the work
   */
  async explain(pixels, number, label, pause) {
    const { faces, crops } = this.#found(pixels, []);
    const crop = crops[number];
    const rows = await this.#classifier.inParts(occluded(crop), pause);
    const heat = evidence(rows, emotions.findIndex(({ name }) => name === label));
    const { box, roll } = faces[number];
    return { heat, face: facePixels(pixels, box, HEAT_SIDE, roll) };
  }

  /** @param {Pixels} pixels @param {import("./faces.js").FoundFace[]} near */
  #found(pixels, near) {
    const found = findFaces(pixels, this.#detector, near);
    if (!found.faces.length) throw new NoFace("No face was found in the picture.");
    return found;
  }
}

/** @param {import("./faces.js").FoundFace} face @param {Float32Array} probabilities @returns {Answer} */
function described({ box, confidence, roll, landmarks }, probabilities) {
  const detection = rounded(confidence, DECIMALS);
  const places = landmarks.map(({ x, y }, index) => [LANDMARKS[index], { x: rounded(x), y: rounded(y) }]);
  return {
    ...labelled(probabilities, detection),
    face_coordinates: box,
    detection,
    angle: rounded(roll),
    landmarks: Object.fromEntries(places),
  };
}

/** What probabilities say about a face. @param {Float32Array} probabilities @param {number} detection confidence */
export function labelled(probabilities, detection) {
  const values = Array.from(probabilities, (value) => rounded(value, DECIMALS));
  const order = [...values.keys()].sort((first, second) => probabilities[second] - probabilities[first]);
  const [top] = order;
  const plausible = order.filter((index) => values[index] >= card.plausible_from);
  if (!plausible.length) plausible.push(top);
  const certain = values[top] >= card.certain_from && detection >= CERTAIN_FACE;
  return {
    emotion: emotions[top].name,
    confidence: values[top],
    probabilities: Object.fromEntries(emotions.map(({ name }, index) => [name, values[index]])),
    message: certain ? emotions[top].message : doubtfulMessage(plausible.map((index) => emotions[index].noun)),
    certain,
    plausible: plausible.map((index) => emotions[index].name),
  };
}

/** @param {string[]} nouns */
const doubtfulMessage = (nouns) =>
  `The face may show ${nouns.slice(0, -1).join(", ")}${nouns.length > 1 ? " or " : ""}${nouns.at(-1)}.`;
