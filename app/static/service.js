// @ts-check
// Talks to the service. The only file that knows its addresses and the API key.

/**
 * @typedef {{ x: number, y: number, width: number, height: number }} Box
 * @typedef {{ emotion: string, confidence: number, probabilities: Record<string, number>, message: string,
 *   face_coordinates: Box, certain: boolean, plausible: string[], detection: number, angle: number | null,
 *   landmarks: Record<string, { x: number, y: number }> | null }} Face
 * @typedef {{ width: number, height: number }} Size
 * @typedef {{ faces: Face[], image: Size, timings_ms: Record<string, number> }} Prediction
 * @typedef {Face & { id: number }} LiveFace
 * @typedef {{ frame: number, faces?: LiveFace[], image?: Size, error?: string }} LiveAnswer an error has no faces
 * @typedef {{ name: string, emoji: string, colour: string }} Emotion
 * @typedef {Map<string, Emotion>} Emotions
 * @typedef {Error & { status?: number, code?: string }} Failure what asking throws: a `Refusal`, or another error
 */

const KEY = "expressions-key";

let key = sessionStorage.getItem(KEY) ?? "";

/** An answer that is not 2xx, or none at all; `message` is for people. */
export class Refusal extends Error {
  /** @param {string} message @param {{ status?: number, code?: string }} problem */
  constructor(message, { status = 0, code = "" } = {}) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** @param {string} text */
export function useKey(text) {
  key = text;
  sessionStorage.setItem(KEY, text);
}

/** @returns {Promise<Emotions>} the labels in the order of the model, each with its emoji and colour */
export async function emotions() {
  const answer = await ask("emotions");
  /** @type {{ details: Emotion[] }} */
  const { details } = await answer.json();
  return new Map(details.map((emotion) => [emotion.name, emotion]));
}

/** @param {File} picture @returns {Promise<Prediction>} what `/predict` answers about it */
export async function predict(picture) {
  const answer = await ask("predict", picture);
  return answer.json();
}

/** The picture with its boxes and bars, as a JPEG. @param {File} picture */
export async function annotated(picture) {
  const answer = await ask("predict/annotated", picture);
  return answer.blob();
}

/** A PNG of what in a face speaks for a label. @param {File} picture @param {number} number @param {string} label */
export async function explanation(picture, number, label) {
  const answer = await ask(`explain?${new URLSearchParams({ face: String(number), label })}`, picture);
  return answer.blob();
}

/** A WebSocket that takes frames and answers them. */
export function live() {
  const address = new URL("live", document.baseURI);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(address, key ? ["expressions", `key.${key}`] : ["expressions"]);
}

/** The command that asks the same in a shell. @param {string} name */
export function curl(name) {
  const file = `file=@"${name.replace(/["\\]/g, "\\$&")}"`;
  const words = ["curl", "-F", file, new URL("predict", document.baseURI).href];
  if (key) words.splice(1, 0, "-H", "X-API-Key: ...");
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");
}

/** @param {string} path @param {File} [picture] */
async function ask(path, picture) {
  /** @type {RequestInit} */
  const options = { headers: key ? { "X-API-Key": key } : {} };
  if (picture) {
    options.method = "POST";
    options.body = new FormData();
    options.body.append("file", picture);
  }
  const answer = await fetch(path, options).catch(() => {
    throw new Refusal("The service cannot be reached.");
  });
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({ status: answer.status }));
  throw new Refusal(problem.detail ?? `The service answered with status ${answer.status}.`, problem);
}
