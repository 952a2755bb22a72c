// @ts-check
// Sends the frames of a video to the service as fast as it answers, and connects again where it is lost.

import { Refusal, emotions, live } from "./service.js";

const LONGEST_SIDE = 640;
const UNANSWERED = 2; // One frame is worked on while the next is on its way.
const SILENCE = 10_000; // Milliseconds without an answer after which the service counts as gone.
const LONGEST_PAUSE = 8; // Seconds between tries to connect again.

/**
 * @typedef {{ canvas: HTMLCanvasElement, taken: number, time: number }} Frame `taken` in milliseconds of the page's
 *   clock, `time` in seconds of the video
 * @typedef {{
 *   answered: (answer: LiveAnswer, frame: Frame) => void, told: (words: string, style: string) => void,
 *   askForKey: () => void,
 * }} Tell
 */

/** The connection of one `<video>`, from `start` to `stop`. */
export class Live {
  #video;
  #tell;
  #socket = /** @type {WebSocket | null} */ (null);
  #sent = /** @type {Map<number, Frame>} */ (new Map()); // by number of the frame
  #count = 0;
  #encoding = false;
  #pause = 1;
  #retry = 0;
  #stopped = true;

  /** @param {HTMLVideoElement} video @param {Tell} tell */
  constructor(video, tell) {
    this.#video = video;
    this.#tell = tell;
    document.addEventListener("visibilitychange", () => {
      if (this.#stopped) return;
      if (document.hidden) this.#rest("Paused.");
      else this.#connect();
    });
  }

  start() {
    this.#stopped = false;
    this.#pause = 1;
    this.#watch();
    this.#connect();
  }

  stop() {
    this.#stopped = true;
    this.#rest("");
  }

  /** @param {string} words */
  #rest(words, style = "") {
    clearTimeout(this.#retry);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#tell.told(words, style);
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
      await emotions();
      if (this.#stopped || document.hidden || this.#socket) return;
      this.#socket = await live();
    } catch (error) {
      if (this.#stopped) return;
      if (!(error instanceof Refusal)) this.#tell.told("The API key has characters that a WebSocket cannot carry.", "error");
      else if (!error.wantsKey) this.#lost(error.message);
      else {
        this.#lost("Waiting for the API key.");
        this.#tell.askForKey();
      }
      return;
    }
    const socket = this.#socket;
    this.#sent.clear();
    this.#count = 0;
    socket.addEventListener("open", () => {
      this.#pause = 1;
      this.#tell.told("Looking for faces\u2026", "");
    });
    socket.addEventListener("message", ({ data }) => socket === this.#socket && this.#answer(JSON.parse(data)));
    socket.addEventListener("close", ({ reason }) => {
      if (socket !== this.#socket) return; // It was closed here.
      this.#lost(reason || "The service cannot be reached, or a proxy on the way passes on no WebSockets.");
    });
  }

  #watch() {
    this.#video.requestVideoFrameCallback((_, { mediaTime }) => {
      if (this.#stopped) return;
      this.#watch();
      this.#frame(mediaTime);
    });
  }

  /** Send a frame unless too many are unanswered. @param {number} time */
  async #frame(time) {
    const [socket, taken] = [this.#socket, performance.now()];
    if (socket?.readyState !== WebSocket.OPEN || this.#encoding) return;
    if (this.#sent.size >= UNANSWERED) {
      const waiting = [...this.#sent.values()].map((frame) => frame.taken);
      if (taken - Math.min(...waiting) > SILENCE) this.#lost("The service does not answer.");
      return;
    }
    this.#encoding = true;
    const canvas = drawn(this.#video, LONGEST_SIDE);
    const frame = await jpeg(canvas, 0.8);
    this.#encoding = false;
    if (socket !== this.#socket || socket.readyState !== WebSocket.OPEN) return;
    this.#count += 1;
    this.#sent.set(this.#count, { canvas, taken, time });
    socket.send(frame);
  }

  /** @param {LiveAnswer} answer */
  #answer(answer) {
    const frame = this.#sent.get(answer.frame);
    for (const number of this.#sent.keys()) if (number <= answer.frame) this.#sent.delete(number);
    if (answer.error) this.#tell.told(answer.error, "error");
    else if (frame) this.#tell.answered(answer, frame);
  }
}

/** The frame that a video shows. @param {HTMLVideoElement} video @param {number} longest of its sides */
export function drawn(video, longest, mirrored = false) {
  const scale = Math.min(1, longest / Math.max(video.videoWidth, video.videoHeight));
  const [width, height] = [video.videoWidth, video.videoHeight].map((side) => Math.round(side * scale));
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  if (mirrored) context?.setTransform(-1, 0, 0, 1, width, 0);
  context?.drawImage(video, 0, 0, width, height);
  return canvas;
}

/** @param {HTMLCanvasElement} canvas @param {number} quality 0 to 1 @returns {Promise<Blob>} */
export function jpeg(canvas, quality) {
  return new Promise((resolve) => canvas.toBlob((blob) => resolve(blob ?? new Blob()), "image/jpeg", quality));
}
