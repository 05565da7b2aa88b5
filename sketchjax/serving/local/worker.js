// A server inside the browser: answers the calls of local.js, off the page's thread.

import { Encoder, bytes } from "./encode.js";
import { Gallery, answer, bytesOf, rounded, wordsOf } from "./search.js";
import { pointsOf, simplify } from "./simplify.js";

const loading = {};

/** Load something once; what failed is loaded again when it is asked for again. */
function once(name, load) {
  loading[name] ??= load().catch((error) => {
    delete loading[name];
    throw error;
  });
  return loading[name];
}

const about = () =>
  once("about", async () => JSON.parse(new TextDecoder().decode(await bytes("gallery.json", { cache: "no-cache" }))));
const gallery = () =>
  once("gallery", async () => {
    const description = await about();
    return new Gallery(description, (await bytes(`gallery.bin?${description.version}`)).buffer);
  });
const encoder = () => once("encoder", async () => Encoder.load(await about()));

onmessage = async ({ data: { path, body } }) => {
  try {
    postMessage({ answer: await answerTo(path, body) });
  } catch (error) {
    postMessage({ trouble: error.message });
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
