// The exact search of sketchjax/index/search.py and sketchjax/retrieval/pool.py over a gallery in
// memory: the same results in the same order, as the same JSON.

import { Problem } from "./problem.js";
import { halvesToEven } from "./simplify.js";

const LEAST = 200; // items that the first distances must hold
const MOST = 200_000; // items compared by features

// Of the gallery's arrays, all little-endian, as sketchjax/serving/static.py writes them.
const TYPES = {
  codes: Uint32Array,
  features: Uint8Array,
  labels: Uint16Array,
  ids: Float64Array,
  keys: BigUint64Array,
  sources: Uint32Array,
  places: Float64Array,
  points: Uint8Array,
  offsets: Float64Array,
};

export class Gallery {
  /**
   * about: the object of gallery.json.
   * buffer: the ArrayBuffer of gallery.bin.
   */
  constructor(about, buffer) {
    this.about = about;
    for (const [name, { start, length }] of Object.entries(about.arrays)) {
      this[name] = new TYPES[name](buffer, start, length);
    }
    this.count = this.ids.length;
    this.photos = this.ids.reduce((sum, _, row) => sum + this.isPhoto(row), 0);
    this.words = Math.ceil(about.bits / 32);
  }

  /** What the server says about an index. */
  describe() {
    const { name, model, bits, features, scale, snapshot, categories } = this.about;
    const counts = new Array(categories.length).fill(0);
    for (const label of this.labels) counts[label] += 1;
    const named = categories.map((category, label) => [category, counts[label]]);
    return { name, model, bits, features, scale, count: this.count, snapshot, categories: Object.fromEntries(named), photos: this.photos };
  }

  /** Whether an item is a photo: it has no points. */
  isPhoto(row) {
    return this.offsets[row] === this.offsets[row + 1];
  }

  /** One item, by its id in digits. */
  sketch(id) {
    const row = this.rowOf(id);
    return {
      id,
      kind: this.isPhoto(row) ? "photo" : "drawing",
      key_id: String(this.keys[row]),
      category: this.about.categories[this.labels[row]],
      code: this.hexOf(row),
      source: this.about.sources[this.sources[row]],
      place: this.places[row],
      drawing: this.drawing(row),
    };
  }

  /** The row of an id: they rise. */
  rowOf(id) {
    const wanted = Number(id);
    let [low, high] = [0, this.count];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.ids[middle] < wanted) low = middle + 1;
      else high = middle;
    }
    if (this.ids[low] !== wanted) throw new Problem(`There is no drawing ${id} in the index.`, 422);
    return low;
  }

  codeOf(row) {
    return this.codes.subarray(row * this.words, (row + 1) * this.words);
  }

  featuresOf(row) {
    const width = this.about.features;
    return this.features.subarray(row * width, (row + 1) * width);
  }

  hexOf(row) {
    return hexOf(this.codeOf(row), this.about.bits);
  }

  /** Strokes [[xs, ys], ...] of a row. */
  drawing(row) {
    const strokes = [];
    let stroke = [[], []];
    for (let i = this.offsets[row]; i < this.offsets[row + 1]; i += 1) {
      stroke[0].push(this.points[3 * i]);
      stroke[1].push(this.points[3 * i + 1]);
      if (this.points[3 * i + 2]) {
        strokes.push(stroke);
        stroke = [[], []];
      }
    }
    return strokes;
  }

  /** Features of a model as bytes. */
  bytesOf(features) {
    const { low, step } = this.about.scale;
    return Uint8Array.from(features, (value) => Math.min(Math.max(halvesToEven((value - low) / step), 0), 255));
  }

  /** Whether items of each label count; null where all do. */
  allowed(categories) {
    if (!categories) return null;
    const allowed = new Uint8Array(this.about.categories.length);
    for (const name of categories) {
      const label = this.about.categories.indexOf(name);
      if (label < 0) throw new Problem(`The index has no category "${name}".`, 422);
      allowed[label] = 1;
    }
    return allowed;
  }
}

/**
 * The answer to a query, without its times.
 * gallery: that is searched.
 * query: {code: Uint32Array, features: Uint8Array or null, k, categories, points}; without features
 *   the order is distance, then id.
 * probable: categories of the query, [{name, probability}, ...].
 */
export function answer(gallery, { code, features, k, categories, points }, probable = []) {
  const allowed = gallery.allowed(categories);
  const [least, most] = features ? [Math.max(k, LEAST), MOST] : [k, k];
  const pool = findPool(gallery, code, least, most, allowed);
  const found = features ? nearest(gallery, features, pool.rows, k) : Array.from(pool.rows, (_, rank) => ({ rank }));
  const results = found.map(({ rank, square }) => resultOf(gallery, pool, rank, square, points));
  return {
    code: hexOf(code, gallery.about.bits),
    categories: probable,
    results,
    ties: tiesOf(results, pool.histogram),
    pool: features ? { radius: pool.radius, compared: pool.rows.length, all: pool.all } : null,
    index: { name: gallery.about.name, count: gallery.count, snapshot: gallery.about.snapshot, photos: gallery.photos },
  };
}

/** All items within the first distance that holds enough of them, by distance, then by row. */
function findPool(gallery, code, least, most, allowed) {
  const { codes, labels, words, count } = gallery;
  const distances = new Uint16Array(count);
  const histogram = new Array(gallery.about.bits + 1).fill(0);
  for (let row = 0, at = 0; row < count; row += 1) {
    let distance = 0;
    for (let word = 0; word < words; word += 1, at += 1) distance += ones(codes[at] ^ code[word]);
    distances[row] = distance;
    if (!allowed || allowed[labels[row]]) histogram[distance] += 1;
  }
  let radius = 0;
  let all = histogram[0];
  while (all < least && radius < gallery.about.bits) all += histogram[(radius += 1)];
  // The rank of the first item at each distance.
  const ranks = histogram.map(() => 0);
  for (let distance = 0; distance < radius; distance += 1) ranks[distance + 1] = ranks[distance] + histogram[distance];
  const rows = new Uint32Array(Math.min(all, most));
  for (let row = 0; row < count; row += 1) {
    if (distances[row] > radius || (allowed && !allowed[labels[row]])) continue;
    const rank = ranks[distances[row]]++;
    if (rank < rows.length) rows[rank] = row;
  }
  return { histogram, radius, all, rows, distances };
}

/** The number of ones in 32 bits. */
function ones(word) {
  let sum = word - ((word >>> 1) & 0x55555555);
  sum = (sum & 0x33333333) + ((sum >>> 2) & 0x33333333);
  return Math.imul((sum + (sum >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** The k rows with the nearest features, by squared distance, then by row: [{rank, square}, ...]. */
function nearest(gallery, query, rows, k) {
  const width = query.length;
  const best = []; // sorted
  for (let rank = 0; rank < rows.length; rank += 1) {
    const row = rows[rank];
    let square = 0;
    for (let axis = 0, at = row * width; axis < width; axis += 1, at += 1) {
      const step = query[axis] - gallery.features[at];
      square += step * step;
    }
    const isBefore = (other) => square < other.square || (square === other.square && row < rows[other.rank]);
    if (best.length === k && !isBefore(best[k - 1])) continue;
    let at = best.length;
    while (at > 0 && isBefore(best[at - 1])) at -= 1;
    best.splice(at, 0, { rank, square });
    if (best.length > k) best.pop();
  }
  return best;
}

function resultOf(gallery, pool, rank, square, points) {
  const row = pool.rows[rank];
  const { drawing, ...item } = gallery.sketch(String(gallery.ids[row]));
  const feature_distance = square === undefined ? null : rounded(gallery.about.scale.step * Math.sqrt(square), 6);
  const isPhoto = item.kind === "photo";
  const thumbnail = isPhoto ? `photos/${item.id}.jpg?${gallery.about.version}` : null;
  return { ...item, distance: pool.distances[row], feature_distance, points: points && !isPhoto ? drawing : null, thumbnail };
}

/** At the first distance of which not all items are shown, else at the last one shown. */
function tiesOf(results, histogram) {
  if (!results.length) return null;
  const shown = new Array(1 + Math.max(...results.map((result) => result.distance))).fill(0);
  for (const result of results) shown[result.distance] += 1;
  const hidden = shown.findIndex((count, distance) => count < histogram[distance]);
  const distance = hidden < 0 ? shown.length - 1 : hidden;
  return { distance, shown: shown[distance], all: histogram[distance] };
}

/** A code in hexadecimal digits, its first byte first, from its 32-bit words. */
function hexOf(words, bits) {
  const bytes = new Uint8Array(words.slice().buffer, 0, bits / 8);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The 32-bit words of a code's bytes. */
export function wordsOf(bytes) {
  const whole = new Uint8Array(4 * Math.ceil(bytes.length / 4));
  whole.set(bytes);
  return new Uint32Array(whole.buffer);
}

/** The bytes of hexadecimal digits. */
export function bytesOf(hex) {
  return Uint8Array.from(hex.match(/../g) ?? [], (digits) => parseInt(digits, 16));
}

export function rounded(value, digits) {
  return Number(value.toFixed(digits));
}
