// @ts-check
// Answers raw RGB pictures in Node, for the comparison with the service: node browser/node.js QUESTIONS.json
// It has the paths of the files, and pictures. A picture may have the faces of the frame before, and a label to explain.

import { readFile } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";
import { Analyzer, NoFace } from "./analyzer.js";
import { build } from "./litert.js";

if (build() !== "relaxed") setFlagsFromString("--experimental-wasm-relaxed-simd"); // Node before 22.

const { files, pictures } = JSON.parse(await readFile(process.argv[2], "utf8"));
const analyzer = await Analyzer.load({
  opencv: await readFile(files.opencv, "utf8"),
  litert: await readFile(files.litert, "utf8"),
  cascade: await readFile(files.cascade, "utf8"),
  wasm: await readFile(files.wasm),
  blazeface: await readFile(files.blazeface),
  classifier: await readFile(files.classifier),
});

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
