"""What each loss reads, compares, remembers and can be set to, as rows of data.

No jax here: a config is checked against these rows before jax loads. The functions of the loss
NAME are `LOSS` in sketchjax/losses/NAME.py (docs/adding-a-method.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sketchjax.fields import Field, number
from sketchjax.models.table import HEADS

ANY_HEAD = tuple(HEADS)
CODE_HEADS = tuple(name for name, head in HEADS.items() if head.threshold is not None)


@dataclass(frozen=True)
class Declaration:
    """A row of LOSSES.

    reads: of `logits`, `features` and `activations`, what it looks at; the last two exist only
      where a stage reads the head.
    pairs: the kinds of input whose items it compares with each other, such as ("sketch",
      "sketch"); None where each item counts by itself.
    whole_batch: it needs the batches of all devices joined, as any loss over pairs does.
    remembers: what it carries from step to step, in words; part of a checkpoint.
    makes_codes: it fixes codes once per block, with the parameters held.
    needs: what a run has to provide: `word_vectors`.
    heads: the heads it makes sense with.
    settings: besides its weight, each a field of the config.
    symbol: its short name in a report.
    source: where it is published.
    """

    reads: tuple[str, ...]
    pairs: tuple[str, str] | None = None
    whole_batch: bool = False
    remembers: str = ""
    makes_codes: bool = False
    needs: tuple[str, ...] = ()
    heads: tuple[str, ...] = ANY_HEAD
    settings: Mapping[str, Field] = field(default_factory=dict)
    symbol: str = ""
    source: str = ""

    @property
    def joins_devices(self) -> bool:
        """Whether it sees the batches of all devices as one."""
        return self.whole_batch or self.pairs is not None


LOSSES: dict[str, Declaration] = {
    "cross_entropy": Declaration(
        reads=("logits",), symbol="CEL", source="SketchMate (Xu et al. 2018), eq. 2"
    ),
    # Centre loss as it is common: the centres follow the batches.
    "common_center": Declaration(
        reads=("features",),
        whole_batch=True,
        remembers="class centres",
        settings={"rate": number(0.5, 0, 1)},  # how far a centre moves towards a batch's mean
        symbol="CL",
        source="Wen et al. 2016",
    ),
    "center": Declaration(
        reads=("features",),
        remembers="class centres",
        symbol="SCL",
        source="SketchMate (Xu et al. 2018), eq. 4",
    ),
    "quantization": Declaration(
        reads=("features",),
        makes_codes=True,
        heads=("hash",),
        symbol="QL",
        source="SketchMate (Xu et al. 2018), eq. 3",
    ),
    "contrastive": Declaration(
        reads=("activations",),
        pairs=("sketch", "sketch"),
        heads=CODE_HEADS,
        settings={
            "margin": number(0.0),  # in squared distance; 0: twice the number of bits
            "alpha": number(0.01),  # weight of the distance to -1 and 1
        },
        source="Deep Supervised Hashing (Liu et al. 2016)",
    ),
    "semantic": Declaration(
        reads=("features",),
        remembers="class word vectors and their decoder",
        makes_codes=True,
        needs=("word_vectors",),
        heads=("hash",),
        source="Deep Sketch Hashing (Liu et al. 2017), reconstructed",
    ),
}

WEIGHT = number(1.0)
