// Calls without a server: a worker has the gallery and the model, and answers as a server does.

import { Problem } from "./problem.js";

const queue = []; // calls that the worker has not been given yet
let current = null; // the one that it works on
let worker = null;

/** The answer to a call, as `call` of api.js gives it. */
export function call(path, { body, signal } = {}) {
  return new Promise((resolve, reject) => {
    const own = { path, body, resolve, reject };
    queue.push(own);
    signal?.addEventListener("abort", () => {
      const place = queue.indexOf(own);
      if (place >= 0) queue.splice(place, 1);
      reject(signal.reason);
    });
    next();
  });
}

function next() {
  if (current || !queue.length) return;
  current = queue.shift();
  try {
    worker ??= start();
    worker.postMessage({ path: current.path, body: current.body });
  } catch (error) {
    console.error(error);
    finish({ trouble: "This browser does not let the page start a worker. A Content-Security-Policy of its host can be why." });
  }
}

function start() {
  const started = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  started.onmessage = ({ data }) => finish(data);
  started.onerror = () => finish({ trouble: "The scripts of the search cannot be loaded. Is the network there?" });
  return started;
}

/** End the current call with its answer, or with the trouble and its status. */
function finish({ answer, trouble, status = 0 }) {
  const own = current;
  current = null;
  if (trouble && status === 0) {
    // The next call starts another worker: in this one, onnxruntime-web does not start a second time.
    worker?.terminate();
    worker = null;
  }
  if (trouble) own?.reject(new Problem(trouble, status));
  else own.resolve(answer);
  next();
}
