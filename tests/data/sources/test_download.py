"""Downloading, against a server on this machine that breaks connections, lies and fails."""

import base64
import hashlib
import io
import re
import socket
import threading
import time
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import numpy as np
import pytest
from rich.console import Console

from sketchjax.data.sources import download as module
from sketchjax.data.sources.download import FORMS, all_categories, check_categories, download, plan
from sketchjax.data.sources.fetch import Patience, UnreachableError, expected_md5
from sketchjax.errors import DataError, DiskError

NOISE = np.random.default_rng(0).integers(0, 256, 1_000_000, np.uint8).tobytes()
LINE = '{"word":"cat","key_id":"1","recognized":true,"drawing":[[%s],[[1],[2]]]}\n'
HEADS = {
    "simplified": (LINE % "[1,2],[3,4]").encode(),
    "raw": (LINE % "[1.5, 2.25],[3,4],[0,16]").encode(),
    "bin": b"",
    "sketchrnn": b"PK\x03\x04",
}
BODIES = {form: (head + NOISE)[:1_000_000] + b"end" for form, head in HEADS.items()}
BODY = BODIES["simplified"]
FAST = Patience(attempts=4, pause=0.01, timeout=5)


class Bucket(ThreadingHTTPServer):
    """Serves `files` by path; the switches below make it misbehave."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {}
        self.requests = []  # (path, Range header)
        self.cut_after = {}  # path: a list of bytes to send before cutting, one for each request
        self.statuses = {}  # path: a list of statuses to answer, one for each request
        self.hash_header = "x-goog-hash"
        self.ranges = True
        self.shift = 0  # answer a range that starts this many bytes later
        self.states_length = True
        self.md5_of = None
        self.answer = None  # (status, headers, body) to answer to every request
        self.hold = None  # an event to wait for after half of a file

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/bucket/"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    server: Bucket

    def log_message(self, *_):
        pass

    def do_GET(self):
        server, path = self.server, unquote(self.path).removeprefix("/bucket/")
        asked = self.headers["Range"]
        server.requests.append((path, asked))
        assert self.headers["Accept-Encoding"] == "identity"
        if server.answer is not None:
            status, headers, body = server.answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            return
        if server.statuses.get(path):
            self.send_error(server.statuses[path].pop(0))
            return
        if path not in server.files:
            self.send_error(404)
            return
        body = server.files[path]
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and server.ranges else 0
        start += server.shift if asked else 0
        if start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if asked and server.ranges else 200)
        if asked and server.ranges:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if server.states_length:
            self.send_header("Content-Length", str(len(body) - start))
        md5 = hashlib.md5(body if server.md5_of is None else server.md5_of)
        if server.hash_header == "x-goog-hash":
            self.send_header("x-goog-hash", "crc32c=AAAAAA==")
            self.send_header("x-goog-hash", "md5=" + base64.b64encode(md5.digest()).decode())
        elif server.hash_header == "ETag":
            self.send_header("ETag", f'"{md5.hexdigest()}"')
        self.end_headers()
        cuts = server.cut_after.get(path)
        stop = start + cuts.pop(0) if cuts else len(body)
        if server.hold is not None:
            self.wfile.write(body[start : len(body) // 2])
            server.hold.wait(20)
            start = max(start, len(body) // 2)
        self.wfile.write(body[start:stop])


@pytest.fixture
def bucket():
    server = Bucket()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def get(bucket, folder, names=("cat",), form="simplified", **options):
    options = {"base_url": bucket.url, "progress": False, "patience": FAST} | options
    return download(folder, list(names), form, **options)


@pytest.mark.parametrize(
    "form, path",
    [
        ("simplified", "full/simplified/hot dog.ndjson"),
        ("raw", "full/raw/hot dog.ndjson"),
        ("bin", "full/binary/hot dog.bin"),
        ("sketchrnn", "sketchrnn/hot dog.npz"),
    ],
)
def test_each_form_is_where_google_put_it(bucket, tmp_path, form, path):
    bucket.files[path] = BODIES[form]
    (found,) = get(bucket, tmp_path / "new" / "folder", ["hot dog"], form)
    assert found.name == path.rsplit("/", 1)[1]
    assert found.read_bytes() == BODIES[form]
    assert list(found.parent.iterdir()) == [found]
    assert get(bucket, found.parent, ["hot dog"], form) == [found]
    assert len(bucket.requests) == 1, "a file that is there was fetched again"
    assert plan("x", ["hot dog"], form)[0].url == (
        "https://storage.googleapis.com/quickdraw_dataset/" + path.replace(" ", "%20")
    )


@pytest.mark.parametrize("states_length", [True, False])
@pytest.mark.parametrize("hash_header", ["x-goog-hash", "ETag"])
def test_a_cut_connection_is_resumed(bucket, tmp_path, hash_header, states_length):
    bucket.hash_header, bucket.states_length = hash_header, states_length
    path = "full/simplified/cat.ndjson"
    bucket.files[path] = BODY
    if states_length:  # Without a length only the md5 would show a cut.
        bucket.cut_after[path] = [300_000, 1, 200_000]
    (found,) = get(bucket, tmp_path)
    assert found.read_bytes() == BODY
    asked = [None, "bytes=300000-", "bytes=300001-", "bytes=500001-"]
    assert [wanted for _, wanted in bucket.requests] == (asked if states_length else [None])


def test_any_number_of_cuts_while_bytes_come(bucket, tmp_path):
    path = "full/simplified/cat.ndjson"
    bucket.files[path] = BODY
    bucket.cut_after[path] = [100_000] * 9
    assert get(bucket, tmp_path)[0].read_bytes() == BODY


def test_the_next_run_resumes_a_part(bucket, tmp_path):
    path = "full/simplified/cat.ndjson"
    bucket.files[path] = BODY
    bucket.cut_after[path] = [400_000, 0, 0, 0, 0, 0]
    with pytest.raises(DataError, match=r"did not arrive in 4 attempts.*400,000 of 1,000,003"):
        get(bucket, tmp_path)
    assert [item.name for item in tmp_path.iterdir()] == ["cat.ndjson.part"]
    assert (tmp_path / "cat.ndjson.part").read_bytes() == BODY[:400_000]
    bucket.cut_after.clear()
    bucket.requests.clear()
    assert get(bucket, tmp_path)[0].read_bytes() == BODY
    assert bucket.requests == [(path, "bytes=400000-")]
    assert [item.name for item in tmp_path.iterdir()] == ["cat.ndjson"]


def test_a_server_that_ignores_ranges(bucket, tmp_path):
    path = "full/simplified/cat.ndjson"
    bucket.files[path], bucket.ranges = BODY, False
    (tmp_path / "cat.ndjson.part").write_bytes(BODY[:100])
    bucket.cut_after[path] = [300_000]
    assert get(bucket, tmp_path)[0].read_bytes() == BODY
    assert [asked for _, asked in bucket.requests] == ["bytes=100-", "bytes=300000-"]
    bucket.cut_after[path] = [300_000] * 50
    with pytest.raises(DataError, match="did not arrive"):
        get(bucket, tmp_path / "other")


def test_a_server_that_sends_another_range(bucket, tmp_path):
    bucket.files["full/simplified/cat.ndjson"], bucket.shift = BODY, 10
    bucket.hash_header = "none"  # which would notice as well
    (tmp_path / "cat.ndjson.part").write_bytes(BODY[:1000])
    assert get(bucket, tmp_path)[0].read_bytes() == BODY
    assert [asked for _, asked in bucket.requests] == ["bytes=1000-", None]


@pytest.mark.parametrize("size", [len(BODY), len(BODY) + 5])
def test_a_part_as_long_as_the_file_or_longer(bucket, tmp_path, size):
    bucket.files["full/simplified/cat.ndjson"] = BODY
    (tmp_path / "cat.ndjson.part").write_bytes(BODY[:100] + b"x" * (size - 100))
    assert get(bucket, tmp_path)[0].read_bytes() == BODY


@pytest.mark.parametrize("hash_header", ["x-goog-hash", "ETag"])
def test_a_wrong_md5_never_gets_the_name(bucket, tmp_path, hash_header):
    bucket.files["full/simplified/cat.ndjson"] = BODY
    bucket.md5_of, bucket.hash_header = b"something else", hash_header
    with pytest.raises(DataError, match="md5"):
        get(bucket, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(bucket.requests) == 2


def test_a_part_of_another_file_is_replaced(bucket, tmp_path):
    bucket.files["full/simplified/cat.ndjson"] = BODY
    (tmp_path / "cat.ndjson.part").write_bytes(BODY[:100] + b"x" * 900)
    assert get(bucket, tmp_path)[0].read_bytes() == BODY
    assert [asked for _, asked in bucket.requests] == ["bytes=1000-", None]


def test_a_missing_file_does_not_stop_the_others(bucket, tmp_path):
    for name in ("ant", "cat", "owl"):
        bucket.files[f"full/simplified/{name}.ndjson"] = BODY
    bucket.statuses["full/simplified/cat.ndjson"] = [503, 429]
    with pytest.raises(DataError, match=r"bee\.ndjson \(404") as caught:
        get(bucket, tmp_path, ["owl", "cat", "bee", "ant"], workers=2)
    assert not isinstance(caught.value, UnreachableError)
    names = sorted(item.name for item in tmp_path.iterdir())
    assert names == ["ant.ndjson", "cat.ndjson", "owl.ndjson"]
    assert len([path for path, _ in bucket.requests if "bee" in path]) == 1


def test_a_server_that_stays_busy(bucket, tmp_path):
    bucket.statuses["full/simplified/cat.ndjson"] = [503] * 9
    with pytest.raises(DataError, match="503"):
        get(bucket, tmp_path)
    assert len(bucket.requests) == FAST.attempts


@pytest.mark.parametrize(
    "status, headers, body, answer",
    [
        (204, {}, b"", "204 No Content"),
        (202, {"Content-Length": "7"}, b"waiting", "202 Accepted"),
        (200, {"Content-Length": "0"}, b"", "no bytes"),
        (
            200,
            {"Content-Type": "Text/HTML; charset=utf-8", "Content-Length": "12"},
            b"Please log in",
            "a web page, Text/HTML; charset=utf-8",
        ),
        (200, {"Content-Length": "-5"}, BODY[:1000], "its Content-Length is -5"),
        (200, {"Content-Length": "many"}, BODY[:1000], "its Content-Length is many"),
        (200, {}, BODY[:1000], "its Content-Length is none"),
    ],
)
def test_an_answer_that_is_no_file_is_refused(bucket, tmp_path, status, headers, body, answer):
    bucket.answer = status, headers, body
    with pytest.raises(DataError, match=re.escape(answer)) as caught:
        get(bucket, tmp_path)
    assert f"{bucket.url}full/simplified/cat.ndjson" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "cat.ndjson.part").write_bytes(BODY[:2000])
    with pytest.raises(DataError, match=re.escape(answer)):
        get(bucket, tmp_path)
    assert (tmp_path / "cat.ndjson.part").read_bytes() == BODY[:2000]
    assert len(list(tmp_path.iterdir())) == 1
    assert len(bucket.requests) == 2, "another attempt gives the same"


def test_an_invalid_length_does_not_matter_with_an_md5(bucket, tmp_path):
    etag = f'"{hashlib.md5(BODY).hexdigest()}"'
    bucket.answer = 200, {"Content-Length": "-5", "ETag": etag}, BODY
    assert get(bucket, tmp_path)[0].read_bytes() == BODY
    bucket.answer = 200, {"Content-Length": "-5", "ETag": etag}, BODY[:1000]
    with pytest.raises(DataError, match="md5"):
        get(bucket, tmp_path, ["owl"])
    assert [item.name for item in tmp_path.iterdir()] == ["cat.ndjson"]


@pytest.mark.parametrize("form, other", [("simplified", "raw"), ("raw", "simplified")])
@pytest.mark.parametrize("name", ["cat.ndjson", "cat.ndjson.part"])
def test_a_file_of_another_form_is_not_taken_for_it(bucket, tmp_path, form, other, name):
    for each in (form, other):
        bucket.files[f"full/{each}/cat.ndjson"] = BODIES[each]
    folder = tmp_path / "drawings"
    get(bucket, folder, form=other)
    (folder / "cat.ndjson").rename(folder / name)
    bucket.requests.clear()
    with pytest.raises(DataError) as caught:
        get(bucket, folder, form=form)
    assert str(caught.value) == (
        f"{folder / name} has {other} drawings, and a {form} file would have the same name; "
        f"download {form} into another folder, such as {folder}-{form}"
    )
    assert bucket.requests == []
    assert [item.name for item in folder.iterdir()] == [name]
    assert (folder / name).read_bytes() == BODIES[other]
    assert get(bucket, tmp_path / f"drawings-{form}", form=form)[0].read_bytes() == BODIES[form]


def test_a_part_that_shows_no_form_is_fetched_again(bucket, tmp_path):
    bucket.files["full/raw/cat.ndjson"], bucket.hash_header = BODIES["raw"], "none"
    (tmp_path / "cat.ndjson.part").write_bytes(BODY[:40])
    assert get(bucket, tmp_path, form="raw")[0].read_bytes() == BODIES["raw"]
    assert [asked for _, asked in bucket.requests] == [None]


def test_a_file_whose_form_cannot_be_seen_is_kept(bucket, tmp_path):
    (tmp_path / "cat.ndjson").write_bytes(b"{}")
    assert get(bucket, tmp_path, form="raw")[0].read_bytes() == b"{}"
    assert bucket.requests == []


@pytest.mark.parametrize(
    "form, path, body",
    [
        ("simplified", "full/simplified/cat.ndjson", b'{"error": "sign in"}'),
        ("simplified", "full/simplified/cat.ndjson", BODIES["raw"]),
        ("raw", "full/raw/cat.ndjson", BODIES["simplified"]),
        ("sketchrnn", "sketchrnn/cat.npz", NOISE),
    ],
)
def test_a_file_of_another_form_is_refused(bucket, tmp_path, form, path, body):
    bucket.files[path] = body
    with pytest.raises(DataError, match=f"not of the form {form}"):
        get(bucket, tmp_path, form=form)
    assert list(tmp_path.iterdir()) == []
    assert len(bucket.requests) == 1


def test_no_network_is_reported_soon_and_clearly(tmp_path):
    with socket.socket() as taken:  # Bound, not listening: every connection is refused.
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        start = time.monotonic()
        with pytest.raises(UnreachableError) as caught:
            download(
                tmp_path,
                base_url=f"http://{host}/",
                progress=False,
                patience=Patience(pause=0.1),
            )
    assert time.monotonic() - start < 5
    message = str(caught.value)
    assert message.startswith(f"could not reach {host}: ")
    assert "check the connection, or point --from at a mirror" in message
    assert list(tmp_path.iterdir()) == []


def test_a_silent_server_times_out(bucket, tmp_path):
    bucket.files["full/simplified/cat.ndjson"] = BODY
    bucket.hold = threading.Event()
    with pytest.raises(DataError, match="timed out"):
        get(bucket, tmp_path, patience=Patience(attempts=2, pause=0.01, timeout=0.2))
    bucket.hold.set()
    assert (tmp_path / "cat.ndjson.part").read_bytes() == BODY[: len(BODY) // 2]


def test_files_are_fetched_at_the_same_time(bucket, tmp_path):
    names = all_categories()[:4]
    for name in names:
        bucket.files[f"full/simplified/{name}.ndjson"] = BODY
    bucket.hold = threading.Event()
    run = threading.Thread(target=get, args=(bucket, tmp_path, names))
    run.start()
    for _ in range(500):
        if len(bucket.requests) == 4:
            break
        time.sleep(0.01)
    bucket.hold.set()
    run.join()
    assert len(bucket.requests) == 4
    assert len(list(tmp_path.glob("*.ndjson"))) == 4


def test_an_interruption_keeps_the_parts(bucket, tmp_path, monkeypatch):
    names = all_categories()[:9]
    for name in names:
        bucket.files[f"full/simplified/{name}.ndjson"] = BODY
    bucket.hold = threading.Event()

    def interrupted(futures):
        while len(bucket.requests) < 4 or len(list(tmp_path.iterdir())) < 4:
            time.sleep(0.01)
        threading.Timer(0.2, bucket.hold.set).start()
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        get(bucket, tmp_path, names)
    assert len(bucket.requests) == 4
    assert {item.suffix for item in tmp_path.iterdir()} == {".part"}


def test_the_bar_adds_up_over_a_cut(bucket, tmp_path, monkeypatch):
    path = "full/simplified/cat.ndjson"
    bucket.files[path] = BODY
    bucket.cut_after[path] = [300_000]
    text = io.StringIO()
    bars = []

    class Kept(module.Progress):
        def __init__(self, *columns, **options):
            super().__init__(*columns, console=Console(file=text, width=120), **options)
            bars.append(self)

    monkeypatch.setattr(module, "Progress", Kept)
    get(bucket, tmp_path, progress=True)
    (task,) = bars[0].tasks
    assert task.completed == task.total == len(BODY)
    assert "simplified, 1 of 1 files" in text.getvalue()


def test_folders_that_cannot_be_written(bucket, tmp_path):
    bucket.files["full/simplified/cat.ndjson"] = BODY
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match=r"file cannot be made .*check what is in its place"):
        get(bucket, tmp_path / "file")
    (tmp_path / "cat.ndjson.part").mkdir()
    with pytest.raises(DiskError, match=r"part cannot be written .*check what is in its place"):
        get(bucket, tmp_path)


def test_categories_and_near_names(real_data):
    names = all_categories()
    assert names == sorted(
        p.name.removesuffix(".ndjson.gz") for p in (real_data / "quickdraw").iterdir()
    )
    assert len(names) == len(set(names)) == 345
    assert check_categories(["owl", "cat", "owl"]) == ["cat", "owl"]
    with pytest.raises(DataError) as caught:
        check_categories(["cta", "Eiffel Tower", "cat", "qqqqqq"])
    assert str(caught.value).splitlines() == [
        "no QuickDraw category is called 'Eiffel Tower'; "
        "did you mean 'The Eiffel Tower' or 'flower'?",
        "no QuickDraw category is called 'cta'; did you mean 'cat' or 'car'?",
        "no QuickDraw category is called 'qqqqqq'",
    ]


def test_wrong_forms_and_addresses(tmp_path):
    with pytest.raises(DataError, match="known are simplified, raw, bin, sketchrnn"):
        plan(tmp_path, ["cat"], "svg")
    with pytest.raises(DataError, match="https://"):
        plan(tmp_path, ["cat"], base_url="/mnt/mirror")
    assert len(plan(tmp_path)) == 345
    assert len({job.path for form in FORMS for job in plan(tmp_path / form, form=form)}) == 4 * 345


def test_expected_md5():
    digest = hashlib.md5(b"abc")
    google = Message()
    google["x-goog-hash"] = "crc32c=AAAAAA=="
    google["x-goog-hash"] = "md5=" + base64.b64encode(digest.digest()).decode()
    assert expected_md5(google) == digest.hexdigest()
    right = f'"{digest.hexdigest()}"'
    for tag in (right, f"W/{right}", f'"{digest.hexdigest()}-3"', '"5f-61"', ""):
        headers = Message()
        headers["ETag"] = tag
        assert expected_md5(headers) == (digest.hexdigest() if tag == right else None)
    assert expected_md5(Message()) is None


def test_categories_in_other_spellings():
    assert check_categories(["Hot_Dog", "hot dog", "CAT"]) == ["cat", "hot dog"]
