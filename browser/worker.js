// @ts-check
// The worker: loads the models once, then answers what service.js asks.

import { Analyzer, NoFace } from "./analyzer.js";
import { BadPicture, decoded } from "./decoder.js";
import { drawFaces, drawHeat } from "./drawing.js";
import { text, unpacked } from "./files.js";
import { build } from "./litert.js";
import { LiveSession } from "./live_session.js";

/** @typedef {{ id: number, task: keyof typeof tasks, file: Blob, number: number, label: string, session: number }} Question */

const sessions = /** @type {Map<number, LiveSession>} */ (new Map());
const analyzer = load();
analyzer.then(() => postMessage({ share: 1 }), ({ message }) => postMessage({ failed: message }));

const tasks = {
  async ready() {
    await analyzer;
  },
  /** @param {Question} question */
  async predict({ file }) {
    const started = performance.now();
    const pixels = await decoded(file);
    const decode = performance.now() - started;
    const { prediction } = (await analyzer).analyze(pixels);
    const { timings_ms: timings } = prediction;
    return { ...prediction, timings_ms: { ...timings, decode, total: timings.total + decode } };
  },
  /** @param {Question} question */
  async annotated(question) {
    return drawFaces(question.file, await tasks.predict(question));
  },
  /** @param {Question} question */
  async explanation({ file, number, label }) {
    const pixels = await decoded(file);
    const { heat, face } = await (await analyzer).explain(pixels, number, label, pause);
    return { heat, image: await drawHeat(face, heat) };
  },
  /** @param {Question} question */
  async frame({ file, number, session }) {
    const known = sessions.get(session) ?? new LiveSession(await analyzer);
    sessions.set(session, known);
    return known.answer(await decoded(file), number);
  },
  /** @param {Question} question */
  async close({ session }) {
    sessions.delete(session);
  },
};

/** Other questions get their turn. @returns {Promise<void>} */
const pause = () => new Promise((resolve) => setTimeout(resolve));

addEventListener("message", async (/** @type {MessageEvent<Question>} */ { data: question }) => {
  try {
    postMessage({ id: question.id, answer: await tasks[question.task](question) });
  } catch (error) {
    const known = error instanceof NoFace || error instanceof BadPicture;
    if (!known) console.error(error);
    const { message, code } = known ? error : { message: "The browser could not answer.", code: "internal_error" };
    postMessage({ id: question.id, refusal: { message, code, status: known ? 400 : 500 } });
  }
});

async function load() {
  const files = await unpacked(build(), (share) => postMessage({ share }));
  const { opencv, litert, wasm, cascade, blazeface, classifier } = files;
  const scripts = { opencv: text(opencv), litert: text(litert), cascade: text(cascade) };
  return Analyzer.load({ ...scripts, wasm, blazeface, classifier });
}
