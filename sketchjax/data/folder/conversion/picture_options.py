"""How a conversion keeps and divides pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sketchjax.data.folder.conversion.picture_pieces import Look
from sketchjax.data.sources.pictures.contours import CONTOURS, check_canny
from sketchjax.errors import ConfigError


@dataclass(frozen=True)
class PictureOptions:
    """How pictures are kept and divided.

    validation: the share of the training pictures of a splits.csv that become the validation split.
    names: a CSV file whose first two columns are the name of a category in the pictures' source and
      the one to use.
    both_sides: leave out categories that have only photos or only sketches.
    look: what decides the bytes of a picture.
    """

    validation: float = 0.1
    names: Path | None = None
    both_sides: bool = False
    look: Look = field(default_factory=Look)

    def check(self) -> None:
        """Raise ConfigError where a value cannot be used."""
        look = self.look
        rules = (
            (0 <= self.validation < 1, f"validation={self.validation}: must be 0 to below 1"),
            (16 <= look.most_side <= 8192, f"most_side={look.most_side}: must be 16 to 8,192"),
            (
                look.contours in CONTOURS,
                f"contours={look.contours!r}: must be one of {', '.join(CONTOURS)}",
            ),
            (
                0 < look.contour_sigma <= 20,
                f"contour_sigma={look.contour_sigma}: must be above 0 and at most 20",
            ),
        )
        if problems := [text for right, text in rules if not right]:
            raise ConfigError(problems)
        if look.contours == "canny":
            check_canny()
