"""The files of launch/ for servers and clusters agree with each other and with the commands."""

import shlex
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from sketchjax.cli import app

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

LAUNCH = Path(__file__).parents[2] / "launch"


def compose(folder: str) -> dict:
    return yaml.safe_load((LAUNCH / folder / "compose.yaml").read_text())["services"]


def test_the_replicas_use_options_that_exist():
    verb, *words = compose("replicas")["search"]["command"]
    said = CliRunner().invoke(app, [verb, "--help"], env={"COLUMNS": "200"}).output
    for word in words:
        assert not word.startswith("--") or f"{word} " in said
    assert "--token-file" not in words  # so that the index is open for reading only
    entry = next(
        line
        for line in (LAUNCH / "replicas" / "Dockerfile").read_text().splitlines()
        if line.startswith("ENTRYPOINT")
    )
    assert yaml.safe_load(entry.removeprefix("ENTRYPOINT")) == ["sketchjax"]


def test_files_that_are_mounted_exist():
    for folder in ("replicas", "clickhouse"):
        for service in compose(folder).values():
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                assert not source.startswith("./") or (LAUNCH / folder / source).is_file()
            dockerfile = service.get("build", {}).get("dockerfile", "launch")
            assert (LAUNCH.parent / dockerfile).exists()


def test_the_cluster_names_the_nodes_that_are_started():
    nodes = {name: node for name, node in compose("clickhouse").items() if name != "keeper"}
    config = ElementTree.parse(LAUNCH / "clickhouse" / "config.xml")
    (cluster,) = config.find("remote_servers")
    assert cluster.tag in (LAUNCH / "clickhouse" / "cluster.sql").read_text()
    shards = [[host.text for host in shard.iter("host")] for shard in cluster.findall("shard")]
    for number, hosts in enumerate(shards, 1):
        for host in hosts:
            environment = nodes.pop(host)["environment"]
            assert f"shard{environment['SHARD']}{environment['REPLICA']}" == host
            assert environment["SHARD"] == str(number)
    assert not nodes
    keeper = ElementTree.parse(LAUNCH / "clickhouse" / "keeper.xml")
    ports = {keeper.find(".//tcp_port").text, config.find("zookeeper/node/port").text}
    assert len(ports) == 1


def test_the_example_of_the_cluster_is_an_address():
    from sketchjax.index.server import Address

    text = (LAUNCH / "clickhouse" / "compose.yaml").read_text()
    words = shlex.split(text.split("--engine")[1].splitlines()[0])
    address = Address.of(words[0])
    assert address.database == "drawings"
    assert set(address.settings) == {
        "insert_quorum", "insert_quorum_parallel", "select_sequential_consistency"
    }  # fmt: skip
