// What the page says of an answer.

import { isLocal } from "./api.js";
import { chosen } from "./filter.js";

export const numbers = new Intl.NumberFormat("en");
const listed = new Intl.ListFormat("en");

/** What the results are. browsing: whether nothing was drawn. */
export function titleOf(found, browsing) {
  const count = found.results.length;
  if (!count) return "Nothing found";
  if (browsing) return `Drawings of ${listed.format(chosen)}`;
  const where = chosen.size ? ` of ${listed.format(chosen)}` : ` of ${numbers.format(found.index.count)}`;
  return `The ${count} nearest${where}`;
}

/** How many are equally near as the last one shown, and how they are ordered. */
export function tiesOf({ ties, pool }) {
  if (!ties) return "The index has no drawing to show.";
  const [shown, all] = [ties.shown, ties.all].map(numbers.format);
  const count = ties.shown === ties.all ? `all ${all}` : ties.shown ? `${shown} of ${all}` : `none of the ${all}`;
  return `${count} at distance ${ties.distance}${pool ? orderOf(pool) : ""}`;
}

function orderOf({ compared, all }) {
  if (compared === all) return "; ordered by features";
  return `; the features of ${numbers.format(compared)} of ${numbers.format(all)} equally near ones were compared`;
}

/** parts: milliseconds by name; whole: those until the page had the answer. */
export function timing(parts, whole) {
  const spent = Object.entries(parts).filter(([, time]) => time > 0);
  const inner = spent.map(([name, time]) => `${name} ${time.toFixed(1)}`).join(" · ");
  return `${inner} ms ${isLocal ? "in this browser" : "on the server"}, ${Math.round(whole)} ms until here.`;
}

/** A share as percent. */
export function percent(share) {
  return share > 0 && share < 0.01 ? "<1 %" : `${Math.round(share * 100)} %`;
}

/** An answer in a sentence, for screen readers. */
export function announcement(found, browsing) {
  const [first] = found.categories;
  const guess = first ? `Looks like ${first.name}, ${percent(first.probability)}. ` : "";
  const ties = browsing || !found.ties ? "" : `, ${tiesOf(found)}`;
  return `${guess}${found.results.length} ${nounOf(found.index)}s${ties}.`;
}

/** What the items of an index are called. */
export function nounOf({ count, photos }) {
  if (!photos) return "drawing";
  return photos === count ? "photo" : "item";
}
