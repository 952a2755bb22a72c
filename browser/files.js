// @ts-check
// Fetches what the worker loads, checks it against the list of sizes and hashes, and keeps it in the browser's cache.

const KEPT = "models"; // Name of the cache; a file in it that the list does not know is fetched again.
const BEFORE_READY = 0.9; // Share of the progress that loading is; the rest is starting both libraries.

/** @typedef {{ path: string, bytes: number, sha256: string }} ListedFile */

/**
 * The files by name, unpacked.
 * @param {string} build of LiteRT @param {(share: number) => void} tell how much has come, 0 to 1
 * @returns {Promise<Record<string, Uint8Array>>}
 */
export async function unpacked(build, tell) {
  const { models, builds } = await (await fetched(new URL("../files.json", import.meta.url))).json();
  const list = /** @type {Record<string, ListedFile>} */ ({ ...models, ...builds[build] });
  const total = Object.values(list).reduce((sum, { bytes }) => sum + bytes, 0);
  const cache = await caches.open(KEPT);
  let come = 0;
  const told = (/** @type {number} */ bytes) => tell((BEFORE_READY * (come += bytes)) / total);
  told(0);
  const entries = Object.entries(list).map(async ([name, file]) => [name, await inflated(await packed(cache, file, told))]);
  return Object.fromEntries(await Promise.all(entries));
}

/** @param {Uint8Array} bytes of UTF-8 */
export const text = (bytes) => new TextDecoder().decode(bytes);

/** One file, from the cache if that has it as listed. @param {Cache} cache @param {ListedFile} file @param {(bytes: number) => void} told */
async function packed(cache, { path, bytes, sha256 }, told) {
  const address = new URL(`../${path}`, import.meta.url);
  const known = await cache.match(address);
  if (known) {
    const file = await known.arrayBuffer();
    if ((await digest(file)) === sha256) {
      told(bytes);
      return file;
    }
  }
  const answer = await fetched(address, { cache: "reload" });
  const counted = new TransformStream({
    transform(chunk, controller) {
      told(chunk.byteLength);
      controller.enqueue(chunk);
    },
  });
  const file = await new Response(answer.body?.pipeThrough(counted)).arrayBuffer();
  if ((await digest(file)) !== sha256) throw new Error(`${path} is not the file of this page's list.`);
  await cache.put(address, new Response(file));
  return file;
}

/** @param {URL} address @param {RequestInit} [options] */
async function fetched(address, options) {
  const answer = await fetch(address, options);
  if (!answer.ok) throw new Error(`${address.pathname} cannot be loaded: status ${answer.status}.`);
  return answer;
}

/** @param {ArrayBuffer} bytes */
async function digest(bytes) {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {ArrayBuffer} bytes of a gzip file */
async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
