"""The rules for the encoders, the sides that they read, and the embedding."""

from __future__ import annotations

from sketchjax.config.fields import ranking_sides
from sketchjax.config.relations.reading import (
    BRANCHES,
    Fields,
    branches_of,
    encoder_of,
    listed,
    wrong_name,
)
from sketchjax.data.inputs import PHOTO, SIDES, SKETCH
from sketchjax.fields import one_line
from sketchjax.models.table import (
    ALL_ENCODERS,
    CLASSIFIER,
    EMBEDDINGS,
    ENCODERS,
    FUSION,
    HEAD,
    HEADS,
    of_side,
)


def of_pictures(fields: Fields) -> list[str]:
    """Whether pictures are large enough for the encoders, and for the lines in them."""
    problems = []
    for side, field in ((SKETCH, "drawing.size"), (PHOTO, "photos.size")):
        for name in branches_of(fields, side) if field in fields else ():
            own = encoder_of(fields, name)
            row = ENCODERS[own["kind"]] if own else None
            if row is None or row.smallest is None or not own.keys() >= {*row.settings}:
                continue
            if fields[field] < (least := row.smallest(own)):
                problems.append(
                    f"{field}={fields[field]} is too small for model.encoders.{name}: "
                    f"{own['kind']} with these settings reads pictures of at least {least} pixels"
                )
    size, width = fields.get("drawing.size"), fields.get("drawing.stroke_width")
    if size is not None and width is not None and width > size / 4:
        problems.append(
            f"drawing.stroke_width={width!r} is more than a quarter of drawing.size={size}; "
            "take 1 to 2 pixels"
        )
    return problems


def of_encoders(fields: Fields) -> list[str]:
    """Kinds and names of encoders, and whether the branches name rows that exist."""
    problems = []
    rows = dict.fromkeys(
        path.split(".")[2] for path in fields if path.startswith("model.encoders.")
    )
    own = (ALL_ENCODERS, HEAD, FUSION, *HEADS)
    reserved = (CLASSIFIER, *own, *(of_side(name, PHOTO) for name in own))
    for name in rows:
        kind = fields.get(f"model.encoders.{name}.kind")
        if kind is not None and kind not in ENCODERS:
            choices = ", ".join(ENCODERS)
            problems.append(f"model.encoders.{name}.kind={one_line(kind)}; choose one of {choices}")
        if wrong := wrong_name(f"model.encoders.{name}", "an encoder"):
            problems += wrong
        elif name in reserved or name.endswith(f"_{CLASSIFIER}"):
            problems.append(
                f"model.encoders.{name}: the name is reserved; give the encoder another one than "
                f"{', '.join(reserved)} or ..._{CLASSIFIER}"
            )
    if "model.branches" not in fields:
        return problems
    there = ", ".join(rows) or "none"
    if not (fields["model.branches"] or fields.get("model.photo_branches")):
        problems.append(f"model.branches=() names no encoder; there are {there}")
    unknown = {
        path: [name for name in fields.get(path, ()) if name not in rows]
        for path in BRANCHES.values()
    }
    problems += [
        f"{path} names {listed(names)}, no row of model.encoders; there are {there}"
        for path, names in unknown.items()
        if names
    ]
    return problems


def of_sides(fields: Fields) -> list[str]:
    """Whether each encoder can read its side, and the head goes with both."""
    problems, raster = [], fields.get("data.sketches") == "raster"
    encoders = [encoder_of(fields, name) for name in branches_of(fields)]
    reads = {
        SKETCH: ("picture",) if raster else ("picture", "sequence"),
        PHOTO: ("picture", "picture_and_contour"),
    }
    names = {SKETCH: "raster sketches" if raster else "sketches as strokes", PHOTO: "photos"}
    for side, path in BRANCHES.items():
        for name in branches_of(fields, side):
            own = encoder_of(fields, name)
            if own and (view := ENCODERS[own["kind"]].view) not in reads[side]:
                problems.append(
                    f"{path} names {name}, but {own['kind']} reads the view {view}, which "
                    f"{names[side]} do not have"
                )
    if both := {*branches_of(fields, SKETCH)} & {*branches_of(fields, PHOTO)}:
        problems.append(
            f"model.branches and model.photo_branches both name {listed(sorted(both))}; each "
            "side has encoders of its own, so give one of them another name"
        )
    views = {ENCODERS[own["kind"]].view for own in encoders if own}
    wanted = fields.get("data.source") and fields.get("photos.contours") == "none"
    if wanted and "picture_and_contour" in views:
        problems.append("photos.contours=none, but an encoder reads contour maps; choose canny")
    if not raster and fields.get("drawing.fit") == "ink":
        problems.append(
            "drawing.fit=ink is for data.sketches=raster; strokes always fill their own box"
        )
    head, photos = fields.get("model.head"), bool(branches_of(fields, PHOTO))
    if photos and head in HEADS and HEADS[head].of_posterior:
        problems.append(f"model.head={head} is for sketches only; choose another with photos")
    if photos and (start := fields.get("train.head_start", "random")) != "random":
        problems.append(f"train.head_start={start} is for sketches only; choose random with photos")
    sides = [side for side in SIDES if branches_of(fields, side)]
    asked = [part for row in fields.get("evaluation.rankings", ()) for part in ranking_sides(row)]
    problems += [
        f"evaluation.rankings names {side}/{split}, but {BRANCHES[side]} has no encoder"
        for side, split in dict.fromkeys(asked)
        if sides and side not in sides
    ]
    return problems


def of_embedding(fields: Fields) -> list[str]:
    """Whether the embedding goes with the head and the batch."""
    head, embedding = fields.get("model.head"), fields.get("model.embedding", EMBEDDINGS[0])
    if head not in (None, "embedding") and embedding != EMBEDDINGS[0]:
        return [
            f"model.embedding={embedding} goes with model.head=embedding only, but "
            f"model.head={head}; set one of the two"
        ]
    if embedding == "batch_norm" and fields.get("train.batch_size") == 1:
        return [
            "train.batch_size=1 has no variance for model.embedding=batch_norm; take at least 2"
        ]
    return []


def of_mirror_images(fields: Fields) -> list[str]:
    """Whether training shows the mirror images that are encoded."""
    if fields.get("model.mirrored") and not fields.get("augmentation.flip", 1):
        return [
            "model.mirrored=True encodes mirror images, which no encoder is trained on with "
            "augmentation.flip=0; set augmentation.flip, such as 0.3, or model.mirrored=False"
        ]
    return []
