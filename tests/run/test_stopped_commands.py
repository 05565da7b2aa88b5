"""Commands on which SIGTERM and SIGINT arrive while they work."""

import os
import signal

import pytest
from command_line import call

from sketchjax.commands import index, search

KEPT = "finished work is kept: rerun the same command to resume"
NOT = "rerun the same command to repeat it"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("words", "works", "message"), [
    ("recode RUN", "run.recode.recode", f"the work on codes was stopped; {KEPT}"),
    ("compare RUN OUT", "run.compare.compare", f"the comparison was stopped; {KEPT}"),
    ("evaluate RUN DATA OUT", "run.elsewhere.evaluate_model", f"the evaluation was stopped; {NOT}"),
    ("encode RUN DRAWINGS OUT", "index.sources.find_sources", f"the encoding was stopped; {NOT}"),
    ("index INDEX DRAWINGS", "index.sources.find_sources", f"the index was stopped; {KEPT}"),
    ("index add INDEX DRAWINGS", "index.sources.find_sources", f"the addition was stopped; {KEPT}"),
])  # fmt: skip
def test_a_signal_ends_a_command_with_a_sentence(
    words, works, message, number, monkeypatch, tmp_path, capsys
):
    def receives(*arguments, **settings):
        os.kill(os.getpid(), number)

    # What works, or what it needs before, for which there would have to be a model.
    for name in (works, "index.sources.find_sources"):
        monkeypatch.setattr(f"sketchjax.{name}", receives)
    for name in ("retrieval.model.load", "run.elsewhere.default_rankings"):
        monkeypatch.setattr(f"sketchjax.{name}", lambda *arguments: None)
    for command, name in ((index, "encoder_for"), (index, "encoder_of"), (search, "encoder_for")):
        monkeypatch.setattr(command, name, lambda *arguments, **settings: None)
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    assert call(*words.split()) == 75
    assert message in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before
