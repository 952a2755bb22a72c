// @ts-check
// The pictures of the page, chosen ones before the examples: one is shown, the others are a click away in a strip.

import { fromTemplate, part } from "./dom.js";
import { Picture } from "./picture.js";
import { sampleFile, samples } from "./service.js";
import { Total } from "./total.js";

/** @typedef {import("./picture.js").Source} Source @typedef {{ picture: Picture, thumb: HTMLElement, own: boolean }} Entry */

/** Owns the strip and what is under it. */
export class Gallery {
  #entries = /** @type {Entry[]} */ ([]); // In the order of the strip.
  #current = /** @type {Entry | undefined} */ (undefined); // The one that is shown, or will be once it is decoded.
  #queue;
  #strip;
  #results;
  #whenEmpty;
  #total;

  /**
   * @param {import("./queue.js").Queue} queue @param {HTMLElement} strip @param {HTMLElement} results
   * @param {() => void} whenEmpty called when the last chosen picture was removed
   */
  constructor(queue, strip, results, whenEmpty) {
    this.#queue = queue;
    this.#strip = strip;
    this.#results = results;
    this.#whenEmpty = whenEmpty;
    const total = part(document, "#total");
    this.#total = new Total(total, () => this.#own.map(({ picture }) => picture));
    part(total, "[data-action=clear]").addEventListener("click", () => {
      this.#own.forEach((entry) => this.#drop(entry));
      this.#empty();
    });
  }

  get #own() {
    return this.#entries.filter(({ own }) => own);
  }

  /** Put the examples into the strip, and show the first unless there is something to show. */
  async open() {
    const { pictures } = await samples();
    for (const sample of pictures) {
      const { file, title } = sample;
      const [address, thumb] = ["", "thumbs/"].map((folder) => `static/samples/${folder}${file}`);
      const entry = this.#entry({ name: file, address, thumb, sample, file: () => sampleFile(file) }, title);
      this.#entries.push(entry);
      entry.picture.run();
    }
    if (!this.#current) this.#show(this.#entries[0]);
  }

  /** Send pictures, and show the first. @param {Iterable<File>} files */
  add(files, { scroll = true } = {}) {
    const added = [...files].map((file) => {
      return this.#entry({ name: file.name, address: URL.createObjectURL(file), file: async () => file }, file.name);
    });
    if (!added.length) return;
    this.#entries.splice(this.#own.length, 0, ...added);
    for (const { picture } of added) this.#queue.add(picture);
    const first = (this.#current = added[0]);
    first.picture.ready.then(() => {
      if (this.#current !== first || !this.#entries.includes(first)) return; // Another was chosen, or it was removed.
      this.#show(first);
      if (scroll && this.#strip.getBoundingClientRect().top > 0.2 * innerHeight) this.#strip.scrollIntoView();
    });
  }

  /** Show an example again. */
  #empty() {
    this.#show(this.#entries[0]);
    this.#whenEmpty();
  }

  /** @param {Source} source @param {string} title */
  #entry(source, title) {
    const picture = new Picture(source);
    const entry = { picture, thumb: fromTemplate("thumb-template"), own: !source.sample };
    const button = part(entry.thumb, "button");
    /** @type {HTMLImageElement} */ (part(button, "img")).src = source.thumb ?? source.address;
    part(button, ".name").textContent = title;
    entry.thumb.classList.toggle("sample", !entry.own);
    button.addEventListener("click", () => this.#show(entry));
    picture.element.addEventListener("change-of-state", () => {
      part(button, ".sign").textContent = picture.sign;
      button.style.setProperty("--colour", picture.colour || "var(--quiet)");
      button.title = picture.summary;
      this.#total.show();
    });
    picture.element.addEventListener("again", () => {
      this.#queue.drop(picture);
      this.#queue.add(picture);
      this.#queue.go();
    });
    picture.element.addEventListener("remove", () => {
      const at = this.#entries.indexOf(entry);
      this.#drop(entry);
      const next = this.#own[Math.min(at, this.#own.length - 1)];
      if (!next) return this.#empty();
      this.#show(next);
      part(next.picture.element, "[data-action=remove]").focus();
    });
    picture.element.hidden = true;
    this.#results.append(picture.element);
    part(this.#strip, "ol").insertBefore(entry.thumb, entry.own ? part(this.#strip, "li.sample") : null);
    return entry;
  }

  /** @param {Entry} entry */
  #show(entry) {
    this.#current = entry;
    entry.picture.load();
    for (const { picture, thumb } of this.#entries) {
      picture.element.hidden = picture !== entry.picture;
      part(thumb, "button").setAttribute("aria-current", String(picture === entry.picture));
    }
    this.#total.show();
    const list = part(this.#strip, "ol");
    list.scrollLeft = entry.thumb.offsetLeft - (list.clientWidth - entry.thumb.clientWidth) / 2;
  }

  /** @param {Entry} entry */
  #drop({ picture, thumb }) {
    this.#entries = this.#entries.filter((one) => one.picture !== picture);
    this.#queue.drop(picture);
    picture.discard();
    thumb.remove();
  }
}
