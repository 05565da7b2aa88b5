"""The colours of the report's pictures, on light and on dark pages."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """The colours of one colour scheme.

    name: light or dark.
    ink, soft, faint: for text, for less important text, for lines.
    ground: the background.
    accent: for what a figure is about.
    """

    name: str
    ink: str
    soft: str
    faint: str
    ground: str
    accent: str


LIGHT = Theme("light", "#1c1f23", "#5b626b", "#8a9099", "#ffffff", "#0072B2")
DARK = Theme("dark", "#e6e8eb", "#a0a7b0", "#7d848d", "#16181b", "#56B4E9")
THEMES = (LIGHT, DARK)
