// What the port uses of OpenCV.js and of LiteRT.js's WebAssembly module, for the type checker.

type Mat = {
  data: Uint8Array;
  data32F: Float32Array;
  rows: number;
  cols: number;
  roi(rect: unknown): Mat;
  channels(): number;
  copyTo(to: Mat): void;
  delete(): void;
};

type Vector<Item> = { size(): number; get(index: number): Item; delete(): void };

type OpenCV = {
  Mat: new (rows?: number, columns?: number, type?: number) => Mat;
  Rect: new (x: number, y: number, width: number, height: number) => unknown;
  Size: new (width: number, height: number) => unknown;
  Point: new (x: number, y: number) => unknown;
  Scalar: new (...values: number[]) => unknown;
  RectVector: new () => Vector<Box>;
  IntVector: new () => Vector<number>;
  DoubleVector: new () => Vector<number>;
  CascadeClassifier: new () => {
    load(name: string): boolean;
    detectMultiScale3(
      image: Mat, hits: Vector<Box>, levels: Vector<number>, weights: Vector<number>, scale: number,
      neighbours: number, flags: number, least: unknown, most: unknown, levelsWanted: boolean,
    ): void;
  };
  CV_8UC3: number;
  CV_32FC1: number;
  COLOR_RGB2GRAY: number;
  INTER_LINEAR: number;
  INTER_AREA: number;
  BORDER_CONSTANT: number;
  BORDER_REPLICATE: number;
  BORDER_REFLECT: number;
  ROTATE_90_CLOCKWISE: number;
  ROTATE_180: number;
  ROTATE_90_COUNTERCLOCKWISE: number;
  cvtColor(from: Mat, to: Mat, code: number): void;
  resize(from: Mat, to: Mat, size: unknown, x: number, y: number, interpolation: number): void;
  rotate(from: Mat, to: Mat, code: number): void;
  getRotationMatrix2D(centre: unknown, angle: number, scale: number): Mat & { data64F: Float64Array };
  warpAffine(from: Mat, to: Mat, matrix: Mat, size: unknown, interpolation: number, border: number, fill: unknown): void;
  GaussianBlur(from: Mat, to: Mat, size: unknown, x: number, y: number, border: number): void;
  FS_createDataFile(folder: string, name: string, data: string, readable: boolean, writable: boolean, owned: boolean): void;
  onRuntimeInitialized?: () => void;
  then?: unknown;
};

type TensorBuffer = { lock(mode: unknown): number; unlock(): void; packedSize(): number; delete(): void };
type TensorType = { bytes(): number; delete(): void };

type LiteRt = {
  _malloc(bytes: number): number;
  HEAPU8: Uint8Array<ArrayBuffer>;
  LiteRtEnvironment: { create(device: null): unknown };
  LiteRtTensorBufferType: { HOST_MEMORY: unknown };
  LiteRtTensorBufferLockMode: { READ: unknown; WRITE: unknown };
  LiteRtTensorBuffer: { createManaged(environment: unknown, type: unknown, tensor: TensorType, bytes: number): TensorBuffer };
  loadModel(environment: unknown, pointer: number, bytes: number): { getInputTensorType(signature: number, input: number): TensorType };
  compileModel(environment: unknown, model: unknown, options: object): { run(signature: number, inputs: TensorBuffer[]): TensorBuffer[] };
};

/** RGB, a byte each, row by row; `jpeg` if they come from such a file. */
type Pixels = { data: Uint8Array | Uint8ClampedArray; width: number; height: number; jpeg?: boolean };

declare module "node:fs/promises";
declare module "node:v8";
declare const process: { argv: string[] };
