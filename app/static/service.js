// @ts-check
// Talks to the service. The only file that knows its addresses and the API key.

const KEY = "expressions-key";
const UNREADABLE = "unreadable"; // A code of the page's own.
const LONGEST_WAIT = 60_000; // Milliseconds for an answer.

let key = sessionStorage.getItem(KEY) ?? "";
let kept = /** @type {Promise<Samples> | undefined} */ (undefined);

/** An answer that is not 2xx, or none at all (status 0); `message` is for people. */
export class Refusal extends Error {
  /** @param {string} message @param {string | null} [retryAfter] in seconds */
  constructor(message, status = 0, code = "", retryAfter = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = Number(retryAfter) || 0; // 0 when the service did not say.
    this.passes = [0, 429, 502, 503, 504].includes(status) && code !== UNREADABLE; // Whether the same request can succeed later.
    this.wantsKey = status === 401;
    this.lasts = (status >= 400 && status < 500) || code === UNREADABLE; // Whether it can never succeed.
  }
}

/** @param {string} text */
export function useKey(text) {
  key = text;
  sessionStorage.setItem(KEY, text);
}

/** The labels and the examples, which come with the page and need no key; asked for until they have come. */
export function samples() {
  kept ??= ask("static/samples/samples.json").then((answer) => answer.json());
  kept.catch(() => (kept = undefined));
  return kept;
}

/** The labels in the order of the model. @returns {Promise<Emotions>} */
export async function emotions() {
  return new Map((await samples()).emotions.map((emotion) => [emotion.name, emotion]));
}

/** A picture that comes with the page. @param {string} name */
export async function sampleFile(name) {
  return new File([await (await ask(`static/samples/${name}`)).blob()], name, { type: "image/jpeg" });
}

/** @param {File} picture @returns {Promise<Prediction>} what `/predict` answers about it */
export async function predict(picture) {
  return (await ask("predict", picture)).json();
}

/** The picture with its boxes and bars, as a JPEG. @param {File} picture */
export async function annotated(picture) {
  return (await ask("predict/annotated", picture)).blob();
}

/** What in a face speaks for a label: a PNG, and 36 numbers. @param {File} picture @param {number} number @param {string} label */
export async function explanation(picture, number, label) {
  const answer = await ask(`explain?${new URLSearchParams({ face: String(number), label })}`, picture);
  return { image: await answer.blob(), heat: (answer.headers.get("X-Heat") ?? "").split(",").map(Number) };
}

/** @returns {Promise<Card>} what `/model` answers */
export async function model() {
  return (await ask("model")).json();
}

/** The service's version, which needs no key. @returns {Promise<string>} */
export async function version() {
  return (await (await ask("health")).json()).version;
}

/** A WebSocket that takes frames and answers them; asks first, because browsers keep to themselves why one is refused. */
export async function live() {
  await ask("emotions");
  const address = new URL("live", document.baseURI);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(address, key ? ["expressions", `key.${key}`] : ["expressions"]);
}

/** Where pictures are posted to. */
export const endpoint = () => new URL("predict", document.baseURI).href;

/** Whether requests carry a key. */
export const keyed = () => key !== "";

/** @param {string} path @param {File} [picture] */
async function ask(path, picture) {
  /** @type {RequestInit} */
  const options = { headers: key ? { "X-API-Key": key } : {}, signal: AbortSignal.timeout(LONGEST_WAIT) };
  if (picture) {
    options.method = "POST";
    options.body = new FormData();
    options.body.append("file", picture);
  }
  const answer = await fetch(path, options).catch(async ({ name }) => {
    await picture?.arrayBuffer().catch(() => {
      throw new Refusal("The file cannot be read. It may have been moved or changed; choose it again.", 0, UNREADABLE);
    });
    throw new Refusal(name === "TimeoutError" ? "The service did not answer." : "The service cannot be reached.");
  });
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  const words = problem.detail ?? `The service answered with status ${answer.status}.`;
  throw new Refusal(words, answer.status, problem.code, answer.headers.get("Retry-After"));
}
