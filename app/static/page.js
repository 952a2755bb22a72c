// @ts-check
// Where pictures come from: the picker, a drop, the clipboard, the samples, the camera.

import { Camera } from "./camera.js";
import { part } from "./faces.js";
import { Picture } from "./picture.js";
import { emotions, useKey } from "./service.js";

const AT_ONCE = 2;

const find = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const [drop, results, keyForm, keyError, cameraButton] = [
  "drop", "results", "key", "key-error", "camera-button",
].map(find);
const [file, keyInput] = ["file", "key-input"].map((id) => /** @type {HTMLInputElement} */ (find(id)));
const camera = new Camera(find("camera"));

let waiting = /** @type {Picture[]} */ ([]); // pictures that are not sent yet
let working = 0;
let known = begin();

file.addEventListener("change", () => {
  add(file.files ?? []);
  file.value = ""; // so that choosing the same file again is a change
});
document.addEventListener("paste", (event) => add(event.clipboardData?.files ?? []));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
document.addEventListener("dragleave", (event) => drop.classList.toggle("over", event.relatedTarget !== null));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  add(event.dataTransfer?.files ?? []);
});
find("samples").addEventListener("click", async (event) => {
  /** @type {HTMLElement | null} */
  const sample = /** @type {Element} */ (event.target).closest("[data-sample]");
  if (sample) add([await drawn(/** @type {HTMLImageElement} */ (part(sample, "img")), `${sample.dataset.sample}.jpg`)]);
});
cameraButton.addEventListener("click", toggleCamera);
keyForm.addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(keyInput.value.trim());
  known = begin();
});

/** Show each picture and send it in its turn; the newest is on top. @param {Iterable<File>} files */
async function add(files) {
  const chosen = [...files]; // The list itself does not outlive its event.
  const signs = await known;
  for (const one of chosen) {
    const picture = new Picture(one, signs);
    results.prepend(picture.element);
    picture.tell(signs.size ? "Waiting\u2026" : "The service asks for an API key first.", !signs.size);
    if (signs.size) waiting.push(picture);
  }
  work();
}

async function work() {
  if (working >= AT_ONCE || !waiting.length) return;
  working += 1;
  const picture = /** @type {Picture} */ (waiting.shift());
  work();
  await picture.analyse().catch((error) => askForKey(error));
  working -= 1;
  work();
}

/** The labels; without a key that is needed there are none. @returns {Promise<import("./service.js").Emotions>} */
async function begin() {
  try {
    const signs = await emotions();
    keyForm.hidden = true;
    return signs;
  } catch (error) {
    askForKey(/** @type {import("./service.js").Failure} */ (error));
    return new Map();
  }
}

/** @param {import("./service.js").Failure} error */
function askForKey(error) {
  if (error.status !== 401) return;
  keyError.textContent = keyForm.hidden ? "" : error.message;
  keyForm.hidden = false;
  keyInput.focus();
}

async function toggleCamera() {
  if (camera.running) camera.stop();
  else {
    const signs = await known;
    if (!signs.size) return;
    await camera.start(signs).catch((error) => {
      camera.stop();
      find("camera").hidden = false;
      part(find("camera"), ".status").textContent = error.message;
    });
  }
  part(cameraButton, "strong").textContent = camera.running ? "Stop the camera" : "Use the camera";
}

/** A drawing as the JPEG file a camera might have made of it. @param {HTMLImageElement} image @param {string} name */
async function drawn(image, name) {
  await image.decode();
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: image.naturalWidth, height: image.naturalHeight });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.drawImage(image, 0, 0);
  /** @type {Blob} */
  const blob = await new Promise((resolve) => canvas.toBlob(/** @type {BlobCallback} */ (resolve), "image/jpeg", 0.92));
  return new File([blob], name, { type: blob.type });
}
