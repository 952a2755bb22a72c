// @ts-check
// The camera in real time: sends frames to the service as fast as it answers, and draws what it says over the video.

import { FaceCard, drawBoxes, part, sentence } from "./faces.js";
import { live } from "./service.js";
import { Timeline } from "./timeline.js";

const LONGEST_SIDE = 640;
const UNANSWERED = 2; // One frame is worked on while the next is on its way.
const GONE_AFTER = 10; // Seconds for which the card of a face that left stays.
const LONGEST_PAUSE = 8; // Seconds between tries to connect again.

/** Owns the camera's section of the page, from `start` to `stop`. */
export class Camera {
  #emotions = /** @type {import("./service.js").Emotions} */ (new Map());
  #section;
  #part;
  #video;
  #canvas = document.createElement("canvas");
  #stream = /** @type {MediaStream | null} */ (null);
  #socket = /** @type {WebSocket | null} */ (null);
  #sent = /** @type {Map<number, number>} */ (new Map()); // number of a frame -> when it was sent
  #count = 0;
  #encoding = false;
  #pause = 1;
  #retry = 0;
  /** @type {Map<number, { card: FaceCard, timeline: Timeline, seconds: number }>} */
  #people = new Map(); // id of a face -> its card, its timeline, and when it was last seen
  #answers = /** @type {[number, number][]} */ ([]); // when the last answers came, and how long each took
  #spoken = 0;
  #drawn = 0;

  /** @param {HTMLElement} section */
  constructor(section) {
    this.#section = section;
    this.#part = (/** @type {string} */ selector) => part(section, selector);
    this.#video = /** @type {HTMLVideoElement} */ (this.#part("video"));
    const pauseOrResume = () => this.#stream && (document.hidden ? this.#rest() : this.#connect());
    document.addEventListener("visibilitychange", pauseOrResume);
  }

  get running() {
    return this.#stream !== null;
  }

  /** @param {import("./service.js").Emotions} emotions */
  async start(emotions) {
    this.#emotions = emotions;
    this.#section.hidden = false;
    this.#tell("Waiting for the camera\u2026");
    if (!navigator.mediaDevices) {
      throw new Error("Browsers give a camera only to pages that came over HTTPS or from this computer.");
    }
    this.#stream = await navigator.mediaDevices
      .getUserMedia({ video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" } })
      .catch((error) => {
        throw new Error(error.name === "NotAllowedError" ? "The camera was not allowed." : "No camera can be used.");
      });
    const [track] = this.#stream.getVideoTracks();
    track.addEventListener("ended", () => this.#stream && this.#tell("The camera was disconnected.", true));
    this.#part("figure").classList.toggle("mirrored", track.getSettings().facingMode !== "environment");
    this.#video.srcObject = this.#stream;
    await this.#video.play();
    this.#video.requestVideoFrameCallback(() => this.#frame());
    this.#connect();
  }

  stop() {
    this.#rest();
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.#video.srcObject = null;
    this.#people.clear();
    this.#part(".faces").replaceChildren();
    this.#part(".boxes").replaceChildren();
    this.#section.hidden = true;
  }

  #rest() {
    clearTimeout(this.#retry);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#tell("Paused.");
  }

  #connect() {
    clearTimeout(this.#retry);
    if (!this.#stream || document.hidden || this.#socket) return;
    let socket;
    try {
      socket = live();
    } catch {
      this.#tell("The API key has characters that a WebSocket cannot carry.", true);
      return;
    }
    this.#socket = socket;
    this.#sent.clear();
    this.#count = 0;
    socket.addEventListener("open", () => {
      this.#pause = 1;
      this.#tell("Looking for faces\u2026");
    });
    socket.addEventListener("message", ({ data }) => socket === this.#socket && this.#answer(JSON.parse(data)));
    socket.addEventListener("close", ({ reason }) => {
      if (socket !== this.#socket) return; // It was closed here.
      this.#socket = null;
      this.#part(".boxes").replaceChildren();
      const words = reason || "The service cannot be reached, or has no room for another camera.";
      this.#tell(`${words} Trying again\u2026`, true);
      this.#retry = setTimeout(() => this.#connect(), 1000 * this.#pause);
      this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE);
    });
  }

  /** Runs for every frame of the camera; sends it unless too many are unanswered. */
  #frame() {
    if (!this.#stream) return;
    this.#video.requestVideoFrameCallback(() => this.#frame());
    if (this.#socket?.readyState !== WebSocket.OPEN || this.#encoding || this.#sent.size >= UNANSWERED) return;
    const { videoWidth: width, videoHeight: height } = this.#video;
    const scale = Math.min(1, LONGEST_SIDE / Math.max(width, height));
    Object.assign(this.#canvas, { width: Math.round(width * scale), height: Math.round(height * scale) });
    const context = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext("2d"));
    context.drawImage(this.#video, 0, 0, this.#canvas.width, this.#canvas.height);
    const [socket, taken] = [this.#socket, performance.now()];
    this.#encoding = true;
    this.#canvas.toBlob(
      (frame) => {
        this.#encoding = false;
        if (!frame || socket !== this.#socket || socket.readyState !== WebSocket.OPEN) return;
        this.#count += 1;
        this.#sent.set(this.#count, taken);
        socket.send(frame);
      },
      "image/jpeg",
      0.8,
    );
  }

  /** @param {import("./service.js").LiveAnswer} answer */
  #answer({ frame, faces = [], image, error }) {
    const now = performance.now();
    this.#answers.push([now, now - (this.#sent.get(frame) ?? NaN)]);
    for (const number of this.#sent.keys()) if (number <= frame) this.#sent.delete(number);
    if (error) {
      this.#tell(error, true);
      return;
    }
    const mirrored = this.#part("figure").classList.contains("mirrored");
    drawBoxes(this.#part(".boxes"), faces, image ?? { width: 1, height: 1 }, this.#emotions, { mirrored });
    for (const face of faces) this.#seen(face, now / 1000);
    this.#sweep(now / 1000);
    this.#measure(now);
    this.#speak(faces, now);
  }

  /** @param {import("./service.js").LiveFace} face @param {number} seconds */
  #seen(face, seconds) {
    let person = this.#people.get(face.id);
    if (!person) {
      person = { card: new FaceCard(this.#emotions), timeline: new Timeline(this.#emotions), seconds };
      person.card.element.append(person.timeline.element);
      this.#people.set(face.id, person);
      this.#part(".faces").append(person.card.element);
    }
    person.card.update(face);
    person.timeline.add(seconds, face.probabilities);
    person.seconds = seconds;
  }

  /** @param {number} seconds */
  #sweep(seconds) {
    const draw = seconds - this.#drawn > 0.2;
    if (draw) this.#drawn = seconds;
    for (const [id, { card, timeline, seconds: last }] of this.#people) {
      card.element.classList.toggle("gone", seconds - last > 1);
      if (seconds - last > GONE_AFTER) {
        card.element.remove();
        this.#people.delete(id);
      } else if (draw) timeline.draw(seconds);
    }
  }

  /** @param {number} now */
  #measure(now) {
    while (this.#answers[0][0] < now - 1000) this.#answers.shift();
    const times = this.#answers.map(([, took]) => took).sort((one, other) => one - other);
    const median = Math.round(times[times.length >> 1]);
    this.#part(".stats").textContent = `${times.length} frames a second, ${median} ms from frame to answer`;
  }

  /**
   * Words for the status, which screen readers speak: not more often than every two seconds.
   * @param {import("./service.js").Face[]} faces @param {number} now
   */
  #speak(faces, now) {
    if (now - this.#spoken < 2000) return;
    this.#spoken = now;
    if (!faces.length) this.#tell("No face. Look into the camera, in good light.");
    else this.#tell(faces.length === 1 ? sentence(faces[0]) : `${faces.length} faces.`);
  }

  /** @param {string} text */
  #tell(text, wrong = false) {
    const status = this.#part(".status");
    if (status.textContent !== text) status.textContent = text;
    status.classList.toggle("error", wrong);
  }
}
