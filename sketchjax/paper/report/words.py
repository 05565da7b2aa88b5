"""What page and Markdown say in the same words."""

from __future__ import annotations

from collections import Counter

from sketchjax.paper.report.claims import Claim
from sketchjax.paper.report.comparison import precision_words
from sketchjax.paper.report.evidence import NOISE
from sketchjax.paper.report.material import STATES, Comparison, StudyMaterial
from sketchjax.paper.report.tables import fact
from sketchjax.report.tables import NO_NUMBER, duration

NAMES = {"train": "training sketches", "size": "size of the picture"}
RULE = (
    "A claim holds where every code length measured here says so, and does not hold where one "
    "says the opposite. It stays open where rows are missing or a difference is lost in noise: "
    f"smaller than {NOISE} where a side has fewer than three seeds, smaller than two standard "
    "errors of the difference in any case. The same test of the figures that the paper prints "
    "stands beneath."
)


def facts(material: StudyMaterial) -> list[tuple[str, str]]:
    """The facts as (what, how much), in the order given."""
    return [(NAMES.get(key, key), fact(material, key)) for key in material.facts]


def verdict(claim: Claim) -> str:
    if claim.holds is None:
        return "open"
    return "holds" if claim.holds else "does not hold"


def unfinished(material: StudyMaterial) -> str:
    """How many runs are not done, in one sentence; empty where all are, or none is known."""
    counts = Counter(run.state for run in material.runs)
    left = [f"{counts[state]} {state}" for state in STATES if state != "done" and counts[state]]
    if not left:
        return ""
    return f"Not finished: of {len(material.runs)} runs {counts['done']} done, {', '.join(left)}."


def comparison_words(comparison: Comparison) -> str:
    """What a picture of figure 6 shows, with each method's precision."""
    found = "; ".join(f"{model}: {precision_words(one)}" for model, one in comparison.methods)
    return f"Query “{comparison.category}”, {comparison.bits} bits. {found}."


def time(seconds: float | None) -> str:
    return NO_NUMBER if seconds is None else duration(seconds)
