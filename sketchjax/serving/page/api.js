// Calls to what searches: the server that the page came from, or, in a page without a server, the
// browser itself. Whatever fails is a Problem with one sentence for people.

import { Problem } from "./problem.js";

export { Problem };

const PATIENCE = 10_000; // ms until a call counts as unanswered
const TRIES = 4; // when the server is busy or warming up

/** Whether the browser itself searches: `sketchjax export --page` says so in the page. */
export const isLocal = document.querySelector("meta[name=gallery]") !== null;

let loading = null; // of local.js
let tries = 0; // to load it: a browser may remember that an address failed

/** The answer, a JSON value. body: sent as JSON by POST; without one it is GET. */
export async function call(path, options) {
  return isLocal ? (await loadLocal()).call(path, options) : callServer(path, options);
}

function loadLocal() {
  loading ??= import(`./local.js?${(tries += 1)}`).catch((error) => {
    console.error(error);
    loading = null;
    throw new Problem("local.js cannot be loaded. Is the network there?");
  });
  return loading;
}

async function callServer(path, { body, signal } = {}) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await once(path, body, signal);
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 503 || attempt === TRIES) throw error;
      await pause(Math.min(error.wait || 1, 5) * 1000, signal);
    }
  }
}

async function once(path, body, signal) {
  const late = AbortSignal.timeout(PATIENCE);
  const options = { signal: signal ? AbortSignal.any([signal, late]) : late };
  if (body) {
    options.method = "POST";
    options.headers = { "content-type": "application/json" };
    options.body = JSON.stringify(body);
  }
  let response;
  let answer;
  try {
    response = await fetch(path, options);
    answer = await response.json().catch((error) => {
      if (error instanceof SyntaxError) return null;
      throw error;
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    if (late.aborted) throw new Problem(`The server did not answer within ${PATIENCE / 1000} seconds.`);
    throw new Problem("The server cannot be reached. Is it still running?");
  }
  if (response.ok && answer) return answer;
  throw new Problem(
    sentenceOf(answer, response),
    response.status,
    Number(response.headers.get("retry-after")) || 0,
  );
}

/** What is wrong. A proxy before the server can have answered, with any JSON or none. */
function sentenceOf(answer, { ok, status }) {
  if (ok) return "What answered is not the server of this page. Is a proxy in between?";
  const detail = answer?.detail;
  return detail && typeof detail === "string" ? detail : `The server answered with an error (${status}).`;
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
