// SVG's shapes as cubic pieces, as sketchjax/data/sources/svg_shapes.py reads them.

import { Problem } from "./problem.js";
import { length, size } from "./svg_lengths.js";
import { corners, numbers, piecesOfPath } from "./svg_path.js";

function polyline(attributes, isClosed) {
  const values = numbers(attributes.get("points") ?? "");
  if (values.length % 2) throw new Problem("points has an odd number of coordinates");
  const knots = Array.from({ length: values.length / 2 }, (_, i) => values.slice(2 * i, 2 * i + 2));
  if (isClosed && knots.length) knots.push(knots[0]);
  return [corners(knots)];
}

function line(attributes, viewport) {
  const [x1, y1, x2, y2] = ["x1", "y1", "x2", "y2"].map((name) => length(attributes, name, viewport));
  return [corners([[x1, y1], [x2, y2]])];
}

function rect(attributes, viewport) {
  const [x, y] = ["x", "y"].map((name) => length(attributes, name, viewport));
  const [w, h] = ["width", "height"].map((name) => size(attributes, name, viewport));
  if (!w || !h) return [];
  let [rx, ry] = radii(attributes, viewport);
  [rx, ry] = [Math.min(rx, w / 2), Math.min(ry, h / 2)];
  if (!rx || !ry) return [corners([[x, y], [x + w, y], [x + w, y + h], [x, y + h], [x, y]])];
  const arc = `A${rx} ${ry} 0 0 1`;
  return piecesOfPath(
    `M${x + rx} ${y}H${x + w - rx}${arc} ${x + w} ${y + ry}V${y + h - ry}` +
      `${arc} ${x + w - rx} ${y + h}H${x + rx}${arc} ${x} ${y + h - ry}V${y + ry}${arc} ${x + rx} ${y}`,
  );
}

function oval(attributes, viewport, rx, ry) {
  const [x, y] = ["cx", "cy"].map((name) => length(attributes, name, viewport));
  if (!rx || !ry) return [];
  const half = `A${rx} ${ry} 0 0 1`;
  return piecesOfPath(`M${x - rx} ${y} ${half} ${x + rx} ${y} ${half} ${x - rx} ${y}`);
}

function circle(attributes, viewport) {
  const radius = size(attributes, "r", viewport);
  return oval(attributes, viewport, radius, radius);
}

/** `rx` and `ry`, each as long as the other one where it is "auto", or 0. */
function radii(attributes, viewport) {
  const [rx, ry] = ["rx", "ry"].map((name) => size(attributes, name, viewport));
  return [rx ?? ry ?? 0, ry ?? rx ?? 0];
}

/** The strokes of an element, lists of pieces, given its attributes and the viewport around it. */
export const SHAPES = new Map(
  Object.entries({
    path: (attributes) => piecesOfPath(attributes.get("d") ?? ""),
    polyline: (attributes) => polyline(attributes, false),
    polygon: (attributes) => polyline(attributes, true),
    line,
    rect,
    circle,
    ellipse: (attributes, viewport) => oval(attributes, viewport, ...radii(attributes, viewport)),
  }),
);
