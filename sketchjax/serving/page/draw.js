// The page: every stroke becomes a search, and only the answer to the newest one is shown.

import { Problem, call, isLocal } from "./api.js";
import { setUpClasses, showClasses } from "./classes.js";
import { EXAMPLES } from "./examples.js";
import { readDrawings, saveDrawings } from "./files.js";
import { choose, chosen, isKnown, offer, setUpFilter } from "./filter.js";
import { setUpHits, showHits, showNoHits, tile, unpick } from "./hits.js";
import { Pad, SIZE } from "./pad.js";
import { MOST_POINTS, MOST_STROKES, centred, picture, pointsIn, replay, simplified } from "./sketch.js";
import { announcement, nounOf, numbers, tiesOf, timing, titleOf } from "./words.js";

const SHOWN = 36;
const SLOW = 250; // ms after which a search shows that it is running
const STROKE_TIME = 260; // ms that an example's stroke takes to appear
const STATE = ["name", "snapshot", "count", "photos"]; // by which an answer says of which index it is
const EMPTY = Object.freeze({ drawing: [], own: null, like: null, name: "" });

const $ = (id) => document.getElementById(id);
const stillness = matchMedia("(prefers-reduced-motion: reduce)");

// States of the sheet, so that undo and redo are steps along a list: {drawing, own, like, name}, where
// `own` is the {drawing, form} of a file or an example that is searched in its own numbers, and `like`
// the result that was asked for more of, both until a stroke is added; `code` is that result's code.
let states = [EMPTY];
let place = 0;
let index = null; // what the server says about its index
let reading = null; // the promise of what it says, while it is asked
let answer = null; // the newest that is shown
let sequence = 0; // of searches
let running = null; // the AbortController of the newest search
let acting = 0; // of examples; a newer one, or a hand, ends the one before
let opened = false; // whether the examples are those of a file

const pad = new Pad($("canvas"), takeOver, addStroke);

// ---- The sheet and its history ----

function takeOver() {
  acting += 1;
  pad.show(states[place].drawing); // without the part of a stroke that an example was drawing
  $("ghost").classList.add("gone");
}

function addStroke(stroke) {
  const { drawing } = states[place];
  if (drawing.length >= MOST_STROKES || pointsIn(drawing) + stroke[0].length > MOST_POINTS) {
    pad.show(drawing);
    trouble(new Problem("The sheet is full: a drawing has at most 256 strokes and 10,000 points. Undo some, or clear it."));
    return;
  }
  put({ ...EMPTY, drawing: [...drawing, stroke] });
}

function put(state) {
  states = [...states.slice(0, place + 1), state];
  go(states.length - 1);
}

function go(to) {
  place = Math.min(Math.max(to, 0), states.length - 1);
  const { drawing, like, name } = states[place];
  pad.show(drawing);
  $("ghost").classList.toggle("gone", drawing.length > 0 || like !== null);
  $("undo").disabled = place === 0;
  $("redo").disabled = place === states.length - 1;
  $("clear").disabled = isEmpty();
  $("badge").hidden = !name;
  $("badge").textContent = name;
  const strokes = drawing.length === 1 ? "1 stroke" : `${drawing.length} strokes`;
  $("canvas").setAttribute("aria-label", drawing.length ? `Your drawing, ${strokes}${name && `, ${name}`}` : "Drawing area, empty");
  search();
}

function undo() {
  acting += 1;
  go(place - 1);
}

function redo() {
  acting += 1;
  go(place + 1);
}

/** Whether there is neither a drawing nor a photo that more is wanted of. */
function isEmpty() {
  const { drawing, like } = states[place];
  return !drawing.length && !like;
}

function clear() {
  acting += 1;
  if (!isEmpty()) put(EMPTY);
}

/** Draw an example as a hand would, with a search after every stroke. */
async function perform(example) {
  const turn = (acting += 1);
  const drawing = centred(example.drawing, SIZE * 0.72, SIZE);
  const own = { drawing: example.drawing, form: example.form };
  if (!isEmpty()) put(EMPTY);
  $("ghost").classList.add("gone");
  for (const [number, stroke] of drawing.entries()) {
    await appear(stroke, turn);
    if (turn !== acting) return;
    const isWhole = number === drawing.length - 1;
    put({ ...EMPTY, drawing: drawing.slice(0, number + 1), own: isWhole ? own : null });
  }
}

/** Let a stroke grow on the sheet, unless people prefer stillness. */
async function appear([xs, ys], turn) {
  if (stillness.matches) return;
  const start = performance.now();
  for (let share = 0; share < 1 && turn === acting; ) {
    const now = await new Promise(requestAnimationFrame);
    share = Math.min(Math.max((now - start) / STROKE_TIME, 0.02), 1);
    const count = Math.max(1, Math.ceil(share * xs.length));
    pad.show([...states[place].drawing, [xs.slice(0, count), ys.slice(0, count)]]);
  }
}

function moreLike(hit) {
  acting += 1;
  unpick();
  const drawing = centred(hit.points ?? [], SIZE * 0.72, SIZE);
  put({ ...EMPTY, drawing, like: hit.id, code: hit.code, name: `Like this ${hit.category}` });
  scrollTo({ top: 0, behavior: stillness.matches ? "auto" : "smooth" });
}

// ---- Searching ----

function query() {
  const { drawing, own, like } = states[place];
  const filter = chosen.size ? { categories: [...chosen] } : {};
  if (like) return { like, k: SHOWN, ...filter };
  if (drawing.length) return { ...(own ?? { drawing, form: "raw" }), k: SHOWN, ...filter };
  // No drawing, but categories: show what is in them.
  if (chosen.size && index) return { code: "00".repeat(index.bits / 8), k: SHOWN, rerank: false, ...filter };
  return null;
}

async function search() {
  running?.abort();
  const own = (running = new AbortController());
  const number = (sequence += 1);
  const body = query();
  $("notice").hidden = true;
  $("results").setAttribute("aria-busy", "true");
  if (!body) {
    settle();
    showEmpty();
    return;
  }
  const start = performance.now();
  const slow = setTimeout(() => {
    $("progress").hidden = false;
    $("hits").classList.add("stale");
    if (isLocal && !answer) $("ties").textContent = "The model is being loaded into this browser.";
  }, SLOW);
  try {
    const found = await ask(body, states[place].code, own.signal);
    if (number !== sequence) return;
    showAnswer(found, performance.now() - start, body);
  } catch (error) {
    if (number !== sequence) return;
    $("hits").classList.add("stale");
    trouble(error);
  } finally {
    clearTimeout(slow);
    if (number === sequence) settle();
  }
}

/** The answer to a query, once the page knows the index that it is of. code: of the item in `like`. */
async function ask(body, code, signal) {
  let found;
  try {
    found = await call("v1/search", { body, signal });
  } catch (error) {
    // What was asked for can be of the index that the server had before.
    if (error.status === 404 || error.status === 422) await readIndex();
    throw error;
  }
  if (STATE.some((key) => found.index[key] !== index?.[key])) await readIndex();
  if (body.like && found.code !== code) {
    throw new Problem("The server has another index now, without the result that you chose. Undo, or draw.");
  }
  return found;
}

function settle() {
  $("results").setAttribute("aria-busy", "false");
  $("progress").hidden = true;
}

function trouble(error) {
  if (!(error instanceof Problem)) console.error(error);
  $("trouble").textContent = error instanceof Problem ? error.message : "Something in this page went wrong; reload it.";
  $("notice").hidden = false;
}

// ---- What is shown ----

function showEmpty() {
  answer = null;
  $("title").textContent = "Draw something";
  $("ties").textContent = "or start from one of these.";
  $("examples").hidden = false;
  $("hits").classList.remove("stale");
  $("timing").hidden = true;
  $("download").disabled = true;
  showClasses([], noClasses());
  showNoHits(index?.bits ?? 64);
}

function showAnswer(found, milliseconds, body) {
  answer = found;
  const browsing = Boolean(body.code);
  $("examples").hidden = true;
  $("hits").classList.remove("stale");
  $("download").disabled = !found.results.length;
  $("title").textContent = titleOf(found, browsing);
  $("ties").textContent = browsing ? "Draw to search among them." : tiesOf(found);
  $("timing").hidden = browsing;
  $("timing").textContent = timing(found.milliseconds, milliseconds);
  showHits(found, browsing);
  showClasses(found.categories, noClasses());
  $("live").textContent = announcement(found, browsing);
}

function noClasses() {
  return states[place].like ? "It is one of the index." : "Nothing yet.";
}

// ---- Tools, files, keys ----

setUpHits(moreLike);
setUpFilter(search);
setUpClasses((name) => choose(chosen.size === 1 && chosen.has(name) ? [] : [name]));
$("undo").addEventListener("click", undo);
$("redo").addEventListener("click", redo);
$("clear").addEventListener("click", clear);
$("again").addEventListener("click", again);
$("download").addEventListener("click", () => saveDrawings(answer.results, "drawings.ndjson"));
$("open").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  open($("file").files[0]);
  $("file").value = "";
});

async function open(file) {
  if (!file) return;
  try {
    const drawings = await readDrawings(file);
    $("notice").hidden = true;
    opened = true;
    showExamples(drawings);
    if (drawings.length === 1) {
      perform(drawings[0]);
      return;
    }
    acting += 1;
    if (!isEmpty()) put(EMPTY);
    $("title").textContent = `Drawings of ${file.name}`;
    $("ties").textContent = "Choose the one to search for.";
    $("examples").querySelector("button").focus();
  } catch (error) {
    trouble(error);
  }
}

for (const kind of ["dragenter", "dragover"]) {
  $("sheet").addEventListener(kind, (event) => {
    event.preventDefault();
    $("sheet").classList.add("dropping");
  });
}
$("sheet").addEventListener("dragleave", () => $("sheet").classList.remove("dropping"));
$("sheet").addEventListener("drop", (event) => {
  event.preventDefault();
  $("sheet").classList.remove("dropping");
  open(event.dataTransfer.files[0]);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    if ($("filter").open) {
      $("filter").open = false;
      $("filter").querySelector("summary").focus();
    }
    unpick();
    return;
  }
  const typing = event.target.matches?.("input[type=search]");
  if (typing || event.altKey || !(event.ctrlKey || event.metaKey)) return;
  const key = event.key.toLowerCase();
  if (key !== "z" && key !== "y") return;
  event.preventDefault();
  if (key === "y" || event.shiftKey) redo();
  else undo();
});

// ---- Examples and the beginning ----

function showExamples(examples) {
  const items = examples.map((example) => {
    const li = tile(example.name, picture(simplified(example.drawing)));
    li.firstChild.addEventListener("click", () => perform(example));
    li.firstChild.addEventListener("pointerenter", () => !stillness.matches && replay(li.querySelector("svg")));
    return li;
  });
  $("examples").replaceChildren(...items);
}

/** In the empty sheet, one drawing after the other draws itself faintly. */
function haunt(examples) {
  let number = 0;
  const next = () => {
    if (!$("ghost").classList.contains("gone")) {
      $("ghost").querySelector("svg")?.remove();
      const image = picture(examples[number % examples.length].drawing);
      $("ghost").prepend(image);
      number += 1;
      if (!stillness.matches) replay(image);
    }
  };
  next();
  if (!stillness.matches) setInterval(next, 4500);
}

function readIndex() {
  reading ??= call("v1/index")
    .then(showIndex)
    .finally(() => (reading = null));
  return reading;
}

function showIndex(found) {
  const isFirst = !index;
  const before = JSON.stringify(query());
  index = found;
  const count = Object.keys(index.categories).length;
  $("about").textContent = `${numbers.format(index.count)} ${nounOf(index)}s of ${numbers.format(count)} categories, as codes of ${index.bits} bits.`;
  if (isLocal) $("about").append(" What you draw stays in this browser.");
  offer(index.categories);
  $("code-title").textContent = `Its ${index.bits} bits`;
  if (isFirst && !opened) {
    const known = EXAMPLES.filter(({ name }) => isKnown(name));
    showExamples(known.length < 4 ? EXAMPLES : known);
  }
  if (JSON.stringify(query()) !== before) search(); // a chosen category is gone, or codes have other bits
}

async function start() {
  $("notice").hidden = true;
  try {
    await readIndex();
    if (!query()) showEmpty(); // with the bits of this index
  } catch (error) {
    trouble(error);
  }
}

async function again() {
  if (!index) await start();
  if (index) search();
}

showExamples(EXAMPLES);
showEmpty();
haunt(EXAMPLES);
$("late").remove();
start();
