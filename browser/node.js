// @ts-check
// Answers raw RGB pictures in Node, for the comparison with the service: node browser/node.js PICTURES.json
// A picture may have the faces of the frame before, and a label that is to be explained.

import { readFile } from "node:fs/promises";
import { Analyzer, NoFace } from "./analyzer.js";

const ours = (/** @type {string} */ path) => new URL(`../${path}`, import.meta.url);
const litert = (/** @type {string} */ name) => {
  return new URL(`node_modules/@litertjs/core/wasm/litert_wasm_compat_internal.${name}`, import.meta.url);
};

const analyzer = await Analyzer.load({
  opencv: await readFile(new URL("node_modules/@techstark/opencv-js/dist/opencv.js", import.meta.url), "utf8"),
  litert: await readFile(litert("js"), "utf8"),
  wasm: await readFile(litert("wasm")),
  cascade: await readFile(ours("haarcascade_frontalface_default.xml"), "utf8"),
  blazeface: await readFile(ours("models/face_detection_full_range_sparse.tflite")),
  classifier: await readFile(ours("models/emotion_vgg16.tflite")),
});

/** @type {{ file: string, width: number, height: number, near?: import("./detector.js").FoundFace[], label?: string }[]} */
const pictures = JSON.parse(await readFile(process.argv[2], "utf8"));
for (const { file, width, height, near, label } of pictures) {
  const pixels = { data: await readFile(file), width, height };
  const prediction = answer(pixels, near);
  const explained = label && (await analyzer.explain(pixels, 0, label, async () => {}));
  console.log(JSON.stringify({ ...prediction, heat: explained && explained.heat }));
}

/** @param {Pixels} pixels @param {import("./detector.js").FoundFace[]} [near] */
function answer(pixels, near) {
  try {
    return analyzer.analyze(pixels, near).prediction;
  } catch (error) {
    if (error instanceof NoFace) return { faces: [] };
    throw error;
  }
}
