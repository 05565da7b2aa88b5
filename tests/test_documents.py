"""The documents are true and plain: paths exist, commands run, exit codes are ours, and the
English has none of the idioms that make prose read as if it were translated.
"""

import ast
import io
import re
import runpy
import shlex
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from typer.main import get_command

from sketchjax import errors
from sketchjax.cli import app
from sketchjax.config.fields import FIELDS
from sketchjax.data.folder.splits import Counts
from sketchjax.data.sources.doodles import CATEGORIES
from sketchjax.data.sources.records import KINDS
from sketchjax.paper.studies import wrong_study_text

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
INSTALL = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && "


# Idioms of translated prose, each with what to write instead.
IDIOMS = {
    r"\b(tell|tells|told|telling)\b": "say, report, log, show",
    r"\balone\b": "only, by itself",
    r"\b(go|goes|going|gone|went) on\b": "continue, resume",
    r"\b(stand|stands|stood)\b": "is, appears, is written",
    r"\banew\b": "again; regenerate",
    r"\b(come|comes|came) to (its|their|an) end\b": "finish, end",
    r"\bor more can be\b": "must be at least",
    r"\b(that|it|they) cannot be[.,;:)]": "invalid",
    r"\bis no (file|folder|field|split|loss) of\b": "is not a ... of",
    r"\bbeside\b": "next to, alongside",
    r"\bwhat is left\b": "what remains",
    r"\bof its own accord\b": "by itself",
    r"\bby and by\b": "gradually",
    r"\bso many\b": "this many, a number of",
}
# The same words in senses that are good English.
GOOD = re.compile(
    r"\b(?:tell|tells|telling|told) (?:\S+ ){0,3}(?:apart|from)\b|\b(?:leav(?:e|es|ing)|left) "
    r"(?:\S+ ){0,4}alone\b|\blet alone\b|-alone\b|\bgo(?:es)? on (?:top|the|an?|each|every|its)\b"
    r"|\bstands? (?:in )?(?:for|out)\b|\bstand-|\bwhat is left (?:out|over|behind)\b"
    r"|\bso many (?:\w+ )?that\b|\bpoints beside\b",
    re.IGNORECASE,
)
FENCES = re.compile(r"```.*?```", re.DOTALL)
CODE = re.compile(r"(`+)[^`]+\1")


@cache
def prose() -> list[tuple[str, str]]:
    """Place and text of all prose: documents, docstrings, messages and comments, without code."""
    found = []
    for path in DOCUMENTS:
        text = FENCES.sub(lambda block: "\n" * block[0].count("\n"), path.read_text())
        found += [(path, number, part) for number, part in paragraphs(text)]
    for folder in ("sketchjax", "configs", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text()
            found += [(path, number, part) for number, part in strings(text)]
            found += [(path, number, part) for number, part in comments(text)]
    for path in sorted((ROOT / "launch").glob("*.sh")):
        found += [(path, number, part) for number, part in paragraphs(path.read_text())]
    return [(f"{path.relative_to(ROOT)}:{number}", plain(text)) for path, number, text in found]


def plain(text: str) -> str:
    """A text in one line, without code and without idioms in their good senses."""
    return GOOD.sub("...", " ".join(CODE.sub("CODE", text).split()))


def paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """The first line's number and the text of what blank lines separate."""
    for part in re.finditer(r"(?:[^\n]*\S[^\n]*(?:\n|$))+", text):
        yield text.count("\n", 0, part.start()) + 1, part[0]


def strings(source: str) -> Iterator[tuple[int, str]]:
    """The docstrings and messages of a Python file: its strings of several words."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, FENCES.sub("", node.value)


def comments(source: str) -> Iterator[tuple[int, str]]:
    """The comments of a Python file; those of adjacent lines as one."""
    lines: list[str] = []
    first = last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        number = token.start[0]
        if number != last + 1 and lines:
            yield first, " ".join(lines)
            lines = []
        if not lines:
            first = number
        lines.append(token.string.lstrip("# "))
        last = number
    if lines:
        yield first, " ".join(lines)


@pytest.mark.parametrize("idiom", IDIOMS)
def test_the_english_is_plain(idiom):
    pattern = re.compile(idiom, re.IGNORECASE)
    found = [
        f"{place}: {text[max(0, match.start() - 60) : match.end() + 60]}"
        for place, text in prose()
        for match in pattern.finditer(text)
    ]
    listing = "\n".join(found[:40])
    assert not found, f"{len(found)} times; write {IDIOMS[idiom]}:\n{listing}"


@pytest.mark.parametrize(
    "text, is_plain",
    [
        ("the run goes on with the next stage", False),
        ("the label goes on top of the bar", True),
        ("two reds that the eye cannot tell apart", True),
        ("it told the trainer to stop", False),
        ("`*` stands for the name of a row", True),
        ("a flag stands in the config", False),
        ("it leaves the older file alone", True),
        ("trained by one loss alone", False),
        ("`alone(workdir)` and `tell` are names of functions", True),
        ("so many classes that nothing fits", True),
        ("the run finishes,\ncontinues and resumes", True),
        ("the run goes\non", False),
    ],
)
def test_idioms_are_found_in_their_bad_senses_only(text, is_plain):
    found = [idiom for idiom in IDIOMS if re.search(idiom, plain(text), re.IGNORECASE)]
    assert (not found) == is_plain


def blocks(document: Path) -> list[str]:
    """The commands of a document's shell blocks, one per line, without comments."""
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


def test_the_architecture_names_every_room():
    text = (ROOT / "docs" / "architecture.md").read_text()
    package = ROOT / "sketchjax"
    rooms = [f"{path.parent.name}/" for path in package.glob("*/__init__.py")]
    assert len(rooms) >= 7
    assert [room for room in rooms if f"`{room}`" not in text] == []


def test_the_readme_begins_with_the_two_commands():
    run, test = blocks(ROOT / "README.md")[:2]
    assert run.startswith(INSTALL)
    assert test == INSTALL + ".venv/bin/python -m pytest -n 3 --dist worksteal"
    assert (ROOT / shlex.split(run)[shlex.split(run).index("--config") + 1]).exists()
    drawn = runpy.run_path(str(ROOT / "configs" / "quickstart.py"))["get_config"]()
    doodles = len(CATEGORIES) * drawn.data.synthetic_per_category
    text = " ".join((ROOT / "README.md").read_text().split())
    assert f"draws {doodles:,} doodles of {len(CATEGORIES)} categories" in text
    # .ci/run passes the tests by the same command.
    script = (ROOT / ".ci" / "run").read_text()
    command = r'"\$bin/python" -m pytest -n 3 --dist worksteal "\$\{chosen\[@\]\}"$'
    assert re.search(command, script, re.M)


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


def named_fields(text: str) -> set[str]:
    """The fields of a config that a document names: as flags, or in code as `SECTION.FIELD`."""
    found = set(re.findall(r"--config\.(\w[\w.]*\w)", text))
    sections = "|".join({name.split(".")[0] for name in FIELDS if "." in name})
    for code in re.findall(r"`((?:%s)\.[\w.]*\w)(?:=[^`]*)?`" % sections, text):  # noqa: UP031
        module = ROOT / "sketchjax" / code.replace(".", "/")
        is_code = module.with_suffix(".py").exists() or module.is_dir()
        if not is_code and code != "model.safetensors":
            found.add(code)
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_fields_exist(document):
    problems = {name: wrong_study_text(name, "x") for name in named_fields(document.read_text())}
    assert [problem for problem in problems.values() if problem and "is no field" in problem] == []


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
