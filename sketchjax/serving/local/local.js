// Calls without a server: a worker has the gallery and the model, and answers as a server does.

import { Problem } from "./api.js";

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
  worker ??= start();
  worker.postMessage({ path: current.path, body: current.body });
}

function start() {
  const started = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  started.onmessage = ({ data: { answer, trouble } }) => finish(answer, trouble);
  started.onerror = () => {
    worker = null; // the next call starts another one
    if (current) finish(null, "The search cannot be loaded. Is the network there?");
  };
  return started;
}

function finish(answer, trouble) {
  const { resolve, reject } = current;
  current = null;
  if (trouble) reject(new Problem(trouble));
  else resolve(answer);
  next();
}
