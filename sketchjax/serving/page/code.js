// A code as squares, eight in a row: bit j of a code is bit j % 8 of its byte j / 8.

import { svg } from "./sketch.js";

const STEP = 10;
const SIDE = 8;

/** The bits of a code in hexadecimal digits. */
export function bitsOf(hex) {
  const bytes = hex.match(/../g) ?? [];
  return bytes.flatMap((byte) => Array.from({ length: 8 }, (_, bit) => (parseInt(byte, 16) >> bit) & 1));
}

/** Show a code, and mark the bits in which another one differs; returns how many do. */
export function showCode(image, hex, other) {
  const bits = bitsOf(hex);
  const others = other ? bitsOf(other) : bits;
  let squares = [...image.querySelectorAll(".bit")];
  if (squares.length !== bits.length) {
    image.setAttribute("viewBox", `0 0 ${8 * STEP} ${Math.ceil(bits.length / 8) * STEP}`);
    squares = bits.map((_, j) => svg("rect", { ...placeOf(j), width: SIDE, height: SIDE, rx: 1.8 }));
  }
  const marks = [];
  bits.forEach((bit, j) => {
    squares[j].setAttribute("class", bit ? "bit one" : "bit");
    if (bit === others[j]) return;
    const { x, y } = placeOf(j);
    const ring = { x: x + 0.4, y: y + 0.4, width: SIDE - 0.8, height: SIDE - 0.8, rx: 1.6 };
    marks.push(svg("rect", { ...ring, class: "differs" }));
    marks.push(svg("circle", { cx: x + SIDE / 2, cy: y + SIDE / 2, r: 1.7, class: "dot" }));
  });
  if (marks.length || image.children.length !== squares.length) image.replaceChildren(...squares, ...marks);
  return marks.length / 2;
}

function placeOf(j) {
  return { x: (j % 8) * STEP + (STEP - SIDE) / 2, y: Math.floor(j / 8) * STEP + (STEP - SIDE) / 2 };
}
