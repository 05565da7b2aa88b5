// A file of drawings that a person opens: QuickDraw's ndjson, simplified or raw, one a line; or SVG.

import { Problem } from "./problem.js";
import { LARGEST, MOST_POINTS, MOST_STROKES, isDrawing, pointsIn } from "./sketch.js";
import { drawingOfSvg } from "./svg_file.js";

const MOST_BYTES = 1 << 18; // of a file that are read
const MOST = 24; // drawings to choose from

const shown = (number) => number.toLocaleString("en");

/**
 * The first drawings of a file, as {name, drawing, form}: with the file's own numbers, and whether they
 * are "raw" or "simplified", so that a search finds for them what it finds for the file itself.
 */
export async function readDrawings(file) {
  if (/\.svg$/i.test(file.name) || file.type === "image/svg+xml") return [await readSvg(file)];
  const text = await file.slice(0, MOST_BYTES).text();
  const lines = text.split("\n");
  if (file.size > MOST_BYTES) lines.pop(); // it is cut
  const found = [];
  for (const [number, line] of lines.entries()) {
    if (!line.trim()) continue;
    found.push(read(line, `${file.name}, line ${number + 1}`));
    if (found.length === MOST) break;
  }
  if (found.length) return found;
  if (file.size > MOST_BYTES) throw new Problem(`${file.name} has no line within its first 256 KiB; a search takes less.`);
  throw new Problem(`${file.name} has no drawing: it needs one a line, as JSON.`);
}

async function readSvg(file) {
  if (file.size > 4 * MOST_BYTES) throw new Problem(`${file.name} is larger than 1 MiB.`);
  const bytes = new Uint8Array(await file.arrayBuffer());
  let drawing;
  try {
    drawing = drawingOfSvg(bytes, MOST_STROKES);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    throw new Problem(`${file.name} cannot be used: ${error.message}.`);
  }
  return checked({ name: file.name, drawing, form: "simplified" }, file.name);
}

function read(line, place) {
  let record;
  try {
    record = JSON.parse(line);
  } catch {
    throw new Problem(`${place} is not JSON; open an SVG, or QuickDraw's .ndjson with one drawing a line.`);
  }
  const strokes = Array.isArray(record) ? record : record?.drawing;
  if (!isDrawing(strokes)) {
    throw new Problem(`${place} has no "drawing" with strokes as [[x, ...], [y, ...]].`);
  }
  const drawing = strokes.map(([xs, ys]) => [xs, ys]); // without the times
  const form = strokes.every(isSimplified) ? "simplified" : "raw";
  return checked({ name: String(record.word ?? "a drawing"), drawing, form }, place);
}

/** Whether a stroke is two lists of whole numbers from 0 to 255, as in sketchjax/serving/forms.py. */
function isSimplified(axes) {
  return axes.length === 2 && axes.flat().every((value) => Number.isInteger(value) && value >= 0 && value <= 255);
}

/** The same; throws a Problem where it is more than a search takes, whoever searches. */
function checked(found, place) {
  const { drawing } = found;
  const points = pointsIn(drawing);
  const wide = drawing.flat(2).find((value) => Math.abs(value) >= LARGEST);
  if (drawing.length > MOST_STROKES) {
    throw new Problem(`${place} has ${drawing.length} strokes; a search takes at most ${MOST_STROKES}.`);
  }
  if (points > MOST_POINTS) {
    throw new Problem(`${place} has ${shown(points)} points; a search takes at most ${shown(MOST_POINTS)}.`);
  }
  if (wide !== undefined) {
    throw new Problem(`${place} has the coordinate ${wide}; a search takes those nearer to 0 than ${shown(LARGEST)}.`);
  }
  return found;
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
