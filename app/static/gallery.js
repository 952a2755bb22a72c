// @ts-check
// The pictures of the page: one is shown, the others are a click away in a strip.

import { fromTemplate, part } from "./faces.js";
import { Picture } from "./picture.js";

/** @typedef {{ picture: Picture, thumb: HTMLElement }} Entry */

/** Owns the strip and what is under it. */
export class Gallery {
  #entries = /** @type {Entry[]} */ ([]);
  #current = /** @type {Entry | undefined} */ (undefined); // The one that is shown, or will be once it is decoded.
  #queue;
  #strip;
  #results;
  #whenEmpty;

  /**
   * @param {import("./queue.js").Queue} queue @param {HTMLElement} strip @param {HTMLElement} results
   * @param {() => void} whenEmpty called when the last picture was removed
   */
  constructor(queue, strip, results, whenEmpty) {
    this.#queue = queue;
    this.#strip = strip;
    this.#results = results;
    this.#whenEmpty = whenEmpty;
    part(strip, "[data-action=clear]").addEventListener("click", () => {
      this.#entries.forEach((entry) => this.#drop(entry));
      whenEmpty();
    });
  }

  /** Send pictures and show the first; an example gives way. @param {Iterable<File>} files @param {string} [caption] */
  add(files, caption = "") {
    const added = [...files].map((file) => this.#entry(new Picture(file, caption)));
    if (!added.length) return;
    this.dropExample();
    this.#entries.push(...added);
    for (const { picture } of added) this.#queue.add(picture);
    const first = (this.#current = added[0]);
    first.picture.ready.then(() => {
      if (this.#current !== first || !this.#entries.includes(first)) return; // Another was chosen, or it was removed.
      this.#show(first);
      first.picture.bringIntoView();
    });
  }

  dropExample() {
    this.#entries.filter(({ picture }) => picture.caption).forEach((entry) => this.#drop(entry));
  }

  /** @param {Picture} picture */
  #entry(picture) {
    const entry = { picture, thumb: fromTemplate("thumb-template") };
    const button = part(entry.thumb, "button");
    /** @type {HTMLImageElement} */ (part(button, "img")).src = picture.address;
    part(button, ".name").textContent = picture.name;
    button.addEventListener("click", () => this.#show(entry));
    picture.element.addEventListener("change-of-state", () => {
      part(button, ".sign").textContent = picture.sign;
      button.title = picture.summary;
      if (!picture.element.hidden) picture.bringIntoView();
    });
    picture.element.addEventListener("again", () => {
      this.#queue.drop(picture);
      this.#queue.add(picture);
      this.#queue.go();
    });
    picture.element.addEventListener("remove", () => {
      const at = this.#entries.indexOf(entry);
      this.#drop(entry);
      const next = this.#entries[at] ?? this.#entries[at - 1];
      if (!next) return this.#whenEmpty();
      this.#show(next);
      part(next.picture.element, "[data-action=remove]").focus();
    });
    picture.element.hidden = true;
    this.#results.append(picture.element);
    part(this.#strip, "ol").append(entry.thumb);
    return entry;
  }

  /** @param {Entry} entry */
  #show(entry) {
    this.#current = entry;
    this.#strip.hidden = this.#entries.length < 2;
    for (const { picture, thumb } of this.#entries) {
      picture.element.hidden = picture !== entry.picture;
      part(thumb, "button").setAttribute("aria-current", String(picture === entry.picture));
    }
    const list = part(this.#strip, "ol");
    list.scrollLeft = entry.thumb.offsetLeft - (list.clientWidth - entry.thumb.clientWidth) / 2;
  }

  /** @param {Entry} entry */
  #drop({ picture, thumb }) {
    this.#entries = this.#entries.filter((one) => one.picture !== picture);
    this.#queue.drop(picture);
    picture.discard();
    thumb.remove();
    this.#strip.hidden = this.#entries.length < 2;
  }
}
