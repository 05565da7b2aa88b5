// The list of what is found: looking at a result draws its strokes once more and shows the bits in
// which its code differs; choosing it asks for more like it.

import { showCode } from "./code.js";
import { picture, replay } from "./sketch.js";

const $ = (id) => document.getElementById(id);
const stillness = matchMedia("(prefers-reduced-motion: reduce)");

let answer = null; // that is shown
let looked = null; // the id of the result that the code is compared with
let hovering = 0; // the timer of a look

/** Show an answer. browsing: nothing was drawn, so there is nothing to compare with. */
export function showHits(found, browsing) {
  answer = found;
  const focused = document.activeElement?.closest?.("#hits li");
  const before = new Map([...$("hits").children].map((li) => [li.dataset.id, li]));
  const items = found.results.map((hit, rank) => {
    const li = before.get(hit.id) ?? hitItem(hit);
    const distance = browsing ? "" : `, distance ${hit.distance}`;
    li.dataset.rank = rank;
    li.querySelector("b").textContent = browsing ? "" : hit.distance;
    li.firstChild.setAttribute("aria-label", `${hit.category}${distance}: more like this`);
    return li;
  });
  $("hits").replaceChildren(...items);
  if (focused) (focused.isConnected ? focused : items[0])?.firstChild.focus({ preventScroll: true });
  $("hits").hidden = false;
  unpick();
  if (!browsing) compare(null);
}

/** Show that there is nothing yet, with an empty code of this many bits. */
export function showNoHits(bits) {
  answer = null;
  $("hits").hidden = true;
  unpick();
  showCode($("code"), "00".repeat(bits / 8));
  $("code").setAttribute("aria-label", "No code yet");
  $("compare").textContent = "Each square is a bit.";
}

function hitItem(hit) {
  const li = tile(hit.category, hit.kind === "photo" ? photo(hit) : picture(hit.points));
  li.dataset.id = hit.id;
  const caption = li.querySelector(".caption");
  caption.append(document.createElement("b"));
  return li;
}

function photo(hit) {
  const image = document.createElement("img");
  image.src = hit.thumbnail;
  image.alt = ""; // the button has the name
  return image;
}

/** A picture with its name under it, as a button in a list item. */
export function tile(name, image) {
  const li = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "hit";
  const caption = document.createElement("span");
  caption.className = "caption";
  const word = document.createElement("span");
  word.textContent = name;
  caption.append(word);
  button.append(image, caption);
  li.append(button);
  return li;
}

function look(hit) {
  looked = hit.id;
  const shown = [...$("hits").children].find((li) => li.dataset.id === hit.id);
  const drawing = shown?.querySelector("svg");
  if (drawing && !stillness.matches) replay(drawing);
  compare(hit);
}

function lookAway() {
  looked = null;
  if (answer && $("picked").hidden) compare(null);
}

function compare(hit) {
  const differing = showCode($("code"), answer.code, hit?.code);
  showCode($("picked-code"), answer.code, hit?.code);
  const bits = answer.code.length * 4;
  const ones = document.createElement("b");
  if (!hit) {
    $("compare").textContent = "Each square is a bit. Point at a result to see where its code differs.";
  } else if (differing) {
    ones.textContent = `${differing} of ${bits} bits`;
    $("compare").replaceChildren(ones, ` of this ${hit.category} differ.`);
  } else {
    $("compare").textContent = `All ${bits} bits of this ${hit.category} are the same.`;
  }
  if (hit) $("picked-name").textContent = `${hit.category}: ${differing ? `${differing} of ${bits} bits differ` : "the same code"}`;
  $("code").setAttribute("aria-label", hit ? $("compare").textContent : `The drawing's code, ${bits} bits: ${answer.code}`);
}

/** A finger has no hover: its first touch looks at a result, the next one asks for more like it. */
function pick(hit) {
  unpick();
  $("picked").hidden = false;
  $("picked").dataset.id = hit.id;
  $("picked-name").textContent = `${hit.category}, distance ${hit.distance}`;
  for (const li of $("hits").children) li.firstChild.classList.toggle("picked-one", li.dataset.id === hit.id);
  look(hit);
}

export function unpick() {
  $("picked").hidden = true;
  for (const li of $("hits").children) li.firstChild.classList.remove("picked-one");
  looked = null;
}

function hitOf(event) {
  const id = event.target.closest?.("li")?.dataset.id;
  return answer?.results.find((hit) => hit.id === id);
}

/** Listen to the list. onMore: called with a result that more is wanted of. */
export function setUpHits(onMore) {
  $("hits").addEventListener("pointerover", (event) => {
    if (event.pointerType === "touch") return;
    clearTimeout(hovering);
    const hit = hitOf(event);
    if (hit && hit.id !== looked) hovering = setTimeout(look, 60, hit);
  });
  $("hits").addEventListener("pointerleave", () => {
    clearTimeout(hovering);
    lookAway();
  });
  $("hits").addEventListener("focusin", (event) => {
    const hit = event.target.matches(":focus-visible") && hitOf(event);
    if (hit) look(hit);
  });
  $("hits").addEventListener("focusout", lookAway);
  $("hits").addEventListener("click", (event) => {
    const hit = hitOf(event);
    if (!hit) return;
    const isPicked = !$("picked").hidden && $("picked").dataset.id === hit.id;
    if (event.pointerType === "touch" && !isPicked) pick(hit);
    else onMore(hit);
  });
  $("hits").addEventListener("keydown", (event) => {
    const items = [...$("hits").children];
    const at = items.findIndex((li) => li.contains(event.target));
    const columns = getComputedStyle($("hits")).gridTemplateColumns.split(" ").length;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -at, End: items.length - 1 - at };
    const next = event.key in steps && items[at + steps[event.key]];
    if (!next) return;
    event.preventDefault();
    next.firstChild.focus();
  });
  $("more").addEventListener("click", () => {
    const hit = answer?.results.find(({ id }) => id === $("picked").dataset.id);
    if (hit) onMore(hit);
  });
  $("unpick").addEventListener("click", () => {
    unpick();
    lookAway();
  });
}
