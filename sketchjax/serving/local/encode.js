// The model in the browser: onnxruntime-web runs the same graph as a server's onnxruntime.

import { load } from "./load.js";
import { Problem } from "./problem.js";
import { rounded } from "./search.js";

const NAMED = 3; // categories that an answer names as probable

export class Encoder {
  /** Load the runtime and the graph. about: the object of gallery.json. */
  static async load(about) {
    const [runtime, graph] = await Promise.all([loadRuntime(), load("encoder.onnx", about)]);
    try {
      // Threads need headers that a plain web host does not send; one drawing needs none.
      runtime.env.wasm.numThreads = 1;
      runtime.env.wasm.wasmPaths = new URL("ort/", import.meta.url).href;
      const session = await runtime.InferenceSession.create(graph, { executionProviders: ["wasm"] });
      const loaded = new Encoder(runtime, session, about.encoder);
      await loaded.outputs(Uint8Array.of(0, 0, 0, 255, 255, 1)); // so that the first stroke is as fast as the next
      return loaded;
    } catch (error) {
      const why = "Files in ort/ are missing, damaged or of another version, or there is not enough memory.";
      console.error(error);
      throw new Problem(`The model cannot be started in this browser. ${why}`);
    }
  }

  constructor(runtime, session, { points, categories }) {
    Object.assign(this, { runtime, session, most: points, categories });
  }

  /**
   * What the model makes of a drawing: {code: Uint8Array, features: Float32Array, probable}.
   * points: a Uint8Array of x, y, end of stroke. A longer one than the model takes is cut, and the last
   *   point that is kept ends a stroke.
   */
  async outputs(points) {
    const { Tensor } = this.runtime;
    const length = Math.min(points.length / 3, this.most);
    const padded = new Uint8Array(3 * this.most);
    padded.set(points.subarray(0, 3 * length));
    padded[3 * length - 1] = 1;
    const { codes, features, probabilities } = await this.session.run({
      points: new Tensor("uint8", padded, [1, this.most, 3]),
      lengths: new Tensor("int32", Int32Array.of(length), [1]),
    });
    return { code: codes.data, features: features.data, probable: this.probable(probabilities.data) };
  }

  probable(shares) {
    const order = Array.from(shares.keys()).sort((a, b) => shares[b] - shares[a] || a - b);
    return order.slice(0, NAMED).map((i) => ({ name: this.categories[i], probability: rounded(shares[i], 4) }));
  }
}

async function loadRuntime() {
  if (!canCompile()) {
    throw new Problem(
      "This browser does not let the page run WebAssembly. If the page's host sends a Content-Security-Policy, " +
        "its script-src needs 'wasm-unsafe-eval'.",
    );
  }
  try {
    return await import("./ort/ort.wasm.min.mjs");
  } catch (error) {
    console.error(error);
    throw new Problem("ort/ort.wasm.min.mjs cannot be loaded. Is the network there?");
  }
}

/** Whether WebAssembly is there and allowed, by a module that has only its header. */
function canCompile() {
  try {
    return Boolean(new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)));
  } catch {
    return false;
  }
}
