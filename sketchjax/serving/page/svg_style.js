// CSS in SVG drawings, as sketchjax/data/sources/svg_style.py reads it: a style that hides lines is
// read, one that moves them is refused.

import { Problem } from "./problem.js";
import { quoted } from "./svg_path.js";

const COMMENT = /\/\*[^]*?(?:\*\/|$)/g;
// Properties that place or shape a line. An `svg` may have its size from its style.
const MOVING = ["cx", "cy", "d", "height", "r", "rotate", "rx", "ry", "scale", "transform", "transform-box"];
MOVING.push("transform-origin", "translate", "width", "x", "y");
const HIDING = String.raw`display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)`;
// Neither of a name such as stroke-width, nor of a selector such as .r:hover.
const SHEET = new RegExp(String.raw`(?<![\w.#-])(?:${HIDING}|(?:${MOVING.join("|")})\s*:)`, "i");

/** An element's attributes as a Map, with the display, visibility and size that its `style` sets. */
export function styled(element) {
  const attributes = new Map(Array.from(element.attributes, ({ name, value }) => [name, value]));
  const styles = declarations(attributes.get("style") ?? "");
  const read = ["display", "visibility", ...(element.localName === "svg" ? ["width", "height"] : [])];
  const moving = MOVING.filter((name) => styles.has(name) && !read.includes(name));
  if (attributes.has("transform-origin")) moving.push("transform-origin");
  if (moving.length) throw new Problem(`${element.localName} sets "${moving[0]}" by CSS, which is not read`);
  for (const name of read) if (styles.has(name)) attributes.set(name, styles.get(name));
  return attributes;
}

/** Whether an element and its content are drawn at all. */
export function isDisplayed(attributes) {
  return attributes.get("display")?.trim().toLowerCase() !== "none";
}

/** Whether an element is visible where the one around it is: its content may be so again. */
export function isVisible(attributes, around) {
  const value = attributes.get("visibility")?.trim().toLowerCase();
  return value === "visible" || value === "initial" || (around && value !== "hidden" && value !== "collapse");
}

/** Throws a Problem where a style sheet hides or moves lines: its selectors are not read. */
export function refuseSheet(text) {
  const found = SHEET.exec(text.replace(COMMENT, " "));
  if (found) throw new Problem(`a style sheet has ${quoted(found[0])}; only "style=" is read`);
}

/** A style's values by property: the last `!important` one, or the last one. */
function declarations(text) {
  const parts = text.replace(COMMENT, " ").toLowerCase().split(";");
  const pairs = parts.map((part) => part.split(/:([^]*)/)).map(([name, value = ""]) => [name.trim(), value]);
  pairs.sort(([, one], [, other]) => one.includes("!") - other.includes("!")); // stable
  return new Map(pairs.map(([name, value]) => [name, value.split("!")[0].trim()]));
}
