// @ts-check
// What is said about a face, and the bar of its seven probabilities.

const SURE = 0.75; // `detection` from which a face is shown without a remark.
const NAMED = 0.05; // Probability from which a label is named beside the bar.

/** @param {number} share */
export const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)}\u00a0%`;

/** @param {number} number @param {string} noun */
export const counted = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

/** The label as a word for people. @param {Emotions} emotions @param {string} name */
export const word = (emotions, name) => emotions.get(name)?.display_name ?? name;

/** @param {Emotions} emotions @param {string} name */
export const colour = (emotions, name) => emotions.get(name)?.colour ?? "var(--unsure)";

/** The labels to name for a face: one, or two where it is not certain. @param {Face} face */
const named = ({ certain, emotion, plausible }) => (certain || plausible.length < 2 ? [emotion] : plausible.slice(0, 2));

/** Such as "Happy" or "Sad or afraid?". @param {Face} face @param {Emotions} emotions */
export function label(face, emotions) {
  const words = named(face).map((name, index) => (index ? word(emotions, name).toLowerCase() : word(emotions, name)));
  return words.join(" or ") + (face.certain ? "" : "?");
}

/** The first of its labels alone. @param {Face} face @param {Emotions} emotions */
export const short = (face, emotions) => word(emotions, face.emotion) + (face.certain ? "" : "?");

/** The probabilities of the labels that are named. @param {Face} face */
export const shares = (face) => named(face).map((name) => percent(face.probabilities[name])).join(" / ");

/** What limits the answer; empty if nothing. @param {Face} face */
export const remark = ({ detection }) => (detection < SURE ? "Blurred or far away" : "");

/** Give an element the colours of a face's labels. @param {HTMLElement | SVGElement} element @param {Face} face @param {Emotions} emotions */
export function tint(element, face, emotions) {
  const [first, second = first] = named(face).map((name) => colour(emotions, name));
  element.style.setProperty("--colour", first);
  element.style.setProperty("--second", second);
  element.classList.toggle("unsure", !face.certain);
  element.classList.toggle("weak", remark(face) !== "");
}

/** Show shares as one bar. @param {HTMLElement} bar @param {Iterable<[string, number]>} entries @param {Emotions} emotions */
export function mix(bar, entries, emotions) {
  bar.replaceChildren(
    ...[...entries].map(([name, share]) => {
      const segment = document.createElement("span");
      segment.style.width = `${100 * share}%`;
      segment.style.background = colour(emotions, name);
      return segment;
    }),
  );
}

/** The labels that count, most probable first, with their colours. @param {HTMLElement} list @param {Face} face @param {Emotions} emotions */
export function legend(list, face, emotions) {
  const counting = Object.entries(face.probabilities).filter(([, share]) => share >= NAMED);
  const items = counting.sort(([, one], [, other]) => other - one).map(([name]) => {
    const item = Object.assign(document.createElement("li"), { className: "dot", textContent: word(emotions, name) });
    item.style.setProperty("--colour", colour(emotions, name));
    return item;
  });
  list.replaceChildren(...items);
}

/** A face with what is around it, for a canvas. @param {HTMLCanvasElement} canvas @param {CanvasImageSource} image @param {Box} box in its pixels */
export function crop(canvas, image, { x, y, width, height }) {
  const [left, top, side] = [x - 0.15 * width, y - 0.15 * height, canvas.width];
  canvas.getContext("2d")?.drawImage(image, left, top, 1.3 * width, 1.3 * height, 0, 0, side, canvas.height);
}
