// @ts-check
// Decodes picture files by the browser's own means, upright and on white; draws pictures into files.

import constants from "./constants.json" with { type: "json" };

const { max_pixels: MAX_PIXELS } = constants.settings;

/** A file that cannot be answered; `code` is one of the service's. */
export class BadPicture extends Error {
  /** @param {string} message @param {string} code */
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

/** The pixels of a picture file. @param {Blob} file @returns {Promise<Pixels>} */
export async function decoded(file) {
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new BadPicture("The file is not a picture that this browser can decode.", "invalid_image");
  });
  const { width, height } = bitmap;
  if (width * height > MAX_PIXELS) {
    throw new BadPicture(`The picture is larger than ${MAX_PIXELS / 1e6} megapixels. Try a smaller copy.`, "too_many_pixels");
  }
  const context = canvas(width, height);
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  const pixels = new Uint8Array(3 * width * height);
  for (let from = 0, to = 0; to < pixels.length; from += 4, to += 3) {
    pixels[to] = data[from];
    pixels[to + 1] = data[from + 1];
    pixels[to + 2] = data[from + 2];
  }
  const start = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  return { data: pixels, width, height, jpeg: start[0] === 0xff && start[1] === 0xd8 };
}

/** Something to draw on. @param {number} width @param {number} height */
export function canvas(width, height) {
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  return /** @type {OffscreenCanvasRenderingContext2D} */ (context);
}
