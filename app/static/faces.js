// @ts-check
// Draws faces: their boxes over a picture, and a card with the probabilities of each. Knows nothing about the labels.

const between = new Intl.ListFormat("en", { type: "conjunction" });

/** @param {number} probability */
export function percent(probability) {
  return `${Math.round(100 * probability)}\u00a0%`;
}

/**
 * What the face shows, in a sentence that admits doubt.
 * @param {Pick<import("./service.js").Face, "certain" | "message" | "plausible">} face
 */
export function sentence({ certain, message, plausible }) {
  if (certain) return message;
  if (plausible.length === 1) return `Not sure; perhaps ${plausible[0]}.`;
  return `Not sure between ${between.format(plausible)}.`;
}

/**
 * Outlines of faces in percent of the upright picture, so that they fit it at any size.
 * @param {Element} svg @param {import("./service.js").Face[]} faces
 * @param {import("./service.js").Size} picture
 * @param {import("./service.js").Emotions} emotions
 */
export function drawBoxes(svg, faces, { width, height }, emotions, { mirrored = false, numbered = false } = {}) {
  const shapes = faces.flatMap((face, index) => {
    const box = face.face_coordinates;
    const left = mirrored ? width - box.x - box.width : box.x;
    const place = { x: `${(100 * left) / width}%`, y: `${(100 * box.y) / height}%` };
    const size = { width: `${(100 * box.width) / width}%`, height: `${(100 * box.height) / height}%` };
    const label = `${face.emotion}${face.certain ? "" : "?"}`;
    const words = numbered ? `${index + 1} ${label}` : `${label} ${percent(face.confidence)}`;
    const colour = emotions.get(face.emotion)?.colour ?? "#fff";
    const below = box.y < 0.08 * height; // No room for text above the box.
    const right = left + box.width > 0.75 * width; // Nor to the right of its left side.
    /** @type {Record<string, string>} */
    const start = right ? { x: `${(100 * (left + box.width)) / width}%`, "text-anchor": "end" } : {};
    return [
      shape("rect", { ...place, ...size, class: "halo" }),
      shape("rect", { ...place, ...size, stroke: colour }),
      shape("text", { ...place, ...start, dx: right ? -2 : 2, dy: below ? 20 : -8 }, words),
    ];
  });
  svg.replaceChildren(...shapes);
}

/** The first element in `root` that matches; there must be one. @param {ParentNode} root @param {string} selector */
export function part(root, selector) {
  return /** @type {HTMLElement} */ (root.querySelector(selector));
}

/** A copy of the element in a template of the page. @param {string} id */
export function fromTemplate(id) {
  const template = /** @type {HTMLTemplateElement} */ (document.getElementById(id));
  const copy = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
  return /** @type {HTMLElement} */ (copy.firstElementChild);
}

/** The card of one face; `update` shows another answer in it. */
export class FaceCard {
  #parts;
  #rows = /** @type {Map<string, { bar: HTMLElement, figure: HTMLElement }>} */ (new Map());
  #emotions;

  /** @param {import("./service.js").Emotions} emotions */
  constructor(emotions) {
    this.#emotions = emotions;
    this.element = fromTemplate("face-template");
    const names = ["number", "sign", "label", "percent", "sentence"];
    this.#parts = Object.fromEntries(names.map((name) => [name, part(this.element, `.${name}`)]));
  }

  /** @param {import("./service.js").Face} face @param {string | number} number */
  update(face, number = "") {
    const { number: count, sign, label, percent: share, sentence: words } = this.#parts;
    /** @type {[HTMLElement, string][]} */
    const texts = [
      [count, String(number)],
      [sign, this.#emotions.get(face.emotion)?.emoji ?? ""],
      [label, face.emotion],
      [share, percent(face.confidence)],
      [words, sentence(face)],
    ];
    for (const [shown, text] of texts) if (shown.textContent !== text) shown.textContent = text;
    for (const [name, probability] of Object.entries(face.probabilities)) {
      const { bar, figure } = this.#rows.get(name) ?? this.#addRow(name);
      bar.style.width = `${100 * probability}%`;
      figure.textContent = percent(probability);
    }
  }

  /** @param {string} name */
  #addRow(name) {
    const tags = ["tr", "th", "td", "td", "div", "div"];
    const [row, heading, cell, figure, track, bar] = tags.map((tag) => document.createElement(tag));
    heading.setAttribute("scope", "row");
    heading.textContent = name;
    bar.className = "bar";
    bar.style.background = this.#emotions.get(name)?.colour ?? "";
    track.className = "track";
    track.append(bar);
    cell.append(track);
    row.append(heading, cell, figure);
    part(this.element, "tbody").append(row);
    this.#rows.set(name, { bar, figure });
    return { bar, figure };
  }
}

/** @param {string} name @param {Record<string, string | number>} attributes */
function shape(name, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.textContent = text;
  return made;
}
