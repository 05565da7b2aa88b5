"""Every kind of damage to a data folder is found and named by shard and record."""

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from array_record.python.array_record_module import ArrayRecordWriter
from msgspec.structs import replace
from plain_records import patched, records_of

from sketchjax.data.feed.scan import scan_feed
from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.shards import Shards, check_shards
from sketchjax.data.folder.verify import verify
from sketchjax.data.sources import doodles as synthetic
from sketchjax.errors import DataError
from sketchjax.files import sha256

NAMES = ["cat", "clock", "face"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A data folder of 120 doodles, two shards per split, none for validation."""
    home = tmp_path_factory.mktemp("data")
    synthetic.write(home / "in", per_category=40, seed=3, categories=NAMES)
    splits = {"train": 0.6, "validation": 0.0, "gallery": 0.2, "query": 0.2}
    convert([home / "in"], home / "out", splits=splits, shards=2, workers=1, progress=False)
    return home / "out"


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    """A copy of it to damage."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def shard_of(folder: Path, split: str, number: int) -> Path:
    return sorted(folder.glob(f"{split}-*.arrayrecord"))[number]


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest's JSON."""
    content = orjson.loads((folder / "manifest.json").read_bytes())
    change(content)
    (folder / "manifest.json").write_bytes(orjson.dumps(content))


def rewrite(folder: Path, split: str, number: int, change: Callable[[list[bytes]], object]) -> str:
    """Rewrite a shard after `change(records)`; the manifest gets its new size and sha256."""
    path = shard_of(folder, split, number)
    records = records_of(path)
    change(records)
    writer = ArrayRecordWriter(str(path), "group_size:1,uncompressed")
    for record in records:
        writer.write(record)
    writer.close()

    def note(content):
        line = content["shards"][split][number]
        line |= {"records": len(records), "bytes": path.stat().st_size, "sha256": sha256(path)}

    edit(folder, note)
    return path.name


def findings(folder: Path) -> list[str]:
    """The lines that verify reports."""
    with pytest.raises(DataError, match="is damaged") as found:
        verify(folder)
    assert found.value.exit_code == 65
    return [line[4:] for line in str(found.value).splitlines()[1:]]


def test_a_sound_folder_passes(folder):
    seen = []
    assert verify(folder, progress=seen.append) == Manifest.load(folder)
    assert sorted(seen) == sorted(path.name for path in folder.glob("*.arrayrecord"))
    seen.clear()
    assert check_shards(folder, progress=seen.append) == Manifest.load(folder)
    assert sorted(seen) == sorted(path.name for path in folder.glob("*.arrayrecord"))


# --- shards ---


def test_every_flipped_byte_is_caught(copy):
    """300 places over the file, each flipped and mended; every tenth also by `verify`."""
    path = shard_of(copy, "train", 1)
    whole = path.read_bytes()
    used = max(place for place, byte in enumerate(whole) if byte)
    places = np.linspace(0, used, 250).astype(int).tolist()
    places += np.linspace(used, len(whole) - 1, 50).astype(int).tolist()
    for number, place in enumerate(places):
        content = bytearray(whole)
        content[place] ^= 1 << number % 8
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"{path.name}: its sha256 is not the manifest's"):
            check_shards(copy)
        if number % 10 == 0:
            assert findings(copy)[0] == f"{path.name}: its sha256 is not the manifest's"
    path.write_bytes(whole)
    check_shards(copy)


def test_a_flipped_byte_in_a_record_is_named(copy):
    path = shard_of(copy, "train", 0)
    content = bytearray(path.read_bytes())
    content[content.index(records_of(path)[7]) + 20] ^= 1
    path.write_bytes(content)
    sha, *rest = findings(copy)
    assert sha == f"{path.name}: its sha256 is not the manifest's"
    assert [line.split(":")[0] for line in rest] == [f"{path.name}, record 7 cannot be read"]
    with Shards(copy, "train") as opened:
        with pytest.raises(DataError, match=f"{path.name} cannot be read"):
            opened.read(np.array([7]))
        assert len(opened.read(np.array([6])).labels) == 1


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def swap(path: Path) -> None:
    other = path.with_name(path.name.replace("00000-of", "00001-of"))
    ours, theirs = path.read_bytes(), other.read_bytes()
    path.write_bytes(theirs)
    other.write_bytes(ours)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage, message, others",
    [
        (truncate, r"{} has \d+ bytes, the manifest says \d+", 0),
        (empty, r"{} has 0 bytes, the manifest says \d+", 0),
        (Path.unlink, r"{} is missing", 0),
        (swap, r"{}(: its sha256 is not the manifest's| has \d+ bytes)", 1),
        (replace_by_folder, r"{}", 0),
    ],
)
def test_a_shard_other_than_the_manifest_s_is_refused(copy, damage, message, others):
    path = shard_of(copy, "gallery", 0)
    damage(path)
    with pytest.raises(DataError, match=message.format(path.name)) as refused:
        check_shards(copy)
    assert str(refused.value).count("\n  - ") == 1 + others
    lines = findings(copy)
    assert path.name in lines[0]
    assert sum("sha256" in line or "bytes" in line or "missing" in line for line in lines) >= others


def test_all_damaged_shards_are_named_at_once(copy):
    damaged = [shard_of(copy, "train", 0), shard_of(copy, "query", 1)]
    for path in damaged:
        content = bytearray(path.read_bytes())
        content[100] ^= 1
        path.write_bytes(content)
    shard_of(copy, "gallery", 1).unlink()
    with pytest.raises(DataError) as refused:
        check_shards(copy)
    for text in (str(refused.value), "\n".join(findings(copy))):
        for name in (*(path.name for path in damaged), "gallery-00001-of-00002.arrayrecord"):
            assert text.count(name) >= 1


# --- records, in shards with the right sha256 ---

WRONG = {
    "label": (lambda blob: patched(blob, "<H", 8, 3), "label 3, but there are 3 categories"),
    "no point": (lambda blob: patched(blob[:16], "<H", 10, 0), "it has no points"),
    "entropy": (lambda blob: patched(blob, "<f", 12, float("nan")), "image entropy nan"),
    "open end": (lambda blob: patched(blob, "<B", len(blob) - 1, 0), "its last point does not"),
    "mark": (lambda blob: patched(blob, "<B", 18, 2), "an end-of-stroke mark is"),
    "length": (lambda blob: patched(blob, "<H", 10, 9_999), "states 9999 points"),
    "cut": (lambda blob: blob[:-1], "bytes but states"),
    "stump": (lambda blob: blob[:5], "it has 5 bytes, fewer than a header"),
}


@pytest.mark.parametrize("change, reason", WRONG.values(), ids=WRONG)
def test_verify_and_readers_name_a_wrong_record(copy, change, reason):
    name = rewrite(copy, "train", 1, lambda records: records.insert(4, change(records.pop(4))))
    check_shards(copy)
    (line,) = findings(copy)
    assert line.startswith(f"{name}, record 4: ")
    assert reason in line
    first = Manifest.load(copy).shards["train"][0].records
    with Shards(copy, "train") as opened:
        with pytest.raises(DataError, match=f"{name}, record 4: .*{reason}") as refused:
            opened.read(np.array([0, first + 9, first + 4, 1]))
        assert refused.value.exit_code == 65
        assert "sketchjax verify" in str(refused.value)
        assert len(opened.read(np.array([0, first + 3, first + 5])).labels) == 3
    with pytest.raises(DataError, match=f"{name}, record 4: "):
        list(scan_feed(copy, "train", batch=16, points=32))


def test_findings_are_listed_together_and_cut(copy):
    def spoil(records):
        records[:] = [patched(blob, "<H", 8, 7) for blob in records]

    spoilt = rewrite(copy, "train", 0, spoil)
    one = rewrite(copy, "train", 1, lambda records: records.insert(2, records.pop(2)[:3]))
    shard_of(copy, "query", 0).unlink()
    edit(copy, lambda content: content["counts"].update(gallery=1))
    number = Manifest.load(copy).shards["train"][0].records
    lines = findings(copy)
    assert sum("counts has 1 gallery" in line for line in lines) == 3
    assert sum(line.startswith(f"{spoilt}, record ") for line in lines) == 10
    assert f"and {number - 10} more in {spoilt}" in lines
    assert sum(line.startswith(f"{one}, record 2: ") for line in lines) == 1
    assert "query-00000-of-00002.arrayrecord is missing" in lines
    with pytest.raises(DataError, match=f", {3 + number + 1 + 1} findings"):
        verify(copy)


def test_misplaced_records_are_found(copy):
    def reverse(records):
        records[3], records[4] = records[4], records[3]

    name = rewrite(copy, "train", 0, reverse)
    assert findings(copy) == [f"{name}, record 4: it is out of order"]
    rewrite(copy, "train", 0, reverse)
    verify(copy)
    mine, other = (shard_of(copy, "train", number) for number in (0, 1))
    stranger, native = records_of(other)[5], records_of(mine)[5]
    rewrite(copy, "train", 0, lambda records: records.insert(5, [records.pop(5), stranger][1]))
    rewrite(copy, "train", 1, lambda records: records.insert(5, [records.pop(5), native][1]))
    text = "\n".join(findings(copy))
    for name in (mine.name, other.name):
        assert f"{name}, record 5: it belongs in another shard" in text


def test_repeated_keys_and_wrong_totals_are_found(copy):
    edit(copy, lambda content: content["settings"].pop("seed"))  # so that no order is checked

    def double(records):
        records[2] = records[3]

    rewrite(copy, "gallery", 0, double)
    key_id = struct.unpack_from("<Q", records_of(shard_of(copy, "gallery", 0))[2])[0]
    assert f"key_id {key_id} occurs more than once" in findings(copy)
    rewrite(copy, "gallery", 0, lambda records: records.pop())
    text = "\n".join(findings(copy))
    assert "gallery sketches of " in text
    assert " points, the manifest says " in text


def longer(content):
    """Count one sketch under another length: the sum stays right."""
    lengths = content["lengths"]["train"]
    lengths[max(lengths, key=lengths.get)] -= 1
    lengths["65535"] = 1


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: c.update(offset_scale=c["offset_scale"] * 1.001), "the scale of the offsets"),
        (lambda c: c["entropy_low"].__setitem__(1, 0.01), "the middle entropies of clock are"),
        (lambda c: c["counts"].update(train=71), "counts has 71 train sketches, the shards"),
        (lambda c: c["lengths"]["query"].update({"65535": 1}), "26 query sketches, lengths 27"),
        (longer, "0 train sketches of 65535 points, the manifest says 1"),
        (lambda c: c["categories"].reverse(), "the categories are not in order"),
        (lambda c: c["shards"]["train"].reverse(), "is listed in the place of"),
        (
            lambda c: c["shards"]["train"].append(c["shards"]["query"][0]),
            "is listed in the place of",
        ),
        (lambda c: c["entropy_low"].__setitem__(0, 1.0), "entropy_low of 'cat' is above"),
        (
            lambda c: c["counts_by_category"].update(dog=c["counts_by_category"].pop("cat")),
            "counts_by_category has other categories",
        ),
    ],
)
def test_contradictions_of_a_manifest_are_found(copy, change, message):
    edit(copy, change)
    assert message in "\n".join(findings(copy))


# --- the manifest ---


def without(name):
    return lambda content: content.pop(name)


def setting(name, value):
    return lambda content: content.__setitem__(name, value)


def of_shard(name, value):
    return lambda content: content["shards"]["train"][0].__setitem__(name, value)


BAD_MANIFESTS = {
    **{
        f"without {name}": (without(name), f"missing required field `{name}`")
        for name in ("categories", "counts", "shards", "lengths")
    },
    "without splits": (lambda c: c["counts"].pop("query"), "counts must have the fields train, "),
    "without its splits": (
        lambda c: c["counts_by_category"]["cat"].pop("query"),
        r"counts_by_category\['cat'\] must have the fields train",
    ),
    "strange field": (setting("colour", 3), "unknown field `colour`"),
    "strange split": (lambda c: c["shards"].update(test=[]), "shards must have the fields"),
    "list for object": (setting("counts", []), r"Expected `object`, got `array` - at `\$.counts`"),
    "object for list": (setting("categories", {}), r"got `object` - at `\$.categories`"),
    "no categories": (setting("categories", []), r"length >= 1 - at `\$.categories`"),
    "number for name": (setting("categories", ["cat", 5, "face"]), r"at `\$.categories\[1\]`"),
    "path for name": (setting("categories", ["a\n", "b", "c"]), r"categories\[0\] has a control"),
    "long name": (setting("categories", ["a", "b" * 10_000, "c"]), r"\[1\] has 10,000 characters"),
    "text for number": (
        lambda c: c["counts"].update(train="70"),
        r"Expected `int`, got `str` - at `\$.counts\[...\]`",
    ),
    "fraction": (lambda c: c["counts"].update(train=1.5), "Expected `int`, got `float`"),
    "true for number": (lambda c: c["counts"].update(train=True), "Expected `int`, got `bool`"),
    "negative": (lambda c: c["counts"].update(train=-1), "Expected `int` >= 0"),
    "huge": (lambda c: c["counts"].update(train=2**60), "Expected `int` <= 9007199254740992"),
    "huge by category": (
        lambda c: c["counts_by_category"]["cat"].update(train=2**63),
        r"at `\$.counts_by_category\[...\]\[...\]`",
    ),
    "null scale": (setting("offset_scale", None), r"got `null` - at `\$.offset_scale`"),
    "zero scale": (setting("offset_scale", 0), "Expected `float` > 0.0"),
    "quantile": (setting("entropy_high", [0.1, 2, 0.3]), r"<= 1.0 - at `\$.entropy_high\[1\]`"),
    "few quantiles": (setting("entropy_high", [0.5]), "has 1 values for 3 categories"),
    "length 0": (
        lambda c: c["lengths"]["train"].update({"0": 1}),
        r"Expected `int` >= 1 - at `key` in `\$.lengths\[...\]`",
    ),
    "length x": (lambda c: c["lengths"]["train"].update({"x": 1}), "got `str` - at `key` in"),
    "long": (lambda c: c["lengths"]["train"].update({"65536": 1}), "Expected `int` <= 65535 - at"),
    "digits": (lambda c: c["lengths"]["train"].update({"9" * 9999: 1}), "out of range - at `key`"),
    "shard's field": (
        lambda c: c["shards"]["train"][0].pop("bytes"),
        r"missing required field `bytes` - at `\$.shards\[...\]\[0\]`",
    ),
    "shard is text": (lambda c: c["shards"].update(train=["a"]), "Expected `object`, got `str`"),
    "shard elsewhere": (of_shard("name", "../x.arrayrecord"), r"matching regex .*\[0\].name`"),
    "absolute": (of_shard("name", "/etc/passwd"), r"matching regex .*\[0\].name`"),
    "shard's line end": (
        lambda c: c["shards"]["train"][0].update(name=c["shards"]["train"][0]["name"] + "\n"),
        r"matching regex .*\[0\].name`",
    ),
    "no sha256": (of_shard("sha256", "0" * 63), r"matching regex .*\[0\].sha256`"),
    "no records": (of_shard("records", -3), r">= 0 - at .*\[0\].records`"),
    "null bytes": (of_shard("bytes", None), r"got `null` - at .*\[0\].bytes`"),
    "settings": (setting("settings", 5), r"Expected `object`, got `int` - at `\$.settings`"),
    "bad listed": (setting("bad_listed", [5]), r"got `int` - at `\$.bad_listed\[0\]`"),
    "dropped": (setting("dropped", {"cat": 5}), r"got `int` - at `\$.dropped\[...\]`"),
    "decisions": (setting("decisions", {"a": "b"}), r"got `str` - at `\$.decisions\[...\]`"),
    "passed over": (setting("passed_over", {".csv": -1}), r">= 0 - at `\$.passed_over\[...\]`"),
    "version 99": (setting("version", 99), "has version 99; this sketchjax reads version 1"),
    "version 0": (setting("version", 0), "has version 0; this"),
    "version x": (setting("version", "1"), r"Expected `int`, got `str` - at `\$.version`"),
    "version list": (setting("version", [1]), r"got `array` - at `\$.version`"),
    "version true": (setting("version", True), r"got `bool` - at `\$.version`"),
    "no version": (without("version"), "missing required field `version`"),
}


@pytest.mark.parametrize("change, message", BAD_MANIFESTS.values(), ids=BAD_MANIFESTS)
def test_everyone_refuses_a_damaged_manifest(copy, change, message):
    edit(copy, change)
    for use in (Manifest.load, verify, check_shards, lambda folder: Shards(folder, "train")):
        with pytest.raises(DataError, match=message) as refused:
            use(copy)
        assert "manifest.json" in str(refused.value)
        assert len(str(refused.value)) < 5_000


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is not a valid manifest: Input data was truncated"),
        (b"[1, 2", "is not a valid manifest: Expected `object`, got `array`"),
        (b"5", "is not a valid manifest: Expected `object`, got `int`"),
        (b"[]", "is not a valid manifest: Expected `object`, got `array`"),
        (b"\xff\xfe", "is not a valid manifest: JSON is malformed"),
        (b"[" * 100_000, "is not a valid manifest: Expected `object`, got `array`"),
        (b'{"version": 1}', "missing required field `categories`"),
        (b'{"a":' * 100_000, "is not a valid manifest: maximum recursion depth"),
        (b'{"version": 1, "settings":' + b"[" * 100_000, "is not a valid manifest: maximum recur"),
        (b'{"version": 1, "settings": {"a": "\xff"}}', "is not a valid manifest: (?i:.*utf-8)"),
        (b'{"version": 1, "settings": {"a": "\\ud800"}}', "is not a valid manifest"),
        (b'{"version": 1, "settings": {"a": 1e999}}', "is not a valid manifest"),
        (b'{"version": ' + b"9" * 9_999 + b"}", "is not a valid manifest"),
        (b" " * (33 << 20), "more than 33,554,432 bytes"),
    ],
)
def test_other_files_are_not_manifests(tmp_path, content, message):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(DataError, match=message):
        Manifest.load(tmp_path)


def test_decisions_are_written_only_where_there_are_any(copy):
    manifest = Manifest.load(copy)
    assert (manifest.decisions, manifest.passed_over) == ({}, {})
    before = (copy / "manifest.json").read_bytes()
    manifest.save(copy)
    assert (copy / "manifest.json").read_bytes() == before
    assert b"decisions" not in before
    noted = replace(manifest, decisions={"a.npz": ["units of 1/255"]}, passed_over={".csv": 2})
    noted.save(copy)
    assert Manifest.load(copy) == noted != manifest
    content = orjson.loads((copy / "manifest.json").read_bytes())
    assert content["decisions"] == {"a.npz": ["units of 1/255"]}
    assert content["passed_over"] == {".csv": 2}


def test_an_unreadable_manifest_is_refused(copy):
    (copy / "manifest.json").unlink()
    (copy / "manifest.json").mkdir()
    with pytest.raises(DataError, match=r"manifest\.json cannot be read: Is a directory"):
        Manifest.load(copy)


# --- the command ---


def test_the_command_exits_with_65_and_without_a_traceback(copy):
    path = shard_of(copy, "train", 0)
    command = [sys.executable, "-m", "sketchjax.cli", "verify", str(copy)]
    sound = subprocess.run(command, capture_output=True, text=True)
    assert sound.returncode == 0, sound.stderr
    assert sound.stdout.startswith(f"{copy} is sound: 6 shards")
    os.truncate(path, 1000)
    broken = subprocess.run(command, capture_output=True, text=True)
    assert broken.returncode == 65
    assert f"{path.name} has 1000 bytes" in broken.stderr
    assert "Traceback" not in broken.stderr
    assert broken.stdout == ""
