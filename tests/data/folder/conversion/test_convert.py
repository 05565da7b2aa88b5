"""Conversion against its JSON input: records, numbers, bad input, kills, equal bytes."""

import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import call

from sketchjax.data import entropy
from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.conversion.output import working_folder
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.shards import Records, Shards
from sketchjax.data.folder.splits import SPLITS, SplitFile
from sketchjax.data.folder.verify import verify
from sketchjax.data.progress import Bar
from sketchjax.data.sketch import points_of_strokes
from sketchjax.data.sources import doodles as synthetic
from sketchjax.data.workers import Pool
from sketchjax.errors import ConfigError, DataError, InUseError

NAMES = ("cat", "clock", "face", "house")
FRACTIONS = {"train": 0.6, "validation": 0.1, "gallery": 0.2, "query": 0.1}


@pytest.fixture(scope="module")
def doodles(tmp_path_factory) -> Path:
    """200 doodles of four categories as ndjson."""
    folder = tmp_path_factory.mktemp("doodles")
    synthetic.write(folder, per_category=50, seed=3, categories=NAMES)
    return folder


@pytest.fixture(scope="module")
def many_doodles(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """Enough doodles that a conversion can be stopped half-way, and the digests of a whole one."""
    folder = tmp_path_factory.mktemp("many")
    synthetic.write(folder / "in", per_category=400, seed=1, categories=NAMES)
    convert([folder / "in"], folder / "whole", workers=1, progress=False, shards=2)
    return folder / "in", digests(folder / "whole")


def lines_of(folder: Path) -> list[dict]:
    """All records as JSON gives them, files in order."""
    paths = sorted(folder.glob("*.ndjson"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def run(source, out, **changes) -> Manifest:
    settings = {"splits": FRACTIONS, "workers": 1, "progress": False, "shards": 2, **changes}
    return convert([source], out, **settings)


def all_of(folder: Path, split: str) -> Records:
    with Shards(folder, split) as shards:
        return shards.read(np.arange(len(shards)))


def placed(folder: Path) -> dict[int, str]:
    """The split of every key_id in a data folder."""
    return {
        int(key_id): split
        for split in SPLITS
        if Manifest.load(folder).counts[split]
        for key_id in all_of(folder, split).key_ids
    }


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def write_lines(path: Path, records: list[dict]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def sketch(key_id: int, word: str = "cat", **more) -> dict:
    drawing = [[[0, 255, key_id % 200], [key_id % 100, 200, 30]], [[9, 40], [80, 120]]]
    return {"word": word, "key_id": str(key_id), "recognized": True, "drawing": drawing, **more}


def test_every_sketch_arrives_whole_and_once(doodles, tmp_path):
    manifest = run(doodles, tmp_path / "out")
    expected = {int(record["key_id"]): record for record in lines_of(doodles)}
    found = set()
    for split in SPLITS:
        records = all_of(tmp_path / "out", split)
        assert manifest.counts[split] == len(records.labels) > 0
        for index, key_id in enumerate(records.key_ids.tolist()):
            record = expected[key_id]
            points = records.points[records.offsets[index] : records.offsets[index + 1]]
            drawn = points_of_strokes([np.array(stroke).T for stroke in record["drawing"]])
            np.testing.assert_array_equal(points, drawn)
            assert manifest.categories[records.labels[index]] == record["word"]
            assert key_id not in found
            found.add(key_id)
    assert found == set(expected)
    assert not (tmp_path / "out" / ".partial").exists()
    assert verify(tmp_path / "out") == manifest


def test_manifest_numbers_against_plain_loops(doodles, tmp_path):
    manifest = run(doodles, tmp_path / "out")
    splits = placed(tmp_path / "out")
    offsets, by_category, lengths = [], {name: [] for name in NAMES}, []
    counts = {name: dict.fromkeys(SPLITS, 0) for name in NAMES}
    for record in lines_of(doodles):
        split = splits[int(record["key_id"])]
        counts[record["word"]][split] += 1
        points = points_of_strokes([np.array(stroke).T for stroke in record["drawing"]])
        lengths.append(len(points))
        if split == "train":
            xy = points[:, :2].astype(float)
            offsets += [[0.0, 0.0], *(xy[i] - xy[i - 1] for i in range(1, len(xy)))]
            own = entropy.image_entropy(points, np.array([0, len(points)]))
            by_category[record["word"]].append(own[0])
    assert manifest.categories == sorted(NAMES)
    assert manifest.counts_by_category == counts
    assert manifest.offset_scale == pytest.approx(np.std(offsets), rel=1e-12)
    for label, name in enumerate(manifest.categories):
        middle = np.percentile(by_category[name], [5, 95])
        assert (manifest.entropy_low[label], manifest.entropy_high[label]) == pytest.approx(middle)
    for limit in (0, 20, 40, 1000):
        assert manifest.longer_than(limit) == sum(length > limit for length in lengths)
    assert 0 < manifest.longer_than(20, "query") < manifest.longer_than(20)


def test_records_hold_their_entropies(doodles, tmp_path):
    manifest = run(doodles, tmp_path / "out")
    records = all_of(tmp_path / "out", "train")
    expected = entropy.image_entropy(records.points, records.offsets)
    np.testing.assert_array_equal(records.entropies, expected)
    middle = manifest.middle(records.labels, records.entropies)
    assert 0.8 < middle.mean() < 0.95


def test_workers_places_and_files_give_the_same_bytes(doodles, tmp_path):
    run(doodles, tmp_path / "one")
    run(doodles, tmp_path / "two", workers=2)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for path in doodles.iterdir():
        (elsewhere / path.name).write_bytes(path.read_bytes())
    run(elsewhere, tmp_path / "three")
    assert digests(tmp_path / "one") == digests(tmp_path / "two") == digests(tmp_path / "three")
    # One file of all categories in reverse: the same shards; only the manifest names the file.
    write_lines(tmp_path / "all" / "all.ndjson", lines_of(doodles)[::-1])
    run(tmp_path / "all", tmp_path / "four")
    one, four = digests(tmp_path / "one"), digests(tmp_path / "four")
    assert one.pop("manifest.json") != four.pop("manifest.json")
    assert one == four


def test_hash_seeds_and_source_order_give_the_same_bytes(doodles, tmp_path):
    """Python's sets change with PYTHONHASHSEED; folders list files in order of creation."""
    script = "import sys; from sketchjax.data.folder.conversion.convert import convert as c; "
    script += "c(sys.argv[3:], sys.argv[1], workers=int(sys.argv[2]), progress=False, shards=3)"
    paths = sorted(doodles.iterdir())
    write_lines(tmp_path / "more" / "twice.ndjson", [sketch(1), sketch(2), sketch(1)])
    outs, started = [], []
    for number, (workers, seed) in enumerate([(1, None), (2, "12345"), (1, "random")]):
        folder = tmp_path / f"source {number}"
        folder.mkdir()
        turned = [*paths[number:], *paths[:number]]
        for path in turned[::-1] if number == 1 else turned:
            shutil.copy(path, folder)
        shutil.copytree(tmp_path / "more", folder / "more")
        files = [path for path in folder.iterdir() if path.is_file()]
        sources = [folder] if number == 0 else [*files[::-1], folder / "more", files[0]]
        out = tmp_path / f"out {number}"
        outs.append(out)
        if seed is None:  # this process has its own; it compiles for the others as well
            convert(sources, out, workers=workers, progress=False, shards=3)
            continue
        command = [sys.executable, "-c", script, str(out), str(workers), *map(str, sources)]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.getcwd()}
        started.append(subprocess.Popen(command, env=environment, cwd=folder))
    for process in started:
        assert process.wait() == 0
    first, *others = map(digests, outs)
    assert len(first) == 13
    assert others == [first, first]


def test_the_seed_changes_the_splits(doodles, tmp_path):
    run(doodles, tmp_path / "zero")
    run(doodles, tmp_path / "one", seed=1)
    assert placed(tmp_path / "zero") != placed(tmp_path / "one")


@pytest.mark.parametrize(
    "splits", [FRACTIONS, {"train": 8, "validation": 1, "gallery": 3, "query": 1}]
)
def test_adding_files_changes_no_split(tmp_path, splits):
    first = synthetic.write(tmp_path / "a", per_category=60, seed=1, categories=NAMES[:2])
    run(first[0].parent, tmp_path / "before", splits=splits)
    more = synthetic.write(tmp_path / "b", per_category=90, seed=2, categories=NAMES)
    convert([*first, *more], tmp_path / "after", splits=splits, shards=3, workers=1, progress=False)
    before, after = placed(tmp_path / "before"), placed(tmp_path / "after")
    moved = {key for key, split in before.items() if after.get(key, split) != split}
    assert not moved
    assert len(after) > len(before)
    if splits is FRACTIONS:
        assert before.keys() <= after.keys()


def test_records_are_shuffled_over_the_shards(doodles, tmp_path):
    run(doodles, tmp_path / "out", shards=4)
    records = all_of(tmp_path / "out", "train")
    changes = np.mean(records.labels[1:] != records.labels[:-1])
    assert 0.5 < changes < 0.95  # 0.75 for four categories in random order
    sizes = [shard.records for shard in Manifest.load(tmp_path / "out").shards["train"]]
    assert len(sizes) == 4
    assert min(sizes) > 0.4 * sum(sizes) / 4


def test_filters(tmp_path):
    records = [sketch(1000 + i) for i in range(30)]
    records += [sketch(2000 + i, "dog", recognized=i % 2 == 0) for i in range(20)]
    records += [sketch(3000 + i, "owl") for i in range(5)]
    del records[0]["recognized"]
    write_lines(tmp_path / "in" / "all.ndjson", records)
    everything = {"train": 1.0}

    def counted(name, **changes):
        manifest = run(tmp_path / "in", tmp_path / name, splits=everything, **changes)
        counts = {name: split["train"] for name, split in manifest.counts_by_category.items()}
        return counts, manifest

    assert counted("a")[0] == {"cat": 30, "dog": 20, "owl": 5}
    counts, manifest = counted("b", categories=["owl", "dog"])
    assert counts == {"dog": 20, "owl": 5}
    assert manifest.left_out == {"other category": 30}
    counts, manifest = counted("c", recognized_only=True)
    assert counts == {"cat": 29, "dog": 10, "owl": 5}
    assert manifest.left_out == {"not recognized": 11}
    counts, manifest = counted("d", min_per_category=20)
    assert counts == {"cat": 30, "dog": 20}
    assert list(manifest.dropped) == ["owl"]
    counts, manifest = counted("e", max_per_category=7)
    assert counts == {"cat": 7, "dog": 7, "owl": 5}
    assert manifest.left_out == {"above the cap": 23 + 13}


@pytest.mark.parametrize("asked", [{"categories": ["cta", "dog"]}, {"unseen": ["cta", "dog"]}])
def test_an_unknown_category_is_named_with_its_nearest(tmp_path, asked):
    words = ["cat", "dog", "owl"] * 20
    write_lines(tmp_path / "in" / "all.ndjson", [sketch(i, word) for i, word in enumerate(words)])
    with pytest.raises(DataError) as caught:
        run(tmp_path / "in", tmp_path / "out", **asked)
    assert str(caught.value).splitlines() == [
        "the sources have no category of these names:",
        "  - 'cta'; did you mean 'cat'?",
        "They have cat, dog, owl; `sketchjax categories SOURCE...` lists all.",
    ]


def test_categories_are_asked_for_in_any_spelling(tmp_path):
    write_lines(tmp_path / "in" / "all.ndjson", [sketch(i, "hot dog") for i in range(40)])
    asked = ["Hot_Dog", "hot%20dog", " hot-dog ", "hot\u00a0dog"]
    for number, name in enumerate(asked):
        manifest = run(tmp_path / "in", tmp_path / f"out{number}", categories=[name])
        assert manifest.categories == manifest.settings["categories"] == ["hot dog"]


def test_names_that_look_alike_are_reported(tmp_path, capfd):
    words = ["crème", "creme", "owl"] * 40
    write_lines(tmp_path / "in" / "all.ndjson", [sketch(i, word) for i, word in enumerate(words)])
    run(tmp_path / "in", tmp_path / "out", progress=True)
    assert "categories that look alike: 'creme', 'crème'; if they are one" in capfd.readouterr().err


def test_the_manifest_counts_what_the_output_passes_over(tmp_path, capfd):
    write_lines(tmp_path / "in" / "cat.ndjson", [sketch(i) for i in range(99)])
    for name in ("rest.tar.gz", "LICENSE", "plot.svg"):
        (tmp_path / "in" / name).write_text("no drawing")
    (tmp_path / "in" / "lost.ndjson").symlink_to("nowhere")
    manifest = run(tmp_path / "in", tmp_path / "out", progress=True)
    counts = {".svg": 1, ".tar.gz": 1, "broken link": 1, "without extension": 1}
    assert manifest.passed_over == counts
    listed = ", ".join(f"{number} {name}" for name, number in counts.items())
    assert f"passed over: {listed}\n" in capfd.readouterr().err


def test_where_nothing_is_left_the_reasons_are_given(tmp_path):
    write_lines(tmp_path / "in" / "cat.ndjson", [{"word": "cat", "drawing": []}] * 3)
    with pytest.raises(DataError) as caught:
        run(tmp_path / "in", tmp_path / "out", on_bad="skip")
    assert str(caught.value).splitlines() == [
        "no sketch is left to convert: 3 empty",
        "  - cat.ndjson, line 1: the drawing has no points",
    ]
    (tmp_path / "in" / "cat.ndjson").write_bytes(b"")
    with pytest.raises(DataError, match="no sketch is left to convert: the files hold none"):
        run(tmp_path / "in", tmp_path / "out")


def test_a_split_file_may_have_key_ids_of_text(tmp_path):
    lines = [{**sketch(i), "key_id": f"7f3a-{i}"} for i in range(9)]
    write_lines(tmp_path / "in" / "cat.ndjson", lines)
    rows = [f"7f3a-{i},{'train' if i < 5 else 'query'}" for i in range(9)]
    (tmp_path / "s.csv").write_text("\n".join(["key_id,split", *rows]))
    manifest = run(tmp_path / "in", tmp_path / "out", splits=tmp_path / "s.csv")
    assert (manifest.counts["train"], manifest.counts["query"]) == (5, 4)


def test_a_cap_takes_equally_from_all_splits(tmp_path):
    write_lines(tmp_path / "in" / "all.ndjson", [sketch(i) for i in range(3000)])
    halves = {"train": 0.5, "query": 0.5}
    manifest = run(tmp_path / "in", tmp_path / "out", splits=halves, max_per_category=1000)
    assert 420 < manifest.counts["train"] < 580


def test_duplicates_keep_the_first(tmp_path):
    write_lines(tmp_path / "in" / "a.ndjson", [sketch(1), sketch(2), sketch(1)])
    write_lines(tmp_path / "in" / "b.ndjson", [sketch(2), sketch(3)])
    manifest = run(tmp_path / "in", tmp_path / "out", splits={"train": 1.0})
    assert manifest.categories == ["cat"]
    assert manifest.counts["train"] == 3
    assert manifest.left_out == {"duplicate key_id": 2}


def test_the_split_file_decides(tmp_path):
    write_lines(tmp_path / "in" / "all.ndjson", [sketch(i) for i in range(10)])
    rows = ["key_id,split", "3,query", "4,train", "5,train", "77,train"]
    (tmp_path / "splits.csv").write_text("\n".join(rows))
    manifest = run(tmp_path / "in", tmp_path / "out", splits=tmp_path / "splits.csv")
    assert placed(tmp_path / "out") == {3: "query", 4: "train", 5: "train"}
    assert manifest.left_out == {"in no split": 7, "named in the split file but not found": 1}


def test_extra_drawings_are_trained_on_beside_a_split_file(tmp_path):
    drawn = [sketch(i, word) for i, word in enumerate(["cat"] * 6 + ["sun"] * 6)]
    write_lines(tmp_path / "in" / "all.ndjson", drawn)
    (tmp_path / "splits.csv").write_text("key_id,split\n0,query\n1,train\n2,gallery")
    rule = SplitFile.read(tmp_path / "splits.csv", extra_train=2)
    manifest = run(tmp_path / "in", tmp_path / "out", splits=rule)
    assert manifest.counts_by_category["cat"]["train"] == 3
    assert manifest.counts_by_category["sun"]["train"] == 2
    found = placed(tmp_path / "out")
    assert {key: found[key] for key in (0, 1, 2)} == {0: "query", 1: "train", 2: "gallery"}
    assert manifest.left_out == {"in no split": 5}


BAD_LINES = {
    "unreadable": '{"word": "cat", "key_id": "9", "drawing": [[[1, 2],',
    "empty": '{"word": "cat", "key_id": "9", "drawing": []}',
    "unequal": '{"word": "cat", "key_id": "9", "drawing": [[[1, 2, 3], [1, 2]]]}',
    "range": '{"word": "cat", "key_id": "9", "drawing": [[[1, 2], [1, 300]]]}',
    "not_finite": '{"word": "cat", "key_id": "9", "drawing": [[[1, NaN], [1, 2]]]}',
}


@pytest.mark.parametrize("kind, workers", [*((kind, 1) for kind in BAD_LINES), ("range", 2)])
def test_a_bad_line_stops_or_is_skipped(tmp_path, kind, workers):
    good = [json.dumps(sketch(i)) for i in range(20)]
    path = tmp_path / "in" / "cat.ndjson"
    path.parent.mkdir()
    path.write_text("\n".join([*good[:10], BAD_LINES[kind], *good[10:]]))
    everything = {"train": 1.0}
    with pytest.raises(DataError, match=r"cat\.ndjson, line 11: .*") as stopped:
        run(path.parent, tmp_path / "out", splits=everything, workers=workers)
    assert stopped.value.exit_code == 65
    with pytest.raises(DataError, match="not a data folder"):
        Manifest.load(tmp_path / "out")
    manifest = run(path.parent, tmp_path / "out", splits=everything, on_bad="skip", workers=workers)
    assert manifest.bad == {kind: 1}
    (listed,) = manifest.bad_listed
    assert (listed["file"], listed["place"], listed["kind"]) == ("cat.ndjson", 11, kind)
    assert listed["reason"]
    assert manifest.counts["train"] == 20


def test_a_truncated_gzip_stops_or_is_skipped(tmp_path):
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    drawn = [sketch(i, drawing=[rng.integers(0, 256, (2, 40)).tolist()]) for i in range(3000)]
    content = gzip.compress("".join(json.dumps(record) + "\n" for record in drawn).encode())
    (tmp_path / "in" / "cat.ndjson.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"cat\.ndjson\.gz, line \d+: .*cut short"):
        run(tmp_path / "in", tmp_path / "out")
    manifest = run(tmp_path / "in", tmp_path / "out", on_bad="skip")
    assert manifest.bad == {"truncated": 1}
    assert 1000 < sum(manifest.counts.values()) < 2000


def test_an_unknown_format_stops_or_is_skipped(doodles, tmp_path):
    stranger = tmp_path / "notes.txt"
    stranger.write_text("no sketch")
    fake = tmp_path / "fake.npz"
    fake.write_text("no zip archive")
    for path in (stranger, fake):
        with pytest.raises(DataError, match=path.name):
            convert([doodles, path], tmp_path / "out", workers=1, progress=False)
    manifest = convert(
        [doodles, stranger, fake], tmp_path / "out", on_bad="skip", workers=1, progress=False
    )
    assert manifest.bad == {"unreadable_file": 2}
    assert {Path(listed["file"]).name for listed in manifest.bad_listed} == {
        "notes.txt",
        "fake.npz",
    }
    assert sum(manifest.counts.values()) == 200


def test_too_small_a_category_stops_or_is_dropped(tmp_path):
    records = [sketch(i) for i in range(300)] + [sketch(1000 + i, "dog") for i in range(20)]
    write_lines(tmp_path / "in" / "all.ndjson", records)
    counts = {"train": 50, "gallery": 10}
    with pytest.raises(DataError, match=r"1 of 2 categories.*\n.*dog: has train \d+ of 50"):
        run(tmp_path / "in", tmp_path / "out", splits=counts)
    manifest = run(tmp_path / "in", tmp_path / "out", splits=counts, on_bad="skip")
    assert manifest.counts_by_category == {
        "cat": {"train": 50, "validation": 0, "gallery": 10, "query": 0}
    }
    assert list(manifest.dropped) == ["dog"]
    assert manifest.shards["query"] == []


def test_no_sketches_left_is_an_error(tmp_path):
    write_lines(tmp_path / "in" / "all.ndjson", [sketch(1, recognized=False)])
    with pytest.raises(DataError, match=r"no sketch is left.*1 not recognized"):
        run(tmp_path / "in", tmp_path / "out", splits={"train": 0.0001}, recognized_only=True)


def test_a_finished_folder_is_kept_or_refused(doodles, tmp_path):
    out = tmp_path / "out"
    first = run(doodles, out)
    times = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert run(doodles, out) == first
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == times
    with pytest.raises(DataError, match="another conversion") as refused:
        run(doodles, out, seed=1, splits={"train": 1.0})
    assert "seed: 0 there, 1 asked for" in str(refused.value)
    assert "splits.fractions.train: 0.6 there, 1.0 asked for" in str(refused.value)
    more = tmp_path / "more.ndjson"
    write_lines(more, [sketch(1)])
    with pytest.raises(DataError, match=r"source file .*more\.ndjson: null there"):
        convert([doodles, more], out, splits=FRACTIONS, shards=2, workers=1, progress=False)
    next(out.glob("train*")).unlink()
    with pytest.raises(DataError, match="missing or cut short"):
        run(doodles, out)


@pytest.mark.parametrize(
    "settings", [{"shards": 0}, {"on_bad": "ask"}, {"min_per_category": -1}, {"workers": 0}]
)
def test_invalid_settings_are_refused(doodles, tmp_path, settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        run(doodles, tmp_path / "out", **settings)


def test_a_second_conversion_to_a_folder_is_refused(doodles, tmp_path):
    with (
        working_folder(tmp_path / "out"),
        pytest.raises(InUseError, match="another conversion is writing") as refused,
    ):
        run(doodles, tmp_path / "out")
    assert refused.value.exit_code == 75


def test_leftovers_of_another_conversion_are_removed(doodles, undisturbed, tmp_path):
    out = tmp_path / "out"
    (out / ".partial" / "pieces").mkdir(parents=True)
    (out / ".partial" / "pieces" / "0123.points").write_bytes(b"old")
    (out / ".partial" / "shards-0123").mkdir()
    (out / "train-00000-of-00007.arrayrecord").write_bytes(b"old")
    run(doodles, out)
    assert digests(out) == undisturbed


KILLED = """
    import os, signal, sys
    from sketchjax.data import progress
    from sketchjax.data.folder.conversion import convert

    left = 0
    def count(self, number):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
    progress.Bar.sketches = count
    for moment in sys.argv[3:]:
        if child := os.fork():
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
            continue
        left = int(moment)
        convert.convert([sys.argv[1]], f"{sys.argv[2]}/{moment}", splits={"train": 0.6,
                        "validation": 0.1, "gallery": 0.2, "query": 0.1}, workers=1,
                        progress=False, shards=2)
        os._exit(0)
"""
MOMENTS = (1, 3, 5, 9, 12)


@pytest.fixture(scope="module")
def killed(doodles, tmp_path_factory) -> Path:
    """What conversions leave that are killed at each of MOMENTS, by moment; to copy."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(doodles), str(folder)]
    done = subprocess.run([*command, *map(str, MOMENTS)], capture_output=True, text=True)
    assert done.stdout.split() == [str(int(-signal.SIGKILL))] * len(MOMENTS), done.stderr
    return folder


@pytest.fixture(scope="module")
def undisturbed(doodles, tmp_path_factory) -> dict[str, str]:
    """The digests of a conversion that nothing stopped."""
    folder = tmp_path_factory.mktemp("undisturbed") / "out"
    run(doodles, folder)
    return digests(folder)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_conversion_resumes_to_the_same_bytes(
    doodles, killed, undisturbed, tmp_path, moment
):
    # Four files and eight shards report once each, before they are finished: reports 1 to 4 are in
    # the first pass, 5 to 12 in the second.
    out = tmp_path / "out"
    shutil.copytree(killed / str(moment), out)
    with pytest.raises(DataError, match="not a data folder"):
        Shards(out, "train")
    pieces = len(list(out.glob(".partial/pieces/*.json")))
    assert pieces == min(moment - 1, 4)
    shards = {path: path.stat().st_ino for path in out.glob("*.arrayrecord")}
    assert len(shards) == max(moment - 5, 0)
    run(doodles, out)
    assert {path: path.stat().st_ino for path in shards} == shards
    assert digests(out) == undisturbed


def test_a_killed_conversion_leaves_no_workers(many_doodles, tmp_path):
    source, whole = many_doodles
    script = "import sys; from sketchjax.data.folder.conversion.convert import convert as c; "
    script += "c(sys.argv[1:2], sys.argv[2], workers=2, progress=False, shards=2)"
    out = tmp_path / "out"
    command = [sys.executable, "-c", script, str(source), str(out)]
    with subprocess.Popen(command) as process:
        while not list(out.glob(".partial/pieces/*")) and process.poll() is None:
            time.sleep(0.001)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
    assert not (out / "manifest.json").exists()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{child}/fd/0").exists() for child in children):
        assert time.monotonic() < deadline, "a worker outlives its killed conversion"
        time.sleep(0.01)
    assert len(children) == 2
    convert([source], out, workers=2, progress=False, shards=2)
    assert digests(out) == whole


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_stopped_command_says_how_to_resume(many_doodles, tmp_path, number, workers):
    source, whole = many_doodles
    out = tmp_path / "out"
    arguments = ["convert", source, out, "--shards", 2, "--workers"]
    command = [sys.executable, "-m", "sketchjax.cli", *map(str, arguments), str(workers)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not list(out.glob(".partial/pieces/*")) and process.poll() is None:
            time.sleep(0.001)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(number)
        message = process.communicate()[1].splitlines()[-1]
    assert process.returncode == 75
    assert message == (
        "sketchjax: the conversion was stopped; finished work is kept: rerun the same command to "
        "resume"
    )
    assert len(children) == (workers if workers > 1 else 0)
    assert not any(Path(f"/proc/{child}/fd/0").exists() for child in children)
    # Two workers resume in test_a_killed_conversion_leaves_no_workers.
    assert call(*arguments, 1) == 0
    assert digests(out) == whole


def test_a_conversion_by_a_program_leaves_signals_to_it(doodles, tmp_path, monkeypatch):
    """A training run that converts its data stops in its own way."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    seen = []

    def look(*_):
        seen.append([signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)])

    monkeypatch.setattr(Bar, "sketches", look)
    run(doodles, tmp_path / "out")
    assert seen
    assert all(handlers == before for handlers in seen)


@pytest.mark.parametrize(
    "moment, damaged", [("5", ".partial/pieces/*.points"), ("9", "train-*.arrayrecord")]
)
def test_damage_after_a_kill_does_not_count(
    doodles, killed, undisturbed, tmp_path, moment, damaged
):
    out = tmp_path / "out"
    shutil.copytree(killed / moment, out)
    path = sorted(out.glob(damaged))[1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    run(doodles, out)
    assert digests(out) == undisturbed


def test_a_script_needs_no_guard(doodles, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from sketchjax.data.folder.conversion.convert import convert\n"
        f"print(convert([{str(doodles)!r}], {str(tmp_path / 'out')!r}, workers=2).counts)\n"
    )
    result = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("train") == 1


def modules_of_worker(*, progress) -> tuple[int, bool]:
    import sketchjax.data.folder.conversion.pack
    import sketchjax.data.folder.conversion.pieces  # noqa: F401

    progress(1)
    return os.getpid(), "jax" in sys.modules


def fail(*, progress):
    raise ValueError("of the task")


def end(*, progress):
    os._exit(3)


def test_workers_are_other_processes_without_jax():
    seen = []
    with Pool(2) as pool:
        results = dict(pool.run([(modules_of_worker, ())] * 5, seen.append))
        again = dict(pool.run([(modules_of_worker, ())], seen.append))
    assert sorted(results) == [0, 1, 2, 3, 4]
    assert {jax for _, jax in results.values()} == {False}
    assert os.getpid() not in {pid for pid, _ in results.values()}
    assert again[0][0] in {pid for pid, _ in results.values()}
    assert seen == [1] * 6


def test_errors_of_workers_are_raised():
    with pytest.raises(RuntimeError, match="of the task"), Pool(2) as pool:
        list(pool.run([(fail, ())], print))
    with pytest.raises(DataError, match="ended unexpectedly with code 3"), Pool(2) as pool:
        list(pool.run([(end, ())], print))


def test_real_drawings_in_the_frozen_splits(real_data, tmp_path):
    manifest = convert(
        [real_data / "quickdraw"],
        tmp_path / "out",
        splits=real_data / "splits" / "quickdraw55.csv",
        workers=1,
        progress=False,
    )
    assert manifest.counts == {"train": 29662, "validation": 2124, "gallery": 8477, "query": 2134}
    assert len(manifest.categories) == 55
    assert manifest.bad == {}
    assert set(manifest.left_out) == {"in no split"}
    rows = (real_data / "splits" / "quickdraw55.csv").read_text().splitlines()[1:]
    assert placed(tmp_path / "out") == {int(r.split(",")[0]): r.split(",")[1] for r in rows}
    assert verify(tmp_path / "out") == manifest


# --- the folder to write ---


def test_a_folder_of_drawings_is_not_written_to(doodles, tmp_path):
    other = tmp_path / "drawings"
    path = write_lines(other / "sun.ndjson", [sketch(1)])
    write_lines(tmp_path / "whole" / "sun.ndjson", [sketch(1)])
    (tmp_path / "whole" / "deeper").mkdir()
    (tmp_path / "whole" / "sun.ndjson").rename(tmp_path / "whole" / "deeper" / "sun.ndjson")
    for out in (other, tmp_path / "whole", tmp_path, path):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(DataError, match=r"convert SOURCE\.\.\. OUT") as refused:
            run(doodles, out)
        assert str(out) in str(refused.value)
        assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(DataError, match=r"holds drawings \(sun\.ndjson\) and no manifest\.json"):
        run(other, other)


def test_a_data_folder_may_hold_other_files(doodles, tmp_path):
    (tmp_path / "out" / "notes").mkdir(parents=True)
    (tmp_path / "out" / "notes" / "readme.txt").write_text("what this is")
    first = run(doodles, tmp_path / "out")
    assert run(doodles, tmp_path / "out") == first
    assert (tmp_path / "out" / "notes" / "readme.txt").exists()


# --- categories without training sketches ---


def test_a_split_file_may_leave_categories_untrained(tmp_path):
    records = [sketch(i) for i in range(9)] + [sketch(100 + i, "dog") for i in range(8)]
    write_lines(tmp_path / "in" / "all.ndjson", records)
    rows = ["key_id,split", *(f"{i},{('train', 'gallery', 'query')[i % 3]}" for i in range(9))]
    rows += [f"{100 + i},{('gallery', 'query')[i % 2]}" for i in range(8)]
    (tmp_path / "splits.csv").write_text("\n".join(rows))
    manifest = run(tmp_path / "in", tmp_path / "out", splits=tmp_path / "splits.csv")
    assert manifest.counts_by_category["dog"] == {
        "train": 0, "validation": 0, "gallery": 4, "query": 4,
    }  # fmt: skip
    assert (manifest.entropy_low[1], manifest.entropy_high[1]) == (0.0, 1.0)
    assert verify(tmp_path / "out") == manifest


@pytest.mark.parametrize("splits", [{"train": 50, "gallery": 1}, {"train": 0.02, "gallery": 0.9}])
def test_unseen_categories_need_no_training_sketches(tmp_path, splits):
    records = [sketch(i) for i in range(300)] + [sketch(1000 + i, "dog") for i in range(20)]
    write_lines(tmp_path / "in" / "all.ndjson", records)
    with pytest.raises(DataError, match="1 of 2 categories have too few sketches"):
        run(tmp_path / "in", tmp_path / "out", splits=splits)
    manifest = run(tmp_path / "in", tmp_path / "out", splits=splits, unseen=["dog"])
    assert manifest.counts_by_category["dog"]["train"] < 20
    assert manifest.counts_by_category["dog"]["gallery"] >= 1
    assert manifest.settings["unseen"] == ["dog"]
    assert verify(tmp_path / "out") == manifest
    # Each split that is searched still needs its sketches.
    with pytest.raises(DataError, match="dog: has gallery"):
        run(tmp_path / "in", tmp_path / "few", splits={"train": 5, "gallery": 25}, unseen=["dog"])
