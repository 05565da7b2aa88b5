"""How the templates of the report's pages are loaded."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sketchjax.report import mosaic

TEMPLATES = Path(__file__).parent / "templates"


def environment(*folders: Path) -> Environment:
    """An environment that loads templates from these folders first, then from the report's own.

    An undefined name in a template is an error; text is escaped. The colours of the style that all
    pages share are there.
    """
    own = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    own.globals.update(false_positive=mosaic.FALSE_POSITIVE, exact=mosaic.EXACT)
    return own
