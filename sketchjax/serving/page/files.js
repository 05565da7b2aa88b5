// A file of drawings that a person opens: QuickDraw's ndjson, simplified or raw, one a line; or SVG.

import { Problem } from "./api.js";
import { isDrawing, simplified, svg } from "./sketch.js";

const MOST_BYTES = 1 << 18; // of a file that are read
const MOST = 24; // drawings to choose from
const LINES = "path, line, polyline, polygon, rect, circle, ellipse";
const GEOMETRY = ["d", "points", "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "ry", "width", "height"];
const VIEW = ["x", "y", "width", "height", "viewBox", "preserveAspectRatio"]; // of an svg
const SAMPLES = 100; // points along the longer side of a line of an SVG
const MOST_POINTS = 9_000;

/** The first drawings of a file, as {name, drawing}. */
export async function readDrawings(file) {
  if (/\.svg$/i.test(file.name) || file.type === "image/svg+xml") {
    if (file.size > 4 * MOST_BYTES) throw new Problem(`${file.name} is larger than 1 MiB.`);
    return [{ name: file.name, drawing: simplified(strokesOfSvg(await file.text(), file.name)) }];
  }
  const text = await file.slice(0, MOST_BYTES).text();
  const lines = text.split("\n");
  if (file.size > MOST_BYTES) lines.pop(); // it is cut
  const found = [];
  for (const [number, line] of lines.entries()) {
    if (!line.trim()) continue;
    found.push(read(line, `${file.name}, line ${number + 1}`));
    if (found.length === MOST) break;
  }
  if (!found.length) throw new Problem(`${file.name} has no drawing: it needs one a line, as JSON.`);
  return found;
}

function read(line, place) {
  let record;
  try {
    record = JSON.parse(line);
  } catch {
    throw new Problem(`${place} is not JSON; open an SVG, or QuickDraw's .ndjson with one drawing a line.`);
  }
  const drawing = Array.isArray(record) ? record : record?.drawing;
  if (!isDrawing(drawing)) {
    throw new Problem(`${place} has no "drawing" with strokes as [[x, ...], [y, ...]].`);
  }
  return { name: String(record.word ?? "a drawing"), drawing: simplified(drawing) };
}

/** The lines of an SVG as strokes, in its order. Only numbers are taken from the file. */
function strokesOfSvg(text, name) {
  const source = new DOMParser().parseFromString(text, "image/svg+xml");
  if (source.querySelector("parsererror")) throw new Problem(`${name} is not SVG.`);
  const stage = svg("svg", { width: 0, height: 0, class: "unseen", "aria-hidden": "true" });
  document.body.append(stage);
  try {
    const drawing = [...source.querySelectorAll(LINES)]
      .filter((line) => !line.closest("defs, clipPath, mask, symbol, marker, pattern") && !isHidden(line))
      .flatMap((line) => strokesOfLine(copyOf(line, stage)));
    const points = drawing.reduce((sum, [xs]) => sum + xs.length, 0);
    if (!isDrawing(drawing)) throw new Problem(`${name} has no lines.`);
    if (points > MOST_POINTS || drawing.length > 256) throw new Problem(`${name} has more lines than a drawing by hand.`);
    return drawing;
  } finally {
    stage.remove();
  }
}

/** Whether a line or what is around it is not displayed, or the nearest visibility hides it. */
function isHidden(line) {
  const { style } = document.createElement("i"); // the page's policy empties those of the file
  let visibility = "";
  for (let around = line; around; around = around.parentElement) {
    style.cssText = around.getAttribute("style") ?? "";
    const set = (key) => style[key] || around.getAttribute(key) || "";
    if (set("display") === "none") return true;
    visibility ||= set("visibility").replace("inherit", "");
  }
  return visibility === "hidden" || visibility === "collapse";
}

/** A line with nothing but its geometry, and the transforms and views around it, laid out. */
function copyOf(line, stage) {
  const copy = svg(line.localName, attributesOf(line, GEOMETRY));
  let whole = copy;
  for (let around = line; around; around = around.parentElement) {
    if (around.localName === "svg") whole = svg("svg", viewOf(around), [whole]);
    const transform = around.getAttribute("transform");
    if (transform) whole = svg("g", { transform }, [whole]);
  }
  stage.append(whole);
  return copy;
}

/** Where an svg is and what it shows. The outermost one, without a size, has that of its viewBox. */
function viewOf(element) {
  const view = attributesOf(element, VIEW);
  const sized = [view.width, view.height].every((text) => text && !text.includes("%"));
  if (element.parentElement || sized || !view.viewBox) return view;
  const [width, height] = view.viewBox.trim().split(/[\s,]+/).slice(2);
  return { ...view, width, height };
}

function attributesOf(element, names) {
  const present = names.filter((key) => element.hasAttribute(key));
  return Object.fromEntries(present.map((key) => [key, element.getAttribute(key)]));
}

/** Points along a line, cut where the pen jumps from one subpath to the next. */
function strokesOfLine(line) {
  const matrix = line.getScreenCTM(); // through all views, unlike getCTM
  const length = line.getTotalLength();
  if (!matrix || !Number.isFinite(length)) return [];
  const { width, height } = line.getBBox();
  const step = Math.max(width, height, length / 2000, 1e-6) / SAMPLES;
  const count = Math.min(Math.ceil(length / step), 2000);
  const strokes = [];
  let last = null;
  for (let i = 0; i <= count; i += 1) {
    const point = line.getPointAtLength(count ? (length * i) / count : 0);
    const jumps = last && Math.hypot(point.x - last.x, point.y - last.y) > 2.5 * step;
    if (!last || jumps) strokes.push([[], []]);
    last = point;
    const { x, y } = point.matrixTransform(matrix);
    strokes.at(-1)[0].push(x);
    strokes.at(-1)[1].push(y);
  }
  return strokes;
}

/** Let a person save results as simplified ndjson. */
export function saveDrawings(results, name) {
  const drawings = results.filter((hit) => hit.points); // a photo has none
  const lines = drawings.map((hit) =>
    JSON.stringify({ word: hit.category, key_id: hit.key_id, drawing: hit.points }),
  );
  const address = URL.createObjectURL(new Blob([`${lines.join("\n")}\n`], { type: "application/x-ndjson" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
