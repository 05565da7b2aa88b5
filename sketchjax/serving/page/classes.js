// The probable categories of a drawing, with a bar each.

import { isKnown } from "./filter.js";
import { percent } from "./words.js";

const list = document.getElementById("classes");

/** Show categories as {name, probability}; otherwise: what is shown where there are none. */
export function showClasses(classes, otherwise) {
  if (!classes.length) {
    const li = document.createElement("li");
    li.className = "soft";
    li.textContent = otherwise;
    list.replaceChildren(li);
    return;
  }
  const items = classes.map(({ name, probability }, rank) => {
    const li = list.children[rank]?.querySelector("button") ? list.children[rank] : classItem();
    li.dataset.name = name;
    li.querySelector(".name").textContent = name;
    li.querySelector(".share").textContent = percent(probability);
    li.querySelector(".bar i").style.setProperty("--part", probability);
    li.firstChild.title = isKnown(name) ? `Search only in ${name}` : "";
    return li;
  });
  list.replaceChildren(...items);
}

function classItem() {
  const li = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  for (const kind of ["name", "share", "bar"]) {
    const span = document.createElement("span");
    span.className = kind;
    button.append(span);
  }
  button.lastChild.append(document.createElement("i"));
  li.append(button);
  return li;
}

/** Listen to the list. onChoose: called with the name of a category that can be searched in. */
export function setUpClasses(onChoose) {
  list.addEventListener("click", (event) => {
    const name = event.target.closest("li")?.dataset.name;
    if (isKnown(name)) onChoose(name);
  });
}
