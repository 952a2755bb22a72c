/**
 * Answers of npm's `@vladmandic/face-api` on its WebAssembly backend, as `answers.py` describes them. Run by node in the
 * folder that has its packages: `node face_api.mjs ssd`, or `tiny` for its other detector, both at their defaults. Faces
 * are not turned upright by their landmarks first: fewer expressions would be right.
 */

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { createInterface } from "node:readline";

const PACKAGES = path.resolve("node_modules");
const LABELS = { angry: "angry", disgusted: "disgust", fearful: "fear", happy: "happy", neutral: "neutral", sad: "sad", surprised: "surprise" };

const require = createRequire(PACKAGES);
const tf = require("@tensorflow/tfjs");
const wasm = require("@tensorflow/tfjs-backend-wasm");
const faceapi = require("@vladmandic/face-api/dist/face-api.node-wasm.js");
const sharp = require("sharp");

wasm.setWasmPaths(path.join(PACKAGES, "@tensorflow/tfjs-backend-wasm/dist/"));
await tf.setBackend("wasm");
const { faceExpressionNet, ssdMobilenetv1, tinyFaceDetector } = faceapi.nets;
const tiny = process.argv[2] === "tiny";
const options = tiny ? new faceapi.TinyFaceDetectorOptions() : new faceapi.SsdMobilenetv1Options();
for (const net of [tiny ? tinyFaceDetector : ssdMobilenetv1, faceExpressionNet]) {
  await net.loadFromDisk(path.join(PACKAGES, "@vladmandic/face-api/model"));
}

async function read(data, crop) {
  const upright = sharp(data).rotate().removeAlpha().toColourspace("srgb");
  const { data: pixels, info } = await upright.raw().toBuffer({ resolveWithObject: true });
  const image = tf.tensor3d(new Int32Array(pixels), [info.height, info.width, info.channels], "int32");
  const label = (expressions) => LABELS[expressions.asSortedArray()[0].expression];
  try {
    if (crop) {
      return [{ box: [0, 0, info.width, info.height], label: label(await faceExpressionNet.predictExpressions(image)) }];
    }
    const faces = await faceapi.detectAllFaces(image, options).withFaceExpressions();
    return faces.map(({ detection: { box }, expressions }) => (
      { box: [box.x, box.y, box.width, box.height], label: label(expressions) }
    ));
  } finally {
    tf.dispose(image);
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { file, crop } = JSON.parse(line);
  const data = await readFile(file);
  const started = performance.now();
  const faces = await read(data, crop);
  const milliseconds = performance.now() - started;
  process.stdout.write(`${JSON.stringify({ faces, milliseconds })}\n`);
}
