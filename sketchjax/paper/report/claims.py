"""The paper's claims, tested on a study's rows and, by the same rule, on the paper's own figures.

A claim holds only if every measured length says yes, and fails if one says no. It stays open (None)
if rows are missing or a difference is within noise (`evidence.py`).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from sketchjax.paper import numbers as paper
from sketchjax.paper.report.evidence import (
    Case,
    Side,
    case,
    compare,
    difference,
    evidence_text,
    lengths,
    measured,
    place_text,
    verdict,
)
from sketchjax.paper.report.material import StudyMaterial, StudyRow
from sketchjax.paper.report.paper_rows import paper_rows
from sketchjax.paper.report.scores import Score

Test = Callable[[Sequence[StudyRow]], list[Case]]
CEL, CL, SCL, FULL = "Our+CEL", "Our+CEL+CL", "Our+CEL+SCL", paper.FULL
COMPETITORS = ("DLBHC", "DSH-Supervised", "DSH-Sketch")
BOTH, BOTH_SCL = "our RNN&CNN + CEL", "our RNN&CNN + CEL + SCL"
CNN, RNN = "our CNN branch", "our RNN branch"
FULL_SIDE = Side("1", FULL)
SHALLOW_METHODS = tuple(dict.fromkeys(row["method"] for row in paper.rows("2")))
SUPERVISED_METHODS = tuple(dict.fromkeys(row["method"] for row in paper.rows("2", supervised=True)))
UNSUPERVISED_METHODS = tuple(name for name in SHALLOW_METHODS if name not in SUPERVISED_METHODS)
MAGNITUDE = 10  # "one order of magnitude"
FAR_BELOW = 0.5  # as a share of the lowest other MAP; in the paper it is at most 0.13


@dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    text: the claim, and how it is tested.
    holds: None while open.
    evidence: the cases of the study, in words.
    in_paper: the same for the paper's own figures.
    """

    text: str
    holds: bool | None
    evidence: str
    in_paper: str = ""


def claims(material: StudyMaterial) -> list[Claim]:
    """Every claim of the paper and what this study says about it, in the order of its tables."""
    rows_of_paper = [row for table in paper.table_names() for row in paper_rows(table)]
    made = []
    for text, test in CLAIMS:
        cases, in_paper = test(material.rows), evidence_text(test(rows_of_paper))
        made.append(Claim(text, verdict(cases), evidence_text(cases), in_paper))
    return made


def above(table: str, metric: str, more: str, *less: str, named: bool = False) -> Test:
    """The test that one method is above each of the others.

    table: whose rows are compared.
    metric: a key of METRICS.
    more: the method expected above.
    less: the others.
    named: give the methods' names with the figures.
    """

    def test(rows: Sequence[StudyRow]) -> list[Case]:
        sides = [Side(table, model) for model in (more, *less)]
        pairs = [compare(rows, metric, sides[0], side, named=named) for side in sides[1:]]
        return [one for cases in pairs for one in cases]

    return test


def beats_competitors(rows: Sequence[StudyRow]) -> list[Case]:
    """The full model above the best of the other deep methods."""
    return _best_above(rows, [FULL_SIDE], [Side("1", model) for model in COMPETITORS])


def supervised_win(rows: Sequence[StudyRow]) -> list[Case]:
    """The best supervised shallow method above the best unsupervised one, on deep features."""
    return _best_above(rows, _on_deep(SUPERVISED_METHODS), _on_deep(UNSUPERVISED_METHODS))


def end_to_end_wins(rows: Sequence[StudyRow]) -> list[Case]:
    """The full model above the best shallow method on deep features."""
    return _best_above(rows, [FULL_SIDE], _on_deep(SHALLOW_METHODS))


def pairwise_fails(rows: Sequence[StudyRow]) -> list[Case]:
    """DSH-Supervised below half of any other MAP of table 1; shown with its balanced form."""
    others = dict.fromkeys(
        row.paper_model
        for row in rows
        if row.table == "1" and row.paper_model not in (None, "DSH-Supervised")
    )
    cases = []
    for bits in lengths(rows, "1"):
        own = measured(rows, Side("1", "DSH-Supervised"), "map", bits)
        rest = _measured(rows, [Side("1", str(model)) for model in others], bits)
        if own is None or own.mean is None or not rest:
            continue
        name, lowest = min(rest, key=lambda item: item[1].mean or 0.0)
        fails = own.mean < FAR_BELOW * (lowest.mean or 0.0)
        figures = f"{own.mean:.4f}; lowest other: {name} {lowest.mean:.4f}{_balanced(rows, bits)}"
        cases.append(case(place_text(bits), fails, figures))
    return cases


def deep_features_win(rows: Sequence[StudyRow]) -> list[Case]:
    """The ratio of MAP on deep features to MAP on HOG: its median over the shallow methods."""
    cases = []
    for bits in lengths(rows, "2"):
        factors = {}
        for side in _on_deep(SHALLOW_METHODS):
            deep = measured(rows, side, "map", bits)
            hog = measured(rows, replace(side, features="HOG"), "map", bits)
            if deep and hog and deep.mean is not None and hog.mean:
                factors[side.paper_model] = deep.mean / hog.mean
        if not factors:
            continue
        median = statistics.median(factors.values())
        low, high = min(factors, key=factors.__getitem__), max(factors, key=factors.__getitem__)
        figures = f"median {median:.1f} times over {len(factors)} methods"
        if len(factors) > 1:
            figures += f", from {factors[low]:.1f} for {low} to {factors[high]:.1f} for {high}"
        cases.append(case(place_text(bits), median >= MAGNITUDE, figures))
    return cases


def longer_is_better(rows: Sequence[StudyRow]) -> list[Case]:
    """The full model's MAP rises from each measured length to the next."""
    scored = [(bits, measured(rows, FULL_SIDE, "map", bits)) for bits in lengths(rows, "1")]
    known = [(bits, one) for bits, one in scored if one is not None]
    return [
        difference(f"from {short} to {long} bits", "map", after, before)
        for (short, before), (long, after) in pairwise(known)
    ]


def _best_above(
    rows: Sequence[StudyRow], more: Sequence[Side], less: Sequence[Side]
) -> list[Case]:  # fmt: skip
    """Whether the best of some methods is above the best of others, by MAP at each length.

    rows: of any tables.
    more: the methods expected above.
    less: the others.
    """
    cases = []
    for bits in lengths(rows, more[0].table):
        sides = [_measured(rows, side, bits) for side in (more, less)]
        if all(sides):
            best = [max(side, key=lambda item: item[1].mean or 0.0) for side in sides]
            (first, ours), (second, theirs) = best
            names = (first if len(more) > 1 else "", second)
            cases.append(difference(place_text(bits), "map", ours, theirs, names))
    return cases


def _on_deep(methods: Sequence[str]) -> list[Side]:
    """Shallow methods on deep features."""
    return [Side("2", method, "deep feature") for method in methods]


def _measured(
    rows: Sequence[StudyRow], sides: Sequence[Side], bits: int | None
) -> list[tuple[str, Score]]:
    """The MAP at a length of the sides that have one, as (name, score)."""
    found = [(side.paper_model, measured(rows, side, "map", bits)) for side in sides]
    return [(name, one) for name, one in found if one is not None]


def _balanced(rows: Sequence[StudyRow], bits: int | None) -> str:
    """What the same loss reaches in other rows of ours, such as with balanced batches."""
    text = ""
    for row in rows:
        other = row.table == "1" and row.paper_model is None and row.bits == bits
        if other and row.model.startswith("DSH-Supervised") and row.seed_values("map"):
            text += f"; {row.model}: {statistics.fmean(row.seed_values('map')):.4f}"
    return text


CLAIMS: tuple[tuple[str, Test], ...] = (
    ("The full model beats the other deep methods: its MAP is above the best of theirs.",
     beats_competitors),
    ("Two branches beat one in retrieval: Our+CEL has a higher MAP than DLBHC, a CNN with the same "
     "loss.", above("1", "map", CEL, "DLBHC")),
    ("Sketch centre loss helps: Our+CEL+SCL has a higher MAP than Our+CEL.",
     above("1", "map", SCL, CEL)),
    ("Common centre loss hurts: Our+CEL has a higher MAP than Our+CEL+CL.",
     above("1", "map", CEL, CL)),
    ("Quantisation loss helps a little: the full model has a higher MAP than Our+CEL+SCL.",
     above("1", "map", FULL, SCL)),
    ("Pairwise contrastive loss fails without balanced batches: the MAP of DSH-Supervised is less "
     "than half of any other.", pairwise_fails),
    ("Word vectors mislead: DLBHC has a higher MAP than DSH-Sketch.",
     above("1", "map", "DLBHC", "DSH-Sketch")),
    ("Longer codes are better: the MAP of the full model rises with code length.",
     longer_is_better),
    ("Deep features beat HOG by an order of magnitude: they raise the MAP of shallow methods at "
     "least tenfold.", deep_features_win),
    ("Supervised shallow methods beat unsupervised ones on deep features: the best of them has a "
     "higher MAP.", supervised_win),
    ("Shallow methods on deep features stay below end-to-end learning: the full model has a higher "
     "MAP than the best of them.", end_to_end_wins),
    ("Sketch centre loss tightens classes: d1/d2 is higher for Our+CEL than for Our+CEL+SCL.",
     above("4", "d1_over_d2", CEL, SCL)),
    ("Common centre loss does not: d1/d2 is higher for Our+CEL+CL than for Our+CEL.",
     above("4", "d1_over_d2", CL, CEL)),
    ("Two branches beat one in recognition: both together are more accurate than either one.",
     above("6", "accuracy", BOTH, RNN, CNN, named=True)),
    ("Stroke order says more than the picture: the RNN branch is more accurate than the CNN "
     "branch.", above("6", "accuracy", RNN, CNN)),
    ("Sketch centre loss also helps recognition: it raises the accuracy of both branches together.",
     above("6", "accuracy", BOTH_SCL, BOTH)),
    ("Ours beats Sketch-a-Net and ResNet-50 in recognition: it is more accurate than either.",
     above("6", "accuracy", BOTH_SCL, "Sketch-a-Net", "ResNet 50", named=True)),
    ("Unseen classes are retrieved best by ours, then by DLBHC, then by DSH-Sketch: their MAPs are "
     "in this order.",
     lambda rows: [*above("zero-shot", "map", FULL, "DLBHC", named=True)(rows),
                   *above("zero-shot", "map", "DLBHC", "DSH-Sketch", named=True)(rows)]),
)  # fmt: skip
