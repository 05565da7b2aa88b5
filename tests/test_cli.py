"""The command line: what it prints, its exit codes, and that errors are messages, not traces."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sketchjax import cli
from sketchjax.data.folder.conversion import convert as conversion
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.sources import download as downloading


@pytest.fixture(scope="module")
def doodles(tmp_path_factory) -> Path:
    """Doodles as `synthesize` writes them."""
    folder = tmp_path_factory.mktemp("cli") / "doodles"
    arguments = ["synthesize", str(folder), "--per-category", "30", "--classes", "cat,clock"]
    assert call(*arguments, "--categories", "face") == 0
    return folder


def call(*arguments: str) -> int:
    """Run the command line in this process; returns its exit code."""
    before = sys.argv
    sys.argv = ["sketchjax", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    return 0


def test_synthesize_convert_verify(doodles, tmp_path, capsys):
    assert sorted(path.name for path in doodles.iterdir()) == [
        "cat.ndjson",
        "clock.ndjson",
        "face.ndjson",
    ]
    out = tmp_path / "out"
    options = ["--train", "0.5", "--query", ".2", "--shards", "2", "--seed", "4", "--workers", "1"]
    assert call("convert", doodles, out, *options, "--categories", "cat, face") == 0
    manifest = Manifest.load(out)
    assert manifest.categories == ["cat", "face"]
    assert manifest.settings["splits"]["fractions"]["train"] == 0.5
    assert manifest.settings["seed"] == 4
    assert f"{manifest.counts['train']} train" in capsys.readouterr().out
    assert call("convert", doodles, out, *options, "--categories", "cat,face") == 0
    assert "nothing to do" in capsys.readouterr().err
    assert call("verify", out) == 0
    assert "is sound: 4 shards" in capsys.readouterr().out
    next(out.glob("query-00001*")).unlink()
    assert call("verify", out) == 65
    assert "query-00001-of-00002.arrayrecord is missing" in capsys.readouterr().err


def test_every_option_of_convert_arrives(monkeypatch, tmp_path):
    seen = {}

    def record(sources, out, **settings):
        seen.update(settings, sources=sources, out=out)
        raise SystemExit(0)

    monkeypatch.setattr(conversion, "convert", record)
    options = "--train 90 --validation 10 --gallery 10 --query 1 --recognized-only "
    options += "--min-per-category 5 --max-per-category 200 --shards 3 --seed 9 --on-bad skip "
    call("convert", "a", "b", "c", *(options + "--workers 2").split(), "--classes", "cat")
    assert seen == {
        "sources": [Path("a"), Path("b")],
        "out": Path("c"),
        "splits": {"train": 90, "validation": 10, "gallery": 10, "query": 1},
        "categories": ["cat"],
        "recognized_only": True,
        "min_per_category": 5,
        "max_per_category": 200,
        "shards": 3,
        "seed": 9,
        "on_bad": "skip",
        "workers": 2,
    }
    call("convert", "a", "c", "--split-file", "s.csv")
    assert seen["splits"] == Path("s.csv")
    call("convert", "a", "c")
    assert seen["splits"] is None
    monkeypatch.setenv("SKETCHJAX_DATA", "/home/drawings")
    call("convert", "c")
    assert (seen["sources"], seen["out"]) == ([Path("/home/drawings/quickdraw")], Path("c"))


def test_download_options_arrive(monkeypatch, tmp_path, capsys):
    seen = []
    monkeypatch.setattr(downloading, "download", lambda *a, **k: seen.append((a, k)) or [tmp_path])
    assert call("download", tmp_path, "--classes", "cat,sun", "--form", "raw") == 0
    assert seen == [((tmp_path, ["cat", "sun"], "raw"), {"base_url": downloading.BASE_URL})]
    assert "1 files" in capsys.readouterr().out
    assert call("download", tmp_path, "--from", "http://mirror") == 0
    assert seen[1] == ((tmp_path, None, "simplified"), {"base_url": "http://mirror"})
    assert call("download", tmp_path, "--form", "painted") == 2


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["convert", "nowhere", "out"], 65, "nowhere does not exist"),
        (["convert", "out"], 65, "only one path is given"),
        (["convert", "{in}", "out", "--train", "many"], 64, "--train many"),
        (["convert", "{in}", "out", "--train", "1", "--query", "0.5"], 64, "mix counts"),
        (["convert", "{in}", "out", "--train", "1", "--split-file", "x"], 64, "exclude each other"),
        (["convert", "{in}", "out", "--shards", "0"], 64, "shards=0"),
        (["convert", "{in}", "out", "--train", "5000"], 65, "too few"),
        (["convert", "{in}", "out", "--split-file", "none.csv"], 65, "none.csv"),
        (["verify", "nowhere"], 65, "not a data folder"),
        (["synthesize", "out", "--classes", "unicorn"], 64, "unicorn"),
        (["convert", "{in}", "out", "--on-bad", "ask"], 2, "ask"),
        (["unknown"], 2, "unknown"),
    ],
)
def test_mistakes_give_a_message_and_a_code(
    doodles, tmp_path, monkeypatch, capsys, arguments, code, message
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SKETCHJAX_DATA", raising=False)
    arguments = [argument.replace("{in}", str(doodles)) for argument in arguments]
    assert call(*arguments) == code
    printed = capsys.readouterr().err
    assert message in printed
    assert "Traceback" not in printed


def test_debug_shows_the_traceback_wherever_it_stands(capsys):
    for arguments in (["--debug", "verify", "nowhere"], ["verify", "nowhere", "--debug"]):
        assert call(*arguments) == 65
        printed = capsys.readouterr().err
        assert "Traceback" in printed
        assert "DataError" in printed


def test_bad_input_stops_with_65_or_is_skipped(tmp_path, capsys):
    lines = [
        json.dumps({"word": "cat", "key_id": str(i), "drawing": [[[1, 2], [3, 4]]]})
        for i in range(30)
    ]
    path = tmp_path / "cat.ndjson"
    path.write_text("\n".join([*lines[:4], "{broken", *lines[4:]]))
    assert call("convert", path, tmp_path / "out", "--workers", "1") == 65
    assert "cat.ndjson, line 5" in capsys.readouterr().err
    assert call("convert", path, tmp_path / "out", "--workers", "1", "--on-bad", "skip") == 0
    assert "Bad: 1 unreadable" in capsys.readouterr().out


def test_help_names_every_verb(capsys):
    for arguments in ([], ["--help"]):
        assert call(*arguments) == 0
        printed = capsys.readouterr().out
        assert all(verb in printed for verb in ("convert", "download", "synthesize", "verify"))
    assert call("--version") == 0
    assert capsys.readouterr().out.startswith("sketchjax 0.")


def test_a_conversion_loads_neither_jax_nor_absl(doodles, tmp_path):
    script = "import sys; from sketchjax import cli\ntry: cli.main()\nexcept SystemExit: pass\n"
    script += "print(sorted({'jax', 'absl', 'grain', 'flax'} & set(sys.modules)))"
    arguments = ["convert", str(doodles), str(tmp_path / "out"), "--workers", "1"]
    command = [sys.executable, "-c", script, *arguments]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "[]"


def test_report_of_an_unfinished_run_says_so(tmp_path, capsys):
    assert call("report", tmp_path) == 65
    assert "has not finished" in capsys.readouterr().err
