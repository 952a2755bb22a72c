// @ts-check
// Boxes and squares in pixels, and what a turned square cuts out of a picture. Twin of app/vision/geometry.py.

import constants from "./constants.json" with { type: "json" };
import { resized, warped } from "./mats.js";

const { MOST_DETAIL } = constants.geometry;

/** The nearest whole number, of two the even one, as Python rounds. @param {number} value */
export function round(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
}

/** Rounded to so many decimals. @param {number} value */
export const rounded = (value, decimals = 1) => round(value * 10 ** decimals) / 10 ** decimals;

/** @param {number} value @param {number} least @param {number} most */
export const clamp = (value, least, most) => Math.min(Math.max(value, least), most);

/** @param {number} degrees */
export const turn = (degrees) => {
  const angle = degrees * (Math.PI / 180);
  return { sine: Math.sin(angle), cosine: Math.cos(angle) };
};

/** Intersection over union of two boxes, 0 to 1. @param {Box} box @param {Box} other */
export function boxOverlap(box, other) {
  const width = Math.min(box.x + box.width, other.x + other.width) - Math.max(box.x, other.x);
  const height = Math.min(box.y + box.height, other.y + other.height) - Math.max(box.y, other.y);
  const both = Math.max(width, 0) * Math.max(height, 0);
  return both / (box.width * box.height + other.width * other.height - both);
}

/** A square; `x`, `y` is its centre. */
export class Square {
  /** @param {number} x @param {number} y @param {number} side */
  constructor(x, y, side) {
    this.x = x;
    this.y = y;
    this.side = side;
  }

  /** @param {Box} box */
  static of(box) {
    return new Square(box.x + box.width / 2, box.y + box.height / 2, Math.max(box.width, box.height));
  }

  /** @param {number} factor */
  scaled(factor) {
    return new Square(this.x * factor, this.y * factor, this.side * factor);
  }

  /** @param {number} factor */
  grown(factor) {
    return new Square(this.x, this.y, this.side * factor);
  }

  /** @param {Square} other */
  shared(other) {
    const reach = (this.side + other.side) / 2;
    const width = Math.min(reach - Math.abs(this.x - other.x), this.side, other.side);
    const height = Math.min(reach - Math.abs(this.y - other.y), this.side, other.side);
    return Math.max(width, 0) * Math.max(height, 0);
  }

  /** @param {Square} other */
  overlap(other) {
    const both = this.shared(other);
    return both / (this.side ** 2 + other.side ** 2 - both);
  }

  /** @param {Square} other */
  covered(other) {
    return this.shared(other) / Math.min(this.side, other.side) ** 2;
  }

  /** The part inside a picture, in whole pixels. @param {Size} size @returns {Box} */
  clipped({ width, height }) {
    const side = Math.max(round(this.side), 1);
    const [x, y] = [round(this.x - this.side / 2), round(this.y - this.side / 2)];
    const [left, top] = [clamp(x, 0, width - 1), clamp(y, 0, height - 1)];
    const [right, bottom] = [Math.min(x + side, width), Math.min(y + side, height)];
    return { x: left, y: top, width: Math.max(right - left, 1), height: Math.max(bottom - top, 1) };
  }
}

/** Keep each item that is not the same as one kept before it. @template T @param {T[]} items @param {(item: T, other: T) => boolean} same */
export function apart(items, same) {
  const kept = /** @type {T[]} */ ([]);
  for (const item of items) if (!kept.some((other) => same(item, other))) kept.push(item);
  return kept;
}

/** Reduce a picture to the largest whole multiple of a size. @param {Mat} mat @param {number} width @param {number} height */
export function shrunk(mat, width, height) {
  const whole = Math.min(Math.floor(mat.cols / Math.max(width, 1)), Math.floor(mat.rows / Math.max(height, 1)));
  return whole > 1 ? resized(mat, width * whole, height * whole) : mat;
}

/** Cut a turned square out of a picture, upright. @param {Mat} mat @param {Square} square @param {number} roll @param {number} side */
export function cutUpright(mat, square, roll, side, black = false) {
  const detail = Math.min(2 ** round(Math.log2(Math.max(square.side / side, 1))), MOST_DETAIL);
  const centre = { x: square.x - 0.5, y: square.y - 0.5 };
  const middle = (side * detail - 1) / 2;
  const shift = { x: middle - square.x + 0.5, y: middle - square.y + 0.5 };
  const cut = warped(mat, centre, roll, (side * detail) / square.side, shift, side * detail, black);
  return detail > 1 ? resized(cut, side, side, true) : cut;
}
