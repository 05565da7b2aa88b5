"""Which form of an answer a request prefers, by its header Accept (RFC 9110, section 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WEIGHT = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")


def preferred(accept: str, offers: Sequence[str]) -> str | None:
    """The offer of the highest weight; None where each is refused.

    Of equal weights the one that the request names most exactly is taken, then the first.

    accept: the header; what cannot be read in it is passed over, and nothing takes everything.
    offers: media types in lower case.
    """
    weights: dict[str, float] = {}
    for part in accept.lower().split(","):
        kind, *parameters = (word.strip() for word in part.split(";"))
        weight = next((word[2:] for word in parameters if word.startswith("q=")), "1")
        if "/" in kind and _WEIGHT.fullmatch(weight):
            weights[kind] = max(float(weight), weights.get(kind, 0.0))
    if not weights:
        return offers[0]

    def rank(offer: str) -> tuple[float, int]:
        ranges = (offer, offer.split("/")[0] + "/*", "*/*")  # the first that is there decides
        return next(((weights[each], -n) for n, each in enumerate(ranges) if each in weights), _NO)

    best = max(offers, key=rank)
    return best if rank(best)[0] > 0 else None


_NO = (0.0, 0)
