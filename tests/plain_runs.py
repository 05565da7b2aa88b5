"""Runs of plain encoders, for tests in which any network will do."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiny_run import shared_folder, tiny_config

from sketchjax import models
from sketchjax.config import encoder, set_encoders, set_stages, stage
from sketchjax.data.folder.conversion import convert
from sketchjax.fields import share, whole
from sketchjax.models.table import ENCODERS, Encoder
from sketchjax.run.experiment import run
from sketchjax.train.data import prepare_data


@contextmanager
def plain_rows() -> Iterator[None]:
    """The encoders of plain_encoders.py, `plain` and `plain_picture`, as rows of their own.

    Drawings are converted in this process: workers import for longer than they convert a few.
    """
    settings = {"features": whole(8, 1), "dropout": share(0.2)}
    rows = {
        "plain": Encoder("plain_encoders:PlainEncoder", "sequence", settings),
        "plain_picture": Encoder("plain_encoders:PlainPicture", "picture", settings),
    }
    folder = Path(__file__).parent / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "__path__", [*models.__path__, str(folder)])
        for name, row in rows.items():
            patch.setitem(ENCODERS, name, row)
        patch.setattr(convert, "cores", lambda: 1)
        yield


def keep_as_drawn(config) -> None:
    """Leave out augmentation, which takes as long to compile as the training of a plain encoder.

    And checkpoints but those of a stop and of the end of a stage.
    """
    config.train.checkpoint_seconds = 300.0
    for name in ("augmentation", "photo_augmentation"):
        config[name] = dict.fromkeys(config[name], 0.0)


def plain_data(tmp_path_factory) -> Path:
    """The data folder of the tiny config, the same for all workers of a session."""
    home = shared_folder(tmp_path_factory) / "plain_data"
    with _locked(home), plain_rows():
        return prepare_data(tiny_config(), home)


def plain_workdir(tmp_path_factory) -> Path:
    """The workdir of a finished run, the same for all workers of a session.

    It has codes of 16 bits from two plain encoders, its data, and two stages, the first of one
    encoder. The tiny config's own network takes four times as long wherever it is compiled.
    """
    data = plain_data(tmp_path_factory)
    workdir = shared_folder(tmp_path_factory) / "plain_run"
    config = tiny_config()
    config.train.checkpoint_seconds = 300.0
    with _locked(workdir), plain_rows():
        if not (workdir / "results.json").exists():
            shutil.copytree(data, workdir / "data")
            set_encoders(config, ear=encoder("plain"), pen=encoder("plain"))
            # Augmentation takes as long to compile as all else; what is made of this run has it.
            usual = {"learning_rate": 1e-2, "augmentation": 0.0}
            set_stages(
                config,
                stage("pen", trains=("pen",), output="pen", **usual),
                stage("all", trains=("encoders", "head"), epochs=3, **usual),
            )
            run(config, workdir)
    return workdir


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
