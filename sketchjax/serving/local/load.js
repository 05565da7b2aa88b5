// The files of the export that the search needs, each checked before it is used.

import { crc32 } from "./crc32.js";
import { Problem } from "./problem.js";

const AGAIN = "If the folder is being uploaded, try again later; else upload all of it once more.";

/** The object of gallery.json, the newest that the host has. */
export async function loadDescription() {
  const bytes = await fetched("gallery.json", { cache: "no-cache" });
  let about = null;
  try {
    about = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    console.error(error);
    throw new Problem(`gallery.json is damaged. ${AGAIN}`);
  }
  if (!about?.crc32) throw new Problem(`gallery.json is of another export than the page. ${AGAIN}`);
  return about;
}

/** The bytes of a file. about: the object of gallery.json, which has its checksum. */
export async function load(name, { version, crc32: sums }) {
  // While a new export is being uploaded, a browser can get and keep the old file under the new address.
  for (const cache of ["default", "reload"]) {
    const bytes = await fetched(`${name}?${version}`, { cache });
    if (crc32(bytes) === sums[name]) return bytes;
  }
  throw new Problem(`${name} is damaged, or of another export than gallery.json. ${AGAIN}`);
}

async function fetched(address, options) {
  const name = address.split("?")[0];
  let response;
  try {
    response = await fetch(new URL(address, import.meta.url), options);
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    console.error(error);
    throw new Problem(`${name} cannot be loaded. Is the network there?`);
  }
  throw new Problem(`${name} cannot be loaded (${response.status}).`);
}
