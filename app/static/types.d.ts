// What the service answers, as far as the page reads it: types for `tsc`; browsers do not load this file.

type Point = { x: number; y: number };
type Box = Point & { width: number; height: number };
type Size = { width: number; height: number };
type Emotion = { name: string; display_name: string; description: string; colour: string };
type Emotions = Map<string, Emotion>;

type Face = {
  emotion: string;
  confidence: number;
  probabilities: Record<string, number>;
  face_coordinates: Box;
  certain: boolean;
  plausible: string[];
  detection: number;
  angle: number | null;
  landmarks: Record<"right_eye" | "left_eye" | "nose" | "mouth", Point> | null;
};

type Prediction = { faces: Face[]; image: Size; timings_ms: Record<string, number> };

/** A picture that comes with the page, and what the service answers about it. */
type Sample = { file: string; title: string; credit: string; answer: Prediction | { code: string; detail: string } };
type Samples = { emotions: Emotion[]; pictures: Sample[] };

type LiveFace = Face & { id: number };

/** An error has no faces. */
type LiveAnswer = { frame: number; faces?: LiveFace[]; image?: Size; error?: string };

type Figures = {
  data: string;
  truth: "crowd" | "labels";
  count: number;
  accuracy: number;
  accuracy_interval_95: [number, number];
  certain_share: number;
  certain_accuracy: number;
  confusion: number[][];
  labels: Record<string, { precision: number; recall: number; count: number }>;
  calibration: { count: number; confidence: number; accuracy: number }[];
};

type Card = {
  name: string;
  version: string;
  not_known: string;
  licence: string;
  certain_from: number;
  evaluation: Record<string, Figures>;
  photographs: { pictures: number; count: number; right: number } | null;
};
