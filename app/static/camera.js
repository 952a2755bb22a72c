// @ts-check
// The camera as a stage: the video over the whole width, the label at the face, what the last minute showed below.

import { part } from "./dom.js";
import { Game } from "./game.js";
import { Live, drawn, jpeg } from "./live.js";
import { Overlay } from "./overlay.js";
import { emotions } from "./service.js";
import { Stream } from "./stream.js";
import { counted, label, remark } from "./words.js";

const SHOWN = 60; // Seconds of the stream.
const REMEMBERED = 10; // Seconds for which the line about who left stays.

/** Owns the camera's section of the page. */
export class Camera {
  #section;
  #part;
  #video;
  #overlay;
  #stream;
  #live;
  #game;
  #media = /** @type {MediaStream | null} */ (null);
  #labels = /** @type {Emotions} */ (new Map());
  #seen = /** @type {Map<number, number>} */ (new Map()); // when each face was seen last, by its id
  #answers = /** @type {[number, number][]} */ ([]); // when the last answers came, and how long each took
  #spoken = 0;
  #drawn = 0;

  /**
   * @param {HTMLElement} section
   * @param {(picture: File) => void} take what happens to a snapshot
   * @param {() => void} askForKey called when the service wants a key
   */
  constructor(section, take, askForKey) {
    this.#section = section;
    this.#part = (/** @type {string} */ selector) => part(section, selector);
    this.#video = /** @type {HTMLVideoElement} */ (this.#part("video"));
    this.#overlay = new Overlay(this.#part(".screen"));
    this.#stream = new Stream(this.#part(".stream"));
    this.#game = new Game(this.#part(".game"));
    this.#live = new Live(this.#video, {
      answered: (answer, frame) => this.#answered(answer, frame),
      told: (words, style) => this.#rest(words, style),
      askForKey,
    });
    this.#video.addEventListener("resize", () => {
      section.style.setProperty("--aspect", String(this.#video.videoWidth / this.#video.videoHeight || 4 / 3));
    });
    this.#on("start", () => this.#start());
    this.#on("switch", () => this.#switch());
    this.#on("game", () => this.#play());
    this.#on("snapshot", async () => {
      const name = `camera-${new Date().toTimeString().slice(0, 8).replaceAll(":", "-")}.jpg`;
      take(new File([await jpeg(drawn(this.#video, Infinity, this.#mirrored), 0.92)], name, { type: "image/jpeg" }));
      this.#say("Taken; it is below.");
    });
    this.#on("full", () => void (document.fullscreenElement ? document.exitFullscreen() : section.requestFullscreen()));
  }

  get open() {
    return !this.#section.hidden;
  }

  /** Say what will happen, and offer to start. */
  show() {
    this.#section.hidden = false;
    this.#section.classList.remove("running");
    this.#say("");
    this.#part("[data-action=start]").focus();
  }

  hide() {
    if (document.fullscreenElement) document.exitFullscreen();
    this.#live.stop();
    for (const track of this.#media?.getTracks() ?? []) track.stop();
    this.#media = null;
    this.#video.srcObject = null;
    this.#stream.moments = [];
    this.#seen.clear();
    this.#play(false);
    this.#section.hidden = true;
  }

  get #mirrored() {
    return this.#part(".screen").classList.contains("mirrored");
  }

  /** @param {string} action @param {() => void} act */
  #on(action, act) {
    this.#part(`[data-action=${action}]`).addEventListener("click", act);
  }

  async #start() {
    this.#say("Waiting for the camera\u2026");
    try {
      await this.#open({ facingMode: "user" });
    } catch (error) {
      return this.#say(/** @type {Error} */ (error).message, "error");
    }
    if (!this.open) return this.hide(); // It was closed while the browser asked.
    this.#section.classList.add("running");
    this.#part("[data-action=stop]").focus({ preventScroll: true });
    this.#part("[data-action=switch]").hidden = (await cameras()).length < 2;
    this.#part("[data-action=full]").hidden = !document.fullscreenEnabled;
    this.#part("figure").scrollIntoView({ block: "nearest" });
    this.#live.start();
  }

  /** @param {MediaTrackConstraints} which */
  async #open(which) {
    if (!navigator.mediaDevices) {
      throw new Error("Browsers give a camera only to pages that came over HTTPS or from this computer.");
    }
    this.#labels = await emotions();
    for (const track of this.#media?.getTracks() ?? []) track.stop(); // Phones open one camera at a time.
    const video = { width: { ideal: 1280 }, height: { ideal: 720 }, ...which };
    this.#media = await navigator.mediaDevices.getUserMedia({ video }).catch(({ name }) => {
      throw new Error(name === "NotAllowedError" ? "The camera was not allowed." : "No camera can be used.");
    });
    const [track] = this.#media.getVideoTracks();
    track.addEventListener("ended", () => this.#say("The camera was disconnected.", "error"));
    this.#part(".screen").classList.toggle("mirrored", track.getSettings().facingMode !== "environment");
    this.#video.srcObject = this.#media;
    await this.#video.play();
  }

  async #switch() {
    const ids = (await cameras()).map(({ deviceId }) => deviceId);
    const current = this.#media?.getVideoTracks()[0].getSettings().deviceId ?? "";
    const next = ids[(ids.indexOf(current) + 1) % ids.length];
    await this.#open({ deviceId: { exact: next } }).catch(({ message }) => this.#say(message, "error"));
  }

  #play(on = this.#part(".game").hidden) {
    this.#part(".game").hidden = !on;
    this.#part("[data-action=game]").setAttribute("aria-pressed", String(on));
    if (on) this.#game.begin(this.#labels);
  }

  /** No answers come. @param {string} words why */
  #rest(words, style = "") {
    this.#overlay.show([], { width: 1, height: 1 }, this.#labels);
    this.#answers = [];
    this.#part(".stats").textContent = this.#part(".left").textContent = "";
    this.#say(words, style);
  }

  /** @param {LiveAnswer} answer @param {import("./live.js").Frame} frame */
  #answered({ faces = [], image = { width: 1, height: 1 } }, { canvas, taken }) {
    const now = performance.now();
    const seconds = now / 1000;
    this.#overlay.show(faces, image, this.#labels, { mirrored: this.#mirrored });
    this.#stream.add(seconds, faces);
    if (!this.#part(".game").hidden && faces.length) this.#game.see(faces[0], canvas, this.#mirrored);
    for (const { id } of faces) this.#seen.set(id, seconds);
    this.#answers.push([now, now - taken]);
    while (this.#answers[0][0] < now - 1000) this.#answers.shift();
    if (seconds - this.#drawn > 0.2) this.#draw(seconds);
    this.#speak(faces, now);
  }

  /** @param {number} seconds */
  #draw(seconds) {
    this.#drawn = seconds;
    this.#stream.forget(seconds - SHOWN);
    this.#stream.draw(this.#labels, seconds - SHOWN, seconds);
    for (const [id, last] of this.#seen) if (seconds - last > REMEMBERED) this.#seen.delete(id);
    const gone = [...this.#seen.values()].filter((last) => seconds - last > 1);
    const ago = Math.round(seconds - Math.max(...gone));
    this.#part(".left").textContent = gone.length ? `${counted(gone.length, "face")} left, ${ago}\u00a0s ago.` : "";
    const times = this.#answers.map(([, took]) => took).sort((one, other) => one - other);
    this.#part(".stats").textContent = `${times.length} frames a second, ${Math.round(times[times.length >> 1])} ms each`;
  }

  /** Words for screen readers: not more often than every two seconds. @param {LiveFace[]} faces @param {number} now */
  #speak(faces, now) {
    if (now - this.#spoken < 2000 && !this.#part(".status").classList.contains("error")) return;
    this.#spoken = now;
    const [face, ...others] = faces;
    if (!face) this.#say("No face. Look into the camera, in good light.");
    else this.#say(others.length ? `${faces.length} faces.` : `${label(face, this.#labels)} ${remark(face)}`.trim(), "spoken");
  }

  /** @param {string} text */
  #say(text, style = "") {
    const status = this.#part(".status");
    if (status.textContent !== text) status.textContent = text;
    status.className = `status ${style}`;
  }
}

/** What there is to switch between. */
async function cameras() {
  return (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
}
