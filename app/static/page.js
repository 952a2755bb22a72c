// @ts-check
// Where pictures come from: the examples, the picker, a drop, the clipboard, the camera; and videos.

import { Camera } from "./camera.js";
import { Clip } from "./clip.js";
import { part } from "./dom.js";
import { pictures } from "./drops.js";
import { Gallery } from "./gallery.js";
import { Queue } from "./queue.js";
import { useKey, version } from "./service.js";

const find = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const [file, keyInput] = ["file", "key-input"].map((id) => /** @type {HTMLInputElement} */ (find(id)));
const queue = new Queue(askForKey);
const gallery = new Gallery(queue, find("strip"), find("results"), () => file.focus());
const camera = new Camera(find("camera"), (picture) => gallery.add([picture], { scroll: false }), askForKey);
const clip = new Clip(find("clip"), askForKey);
let before = /** @type {HTMLElement | null} */ (null); // What had the focus when the key was asked for.

file.addEventListener("change", () => {
  take(file.files ?? []);
  file.value = ""; // so that choosing the same file again is a change
});
document.addEventListener("paste", (event) => take(event.clipboardData?.files ?? []));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", (event) => document.body.classList.toggle("over", event.relatedTarget !== null));
document.addEventListener("drop", async (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  take(await pictures(event.dataTransfer));
});
find("camera-button").addEventListener("click", () => {
  if (camera.open) return hideCamera();
  clip.hide();
  camera.show();
  find("camera-button").setAttribute("aria-expanded", "true");
  find("camera").scrollIntoView({ block: "nearest" });
});
for (const action of ["stop", "cancel"]) part(find("camera"), `[data-action=${action}]`).addEventListener("click", hideCamera);
part(find("clip"), "[data-action=close]").addEventListener("click", () => file.focus());
find("key").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(keyInput.value.trim());
  find("key").hidden = true;
  find("key-error").textContent = "This key is not valid."; // Which is seen only if the service asks again.
  (before?.isConnected && before !== document.body ? before : file).focus();
  queue.go();
});
gallery.open().catch(() => {});
version().then((text) => (find("version").textContent = text), () => {});

/** @param {Iterable<File>} files */
function take(files) {
  const [video] = [...files].filter(({ type }) => type.startsWith("video/"));
  if (video) {
    if (camera.open) hideCamera();
    clip.show(video);
  }
  gallery.add([...files].filter(({ type }) => !type.startsWith("video/")));
}

function hideCamera() {
  camera.hide();
  find("camera-button").setAttribute("aria-expanded", "false");
  find("camera-button").focus();
}

function askForKey() {
  if (!find("key").hidden) return;
  before = /** @type {HTMLElement | null} */ (document.activeElement);
  find("key").hidden = false;
  keyInput.focus();
}
