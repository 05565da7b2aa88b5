"""Sentences that page and Markdown share."""

from __future__ import annotations

from collections import Counter

from sketchjax.paper import numbers as paper
from sketchjax.paper.report.claims import Claim
from sketchjax.paper.report.comparison import precision_text
from sketchjax.paper.report.evidence import NOISE
from sketchjax.paper.report.material import STATES, Comparison, StudyMaterial
from sketchjax.paper.report.tables import fact
from sketchjax.report.tables import NO_NUMBER, duration

FACT_NAMES = {"train": "training sketches"}
INTRODUCTION = f"The tables and figures of SketchMate, measured with sketchjax. {paper.source()}."
PRODUCED = "How these results were produced"
CLAIMS_HEADING = "The paper's claims, tested on these runs"
NOT_COMPARABLE = (
    "Ours and the paper's were not measured on the same data: compare methods, not scores, across "
    "the two."
)
RULE = (
    "A claim holds if it is true at every code length measured here, and does not hold if it is "
    "false at one. It stays open if rows are missing or a difference is within noise: less than "
    "two standard errors or, with fewer than three seeds on either side, less than "
    f"{NOISE}. “In the paper” is the same test of the paper's own scores."
)


def facts(material: StudyMaterial) -> list[tuple[str, str]]:
    """The facts as (name, value), in their order."""
    return [(FACT_NAMES.get(key, key), fact(material, key)) for key in material.facts]


def verdict_text(claim: Claim) -> str:
    return {True: "holds", False: "does not hold", None: "open"}[claim.holds]


def unfinished_text(material: StudyMaterial) -> str:
    """How many runs are not done, in one sentence; empty if all are, or none is known."""
    counts = Counter(run.state for run in material.runs)
    left = [f"{counts[state]} {state}" for state in STATES if state != "done" and counts[state]]
    if not left:
        return ""
    return f"Not finished: {counts['done']} of {len(material.runs)} runs done, {', '.join(left)}."


def comparison_text(comparison: Comparison) -> str:
    """What a picture of figure 6 shows, with each method's precision."""
    found = "; ".join(f"{model}: {precision_text(one)}" for model, one in comparison.methods)
    return (
        f"Query “{comparison.category}”, {comparison.bits}-bit codes. {found}. "
        "False positives are in red."
    )


def duration_text(seconds: float | None) -> str:
    return NO_NUMBER if seconds is None else duration(seconds)
