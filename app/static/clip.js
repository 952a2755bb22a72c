// @ts-check
// A video file: plays in the page, its frames go to the service, and what they show is drawn below.

import { part, save } from "./dom.js";
import { Live } from "./live.js";
import { Overlay } from "./overlay.js";
import { emotions } from "./service.js";
import { Stream } from "./stream.js";
import { table } from "./total.js";
import { counted } from "./words.js";

/** Owns the video's section of the page. */
export class Clip {
  #section;
  #part;
  #video;
  #overlay;
  #stream;
  #live;
  #labels = /** @type {Emotions} */ (new Map());
  #rows = /** @type {Map<number, unknown[][]>} */ (new Map()); // of the table, by time
  #name = "";

  /** @param {HTMLElement} section @param {() => void} askForKey called when the service wants a key */
  constructor(section, askForKey) {
    this.#section = section;
    this.#part = (/** @type {string} */ selector) => part(section, selector);
    this.#video = /** @type {HTMLVideoElement} */ (this.#part("video"));
    this.#overlay = new Overlay(this.#part(".screen"));
    this.#stream = new Stream(this.#part(".stream"));
    this.#live = new Live(this.#video, {
      answered: (answer, { time }) => this.#answered(answer, time),
      told: (words, style) => this.#say(words, style),
      askForKey,
    });
    this.#video.addEventListener("resize", () => {
      section.style.setProperty("--aspect", String(this.#video.videoWidth / this.#video.videoHeight || 16 / 9));
    });
    this.#video.addEventListener("error", () => {
      if (this.#section.hidden) return;
      this.#live.stop();
      this.#say("This browser cannot play the video.", "error");
    });
    this.#part("[data-action=csv]").addEventListener("click", () => this.#csv());
    this.#part("[data-action=close]").addEventListener("click", () => this.hide());
  }

  /** @param {File} file */
  async show(file) {
    this.hide();
    this.#name = file.name;
    this.#section.hidden = false;
    this.#part(".name").textContent = file.name;
    this.#labels = await emotions();
    this.#video.src = URL.createObjectURL(file);
    this.#live.start();
    await this.#video.play().catch(() => {}); // Its own controls start it too.
    this.#section.scrollIntoView({ block: "nearest" });
  }

  hide() {
    if (this.#section.hidden) return;
    this.#live.stop();
    this.#section.hidden = true;
    URL.revokeObjectURL(this.#video.src);
    this.#video.removeAttribute("src");
    this.#video.load();
    this.#stream.moments = [];
    this.#rows.clear();
    this.#overlay.show([], { width: 1, height: 1 }, this.#labels);
  }

  /** @param {LiveAnswer} answer @param {number} time */
  #answered({ faces = [], image = { width: 1, height: 1 } }, time) {
    this.#overlay.show(faces, image, this.#labels);
    this.#stream.add(time, faces);
    this.#stream.draw(this.#labels, 0, this.#video.duration || 1);
    this.#rows.set(time, faces.map(({ id, emotion, confidence, probabilities }) => {
      return [time.toFixed(3), id, emotion, confidence, ...Object.values(probabilities)];
    }));
    this.#part("[data-action=csv]").hidden = !this.#stream.moments.length;
    this.#say(`${counted(this.#rows.size, "frame")} answered.`);
  }

  #csv() {
    const rows = [...this.#rows].sort(([one], [other]) => one - other).flatMap(([, faces]) => faces);
    save(table(["seconds", "id", "emotion", "confidence", ...this.#labels.keys()], rows), `${this.#name.replace(/\.\w+$/, "")}.csv`);
  }

  /** @param {string} text */
  #say(text, style = "") {
    const status = this.#part(".status");
    status.textContent = text;
    status.className = `status ${style}`;
  }
}
