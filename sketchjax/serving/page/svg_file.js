// Drawings of SVG files, point for point as sketchjax/data/sources/svg.py reads them, so that a file
// gets the same code wherever it is read: what that refuses or leaves out is refused or left out here.
// Only the sines of arcs and rotations may differ, in the last bit, which hardly ever moves a point.

import { Problem } from "./problem.js";
import { simplify } from "./simplify.js";
import { PAGE, UNCHANGED, matrixOf, nested, outermost, times } from "./svg_lengths.js";
import { MOST_PIECES, quoted } from "./svg_path.js";
import { SHAPES } from "./svg_shapes.js";
import { isDisplayed, isVisible, refuseSheet, styled } from "./svg_style.js";

const DEEPEST = 64; // elements within each other
const TOLERANCE = 0.1 / 255; // of a curve's pieces, as a part of the drawing's longer side
// Their content is drawn elsewhere, or not at all.
const NOT_DRAWN = ["clipPath", "defs", "desc", "filter", "foreignObject", "image", "linearGradient", "marker", "mask"];
NOT_DRAWN.push("metadata", "pattern", "radialGradient", "script", "style", "symbol", "text", "title", "use");

/**
 * The drawing of an SVG file, simplified: strokes [[xs, ys], ...] of whole numbers from 0 to 255.
 * bytes: of the file.
 * most: strokes that it may have.
 * Throws a Problem where it is no SVG, is beyond the bounds, or draws nothing.
 */
export function drawingOfSvg(bytes, most) {
  const reader = new Reader();
  const root = parsed(textOf(bytes));
  reader.visit(root, { matrix: UNCHANGED, viewport: PAGE, isDrawn: true, isVisible: true, depth: 0 });
  refuseSheet(reader.sheets);
  const { strokes } = reader;
  if (!strokes.length) throw new Problem("it has no path, line or other shape");
  if (strokes.length > most) throw new Problem(`it has ${strokes.length} strokes, and a search takes at most ${most}`);
  return strokesOf(simplify(flattened(strokes), { together: false }));
}

/** The text of a file in the encoding that its first bytes name. */
function textOf(bytes) {
  const [first, second] = bytes;
  const start = new TextDecoder("latin1").decode(bytes.subarray(0, 200));
  let encoding = /^\s*<\?xml[^>]*\sencoding\s*=\s*["']([\w.:-]+)["']/.exec(start)?.[1] ?? "utf-8";
  if (first === 0xff && second === 0xfe) encoding = "utf-16le";
  if (first === 0xfe && second === 0xff) encoding = "utf-16be";
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw new Problem(`it is not text in ${encoding}`);
  }
}

function parsed(text) {
  if (/<!DOCTYPE[^>[]*\[/.test(text.replace(/<!--[^]*?-->/g, ""))) {
    throw new Problem("its DOCTYPE declares entities or attributes, which are not read");
  }
  const source = new DOMParser().parseFromString(text, "image/svg+xml");
  if (source.querySelector("parsererror")) throw new Problem("it is not well-formed XML");
  const root = source.documentElement;
  if (root.localName !== "svg") throw new Problem(`the document is ${quoted(root.localName)}, not svg`);
  return root;
}

class Reader {
  constructor() {
    this.strokes = []; // lists of cubic pieces in the root's units
    this.sheets = "";
    this.pieces = 0;
  }

  /** Draw an element and its content; around: what the open element around it means for it. */
  visit(element, around) {
    const depth = around.depth + 1;
    if (depth > DEEPEST) throw new Problem(`elements are nested more than ${DEEPEST} deep`);
    const name = element.localName;
    if (name === "style") this.sheets += ownText(element);
    const isDrawn = around.isDrawn && !NOT_DRAWN.includes(name);
    const own = isDrawn ? this.drawn(element, around) : { ...around, isDrawn };
    for (const child of element.children) this.visit(child, { ...own, depth });
  }

  drawn(element, around) {
    const attributes = styled(element);
    if (!isDisplayed(attributes)) return { ...around, isDrawn: false };
    const visible = isVisible(attributes, around.isVisible);
    let matrix = times(around.matrix, matrixOf(attributes.get("transform") ?? ""));
    let { viewport } = around;
    if (element.localName === "svg") {
      const fit = around.depth ? nested(attributes, viewport) : outermost(attributes);
      matrix = times(matrix, fit.matrix);
      viewport = fit.viewport;
    }
    const shape = visible && SHAPES.get(element.localName);
    if (shape) this.draw(shape(attributes, viewport), matrix);
    // An `svg` without a size draws nothing.
    return { matrix, viewport, isDrawn: viewport.width !== 0 && viewport.height !== 0, isVisible: visible };
  }

  draw(strokes, [a, b, c, d, e, f]) {
    this.pieces += strokes.reduce((sum, stroke) => sum + stroke.length, 0);
    if (this.pieces > MOST_PIECES) throw new Problem("the drawing has more than 65,535 pieces");
    for (const stroke of strokes) {
      if (!stroke.length) continue;
      const moved = stroke.map((piece) => piece.map(([x, y]) => [x * a + y * c + e, x * b + y * d + f]));
      if (!moved.flat(2).every(Number.isFinite)) throw new Problem("a coordinate is not finite");
      this.strokes.push(moved);
    }
  }
}

function ownText(element) {
  const texts = [...element.childNodes].filter(({ nodeType }) => nodeType === Node.TEXT_NODE || nodeType === Node.CDATA_SECTION_NODE);
  return texts.map(({ data }) => data).join("");
}

/**
 * Strokes of cubic pieces as [xs, ys], near enough to the curves.
 *
 * A cubic cut into n pieces is at most 0.75 · m / n² away from them, where m is the larger of its
 * second differences.
 */
function flattened(strokes) {
  const extent = longerSide(strokes);
  return strokes.map((pieces) => {
    const [xs, ys] = [[pieces[0][0][0]], [pieces[0][0][1]]];
    for (const piece of pieces) {
      const [p0, p1, p2, p3] = piece;
      const bends = [[p0, p1, p2], [p1, p2, p3]].map((knots) => bend(knots, extent));
      const count = Math.max(1, Math.ceil(Math.sqrt((0.75 * Math.max(...bends)) / TOLERANCE)));
      for (let i = 1; i < count; i += 1) {
        const at = i / count;
        const way = 1 - at;
        const shares = [way * way * way, 3 * (way * way) * at, 3 * way * (at * at), at * at * at];
        const mixed = (axis) => shares.reduce((sum, share, k) => sum + share * piece[k][axis], 0);
        xs.push(mixed(0));
        ys.push(mixed(1));
      }
      xs.push(p3[0]); // exactly, so that pieces meet
      ys.push(p3[1]);
    }
    return [xs, ys];
  });
}

function bend(knots, extent) {
  const [x, y] = [0, 1].map((axis) => {
    const [first, middle, last] = knots.map((knot) => knot[axis] / extent);
    return first - 2 * middle + last;
  });
  const length = Math.hypot(x, y);
  return Number.isFinite(length) ? length : 0; // `simplify` refuses what is not finite
}

function longerSide(strokes) {
  let side = 0;
  for (const axis of [0, 1]) {
    let [least, most] = [Infinity, -Infinity];
    for (const knots of strokes.flat()) {
      for (const knot of knots) [least, most] = [Math.min(least, knot[axis]), Math.max(most, knot[axis])];
    }
    side = Math.max(side, most - least);
  }
  return side || 1;
}

/** Strokes [xs, ys] of points x, y, end of stroke. */
function strokesOf(points) {
  const strokes = [];
  let stroke = [[], []];
  for (let i = 0; i < points.length; i += 3) {
    stroke[0].push(points[i]);
    stroke[1].push(points[i + 1]);
    if (!points[i + 2]) continue;
    strokes.push(stroke);
    stroke = [[], []];
  }
  return strokes;
}
