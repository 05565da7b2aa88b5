"""The report of a finished run, made again from the files that the run left."""

import errno
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import call

from sketchjax.errors import DataError, InUseError
from sketchjax.report import page
from sketchjax.report.material import (
    Neighbour,
    OpenChoice,
    PrecisionRecall,
    PublishedRows,
    Reference,
    Retrieval,
    StageRow,
)
from sketchjax.report.page import write_report
from sketchjax.run.rebuild import rebuild
from sketchjax.run.writers import RESULT_KEYS, Writers, read_metrics, write_results
from sketchjax.train.workdir import locked

POINTS = np.array([(0, 0, 0), (255, 9, 1)], np.uint8)


def results(**changes) -> dict:
    return (
        dict.fromkeys(RESULT_KEYS, 0.5)
        | {"bits": 16, "classes": 3, "train": 30, "gallery": 20, "queries": 10, "device": "cpu"}
        | {"sketches_per_second": {"joint": 150.0}, "versions": {"jax": "0.10.2"}}
        | {"config": {"seed": 3, "stages": {"joint": {"epochs": 1, "losses": {"a": 1}}}}}
        | changes
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The files of a finished run, with its report."""
    workdir = tmp_path_factory.mktemp("finished") / "run"
    given = results(train=np.int64(29_662), map=np.float32(0.5))
    with Writers(workdir) as writers:
        for step in range(1, 5):
            writers.write(step, {"epoch": step / 4, "loss": 2 / step, "accuracy": 0.5}, "joint")
        writers.write(4, {"validation_accuracy": 0.8, "map": None}, "joint")
    write_report(
        workdir,
        results=given,
        metrics=read_metrics(workdir),
        curve=PrecisionRecall(np.linspace(0.3, 1, 17), np.linspace(0.95, 0.02, 17)),
        retrievals=[Retrieval(POINTS, "cat", [Neighbour(POINTS, "dog", 3, False)])],
        stages=[StageRow("joint", "A")],
        choices=[OpenChoice("chance", "seed", 3)],
        reference=Reference("A Paper", "the paper", "Both", "More data.", PublishedRows()),
    )
    write_results(workdir, given)
    return workdir


@pytest.fixture
def workdir(finished, tmp_path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_it_makes_the_same_files_from_the_run_s_files_only(workdir):
    report = workdir / "report"
    before = {path.name: path.read_bytes() for path in report.iterdir()}
    for path in report.iterdir():
        if path.name != "material.json":
            path.unlink()
    assert rebuild(workdir) == report / "index.html"
    after = {path.name: path.read_bytes() for path in report.iterdir()}
    assert before.keys() == after.keys()
    assert not {name for name in before if before[name] != after[name]}
    assert b"A Paper" in after["index.html"]


def test_a_run_of_an_older_version_has_its_page(workdir):
    """Neither rankings nor after_stages in its results, no reference in its material."""
    (workdir / "report/material.json").write_text(
        '{"curve": null, "entropy_example": null, "retrievals": [], "stages": [],'
        ' "open_choices": [], "measured_on": "queries against the gallery", "title": "old"}'
    )
    written = rebuild(workdir).read_text()
    assert "old" in written
    assert "29,662" in written
    (workdir / "report/material.json").unlink()
    assert "29,662" in rebuild(workdir).read_text()


def test_an_unfinished_run_has_no_report(tmp_path):
    with pytest.raises(DataError, match=r"has no results\.json: give the workdir of a run"):
        rebuild(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DataError, match=r"has not finished; rerun its command"):
        rebuild(tmp_path)


def test_damaged_material_is_named(workdir):
    (workdir / "report/material.json").write_text("[]")
    with pytest.raises(DataError, match=r"material\.json cannot be read"):
        rebuild(workdir)


def test_a_second_report_at_once_is_refused(workdir):
    with locked(workdir), pytest.raises(InUseError, match="another process is running in"):
        rebuild(workdir)
    rebuild(workdir)


@pytest.mark.parametrize(
    "refused, remedy",
    [
        (OSError(errno.EROFS, "Read-only file system", "index.html"), "make it writable"),
        (OSError(errno.ENOSPC, "No space left on device"), "free some space"),
    ],
)
def test_a_disk_that_takes_no_report_is_named(workdir, monkeypatch, capsys, refused, remedy):
    def refuse(*_):
        raise refused

    monkeypatch.setattr(page, "write_whole", refuse)
    assert call("report", workdir) == 74
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"the report in {workdir} cannot be written ({refused.strerror}" in line
    assert remedy in line


def test_a_folder_without_a_run_gets_no_lock(tmp_path):
    with pytest.raises(DataError):
        rebuild(tmp_path / "nowhere")
    assert not list(tmp_path.iterdir())
