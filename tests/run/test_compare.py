"""Objectives compared on the features of a finished run."""

import orjson
import pytest

from sketchjax import cli
from sketchjax.losses.table import LOSSES
from sketchjax.models.table import HEADS
from sketchjax.run import compare as compared
from sketchjax.run.compare import OBJECTIVES, RATES


def command(monkeypatch, *arguments: str) -> int:
    """The exit code of `sketchjax compare`."""
    monkeypatch.setattr("sys.argv", ["sketchjax", "compare", *arguments])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def rows_in(out) -> list[dict]:
    return orjson.loads((out / "compare.json").read_bytes())["rows"]


def test_every_objective_has_losses_and_a_head_with_codes():
    for name, objective in OBJECTIVES.items():
        assert HEADS[objective.head].threshold is not None, name
        assert sum(share for _, share in objective.stages.values()) == pytest.approx(1)
        for losses, _ in objective.stages.values():
            assert {*losses} <= {*LOSSES}, name
            for loss in losses:
                assert not LOSSES[loss].heads or objective.head in LOSSES[loss].heads, name
                assert not LOSSES[loss].pairs or objective.balanced, name


def test_rows_are_kept_and_only_missing_ones_computed(whole, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    arguments = [str(whole), str(out), "--bits=8", "--epochs=2", "--seeds=2"]
    assert command(monkeypatch, *arguments, "--objectives=cross_entropy") == 0
    (first,) = rows_in(out)
    assert (first["objective"], first["bits"]) == ("cross_entropy", 8)
    assert first["learning_rate"] in RATES
    assert len(first["map_validation"]) == 2
    assert all(0 < score <= 1 for score in first["map_validation"])

    trained = []
    train_head = compared.train_head
    monkeypatch.setattr(
        compared, "train_head", lambda *given: trained.append(given) or train_head(*given)
    )
    assert command(monkeypatch, *arguments, "--objectives=orthohash, cross_entropy") == 0
    assert len(trained) == len(RATES) + 1
    assert rows_in(out)[0] == first
    assert [row["objective"] for row in rows_in(out)] == ["cross_entropy", "orthohash"]
    printed = capsys.readouterr().out
    assert "orthohash" in printed
    assert f"{sum(first['map_validation']) / 2:.4f}" in printed


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--objectives=ortohash"], "'ortohash' is no objective; did you mean orthohash?"),
        (["--bits=12"], "bits=12: must be a multiple of 8"),
        (["--seeds=0", "--epochs=0"], "seeds=0: must be at least 1"),
        (["--epochs=3", "--objectives=csq"], "give another OUT"),
    ],
)
def test_what_is_refused(whole, tmp_path, monkeypatch, capsys, arguments, said):
    out = tmp_path / "out"
    out.mkdir()
    (out / "compare.json").write_bytes(b'{"mark": {}, "rows": []}')
    assert command(monkeypatch, str(whole), str(out), *arguments) == 64
    assert said in capsys.readouterr().err
