// A server inside the browser: answers the calls of local.js, off the page's thread.

import { Encoder } from "./encode.js";
import { load, loadDescription } from "./load.js";
import { Problem } from "./problem.js";
import { Gallery, answer, bytesOf, rounded, wordsOf } from "./search.js";
import { pointsOf, simplify } from "./simplify.js";

const FAULT = "The search in this browser failed. If it does so again, reload the page.";
const loading = {};

/** Load something once; what failed before anybody asked for it is loaded again. */
function once(name, load) {
  loading[name] ??= load().catch((error) => {
    delete loading[name];
    throw error;
  });
  return loading[name];
}

const about = () => once("about", loadDescription);
const gallery = () =>
  once("gallery", async () => new Gallery(await about(), (await load("gallery.bin", await about())).buffer));
const encoder = () => once("encoder", async () => Encoder.load(await about()));

onmessage = async ({ data: { path, body } }) => {
  try {
    postMessage({ answer: await answerTo(path, body) });
  } catch (error) {
    if (!(error instanceof Problem)) console.error(error);
    const problem = error instanceof Problem ? error : new Problem(FAULT);
    postMessage({ trouble: problem.message, status: problem.status });
  }
};

/** What a server answers to this path. */
async function answerTo(path, body) {
  const own = await gallery();
  if (path === "v1/search") return search(own, body);
  if (path === "v1/index") return own.describe();
  return own.sketch(path.replace("v1/sketches/", ""));
}

async function search(own, { drawing, form = "raw", code, like, k = 36, categories, rerank = true, points = true }) {
  const options = { k, categories, points };
  const start = performance.now();
  if (!drawing) {
    const row = like === undefined ? -1 : own.rowOf(like);
    const words = row < 0 ? wordsOf(bytesOf(code)) : own.codeOf(row);
    const features = row < 0 || !rerank ? null : own.featuresOf(row);
    const found = answer(own, { code: words, features, ...options });
    return { ...found, milliseconds: { simplify: 0, encode: 0, search: rounded(performance.now() - start, 3) } };
  }
  const model = await encoder();
  const begin = performance.now(); // without the time of loading
  const made = form === "raw" ? simplify(drawing) : pointsOf(drawing);
  const simplified = performance.now();
  const outputs = await model.outputs(made);
  const encoded = performance.now();
  const features = rerank ? own.bytesOf(outputs.features) : null;
  const found = answer(own, { code: wordsOf(outputs.code), features, ...options }, outputs.probable);
  const milliseconds = {
    simplify: rounded(simplified - begin, 3),
    encode: rounded(encoded - simplified, 3),
    search: rounded(performance.now() - encoded, 3),
  };
  return { ...found, milliseconds };
}

gallery().catch(() => {}); // whoever asks will hear of it
encoder().catch(() => {});
