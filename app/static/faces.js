// @ts-check
// The card of a face: what it shows, how sure that is, and all probabilities. Knows nothing about the labels.

const SURE = 0.75; // `detection` from which a face is shown without a remark.
const either = new Intl.ListFormat("en", { type: "disjunction" });

/** @param {number} share */
export const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)}\u00a0%`;

/** @param {Face} face */
export const label = ({ certain, emotion }) => (certain ? emotion : `${emotion}?`);

/** @param {Face} face */
export const weak = ({ detection }) => detection < SURE;

/** What there is to doubt about a face, in sentences; empty if nothing. @param {Face} face */
export function doubt(face) {
  const rivals = face.plausible.filter((name) => name !== face.emotion);
  const unsure = rivals.length ? `Not sure: it may be ${either.format(rivals)}.` : "Not sure.";
  return `${face.certain ? "" : unsure} ${weak(face) ? `Weak detection: ${percent(face.detection)}.` : ""}`.trim();
}

/** The first element in `root` that matches; there must be one. @param {ParentNode} root @param {string} selector */
export const part = (root, selector) => /** @type {HTMLElement} */ (root.querySelector(selector));

/** A copy of the element in a template of the page. @param {string} id */
export function fromTemplate(id) {
  const template = /** @type {HTMLTemplateElement} */ (document.getElementById(id));
  return /** @type {HTMLElement} */ (document.importNode(template.content, true).firstElementChild);
}

/** The card of one face; `update` shows another answer in it. */
export class FaceCard {
  #rows = /** @type {Map<string, HTMLElement>} */ (new Map());
  #emotions;

  /** @param {Emotions} emotions @param {boolean} open whether all probabilities are shown */
  constructor(emotions, open) {
    this.#emotions = emotions;
    this.element = fromTemplate("face-template");
    this.details = part(this.element, "details");
    this.details.toggleAttribute("open", open);
    for (const name of emotions.keys()) {
      const row = fromTemplate("row-template");
      part(row, "th").textContent = name;
      this.#rows.set(name, row);
    }
    part(this.element, "tbody").append(...this.#rows.values());
  }

  /** @param {Face} face */
  update(face, number = "") {
    const sign = this.#emotions.get(face.emotion)?.emoji ?? "";
    const texts = { number, sign, label: label(face), percent: percent(face.confidence), doubt: doubt(face) };
    for (const [name, text] of Object.entries(texts)) part(this.element, `.${name}`).textContent = text;
    this.element.classList.toggle("unsure", !face.certain);
    this.element.classList.toggle("weak", weak(face));
    this.#fill(part(this.element, ".bar"), face.emotion, face.confidence);
    for (const [name, row] of this.#rows) {
      this.#fill(part(row, ".bar"), name, face.probabilities[name]);
      part(row, "td:last-child").textContent = percent(face.probabilities[name]);
    }
  }

  /** Show the face itself, with what is around it. @param {HTMLImageElement} image @param {Box} box in its pixels */
  crop(image, { x, y, width, height }) {
    const canvas = /** @type {HTMLCanvasElement} */ (part(this.element, ".crop"));
    const [left, top, side] = [x - 0.15 * width, y - 0.15 * height, canvas.width];
    canvas.getContext("2d")?.drawImage(image, left, top, 1.3 * width, 1.3 * height, 0, 0, side, side);
    canvas.hidden = !image.naturalWidth;
  }

  /** @param {HTMLElement} bar @param {string} name @param {number} probability */
  #fill(bar, name, probability) {
    bar.style.width = `${100 * probability}%`;
    bar.style.setProperty("--colour", this.#emotions.get(name)?.colour ?? "gray");
  }
}
