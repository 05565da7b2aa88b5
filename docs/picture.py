"""The README's pictures, from finished runs: queries and what they find.

python docs/picture.py runs/quickstart docs/images/quickstart.png
python docs/picture.py runs/photo-quickstart docs/images/photo-quickstart.jpg
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw

from sketchjax.report.material import Retrieval, load_material
from sketchjax.report.mosaic import EXACT, FALSE_POSITIVE, tile
from sketchjax.report.plots import LIGHT

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
    of_photos = any(result.picture for row in retrievals for result in row.results)
    found = "photos; green: the one that it draws" if of_photos else "codes"
    heads = ((GAP, "query"), (SIZE + 5 * GAP, f"nearest {found}; red: another category"))
    for x, text in heads:
        pen.text((x, HEAD // 2), text, LIGHT.soft, font_size=15, anchor="lm")
    for row, retrieval in enumerate(retrievals):
        draw_row(picture, pen, HEAD + row * (SIZE + GAP), retrieval)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    if not of_photos:
        picture = picture.quantize(64, method=Image.Quantize.FASTOCTREE)
    picture.save(out, optimize=True, quality=85)


def draw_row(picture: Image.Image, pen: ImageDraw.ImageDraw, y: int, retrieval: Retrieval) -> None:
    """Draw the query in a frame, then what is nearest, false positives framed in red.

    picture, pen: what to draw into.
    y: the row's upper edge, in pixels.
    """
    side = SIZE - 2 * INSET
    query = tile(retrieval.query_points, retrieval.query_picture, side)
    cells: list[tuple[int, Image.Image, str | None]] = [(GAP, query, LIGHT.accent)]
    for rank, result in enumerate(retrieval.results[:COLUMNS]):
        x = 4 * GAP + (rank + 1) * (SIZE + GAP)
        frame = EXACT if result.exact else None if result.correct else FALSE_POSITIVE
        cells.append((x, tile(result.points, result.picture, side), frame))
    for x, cell, frame in cells:
        picture.paste(cell, (x + INSET, y + INSET))
        if frame:
            pen.rectangle((x, y, x + SIZE - 1, y + SIZE - 1), outline=frame, width=2)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python docs/picture.py WORKDIR OUT")
    main(*sys.argv[1:])
