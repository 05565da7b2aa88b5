// SVG's lengths and transforms, and the viewports that percentages are parts of, as
// sketchjax/data/sources/svg_lengths.py reads them. A matrix is [a, b, c, d, e, f] of SVG; a viewport
// is {width, height}, NaN where a page decides.

import { Problem } from "./problem.js";
import { DIGITS, numbers, quoted } from "./svg_path.js";

const LENGTH = new RegExp(String.raw`^\s*(${DIGITS})([a-zA-Z]*|%)\s*$`);
const PIXELS = new Map(Object.entries({ "": 1, px: 1, in: 96, pc: 16, pt: 96 / 72, cm: 96 / 2.54, mm: 96 / 25.4, q: 96 / 101.6 }));
const ACROSS = ["x", "x1", "x2", "cx", "rx", "width"];
const DOWN = ["y", "y1", "y2", "cy", "ry", "height"];
const ASPECT = /^\s*(?:defer\s+)?(?:none|x(Min|Mid|Max)Y(Min|Mid|Max))(?:\s+(meet|slice))?\s*$/;
const SHARES = { Min: 0, Mid: 0.5, Max: 1 };

export const UNCHANGED = [1, 0, 0, 1, 0, 0];
export const PAGE = { width: NaN, height: NaN }; // around the document

/** An attribute in the units of its element; 0 where there is none. Throws a Problem. */
export function length(attributes, name, viewport) {
  const text = attributes.get(name) ?? "0";
  const value = measured(text, name, viewport);
  if (Number.isNaN(value)) throw new Problem(`${name}=${quoted(text)} is a part of a page of unknown size`);
  if (!Number.isFinite(value)) throw new Problem("a coordinate is not finite");
  return value;
}

/** A length that may be "auto": null for that, for none at all, and for a negative one. */
export function size(attributes, name, viewport) {
  if ((attributes.get(name) ?? "auto").trim() === "auto") return null;
  const value = length(attributes, name, viewport);
  return value < 0 ? null : value;
}

/**
 * {matrix, viewport} of a document's own `svg`.
 *
 * Drawings are scaled anyway, so its size matters only where it stretches one axis, and where there is
 * no viewBox. Without a size, or with 0, it has the proportions of its viewBox.
 */
export function outermost(attributes) {
  const [box, aspect] = [viewBox(attributes), aspectOf(attributes)];
  if (box && aspect) return { matrix: UNCHANGED, viewport: inside(box) };
  const width = extent(attributes, "width", PAGE) || NaN;
  const height = extent(attributes, "height", PAGE) || NaN;
  if (!box) return { matrix: UNCHANGED, viewport: { width, height } };
  const isSized = !Number.isNaN(width + height);
  return { matrix: isSized ? fitted(box, aspect, { width, height }) : UNCHANGED, viewport: inside(box) };
}

/** {matrix, viewport} of an `svg` within another. */
export function nested(attributes, around) {
  const moved = [1, 0, 0, 1, length(attributes, "x", around), length(attributes, "y", around)];
  const own = { width: extent(attributes, "width", around), height: extent(attributes, "height", around) };
  const [box, aspect] = [viewBox(attributes), aspectOf(attributes)];
  if (!box || own.width === 0 || own.height === 0) return { matrix: moved, viewport: own };
  if (!Number.isFinite(own.width) || !Number.isFinite(own.height)) {
    throw new Problem("the size of an svg within another is not known");
  }
  return { matrix: times(moved, fitted(box, aspect, own)), viewport: inside(box) };
}

function inside([, , width, height]) {
  return { width, height };
}

function measured(text, name, viewport) {
  const [, digits, unit] = LENGTH.exec(text) ?? [];
  if (unit === "%") return (Number(digits) * whole(name, viewport)) / 100;
  const pixels = PIXELS.get(unit?.toLowerCase());
  if (!pixels) throw new Problem(`${name}=${quoted(text)} is not a length in px, in, cm, mm, Q, pt, pc or %`);
  return Number(digits) * pixels;
}

/** What a percentage of an attribute is a part of: width, height, or the diagonal. */
function whole(name, { width, height }) {
  if (ACROSS.includes(name)) return width;
  return DOWN.includes(name) ? height : Math.hypot(width, height) / Math.sqrt(2);
}

/** The width or height of an `svg`; without one, all that is around it. */
function extent(attributes, name, around) {
  const text = (attributes.get(name) ?? "auto").trim();
  const value = text === "auto" ? whole(name, around) : measured(text, name, around);
  if (value < 0) throw new Problem(`${name}=${quoted(text)} of an svg is negative`); // browsers differ
  return value;
}

/** The four numbers of a viewBox; null where there is none. */
function viewBox(attributes) {
  const text = attributes.get("viewBox") ?? "";
  const box = numbers(text);
  if (!box.length) return null;
  if (box.length !== 4 || box[2] <= 0 || box[3] <= 0) {
    throw new Problem(`viewBox=${quoted(text)} is not a place and a size`);
  }
  return box;
}

/** How a viewBox is fitted into its viewport; null where both axes are stretched. */
function aspectOf(attributes) {
  const text = attributes.get("preserveAspectRatio") ?? "xMidYMid";
  const match = ASPECT.exec(text);
  if (!match) throw new Problem(`preserveAspectRatio=${quoted(text)} is not a way to fit`);
  if (!match[1]) return null;
  return { left: SHARES[match[1]], top: SHARES[match[2]], choose: match[3] === "slice" ? Math.max : Math.min };
}

/** The matrix that fits a viewBox into a viewport (SVG 2, 8.2). */
function fitted(box, aspect, own) {
  let [across, down] = [own.width / box[2], own.height / box[3]];
  let [left, top] = [0, 0];
  if (aspect) {
    across = down = aspect.choose(across, down);
    left = aspect.left * (own.width - across * box[2]);
    top = aspect.top * (own.height - down * box[3]);
  }
  return times([across, 0, 0, down, left, top], [1, 0, 0, 1, -box[0], -box[1]]);
}

/** The matrix that does the second, then the first. */
export function times([a, b, c, d, e, f], [k, l, m, n, o, p]) {
  return [a * k + c * l, b * k + d * l, a * m + c * n, b * m + d * n, a * o + c * p + e, b * o + d * p + f];
}

/** The matrix of a transform list. Throws a Problem where it is none. */
export function matrixOf(text) {
  let matrix = UNCHANGED;
  for (const part of text.split(")").slice(0, -1)) {
    const [, name, list] = /^[\s,]*([^(]*?)\s*\(([^]*)$/.exec(part) ?? [];
    const step = list === undefined ? null : TRANSFORMS.get(name)?.(numbers(list));
    if (!step) throw new Problem(`${quoted(`${part})`)} is not a transform`);
    matrix = times(matrix, step);
  }
  return matrix;
}

function rotate(values) {
  if (values.length !== 1 && values.length !== 3) return null;
  const [angle, x = 0, y = 0] = values;
  const [c, s] = [Math.cos(angle * (Math.PI / 180)), Math.sin(angle * (Math.PI / 180))];
  return [c, s, -s, c, x - c * x + s * y, y - s * x - c * y];
}

const slope = (angle) => Math.tan(angle * (Math.PI / 180));
const oneOrTwo = (values) => values.length === 1 || values.length === 2;

// The matrix of each transform; null where the numbers do not fit.
const TRANSFORMS = new Map(
  Object.entries({
    matrix: (values) => (values.length === 6 ? values : null),
    translate: (values) => (oneOrTwo(values) ? [1, 0, 0, 1, values[0], values[1] ?? 0] : null),
    scale: (values) => (oneOrTwo(values) ? [values[0], 0, 0, values.at(-1), 0, 0] : null),
    rotate,
    skewX: (values) => (values.length === 1 ? [1, 0, slope(values[0]), 1, 0, 0] : null),
    skewY: (values) => (values.length === 1 ? [1, slope(values[0]), 0, 1, 0, 0] : null),
  }),
);
