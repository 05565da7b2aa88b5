"""The last lines of a run on the terminal."""

from pathlib import Path
from typing import Any

from sketchjax.run.output import console


def print_summary(results: dict[str, Any], workdir: Path) -> None:
    """Print the main figures and where the report is.

    results: as in results.json. An evaluation on other data has no number of training sketches.
    workdir: of the run, or where the evaluation was written.
    """
    out = console()
    scores = []
    if results.get("map") is not None:
        scores += [
            f"MAP {results['map']:.4f} (between {results['map_worst']:.4f} and "
            f"{results['map_best']:.4f} over orders of ties)",
            f"precision@200 {results['precision_at_200']:.4f}",
        ]
    if results["accuracy"] is not None:
        scores.append(f"accuracy {results['accuracy']:.4f}")
    out.print("  ".join(scores) or "no score is defined for these data", markup=False)
    by_features = results.get("feature_rankings", ())
    for ranking in by_features:
        first = all(ranking[side] == by_features[0][side] for side in ("queries", "gallery"))
        if first and ranking["map"] is not None:
            out.print(
                f"by {ranking['distance']} distance of features: MAP {ranking['map']:.4f}  "
                f"recall@1 {ranking['recall_at_1']:.4f}",
                markup=False,
            )
    sizes = ["recognition" if results["bits"] is None else f"{results['bits']} bits"]
    sizes.append(f"{results['classes']} classes")
    if results["train"] is not None:
        sizes.append(f"{results['train']:,} training sketches")
    sizes.append(f"{results['queries']:,} queries against {results['gallery']:,}")
    out.print(", ".join(sizes), markup=False)
    out.print(f"report: {workdir / 'report' / 'index.html'}", markup=False)
