"""One run, read from top to bottom: data, stages, codes, scores, report."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jax
import numpy as np

import sketchjax
from sketchjax import parallel
from sketchjax.config import Config, architecture, flat, validate
from sketchjax.data.folder.manifest import NAME, Manifest
from sketchjax.data.folder.unseen import unseen_categories
from sketchjax.data.sources.word_vectors import read_word_vectors, spelling_vectors
from sketchjax.errors import Stopped
from sketchjax.files import sha256
from sketchjax.losses.table import LOSSES
from sketchjax.models import network as networks
from sketchjax.models.weights import save_weights
from sketchjax.ops.precision import in_32_bits
from sketchjax.retrieval.passes import Passes
from sketchjax.run.announcement import announcement
from sketchjax.run.evaluation import MakeReference, Run, evaluate_stage, finish
from sketchjax.run.log import RunLog
from sketchjax.run.posterior.lengths import check_codebooks
from sketchjax.run.writers import read_results
from sketchjax.together import PATIENCE_SECONDS, agree
from sketchjax.train import stages
from sketchjax.train.checkpoint import Checkpoints, Progress
from sketchjax.train.data import (
    check_data,
    check_selection,
    data_folder,
    manifest_sha256,
    other_splits,
    prepare_data,
)
from sketchjax.train.pretrained import check_readable
from sketchjax.train.split import TrainingSplit
from sketchjax.train.supply import Supply
from sketchjax.train.teacher import load_teacher
from sketchjax.train.trainer import Trainer
from sketchjax.train.workdir import check_config, holder, keep_config, locked


@in_32_bits
def run(
    config: Config,
    workdir: Path,
    should_stop: Callable[[], bool] = lambda: False,
    reference: MakeReference | None = None,
) -> dict[str, Any]:
    """Train, encode, evaluate and report; resume where an earlier call of the same config ended.

    workdir: of the run; made where it does not exist.
    should_stop: whether a stop was asked for, asked between dispatches.
    reference: gives published figures that the report sets next to the run's own.

    Returns the results, as in WORKDIR/results.json.
    Raises the errors of `sketchjax.errors`; Stopped when `should_stop` asked for it.
    """
    started = time.monotonic()
    undivided = parallel.divide_cpu(config.train.cpu_devices)
    parallel.check_devices()
    agree(lambda: config, setup)
    validate(config, devices=jax.device_count())
    check_config(config, workdir)
    finished = agree(
        lambda: read_results(workdir),
        lambda results: {"results.json in --workdir": results and "complete"},
        PATIENCE_SECONDS,
    )
    if finished is not None:
        return finished
    first = jax.process_index() == 0
    with locked(workdir) if first else nullcontext() as warning:
        if first:
            if manifest_sha256(data_folder(config, workdir)) is None:
                check_readable(config)
            keep_config(config, workdir)
        agree(
            lambda: holder(workdir),
            lambda lock: {"lock in --workdir": lock},
            PATIENCE_SECONDS,
        )
        folder = agree(
            lambda: prepare_data(config, workdir) if first else data_folder(config, workdir),
            lambda folder: {f"sha256 of the data's {NAME}": manifest_sha256(folder)},
            PATIENCE_SECONDS,
        )
        keep = config.train.keep_checkpoints
        with (
            Checkpoints(workdir / "checkpoints", keep=keep, active=first) as checkpoints,
            RunLog(workdir, active=first) as log,
        ):
            # All processes stop where one of them is asked to: none waits for another in vain.
            asked = lambda: parallel.anywhere(should_stop())  # noqa: E731
            this = assemble(config, workdir, folder, checkpoints, log, asked, started)
            this.reference = reference
            for line in filter(None, (warning, undivided)):
                log.note(line)
            log.note(announcement(config, this.trainer))
            log.note(this.trainer.supply.choice[1])
            if other := other_splits(config, this.passes.manifest):
                log.note(f"splits: those of {folder}; {other} is for converting data.source")
            variables = {}
            for stage, current in this.trainer.stages():
                variables = current.variables
                evaluate_stage(this, stage, variables)
                if first:
                    path = workdir / "weights" / f"{stage.name}.safetensors"
                    save_weights(path, variables, this.card(stage))
            return finish(this, variables)


def setup(config: Config) -> dict[str, Any]:
    """What all processes of a run have to share before they compute anything.

    The place of the data is not among it: their content counts.
    """
    return {
        "version of sketchjax": sketchjax.__version__,
        "version of jax": jax.__version__,
        "step of SLURM": os.environ.get("SLURM_STEP_ID"),
        "platform": jax.default_backend(),
        "devices of each process": jax.local_device_count(),
    } | {name: value for name, value in flat(config).items() if name != "data.dir"}


def assemble(
    config: Config,
    workdir: Path,
    folder: Path,
    checkpoints: Checkpoints,
    log: RunLog,
    should_stop: Callable[[], bool],
    started: float,
) -> Run:
    """The network of a config, the plan of its stages, and their trainer.

    workdir: of the run; folder: of its data.
    checkpoints, log: of the run, open.
    should_stop: whether a stop was asked for.
    started: `time.monotonic()` when this call of the run began.
    """
    manifest = check_data(folder, config)
    check_selection(config, folder, manifest)
    data = config.data
    unseen = unseen_categories(manifest.categories, data.unseen, data.unseen_count, config.seed)
    check_codebooks(unseen, config.evaluation.posterior_bits)
    network = networks.build(
        architecture(config, manifest.categories, manifest.offset_scale),
        axis_name=parallel.AXIS,
        augmentation=config.augmentation.to_dict(),
        photo_augmentation=config.photo_augmentation.to_dict(),
    )
    teacher = agree(
        lambda: load_teacher(config, network),
        lambda teacher: {"sha256 of train.teacher": teacher and teacher.fingerprint},
    )
    splits = {
        side: TrainingSplit(folder, manifest, unseen, form)
        for side, form in network.architecture.forms.items()
    }
    supply = Supply(config, folder, splits, workdir, log)

    def check() -> None:
        if should_stop():
            raise Stopped("stopped between two saves; rerun the same command to resume")

    passes = Passes(
        network,
        folder,
        manifest,
        batch=config.evaluation.batch_size,
        forms=network.architecture.forms,
        task=log.task,
        check=check,
    )
    plan = stages.plan(
        config,
        network.layers.parts_of,
        network.layers.head_parts(),
        lambda row: supply.order(row).blocks_per_epoch,
    )
    trainer = Trainer(
        config=config,
        supply=supply,
        workdir=workdir,
        network=network,
        plan=plan,
        passes=passes,
        checkpoints=checkpoints,
        reporter=log,
        should_stop=should_stop,
        progress=Progress(
            data=sha256(folder / NAME), teacher=teacher.fingerprint if teacher else ""
        ),
        started=started,
        word_vectors=agree(
            lambda: word_vectors(config, manifest, plan, log),
            lambda vectors: {"sha256 of data.word_vectors": parallel.digest(vectors)},
        ),
        teacher=teacher,
    )
    return Run(config, workdir, passes, trainer, log)


def word_vectors(
    config: Config, manifest: Manifest, plan: list[stages.Stage], log: RunLog
) -> np.ndarray | None:
    """The word vector of each category f[l e], where a loss of any stage needs them."""
    if not any("word_vectors" in LOSSES[name].needs for s in plan for name in s.row.losses):
        return None
    path = config.data.word_vectors
    if path:
        return read_word_vectors(Path(path).expanduser(), manifest.categories)
    log.note(
        "word vectors: data.word_vectors names no file, so vectors made from the spelling of the "
        "names are used"
    )
    return spelling_vectors(manifest.categories)
