"""Page, Markdown and terminal show the material, and work without any."""

import csv
import errno
import io
import statistics
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from sketchjax.errors import ConfigError, DataError, DiskError, InUseError
from sketchjax.files import sole_writer
from sketchjax.paper.report import page as study_page
from sketchjax.paper.report.markdown import write_markdown
from sketchjax.paper.report.material import StudyMaterial, StudyRow, load_study, save_study
from sketchjax.paper.report.page import rebuild_study, write_study
from sketchjax.paper.report.terminal import progress_table
from sketchjax.report.material import EntropyExample

VOID = {"meta", "img", "source", "br"}
DASH = "\N{EN DASH}"
SEEDS = (0.81, 0.83, 0.85)


class Page(HTMLParser):
    """Elements, text and tables (rows of cell texts by aria-label); checks that tags close."""

    def __init__(self, path: Path):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.label = ""
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "table":
            self.label = dict(attrs).get("aria-label", "runs")
            self.tables[self.label] = []
        if tag == "tr":
            self.tables[self.label].append([])
        if tag in ("td", "th"):
            self.tables[self.label][-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.words.append(data)
        if {"td", "th"} & set(self.open):
            self.tables[self.label][-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def row(self, table: str, beginning: str) -> list[list[str]]:
        """The cells of the one row with this beginning, each split into words."""
        found = [row for row in self.tables[table] if row and row[0].startswith(beginning)]
        assert len(found) == 1, found
        return [cell.split() for cell in found[0][1:]]


@pytest.fixture(scope="module")
def whole(material, tmp_path_factory) -> tuple[Path, Page]:
    workdir = tmp_path_factory.mktemp("study")
    return workdir, Page(write_study(workdir, material))


@pytest.fixture(scope="module")
def page(whole) -> Page:
    return whole[1]


@pytest.fixture(scope="module")
def document(material, tmp_path_factory) -> Path:
    return write_markdown(tmp_path_factory.mktemp("docs") / "results.md", material)


def test_cells_hold_ours_and_the_papers(page):
    mean, std = statistics.mean(SEEDS), statistics.stdev(SEEDS)
    full = page.row("Table 1: deep hashing", "full")
    assert full == [
        [DASH, "0.6064"],  # MAP at 16 bits: to do
        [f"{mean:.4f}", "±", f"{std:.4f}", "0.6791"],
        [DASH, "0.5978"],
        ["0.5000", "0.6882"],
    ]
    assert page.row("Table 1: deep hashing", "DSH-Supervised, balanced")[0] == ["0.6000", DASH]
    cost = "Table 5: cost of a query"
    assert page.row(cost, "search, 345,000") == [["0.0150", "286"], ["2.76", "937"]]
    assert page.row(cost, "search, 10,000,000") == [["2.00", DASH], ["80.0", DASH]]


def test_data_cannot_become_markup(page):
    assert "A <study>" in page.text
    assert "disk <full> & gone" in page.text
    assert not [tag for tag, _ in page.elements if tag in ("study", "full", "script")]


def test_every_linked_file_exists(whole):
    workdir, page = whole
    names = {"src", "href", "srcset"}
    addresses = [v for _, a in page.elements for k, v in a.items() if k in names]
    assert len(addresses) >= 6 + 1 + 2 * 3  # tables, curves, three figures for light and dark
    for address in addresses:
        assert (workdir / "report" / address).is_file(), address
    assert not [tag for tag, _ in page.elements if tag == "link"]
    for path in (workdir / "report").glob("*.png"):
        with Image.open(path) as image:
            assert min(image.size) > 300
            image.verify()


def test_page_has_facts_claims_runs_and_notes(page):
    for words in (
        "training sketches 29,662",
        "Not finished: 1 of 3 runs done, 1 to do, 1 failed.",
        "yes at 64 bits (0.8300 > DLBHC 0.7200)",
        "word *vectors*: none",
        "sketchjax study --workdir runs/study",
        "full: 97.2% of the first 36 correct; DLBHC: 0.0% of the first 36 correct",
        "10 min 00 s",
    ):
        assert words in page.text


def test_curves_csv_holds_every_point(whole, material):
    with (whole[0] / "report/precision_recall.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 17 + 2 * 65
    last = material.curves[3][2]
    own = [r for r in rows if (r["bits"], r["model"]) == ("64", "full")]
    np.testing.assert_array_equal([float(r["precision"]) for r in own], last.precision)


def test_page_is_rebuilt_from_the_material(whole, material, tmp_path):
    before = {path.name: path.read_bytes() for path in (whole[0] / "report").iterdir()}
    (tmp_path / "report").mkdir()
    (tmp_path / "report/material.json").write_bytes(before["material.json"])
    rebuild_study(tmp_path)
    after = {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()}
    assert before == after
    read = load_study(tmp_path / "report/material.json")
    assert read.comparisons[0].methods[0][1].results[3].points.dtype == np.uint8
    assert [row.state for row in read.rows] == [row.state for row in material.rows]


def test_a_second_report_of_a_study_at_once_is_refused(whole):
    folder = whole[0] / "report"
    with sole_writer(folder), pytest.raises(InUseError, match="in use by another process"):
        rebuild_study(whole[0])


def test_a_full_disk_is_named(whole, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(study_page, "write_whole", refuse)
    with pytest.raises(DiskError, match=r"report cannot be written .*free some space"):
        rebuild_study(whole[0])


def test_missing_or_damaged_material_is_named(tmp_path):
    with pytest.raises(DataError, match="run the study"):
        rebuild_study(tmp_path)
    path = tmp_path / "material.json"
    for content in ("{", "[]", '{"title": "x"}'):
        path.write_text(content)
        with pytest.raises(DataError, match=r"material\.json"):
            load_study(path)


@pytest.mark.parametrize(("good", "bad", "place"), [
    (b'"bits":16', b'"bits":"16"', r"Expected `int .* at `\$\.rows\[0\]\.bits`"),
    (b'"title"', b'"titel"', "missing or unknown: titel, title"),
    (b'"query_category"', b'"category"', r"comparisons\[0\]"),
    (b"255]", b"256]", "256 out of bounds"),
    (b'"star"', b'"st\xffr"', "(?i:utf-8)"),
])  # fmt: skip
def test_damaged_material_says_what_is_wrong(good, bad, place, material, tmp_path):
    path = tmp_path / "material.json"
    sketch = np.array([[255, 255, 255]], np.uint8)
    save_study(path, replace(material, entropy=replace(material.entropy, middle=[sketch])))
    content = path.read_bytes()
    assert good in content
    path.write_bytes(content.replace(good, bad, 1))
    with pytest.raises(DataError, match=place):
        load_study(path)


def test_material_keeps_its_arrays(material, tmp_path):
    save_study(tmp_path / "material.json", material)
    read = load_study(tmp_path / "material.json")
    for (_, _, ours), (_, _, theirs) in zip(read.curves, material.curves, strict=True):
        np.testing.assert_array_equal(ours.precision, theirs.precision)
        assert ours.recall.dtype == np.float64
    assert read.entropy.entropies.dtype == np.float64
    np.testing.assert_array_equal(read.entropy.entropies, material.entropy.entropies)
    np.testing.assert_array_equal(read.entropy.middle[1], material.entropy.middle[1])


@pytest.mark.parametrize("rows", [(), [StudyRow("6", "a", {"accuracy": [float("inf"), None]})]])
def test_an_empty_study_has_page_and_document(rows, tmp_path):
    empty = EntropyExample("star", np.zeros(0), 0.0, 1.0)
    material = StudyMaterial("x", ["1", "6"], rows, entropy=empty)
    page = Page(write_study(tmp_path, material))
    assert page.row("Table 1: deep hashing", "DLBHC")[0] == [DASH, "0.5453"]
    assert not [tag for tag, _ in page.elements if tag == "img"]
    assert "inf" not in page.text
    text = write_markdown(tmp_path / "results.md", material).read_text()
    assert f"| DLBHC | {DASH} / 0.5453" in text
    assert not (tmp_path / "images").exists()


def tables_of(text: str) -> list[list[list[str]]]:
    """The tables of a Markdown text as rows of cells, without the line below the heading."""
    tables, last = [], ""
    for line in text.splitlines():
        if line.startswith("|"):
            if not last.startswith("|"):
                tables.append([])
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if set(line) - set("|-:"):
                tables[-1].append(cells)
        last = line
    return tables


def test_markdown_tables_are_complete(document):
    text = document.read_text()
    tables = tables_of(text)
    # 1: two metrics; 2: two blocks; 4: four lengths of the paper; 5: two; 6; zero-shot: two.
    assert len(tables) == 2 + 2 + 4 + 2 + 1 + 2
    assert all(len({len(row) for row in table}) == 1 for table in tables)
    full = next(row for row in tables[0] if row[0] == "full")
    mean, std = statistics.mean(SEEDS), statistics.stdev(SEEDS)
    assert full == [
        "full", f"{DASH} / 0.6064", f"**{mean:.4f} ± {std:.4f}** / 0.6791", "to do at 16 bits",
    ]  # fmt: skip
    assert tables[0][0] == ["method", "16 bits", "64 bits", "remark"]


def test_markdown_escapes_text_and_has_every_part(document):
    text = document.read_text()
    assert text.startswith("# A \\<study>\n")
    assert "- word \\*vectors\\*: none" in text
    assert "```bash\nsketchjax study --workdir runs/study\n```" in text
    assert "- Our+CEL \\[64\\]: disk \\<full>" in text
    assert "**Holds**: yes at 64 bits (0.8300 > DLBHC 0.7200)" in text
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_markdown_pictures_are_small_and_complete(document):
    text, folder = document.read_text(), document.parent
    shown = {line.split("](")[1].rstrip(")") for line in text.splitlines() if line[:2] == "!["}
    written = {f"images/{path.name}" for path in (folder / "images").iterdir()}
    assert shown == written
    assert len(written) == 3
    for name in written:
        assert name.startswith("images/results-")
        assert (folder / name).stat().st_size < 150_000
        with Image.open(folder / name) as image:
            ground = image.convert("RGB").getpixel((0, 0))
            assert isinstance(ground, tuple)
            assert min(ground) > 240


def test_two_documents_in_a_folder_have_their_own_pictures(material, tmp_path):
    other = replace(material, entropy=replace(material.entropy, category="other"))
    for name, own in (("one", material), ("two", other)):
        write_markdown(tmp_path / f"{name}.md", own)
    shown = [
        {line.split("](")[1].rstrip(")") for line in text.splitlines() if line[:2] == "!["}
        for text in ((tmp_path / f"{name}.md").read_text() for name in ("one", "two"))
    ]
    assert shown[0].isdisjoint(shown[1])
    assert all((tmp_path / name).exists() for name in shown[0] | shown[1])


def test_a_written_document_takes_the_next_version(material, tmp_path):
    document = write_markdown(tmp_path / "results.md", material)
    text = document.read_text()
    document.write_text(f"before\n{text}after\n")
    assert write_markdown(document, material).read_text() == f"before\n{text}after\n"
    document.write_text("mine")
    with pytest.raises(ConfigError, match="no single place"):
        write_markdown(document, material)
    assert document.read_text() == "mine"


def test_terminal_table_shows_states_and_minutes(material):
    console = Console(file=io.StringIO(), width=120)
    console.print(progress_table(material.runs))
    lines = console.file.getvalue().splitlines()
    done = next(line for line in lines if "full, 64 bits" in line)
    assert "done" in done
    assert "10.0" in done
    failed = next(line for line in lines if "Our+CEL [64]" in line)
    assert "failed" in failed
    assert "disk <full>" in failed
    assert DASH in next(line for line in lines if "full, 16 bits" in line)
    footer = next(line for line in lines if "3 runs" in line)
    assert "1 done, 1 to do, 1 failed" in footer
    assert "10.5" in footer  # 630 seconds
    console.print(progress_table(()))


def test_a_finished_study_is_not_called_unfinished(material, tmp_path):
    done = [replace(run, state="done") for run in material.runs]
    page = Page(write_study(tmp_path, StudyMaterial("x", runs=done)))
    assert "Not finished" not in page.text
