"""`sketchjax serve` as people start it: on a finished run and on an index, and how it stops."""

import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from command_line import call
from doodle_server import doodle_app
from starlette.testclient import TestClient
from tiny_run import finish, free_port

from sketchjax.errors import ConfigError
from sketchjax.retrieval.codes import Codes
from sketchjax.serving import server
from sketchjax.serving.app import PAGE
from sketchjax.serving.client import Client
from sketchjax.serving.server import listen
from sketchjax.serving.settings import origin_of

ROOT = Path(__file__).parents[2]
HOUSE = [[[40, 40, 200, 200, 40], [110, 240, 240, 110, 110]], [[40, 120, 200], [110, 30, 110]]]


def start(environment, *arguments: object) -> subprocess.Popen:
    command = [sys.executable, "-u", "-m", "sketchjax.cli", "serve", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=environment | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
    )  # fmt: skip


def until_ready(process: subprocess.Popen) -> str:
    """What it printed until it could be drawn at."""
    lines = []
    for line in process.stdout or ():
        lines.append(line)
        if line.startswith("Draw at "):
            return line
    raise AssertionError("".join(lines))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_finished_run_is_served_with_no_step_between(whole, environment, how):
    port = free_port()
    process = start(environment, whole, "--port", port)
    try:
        assert f"http://127.0.0.1:{port}/" in until_ready(process)
        client = Client(f"http://127.0.0.1:{port}")
        found = client.search(HOUSE)
        gallery = Codes.load(whole / "codes" / "gallery")
        assert len(found["results"]) == client.index()["count"] == len(gallery)
        assert client.index()["model"] == gallery.model
        assert found["categories"][0]["name"] in ("cat", "clock", "face", "sun")
        process.send_signal(how)
        assert finish(process, 30) == 0
    finally:
        process.kill()


def test_it_listens_on_this_machine_only(whole, environment):
    process = start(environment, whole, "--port", 0)
    try:
        assert "Draw at http://127.0.0.1:" in until_ready(process)
        listening = subprocess.run(
            ["ss", "-ltnp"], capture_output=True, text=True, check=False
        ).stdout
        own = [line for line in listening.splitlines() if f"pid={process.pid}," in line]
        assert all("127.0.0.1:" in line for line in own)
    finally:
        process.kill()
        process.wait()


def test_a_port_that_is_taken(tmp_path, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert call("serve", tmp_path, "--port", taken.getsockname()[1]) == 64
    assert "choose another --port" in capsys.readouterr().err


def test_two_servers_that_start_together_do_not_share_a_port(capsys):
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"cannot listen at 127\.0\.0\.1:{port} \(Address"):
            listen("127.0.0.1", port)


def test_a_server_that_does_not_start_is_not_said_to_be_ready(monkeypatch):
    app, said = doodle_app(), []

    def fail(*_, **__):
        raise OSError("no server")

    monkeypatch.setattr(server.uvicorn.Server, "run", fail)
    with pytest.raises(OSError, match="no server"):
        server.run(app, listen("127.0.0.1", 0), lambda: said.append("ready"))
    app.state.service.warm()
    assert not said


def test_what_is_neither_run_nor_index(tmp_path, capsys):
    start = time.monotonic()
    assert call("serve", tmp_path / "nothing", "--port", 0) == 65
    assert "is not there" in capsys.readouterr().err
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(
    "options, words",
    [
        (["--threads", "0"], "must be at least 1"),
        (["--host", "no.such.host.invalid"], "cannot listen"),
        (["--port", "70000"], "must be from 0 to 65535"),
        (["--port", "-1"], "must be from 0 to 65535"),
        (["--token-file", "nothing"], "--token-file needs an index"),
        (["--allow-host", "http://draw.example"], "--allow-host http://draw.example: give only"),
        (["--allow-host", "draw.example:8000"], "give only a name"),
        (["--allow-host", "größe.example"], "in ASCII as browsers send it"),
        (["--allow-host", "*"], "give only a name"),
        (["--allow-host", "::1"], "every address in digits without this option"),
        (["--allow-host", ""], "give only a name"),
        (["--allow-origin", "draw.example"], "give scheme, name and port"),
        (["--allow-origin", "draw.example:8000"], "give scheme, name and port"),
        (["--allow-origin", "https://größe.example"], "in ASCII"),
        (["--allow-origin", "https://draw.example:port"], "give scheme, name and port"),
        (["--allow-origin", "https://[draw"], "give scheme, name and port"),
        (["--allow-origin", "https://A.example:443/page"], "give https://a.example, which"),
        (["--allow-origin", "https://a.example/?q"], "give https://a.example, which"),
        (["--allow-origin", "https://me@a.example"], "give https://a.example, which"),
    ],
)
def test_options_that_cannot_be(tmp_path, capsys, options, words):
    (tmp_path / "config.json").touch()  # as in a workdir
    assert call("serve", tmp_path, "--port", 0, *options) == 64
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "given, sent",
    [
        ("https://draw.example/", "https://draw.example"),
        ("HTTPS://Draw.Example:443", "https://draw.example"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("https://draw.example:80", "https://draw.example:80"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
        ("moz-extension://0123-ab", "moz-extension://0123-ab"),
    ],
)
def test_an_origin_is_what_browsers_send(given, sent):
    """RFC 6454, section 6: in lower case, without the scheme's own port, path or slash."""
    with TestClient(doodle_app(origins=(origin_of(given),)), base_url="http://localhost") as client:
        headers = client.get("/healthz", headers={"origin": sent}).headers
    assert headers["access-control-allow-origin"] == sent


def test_all_origins_may_be_allowed():
    with TestClient(doodle_app(origins=(origin_of("*"),)), base_url="http://localhost") as client:
        headers = client.get("/healthz", headers={"origin": "https://any.example"}).headers
    assert headers["access-control-allow-origin"] == "*"


def test_a_missing_extra_is_one_sentence(tmp_path, capsys, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("sketchjax.serving")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert call("serve", tmp_path) == 64
    error = capsys.readouterr().err
    assert error == "sketchjax: serve needs fastapi: pip install 'sketchjax[serve]'\n"


def test_the_wheel_has_the_page_and_the_model(tmp_path):
    build = pytest.importorskip("hatchling.builders.wheel", reason="hatchling is not installed")
    (wheel,) = build.WheelBuilder(str(ROOT)).build(directory=str(tmp_path))
    names = zipfile.ZipFile(wheel).namelist()
    assert {Path(name).name for name in names if "/page/" in name} == {n for n, _ in PAGE.values()}
    own = {path.name for path in (ROOT / "sketchjax" / "serving" / "local").iterdir()}
    assert {Path(name).name for name in names if "/serving/local/" in name} == own
    assert {"sketchjax/packaged/model.safetensors", "sketchjax/packaged/README.md"} <= {*names}


def test_every_file_of_the_page_is_in_the_table():
    folder = ROOT / "sketchjax" / "serving" / "page"
    assert {path.name for path in folder.iterdir()} == {name for name, _ in PAGE.values()}
