// @ts-check
// LiteRT.js, on one thread of WebAssembly: the only file that knows it.

/** A module with one instruction of relaxed SIMD, as LiteRT.js itself asks for it. */
const RELAXED = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15, 253,
  128, 2, 11,
];

/** @typedef {"relaxed" | "compatible"} Build the faster one, which adds as processors do, and the one of every browser */

/** The build of LiteRT that runs here. @returns {Build} */
export const build = () => (WebAssembly.validate(new Uint8Array(RELAXED)) ? "relaxed" : "compatible");

/** Start LiteRT. @param {string} script the text of its loader @param {Uint8Array} wasm @returns {Promise<LiteRt>} */
export async function startLiteRt(script, wasm) {
  const module = { exports: /** @type {any} */ ({}) };
  const names = ["module", "exports", "require", "__dirname", "__filename"];
  new Function(...names, script)(module, module.exports, /** @type {any} */ (globalThis).process?.getBuiltinModule, "", "");
  return module.exports({ wasmBinary: wasm, print() {}, printErr() {} });
}

/** A network with one input of float32. */
export class Network {
  #litert;
  #model;
  #input;

  /** @param {LiteRt} litert @param {Uint8Array} file a .tflite file */
  constructor(litert, file) {
    const [environment, pointer] = [litert.LiteRtEnvironment.create(null), litert._malloc(file.length)];
    litert.HEAPU8.set(file, pointer);
    const model = litert.loadModel(environment, pointer, file.length);
    const options = { environment, accelerator: "wasm", cpuOptions: { numThreads: 1 }, gpuOptions: {}, webNNOptions: {} };
    this.#litert = litert;
    this.#model = litert.compileModel(environment, model, options);
    const type = model.getInputTensorType(0, 0);
    const host = litert.LiteRtTensorBufferType.HOST_MEMORY;
    this.#input = litert.LiteRtTensorBuffer.createManaged(environment, host, type, type.bytes());
    type.delete();
  }

  /** The outputs, in the order of the file. @param {Float32Array} values as many as the input has */
  run(values) {
    const { READ, WRITE } = this.#litert.LiteRtTensorBufferLockMode;
    const place = this.#input.lock(WRITE);
    this.#litert.HEAPU8.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), place);
    this.#input.unlock();
    return this.#model.run(0, [this.#input]).map((output) => {
      const start = output.lock(READ);
      const bytes = this.#litert.HEAPU8.slice(start, start + output.packedSize());
      output.unlock();
      output.delete();
      return new Float32Array(bytes.buffer);
    });
  }
}
