// CRC-32, as Python's zlib has it. Browsers have SHA-256 only on https and localhost, and a host is
// no adversary of its own files. 100 MB take 0.25 s, four bytes at a time; one at a time 0.55 s.

// TABLES[256 * n + byte]: what a byte with n bytes after it adds.
const TABLES = new Uint32Array(4 * 256);
for (let byte = 0; byte < 256; byte += 1) {
  let sum = byte;
  for (let bit = 0; bit < 8; bit += 1) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  TABLES[byte] = sum;
}
for (let at = 256; at < TABLES.length; at += 1) {
  const before = TABLES[at - 256];
  TABLES[at] = (before >>> 8) ^ TABLES[before & 255];
}

/** The sum of a Uint8Array that starts its buffer, as a number below 2^32. */
export function crc32(bytes) {
  const words = new Uint32Array(bytes.buffer, 0, bytes.length >> 2);
  let sum = -1;
  for (let i = 0; i < words.length; i += 1) {
    const mixed = sum ^ words[i];
    sum =
      TABLES[768 + (mixed & 255)] ^
      TABLES[512 + ((mixed >>> 8) & 255)] ^
      TABLES[256 + ((mixed >>> 16) & 255)] ^
      TABLES[mixed >>> 24];
  }
  for (let i = 4 * words.length; i < bytes.length; i += 1) sum = (sum >>> 8) ^ TABLES[(sum ^ bytes[i]) & 255];
  return ~sum >>> 0;
}
