// @ts-check
// From a picture to code: the same question in a shell, in Python and in JavaScript, and the answer, whose lines light up.

import { part } from "./dom.js";
import { endpoint, keyed } from "./service.js";

/** The panel of one picture. */
export class Snippets {
  #root;
  #name;
  #answer = "";
  #kind = "curl";

  /** @param {HTMLElement} root @param {string} name of the picture's file */
  constructor(root, name) {
    this.#root = root;
    this.#name = name;
    for (const button of this.#buttons) {
      button.addEventListener("click", () => {
        this.#kind = button.dataset.kind ?? "";
        this.#write();
      });
    }
    const copy = /** @type {HTMLButtonElement} */ (part(root, "[data-action=copy]"));
    copy.addEventListener("click", () => this.#copy(copy));
  }

  /** @param {Prediction} prediction */
  show(prediction) {
    this.#answer = JSON.stringify(prediction, null, 2);
    this.#write();
  }

  /** Light the lines of one face. @param {number} index -1 for none */
  light(index) {
    this.#root.querySelectorAll("code span").forEach((lines, at) => lines.classList.toggle("lit", at === index));
  }

  get #buttons() {
    return /** @type {NodeListOf<HTMLButtonElement>} */ (this.#root.querySelectorAll("[data-kind]"));
  }

  #write() {
    for (const button of this.#buttons) button.setAttribute("aria-pressed", String(button.dataset.kind === this.#kind));
    const write = { curl, python, javascript }[this.#kind];
    part(this.#root, "code").replaceChildren(...(write ? [write(this.#name)] : pieces(this.#answer)));
  }

  /** @param {HTMLButtonElement} button */
  async #copy(button) {
    const text = part(this.#root, "code").textContent ?? "";
    const done = await navigator.clipboard?.writeText(text).then(() => true, () => false); // Not over plain HTTP.
    if (!done) return void prompt("Copy this:", text);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  }
}

/** @param {string} name */
function curl(name) {
  const words = ["curl", "-F", `file=@"${name.replace(/["\\]/g, "\\$&")}"`, endpoint()];
  if (keyed()) words.splice(1, 0, "-H", "X-API-Key: ...");
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");
}

/** @param {string} name */
const python = (name) => `import requests

with open(${JSON.stringify(name)}, "rb") as picture:
    answer = requests.post(
        ${JSON.stringify(endpoint())},
        files={"file": picture},${keyed() ? '\n        headers={"X-API-Key": "..."},' : ""}
        timeout=30,
    ).json()
for face in answer.get("faces", []):
    print(face["emotion"], face["confidence"], face["face_coordinates"])
`;

/** @param {string} name */
const javascript = (name) => `// ${name.replaceAll("\n", " ")} is what a person chose in <input type="file">.
const body = new FormData();
body.append("file", document.querySelector("input[type=file]").files[0]);
const response = await fetch(${JSON.stringify(endpoint())}, {
  method: "POST",${keyed() ? '\n  headers: { "X-API-Key": "..." },' : ""}
  body,
});
const answer = await response.json();
for (const face of answer.faces ?? []) {
  console.log(face.emotion, face.confidence, face.face_coordinates);
}
`;

/** An answer in pieces, of which those of faces can be lit. @param {string} json */
function pieces(json) {
  const nodes = /** @type {(string | Node)[]} */ ([]);
  const [open, close] = ['\n  "faces": [\n', "\n  ],"];
  const [start, end] = [json.indexOf(open) + open.length, json.indexOf(close, json.indexOf(open))];
  nodes.push(json.slice(0, start));
  for (const textContent of json.slice(start, end).split(/(?<=^    \},?\n)/m)) {
    nodes.push(Object.assign(document.createElement("span"), { textContent }));
  }
  nodes.push(json.slice(end));
  return nodes;
}
