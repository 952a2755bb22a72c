// @ts-check
// Which part of a face speaks for a label, in a sentence: the heat at its landmarks.

const UPRIGHT = 30; // Degrees above which the service cuts a face out upright.
const COUNTS = 0.25; // Share of the strongest heat from which a part is named.

/** Where the parts usually are, for faces without landmarks; 0 to 1 in the face. */
const USUAL = { right_eye: { x: 0.3, y: 0.36 }, left_eye: { x: 0.7, y: 0.36 }, nose: { x: 0.5, y: 0.58 }, mouth: { x: 0.5, y: 0.8 } };

/** @param {number[]} heat 6 rows of 6, above zero where it speaks for the label @param {Face} face */
export function sentence(heat, face) {
  const { right_eye: right, left_eye: left, nose, mouth } = places(face);
  const brow = (/** @type {Point} */ eye) => ({ x: eye.x, y: eye.y - 0.4 * (nose.y - eye.y) });
  const parts = /** @type {[string, number][]} */ ([
    ["the brow", mean(heat, [brow(right), brow(left), { x: (right.x + left.x) / 2, y: (brow(right).y + brow(left).y) / 2 }])],
    ["the eyes", mean(heat, [right, left])],
    ["the nose", mean(heat, [nose])],
    ["the mouth", mean(heat, [mouth, { x: right.x, y: mouth.y }, { x: left.x, y: mouth.y }])],
  ]);
  parts.sort(([, one], [, other]) => other - one);
  const [[best, most], [, least], worst] = [parts[0], parts[parts.length - 1], parts[parts.length - 1][0]];
  const strongest = Math.max(Math.abs(most), Math.abs(least));
  if (most < COUNTS * strongest) return `No part speaks for it; ${worst} speaks most against.`;
  const against = least < -COUNTS * strongest ? `; ${worst} ${worst.endsWith("s") ? "speak" : "speaks"} against` : "";
  return `Mostly ${best}${against}. A rough guide.`;
}

/** The landmarks in the face as it was cut out, 0 to 1. @param {Face} face @returns {Record<keyof typeof USUAL, Point>} */
function places({ landmarks, angle, face_coordinates: { x, y, width, height } }) {
  if (!landmarks) return USUAL;
  const turn = Math.abs(angle ?? 0) > UPRIGHT ? (-(angle ?? 0) * Math.PI) / 180 : 0;
  const side = turn ? Math.max(width, height) : 0;
  const inside = (/** @type {Point} */ point) => {
    const [right, down] = [point.x - x - width / 2, point.y - y - height / 2];
    return {
      x: (right * Math.cos(turn) - down * Math.sin(turn)) / (side || width) + 0.5,
      y: (right * Math.sin(turn) + down * Math.cos(turn)) / (side || height) + 0.5,
    };
  };
  const { right_eye, left_eye, nose, mouth } = landmarks;
  return { right_eye: inside(right_eye), left_eye: inside(left_eye), nose: inside(nose), mouth: inside(mouth) };
}

/** @param {number[]} heat @param {Point[]} points 0 to 1 */
function mean(heat, points) {
  const side = Math.sqrt(heat.length);
  const cell = (/** @type {number} */ share) => Math.max(0, Math.min(side - 1, Math.floor(share * side)));
  return points.reduce((sum, { x, y }) => sum + heat[cell(y) * side + cell(x)], 0) / points.length;
}
