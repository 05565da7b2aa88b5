"""The documents say what is so: paths exist, commands are those that run, exit codes are ours."""

import re
import runpy
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from sketchjax import errors
from sketchjax.cli import app
from sketchjax.data.folder.splits import Counts
from sketchjax.data.sources.doodles import CATEGORIES
from sketchjax.data.sources.records import KINDS

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
INSTALL = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && "


def blocks(document: Path) -> list[str]:
    """The commands of a document's shell blocks, one a line, without comments."""
    shell = "\n".join(re.findall(r"```bash\n(.*?)```", document.read_text(), re.DOTALL))
    lines = shell.replace("\\\n", " ").splitlines()
    return [line for line in (line.split(" #")[0].strip() for line in lines) if line and
            not line.startswith("#")]  # fmt: skip


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)", document.read_text()):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_files_are_there(document):
    words = re.findall(r"`([\w./]+?\.(?:py|sh|toml|md))[`:]", document.read_text())
    places = (ROOT, ROOT / "sketchjax", ROOT / "docs")
    missing = [word for word in words if not any((place / word).exists() for place in places)]
    assert not missing


def test_every_room_stands_in_the_architecture():
    text = (ROOT / "docs" / "architecture.md").read_text()
    package = ROOT / "sketchjax"
    rooms = [f"{path.parent.name}/" for path in package.glob("*/__init__.py")]
    assert len(rooms) >= 7
    assert [room for room in rooms if f"`{room}`" not in text] == []


def test_the_readme_begins_with_the_two_commands():
    run, test = blocks(ROOT / "README.md")[:2]
    assert run.startswith(INSTALL)
    assert test == INSTALL + ".venv/bin/python -m pytest -n 2"
    assert (ROOT / shlex.split(run)[shlex.split(run).index("--config") + 1]).exists()
    drawn = runpy.run_path(str(ROOT / "configs" / "quickstart.py"))["get_config"]()
    doodles = len(CATEGORIES) * drawn.data.synthetic_per_category
    text = " ".join((ROOT / "README.md").read_text().split())
    assert f"draws {doodles:,} doodles of {len(CATEGORIES)} categories" in text
    # .ci/run passes the tests by the same command.
    assert re.search(r'"\$bin/python" -m pytest -n 2$', (ROOT / ".ci" / "run").read_text(), re.M)


def test_configs_and_verbs_of_all_commands_exist():
    verbs = set(vars(get_command(app))["commands"])
    named = set()
    for line in [line for document in DOCUMENTS for line in blocks(document)]:
        words = shlex.split(line)
        for place, word in enumerate(words[:-1]):
            if word == "--config":
                assert (ROOT / words[place + 1].split(":")[0]).exists(), line
            if word.endswith("sketchjax"):
                named.add(words[place + 1])
    named |= set(re.findall(r"`sketchjax (\w+) ", (ROOT / "README.md").read_text())) - {"VERB"}
    assert named <= verbs
    assert {"download", "convert"} <= named


def test_exit_codes_are_those_of_the_errors():
    kinds = [kind for kind in vars(errors).values()
             if isinstance(kind, type) and issubclass(kind, errors.SketchjaxError)
             and kind is not errors.SketchjaxError]  # fmt: skip
    codes = {0} | {kind.exit_code for kind in kinds}
    table = re.findall(r"^\| (\d+) \|", (ROOT / "README.md").read_text(), re.M)
    assert {int(code) for code in table} == codes


def test_the_page_on_data_is_up_to_date():
    text = (ROOT / "docs" / "data.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.M)) == set(KINDS)
    wanted = Counts({"train": 9000, "validation": 1000, "gallery": 1000, "query": 100}).wanted
    assert f"{wanted:,} here" in text
