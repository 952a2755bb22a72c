// What the service answers, as far as the page reads it: types for `tsc`; browsers do not load this file.

type Box = { x: number; y: number; width: number; height: number };
type Size = { width: number; height: number };
type Emotion = { name: string; emoji: string; colour: string };
type Emotions = Map<string, Emotion>;

type Face = {
  emotion: string;
  confidence: number;
  probabilities: Record<string, number>;
  face_coordinates: Box;
  certain: boolean;
  plausible: string[];
  detection: number;
};

type Prediction = { faces: Face[]; image: Size; timings_ms: Record<string, number> };

type LiveFace = Face & { id: number };

/** An error has no faces. */
type LiveAnswer = { frame: number; faces?: LiveFace[]; image?: Size; error?: string };

type Figures = {
  data: string;
  truth: "crowd" | "labels";
  count: number;
  accuracy: number;
  accuracy_interval_95: [number, number];
  labels: Record<string, { precision: number; recall: number; count: number }>;
  calibration: { count: number; confidence: number; accuracy: number }[];
};

type Card = {
  name: string;
  version: string;
  not_known: string;
  licence: string;
  evaluation: Record<string, Figures>;
  photographs: { pictures: number; count: number; right: number } | null;
};
