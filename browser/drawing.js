// @ts-check
// Draws an answer over its picture, and heat over a face, as files. Smaller sibling of app/vision/drawing.py.

import constants from "./constants.json" with { type: "json" };
import { canvas } from "./decoder.js";
import { clamp } from "./geometry.js";

const { GRID } = constants.occlusion;
const { HEAT_SIDE, MAX_PIXELS, SCALE_HEIGHT, SHORT_SIDE } = constants.drawing;
const { emotions } = constants;
const [INK, PAPER] = ["#14161c", "#ffffff"];
const [FOR, AGAINST] = ["225, 20, 30", "30, 80, 235"];
const OPACITY = 0.75;
const TEXT = { perBox: 0.085, least: 12 };

/** The picture with boxes and labels, as a JPEG. @param {Blob} file @param {{ faces: Face[], image: Size }} prediction */
export async function drawFaces(file, { faces, image: { width, height } }) {
  const short = Math.max(1, SHORT_SIDE / Math.min(width, height));
  const scale = Math.min(short, Math.sqrt(MAX_PIXELS / (width * height)));
  const context = canvas(Math.round(width * scale), Math.round(height * scale));
  context.drawImage(await createImageBitmap(file), 0, 0, context.canvas.width, context.canvas.height);
  context.textBaseline = "middle";
  for (const face of faces.toReversed()) drawFace(context, face, scale);
  return context.canvas.convertToBlob({ type: "image/jpeg", quality: 0.9 });
}

/** @param {OffscreenCanvasRenderingContext2D} context @param {Face} face @param {number} scale */
function drawFace(context, { emotion, certain, confidence, face_coordinates: box }, scale) {
  const { colour, display_name: word } = emotions.find(({ name }) => name === emotion) ?? emotions[0];
  const [x, y, width, height] = [box.x, box.y, box.width, box.height].map((value) => value * scale);
  const text = Math.max(TEXT.perBox * width, TEXT.least);
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = Math.max(text / 6, 2);
  context.strokeRect(x, y, width, height);
  context.font = `${text}px sans-serif`;
  const words = `${word}${certain ? "" : "?"} ${(100 * confidence).toFixed(0)} %`;
  const [wide, high] = [context.measureText(words).width + text, 1.6 * text];
  const left = clamp(x, 0, Math.max(context.canvas.width - wide, 0));
  const top = y >= high ? y - high : Math.min(y + height, context.canvas.height - high);
  context.fillRect(left, top, wide, high);
  context.fillStyle = INK;
  context.fillText(words, left + text / 2, top + high / 2);
}

/** A face with its heat and a scale of colours below, as a PNG. @param {Pixels} pixels @param {number[]} heat row by row */
export async function drawHeat({ data, width, height }, heat) {
  const context = canvas(HEAT_SIDE, HEAT_SIDE + SCALE_HEIGHT);
  const face = canvas(width, height);
  const opaque = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let from = 0, to = 0; from < data.length; from += 3, to += 4) opaque.set(data.subarray(from, from + 3), to);
  face.putImageData(new ImageData(opaque, width, height), 0, 0);
  context.fillStyle = INK;
  context.fillRect(0, 0, HEAT_SIDE, HEAT_SIDE + SCALE_HEIGHT);
  context.filter = "saturate(0.5)"; // Red lips must not look like heat.
  context.drawImage(face.canvas, 0, 0, HEAT_SIDE, HEAT_SIDE);
  context.filter = "none";
  const strongest = Math.max(...heat.map(Math.abs), 1e-6);
  const parts = canvas(GRID, GRID);
  heat.forEach((value, index) => {
    parts.fillStyle = `rgba(${value > 0 ? FOR : AGAINST}, ${(OPACITY * Math.abs(value)) / strongest})`;
    parts.fillRect(index % GRID, Math.floor(index / GRID), 1, 1);
  });
  context.imageSmoothingQuality = "high";
  context.drawImage(parts.canvas, 0, 0, HEAT_SIDE, HEAT_SIDE);
  drawScale(context);
  return context.canvas.convertToBlob({ type: "image/png" });
}

/** @param {OffscreenCanvasRenderingContext2D} context */
function drawScale(context) {
  const text = SCALE_HEIGHT / 3;
  const bar = context.createLinearGradient(text, 0, HEAT_SIDE - text, 0);
  [[0, AGAINST], [0.5, "190, 190, 190"], [1, FOR]].forEach(([at, tint]) => bar.addColorStop(Number(at), `rgb(${tint})`));
  context.fillStyle = bar;
  context.fillRect(text, HEAT_SIDE + text / 2, HEAT_SIDE - 2 * text, text / 2);
  context.fillStyle = PAPER;
  context.font = `${text}px sans-serif`;
  context.textBaseline = "middle";
  context.fillText("speaks against", text, HEAT_SIDE + 2.1 * text);
  context.textAlign = "right";
  context.fillText("speaks for", HEAT_SIDE - text, HEAT_SIDE + 2.1 * text);
}
