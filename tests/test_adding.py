"""The documents on adding a method and an encoder: their code is taken from them and trained."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_run import tiny_config

from sketchjax import config as configs
from sketchjax import losses, models
from sketchjax.config import default, validate
from sketchjax.losses import objective, table
from sketchjax.models import table as encoders
from sketchjax.run import experiment

DOCS = Path(__file__).parents[1] / "docs"


def blocks(name: str) -> list[str]:
    text = (DOCS / name).read_text()
    assert len(text.splitlines()) <= 45
    found = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert sum(block.count("\n") for block in found) < 40
    return found


@pytest.fixture
def added(monkeypatch, tmp_path):
    """Both documents' files and rows, where the package looks for its own; and their configs."""
    (loss, loss_row, loss_config), (model, model_row, model_config) = (
        blocks("adding-a-method.md"),
        blocks("adding-an-encoder.md"),
    )
    for package, name, content in (
        (losses, "triplet", loss),
        (models, "stroke_transformer", model),
    ):
        folder = tmp_path / package.__name__
        folder.mkdir()
        (folder / f"{name}.py").write_text(content)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    for rows, row, names in (
        (table.LOSSES, loss_row, vars(table)),
        (encoders.ENCODERS, model_row, vars(encoders)),
    ):
        for name, declared in eval("{" + row + "}", dict(names)).items():
            monkeypatch.setitem(rows, name, declared)

    def change(config):
        for block in (model_config, loss_config):
            exec(block, dict(vars(configs)) | {"config": config})
        return config

    yield change
    objective.loss.cache_clear()


def test_the_loss_agrees_with_a_loop(added):
    features = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    labels = np.array([0, 0, 1, 1, 2, 2])
    away = ((features[:, None] - features[None]) ** 2).sum(-1)
    wanted = 0.0
    for item, label in enumerate(labels):
        farthest = max(away[item, other] for other in range(6) if labels[other] == label)
        nearest = min(away[item, other] for other in range(6) if labels[other] != label)
        wanted += max(farthest - nearest + 4.0, 0) / 6
    from sketchjax.losses.triplet import triplet  # pyright: ignore[reportMissingImports]

    value = triplet(jnp.asarray(features), jnp.asarray(labels), margin=4.0)
    assert float(value) == pytest.approx(wanted, rel=1e-5)


def test_the_encoder_ignores_padding(added):
    from sketchjax.models.stroke_transformer import (  # pyright: ignore[reportMissingImports]
        StrokeTransformer,
    )

    module = StrokeTransformer(width=8, layers=1)
    sequence, length = jax.random.normal(jax.random.key(0), (2, 5, 4)), jnp.array([3, 5])
    variables = module.init(jax.random.key(1), sequence, length)
    changed = sequence.at[0, 3:].set(7.0)
    before, after = (module.apply(variables, each, length) for each in (sequence, changed))
    np.testing.assert_allclose(before, after, rtol=1e-5)


def test_their_config_validates_and_checks_settings(added):
    config = added(default())
    config.train.batch_size = 8
    validate(config)
    config.stages.metric.losses.triplet.margin = -1.0
    with pytest.raises(configs.ConfigError, match=r"triplet\.margin=-1\.0"):
        validate(config)


def test_they_train_together(added, environment, tmp_path):
    config = added(tiny_config())
    results = experiment.run(config, tmp_path / "run")
    assert results["map"] is not None
    assert [*results["after_stages"]] == ["metric"]
