// SVG's path data and numbers as cubic pieces, as sketchjax/data/sources/svg_path.py reads them.
// A knot is [x, y]; a piece has four knots; a straight one has its inner knots on a third and two.

import { Problem } from "./problem.js";

export const MOST_PIECES = 65_535; // of a drawing
export const DIGITS = String.raw`[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?`;
const NUMBER = new RegExp(String.raw`[\s,]*(${DIGITS})`, "y");
const REST = /[\s,]*$/y;
const FLAG = /[\s,]*([01])/y; // of an arc: a digit that nothing needs to separate, "a1 1 0 01.5.5"
const ARC = [NUMBER, NUMBER, NUMBER, FLAG, FLAG, NUMBER, NUMBER];
const COMMAND = /([MmLlHhVvCcSsQqTtAaZz])/;
const NEEDS = { M: 2, L: 2, H: 1, V: 1, C: 6, S: 4, Q: 4, T: 2 };

/** The start of a text, in quotes, for a message. */
export function quoted(text) {
  return `"${text.trim().slice(0, 40)}"`;
}

/** The numbers of a list such as the points of a polyline. Throws a Problem for anything else. */
export function numbers(text) {
  const found = tokens(text, [NUMBER]);
  if (!found) throw new Problem(`${quoted(text)} is not a list of numbers`);
  return found;
}

/** The numbers of a text in which these tokens repeat; null where it is no such text. */
function tokens(text, kinds) {
  const found = [];
  let at = 0;
  for (;;) {
    REST.lastIndex = at;
    if (REST.test(text)) break;
    for (const kind of kinds) {
      kind.lastIndex = at;
      const match = kind.exec(text);
      if (!match) return null;
      at = kind.lastIndex;
      found.push(Number(match[1]));
    }
  }
  if (!found.every(Number.isFinite)) throw new Problem("a coordinate is not finite");
  return found;
}

/** The straight pieces between knots. */
export function corners(knots) {
  return knots.slice(1).map((knot, i) => straight(knots[i], knot));
}

/** The subpaths of path data, each a list of pieces; a bare move has none. Throws a Problem. */
export function piecesOfPath(text) {
  const [before, ...parts] = text.split(COMMAND);
  if (before.trim()) throw new Problem(`a path starts with ${quoted(before)}, not with a move`);
  const walk = new Walk();
  for (let i = 0; i < parts.length; i += 2) {
    const [command, args] = [parts[i], parts[i + 1]];
    let upper = command.toUpperCase();
    if (!walk.subpaths.length && upper !== "M") {
      throw new Problem(`a path starts with ${quoted(command)}, not with a move`);
    }
    if (upper === "Z" && !args.trim()) {
      walk.close();
      continue;
    }
    for (const values of repeated(upper, args)) {
      walk.take(upper, values, command !== command.toUpperCase());
      if (upper === "M") upper = "L"; // further pairs of a move are lines
    }
    if (walk.pieces > MOST_PIECES) throw new Problem("a path has more than 65,535 pieces");
  }
  return walk.subpaths;
}

/** The numbers of a command, which may come several times; "M1 1 2 2" is two moves. */
function repeated(command, text) {
  const width = command === "A" ? ARC.length : NEEDS[command];
  const values = width && (command === "A" ? tokens(text, ARC) : numbers(text));
  if (!values?.length || values.length % width) throw new Problem(`${quoted(command + text)} is not a path command`);
  return Array.from({ length: values.length / width }, (_, i) => values.slice(i * width, (i + 1) * width));
}

/** The pen of a path: where it is, and what it has drawn. */
class Walk {
  constructor() {
    this.subpaths = [];
    this.pieces = 0;
    this.at = [0, 0];
    this.start = [0, 0];
    this.control = null; // of the curve before, for S and T
    this.curve = "";
    this.closed = false;
  }

  /** Draw one command with its numbers. */
  take(command, values, relative) {
    const [x, y] = this.at;
    const [dx, dy] = relative ? this.at : [0, 0];
    if (command === "A") {
      this.draw("A", arc(this.at, values, [values[5] + dx, values[6] + dy]), null);
      return;
    }
    let knots = [];
    if (command === "H") knots = [[values[0] + dx, y]];
    else if (command === "V") knots = [[x, values[0] + dy]];
    else for (let i = 0; i < values.length; i += 2) knots.push([values[i] + dx, values[i + 1] + dy]);
    const end = knots.at(-1);
    if (command === "M") {
      this.move(end);
    } else if ("LHV".includes(command)) {
      this.draw("L", [straight(this.at, end)], null);
    } else if ("CS".includes(command)) {
      const first = command === "C" ? knots[0] : this.reflected("C");
      this.draw("C", [[this.at, first, knots.at(-2), end]], knots.at(-2));
    } else {
      const middle = command === "Q" ? knots[0] : this.reflected("Q");
      this.draw("Q", [[this.at, toward(this.at, middle), toward(end, middle), end]], middle);
    }
  }

  /** Draw back to where the subpath began. */
  close() {
    this.draw("Z", [straight(this.at, this.start)], null);
    this.closed = true;
  }

  move(knot) {
    this.subpaths.push([]);
    this.at = this.start = knot;
    this.curve = "";
    this.control = null;
    this.closed = false;
  }

  draw(kind, pieces, control) {
    if (this.closed) this.move(this.start); // without a move, the next subpath begins where the last one did
    this.subpaths.at(-1).push(...pieces);
    this.pieces += pieces.length;
    if (pieces.length) this.at = pieces.at(-1)[3];
    this.curve = kind;
    this.control = control;
  }

  /** The control point opposite to the one before, where a curve of this kind came before. */
  reflected(kind) {
    if (this.curve !== kind || !this.control) return this.at;
    return [2 * this.at[0] - this.control[0], 2 * this.at[1] - this.control[1]];
  }
}

function straight(start, end) {
  // Evenly spaced, so that its second differences are zero: it is never cut.
  const part = (share) => [start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share];
  return [start, part(1 / 3), part(2 / 3), end];
}

/** Two thirds of the way from an end to the control point: a quadratic as a cubic. */
function toward(end, middle) {
  return [end[0] + ((middle[0] - end[0]) * 2) / 3, end[1] + ((middle[1] - end[1]) * 2) / 3];
}

/** An elliptical arc as cubics of a quarter turn at most (SVG 2, appendix B.2). */
function arc(start, [across, down, tilt, large, sweep], end) {
  let [rx, ry] = [Math.abs(across), Math.abs(down)];
  if (start[0] === end[0] && start[1] === end[1]) return [];
  const [c, s] = [Math.cos(tilt * (Math.PI / 180)), Math.sin(tilt * (Math.PI / 180))];
  const [hx, hy] = [(start[0] - end[0]) / 2, (start[1] - end[1]) / 2];
  if (rx === 0 || ry === 0 || !Number.isFinite(hx * hx + hy * hy + rx * rx * ry * ry)) return [straight(start, end)];
  // The unit circle: turned back, then divided by the radii, which grow where they are too short.
  let [ux, uy] = [(c * hx + s * hy) / rx, (c * hy - s * hx) / ry];
  let length = Math.hypot(ux, uy);
  if (!(length > 0 && length < Infinity)) return [straight(start, end)];
  if (length > 1) {
    [rx, ry, ux, uy] = [rx * length, ry * length, ux / length, uy / length];
    length = 1;
  }
  const away = Math.sqrt(Math.max(0, 1 - length * length)) / length;
  const off = large === sweep ? -away : away;
  const [mx, my] = [off * uy, -off * ux];
  const first = Math.atan2(uy - my, ux - mx);
  let turn = Math.atan2(-uy - my, -ux - mx) - first;
  if (sweep === 1 && turn < 0) turn += 2 * Math.PI;
  if (sweep === 0 && turn > 0) turn -= 2 * Math.PI;
  const count = Math.max(1, Math.ceil(Math.abs(turn) / (Math.PI / 2) - 1e-9));
  const step = turn / count;
  const reach = (4 / 3) * Math.tan(step / 4);
  const [cx, cy] = [(start[0] + end[0]) / 2, (start[1] + end[1]) / 2];
  const placed = (x, y) => {
    const [px, py] = [rx * (x + mx), ry * (y + my)];
    return [cx + c * px - s * py, cy + s * px + c * py];
  };
  const pieces = [];
  for (let i = 0; i < count; i += 1) {
    const [a, b] = [first + i * step, first + (i + 1) * step];
    const [ca, sa, cb, sb] = [Math.cos(a), Math.sin(a), Math.cos(b), Math.sin(b)];
    const inner = [placed(ca - reach * sa, sa + reach * ca), placed(cb + reach * sb, sb - reach * cb)];
    pieces.push([pieces.at(-1)?.[3] ?? start, ...inner, i === count - 1 ? end : placed(cb, sb)]);
  }
  return pieces;
}
