"""The command line: what it prints, its exit codes, and that errors are messages, not traces."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from command_line import call
from tiny_run import CONFIG, tiny_config

from sketchjax import main
from sketchjax.config import validate
from sketchjax.data.folder.conversion import convert as conversion
from sketchjax.data.folder.conversion.picture_options import PictureOptions
from sketchjax.data.folder.conversion.picture_pieces import Look
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.sources import download as downloading
from sketchjax.errors import ConfigError
from sketchjax.files import sole_writer
from sketchjax.run.writers import RESULT_KEYS, write_results
from sketchjax.train import data

VERBS = ("convert", "categories", "download", "synthesize", "verify", "evaluate", "report", "study")


@pytest.fixture(scope="module")
def doodles(tmp_path_factory) -> Path:
    """Doodles as `synthesize` writes them."""
    folder = tmp_path_factory.mktemp("cli") / "doodles"
    arguments = ["synthesize", str(folder), "--per-category", "30", "--classes", "cat,clock"]
    assert call(*arguments, "--categories", "face") == 0
    return folder


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


def printing_to(stdout, *arguments) -> tuple[int, str]:
    """Exit code and stderr of a command that prints to a file."""
    done = subprocess.run(
        [sys.executable, "-m", "sketchjax.cli", *map(str, arguments)],
        stdout=stdout, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def test_an_answer_that_stdout_does_not_take_is_one_line(doodles):
    with Path("/dev/full").open("w") as full:
        code, said = printing_to(full, "categories", doodles)
    assert (code, said) == (
        74,
        "sketchjax: stdout cannot be written (No space left on device); free some space, then "
        "rerun the same command\n",
    )


def test_a_full_disk_is_not_blamed_on_a_pipe():
    """Of which an error without the name of a file does not say what it was about."""
    program = (
        "import os, sys; from sketchjax import cli\n"
        "def full(*arguments, **options): raise OSError(28, os.strerror(28))\n"
        "cli.app, sys.argv = full, ['sketchjax']; cli.main()"
    )
    for stdout in (subprocess.PIPE, subprocess.DEVNULL):
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=stdout, stderr=subprocess.PIPE, text=True
        )
        assert done.returncode == 74
        assert done.stderr.startswith("sketchjax: a file cannot be written (No space left on")


def test_a_report_does_not_need_stdout(tmp_path):
    """Nor does any other command that writes files: it says that they are there."""
    results = dict.fromkeys(RESULT_KEYS, 0.5) | {"bits": 16, "classes": 3, "device": "cpu"}
    write_results(
        tmp_path,
        results
        | {"train": 30, "gallery": 20, "queries": 10}
        | {"sketches_per_second": {}, "versions": {}, "config": {"seed": 3}},
    )
    with Path("/dev/full").open("w") as full:
        code, said = printing_to(full, "report", tmp_path)
    lost = "stdout cannot be written (No space left on device); continuing without it: "
    assert (code, said) == (0, f"{lost}all results are files\n")
    assert (tmp_path / "report" / "index.html").exists()


def test_runs_and_studies_name_each_other_s_command(tmp_path, capsys):
    run, study = tmp_path / "run", tmp_path / "study"
    for folder in (run, study):
        folder.mkdir()
    write_results(run, dict.fromkeys(RESULT_KEYS) | {"config": {}})
    (study / "study.json").write_text("{}")
    assert call("study", run) == 65
    assert f"not a study; use `sketchjax report {run}`" in capsys.readouterr().err
    assert call("report", study) == 65
    assert f"of a study; use `sketchjax study {study}`" in capsys.readouterr().err


def test_every_option_of_convert_arrives(monkeypatch, tmp_path):
    seen = {}

    def record(sources, out, **settings):
        seen.update(settings, sources=sources, out=out)
        raise SystemExit(0)

    monkeypatch.setattr(conversion, "convert", record)
    options = "--train 90 --validation 10 --gallery 10 --query 1 --recognized-only "
    options += "--min-per-category 5 --max-per-category 200 --shards 3 --seed 9 --on-bad skip "
    options += "--workers 2 --photo-validation 0.2 --names n.csv --both-sides --contours canny "
    options += "--contour-sigma 1.5 --most-side 256"
    call("convert", "a", "b", "c", *options.split(), "--classes", "cat")
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
        "photo_options": PictureOptions(0.2, Path("n.csv"), True, Look(256, "canny", 1.5)),
    }
    call("convert", "a", "c", "--split-file", "s.csv")
    assert seen["splits"] == Path("s.csv")
    csv = tmp_path / "s.csv"
    csv.write_text("key_id,split\n7,query\n")
    call("convert", "a", "c", f"--split-file={csv}", "--extra-train=30")
    assert (seen["splits"].key_ids.tolist(), seen["splits"].extra_train) == ([7], 30)
    call("convert", "a", "c")
    assert seen["splits"] is None
    monkeypatch.setenv("SKETCHJAX_DATA", "/home/drawings")
    call("convert", "c")
    assert (seen["sources"], seen["out"]) == ([Path("/home/drawings/quickdraw")], Path("c"))


def test_synthetic_photos_are_converted_and_verified(tmp_path, capsys):
    source, out = tmp_path / "in", tmp_path / "out"
    options = ("--photos", "--per-category", "3", "--categories", "cat,fish")
    assert call("synthesize", source, *options) == 0
    assert "3 photos of each category" in capsys.readouterr().out
    assert call("categories", source) == 0
    assert capsys.readouterr().out.split() == ["12", "cat", "12", "fish"]
    assert call("convert", source, out, "--workers", "1", "--contours", "files") == 0
    assert "2 gallery, 0 query photos" in capsys.readouterr().out
    assert call("verify", out) == 0
    assert "2 gallery, 0 query photos" in capsys.readouterr().out
    assert call("convert", source, tmp_path / "o", "--contours", "files", "--most-side", "8") == 64


@pytest.mark.parametrize("options", [[], ["--photos"]])
def test_one_process_at_a_time_draws_to_a_folder(tmp_path, capsys, options):
    arguments = ("synthesize", tmp_path, "--per-category", 1, "--categories", "cat", *options)
    with sole_writer(tmp_path / "drawings"):
        assert call(*arguments) == 75
    assert "in use by another process" in capsys.readouterr().err
    assert call(*arguments) == 0
    (tmp_path / "file").touch()
    assert call("synthesize", tmp_path / "file", *options) == 74
    assert "file cannot be written" in capsys.readouterr().err


def test_download_options_arrive(monkeypatch, tmp_path, capsys):
    seen = []
    monkeypatch.setattr(downloading, "download", lambda *a, **k: seen.append((a, k)) or [tmp_path])
    assert call("download", tmp_path, "--classes", "cat,sun", "--form", "raw") == 0
    assert seen == [((tmp_path, ["cat", "sun"], "raw"), {"base_url": downloading.BASE_URL})]
    assert ": 1 file\n" in capsys.readouterr().out
    assert call("download", tmp_path, "--from", "http://mirror") == 0
    assert seen[1] == ((tmp_path, None, "simplified"), {"base_url": "http://mirror"})
    assert call("download", tmp_path, "--form", "painted") == 64


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["convert", "nowhere", "out"], 65, "nowhere does not exist"),
        (["convert", "out"], 65, "only one path is given"),
        (["convert", "{in}", "out", "--train", "many"], 64, "--train many"),
        (["convert", "{in}", "out", "--train", "²"], 64, "--train ²"),
        (["convert", "{in}", "out", "--train", "1" * 5000], 64, "give a count such as"),
        (["recode", "out", "--bits", "²"], 64, "--bits ²: give lengths as numbers"),
        (["compare", "out", "in", "--bits", "1" * 5000], 64, "give lengths as numbers"),
        (["convert", "{in}", "out", "--train", "1", "--query", "0.5"], 64, "mix counts"),
        (["convert", "{in}", "out", "--train", "1", "--split-file", "x"], 64, "cannot be used"),
        (["convert", "{in}", "out", "--shards", "0"], 64, "shards=0"),
        (["convert", "{in}", "out", "--train", "5000"], 65, "too few"),
        (["convert", "{in}", "out", "--split-file", "none.csv"], 65, "none.csv"),
        (["convert", "{in}", "out", "--extra-train", "9"], 64, "give --split-file"),
        (["verify", "nowhere"], 65, "not a data folder"),
        (["synthesize", "out", "--classes", "unicorn"], 64, "unicorn"),
        (["convert", "{in}", "out", "--on-bad", "ask"], 64, "ask"),
        (["convert", "{in}", "out", "--shards", "few"], 64, "'--shards'"),
        (["serve", "--port", "abc"], 64, "'--port'"),
        (["serve", "--encoder", "foo"], 64, "'foo'"),
        (["export", "a", "b", "--jax-batch", "x"], 64, "'--jax-batch'"),
        (["verify"], 64, "Missing argument"),
        (["verify", "a", "--colour"], 64, "--colour"),
        (["index"], 64, "Usage"),
        (["unknown"], 64, "unknown"),
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
    assert "The config" not in printed


def test_each_wrong_option_has_its_line(capsys):
    assert call("convert", "a", "b", "--train", "many", "--query", "few") == 64
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[:2] for line in lines] == [
        ["sketchjax", " --train many"],
        ["sketchjax", " --query few"],
    ]


def test_a_tilde_is_the_home_folder(doodles, tmp_path, monkeypatch, capsys):
    """Also after an equals sign, where the shell leaves it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    seen = []
    monkeypatch.setattr(conversion, "convert", lambda *a, **k: seen.append((a, k)) or sys.exit(0))
    call("convert", "~/a", "~/b", "--split-file=~/s.csv")
    (sources, out), settings = seen[0]
    assert (sources, out) == ([tmp_path / "a"], tmp_path / "b")
    assert settings["splits"] == tmp_path / "s.csv"
    assert call("synthesize", "~/drawn", "--per-category", "1", "--categories", "cat") == 0
    assert (tmp_path / "drawn" / "cat.ndjson").exists()
    for arguments in (["verify", "~/c"], ["evaluate", "~/c", "d", "e"], ["report", "~/c"],
                      ["study", "~/c"]):  # fmt: skip
        assert call(*arguments) in (65, 66), arguments
        assert f"{tmp_path}/c" in capsys.readouterr().err, arguments
    assert not (tmp_path / "~").exists()


def test_an_unknown_home_is_one_message(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call("convert", "a", "~no_such_user/b") == 64
    assert "~no_such_user/b: there is no such home folder" in capsys.readouterr().err
    config = tiny_config()
    config.data.update(dir="~no_such_user/d", source="~no_such_user/s")
    config.train.pretrained = "a,~no_such_user/b"
    with pytest.raises(ConfigError) as caught:
        validate(config)
    assert [line.split(";")[0] for line in caught.value.problems] == [
        "data.dir='~no_such_user/d'",
        "data.source='~no_such_user/s'",
        "train.pretrained='a,~no_such_user/b'",
    ]
    monkeypatch.setattr(main, "_WORKDIR", SimpleNamespace(value="~no_such_user/w"))
    with pytest.raises(ConfigError, match="~no_such_user/w: there is no such home folder"):
        main.workdir()
    assert not list(tmp_path.iterdir())


def test_categories_are_listed_with_their_numbers(doodles, tmp_path, capsys):
    (tmp_path / "more.ndjson").write_text(
        '{"drawing": []}\n{"word": "owl", "drawing": [[[1], [2]]]}'
    )
    assert call("convert", doodles, tmp_path / "out", "--categories", "cat") == 0
    capsys.readouterr()
    assert call("categories", doodles, tmp_path / "out", tmp_path / "more.ndjson") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [["60", "cat"], ["30", "clock"], ["30", "face"], ["1", "owl"]]


@pytest.mark.parametrize(
    "given, names",
    [
        (["cat, clock"], ["cat", "clock"]),
        (["cat", "sun,clock"], ["cat", "sun", "clock"]),
        (['"cat, tabby",clock'], ["cat, tabby", "clock"]),
        (["hot dog,"], ["hot dog"]),
    ],
)
def test_names_are_separated_by_commas(monkeypatch, given, names):
    """One syntax for all command lines; a name with a comma is quoted."""
    seen = {}
    monkeypatch.setattr(conversion, "convert", lambda *a, **k: seen.update(k) or sys.exit(0))
    call("convert", "a", "b", *(word for text in given for word in ("--categories", text)))
    assert seen["categories"] == names
    right, problems = main._sift([f"--config.data.categories={','.join(given)}"])
    assert problems == []
    assert ast.literal_eval(right[0].removeprefix("--config.data.categories=")) == tuple(names)


@pytest.mark.parametrize("given", [[""], [","], [" "], ["", ""]])
def test_an_empty_list_of_categories_is_refused(tmp_path, capsys, given):
    """As an unset variable of the shell gives it: all categories are hardly meant."""
    options = [word for text in given for word in ("--categories", text)]
    for command in (["convert", "a"], ["download"], ["synthesize"], ["synthesize", "--photos"]):
        assert call(*command, tmp_path / "out", *options) == 64
        assert capsys.readouterr().err == (
            "sketchjax: --categories names no category; leave it out for all categories\n"
        )
    assert not list(tmp_path.iterdir())


def test_a_training_reads_names_and_home_as_the_other_commands(tmp_path):
    """What main makes of its flags, without a run."""
    (tmp_path / "mine.py").write_text(CONFIG.read_text())
    script = (
        "import sys; from sketchjax import main; main._parse(sys.argv)\n"
        "print(main._CONFIG.value.data.categories)\n"
        "print(main.workdir())"
    )
    flags = ["--config=~/mine.py", "--workdir=~/w", '--config.data.categories="cat, tabby",clock']
    done = subprocess.run(
        [sys.executable, "-c", script, *flags],
        capture_output=True,
        text=True,
        env=os.environ | {"HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.stdout.splitlines() == ["('cat, tabby', 'clock')", f"{tmp_path}/w"], done.stderr


def test_paths_of_a_config_may_begin_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    seen = {}
    monkeypatch.setattr(data, "convert", lambda *a, **k: seen.update(k, paths=a))
    config = tiny_config()
    config.data.update(dir="~/data", source="~/drawings", split_file="~/s.csv")
    assert data.prepare_data(config, tmp_path / "w") == tmp_path / "data"
    assert seen["paths"] == ([tmp_path / "drawings"], tmp_path / "data")
    assert seen["splits"] == tmp_path / "s.csv"


def test_an_ascii_terminal_gets_escapes(tmp_path):
    names = ["caf\N{LATIN SMALL LETTER E WITH ACUTE}"] * 3 + ["\N{SNOWMAN}"] * 30
    lines = [
        json.dumps({"word": name, "key_id": str(i), "drawing": [[[1, i], [3, 4]]]})
        for i, name in enumerate(names)
    ]
    (tmp_path / "snow.ndjson").write_text("\n".join(lines))
    arguments = ["snow.ndjson", "out", "--min-per-category", "5", "--shards", "1", "--workers", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "sketchjax.cli", "convert", *arguments],
        capture_output=True,
        cwd=tmp_path,
        env={"PYTHONIOENCODING": "ascii", "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode("ascii").splitlines()[-1] == r"Categories dropped: caf\xe9"


def test_debug_shows_the_traceback_wherever_it_is(capsys):
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
        assert all(verb in printed for verb in VERBS)
    assert call("--version") == 0
    assert capsys.readouterr().out.startswith("sketchjax 0.")


def test_a_conversion_loads_neither_jax_nor_absl(doodles, tmp_path):
    script = "import sys; from sketchjax import cli\ntry: cli.main()\nexcept SystemExit: pass\n"
    script += "print(sorted({'jax', 'absl', 'grain', 'flax'} & set(sys.modules)))"
    arguments = ["convert", str(doodles), str(tmp_path / "out"), "--workers", "1"]
    command = [sys.executable, "-c", script, *arguments]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "[]"


SLOW_TO_IMPORT = (
    *("jax", "flax", "optax", "orbax", "grain", "numpy", "scipy", "numba", "absl"),
    *("PIL", "matplotlib", "duckdb", "fastapi", "jinja2", "ml_collections", "rich.progress"),
)


def test_help_waits_for_no_library_of_numbers():
    """Imports are most of the time of `--help`: 0.2 s with these, seconds with jax."""
    script = "import sys; from sketchjax import cli\ntry: cli.main()\nexcept SystemExit: pass\n"
    script += f"print(sorted({set(SLOW_TO_IMPORT)} & {{*sys.modules}}))"
    command = [sys.executable, "-c", script, "--help"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Usage" in printed
    assert printed.splitlines()[-1] == "[]"


def test_a_folder_of_another_kind_is_named(tmp_path, capsys):
    """The remedy is for what the folder is, not for what it should have been."""
    index, run, folder = (tmp_path / name for name in ("index", "run", "folder"))
    for path in (
        *(index / "model" / "model.safetensors", index / "index.duckdb", folder / "notes.txt"),
        *(run / "config.json", run / "data" / "manifest.json"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for arguments, code, words in (
        (["export", index, "out"], 66, f"it is an index, and its model is {index / 'model'}"),
        (["export", run, "out"], 66, "a run writes it when it finishes"),
        (["export", folder, "out"], 66, "give the workdir of a finished run, a model file, or"),
        (["verify", index], 65, f"use `sketchjax index verify {index}`"),
        (["verify", run], 65, f"that of the run is {run / 'data'}"),
        (["verify", folder], 65, "run `sketchjax convert"),
        (["report", index], 65, "has no results.json: give the workdir of a run"),
        (["report", run], 65, "the run has not finished"),
    ):
        assert call(*arguments) == code
        assert words in capsys.readouterr().err, arguments


def test_report_of_an_unfinished_run_says_so(tmp_path, capsys):
    (tmp_path / "config.json").touch()
    assert call("report", tmp_path) == 65
    assert "has not finished" in capsys.readouterr().err
