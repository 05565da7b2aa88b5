"""Going back after a spike: a dispatch whose loss is far above that of the dispatches before it."""

import math
from statistics import median

# The median of the last WINDOW losses is what a spike is compared with, once there are LEAST.
WINDOW, LEAST = 16, 4
# After that many in one stage, it is no accident: the loss is accepted.
MAX_DETOURS = 3


class Spike(Exception):
    """Makes the trainer go back to the last checkpoint of `stage`; never leaves the trainer."""

    def __init__(self, stage: str, loss: float, usual: float):
        super().__init__(
            f"stage {stage}: a loss of {loss:.4g} after a median of {usual:.4g} is a spike"
        )
        self.stage = stage


def check_spike(
    stage: str, loss: float, losses: list[float], *, factor: float, detours: int
) -> list[float]:
    """The losses with this dispatch's added, to pass with the next dispatch.

    stage: its name.
    loss: of this dispatch.
    losses: of the dispatches before.
    factor: how many times their median a loss may be; 0: any number.
    detours: how often the stage went back already.
    Raises Spike when the loss is larger than that.
    """
    usual = median(losses) if len(losses) >= LEAST else math.inf
    if factor and detours < MAX_DETOURS and loss > factor * usual:
        raise Spike(stage, loss, usual)
    return [*losses, loss][-WINDOW:] if math.isfinite(loss) else losses
