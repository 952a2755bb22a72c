// @ts-check
// Talks to the service. The only file that knows its addresses and the API key.

const KEY = "expressions-key";
const LONGEST_WAIT = 60_000; // Milliseconds for an answer.

let key = sessionStorage.getItem(KEY) ?? "";
let labels = /** @type {Promise<Emotions> | undefined} */ (undefined);

/** An answer that is not 2xx, or none at all (status 0); `message` is for people. */
export class Refusal extends Error {
  /** @param {string} message @param {string | null} [retryAfter] in seconds */
  constructor(message, status = 0, code = "", retryAfter = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = Number(retryAfter) || 0; // 0 when the service did not say.
    this.passes = [0, 429, 502, 503, 504].includes(status); // Whether the same request can succeed later.
    this.wantsKey = status === 401;
  }
}

/** @param {string} text */
export function useKey(text) {
  key = text;
  sessionStorage.setItem(KEY, text);
}

/** The labels in the order of the model, each with its emoji and colour; asked for until the service has answered. */
export function emotions() {
  labels ??= ask("emotions")
    .then((answer) => answer.json())
    .then(({ details }) => new Map(details.map((/** @type {Emotion} */ one) => [one.name, one])));
  labels.catch(() => (labels = undefined));
  return labels;
}

/** @param {File} picture @returns {Promise<Prediction>} what `/predict` answers about it */
export async function predict(picture) {
  return (await ask("predict", picture)).json();
}

/** The picture with its boxes and bars, as a JPEG. @param {File} picture */
export async function annotated(picture) {
  return (await ask("predict/annotated", picture)).blob();
}

/** A PNG of what in a face speaks for a label. @param {File} picture @param {number} number @param {string} label */
export async function explanation(picture, number, label) {
  return (await ask(`explain?${new URLSearchParams({ face: String(number), label })}`, picture)).blob();
}

/** @returns {Promise<Card>} what `/model` answers */
export async function model() {
  return (await ask("model")).json();
}

/** The service's version, which needs no key. @returns {Promise<string>} */
export async function version() {
  return (await (await ask("health")).json()).version;
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
  const options = { headers: key ? { "X-API-Key": key } : {}, signal: AbortSignal.timeout(LONGEST_WAIT) };
  if (picture) {
    options.method = "POST";
    options.body = new FormData();
    options.body.append("file", picture);
  }
  const answer = await fetch(path, options).catch(({ name }) => {
    throw new Refusal(name === "TimeoutError" ? "The service did not answer." : "The service cannot be reached.");
  });
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  const words = problem.detail ?? `The service answered with status ${answer.status}.`;
  throw new Refusal(words, answer.status, problem.code, answer.headers.get("Retry-After"));
}
