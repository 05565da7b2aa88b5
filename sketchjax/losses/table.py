"""What each loss reads, compares and remembers, and its settings, as rows of data.

No jax here: a config is checked against these rows before jax loads. The functions of the loss
NAME are `LOSS` in sketchjax/losses/NAME.py. A new loss is one file and one row
(docs/adding-a-method.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sketchjax.fields import Field, number


@dataclass(frozen=True)
class Declaration:
    """A row of LOSSES.

    reads: what it looks at, of `logits`, `features` and `activations`; a stage that reads one
      encoder has only `logits`.
    pairs: the two kinds of input that it compares, such as ("sketch", "sketch"); None: each item
      counts by itself.
    whole_batch: it needs the batches of all devices joined, like any loss over pairs and any loss
      whose memory moves after each step.
    remembers: what it carries from step to step, in words; part of a checkpoint.
    makes_codes: it fixes codes once per block, with the parameters held.
    needs: what a run has to provide: `word_vectors`.
    heads: the heads it goes with, of `models.table.HEADS`; empty: any.
    settings: all but its weight; each is a field of the config, and a number.
    symbol: its short name in a report; empty: its name.
    source: where it is published.
    """

    reads: tuple[str, ...]
    pairs: tuple[str, str] | None = None
    whole_batch: bool = False
    remembers: str = ""
    makes_codes: bool = False
    needs: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
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
    # The common centre loss: the centres follow the batches.
    "common_center": Declaration(
        reads=("features",),
        whole_batch=True,
        remembers="class centres",
        settings={"rate": number(0.5, 0, 1)},  # how far a centre moves with each batch
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
        heads=("hash", "embedding"),
        settings={
            "margin": number(0.0),  # in squared distance; 0: twice the number of bits
            "alpha": number(0.01),  # weight of the pull towards -1 and 1
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
