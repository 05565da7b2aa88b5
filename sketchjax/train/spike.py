"""Going back after a spike: a dispatch whose loss is far above those before it."""

import math
from statistics import median

# A spike is told from the median of the last dispatches' losses, once there are some.
WINDOW, LEAST = 16, 4
# More often than that in one stage, it is no accident and stays.
MAX_DETOURS = 3


class Spike(Exception):
    """Tells the trainer to go back to the last checkpoint of `stage`; never seen outside of it."""

    def __init__(self, stage: str, loss: float, usual: float):
        super().__init__(
            f"stage {stage}: a loss of {loss:.4g} after a median of {usual:.4g} is a spike"
        )
        self.stage = stage


def check_spike(
    stage: str, loss: float, losses: list[float], *, factor: float, detours: int
) -> list[float]:
    """The losses with this dispatch's, to be given with the next one.

    factor: how many times its median a loss may be, 0 for any; detours: how often the stage went
    back already. Raises Spike where the loss is more than that.
    """
    usual = median(losses) if len(losses) >= LEAST else math.inf
    if factor and detours < MAX_DETOURS and loss > factor * usual:
        raise Spike(stage, loss, usual)
    return [*losses, loss][-WINDOW:] if math.isfinite(loss) else losses
