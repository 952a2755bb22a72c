// @ts-check
// The camera in real time: sends frames to the service as fast as it answers, and draws what it says over the video.

import { Chart } from "./chart.js";
import { FaceCard, doubt, label, part } from "./faces.js";
import { Overlay } from "./overlay.js";
import { Refusal, emotions, live } from "./service.js";

const LONGEST_SIDE = 640;
const UNANSWERED = 2; // One frame is worked on while the next is on its way.
const SILENCE = 10_000; // Milliseconds without an answer after which the service counts as gone.
const GONE_AFTER = 10; // Seconds for which the card of a face that left stays.
const LONGEST_PAUSE = 8; // Seconds between tries to connect again.

/** Owns the camera's section of the page, from `start` to `stop`. */
export class Camera {
  #emotions = /** @type {Emotions} */ (new Map());
  #section;
  #part;
  #video;
  #overlay;
  #askForKey;
  #stream = /** @type {MediaStream | null} */ (null);
  #socket = /** @type {WebSocket | null} */ (null);
  #sent = /** @type {Map<number, number>} */ (new Map()); // number of a frame -> when it was sent
  #count = 0;
  #encoding = false;
  #pause = 1;
  #retry = 0;
  /** @type {Map<number, { card: FaceCard, chart: Chart, seconds: number }>} */
  #people = new Map(); // id of a face -> its card, its chart, and when it was last seen
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
    this.#askForKey = askForKey;
    this.#part = (/** @type {string} */ selector) => part(section, selector);
    this.#video = /** @type {HTMLVideoElement} */ (this.#part("video"));
    this.#overlay = new Overlay(this.#part("figure"));
    this.#video.addEventListener("resize", () => {
      section.style.setProperty("--aspect", String(this.#video.videoWidth / this.#video.videoHeight || 4 / 3));
    });
    document.addEventListener("visibilitychange", () => {
      if (this.running) document.hidden ? this.#rest("Paused.") : this.#connect();
    });
    this.#part("[data-action=snapshot]").addEventListener("click", async () => {
      const name = `camera-${new Date().toTimeString().slice(0, 8).replaceAll(":", "-")}.jpg`;
      take(new File([await this.#still(Infinity, 0.92)], name, { type: "image/jpeg" }));
    });
    this.#part("[data-action=switch]").addEventListener("click", () => this.#switch());
    this.#part("[data-action=full]").addEventListener("click", () => {
      document.fullscreenElement ? document.exitFullscreen() : section.requestFullscreen();
    });
  }

  get running() {
    return this.#stream !== null;
  }

  async start() {
    this.#section.hidden = false;
    this.#section.classList.remove("failed");
    this.#tell("Waiting for the camera\u2026");
    try {
      await this.#open({ facingMode: "user" });
    } catch (error) {
      this.stop();
      this.#section.hidden = false;
      this.#section.classList.add("failed");
      return this.#tell(/** @type {Error} */ (error).message, "error");
    }
    this.#part("[data-action=switch]").hidden = (await cameras()).length < 2;
    this.#part("[data-action=full]").hidden = !document.fullscreenEnabled;
    this.#video.requestVideoFrameCallback(() => this.#frame());
    this.#connect();
  }

  stop() {
    if (document.fullscreenElement) document.exitFullscreen();
    this.#rest("");
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.#video.srcObject = null;
    this.#people.clear();
    this.#part(".faces").replaceChildren();
    this.#section.hidden = true;
  }

  /** @param {MediaTrackConstraints} which */
  async #open(which) {
    if (!navigator.mediaDevices) {
      throw new Error("Browsers give a camera only to pages that came over HTTPS or from this computer.");
    }
    for (const track of this.#stream?.getTracks() ?? []) track.stop(); // Phones open one camera at a time.
    const video = { width: { ideal: 1280 }, height: { ideal: 720 }, ...which };
    this.#stream = await navigator.mediaDevices.getUserMedia({ video }).catch(({ name }) => {
      throw new Error(name === "NotAllowedError" ? "The camera was not allowed." : "No camera can be used.");
    });
    const [track] = this.#stream.getVideoTracks();
    track.addEventListener("ended", () => this.#tell("The camera was disconnected.", "error"));
    this.#part("figure").classList.toggle("mirrored", track.getSettings().facingMode !== "environment");
    this.#video.srcObject = this.#stream;
    await this.#video.play();
  }

  async #switch() {
    const ids = (await cameras()).map(({ deviceId }) => deviceId);
    const current = this.#stream?.getVideoTracks()[0].getSettings().deviceId ?? "";
    const next = ids[(ids.indexOf(current) + 1) % ids.length];
    await this.#open({ deviceId: { exact: next } }).catch(({ message }) => this.#tell(message, "error"));
  }

  /** @param {string} words */
  #rest(words, style = "") {
    clearTimeout(this.#retry);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#overlay.show([], { width: 1, height: 1 }, this.#emotions);
    this.#answers = [];
    this.#part(".stats").textContent = "";
    for (const { card } of this.#people.values()) card.element.classList.add("gone");
    this.#tell(words, style);
  }

  /** The service is gone; try to connect again. @param {string} words */
  #lost(words) {
    this.#rest(`${words} Next try in ${this.#pause}\u00a0s.`, "error");
    this.#retry = setTimeout(() => this.#connect(), 1000 * this.#pause);
    this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE);
  }

  async #connect() {
    clearTimeout(this.#retry);
    try {
      this.#emotions = await emotions();
      if (!this.running || document.hidden || this.#socket) return;
      this.#socket = live();
    } catch (error) {
      if (!this.running) return;
      if (!(error instanceof Refusal)) this.#tell("The API key has characters that a WebSocket cannot carry.", "error");
      else if (!error.wantsKey) this.#lost(error.message);
      else {
        this.#lost("Waiting for the API key.");
        this.#askForKey();
      }
      return;
    }
    const socket = this.#socket;
    this.#sent.clear();
    this.#count = 0;
    socket.addEventListener("open", () => {
      this.#pause = 1;
      this.#tell("Looking for faces\u2026");
    });
    socket.addEventListener("message", ({ data }) => socket === this.#socket && this.#answer(JSON.parse(data)));
    socket.addEventListener("close", ({ reason }) => {
      if (socket !== this.#socket) return; // It was closed here.
      this.#lost(reason || "The service cannot be reached, or a proxy on the way passes on no WebSockets.");
    });
  }

  /** The newest frame, a JPEG. @param {number} longest of its sides @param {number} quality @returns {Promise<Blob>} */
  #still(longest, quality) {
    const { videoWidth, videoHeight } = this.#video;
    const scale = Math.min(1, longest / Math.max(videoWidth, videoHeight));
    const [width, height] = [Math.round(videoWidth * scale), Math.round(videoHeight * scale)];
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    canvas.getContext("2d")?.drawImage(this.#video, 0, 0, width, height);
    return new Promise((resolve) => canvas.toBlob((blob) => resolve(blob ?? new Blob()), "image/jpeg", quality));
  }

  /** Runs for every frame of the camera; sends it unless too many are unanswered. */
  async #frame() {
    if (!this.running) return;
    this.#video.requestVideoFrameCallback(() => this.#frame());
    const [socket, taken] = [this.#socket, performance.now()];
    if (socket?.readyState !== WebSocket.OPEN || this.#encoding) return;
    if (this.#sent.size >= UNANSWERED) {
      if (taken - Math.min(...this.#sent.values()) > SILENCE) this.#lost("The service does not answer.");
      return;
    }
    this.#encoding = true;
    const frame = await this.#still(LONGEST_SIDE, 0.8);
    this.#encoding = false;
    if (socket !== this.#socket || socket.readyState !== WebSocket.OPEN) return;
    this.#count += 1;
    this.#sent.set(this.#count, taken);
    socket.send(frame);
  }

  /** @param {LiveAnswer} answer */
  #answer({ frame, faces = [], image = { width: 1, height: 1 }, error }) {
    const now = performance.now();
    this.#answers.push([now, now - (this.#sent.get(frame) ?? NaN)]);
    for (const number of this.#sent.keys()) if (number <= frame) this.#sent.delete(number);
    if (error) return this.#tell(error, "error");
    const mirrored = this.#part("figure").classList.contains("mirrored");
    this.#overlay.show(faces, image, this.#emotions, { mirrored });
    for (const face of faces) this.#seen(face, now / 1000);
    this.#sweep(now / 1000);
    while (this.#answers[0][0] < now - 1000) this.#answers.shift();
    const times = this.#answers.map(([, took]) => took).sort((one, other) => one - other);
    const median = Math.round(times[times.length >> 1]);
    this.#part(".stats").textContent = `${times.length} frames a second, ${median} ms from frame to answer`;
    this.#speak(faces, now);
  }

  /** @param {LiveFace} face @param {number} seconds */
  #seen(face, seconds) {
    let person = this.#people.get(face.id);
    if (!person) {
      person = { card: new FaceCard(this.#emotions, true), chart: new Chart(this.#emotions), seconds };
      person.card.element.append(person.chart.element);
      this.#people.set(face.id, person);
      this.#part(".faces").append(person.card.element);
    }
    person.card.update(face);
    person.chart.add(seconds, face.probabilities);
    person.seconds = seconds;
  }

  /** @param {number} seconds */
  #sweep(seconds) {
    const draw = seconds - this.#drawn > 0.2;
    if (draw) this.#drawn = seconds;
    for (const [id, { card, chart, seconds: last }] of this.#people) {
      card.element.classList.toggle("gone", seconds - last > 1);
      if (draw) chart.draw(seconds);
      if (seconds - last <= GONE_AFTER) continue;
      card.element.remove();
      this.#people.delete(id);
    }
  }

  /** Words for screen readers: not more often than every two seconds. @param {LiveFace[]} faces @param {number} now */
  #speak(faces, now) {
    if (now - this.#spoken < 2000 && !this.#part(".status").classList.contains("error")) return;
    this.#spoken = now;
    const [face, ...others] = faces;
    if (!face) this.#tell("No face. Look into the camera, in good light.");
    else this.#tell(others.length ? `${faces.length} faces.` : `${label(face)} ${doubt(face)}`, "spoken");
  }

  /** @param {string} text */
  #tell(text, style = "") {
    const status = this.#part(".status");
    if (status.textContent !== text) status.textContent = text;
    status.className = `status ${style}`;
  }
}

/** What there is to switch between. */
async function cameras() {
  return (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
}
