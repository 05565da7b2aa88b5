// Drawings, strokes as [[xs, ys], ...], and how they look as SVG.

// What a search takes; see sketchjax/serving/schema.py.
export const MOST_STROKES = 256;
export const MOST_POINTS = 10_000;
export const LARGEST = 1_000_000; // of a coordinate, either way

const SVG = "http://www.w3.org/2000/svg";
const SPEED = 900; // units a second at which a replay draws, where a drawing is 255 wide
const LIFT = 0.06; // seconds between two strokes

/** An SVG element. */
export function svg(name, attributes = {}, children = []) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** The bounding box of a drawing: least x, least y, and its longer side, 1 for a dot. */
export function box(drawing) {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [xs, ys] of drawing) {
    for (const x of xs) [left, right] = [Math.min(left, x), Math.max(right, x)];
    for (const y of ys) [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
  }
  return { left, top, width: right - left, height: bottom - top, side: Math.max(right - left, bottom - top) || 1 };
}

/** The same drawing, scaled to a side and centred in a square of the size, to a tenth. */
export function centred(drawing, side, size) {
  const { left, top, width, height, side: own } = box(drawing);
  const at = (value, start, length) => {
    const place = (size - (length / own) * side) / 2 + ((value - start) / own) * side;
    return Math.round(place * 10) / 10; // 10,000 points with all digits are more than a search takes
  };
  return drawing.map(([xs, ys]) => [xs.map((x) => at(x, left, width)), ys.map((y) => at(y, top, height))]);
}

const drawings = new WeakMap(); // of pictures that were not replayed yet

/** A drawing as inline SVG, in one path: an answer has some 300 strokes, most never replayed. */
export function picture(drawing) {
  const { left, top, width, height, side } = box(drawing);
  const margin = side * 0.06;
  const whole = side + 2 * margin;
  const corner = [left - (whole - width) / 2, top - (whole - height) / 2];
  const viewBox = [...corner, whole, whole].map((v) => v.toFixed(1)).join(" ");
  const path = svg("path", { d: drawing.map(pathData).join("") });
  const image = svg("svg", { viewBox, "aria-hidden": "true" }, [path]);
  drawings.set(image, drawing);
  return image;
}

/** Draw the strokes of a picture once more, in their order. */
export function replay(image) {
  image.classList.remove("replay");
  if (drawings.has(image)) image.replaceChildren(...inTurn(drawings.get(image)));
  drawings.delete(image);
  image.getBoundingClientRect(); // so that the animation starts again
  image.classList.add("replay");
}

/** A path for each stroke, with the time that it takes in a replay. */
function inTurn(drawing) {
  const { side } = box(drawing);
  let wait = 0;
  return drawing.map((stroke) => {
    const path = svg("path", { d: pathData(stroke), pathLength: 1 });
    const length = (lengthOf(stroke) / side) * 255;
    if (length === 0) path.dataset.dot = "";
    const time = Math.max(0.04, length / SPEED);
    path.style.setProperty("--wait", `${wait.toFixed(3)}s`);
    path.style.setProperty("--time", `${time.toFixed(3)}s`);
    wait += time + LIFT;
    return path;
  });
}

/** A drawing of any scale as whole numbers from 0 to 255. */
export function simplified(drawing) {
  const { left, top, side } = box(drawing);
  return drawing.map(([xs, ys]) => [
    xs.map((x) => Math.round(((x - left) / side) * 255)),
    ys.map((y) => Math.round(((y - top) / side) * 255)),
  ]);
}

/** Whether a value is a drawing: strokes [[xs, ys, ...], ...] of finite numbers. */
export function isDrawing(value) {
  const numbers = (list) => Array.isArray(list) && list.length > 0 && list.every(Number.isFinite);
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((s) => Array.isArray(s) && numbers(s[0]) && numbers(s[1]) && s[0].length === s[1].length)
  );
}

/** The number of points of a drawing. */
export function pointsIn(drawing) {
  return drawing.reduce((sum, [xs]) => sum + xs.length, 0);
}

function pathData([xs, ys]) {
  const rest = xs.length > 1 ? xs.slice(1).map((x, i) => `${x} ${ys[i + 1]}`) : [`${xs[0]} ${ys[0]}`];
  return `M${xs[0]} ${ys[0]}L${rest.join(" ")}`;
}

function lengthOf([xs, ys]) {
  let length = 0;
  for (let i = 1; i < xs.length; i += 1) length += Math.hypot(xs[i] - xs[i - 1], ys[i] - ys[i - 1]);
  return length;
}
