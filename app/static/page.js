// @ts-check
// Where pictures come from: the example, the picker, a drop, the clipboard, the camera.

import { Camera } from "./camera.js";
import { part } from "./faces.js";
import { Gallery } from "./gallery.js";
import { Queue } from "./queue.js";
import { useKey, version } from "./service.js";

const EXAMPLE = "static/samples/astronaut.jpg";
const EXAMPLE_CAPTION = "An example: NASA's portrait of the astronaut Eileen Collins";

const find = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const [file, keyInput] = ["file", "key-input"].map((id) => /** @type {HTMLInputElement} */ (find(id)));
const queue = new Queue(askForKey);
const gallery = new Gallery(queue, find("strip"), find("results"), () => file.focus());
const camera = new Camera(find("camera"), (picture) => gallery.add([picture]), askForKey);

file.addEventListener("change", () => {
  gallery.add(file.files ?? []);
  file.value = ""; // so that choosing the same file again is a change
});
document.addEventListener("paste", (event) => gallery.add(event.clipboardData?.files ?? []));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", (event) => document.body.classList.toggle("over", event.relatedTarget !== null));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  gallery.add(event.dataTransfer?.files ?? []);
});
for (const button of [find("camera-button"), part(find("camera"), "[data-action=stop]")]) {
  button.addEventListener("click", toggleCamera);
}
find("key").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(keyInput.value.trim());
  find("key").hidden = true;
  find("key-error").textContent = "This key is not valid."; // Which is seen only if the service asks again.
  queue.go();
});
find("example-button").addEventListener("click", showExample);
showExample();
version().then((text) => (find("version").textContent = text), () => {});

async function showExample() {
  const picture = await fetch(EXAMPLE).then((answer) => (answer.ok ? answer.blob() : null)).catch(() => null);
  find("example-button").hidden = false; // From now on it is seen whenever there is no picture.
  if (!picture || find("results").childElementCount) return;
  gallery.add([new File([picture], "astronaut.jpg", { type: "image/jpeg" })], EXAMPLE_CAPTION);
}

function askForKey() {
  find("key").hidden = false;
  keyInput.focus();
}

async function toggleCamera() {
  if (camera.running) camera.stop();
  else await camera.start();
  find("camera-button").textContent = camera.running ? "Stop the camera" : "Use the camera";
  if (!camera.running) return;
  gallery.dropExample();
  find("camera").scrollIntoView();
}
