"""The model card: README.md as model hubs show it, with the figures that its run measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from sketchjax.export.description import Description
from sketchjax.files import read_json

# Of results.json: what a reader calls it, and what a hub does.
FIGURES = {
    "map": ("Mean average precision", "mean_average_precision"),
    "precision_at_200": ("Precision of the first 200", "precision_at_200"),
    "accuracy_query": ("Accuracy of the categories, queries", "accuracy"),
}


def read_figures(source: Path) -> dict[str, Any]:
    """What results.json of a finished run says; empty for a model without its run.

    Raises DataError where it cannot be read.
    """
    path = source / "results.json"
    if not path.is_file():
        return {}
    return read_json(path, dict[str, Any], remedy="rerun its run to write it")


def model_card(
    name: str, found: Description, results: Mapping[str, Any], licence: str | None = None
) -> str:
    """README.md of a model.

    name: of the model.
    found: what config.json says.
    results: of its run, see `read_figures`.
    licence: of the weights, as hubs write it, such as `apache-2.0`; None: none is named.
    """
    figures = {key: results[key] for key in FIGURES if isinstance(results.get(key), int | float)}
    return "\n".join(
        [
            *_front_matter(name, found, figures, licence),
            "",
            f"# {name}",
            "",
            f"Free-hand sketches as codes of {found.bits} bits, compared by Hamming distance, and "
            f"probabilities of {len(found.categories)} categories. Made with sketchjax.",
            "",
            "## Figures",
            "",
            *_table(found, results, figures),
            "",
            *_USE.format(points=found.points, threshold=found.threshold).splitlines(),
            "",
            "## What it reads",
            "",
            *_reads(found),
            "",
            "## Categories",
            "",
            ", ".join(found.categories),
            "",
        ]
    )


def _front_matter(
    name: str, found: Description, figures: Mapping[str, float], licence: str | None
) -> list[str]:
    lines = ["---", "library_name: sketchjax"]
    lines += [f"license: {_quoted(licence)}"] if licence else []
    lines += ["pipeline_tag: feature-extraction", "tags:"]
    lines += [f"- {tag}" for tag in ("sketch", "hashing", "image-retrieval", "onnx")]
    if figures:
        lines += ["model-index:", f"- name: {_quoted(name)}", "  results:"]
        lines += ["  - task:", "      type: image-retrieval", "    dataset:"]
        lines += [
            "      type: sketches",
            "      name: Held-out sketches of its run",
            "    metrics:",
        ]
        for key, value in figures.items():
            lines += [f"    - type: {FIGURES[key][1]}", f"      value: {value:.4f}"]
    return [*lines, "---"]


def _quoted(text: str) -> str:
    """A string of YAML, whatever it holds: JSON's are."""
    return msgspec.json.encode(text).decode()


def _table(
    found: Description, results: Mapping[str, Any], figures: Mapping[str, float]
) -> list[str]:
    if not figures:
        return ["None: this model was exported without its run."]
    lines = ["| figure | value |", "|---|---|"]
    lines += [f"| {FIGURES[key][0]} | {value:.4f} |" for key, value in figures.items()]
    counts = [
        f"{results[split]:,} {words}"
        for split, words in (
            ("train", "sketches to train on"),
            ("queries", "queries"),
            ("gallery", "sketches in the gallery"),
        )
        if isinstance(results.get(split), int)
    ]
    lines += ["", f"Measured by its run on held-out sketches: {', '.join(counts)}."]
    if found.weights == "float16":
        lines += [
            "",
            "They were measured before the kernels were rounded to float16, which changes a bit of "
            "a code now and then.",
        ]
    return lines


def _reads(found: Description) -> list[str]:
    drawing = found.drawing
    return [
        f"Points of a drawing in QuickDraw's simplified form: x and y from 0 to 255, the longer "
        f"side 255, at most {found.points} points; the first ones of a longer drawing. A length "
        f"is from 1 to {found.points}: onnxruntime refuses any other on a CPU; elsewhere check it, "
        "as the code of such a drawing means nothing. The graph "
        f"draws them at {drawing.size} px with lines of {drawing.stroke_width:g} px, and divides "
        f"offsets by {found.offset_scale:.6g}. Bit j of a code is bit j % 8 of its byte j // 8 "
        f"({found.bit_order} order), and is 1 where feature j is above {found.threshold:g}. "
        f"Kernels are stored as {found.weights}.",
    ]


_USE = """\
## Use

```python
import sketchjax

model = sketchjax.load(".")  # this folder
house = [[[40, 40, 200, 200, 40], [110, 240, 240, 110, 110]], [[40, 120, 200], [110, 30, 110]]]
print(model.encode(house).packed, model.predict(house))
```

Without sketchjax, `encoder.onnx` does the same in onnxruntime, in a browser too:

```python
import numpy as np
import onnxruntime

points = np.zeros((1, {points}, 3), np.uint8)  # x, y, and 1 where a stroke ends
points[0, :3] = [[0, 0, 0], [255, 0, 0], [128, 221, 1]]
session = onnxruntime.InferenceSession("encoder.onnx")
lengths = np.array([3], np.int32)
codes, features, probabilities = session.run(None, {{"points": points, "lengths": lengths}})
assert (np.packbits(features > {threshold}, bitorder="little") == codes[0]).all()
```"""
