"""The README's picture, from a finished run: queries and what their codes retrieve.

python docs/picture.py runs/quickstart docs/images/quickstart.png
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from sketchjax.report.material import Retrieval, load_material
from sketchjax.report.mosaic import FALSE_POSITIVE
from sketchjax.report.plots import LIGHT
from sketchjax.report.thumbnails import thumbnail

SIZE, GAP, INSET, HEAD = 84, 6, 5, 30
COLUMNS = 10  # results per query


def main(workdir: str, out: str) -> None:
    """Draw one row for each query of a run's report.

    workdir: of the finished run.
    out: the picture to write.
    """
    retrievals = load_material(Path(workdir) / "report" / "material.json").retrievals
    if not retrievals:
        sys.exit(f"{workdir} has no report with retrievals; let the run finish first")
    width = (COLUMNS + 1) * (SIZE + GAP) + 4 * GAP
    picture = Image.new("RGB", (width, HEAD + len(retrievals) * (SIZE + GAP) + GAP), LIGHT.ground)
    pen = ImageDraw.Draw(picture)
    heads = ((GAP, "query"), (SIZE + 5 * GAP, "nearest codes; red: another category"))
    for x, text in heads:
        pen.text((x, HEAD // 2), text, LIGHT.soft, font_size=15, anchor="lm")
    for row, retrieval in enumerate(retrievals):
        draw_row(picture, pen, HEAD + row * (SIZE + GAP), retrieval)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(64, method=Image.Quantize.FASTOCTREE).save(out, optimize=True)


def draw_row(picture: Image.Image, pen: ImageDraw.ImageDraw, y: int, retrieval: Retrieval) -> None:
    """Draw the query in a frame, then its nearest sketches, false positives framed in red.

    picture, pen: what to draw into.
    y: the row's upper edge, in pixels.
    """
    cells: list[tuple[int, np.ndarray, str | None]] = [(GAP, retrieval.query_points, LIGHT.accent)]
    for rank, result in enumerate(retrieval.results[:COLUMNS]):
        x = 4 * GAP + (rank + 1) * (SIZE + GAP)
        cells.append((x, result.points, None if result.correct else FALSE_POSITIVE))
    for x, points, frame in cells:
        picture.paste(thumbnail(points, SIZE - 2 * INSET), (x + INSET, y + INSET))
        if frame:
            pen.rectangle((x, y, x + SIZE - 1, y + SIZE - 1), outline=frame, width=2)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python docs/picture.py WORKDIR OUT.png")
    main(*sys.argv[1:])
