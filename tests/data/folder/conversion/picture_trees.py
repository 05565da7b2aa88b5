"""Small picture folders, made by hand."""

import io
from pathlib import Path

import numpy as np
from PIL import Image


def encoded(image: Image.Image, form: str) -> bytes:
    """The file of a picture."""
    buffer = io.BytesIO()
    image.save(buffer, form, quality=95)
    return buffer.getvalue()


def photo(seed: int, side: int = 32) -> bytes:
    """A JPEG whose quarters have random colours."""
    colours = np.random.default_rng(seed).integers(0, 256, (2, 2, 3))
    picture = np.kron(colours, np.ones((side // 2, side // 2, 1))).astype(np.uint8)
    return encoded(Image.fromarray(picture), "JPEG")


def raster(seed: int, side: int = 32) -> bytes:
    """A PNG with one dark line."""
    picture = np.full((side, side), 255, np.uint8)
    row, column = np.random.default_rng(seed).integers(2, side - 2, 2)
    picture[row, 2 : 4 + column] = 0
    return encoded(Image.fromarray(picture), "PNG")


def svg(seed: int) -> bytes:
    """A zigzag."""
    points = np.random.default_rng(seed).integers(0, 100, (9, 2))
    path = " ".join(f"{x},{y}" for x, y in points.tolist())
    return f'<svg><path d="M{path}"/></svg>'.encode()


def put(root: Path, files: dict[str, bytes]) -> Path:
    """Write files below a folder."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def table(heading: str, *rows: str) -> bytes:
    return "\n".join([heading, *rows, ""]).encode()


def paired(root: Path) -> Path:
    """Two categories of six photos; two raster sketches and an SVG one of each photo."""
    files, pairs, splits = {}, [], []
    for kind in ("cat", "hot_dog"):
        for number in range(6):
            stem = f"{kind[0]}{number}"
            name = f"photo/{kind}/{stem}.jpg"
            files[name] = photo(len(files))
            held_out = number >= 4
            splits.append(f"{name},{'gallery' if held_out else 'train'}")
            for copy, made in ((1, raster), (2, raster), (3, svg)):
                sketch = f"sketch/{kind}/{stem}-{copy}.{'svg' if made is svg else 'png'}"
                files[sketch] = made(len(files))
                pairs.append(f"{sketch},{name},{kind}")
                splits.append(f"{sketch},{'query' if held_out else 'train'}")
    files["pairs.csv"] = table("sketch,photo,category", *pairs)
    files["splits.csv"] = table("path,split", *splits)
    return put(root, files)
