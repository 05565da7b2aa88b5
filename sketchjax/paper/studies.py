"""The kinds of studies: the paper's tables, objectives on the same features, and variants.

No jax is imported before a study runs: a wrong config is answered without delay.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sketchjax.config import Config, split_list
from sketchjax.paper.objectives import config as objectives
from sketchjax.paper.study import config as tables
from sketchjax.paper.study.config import is_study
from sketchjax.paper.variants import config as variants
from sketchjax.paper.workdir import TABLES, kind_of

__all__ = ["is_study", "run_study", "study_literal", "validate_study", "wrong_study_text"]


def validate_study(config: Config) -> None:
    """Check a study's own fields. Raises ConfigError with one line per problem."""
    checks = {
        "objectives": objectives.validate_objectives,
        "variants": variants.validate_variants,
        TABLES: tables.validate_study,
    }
    checks[kind_of(config)](config)


def wrong_study_text(path: str, text: str) -> str | None:
    """What is wrong with a field given as text, of a run or of any study; None if it is valid."""
    single = {*objectives.SINGLE, *variants.SINGLE}
    own = path in single or path in objectives.MANY or path in variants.MANY
    return None if own else tables.wrong_study_text(path, text)


def study_literal(path: str, text: str) -> str:
    """The text of a field that holds several values as a Python literal; other text as it is."""
    if path in ("objectives", "figures"):
        return repr(tuple(name for name in split_list(text) if name))
    return tables.study_literal(path, text)


def run_study(config: Config, workdir: Path, should_stop: Callable[[], bool]) -> int:
    """Do what remains of a study; returns the exit code, of its first failure where there is any.

    Raises as its kind's own function does.
    """
    kind = kind_of(config)
    if kind == "objectives":
        from sketchjax.paper.objectives.run import run_objectives

        run_objectives(config, workdir, should_stop)
        return 0
    if kind == "variants":
        from sketchjax.paper.variants.run import run_variants

        return run_variants(config, workdir, should_stop).exit_code
    from sketchjax.paper.study.run import run_study

    return run_study(config, workdir, should_stop).exit_code
