"""The last lines of a run on the terminal."""

from pathlib import Path
from typing import Any

from sketchjax.run.output import console


def print_summary(results: dict[str, Any], workdir: Path) -> None:
    """Print the main figures and where the report is."""
    out = console()
    parts, has_codes = [], results["bits"] is not None
    if results.get("map") is not None:
        parts += [
            f"MAP {results['map']:.4f} (between {results['map_worst']:.4f} and "
            f"{results['map_best']:.4f} over orders of ties)",
            f"precision@200 {results['precision_at_200']:.4f}",
        ]
    if results["accuracy"] is not None:
        parts.append(f"accuracy {results['accuracy']:.4f}")
    out.print("  ".join(parts) or "no score is defined for these data", markup=False)
    what = f"{results['bits']} bits" if has_codes else "recognition"
    out.print(
        f"{what}, {results['classes']} classes, {results['train']:,} training "
        f"sketches, {results['queries']:,} queries against {results['gallery']:,}",
        markup=False,
    )
    out.print(f"report: {workdir / 'report' / 'index.html'}", markup=False)
