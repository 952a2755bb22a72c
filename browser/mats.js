// @ts-check
// OpenCV.js, and the only file that makes mats and frees them.

let cv = /** @type {OpenCV} */ ({});
let alive = /** @type {{ delete(): void }[]} */ ([]);

/** Start OpenCV. @param {string} script the text of opencv.js */
export async function startOpenCV(script) {
  const module = { exports: /** @type {OpenCV} */ ({}) };
  const names = ["module", "exports", "require", "__dirname"];
  new Function(...names, script)(module, module.exports, /** @type {any} */ (globalThis).process?.getBuiltinModule, "");
  cv = module.exports;
  delete cv.then; // It resolves with itself: an `await` would never end.
  if (!cv.Mat) await new Promise((resolve) => (cv.onRuntimeInitialized = () => resolve(undefined)));
}

/** Run `work` and free every mat that it made. What it returns holds none. @template T @param {() => T} work @returns {T} */
export function freed(work) {
  const outer = alive;
  alive = [];
  try {
    return work();
  } finally {
    for (const item of alive) item.delete();
    alive = outer;
  }
}

/** @template {{ delete(): void }} T @param {T} item */
function kept(item) {
  alive.push(item);
  return item;
}

/** Pixels as a mat, [H, W, 3]. @param {Pixels} pixels */
export function matOf({ data, width, height }) {
  const mat = kept(new cv.Mat(height, width, cv.CV_8UC3));
  mat.data.set(data);
  return mat;
}

/** The pixels of a mat, [H, W, 3], or of a part of one. @param {Mat} mat @returns {Pixels} */
export function pixelsOf(mat) {
  const copy = kept(new cv.Mat());
  mat.copyTo(copy); // The bytes of a part have those of its picture in between.
  return { data: copy.data.slice(), width: copy.cols, height: copy.rows };
}

/** A black mat. */
export const blank = (/** @type {number} */ side) => {
  const mat = kept(new cv.Mat(side, side, cv.CV_8UC3));
  mat.data.fill(0);
  return mat;
};

/** BT.601 luma of an RGB mat, or of a grey one the mat itself. @param {Mat} mat */
export function grey(mat) {
  if (mat.channels() === 1) return mat;
  const luma = kept(new cv.Mat());
  cv.cvtColor(mat, luma, cv.COLOR_RGB2GRAY);
  return luma;
}

/** A view of a part. @param {Mat} mat @param {number} x @param {number} y @param {number} width @param {number} height */
export const part = (mat, x, y, width, height) => kept(mat.roi(new cv.Rect(x, y, width, height)));

/** Copy a mat into another, from its place on. @param {Mat} into @param {number} x @param {number} y @param {Mat} mat */
export function paste(into, x, y, mat) {
  const bytes = 3 * mat.cols;
  for (let row = 0; row < mat.rows; row += 1) {
    into.data.set(mat.data.subarray(row * bytes, (row + 1) * bytes), 3 * ((y + row) * into.cols + x));
  }
}

/** Resize by averages of areas, or bilinearly. @param {Mat} mat @param {number} width @param {number} height @param {boolean} areas */
export function resized(mat, width, height, areas = false) {
  const result = kept(new cv.Mat());
  cv.resize(mat, result, new cv.Size(width, height), 0, 0, areas ? cv.INTER_AREA : cv.INTER_LINEAR);
  return result;
}

/** Turned by quarters, counterclockwise. @param {Mat} mat @param {number} quarters */
export function turned(mat, quarters) {
  const code = [0, cv.ROTATE_90_COUNTERCLOCKWISE, cv.ROTATE_180, cv.ROTATE_90_CLOCKWISE][quarters & 3];
  if (!(quarters & 3)) return mat;
  const result = kept(new cv.Mat());
  cv.rotate(mat, result, code);
  return result;
}

/**
 * The square of a mat around a point, turned and scaled.
 * @param {Mat} mat @param {Point} centre @param {number} roll in degrees @param {number} scale
 * @param {Point} shift from the centre to the middle of the result @param {number} side of the result
 * @param {boolean} black whether it is black outside the mat, where otherwise the edge goes on
 */
export function warped(mat, centre, roll, scale, shift, side, black) {
  const matrix = /** @type {ReturnType<OpenCV["getRotationMatrix2D"]>} */ (
    kept(cv.getRotationMatrix2D(new cv.Point(centre.x, centre.y), roll, scale))
  );
  matrix.data64F[2] += shift.x;
  matrix.data64F[5] += shift.y;
  const result = kept(new cv.Mat());
  const border = black ? cv.BORDER_CONSTANT : cv.BORDER_REPLICATE;
  cv.warpAffine(mat, result, matrix, new cv.Size(side, side), cv.INTER_LINEAR, border, new cv.Scalar(0, 0, 0, 0));
  return result;
}

/** Blur numbers, [side, side]. @param {Float32Array} values @param {number} side @param {number} deviation in pixels */
export function blurred(values, side, deviation) {
  return freed(() => {
    const [sharp, blur] = [kept(new cv.Mat(side, side, cv.CV_32FC1)), kept(new cv.Mat())];
    sharp.data32F.set(values);
    cv.GaussianBlur(sharp, blur, new cv.Size(0, 0), deviation, deviation, cv.BORDER_REFLECT);
    return blur.data32F.slice();
  });
}

/** A Haar cascade. */
export class Cascade {
  #cascade = new cv.CascadeClassifier();

  /** @param {string} text of its XML file */
  constructor(text) {
    cv.FS_createDataFile("/", "cascade.xml", text, true, false, false);
    if (!this.#cascade.load("cascade.xml")) throw new Error("The cascade cannot be read.");
  }

  /**
   * Every window in which the cascade finds a face, and the last stage's margin of each.
   * @param {Mat} mat grey @param {number} scale @param {number} smallest @param {number} largest side, in pixels
   */
  hits(mat, scale, smallest, largest) {
    const [boxes, levels] = [kept(new cv.RectVector()), kept(new cv.IntVector())];
    const weights = kept(new cv.DoubleVector());
    const [least, most] = [new cv.Size(smallest, smallest), new cv.Size(largest, largest)];
    this.#cascade.detectMultiScale3(mat, boxes, levels, weights, scale, 0, 0, least, most, true);
    return Array.from({ length: boxes.size() }, (_, index) => ({ ...boxes.get(index), margin: weights.get(index) }));
  }
}
