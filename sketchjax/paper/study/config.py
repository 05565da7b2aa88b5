"""The config of a study: which tables, at which lengths and seeds, from which run's config."""

import os
from typing import Any

from ml_collections import ConfigDict

from sketchjax.config import FREE_SECTIONS, Config, default, flat, wrong_text
from sketchjax.config.relations import is_number, shown
from sketchjax.errors import ConfigError
from sketchjax.paper.study.methods import METHODS

# As the paper numbers them; figures 4, 5 and 6 come with the tables they show.
TABLES = ("1", "2", "4", "5", "6", "zero-shot")
PAPER_BITS = (16, 24, 32, 64)


def default_study() -> Config:
    """All tables of the paper at all its lengths, one seed; the base is our recipe."""
    study = ConfigDict(type_safe=False)
    study.name = "SketchMate, every table"
    study.tables = TABLES
    study.rows = ()  # of all tables, the methods to run (study/methods.py); empty: all
    study.bits = PAPER_BITS
    study.seeds = (0,)
    # Every run is this config with what its method changes.
    study.base = default()
    study.zero_shot_bits = 32
    # train.head_rate of the runs of a length, as ((64, 2.0),); those not named have the base's.
    study.head_rates = ()
    study.unseen = ()  # categories kept out of training for the zero-shot table; empty: drawn
    study.unseen_count = 20
    study.query = "dog"  # the category whose query figure 6 shows
    study.hog_size = 64  # side of the picture that HOG features are taken from
    study.galleries = (345_000, 10_000_000, 100_000_000)  # of table 5
    # Of the recognisers of table 6; all else of them is as in base.model.cnn.
    study.sketch_a_net = {"width": 1.0, "stem_stride": 3, "dense_features": 0}
    study.resnet50 = {"width": 1.0, "stem_stride": 2}
    study.commands = ()  # lines that the report shows as how it was made
    study.notes = ()  # sentences that a reader of the report has to know
    # Methods of your own beside table 1, by name: a `label`, and `changes` of the base.
    study.methods = ConfigDict(type_safe=False)
    return study


def paper_study(*tables: str) -> Config:
    """These tables at the paper's scale: its sizes, lengths and splits of QuickDraw-3.8M.

    The drawings are those of $SKETCHJAX_DATA/quickdraw, where `base.data.dir` names no data folder.
    """
    study = default_study()
    study.tables = tables
    source = os.environ.get("SKETCHJAX_DATA", "")
    study.base.data.source = os.path.join(source, "quickdraw") if source else ""
    study.base.model.dtype = "bfloat16"
    study.base.model.rnn.implementation = "fused"
    return study


def is_study(config: Any) -> bool:
    """Whether a config is a study's and not a run's."""
    return isinstance(config, ConfigDict) and "base" in config


def validate_study(config: Config) -> None:
    """Check the study's own fields; those of its runs are checked one by one when it is planned.

    Raises ConfigError with one line for each problem.
    """
    known, problems = default_study(), []
    problems += [f"{name} is no field of a study" for name in config if name not in known]
    problems += [
        f"{name} is missing; start from sketchjax.paper.study.config.default_study()"
        for name in known
        if name not in config
    ]
    if problems:
        raise ConfigError(problems)
    tables = [table for table in config.tables if table not in TABLES]
    if tables or not config.tables:
        problems.append(f"tables={shown(config.tables)}; choose of {', '.join(TABLES)}")
    for name, values in (("bits", config.bits), ("zero_shot_bits", (config.zero_shot_bits,))):
        problems += [
            f"{name}={shown(value)}; take a multiple of 8, 16 to 64 usually"
            for value in values
            if type(value) is not int or value <= 0 or value % 8
        ]
    problems += [
        f"head_rates={shown(pair)}; give bits and a rate above 0, as in ((64, 2.0),)"
        for pair in config.head_rates
        if not _is_rate_of_length(pair)
    ]
    if not config.bits or not config.seeds:
        problems.append("bits and seeds: give at least one of each")
    problems += [
        f"seeds={shown(seed)}; take whole numbers from 0"
        for seed in config.seeds
        if type(seed) is not int or not 0 <= seed < 2**32
    ]
    for name in ("bits", "seeds", "tables"):
        if len({*config[name]}) < len(config[name]):
            problems.append(f"{name}={shown(config[name])} has one of them twice")
    problems += [
        f"galleries={shown(size)}; take whole numbers from 1"
        for size in config.galleries
        if not is_number(size) or size < 1
    ]
    for name, method in config.methods.items():
        if not isinstance(method, ConfigDict) or not {"label", "changes"} <= {*method}:
            problems.append(f"methods.{name}={shown(method)}; give it a label and its changes")
            continue
        usual = flat(default())
        problems += [
            f"methods.{name}.changes.{field} is no field of a run"
            for field in flat(method.changes)
            if field not in usual and not field.startswith(FREE_SECTIONS)
        ]
    known_rows = {*METHODS, *config.methods}
    problems += [
        f"rows has {shown(name)}; choose of {', '.join(sorted(known_rows))}"
        for name in config.rows
        if name not in known_rows
    ]
    if problems:
        raise ConfigError(problems)


def _is_rate_of_length(pair: Any) -> bool:
    is_pair = isinstance(pair, tuple | list) and len(pair) == 2
    return is_pair and type(pair[0]) is int and is_number(pair[1]) and pair[1] > 0


def wrong_study_text(path: str, text: str) -> str | None:
    """`config.wrong_text` for the fields of studies as well; None where the text can be."""
    if path.startswith("base."):
        problem = wrong_text(path.removeprefix("base."), text)
        return problem and f"base.{problem}"
    if path in default_study() or path.split(".")[0] in ("sketch_a_net", "resnet50"):
        return None
    return wrong_text(path, text)
