// From a raw drawing to points of 0 to 255, bit for bit as sketchjax/data/simplify.py does it; that
// file says why each step is as it is.

import { Problem } from "./problem.js";

const EPSILON = 2; // of Ramer–Douglas–Peucker, in pixels of the 256 × 256 square
const MOST_PIXELS = 65_535; // a path

/**
 * The points of a raw drawing.
 * drawing: strokes [[xs, ys, ...], ...] in any units, y downwards.
 * together: whether all strokes together may be no longer than one may be.
 * Returns a Uint8Array of x, y, end of stroke for each point.
 * Throws a Problem where it is a scribble, or a coordinate overflows.
 */
export function simplify(drawing, { together = true } = {}) {
  const strokes = scaled(drawing);
  const arcs = strokes.map(arcLengths);
  const lengths = arcs.map((arc) => arc.at(-1));
  if (together && lengths.reduce((sum, length) => sum + length, 0) > MOST_PIXELS) {
    throw new Problem("The drawing is a scribble: its strokes cross it more than 250 times.", 422);
  }
  if (lengths.some((length) => length > MOST_PIXELS)) {
    throw new Problem("a stroke is longer than 65,535 pixels once it is scaled to 255");
  }
  return joined(strokes.map((stroke, i) => simplifyStroke(stroke, arcs[i])));
}

/** The points of a drawing that is simplified already, in the same form. */
export function pointsOf(drawing) {
  return joined(drawing.map(([xs, ys]) => ({ xs, ys })));
}

function joined(strokes) {
  const out = new Uint8Array(3 * strokes.reduce((sum, { xs }) => sum + xs.length, 0));
  let at = 0;
  for (const { xs, ys } of strokes) {
    for (let i = 0; i < xs.length; i += 1, at += 3) {
      out[at] = xs[i];
      out[at + 1] = ys[i];
    }
    out[at - 1] = 1;
  }
  return out;
}

/** Strokes {xs, ys} at the upper left corner, whose largest coordinate is 255. */
function scaled(drawing) {
  let [left, top] = [Infinity, Infinity];
  for (const [xs, ys] of drawing) {
    for (let i = 0; i < xs.length; i += 1) {
      left = Math.min(left, xs[i]);
      top = Math.min(top, ys[i]);
    }
  }
  const strokes = drawing.map(([xs, ys]) => ({
    xs: Float64Array.from(xs, (x) => x - left),
    ys: Float64Array.from(ys, (y) => y - top),
  }));
  let extent = 0;
  for (const axes of strokes) {
    for (const axis of [axes.xs, axes.ys]) for (const value of axis) extent = Math.max(extent, value);
  }
  if (!Number.isFinite(extent)) throw new Problem("a coordinate is not finite");
  const inSquare = extent < 1e300 ? (value) => (value * 255) / extent : (value) => (value / extent) * 255;
  if (extent > 0) {
    for (const axes of strokes) {
      for (const axis of [axes.xs, axes.ys]) axis.forEach((value, i) => (axis[i] = inSquare(value)));
    }
  }
  return strokes;
}

/** Path length from the first point to each point. */
function arcLengths({ xs, ys }) {
  const arc = new Float64Array(xs.length);
  for (let i = 1; i < xs.length; i += 1) arc[i] = arc[i - 1] + hypot(xs[i] - xs[i - 1], ys[i] - ys[i - 1]);
  return arc;
}

/** Points at the path lengths 0, 1, 2, … below the whole length, then the last point. */
function resample({ xs, ys }, arc) {
  const last = xs.length - 1;
  const count = Math.max(1, Math.ceil(arc[last]));
  const out = { xs: new Float64Array(count + 1), ys: new Float64Array(count + 1) };
  out.xs[0] = xs[0];
  out.ys[0] = ys[0];
  let segment = 0;
  for (let k = 1; k < count; k += 1) {
    while (arc[segment + 1] < k) segment += 1;
    const fraction = (k - arc[segment]) / (arc[segment + 1] - arc[segment]);
    out.xs[k] = xs[segment] + fraction * (xs[segment + 1] - xs[segment]);
    out.ys[k] = ys[segment] + fraction * (ys[segment + 1] - ys[segment]);
  }
  out.xs[count] = xs[last];
  out.ys[count] = ys[last];
  return out;
}

/** The point strictly between two that is farthest from the line through them, and how far it is. */
function farthest({ xs, ys }, first, last) {
  const [x0, y0] = [xs[first], ys[first]];
  const [dx, dy] = [xs[last] - x0, ys[last] - y0];
  const base = hypot(dx, dy);
  let [index, most] = [-1, 0];
  for (let i = first + 1; i < last; i += 1) {
    const [ux, uy] = [xs[i] - x0, ys[i] - y0];
    const distance = base === 0 ? hypot(ux, uy) : Math.abs(ux * dy - uy * dx) / base;
    if (distance > most) [index, most] = [i, distance];
  }
  return [index, most];
}

function simplifyStroke(stroke, arc) {
  const points = resample(stroke, arc);
  const keep = new Uint8Array(points.xs.length);
  keep[0] = keep[keep.length - 1] = 1;
  const stack = [[0, keep.length - 1]];
  while (stack.length) {
    const [first, last] = stack.pop();
    const [index, distance] = farthest(points, first, last);
    if (distance > EPSILON) {
      keep[index] = 1;
      stack.push([first, index], [index, last]);
    }
  }
  const kept = (axis) => axis.filter((_, i) => keep[i]).map(halvesToEven);
  return { xs: kept(points.xs), ys: kept(points.ys) };
}

/** The nearest whole number; of two the even one. */
export function halvesToEven(value) {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return rest < 0.5 ? low : low + 1;
  return low % 2 === 0 ? low : low + 1;
}

/**
 * The length of a vector, within less than one unit in the last place. Math.hypot is off by more, and
 * a path of 12 pixels must not become one of 12.000000000000002. This is the C library's way (C. F.
 * Borges, "An improved algorithm for hypot(a, b)", 2019), for coordinates that cannot overflow.
 */
export function hypot(x, y) {
  const small = Math.min(Math.abs(x), Math.abs(y));
  const large = Math.max(Math.abs(x), Math.abs(y));
  if (small <= large * Number.EPSILON) return large + small;
  const length = Math.sqrt(large * large + small * small);
  let one;
  let two;
  if (length <= 2 * small) {
    const delta = length - small;
    one = large * (2 * delta - large);
    two = (delta - 2 * (large - small)) * delta;
  } else {
    const delta = length - large;
    one = 2 * delta * (large - 2 * small);
    two = (4 * delta - small) * small + delta * delta;
  }
  return length - (one + two) / (2 * length);
}
