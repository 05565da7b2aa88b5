"""The SketchMate paper's figures for the report of one run, as a `Reference`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sketchjax.paper import numbers as paper
from sketchjax.report.choices import loss_weights
from sketchjax.report.material import Cell, PublishedRows, PublishedStage, Reference

# QuickDraw-3.8M (SketchMate, table 3), on which the paper's figures were measured.
PAPER_DATA = {"classes": 345, "train": 3_105_000, "gallery": 345_000, "queries": 34_500}
# Rows of the paper's table 1 by the losses that trained them.
PAPER_ROWS = {
    frozenset({"cross_entropy"}): "Our+CEL",
    frozenset({"cross_entropy", "common_center"}): "Our+CEL+CL",
    frozenset({"cross_entropy", "center"}): "Our+CEL+SCL",
    frozenset({"cross_entropy", "center", "quantization"}): paper.FULL,
}
BRANCHES = ("cnn", "rnn")


def reference(config: Mapping[str, Any], results: Mapping[str, Any]) -> Reference:
    """The paper's figures that belong next to a run's.

    config: of the run, nested, as in results.json.
    results: of the run, as in results.json.
    """
    bits = None if results["bits"] is None else int(results["bits"])
    return Reference(
        source=paper.source(),
        name="the paper",
        heading="Comparison with the paper",
        size_note=size_note(results),
        results=_recognition_rows() if bits is None else _result_rows(bits),
        distances=None if bits is None else _distance_rows(bits),
        stages=_stages(config, bits),
        category="star",  # figure 4
        entropy_note="The class centre is the mean over the coloured part.",
        speed_note="The paper's schedule amounts to about 862 sketches/s for its CNN stage and 431 "
        "for its joint stages, on one Titan X (derived from the hours it gives).",
        choices_heading="What the paper leaves open, and what this run uses",
        choices_column="open in the paper",
    )


def size_note(results: Mapping[str, Any]) -> str:
    """How far a run's data differ in size from the paper's, in one to three sentences.

    results: of the run, as in results.json.
    """
    keys = ("classes", "train", "gallery", "queries")
    if all(results[key] == PAPER_DATA[key] for key in keys):
        return (
            "This run's data have the same sizes as the paper's, so the figures compare directly."
        )
    training = (
        f"These figures are not directly comparable. The paper distinguishes "
        f"{PAPER_DATA['classes']} classes after {PAPER_DATA['train']:,} training sketches"
    )
    if results["bits"] is None:
        return f"{training}, this run {results['classes']:,} after {results['train']:,}."
    return (
        f"{training} and ranks {PAPER_DATA['gallery']:,}; this run distinguishes "
        f"{results['classes']:,} after {results['train']:,} and ranks {results['gallery']:,}. "
        f"A random ranking has a MAP of about {1 / PAPER_DATA['classes']:.3f} there and "
        f"{1 / max(results['classes'], 1):.3f} here."
    )


def paper_bits() -> list[int]:
    """The code lengths at which the paper measured its full model, rising."""
    return sorted(row["bits"] for row in paper.rows("1", model=paper.FULL))


_NOTE = (
    "The paper used QuickDraw-3.8M; its accuracy is from table 6, where a layer of 2048 units "
    "replaces the hash layer."
)


def _result_rows(bits: int) -> PublishedRows:
    """Table 1 at a code length; its full model at all lengths where it lacks this one."""
    if bits in paper_bits():
        wanted = paper.rows("1", bits=bits)
        caption = f"This run and table 1 of the paper at {bits} bits."
    else:
        wanted = paper.rows("1", model=paper.FULL)
        caption = (
            f"The paper has no figures at {bits} bits: this run and the paper's full model at the "
            "lengths that it has."
        )
    rows = [
        _row(row["model"], row["bits"], paper.scores(row["bits"], row["model"])) for row in wanted
    ]
    return PublishedRows(rows, caption, _NOTE)


def _row(model: str, bits: int, scores: Mapping[str, float]) -> dict[str, Cell]:
    return {"model": model, "bits": bits, **scores, **PAPER_DATA}


def _recognition_rows() -> PublishedRows:
    """Table 6, for a run that recognises without codes."""
    rows = [row | PAPER_DATA for row in paper.rows("6")]
    return PublishedRows(rows, "This run and table 6 of the paper.", _NOTE)


def _distance_rows(bits: int) -> PublishedRows | None:
    """Table 4 at a code length; None where it has no rows."""
    rows = paper.rows("4", bits=bits)
    caption = (
        "Mean distance inside a class (d1) and between classes (d2): this run and table 4 of the "
        f"paper at {bits} bits. This run's are Hamming distances of codes, the paper's are in its "
        "feature space, so only the ratios are comparable."
    )
    return PublishedRows(rows, caption) if rows else None


def _stages(config: Mapping[str, Any], bits: int | None) -> dict[str, PublishedStage]:
    """The row of table 1 with the objective of each stage; a single branch has no codes, so none.

    config: of the run; bits: length of its codes.
    """
    encoders = (config.get("model") or {}).get("encoders") or BRANCHES
    stages = {}
    for name, stage in (config.get("stages") or {}).items():
        label = PAPER_ROWS.get(frozenset(loss_weights(stage)))
        # Configs of older versions have no `output`: their branches are stages of the same name.
        if label is None or stage.get("output", name) in encoders:
            continue
        scores = paper.scores(bits, label) if bits else {}
        stages[name] = PublishedStage(label, scores.get("map"), scores.get("precision_at_200"))
    return stages
