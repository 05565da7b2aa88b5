"""Files made to break a reader: bombs, programs, huge counts, odd names, the fuzzer's corpus."""

import gzip
import http.client
import io
import json
import pickle
import socket
import struct
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fuzz.targets import run

from sketchjax.data import sources as formats
from sketchjax.data.folder.conversion import pieces
from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.splits import SplitFile
from sketchjax.data.folder.verify import verify
from sketchjax.data.sources.fetch import _extent
from sketchjax.data.sources.npy import load_arrays
from sketchjax.errors import DataError

REPOSITORY = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"

# Reads the files that it is given with 200 MB more than it has, and prints what came of each.
LIMITED = """
    import json, resource, sys, time
    from pathlib import Path
    from sketchjax.data import simplify
    from sketchjax.data import sources as formats
    from sketchjax.errors import DataError

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (200 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for path in sys.argv[1:]:
        bad, start, found = [], time.process_time(), 0
        try:
            found = sum(len(part) for part in formats.read(path, on_bad=bad.append))
            last = f"{bad[-1].kind}: {bad[-1].reason}" if bad else None
        except DataError as error:
            last = f"DataError: {error}"
        seconds = time.process_time() - start
        print(json.dumps([path, found, len(bad), last, seconds]))
"""


def read_limited(*paths: Path) -> dict[str, tuple[int, int, str, float]]:
    """By file: sketches, bad records, the last one's reason, and seconds."""
    command = [sys.executable, "-c", textwrap.dedent(LIMITED), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(paths)
    return {Path(path).name: tuple(rest) for path, *rest in rows}


# --- memory and time ---


def bomb(piece: bytes, copies: int, before: bytes = b"") -> bytes:
    """A gzip stream of many members, each `piece`: 10 GB are as quick to make as 16 MB."""
    return gzip.compress(before, mtime=0) + gzip.compress(piece, 9, mtime=0) * copies


def test_gzip_bombs_of_ten_gigabytes(tmp_path):
    good = b'{"word":"cat","key_id":"1","drawing":[[[1],[2]]]}\n'
    record = struct.pack("<QxxbIH", 1, 1, 0, 1) + struct.pack("<HBB", 1, 2, 3)
    contents = {
        "zeros.ndjson.gz": (bytes(16 << 20), good),
        "lines.ndjson.gz": (b"\n" * (16 << 20), good),
        "open.ndjson.gz": (b"[" * (16 << 20), good),
        "zeros.bin.gz": (bytes(16 << 20), record),
        "full.bin.gz": (b"\xff" * (16 << 20), record),
    }
    for name, (piece, before) in contents.items():
        (tmp_path / name).write_bytes(bomb(piece, 640, before))
    assert (tmp_path / "zeros.ndjson.gz").stat().st_size < 11 << 20
    results = read_limited(*(tmp_path / name for name in contents))
    for name, (found, bad, last, seconds) in results.items():
        assert found == 1, name
        assert bad >= 1, name
        wanted = "unreadable: the byte" if name == "full.bin.gz" else "too_large: the gzip stream"
        assert last.startswith(wanted), (name, last)
        assert seconds < 20, name


def test_lines_that_grow_forty_times_in_python(tmp_path):
    names = []
    for number, unit in enumerate((b"[],", b'{"a":1},', b"1.5,", b"[[[")):
        content = b""
        for size in (4_100_000, (16 << 20) - 100, 16 << 20):
            content += b'{"drawing":[' + (unit * (size // len(unit)))[:-1] + b"]}\n"
        (tmp_path / f"{number}.ndjson").write_bytes(content + b'{"drawing":[[[1],[2]]]}\n')
        names.append(tmp_path / f"{number}.ndjson")
    for name, (found, bad, last, seconds) in read_limited(*names).items():
        assert (found, bad) == (1, 3), name
        assert last.startswith("too_large: the line is longer than 16,777,216 bytes"), name
        assert seconds < 10, name


def npy(shape: str, content: bytes = b"", descr: str = "|O") -> bytes:
    """An .npy with any shape and content."""
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    header = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def zipped(path: Path, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("train.npy", content)
    return path


def test_npz_bombs(tmp_path):
    many = 100_000
    noted = {  # what each file claims, or makes of every byte, and what is reported
        "swells": (npy("(9,)", bytes(100 << 20)), "too_large: train.npy would take 104,857,728"),
        "lists": (npy(f"({many},)", b"\x80\x02]" + b"]" * (8 << 20)), "more on the stack"),
        "tuples": (
            npy(f"({many},)", b"\x80\x02]" + b"\x85" * (8 << 20)),
            "more opcodes TUPLE1",
        ),
        "memos": (npy(f"({many},)", b"\x80\x02N" + b"\x94" * (8 << 20)), "more opcodes MEMOIZE"),
        # Python's memo is an array as long as its largest index.
        "memo": (npy("(1,)", b"\x80\x02Nr\xff\xff\xff\x7f."), "a memo index"),
        "marks": (npy(f"({many},)", b"\x80\x02" + b"(" * (8 << 20)), "more on the stack"),
        "shape": (npy("(999999999999,)", b"\x80\x02]."), "not a list of sketches"),
        "claim": (npy("(1000000,)", b"\x80\x02]."), "132 bytes for 1,000,000 arrays"),
        "thin": (npy("(999999999, 0, 3)", b"", "<i2"), "not a list of sketches"),
        "wide": (npy("(999999, 999999, 999999)", b"", "<i2"), "0 bytes for an array"),
        "payload": (npy("(1,)", b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f"), "but only 0 remain"),
        "text": (npy("(1,)", b"\x80\x04X\xff\xff\xff\x7f"), "but only 0 remain"),
        "header": (npy("(" + "9" * 90 + ")"), "a header that numpy does not write"),
    }
    paths = [zipped(tmp_path / f"{name}.npz", content) for name, (content, _) in noted.items()]
    said = {f"{name}.npz": words for name, (_, words) in noted.items()}
    # The dictionary that LZMA may ask for, 4 GB, is allocated before the first byte.
    paths.append(zipped(tmp_path / "lzma.npz", npy("(1,)"), zipfile.ZIP_LZMA))
    said["lzma.npz"] = "compressed in a way that numpy does not use"
    # A list of members that has 500,000 of them: 600 MB as `zipfile` keeps them.
    with zipfile.ZipFile(tmp_path / "members.npz", "w") as archive:
        archive.writestr("train.npy", npy("(1,)"))
    head, tail = (tmp_path / "members.npz").read_bytes().split(b"PK\x01\x02", 1)
    entry, end = tail.split(b"PK\x05\x06", 1)
    listed = (b"PK\x01\x02" + entry) * 500_000
    end = end[:4] + struct.pack("<HHII", 65_535, 65_535, len(listed), len(head)) + end[16:]
    (tmp_path / "members.npz").write_bytes(head + listed + b"PK\x05\x06" + end)
    said["members.npz"] = "Truncated central directory"
    results = read_limited(*paths, tmp_path / "members.npz")
    for name, (found, bad, last, seconds) in results.items():
        assert (found, bad) == (0, 1), (name, last)
        assert said[name] in last, (name, last)
        assert seconds < 10, name


def test_huge_counts_in_a_bin(tmp_path):
    path = tmp_path / "cat.bin"
    good = struct.pack("<QxxbIH", 1, 1, 0, 1) + struct.pack("<HBB", 1, 2, 3)
    for claim, kind in (
        (struct.pack("<QxxbIH", 1, 1, 0, 65_535), "truncated"),
        (struct.pack("<QxxbIH", 1, 1, 0, 65_535) + b"\xff\xff" * 150_000, "too_large"),
        (struct.pack("<QxxbIH", 1, 1, 0, 65_535) + b"\x00\x00" * 65_535, "empty"),
        (struct.pack("<QxxbIH", 1, 1, 0, 1) + b"\xff\xff", "truncated"),
    ):
        path.write_bytes(good + claim)
        bad = []
        assert sum(len(part) for part in formats.read(path, on_bad=bad.append)) == 1
        assert [record.kind for record in bad] == [kind]


# --- programs in pickles ---


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def programs(target: Path) -> dict[str, bytes]:
    """Pickles that make the file `target` when Python runs them."""
    code = f"open({str(target)!r}, 'w')".encode()
    line = code + b"\n"
    short = bytes([len(code)]) + code
    made = {f"protocol {n}": pickle.dumps(Evil(target), protocol=n) for n in range(6)}
    return made | {
        "global": b"\x80\x02cbuiltins\neval\nU" + short + b"\x85R.",
        "stack global": b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c" + short + b"\x85R.",
        "inst": b"(V" + line + b"ibuiltins\neval\n.",
        "obj": b"(cbuiltins\neval\nV" + line + b"o.",
        "old text": b"cbuiltins\neval\n(V" + line + b"tR.",
        "through numpy": b"\x80\x02cnumpy\nndarray.__class__\nU" + short + b"\x85R.",
        "new object": b"\x80\x02cbuiltins\neval\nU" + short + b"\x85\x81.",
        "by attribute": b"\x80\x04\x8c\x05numpy\x8c\x12_core.os.system.x.y\x93\x8c"
        + short
        + b"\x85R.",
        "module": b"\x80\x02cos\nsystem\nU\x05false\x85R.",
        "state": b"\x80\x02cnumpy\ndtype\nU\x02i2\x85R}U\x0c__setstate__cbuiltins\neval\nsb.",
    }


def test_no_program_in_a_pickle_is_run(tmp_path):
    target = tmp_path / "was here"
    harmful = 0
    for name, program in programs(target).items():
        inner = program[:-1].removeprefix(b"\x80\x02")
        for content in (program, b"\x80\x02]q\x00(" + inner + b"e."):
            path = zipped(tmp_path / "cat.npz", npy("(1,)", content))
            bad, said = [], ""
            try:
                assert not list(formats.read(path, on_bad=bad.append)), name
            except DataError as error:
                said = str(error)
            assert bad or "refused; do not trust" in said, name
            assert not target.exists(), name
        try:
            pickle.loads(program)
        except Exception:
            continue
        harmful += target.exists()
        target.unlink(missing_ok=True)
    assert harmful >= 10, "most of the programs do nothing, so the test shows nothing"


def test_a_shape_is_multiplied_only_where_it_is_of_numbers():
    """Text times a number would be as long a text."""
    inner = b"cnumpy\nndarray\n)R(K\x01" + b"C\x02abJ\xff\xff\xff\x7f\x86"
    inner += b"cnumpy\ndtype\nU\x02i2\x85R\x89C\x04abcdtb"
    with pytest.raises(ValueError, match="bytes that do not fit the shape"):
        load_arrays(npy("(1,)", b"\x80\x02" + outer_of(inner)))


def outer_of(inner: bytes) -> bytes:
    """A pickle of an array of objects that holds one."""
    start = b"cnumpy\nndarray\n)R(K\x01K\x01\x85cnumpy\ndtype\nU\x02O8\x85R\x89]("
    return start + inner + b"etb."


VALUES = [
    *(b"]", b")", b"N", b"\x88", b"\x89", b"K\x00", b"K\x03", b"J\xff\xff\xff\xff"),
    *(
        b"\x8a\x01\x05",
        b"C\x03abc",
        b"U\x01<",
        b"\x8c\x02i2",
        b"X\x01\x00\x00\x00b",
        b"C\x06abcdef",
    ),
    b"\x8c\x06latin1",
    *(b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"cnumpy.core.multiarray\n_reconstruct\n"),
    *(b"c_codecs\nencode\n", b"c__builtin__\nbytes\n", b"cnumpy\nndarray\n)R"),
    *(b"cnumpy\ndtype\n\x8c\x02i2\x85R", b"cnumpy\ndtype\n\x8c\x02u1\x85R", b"K\x01K\x03\x86"),
]
ACTIONS = [b"(", b"t", b"e", b"a", b"R", b"b", b"\x94", b"\x93", b"\x85", b"\x86", b"h\x00"]


def test_opcodes_in_any_order_give_arrays_or_an_error():
    """Programs of valid instructions that make no sense as a whole, or as an array's state."""
    dice = np.random.default_rng(0)
    words = [*VALUES, *ACTIONS]
    whole = 0
    for length in dice.integers(1, 25, 6_000).tolist():
        program = b"".join(words[i] for i in dice.integers(0, len(words), length))
        state = b"".join(VALUES[i] for i in dice.integers(0, len(VALUES), 5))
        inner = b"cnumpy\nndarray\n)R(" + state + b"tb"
        outer = b"cnumpy\nndarray\n)R(K\x01K\x01\x85cnumpy\ndtype\n\x8c\x02O8\x85R\x89]("
        outer += inner + b"etb."
        for content in (program + b".", inner + b".", outer):
            try:
                (array,) = load_arrays(npy("(1,)", content))
            except (ValueError, DataError):
                continue
            assert array is None or isinstance(array, np.ndarray)
            whole += array is not None
    assert whole < 60  # six bytes or three for one row of three, by chance


def test_numpys_pickles_of_every_protocol_are_read():
    """The oracle is numpy: kinds of numbers, orders, empty arrays, one array several times."""
    rng = np.random.default_rng(0)
    made = [
        rng.integers(0, 99, (5, 3)).astype(kind)
        for kind in ("i1", "u1", "i2", ">i2", "i4", "<u4", "i8", "f2", "f4", ">f4", "f8", "b1")
    ]
    made += [np.asfortranarray(made[2]), np.zeros((0, 3), np.int16), made[0], made[0]]
    array = np.empty(len(made), object)
    array[:] = made
    for protocol in (2, 3, 4):
        found = load_arrays(npy(f"({len(made)},)", pickle.dumps(array, protocol=protocol)))
        assert len(found) == len(made)
        for ours, theirs in zip(found, made, strict=True):
            assert ours is not None
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)
    many = np.empty(3_000, object)
    many[:] = [np.full((2, 3), number, np.int16) for number in range(3_000)]
    buffer = io.BytesIO()
    np.save(buffer, many, allow_pickle=True)
    found = load_arrays(buffer.getvalue())
    assert [rows is not None and int(rows[0, 0]) for rows in found] == list(range(3_000))
    buffer = io.BytesIO()
    np.save(buffer, np.arange(18, dtype=np.int16).reshape(2, 3, 3, order="F"))
    np.testing.assert_array_equal(
        load_arrays(buffer.getvalue()), np.arange(18).reshape(2, 3, 3, order="F")
    )


# --- names ---

NAMES = ["../../x", "/etc/passwd", "a/b", "..", "C:\\x", "Cat", "cat", "café", "cafe\u0301", "<b>&"]


def test_names_of_categories_never_become_paths(tmp_path):
    home = tmp_path / "a" / "b" / "c"
    home.mkdir(parents=True)
    lines = [
        json.dumps({"word": name, "key_id": str(100 * label + i), "drawing": [[[i, 9], [2, 3]]]})
        for label, name in enumerate(NAMES)
        for i in range(20)
    ]
    (home / "all.ndjson").write_text("\n".join(lines))
    manifest = convert(
        [home], home / "out", splits={"train": 1.0}, shards=1, workers=1, progress=False
    )
    counts = {name: counts["train"] for name, counts in manifest.counts_by_category.items()}
    # "Cat" and "cat", and both ways to write "café", are one category each.
    others = {name: 20 for name in NAMES if name not in ("Cat", "cat", "café", "cafe\u0301")}
    assert counts == others | {"cat": 40, "café": 40}
    assert verify(home / "out") == manifest
    files = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    shard = "train-00000-of-00001.arrayrecord"
    assert files == ["a/b/c/all.ndjson", "a/b/c/out/manifest.json", f"a/b/c/out/{shard}"]


@pytest.mark.parametrize(
    "name, message",
    [
        (b"two\nlines.bin", "control character"),
        (b"\x1b[31mred.npz", "control character"),
        (b"c\xff\xfet.ndjson", "control character|not UTF-8"),
        (b"x" * 150 + b".ndjson", "has 150 characters"),
        (b" .bin", "is empty"),
    ],
)
def test_file_names_that_name_no_category(tmp_path, name, message):
    path = Path(str(tmp_path) + "/" + name.decode(errors="surrogateescape"))
    path.write_bytes(b"PK\x03\x04" if name.endswith(b"npz") else b"")
    with pytest.raises(DataError, match=message) as refused:
        list(formats.read(path))
    str(refused.value).encode()
    with pytest.raises(DataError, match=message):
        convert([tmp_path], tmp_path / "out", workers=1, progress=False)


def test_more_categories_than_labels(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "MOST_CATEGORIES", 50)
    lines = [json.dumps({"word": f"w{i}", "drawing": [[[i], [0]]]}) for i in range(51)]
    (tmp_path / "all.ndjson").write_text("\n".join(lines))
    for on_bad in ("stop", "skip"):
        with pytest.raises(DataError, match=r"more than 50 categories|no sketch is left"):
            convert([tmp_path], tmp_path / "out", on_bad=on_bad, workers=1, progress=False)
    (tmp_path / "all.ndjson").write_text("\n".join(lines[:50]))
    everything = {"train": 1.0}
    convert([tmp_path], tmp_path / "out", splits=everything, workers=1, progress=False)
    assert len(Manifest.load(tmp_path / "out").categories) == 50


# --- split files and servers ---


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "line 1: a split file starts"),
        (b"\x00" * 5_000, "line 1: the line is longer than 200 bytes"),
        (b"key_id,split\n" + b"1" * 5_000 + b",train", "line 2: the line is longer than 200 bytes"),
        (b"key_id,split\n,train", "line 2: key_id ''"),
        (b"key_id,split\n-1.5,train", "line 2: key_id '-1.5'"),
        (b'key_id,split\n"1,train\n2,train\n', "two columns expected"),
        (b"key_id,split\n1,tra\xffin", "line 2: not UTF-8"),
        (b"key_id,split\n1,train,train", "line 2: two columns expected, found 3"),
        (b"key_id,split\n1,\x00", r"line 2: (split '\\x00'|not a line)"),
        (b"key_id,split\n1,../../x", r"line 2: split '\.\./\.\./x' is not one of"),
        (b"key_id,split\n1,train\n\n1,query", "key_id 1 occurs twice in the split file"),
    ],
)
def test_hostile_split_files(tmp_path, content, message):
    path = tmp_path / "splits.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as refused:
        SplitFile.read(path)
    assert len(str(refused.value)) < 500


def test_key_ids_of_any_text_are_those_of_the_drawings(tmp_path):
    keys = ["1" * 150, "18446744073709551616", "٣", "-1", "7f3a"]
    lines = [json.dumps({"key_id": key, "drawing": [[[1], [2]]]}) + "\n" for key in keys]
    (tmp_path / "cat.ndjson").write_text("".join(lines))
    (part,) = formats.read(tmp_path / "cat.ndjson")
    (tmp_path / "splits.csv").write_text("\n".join(["key_id,split", *(f"{k},train" for k in keys)]))
    assert SplitFile.read(tmp_path / "splits.csv").key_ids.tolist() == sorted(part.key_ids.tolist())


def test_an_empty_split_file_names_nothing(tmp_path):
    path = tmp_path / "splits.csv"
    path.write_bytes(b"key_id,split\r\n")
    rule = SplitFile.read(path)
    ones = np.ones(3, np.uint64)
    assert rule.assign(ones, ones, np.zeros(3, int), 1)[0].tolist() == [-1, -1, -1]


@pytest.mark.parametrize("stated, size", [("9" * 5_000, None), ("12", 12), ("-1", None)])
def test_sizes_stated_by_a_server(tmp_path, stated, size):
    """One that is no size is refused: nothing else would say whether the file is whole."""

    def extent(text: str) -> tuple[int, int | None]:
        return _extent("http://mirror/cat.ndjson", server_answer(text), tmp_path / "x.part", 0)

    of_whole, of_range = (
        f"200 OK\r\nContent-Length: {stated}",
        f"206 Partial\r\nContent-Range: bytes 0-5/{stated}",
    )
    if size is not None:
        assert extent(of_whole) == extent(of_range) == (0, size)
        return
    with pytest.raises(DataError, match="cannot be checked"):
        extent(of_whole)
    with pytest.raises(Exception, match="another range"):
        extent(of_range)


def server_answer(text: str) -> http.client.HTTPResponse:
    """What `http.client` makes of an answer's first lines."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(f"HTTP/1.1 {text}\r\n\r\n".encode())
        answer = http.client.HTTPResponse(theirs)
        answer.begin()
    return answer


# --- the fuzzer's corpus ---


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.iterdir()))
def test_every_input_of_the_corpus(name):
    paths = sorted((CORPUS / name).iterdir())
    assert paths
    for path in paths:
        content = path.read_bytes()
        run(name, content)  # imports and compiles, which is not the input's cost
        start = time.process_time()
        run(name, content)
        assert time.process_time() - start < 1, path


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.iterdir()))
def test_the_corpus_cut_and_changed(name):
    """Unguided fuzzing: each input cut, rotated, and changed in a few places."""
    dice = np.random.default_rng(0)
    for path in sorted((CORPUS / name).iterdir()):
        content = path.read_bytes()
        rounds = 8
        for at in dice.integers(0, len(content) + 1, rounds).tolist():
            run(name, content[:at])
            changed = bytearray(content)
            for place in dice.integers(0, len(content), dice.integers(1, 5)).tolist():
                changed[place] = dice.choice([0, 1, 127, 128, 255, changed[place] ^ 1])
            run(name, bytes(changed))
            run(name, content[at:] + content[:at])
