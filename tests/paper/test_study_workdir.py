"""What binds the workdir of a study: its kind, its base, its drawings and its runs."""

import json
from itertools import permutations
from pathlib import Path

import pytest
from tiny_run import tiny_config, tiny_study_config

from sketchjax.errors import ConfigError
from sketchjax.files import sha256
from sketchjax.paper.objectives.config import default_objectives
from sketchjax.paper.variants import run as variants_run
from sketchjax.paper.variants.config import default_variants, set_variants, variant
from sketchjax.paper.variants.run import run_variants
from sketchjax.paper.workdir import bound, kind_in
from sketchjax.run.writers import RESULT_KEYS
from sketchjax.train.workdir import check_config, keep_config


def variants_study():
    study = default_variants()
    study.base, study.seeds = tiny_config(), (3, 5)
    set_variants(study, variant("own", "own"), variant("wide", "wide", {"model": {"bits": 32}}))
    return study


def objectives_study():
    study = default_objectives()
    study.base = tiny_config()
    return study


KINDS = {
    "variants": variants_study,
    "objectives": objectives_study,
    "tables": tiny_study_config,
}


def use(study, workdir: Path) -> None:
    with bound(study, workdir):
        pass


@pytest.fixture
def trained(monkeypatch) -> list[str]:
    """Runs that keep their config and have results; the names of those that were asked for."""
    asked = []

    def train(config, workdir: Path, *_):
        asked.append(workdir.name)
        keep_config(config, workdir)
        results = dict.fromkeys(RESULT_KEYS) | {"map": 0.5, "device": "cpu x 1", "versions": {}}
        (workdir / "results.json").write_text(json.dumps(results))

    monkeypatch.setattr(variants_run.experiment, "run", train)
    monkeypatch.setattr(variants_run, "prepare_data", lambda *_: None)
    return asked


@pytest.mark.parametrize("rows, seeds", [(("own", "wide"), (3, 5)), (("own",), (7,))])
def test_a_base_is_kept_once_a_run_is_trained(trained, tmp_path, rows, seeds):
    run_variants(variants_study(), tmp_path)
    kept = (tmp_path / "study.json").read_bytes()
    trained.clear()
    other = variants_study()
    other.rows, other.seeds, other.base.stages.joint.epochs = rows, seeds, 3
    with pytest.raises(ConfigError) as refused:
        run_variants(other, tmp_path)
    assert refused.value.problems[1:] == ["base.stages.joint.epochs: before 1, now 3"]
    assert trained == []
    assert (tmp_path / "study.json").read_bytes() == kept


def test_rows_seeds_and_titles_may_change(trained, tmp_path):
    study = variants_study()
    run_variants(study, tmp_path)
    study.seeds, study.rows, study.base.name = (5, 7), ("wide",), "another title"
    trained.clear()
    run_variants(study, tmp_path)
    assert trained == ["wide-seed7"]


def test_a_trained_variant_keeps_its_changes(trained, tmp_path):
    study = variants_study()
    run_variants(study, tmp_path)
    study.variants.wide.changes.model.bits = 64
    with pytest.raises(ConfigError) as refused:
        run_variants(study, tmp_path)
    assert "model.bits: before 32, now 64" in str(refused.value)
    assert "wide-seed3" in str(refused.value)
    assert "own-seed" not in str(refused.value)
    # Nothing was trained with the other one, so its changes may be corrected.
    set_variants(study, variant("own", "own"), variant("new", "new", {"model": {"bits": 64}}))
    run_variants(study, tmp_path)


def test_a_study_may_move_with_its_teachers(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(variants_run, "validate_variants", lambda study: None)
    study, here, there = variants_study(), tmp_path / "here", tmp_path / "there"
    set_variants(study, variant("own", "own"), variant("taught", "taught", teacher="own"))
    run_variants(study, here)
    (here / "data").mkdir()
    (here / "data" / "manifest.json").write_text("{}")
    for run in (here / "runs").iterdir():
        (run / "checkpoints" / "1").mkdir(parents=True)
        about = json.dumps({"data": sha256(here / "data" / "manifest.json")})
        (run / "checkpoints" / "1" / "progress.json").write_text(about)
    here.rename(there)
    trained.clear()
    run_variants(study, there)
    assert trained == []


@pytest.mark.parametrize("kind", KINDS)
def test_drawings_bind_the_fields_that_made_them(kind, tmp_path):
    study = KINDS[kind]()
    use(study, tmp_path)
    study.base.data.synthetic_per_category = 80
    use(study, tmp_path)  # nothing has been converted
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "manifest.json").write_text("{}")
    study.base.stages.joint.epochs = 7
    use(study, tmp_path)
    study.base.data.synthetic_per_category = 120
    with pytest.raises(ConfigError) as refused:
        use(study, tmp_path)
    heading, *lines = refused.value.problems
    assert "delete that folder to convert again" in heading
    assert lines == ["base.data.synthetic_per_category: before 80, now 120"]


@pytest.mark.parametrize("first, then", [*permutations(KINDS, 2)])
def test_another_kind_of_study_is_refused(first, then, tmp_path):
    use(KINDS[first](), tmp_path)
    assert kind_in(tmp_path) == first
    with pytest.raises(ConfigError, match=f"of a study of {first}; use another --workdir"):
        use(KINDS[then](), tmp_path)
    with pytest.raises(ConfigError, match="of a study; use another --workdir"):
        check_config(tiny_config(), tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_study_is_refused_in_the_workdir_of_a_run(kind, tmp_path):
    keep_config(tiny_config(), tmp_path)
    with pytest.raises(ConfigError, match="of a run; use another --workdir"):
        use(KINDS[kind](), tmp_path)
    assert not (tmp_path / "study.json").exists()
