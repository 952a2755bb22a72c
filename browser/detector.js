// @ts-check
// Finds the faces of a picture: BlazeFace proposes them, Haar confirms and frames them. Twin of app/vision/detector.py.

import { distinct } from "./blazeface.js";
import constants from "./constants.json" with { type: "json" };
import { Square, apart, turn } from "./geometry.js";
import { freed, grey, resized } from "./mats.js";

const {
  AT_ONCE, BELIEVED, BREADTH, CLOSE, CLOSELY, CLOSE_FILLING, CONTRADICTED, DOUBT, DOUBT_FILLING, FILLING, FRAME, INSET,
  LEAST, LEAST_SCORE, LIFT, LONG_STRIP, LYING, MAX_SIDE, MOST_DOUBTS, MOST_PARTS, OVERLAP, PART, QUARTERS, SAME, SEEN,
  SMALL, SMALL_PART, STRIP, SURE, THIN, TINY, UPRIGHT, WEAK,
} = constants.detector;

/** @typedef {import("./blazeface.js").Proposal} Proposal */
/** @typedef {{ square: Square, confidence: number, roll: number, landmarks: Point[] }} PlacedFace not yet clipped */
/** @typedef {{ box: Box, confidence: number, roll: number, landmarks: Point[] }} FoundFace in pixels of the picture */

/** A possible face, in pixels of the searched copy. */
class Candidate {
  /**
   * @param {Proposal} proposal @param {Square} square as FER-2013 frames the face
   * @param {{ score: number, closer: number[], seen: boolean }} evidence @param {number} turn of the view it was found in
   */
  constructor(proposal, square, evidence, turn) {
    this.proposal = proposal;
    this.square = square;
    this.evidence = evidence;
    this.turn = turn;
    const weights = evidence.closer.length ? CLOSELY : AT_ONCE;
    const score = evidence.closer.length ? Math.min(...evidence.closer) : evidence.score;
    const odds = Math.log(score / (1 - score));
    this.confidence = 1 / (1 + Math.exp(-weights.bias - weights.score * odds - weights.seen * Number(evidence.seen)));
  }

  /** Whether Haar and the network are sure of the face at first sight. */
  get sure() {
    return this.confidence >= SURE && this.evidence.seen && !this.evidence.closer.length;
  }

  /** Whether it needs a closer look and did not have one. @param {number} believed @param {boolean} filling */
  doubtful(believed, filling) {
    if (this.confidence < (filling ? DOUBT_FILLING : DOUBT) || this.evidence.closer.length) return false;
    const known = this.confidence >= believed && this.evidence.seen;
    return !known || Math.abs(between(this.proposal.roll, this.turn)) > UPRIGHT;
  }
}

/** Finds faces. */
export class FaceDetector {
  #haar;
  #blazeface;
  #smallest;

  /** @param {import("./haar.js").HaarDetector} haar @param {import("./blazeface.js").BlazeFace} blazeface @param {number} smallest */
  constructor(haar, blazeface, smallest) {
    this.#haar = haar;
    this.#blazeface = blazeface;
    this.#smallest = smallest;
  }

  /**
   * The faces of a picture, largest first.
   * @param {Mat} copy of the picture, reduced @param {FoundFace[]} near faces of the frame before; if all are still
   *   there, nothing else is searched @param {Size} size of the picture
   */
  find(copy, near, size, least = LEAST) {
    return freed(() => {
      const longest = Math.max(copy.rows, copy.cols);
      const reduced = (/** @type {number} */ side) => Math.max(Math.floor((side * MAX_SIDE) / longest), 1);
      const colours = longest > MAX_SIDE ? resized(copy, reduced(copy.cols), reduced(copy.rows), true) : copy;
      const factor = size.width / colours.cols;
      const luma = grey(colours);
      let found = this.#followed(luma, near, factor);
      if (!found.length) {
        const candidates = new Search(colours, luma, this.#haar, this.#blazeface).candidates();
        found = candidates.filter(({ confidence }) => confidence >= least).map(({ square, confidence, proposal }) => {
          const landmarks = proposal.landmarks.map(({ x, y }) => ({ x: x * factor, y: y * factor }));
          return { square: square.scaled(factor), confidence, roll: proposal.roll, landmarks };
        });
      }
      const smallest = this.#smallest * Math.min(size.width, size.height);
      const faces = consistent(found.filter(({ square }) => square.side >= smallest));
      return faces.map(({ square, ...face }) => ({ box: square.clipped(size), ...face })).sort(largestFirst);
    });
  }

  /** @param {Mat} luma @param {FoundFace[]} near @param {number} factor @returns {PlacedFace[]} */
  #followed(luma, near, factor) {
    const followed = /** @type {PlacedFace[]} */ ([]);
    for (const { box, confidence, roll, landmarks } of near) {
      const square = Square.of(box);
      const window = this.#haar.confirm(luma, square.scaled(1 / factor), roll);
      if (window.strength < SEEN) return [];
      const place = window.square.scaled(factor);
      const moved = landmarks.map(({ x, y }) => ({ x: x + place.x - square.x, y: y + place.y - square.y }));
      followed.push({ square: place, confidence, roll, landmarks: moved });
    }
    return followed;
  }
}

/** The search of one picture. */
class Search {
  #colours;
  #grey;
  #haar;
  #blazeface;
  #found = /** @type {Candidate[]} */ ([]);

  /** @param {Mat} colours @param {Mat} luma @param {import("./haar.js").HaarDetector} haar @param {import("./blazeface.js").BlazeFace} blazeface */
  constructor(colours, luma, haar, blazeface) {
    this.#colours = colours;
    this.#grey = luma;
    this.#haar = haar;
    this.#blazeface = blazeface;
  }

  /** Possible faces, highest confidence first. Each further search runs only if the results so far call for it. */
  candidates() {
    const { cols: width, rows: height } = this.#grey;
    const [long, short] = [Math.max(width, height), Math.min(width, height)];
    if (short < THIN) return [];
    const whole = new Square(width / 2, height / 2, long);
    const strip = long > STRIP * short;
    const first = [whole, ...(strip ? parts(width, height, PART) : [])];
    this.#look(first);
    if (long > LONG_STRIP * short) {
      this.#lookClosely();
      return this.#found;
    }
    const turn = this.#settled() ? 0 : this.#turn(first);
    this.#lookClosely();
    if (!strip) {
      if (this.#smallest() >= SMALL * long) return this.#found;
      this.#goOn(parts(width, height, PART), turn);
    }
    if (!this.#smallest()) this.#goOn([whole.grown(INSET)], turn);
    if (this.#smallest() < TINY * breadth(width, height)) this.#goOn(parts(width, height, SMALL_PART), turn);
    return this.#found;
  }

  get #faces() {
    return this.#found.filter(({ confidence }) => confidence >= LEAST);
  }

  /** Whether a sure face is upright, and none lies. */
  #settled() {
    const faces = this.#faces;
    return faces.some(({ sure }) => sure) && faces.every(({ proposal }) => Math.abs(proposal.roll) <= LYING);
  }

  /** Search the other turns too, and decide how far the whole picture has been turned. @param {Square[]} views */
  #turn(views) {
    for (const turn of QUARTERS.slice(1)) this.#look(views, turn);
    this.#lookClosely();
    const upright = (/** @type {number} */ turn) => {
      const faces = this.#faces.filter(({ proposal }) => Math.abs(between(proposal.roll, turn)) <= LYING);
      return faces.reduce((sum, { confidence }) => sum + confidence, 0);
    };
    return QUARTERS.reduce((best, turn) => (upright(turn) > upright(best) ? turn : best));
  }

  /** Search further squares at the picture's turn. Known faces are not judged again. @param {Square[]} views @param {number} turn */
  #goOn(views, turn) {
    this.#look(views, turn, LEAST);
    this.#lookClosely();
  }

  /** Side of the smallest face, in pixels; 0 without one. */
  #smallest() {
    const sides = this.#faces.map(({ proposal }) => proposal.square.side);
    return sides.length ? Math.min(...sides) : 0;
  }

  /** Search squares of the picture. @param {Square[]} views @param {number} turn of the views @param {number} knownFrom confidence */
  #look(views, turn = 0, knownFrom = Infinity) {
    const { cols: width, rows: height } = this.#grey;
    for (const view of views) {
      const known = this.#found.filter((face) => face.sure || face.confidence >= knownFrom);
      for (const proposal of this.#blazeface.propose(this.#colours, view, turn)) {
        const { square, score } = proposal;
        const inside = square.x >= 0 && square.x < width && square.y >= 0 && square.y < height;
        if (inside && score >= WEAK && !known.some((face) => square.overlap(face.proposal.square) > SAME)) {
          this.#found.push(this.#judged(proposal, turn, score));
        }
      }
      this.#found = merged(this.#found);
    }
  }

  /** Rate a proposal with the help of Haar. @param {Proposal} proposal @param {number} turn @param {number} score @param {number[]} closer */
  #judged(proposal, turn, score, closer = []) {
    const window = this.#haar.confirm(this.#grey, proposal.square, proposal.roll);
    const seen = window.strength >= SEEN;
    return new Candidate(proposal, seen ? window.square : framed(proposal), { score, closer, seen }, turn);
  }

  /** Look closely at each doubtful face, and at tilted ones. */
  #lookClosely() {
    const believed = this.#found.some(({ sure }) => sure) ? BELIEVED : SURE;
    const doubts = this.#found.filter((face) => face.doubtful(believed, this.#fills(face))).slice(0, MOST_DOUBTS);
    if (!doubts.length) return;
    this.#found = merged(this.#found.map((face) => (doubts.includes(face) ? this.#closely(face) : face)));
  }

  /**
   * Rate a face by closer looks at several scales, in which it is upright. One of them suffices where the face is upright
   * in the picture and Haar sees it. @param {Candidate} candidate
   */
  #closely(candidate) {
    const { proposal, evidence, square, turn } = candidate;
    const looks = /** @type {Proposal[]} */ ([]);
    for (const factor of this.#fills(candidate) ? CLOSE_FILLING : CLOSE) {
      const look = this.#again(proposal, proposal.square.grown(factor));
      if (!look) break;
      looks.push(look);
    }
    const closer = CLOSE.map((_, index) => looks[index]?.score ?? LEAST_SCORE);
    if (evidence.seen && Math.abs(between(proposal.roll, turn)) <= UPRIGHT) {
      const upright = Math.abs(proposal.roll) <= UPRIGHT;
      return new Candidate(proposal, square, { ...evidence, closer: upright ? [Math.max(...closer)] : closer }, turn);
    }
    return this.#judged(looks[0] ?? proposal, proposal.roll, evidence.score, closer);
  }

  /** Whether a face fills the picture. @param {Candidate} face */
  #fills({ proposal }) {
    return proposal.square.side >= FILLING * Math.min(this.#grey.cols, this.#grey.rows);
  }

  /** The same face in another view, in which it is upright. @param {Proposal} proposal @param {Square} view */
  #again(proposal, view) {
    const looks = this.#blazeface.propose(this.#colours, view, proposal.roll);
    return looks.find(({ square }) => square.overlap(proposal.square) > SAME);
  }
}

/** Rotation from a turn to a roll, in degrees, clockwise, -180 to 180. @param {number} roll @param {number} turn */
const between = (roll, turn) => ((((roll - turn + 180) % 360) + 360) % 360) - 180;

/** @param {{ confidence: number }} first @param {{ confidence: number }} second */
const surestFirst = (first, second) => second.confidence - first.confidence;

/** @param {FoundFace} first @param {FoundFace} second */
function largestFirst({ box: first }, { box: second }) {
  return (
    second.width * second.height - first.width * first.height ||
    first.x - second.x || first.y - second.y || first.width - second.width || first.height - second.height
  );
}

/** The most confident candidate at each place, highest confidence first. @param {Candidate[]} candidates */
const merged = (candidates) => distinct(candidates.toSorted(surestFirst), ({ proposal }) => proposal.square);

/** Drop each face that overlaps a more confident one too much. @param {PlacedFace[]} faces */
const consistent = (faces) =>
  apart(faces.toSorted(surestFirst), (face, other) => face.square.covered(other.square) > CONTRADICTED);

/** @param {number} width @param {number} height */
const breadth = (width, height) => Math.min(Math.max(width, height), BREADTH * Math.min(width, height));

/** At most `MOST_PARTS` overlapping squares that cover a picture. @param {number} width @param {number} height @param {number} share */
function parts(width, height, share) {
  let side = share * breadth(width, height);
  while (count(width, side) * count(height, side) > MOST_PARTS) side *= 1.1;
  const [across, down] = [count(width, side), count(height, side)];
  return Array.from({ length: across * down }, (_, index) => {
    const [column, row] = [index % across, Math.floor(index / across)];
    return new Square(middle(column, across, width, side), middle(row, down, height, side), side);
  });
}

/** Number of squares that cover a length. @param {number} length @param {number} side */
const count = (length, side) => Math.max(Math.ceil((length / side - OVERLAP) / (1 - OVERLAP)), 1);

/** @param {number} number @param {number} count @param {number} length @param {number} side */
const middle = (number, count, length, side) =>
  count === 1 ? length / 2 : side / 2 + (number * (length - side)) / (count - 1);

/** The proposal's face as FER-2013 would frame it. @param {Proposal} proposal */
function framed({ square: { x, y, side }, roll }) {
  const { sine, cosine } = turn(roll);
  return new Square(x + LIFT * side * sine, y - LIFT * side * cosine, FRAME * side);
}
