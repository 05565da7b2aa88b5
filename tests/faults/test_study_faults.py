"""A study's command line: refused in plain lines before jax is imported, or run."""

import pytest
from tiny_run import STUDY


@pytest.mark.parametrize(
    "flags, told",
    [
        (["--config.bits=(16,20)"], "bits=20; take a multiple of 8"),
        (["--config.tables=('3',)"], "tables='3'; choose one of 1, 2, 4, 5, 6, zero-shot"),
        (["--config.base.model.bits=abc"], "base.model.bits='abc'; give a whole number"),
        (["--config.base.model.bots=16"], "base.model.bots='16' is no field"),
        (["--config.bogus=1"], "bogus='1' is no field"),
        (
            ["--processes=2", "--coordinator=localhost:9", "--process=0"],
            "2 are asked for by flags; leave out --processes",
        ),
    ],
    ids=lambda part: part[0][:40],
)
def test_what_cannot_be(ask, tmp_path, flags, told):
    said, code = ask(f"--config={STUDY}", f"--workdir={tmp_path}", *flags)
    assert told in said
    assert "RAISED" not in said
    assert "IMPORTED" not in said
    assert code == 64


def test_what_can_be_runs(ask, tmp_path):
    flags = [
        "--config.base.model.encoders.rnn.hidden=8",
        "--config.bits=(16,)",
        "--config.query=cat",
    ]
    said, code = ask(f"--config={STUDY}", f"--workdir={tmp_path}", *flags)
    assert said == "RUNS\n"
    assert code == 0
