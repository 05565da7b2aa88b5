// The model in the browser: onnxruntime-web runs the same graph as a server's onnxruntime.

import { rounded } from "./search.js";

const NAMED = 3; // categories that an answer names as probable

export class Encoder {
  /** Load the runtime and the graph. about: the object of gallery.json. */
  static async load({ encoder, version }) {
    const [runtime, graph] = await Promise.all([import("./ort/ort.wasm.min.mjs"), bytes(`encoder.onnx?${version}`)]);
    // Threads need headers that a plain web host does not send; one drawing needs none.
    runtime.env.wasm.numThreads = 1;
    runtime.env.wasm.wasmPaths = new URL("ort/", import.meta.url).href;
    const session = await runtime.InferenceSession.create(graph, { executionProviders: ["wasm"] });
    const loaded = new Encoder(runtime, session, encoder);
    await loaded.outputs(Uint8Array.of(0, 0, 0, 255, 255, 1)); // so that the first stroke is as fast as the next
    return loaded;
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

/** The bytes of a file next to this one. */
export async function bytes(name, options) {
  const response = await fetch(new URL(name, import.meta.url), options);
  if (!response.ok) throw new Error(`${name.split("?")[0]} cannot be loaded (${response.status}).`);
  return new Uint8Array(await response.arrayBuffer());
}
