// @ts-check
// What waits for the service: a few requests at once; all wait while the service is busy, away, or wants a key.

/**
 * @typedef {import("./service.js").Refusal} Refusal
 * @typedef {{ run: () => Promise<void>, waits: (words: string) => void }} Task `run` throws a `Refusal` when it is to
 *   be run again; `waits` shows why it is not run yet
 */

const AT_ONCE = 2;
const FIRST_PAUSE = 2; // Seconds, doubled with each failure in a row, where the service does not name them.
const LONGEST_PAUSE = 30;
/** @type {Record<number, string>} */
const REASONS = { 429: "The service has had too many requests from here.", 503: "The service is busy." };

/** Runs tasks in their order. */
export class Queue {
  #waiting = /** @type {Task[]} */ ([]);
  #working = 0;
  #pause = FIRST_PAUSE;
  #timer = 0;
  #stopped = ""; // Why nothing is sent, for people.
  #askForKey;

  /** @param {() => void} askForKey called when the service wants a key; `go` goes on */
  constructor(askForKey) {
    this.#askForKey = askForKey;
    addEventListener("online", () => this.go());
  }

  /** @param {Task} task */
  add(task) {
    this.#waiting.push(task);
    task.waits(this.#stopped || "Waiting\u2026");
    this.#work();
  }

  /** @param {Task} task */
  drop(task) {
    this.#waiting = this.#waiting.filter((one) => one !== task);
  }

  /** Try at once, whatever the queue waits for. */
  go() {
    clearTimeout(this.#timer);
    this.#tell("");
    this.#work();
  }

  #work() {
    while (!this.#stopped && this.#working < AT_ONCE && this.#waiting.length) {
      this.#run(/** @type {Task} */ (this.#waiting.shift()));
    }
  }

  /** @param {Task} task */
  async #run(task) {
    this.#working += 1;
    try {
      await task.run();
      this.#pause = FIRST_PAUSE;
    } catch (error) {
      this.#waiting.unshift(task);
      this.#stop(/** @type {Refusal} */ (error));
    }
    this.#working -= 1;
    this.#work();
  }

  /** @param {Refusal} refusal */
  #stop({ wantsKey, retryAfter, status, message }) {
    clearTimeout(this.#timer);
    if (wantsKey) {
      this.#tell("Waiting for the API key.");
      return this.#askForKey();
    }
    const seconds = retryAfter || this.#pause;
    this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE);
    this.#tell(`${REASONS[status] ?? message} Next try in ${seconds}\u00a0s.`);
    this.#timer = setTimeout(() => this.go(), 1000 * seconds);
  }

  /** @param {string} stopped why nothing is sent; empty if something is */
  #tell(stopped) {
    this.#stopped = stopped;
    for (const task of this.#waiting) task.waits(stopped || "Waiting\u2026");
  }
}
