// @ts-check
// The service worker: after the first visit the page works without a network. Models are kept by files.js.

const VERSION = "development"; // `scripts/space` writes the digest of the list here.
const KEPT = "models";
const scope = /** @type {any} */ (self); // The checker's library is that of pages.

scope.addEventListener("install", (/** @type {any} */ event) => event.waitUntil(install()));
scope.addEventListener("activate", (/** @type {any} */ event) => event.waitUntil(activate()));
scope.addEventListener("fetch", (/** @type {any} */ event) => event.respondWith(answer(event.request)));

async function install() {
  const list = await (await fetch("files.json", { cache: "reload" })).json();
  const cache = await caches.open(VERSION);
  await cache.addAll(["./", "files.json", ...Object.keys(list.page)].map((path) => new Request(path, { cache: "reload" })));
  await scope.skipWaiting();
}

async function activate() {
  const others = (await caches.keys()).filter((name) => name !== VERSION && name !== KEPT);
  await Promise.all(others.map((name) => caches.delete(name)));
  await scope.clients.claim();
}

/** @param {Request} request */
async function answer(request) {
  const cache = await caches.open(VERSION);
  return (await cache.match(request, { ignoreSearch: true })) ?? fetch(request);
}
