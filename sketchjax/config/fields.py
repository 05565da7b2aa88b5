"""Every field of a run's config: default, bounds, whether a resume may change it, report heading.

`*` stands for the name of a row: `stages.*.epochs` is a field of each stage. The settings of
encoders and losses are declared with them (`models.table`, `losses.table`).
"""

from __future__ import annotations

import re
from typing import Any

from sketchjax.data.folder.splits import SPLITS
from sketchjax.data.inputs import SIDES, SKETCH, side_and_split
from sketchjax.data.sources.pictures.contours import CONTOURS
from sketchjax.fields import (
    LARGEST_INT,
    Field,
    above,
    choice,
    names,
    number,
    place,
    share,
    switch,
    text,
    whole,
)
from sketchjax.losses.table import DISTANCES
from sketchjax.models.architecture import FITS, SKETCHES
from sketchjax.models.table import EMBEDDINGS, HEADS

_SIZES = "size of the picture and width of its strokes, in pixels"
_AUGMENT = "changes to training sketches"
_AUGMENT_PHOTOS = "changes to training photos"
_COURSE = "learning rate and its course, by stage"
_REGULAR = "regularisation"
_HEAD = "layers after the encoders"


def _many(default: tuple, is_valid: Any, remedy: str, **more: Any) -> Field:
    """A tuple of whole numbers."""
    return Field(default, lambda values: all(map(is_valid, values)), remedy, item=int, **more)


def _is_range(value: str) -> bool:
    """Whether it is FIRST:END with at least one whole number from FIRST to END - 1."""
    match = re.fullmatch(r"(\d{1,12}):(\d{1,12})", value, re.ASCII)
    return match is not None and int(match[1]) < int(match[2])


def _amount(default: float, most: float = 1.0) -> Field:
    return number(default, 0, most, question=_AUGMENT)


def _photo_amount(default: float) -> Field:
    return number(default, 0, 1, question=_AUGMENT_PHOTOS)


FIELDS: dict[str, Field] = {
    "name": text("sketchmate", resumable=True),
    "seed": whole(0, 0, 2**32 - 1, question="random seed"),
    # The converted folder; empty: WORKDIR/data.
    "data.dir": place(),
    # Drawings to convert when data.dir does not exist yet; `synthetic` draws its own. The fields
    # below choose and split them; an existing folder that holds more than they ask for is refused.
    "data.source": place(),
    "data.split_file": place(),  # CSV of key_id,split; empty: the sizes in data.splits
    # Sketches of each category, at most, that are trained on though the split file does not name
    # them.
    "data.extra_train": whole(0),
    "data.splits": Field({"train": 9000, "validation": 1000, "gallery": 1000, "query": 100}),
    "data.categories": names(),  # empty: all
    # Categories kept out of training, to score the codes of classes never seen: by name, or a
    # number of them drawn with the seed. Only these are then ranked.
    "data.unseen": names(),
    "data.unseen_count": whole(0, 0, 65_536),
    # Word vectors (GloVe, word2vec text) for losses that need them; empty: vectors made from the
    # spelling of the names, which carry no meaning.
    "data.word_vectors": place(),
    "data.recognized_only": switch(False),
    "data.max_per_category": whole(0),  # 0: no limit
    "data.on_bad": choice("stop", "skip"),  # skip: leave bad records out and count them
    "data.shards": whole(8, 1, 99_999),
    # resident: the training split is held on the devices; stream: the host reads and sends it;
    # auto: resident if it needs at most a quarter of their free memory.
    "data.feed": choice("auto", "resident", "stream", resumable=True),
    # The sketches of the data folder that are used: those of points, or rasters.
    "data.sketches": choice(*SKETCHES),
    # Longer sketches are cut to their first points.
    "data.points": whole(128, 2, 65_535, question="longest sequence, in points"),
    "data.synthetic_per_category": whole(0, 0, 10_000_000),
    "drawing.size": whole(224, 1, 4096, question=_SIZES),
    # Of raster sketches. canvas: as they are; ink: cut to their lines, whose darkest become black.
    "drawing.fit": choice(*FITS, question=_SIZES),
    "drawing.stroke_width": above(1.5, 0, "take 1 to 2 pixels at a size of 224", question=_SIZES),
    # What conversion makes of pictures: the contour maps that it adds to photos, and the share of a
    # source's training pictures that are kept for validation.
    "photos.contours": choice(*CONTOURS),
    "photos.validation": share(0.1),
    "photos.sketches_each": whole(3, 1, 1000),  # sketches of each synthetic photo
    "photos.painted_size": whole(160, 32, 4096),  # side of a synthetic photo, in pixels
    "photos.size": whole(128, 1, 4096, question="side of the photos, in pixels"),
    # Random changes to the points of training sketches; see ops.augment. Raster sketches have only
    # flip, scale, anisotropy and shift (ops.augment_pictures). With flip, a sketch and the photo
    # that it draws are mirrored together.
    "augmentation.drop_stroke": share(0.05, question=_AUGMENT),  # of each stroke
    "augmentation.jitter": _amount(0.0, 255),  # of each point, in units of the drawing's 255
    "augmentation.stroke_shift": _amount(0.0),  # of each stroke, as a fraction of the box
    "augmentation.deform": _amount(0.0),  # smooth bending, as a fraction of the box
    # Probability of a mirror image, of a photo too.
    "augmentation.flip": number(0.0, 0, 1, question="share of mirrored items"),
    "augmentation.scale": _amount(0.1),  # relative change of size
    "augmentation.anisotropy": _amount(0.1),  # relative change of width against height
    "augmentation.shear": _amount(0.1),
    "augmentation.rotation": _amount(10.0, 360),  # degrees either way
    "augmentation.shift": _amount(0.04),  # of the whole, as a fraction of the box
    # Random changes to training photos; see ops.augment_pictures.
    "photo_augmentation.scale": _photo_amount(0.1),  # relative change of size
    "photo_augmentation.anisotropy": _photo_amount(0.1),  # relative change of width to height
    "photo_augmentation.shift": _photo_amount(0.04),  # as a fraction of the side
    "photo_augmentation.contrast": _photo_amount(0.2),  # relative change of contrast
    "photo_augmentation.brightness": _photo_amount(0.1),  # change of all values, 1: black to white
    "photo_augmentation.hue": _photo_amount(0.0),  # turn of all colours, 1: half a turn either way
    "photo_augmentation.saturation": _photo_amount(0.0),  # relative change of saturation
    "photo_augmentation.negative": _photo_amount(0.0),  # probability of a negative
    "model.bits": Field(
        64, lambda v: 0 < v <= 4096 and v % 8 == 0, "take a multiple of 8, 16 to 64 usually"
    ),
    # The encoders of the network, in order; rows of model.encoders.
    "model.branches": names(question="what reads the drawing"),
    # The encoders of its photos, in order; rows of model.encoders. (): a network without photos.
    "model.photo_branches": names(question="what reads the photo"),
    # hash: sigmoid features near 0 and 1; sign_hash: the same, with a classifier that reads the
    # signs; embedding: plain features, codes by sign; features: a rectified layer for recognition
    # only, without codes.
    "model.head": choice(*HEADS, question=_HEAD),
    # Of model.head=embedding. raw: as they are; unit_length: scaled to length 1; batch_norm: each
    # feature to mean 0 and variance 1, over the batch of all devices.
    "model.embedding": choice(*EMBEDDINGS, question=_HEAD),
    "model.features": whole(2048, 1, 65_536),  # width of model.head=features
    "model.fusion_features": whole(  # 0: the plain concatenation of all encoders
        0, 0, 65_536, question="width of the layer between encoders and head (0: none)"
    ),
    "model.dropout": share(0.0, question="dropout"),  # of what the head reads, in training
    # Encode an item together with its mirror image, and let the head read the mean of both: twice
    # the work of encoding. Training sees items one by one; codes that a loss makes are of both.
    "model.mirrored": switch(False, question="whether items are encoded with their mirror images"),
    # Of the computation. Parameters are always float32.
    "model.dtype": choice("float32", "bfloat16", question="number format of the computation"),
    "model.encoders.*.kind": text(question="architecture of each encoder"),
    "plan": names(),  # the stages to run, in order; rows of `stages`
    # The sides that a batch holds. With both, a batch has train.batch_size sketches and as many
    # photos: pairs of a sketch and its photo, or with sampler.classes both of the same classes.
    "stages.*.inputs": Field(
        (SKETCH,),
        lambda sides: sides and all(s in SIDES for s in sides) and len({*sides}) == len(sides),
        f"give one or both of {', '.join(SIDES)}, each once",
    ),
    # Parts: encoders by name, `encoders` (all of a side: `photo_encoders`), `head`, `photo_head`.
    "stages.*.trains": names(),
    "stages.*.output": text("head"),  # what the losses read: `head` or an encoder's name
    # Losses by name: a weight, or a section of `weight` and the loss's own settings.
    "stages.*.losses": Field({"cross_entropy": 1.0}),
    # 0: the stage is left out.
    "stages.*.epochs": number(1.0, 0, 1_000_000, question="which epochs belong to which stage"),
    "stages.*.learning_rate": above(1e-3, 0, "take 0.001, say", question=_COURSE),
    # cosine: warms up, then decays to 0; steps: divided by 10 every 10 epochs.
    "stages.*.schedule": choice("cosine", "steps", "constant", question=_COURSE),
    "stages.*.warmup_epochs": number(0.5, 0, 1_000_000, question=_COURSE),
    # A multiple of all amounts of `augmentation` and `photo_augmentation`; 0: items as they are.
    "stages.*.augmentation": number(1.0, 0, 1, question="share of these changes, by stage"),
    # Batches of P = `classes` classes with K = `each` sketches per class. classes=0: drawn from all
    # sketches alike; each=0: as many as train.batch_size allows.
    "stages.*.sampler.classes": whole(0, 0, 65_536, question="classes of a balanced batch"),
    "stages.*.sampler.each": whole(0, 0, 65_536, question="classes of a balanced batch"),
    "train.batch_size": whole(256, 1, 1_000_000, question="batch size, over all devices"),
    # k: steps with the codes fixed, a block of k batches; m: blocks in one dispatch.
    "train.inner_steps": whole(8, 1, 1_000_000, question="iterations with the codes fixed"),
    "train.outer_steps": whole(4, 1, 1_000_000),
    "train.weight_decay": number(1e-4, question=_REGULAR),
    "train.clip_norm": number(1.0, question=_REGULAR),
    # A stage ends with the mean of its weights, of which each step keeps this share; 0: with the
    # last weights.
    "train.averaging": Field(
        0.0,
        lambda v: 0 <= v < 1,
        "take 0 for none, or 0.99 to 0.9999",
        question="averaging of weights",
    ),
    # Learning rate of the head, as a multiple of the stage's: encoders come trained, the head
    # starts fresh.
    "train.head_rate": above(
        1.0, 0, "take 1 to 10", question="learning rate of the head, as a multiple of the stage's"
    ),
    # How the head's dense layer starts: random weights, or in closed form from the features of the
    # training sketches, before the first step of the first stage that trains it.
    "train.head_start": choice(
        "random", "codewords", "itq", "lda", question="start of the head's dense layer"
    ),
    # This many non-finite steps in a row end the run.
    "train.max_skipped": whole(10, 1, resumable=True),
    # Return to a checkpoint when the loss exceeds its median by this factor; 0: never.
    "train.rollback_factor": Field(
        0.0, lambda v: v == 0 or v > 1, "take 0 for never, or a factor above 1, such as 3"
    ),
    "train.checkpoint_seconds": number(300.0, resumable=True),
    "train.keep_checkpoints": whole(2, 1, resumable=True),
    "train.workers": whole(0, 0, 1000, resumable=True),  # processes that read ahead
    # How many devices a CPU is, which share each batch: a small network trains faster on two.
    # Rounding differs. A number in XLA_FLAGS or JAX_NUM_CPU_DEVICES counts instead.
    "train.cpu_devices": whole(1, 1, 1024, resumable=True),
    # Where trained parts come from, separated by commas: workdirs of runs, for their encoders, or
    # model files, for all parts trained in them. Stages that read one encoder are then left out.
    "train.pretrained": place(question="trained parts that the run began with"),
    # The workdir or file of the model whose embeddings the loss `distillation` imitates.
    "train.teacher": place(question="the teacher whose embeddings were imitated"),
    # FIRST:END, the steps of the run to trace.
    "profile.steps": Field(
        "",
        lambda v: not v or _is_range(v),
        "give FIRST:END, such as 10:13 for steps 10 to 12, or leave it empty",
        resumable=True,
    ),
    "evaluation.batch_size": whole(512, 1, 1_000_000),
    # Which split queries which; the first ranking gives the run's headline figures.
    "evaluation.rankings": Field(
        ({"queries": "query", "gallery": "gallery"},),
        lambda rows: bool(rows) and all(map(is_ranking, rows)),
        "give rows such as {'queries': 'query', 'gallery': 'gallery'} or 'query:gallery'; the "
        f"splits are {', '.join(SPLITS)}",
    ),
    "evaluation.precision_at": _many(
        (100, 200),
        lambda k: type(k) is int and 1 <= k <= LARGEST_INT,
        f"give whole numbers from 1 to {LARGEST_INT:,}",
    ),
    # How the features of model.head=embedding are ranked as well, next to their codes.
    "evaluation.feature_distances": Field(
        DISTANCES,
        lambda names: all(name in DISTANCES for name in names) and len({*names}) == len(names),
        f"give names of {', '.join(DISTANCES)}, each once",
    ),
    "evaluation.after_stages": names(),  # stages after which the codes are scored as well
    # Lengths of posterior codes that the finished network gets besides its own; () for none.
    "evaluation.posterior_bits": _many(
        (),
        lambda bits: type(bits) is int and 8 <= bits <= 512 and bits % 8 == 0,
        "give multiples of 8 from 8 to 512, such as (16, 32, 64)",
    ),
    # What the report shows: queries, and results of each.
    "evaluation.queries_shown": whole(6, 1, 1000, resumable=True),
    "evaluation.retrieved": whole(36, 1, 1000, resumable=True),
}

# Sections whose names are free; `relations` has the rules for them.
FREE = ("data.splits", "stages.*.losses")
# Sections of rows that a config names itself, each with the field that orders them.
ROWS = {"stages": "plan", "model.encoders": "model.branches"}


def is_ranking(row: Any) -> bool:
    """Whether it is a pair of splits, each with or without its side."""
    try:
        return all(split in SPLITS and kind in SIDES for kind, split in ranking_sides(row))
    except (TypeError, ValueError):
        return False


def ranking_sides(row: Any) -> list[tuple[str, str]]:
    """The (side, split) of a ranking's queries, and those of its gallery.

    row: {"queries": PART, "gallery": PART} or "PART:PART". A PART is SPLIT or SIDE/SPLIT; without
      a side, it is of sketches.
    Raises TypeError or ValueError when it is neither.
    """
    if isinstance(row, str):
        parts = row.split(":")
    elif set(row) == {"queries", "gallery"}:
        parts = [row["queries"], row["gallery"]]
    else:
        raise ValueError(row)
    first, second = parts
    return [side_and_split(first), side_and_split(second)]
