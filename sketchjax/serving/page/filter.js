// The categories to search in; none chosen means all of them.

const $ = (id) => document.getElementById(id);
const numbers = new Intl.NumberFormat("en");

export const chosen = new Set();
let known = {}; // drawings of the index by category
let changed = () => {};

/** The list of categories that have the written text in their names. */
function showCategories() {
  const wanted = $("find").value.trim().toLowerCase();
  const names = Object.entries(known).filter(([name]) => name.toLowerCase().includes(wanted));
  const items = names.map(([name, count]) => {
    const li = document.createElement("li");
    const label = document.createElement("label");
    const box = document.createElement("input");
    const small = document.createElement("small");
    box.type = "checkbox";
    box.checked = chosen.has(name);
    box.value = name;
    small.textContent = numbers.format(count);
    label.append(box, name, small);
    li.append(label);
    return li;
  });
  if (!items.length) {
    items.push(document.createElement("li"));
    items[0].textContent = "No such category.";
  }
  $("categories").replaceChildren(...items);
}

/** Search only in these from now on. */
export function choose(names) {
  mark(names);
  changed();
}

function mark(names) {
  chosen.clear();
  for (const name of names) chosen.add(name);
  $("filter").classList.toggle("on", chosen.size > 0);
  $("filter-name").textContent = chosen.size > 2 ? `${chosen.size} categories` : [...chosen].join(", ") || "All categories";
  $("all").disabled = !chosen.size;
}

/** Listen to the list. onChange: called when other categories are chosen. */
export function setUpFilter(onChange) {
  changed = onChange;
  $("find").addEventListener("input", showCategories);
  $("categories").addEventListener("change", ({ target }) => {
    choose(target.checked ? [...chosen, target.value] : [...chosen].filter((name) => name !== target.value));
  });
  $("all").addEventListener("click", () => {
    choose([]);
    showCategories();
    $("find").focus();
  });
  $("filter").addEventListener("toggle", () => {
    if ($("filter").open) {
      showCategories();
      $("find").focus();
    }
  });
  document.addEventListener("pointerdown", (event) => {
    if (!$("filter").contains(event.target)) $("filter").open = false;
  });
}

/** Offer these categories, an object of their numbers of drawings; chosen ones stay if they are among them. */
export function offer(categories) {
  known = categories;
  mark([...chosen].filter(isKnown));
  if ($("filter").open) showCategories();
}

/** Whether drawings of this category can be searched for. */
export function isKnown(name) {
  return Object.hasOwn(known, name);
}
