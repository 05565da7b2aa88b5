"""CSS in SVG drawings: a style that hides lines is read, one that moves them is refused."""

from __future__ import annotations

import re

from sketchjax.data.sources.records import Refused

_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
# Properties that place or shape a line. An `svg` may have its size from its style.
_MOVING = frozenset(("cx", "cy", "d", "height", "r", "rotate", "rx", "ry", "scale", "transform"))
_MOVING |= {"transform-box", "transform-origin", "translate", "width", "x", "y"}
_SIZE = frozenset(("width", "height"))
_SHEET = re.compile(  # neither of a name such as stroke-width, nor of a selector such as .r:hover
    r"(?<![\w.#-])(?:display\s*+:\s*+none|visibility\s*+:\s*+(?:hidden|collapse)"
    rf"|(?:{'|'.join(sorted(_MOVING))})\s*+:)",
    re.IGNORECASE,
)


def styled(name: str, attributes: dict[str, str]) -> dict[str, str]:
    """An element's attributes, with the display, visibility and size that its `style` sets.

    Raises Refused where the style moves lines.
    """
    styles = _declarations(attributes.get("style", ""))
    read = frozenset(("display", "visibility")) | (_SIZE if name == "svg" else frozenset())
    moving = _MOVING & (styles.keys() - read)
    if "transform-origin" in attributes:
        moving |= {"transform-origin"}
    if moving:
        raise Refused("unreadable", f"{name[:30]} sets {min(moving)!r} by CSS, which is not read")
    return attributes | {key: styles[key] for key in read & styles.keys()}


def is_displayed(attributes: dict[str, str]) -> bool:
    """Whether an element and its content are drawn at all."""
    return attributes.get("display", "").strip().lower() != "none"


def is_visible(attributes: dict[str, str], around: bool) -> bool:
    """Whether an element is visible where the one around it is: its content may be so again."""
    value = attributes.get("visibility", "").strip().lower()
    return value in ("visible", "initial") or (around and value not in ("hidden", "collapse"))


def refuse_sheet(text: str) -> None:
    """Raises Refused where a style sheet hides or moves lines: its selectors are not read."""
    if found := _SHEET.search(_COMMENT.sub(" ", text)):
        raise Refused("unreadable", f"a style sheet has {found[0]!r}; only `style=` is read")


def _declarations(text: str) -> dict[str, str]:
    """A style's values by property: the last `!important` one, or the last one."""
    parts = [part.partition(":") for part in _COMMENT.sub(" ", text).lower().split(";")]
    parts.sort(key=lambda part: "!" in part[2])  # stable
    return {name.strip(): value.partition("!")[0].strip() for name, _, value in parts}
