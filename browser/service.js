// @ts-check
// Takes the place of app/static/service.js: a worker in this browser answers, and no picture leaves it.

const ROOT = new URL("../", import.meta.url);
const UNREADABLE = "unreadable"; // A code of the page's own.
const OPEN = 1;
const CLOSED = 3;

let asked = 0;
let worker = /** @type {Worker | undefined} */ (undefined);
let kept = /** @type {Promise<Samples> | undefined} */ (undefined);
const waiting = /** @type {Map<number, { resolve: (answer: any) => void, reject: (refusal: Refusal) => void }>} */ (new Map());

/** Why there is no answer; `message` is for people. */
export class Refusal extends Error {
  wantsKey = false;
  retryAfter = 0;

  /** @param {string} message */
  constructor(message, status = 0, code = "") {
    super(message);
    this.status = status;
    this.code = code;
    this.passes = status === 0 && code !== UNREADABLE; // Whether the same question can succeed later.
    this.lasts = status >= 400 || code === UNREADABLE; // Whether it can never succeed.
  }
}

/** There are no keys here. */
export function useKey() {}

/** The labels and the examples, answered in advance. */
export function samples() {
  kept ??= fetched("static/samples/samples.json").then((answer) => answer.json());
  kept.catch(() => (kept = undefined));
  return kept;
}

/** The labels in the order of the model. @returns {Promise<Emotions>} */
export async function emotions() {
  return new Map((await samples()).emotions.map((emotion) => [emotion.name, emotion]));
}

/** A picture that comes with the page. @param {string} name */
export async function sampleFile(name) {
  return new File([await (await fetched(`static/samples/${name}`)).blob()], name, { type: "image/jpeg" });
}

/** @param {File} file @returns {Promise<Prediction>} */
export const predict = (file) => ask("predict", { file });

/** The picture with its boxes and labels, as a JPEG. @param {File} file @returns {Promise<Blob>} */
export const annotated = (file) => ask("annotated", { file });

/** What in a face speaks for a label: a PNG, and 36 numbers. @param {File} file @param {number} number @param {string} label @returns {Promise<{ image: Blob, heat: number[] }>} */
export const explanation = (file, number, label) => ask("explanation", { file, number, label });

/** @returns {Promise<Card>} the model's card */
export const model = async () => (await fetched("card.json")).json();

/** @returns {Promise<string>} */
export const version = async () => (await (await fetched("files.json")).json()).version;

/** Takes frames and answers them as the service's WebSocket does. */
export async function live() {
  await ask("ready", {});
  return /** @type {WebSocket} */ (/** @type {unknown} */ (new LiveWorker()));
}

/** Where a service of one's own takes pictures, for the snippets of code. */
export const endpoint = () => "http://localhost:8000/predict";

/** Whether requests carry a key. */
export const keyed = () => false;

class LiveWorker extends EventTarget {
  readyState = OPEN;
  #session = (asked += 1);
  #frames = 0;

  constructor() {
    super();
    setTimeout(() => this.dispatchEvent(new Event("open")));
  }

  /** @param {Blob} file */
  async send(file) {
    const number = (this.#frames += 1);
    try {
      const answer = await ask("frame", { file, number, session: this.#session });
      this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(answer) }));
    } catch (error) {
      this.close();
      this.dispatchEvent(new CloseEvent("close", { reason: /** @type {Error} */ (error).message }));
    }
  }

  close() {
    this.readyState = CLOSED;
    ask("close", { session: this.#session }).catch(() => {});
  }
}

/** @param {string} task @param {{ file?: Blob, number?: number, label?: string, session?: number }} details */
async function ask(task, details) {
  await details.file?.slice(0, 1).arrayBuffer().catch(() => {
    throw new Refusal("The file cannot be read. It may have been moved or changed; choose it again.", 0, UNREADABLE);
  });
  const id = (asked += 1);
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    started().postMessage({ id, task, ...details });
  });
}

/** The worker; it has the page's content security policy because its address is a blob. */
function started() {
  if (worker) return worker;
  const script = new Blob([`import "${new URL("browser/worker.js", ROOT)}";`], { type: "text/javascript" });
  const made = new Worker(URL.createObjectURL(script), { type: "module" });
  made.addEventListener("message", ({ data: { id, answer, refusal, share, failed } }) => {
    if (share !== undefined) return say(share < 1 ? `Loading what answers: ${Math.round(100 * share)}\u00a0%.` : "");
    if (failed !== undefined) return stop(failed);
    const { resolve, reject } = waiting.get(id) ?? {};
    waiting.delete(id);
    if (refusal) reject?.(new Refusal(refusal.message, refusal.status, refusal.code));
    else resolve?.(answer);
  });
  made.addEventListener("error", () => stop("Its files cannot be loaded."));
  return (worker = made);
}

/** Refuse what waits; the next question starts another worker. @param {string} reason */
function stop(reason) {
  worker?.terminate();
  worker = undefined;
  say(`The models cannot be loaded. ${reason}`);
  for (const { reject } of waiting.values()) reject(new Refusal(`The models cannot be loaded. ${reason}`));
  waiting.clear();
}

/** Beside the line that says what runs where. @param {string} words */
function say(words) {
  const line = document.querySelector("#progress");
  if (line) line.textContent = words;
}

/** @param {string} path */
async function fetched(path) {
  const answer = await fetch(new URL(path, ROOT)).catch(() => null);
  if (!answer?.ok) throw new Refusal(`${path} cannot be loaded.`);
  return answer;
}

if (document.querySelector("#progress")) started();
navigator.serviceWorker?.register(new URL("offline.js", ROOT));
