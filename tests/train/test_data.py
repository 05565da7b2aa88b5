"""The data folder of a run: one that holds more than the config asks for is refused."""

from pathlib import Path

import orjson
import pytest
from tiny_run import tiny_config

from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.sources.doodles import write
from sketchjax.errors import ConfigError
from sketchjax.train.data import check_selection, other_splits, prepare_data

NAMES = ["cat", "clock", "sun"]
SHARES = {"train": 0.7, "validation": 0.05, "gallery": 0.15, "query": 0.1}
USUAL = {"train": 9000, "validation": 1000, "gallery": 1000, "query": 100}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """20 doodles of each of three categories."""
    home = tmp_path_factory.mktemp("folder")
    write(home / "drawings", per_category=20, seed=3, categories=NAMES)
    convert([home / "drawings"], home / "data", splits=SHARES, shards=1, workers=1)
    return home / "data"


def config_with(**fields):
    """The default config with the splits of the folder, and these fields of `data`."""
    config = tiny_config()
    config.data.source, config.data.categories = "", ()
    config.data.update(fields)
    return config


def problems(folder: Path, **fields) -> list[str]:
    """What is wrong with the folder for a config with these fields of `data`."""
    try:
        check_selection(config_with(**fields), folder, Manifest.load(folder))
    except ConfigError as error:
        return error.problems
    return []


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"categories": ("cat", "sun")}, "data.categories does not name clock"),
        (
            {"max_per_category": 19},
            "data.max_per_category=19, and it has 20 sketches of one",
        ),
        (
            {"recognized_only": True},
            "data.recognized_only=True, and it was converted without that",
        ),
        ({"split_file": "no.csv"}, "data.split_file=no.csv is not what it was split by"),
    ],
)
def test_a_folder_with_more_than_asked_is_refused(folder, fields, problem):
    heading, *found = problems(folder, **fields)
    assert heading.startswith(f"{folder} is used whole")
    assert found == [problem]


def test_all_contradictions_are_named_at_once(folder):
    assert len(problems(folder, categories=("cat", "clock"), max_per_category=3)) == 3


@pytest.mark.parametrize(
    "fields",
    [
        {"categories": ("sun", "clock", "cat")},
        {"max_per_category": 20},
        {"max_per_category": 500},
        # Those of a config whose source is converted where there is no folder yet.
        {"source": "elsewhere", "split_file": "elsewhere.csv"},
        {"source": "elsewhere", "splits": USUAL},
    ],
)
def test_a_folder_that_agrees_is_used(folder, fields):
    assert problems(folder, **fields) == []


def test_other_splits_are_named(folder, tmp_path):
    manifest = Manifest.load(folder)
    halves = SHARES | {"train": 0.5, "gallery": 0.35}
    table = tmp_path / "splits.csv"
    table.write_text("key_id,split\n1,train\n")
    for fields, name in (
        ({}, ""),
        ({"splits": USUAL}, ""),
        ({"splits": halves}, "data.splits"),
        ({"split_file": str(table)}, "data.split_file"),
        ({"split_file": str(tmp_path / "missing.csv")}, "data.split_file"),
    ):
        assert other_splits(config_with(**fields), manifest) == name


def test_what_a_config_converts_it_may_use(tmp_path):
    """A second call finds the folder that the first one made, with all that it was asked for."""
    write(tmp_path / "drawings", per_category=20, seed=3, categories=NAMES)
    keys = [
        orjson.loads(line)["key_id"]
        for path in sorted((tmp_path / "drawings").glob("*.ndjson"))
        for line in path.read_text().splitlines()
    ]
    splits = ("train", "train", "train", "gallery", "query")
    rows = [f"{key},{splits[place % 5]}\n" for place, key in enumerate(keys)]
    (tmp_path / "splits.csv").write_text("key_id,split\n" + "".join(rows))
    config = config_with(
        source=str(tmp_path / "drawings"),
        dir=str(tmp_path / "data"),
        split_file=str(tmp_path / "splits.csv"),
        categories=("cat", "sun"),
        max_per_category=15,
        recognized_only=True,
    )
    folder = prepare_data(config, tmp_path)
    manifest = Manifest.load(folder)
    assert manifest.categories == ["cat", "sun"]
    config.data.source = ""
    check_selection(config, folder, manifest)
    assert other_splits(config, manifest) == ""
