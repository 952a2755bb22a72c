// @ts-check
// Where pictures come from: the picker, a drop, the clipboard, the samples, the camera.

import { Camera } from "./camera.js";
import { Picture } from "./picture.js";
import { emotions, useKey } from "./service.js";

const AT_ONCE = 2;

const find = (id) => document.getElementById(id);
const [drop, results, keyForm, keyError, cameraButton] = [
  "drop", "results", "key", "key-error", "camera-button",
].map(find);
const [file, keyInput] = ["file", "key-input"].map((id) => /** @type {HTMLInputElement} */ (find(id)));
const camera = new Camera(find("camera"));

let waiting = []; // pictures that are not sent yet
let working = 0;
let known = begin();

file.addEventListener("change", () => {
  add(file.files);
  file.value = ""; // so that choosing the same file again is a change
});
document.addEventListener("paste", (event) => add(event.clipboardData.files));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
document.addEventListener("dragleave", (event) => drop.classList.toggle("over", event.relatedTarget !== null));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  add(event.dataTransfer.files);
});
find("samples").addEventListener("click", async (event) => {
  /** @type {HTMLElement} */
  const sample = /** @type {Element} */ (event.target).closest("[data-sample]");
  if (sample) add([await drawn(sample.querySelector("img"), `${sample.dataset.sample}.jpg`)]);
});
cameraButton.addEventListener("click", toggleCamera);
keyForm.addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(keyInput.value.trim());
  known = begin();
});

/** Show each picture and send it in its turn; the newest is on top. */
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
  const picture = waiting.shift();
  work();
  await picture.analyse().catch((error) => askForKey(error));
  working -= 1;
  work();
}

/** Get to know the labels; without a key that is needed there are none. */
async function begin() {
  try {
    const signs = await emotions();
    keyForm.hidden = true;
    return signs;
  } catch (error) {
    askForKey(error);
    return new Map();
  }
}

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
      find("camera").querySelector(".status").textContent = error.message;
    });
  }
  cameraButton.querySelector("strong").textContent = camera.running ? "Stop the camera" : "Use the camera";
}

/** A drawing as the JPEG file that a camera might have made of it. */
async function drawn(image, name) {
  await image.decode();
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: image.naturalWidth, height: image.naturalHeight });
  canvas.getContext("2d").drawImage(image, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
  return new File([blob], name, { type: blob.type });
}
