// The sheet of paper: takes strokes from mouse, pen and touch, and shows a drawing.

export const SIZE = 1000; // units across the sheet, whatever its pixels
const INK = 9; // width of a line, in units
const NEAR = 1.5; // units; a point nearer to the last one says nothing

export class Pad {
  /**
   * canvas: is square.
   * onStart: called when a stroke begins.
   * onStroke: called with a finished stroke [xs, ys].
   */
  constructor(canvas, onStart, onStroke) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.drawing = [];
    this.stroke = null; // that is being drawn
    this.pointer = null; // that draws it
    this.onStart = onStart;
    this.onStroke = onStroke;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("lostpointercapture", (event) => this.up(event));
    canvas.addEventListener("pointercancel", (event) => this.cancel(event));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    // A stroke that ends fast is a fling to the browser, which takes the next tap as its stop.
    canvas.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    new ResizeObserver(() => this.paint()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
  }

  /** Show a drawing in place of the one before. */
  show(drawing) {
    this.drawing = drawing;
    this.paint();
  }

  down(event) {
    if (this.pointer !== null || (event.pointerType === "mouse" && event.button !== 0)) return;
    event.preventDefault();
    this.pointer = event.pointerId;
    this.canvas.setPointerCapture(event.pointerId);
    this.onStart();
    this.stroke = [[], []];
    this.add(event);
    this.paintSoon();
  }

  move(event) {
    if (event.pointerId !== this.pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const part of events.length ? events : [event]) this.add(part);
    this.paintSoon();
  }

  up(event) {
    if (event.pointerId !== this.pointer) return;
    const stroke = this.stroke;
    this.pointer = this.stroke = null;
    this.onStroke(stroke);
  }

  cancel(event) {
    if (event.pointerId !== this.pointer) return;
    this.pointer = this.stroke = null;
    this.paint();
  }

  add(event) {
    const area = this.canvas.getBoundingClientRect();
    const at = (value, start, length) =>
      Math.round(Math.min(Math.max((value - start) / length, 0), 1) * SIZE * 10) / 10;
    const x = at(event.clientX, area.left, area.width);
    const y = at(event.clientY, area.top, area.height);
    const [xs, ys] = this.stroke;
    if (xs.length && Math.hypot(x - xs.at(-1), y - ys.at(-1)) < NEAR) return;
    xs.push(x);
    ys.push(y);
  }

  paintSoon() {
    this.frame ??= requestAnimationFrame(() => this.paint());
  }

  paint() {
    if (this.frame) cancelAnimationFrame(this.frame);
    this.frame = null;
    const side = Math.round(this.canvas.clientWidth * (window.devicePixelRatio || 1));
    if (this.canvas.width !== side) this.canvas.width = this.canvas.height = side;
    const pen = this.context;
    pen.setTransform(side / SIZE, 0, 0, side / SIZE, 0, 0);
    pen.clearRect(0, 0, SIZE, SIZE);
    pen.lineWidth = INK;
    pen.lineCap = pen.lineJoin = "round";
    pen.strokeStyle = pen.fillStyle = getComputedStyle(this.canvas).color;
    for (const stroke of this.drawing) trace(pen, stroke);
    if (this.stroke) trace(pen, this.stroke);
  }
}

/** A smooth line: a curve from the middle of each segment to the middle of the next. */
function trace(pen, [xs, ys]) {
  const last = xs.length - 1;
  pen.beginPath();
  if (last === 0) {
    // A line without length may be left out, so a tap is a disc.
    pen.arc(xs[0], ys[0], INK / 2, 0, 2 * Math.PI);
    pen.fill();
    return;
  }
  pen.moveTo(xs[0], ys[0]);
  for (let i = 1; i < last; i += 1) {
    pen.quadraticCurveTo(xs[i], ys[i], (xs[i] + xs[i + 1]) / 2, (ys[i] + ys[i + 1]) / 2);
  }
  pen.lineTo(xs[last], ys[last]);
  pen.stroke();
}
