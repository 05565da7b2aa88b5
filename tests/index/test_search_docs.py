"""Every command and the Python of docs/search.md, run as a newcomer would, on a small model."""

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import call
from untrained import save_untrained

from sketchjax.config import architecture, default
from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.sources.doodles import write

TEXT = (Path(__file__).parents[2] / "docs" / "search.md").read_text()
CATEGORIES = ["cat", "clock", "sun"]


def finished_run(workdir: Path, drawings: Path) -> None:
    """What `index` reads of a finished run: its model, here untrained, its data and its config."""
    config = default()
    small = {
        "model.bits": 16,
        "model.encoders.cnn.width": 0.05,
        "model.encoders.cnn.stem_stride": 2,
        "model.encoders.cnn.dense_features": 6,
        "model.encoders.rnn.hidden": 4,
        "model.encoders.rnn.implementation": "fused",
        "drawing.size": 40,
        "data.points": 16,
    }
    config.update_from_flattened_dict(small)
    own = architecture(config, CATEGORIES, 20.0)
    save_untrained(workdir / "model.safetensors", own, "full")
    convert([drawings], workdir / "data", splits={"train": 0.5, "gallery": 0.5}, workers=1)
    (workdir / "config.json").write_text(json.dumps([["data.dir", ""]]))
    (workdir / "results.json").write_text("{}")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with a finished run as runs/quickstart, and drawings."""
    home = tmp_path_factory.mktemp("search")
    for name, seed, count in (("my-drawings", 1, 40), ("later-drawings", 2, 20)):
        write(home / name, per_category=count, seed=seed, categories=CATEGORIES)
        for path in (home / name).iterdir():
            path.rename(path.with_name(f"{seed}-{path.name}"))
    new = write(home / "new", per_category=3, seed=3, categories=["sun"])
    (home / "new.ndjson").write_bytes(new[0].read_bytes())
    finished_run(home / "runs" / "quickstart", home / "my-drawings")
    return home


@pytest.fixture(scope="module")
def printed(home, environment) -> dict[str, str]:
    """What each command of the first block prints.

    The first command and what is piped are processes; the others run in this one.
    """
    block = re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)[0]
    paths = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    environment = environment | {"PYTHONPATH": paths}
    printed = {}
    for line in block.splitlines():
        if not line or line.startswith("#"):
            continue
        name, *words = shlex.split(line)
        if printed and name == ".venv/bin/sketchjax":
            out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
            with contextlib.chdir(home), contextlib.redirect_stdout(out):
                assert call(*words) == 0, line
            printed[line.replace(".venv/bin/sketchjax ", "")] = out.buffer.getvalue().decode()
            continue
        command = line.replace(
            ".venv/bin/sketchjax", f"{shlex.quote(sys.executable)} -m sketchjax.cli"
        )
        done = subprocess.run(
            command, shell=True, capture_output=True, text=True, env=environment, cwd=home
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        printed[line.replace(".venv/bin/sketchjax ", "")] = done.stdout
    return printed


def of(printed: dict[str, str], start: str) -> str:
    return next(text for line, text in printed.items() if line.startswith(start))


def test_indexes_hold_what_was_given(printed):
    assert "encoding" in of(printed, "index indexes/mine")
    assert "120 drawings of 3 categories" in of(printed, "index indexes/mine")
    assert "60 drawings added" in of(printed, "index add")
    assert "180 drawings of 3 categories" in of(printed, "index describe")
    assert "2 drawings deleted" in of(printed, "index delete")
    assert "2 deleted drawings removed" in of(printed, "index compact")
    assert "is sound: 178 drawings" in of(printed, "index verify")
    assert "encoded: 120 drawings" in of(printed, "encode")


def test_searches_print_tables_json_and_pages(printed, home):
    table = of(printed, "search indexes/mine new.ndjson")
    assert table.count("Probably ") == 3
    assert len(re.findall(r"\d-(?:cat|clock|sun)\.ndjson:\d+", table)) == 15
    found = json.loads(of(printed, "search indexes/mine --like 3"))
    assert [result["category"] for result in found["results"]] == ["sun"] * 10
    assert found["index"]["count"] == 180
    page = (home / "found.html").read_text()
    assert page.count("<li>") == 10
    assert page.count("<path d=") == 11
    assert "http" not in page.replace("http-equiv", "")


def test_json_is_all_that_is_printed_next_to_a_page(printed, home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    words = ("search", "indexes/mine", "--like", "5", "-k", "4", "--html", "own.html")
    assert call(*words, "--json") == 0
    said = capsys.readouterr()
    assert len(json.loads(said.out)["results"]) == 4
    assert said.err == "own.html\n"
    assert call(*words) == 0
    assert capsys.readouterr().out == "own.html\n"


def test_the_python_finds_drawings(printed, home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    exec(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)[0], {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert re.fullmatch(r"\d+ of \d+ at distance \d+", lines[-1])


def test_the_sql_answers(printed, home):
    import duckdb

    query = re.findall(r"```sql\n(.*?)```", TEXT, re.DOTALL)[0].replace("cat.", "1-cat.")
    with duckdb.connect(str(home / "indexes/mine/index.duckdb"), read_only=True) as connection:
        ((category, count),) = connection.execute(query).fetchall()
    assert (category, count <= 40) == ("cat", True)


@pytest.mark.parametrize(
    "words, code, message",
    [
        (["search", "indexes/mine"], 65, "name a drawing to search for"),
        (["search", "indexes/mine", "no.ndjson"], 65, "no.ndjson"),
        (["search", "indexes/none", "--like", "1"], 65, "is not there; give the folder"),
        (["search", "indexes/mine", "--like", "999"], 65, "no drawing 999 in the index"),
        (["search", "indexes/mine", "--like", "9" * 20], 65, "no drawing 99999999999999999999 in"),
        (["search", "indexes/mine", "--like", "1", "--categories", ""], 64, "names no category"),
        (["search", "indexes/mine", "--like", "1", "-k", "0"], 65, "k=0: must be from 1"),
        (["index", "indexes/new", "runs/quickstart", "runs/quickstart"], 64, "name the model"),
        (["index", "indexes/mine", "new.ndjson", "--model", "runs/quickstart"], 65,
         "index of other drawings"),
        (["index", "add", "indexes/quickstart", "nothing"], 65, "nothing does not exist"),
        (["encode", "runs/quickstart", "out"], 65, "only one path is given"),
    ],
)  # fmt: skip
def test_mistakes_get_one_sentence(printed, home, monkeypatch, capsys, words, code, message):
    from sketchjax import cli

    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "argv", ["sketchjax", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr().err.splitlines()
    assert (end.value.code, len(said)) == (code, 1), said
    assert message in said[0]
