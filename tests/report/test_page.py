"""The page: readable without a network, true to its inputs, complete when parts are missing."""

import csv
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from sketchjax.data.sketch import points_of_strokes
from sketchjax.errors import DataError
from sketchjax.report.material import (
    EntropyExample,
    Neighbour,
    OpenChoice,
    PrecisionRecall,
    PublishedRows,
    PublishedStage,
    Reference,
    Retrieval,
    StageRow,
    load_material,
)
from sketchjax.report.page import write_page, write_report

VOID = {"meta", "link", "img", "source", "br", "path", "hr"}
STAGES = ("cnn", "rnn", "joint", "center", "full")
CONFIG = {
    "name": "a test",
    "seed": 3,
    "model": {"bits": 64, "cnn": {"batch_norm": True, "width": 1.0}},
    "stages": {
        name: {"epochs": epochs, "losses": {"cross_entropy": 1.0, "center": weight}}
        for name, epochs, weight in zip(STAGES, (20, 20, 5, 5, 0), (0, 0, 0, 0.01, 1), strict=True)
    },
    "evaluation": {"queries": "query"},
}
REFERENCE = Reference(
    source="A. Uthor, A Paper, 2018",
    name="the paper",
    heading="Next to the paper",
    size_note="It had far more data.",
    results=PublishedRows(
        [{"model": "Theirs (Full)", "bits": 64, "map": 0.6791, "precision_at_200": 0.6882}],
        "This run and theirs.",
        "They used other sketches.",
    ),
    distances=PublishedRows([{"model": "Theirs", "d1": 2.5, "d2": 17.5}], "Theirs too.", "A note."),
    stages={
        "joint": PublishedStage("Row 1", 0.6525, 0.65),
        "full": PublishedStage("Row 2", 0.6791),
    },
    entropy_note="They have a figure of it.",
    speed_note="They were slow.",
    choices_heading="What they leave open",
    choices_column="open",
)


class Page(HTMLParser):
    """All elements of a page with their attributes, and its text; checks that tags are closed."""

    def __init__(self, path: Path):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


def points(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return points_of_strokes([rng.integers(0, 256, (5, 2)) for _ in range(3)])


def results(**changes) -> dict:
    return {
        "map": 0.8412,
        "map_best": 0.8533,
        "map_worst": 0.8279,
        "map_stable": 0.8405,
        "precision_at_200": 0.6934,
        "most_precision_at_200": 0.7706,
        "accuracy": 0.9004,
        "bits": 64,
        "classes": 55,
        "train": 29_662,
        "gallery": 8_477,
        "queries": 2_134,
        "seconds_total": 4920.0,
        "sketches_per_second": dict.fromkeys(STAGES, 150.0),
        "config": CONFIG,
        "after_stages": {name: {} for name in STAGES},
        "versions": {"jax": "0.10.2", "flax": "0.12.8"},
        "device": "cpu, 2 cores",
    } | changes


def training() -> list[dict]:
    """The lines of metrics.jsonl of five stages of 20 steps."""
    lines = []
    for step in range(1, 101):
        at = {"stage": STAGES[(step - 1) // 20], "step": step}
        lines.append(at | {"epoch": step % 20 / 4, "loss": 2 / step, "accuracy": 0.5})
        if step % 20 == 0:
            lines.append(at | {"validation_accuracy": 0.8 + step / 1000})
            if step > 40:
                lines.append(at | {"map": 0.7 + step / 1000})
    return lines


def full_material() -> dict:
    wrong = {3, 17, 35}
    shown = [
        Neighbour(points(i), "dog" if i in wrong else "cat", i // 4, i not in wrong)
        for i in range(36)
    ]
    return {
        "curve": PrecisionRecall(np.linspace(0.3, 1, 65), np.linspace(0.95, 0.02, 65)),
        "entropy_example": EntropyExample(
            "star",
            np.random.default_rng(0).normal(0.13, 0.02, 300),
            0.1051,
            0.1721,
            [points(1)],
            [points(2), points(3)],
            [points(4)],
        ),
        "retrievals": [Retrieval(points(99), "cat", shown)],
        "title": "configs/test.py",
    }


def report(workdir: Path, changes: dict | None = None, metrics=(), **material) -> Page:
    path = write_report(workdir, results=results(**(changes or {})), metrics=metrics, **material)
    assert path == workdir / "report" / "index.html"
    for name in ("results.json", "metrics.jsonl"):  # the page links to them
        (workdir / name).touch()
    return Page(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, Page]:
    """A page with all that a page can have."""
    workdir = tmp_path_factory.mktemp("whole")
    ranking = {"queries": "query", "gallery": "gallery", "map": 0.8412, "precision_at_200": 0.6934}
    other = {"queries": "validation", "gallery": "gallery", "map": 0.8311, "map_stable": None}
    changes = {"rankings": [ranking, other], "d1": 4.5, "d2": 32.5, "d1_over_d2": 0.14}
    choices = [OpenChoice("a question", "model.cnn.batch_norm", True)]
    material = full_material() | {"choices": choices, "reference": REFERENCE}
    return workdir, report(workdir, changes, training(), **material)


def test_everything_it_shows_is_next_to_it(whole):
    workdir, page = whole
    addresses = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset")
    ]
    assert len(addresses) > 10
    for address in addresses:
        assert (workdir / "report" / unquote(address)).resolve().is_file(), address
        assert not address.startswith(("/", "http", "file:"))
    assert not page.all("script")
    assert not page.all("link")
    assert "url(" not in page.source
    assert "@import" not in page.source


def test_figures_are_small_pngs_with_descriptions(whole):
    workdir, page = whole
    images = page.all("img")
    assert {image["src"] for image in images} == {
        "training.png",
        "speed.png",
        "precision_recall.png",
        "entropy.png",
    }
    assert all(len(image["alt"]) > 30 for image in images)
    for path in (workdir / "report").glob("*.png"):
        assert path.stat().st_size < 200_000
        with Image.open(path) as image:
            image.verify()
    assert all(svg["aria-label"] for svg in page.all("svg"))


def test_the_headline_and_the_published_figures_are_there(whole):
    text = whole[1].text
    for words in (
        "MAP 0.8412",
        "precision@200 0.6934",
        "accuracy 0.9004",
        "55 classes",
        "29,662 training sketches",
        "8,477 gallery sketches",
        "2,134 queries",
        "1 h 22 min in total",
        "on cpu, 2 cores",
        "worst order gives 0.8279",
        "Next to the paper It had far more data. This run and theirs.",
        "this run 64 0.8412 0.6934 0.9004 55 29,662 8,477 Theirs (Full) 64 0.6791 0.6882",
        "Other rows: published in A. Uthor, A Paper, 2018. They used other sketches.",
        "Theirs too. CSV model d1 d2 d1/d2 this run 4.50 32.50 0.1400 Theirs 2.50 17.50",
        "A note.",
        "They have a figure of it.",
        "They were slow.",
        "What they leave open open config field value a question model.cnn.batch_norm True",
        "query gallery 0.8412",
        "validation gallery 0.8311",
        "8,477 sketches in 55 classes, too few per class for precision@200 to exceed 0.7706",
        "jax 0.10.2",
        "configs/test.py",
    ):
        assert words in text


def test_each_stage_is_next_to_its_row_with_values_from_metrics(whole):
    workdir, _ = whole
    with (workdir / "report/stages.csv").open() as file:
        rows = list(csv.reader(file))[1:]
    assert [row[0] for row in rows] == list(STAGES)
    assert [row[7] for row in rows] == [
        "",
        "",
        "Row 1",
        "",
        "Row 2",
    ]
    assert [float(row[2]) for row in rows] == pytest.approx([0.82, 0.84, 0.86, 0.88, 0.9])
    assert [float(row[3]) for row in rows[2:]] == pytest.approx([0.76, 0.78, 0.8])
    assert [row[4] for row in rows[2:]] == ["0.6525", "", "0.6791"]
    assert [row[1] for row in rows[2:4]] == ["cross_entropy", "cross_entropy + 0.01 center"]


def test_false_positives_are_framed_and_precision_shown(whole):
    workdir, page = whole
    tiles = [a for a in page.all("li") if "Hamming distance" in a.get("title", "")]
    assert len(tiles) == 36
    wrong = [index for index, a in enumerate(tiles) if a.get("class") == "wrong"]
    assert wrong == [3, 17, 35]
    assert tiles[3]["title"] == "4: dog, Hamming distance 0, false positive"
    assert "precision 91.7 % in the top 36" in page.text
    assert (workdir / "report/retrieval-1.png").is_file()


def test_the_three_parts_of_the_entropy_are_shown(whole):
    text = whole[1].text
    assert "300 training sketches of “star”" in text
    assert "between 0.1051 and 0.1721 bits" in text
    assert len([a for a in whole[1].all("svg") if a["aria-label"] == "star"]) == 4


def test_the_complete_config_is_shown(whole):
    text = whole[1].text
    for words in (
        "name a test",
        "model.bits 64",
        "model.cnn.batch_norm True",
        "stages.center.losses.center 0.01",
        "evaluation.queries query",
    ):
        assert words in text


def test_without_a_reference_only_this_run_is_shown(tmp_path):
    choices = [OpenChoice("a question", "seed", 3)]
    page = report(tmp_path, metrics=training(), choices=choices, **full_material())
    assert "Scores Scores of this run. CSV model bits MAP P@200" in page.text
    assert "Choices of this run choice config field value a question seed 3" in page.text
    assert "paper" not in page.text
    with (tmp_path / "report/stages.csv").open() as file:
        assert next(csv.reader(file)) == [
            "after stage",
            "objective",
            "validation accuracy",
            "MAP",
            "P@200",
        ]


def test_a_page_of_scores_that_do_not_exist(tmp_path):
    names = ("map_stable", "map_worst", "precision_at_200", "accuracy", "d1", "d2", "d1_over_d2")
    page = report(tmp_path, dict.fromkeys(names), reference=REFERENCE)
    for words in ("MAP 0.8412", "this run 64 0.8412 \N{EN DASH} \N{EN DASH} 55"):
        assert words in page.text
    for words in ("precision@200 cannot", "stable sort", "None", "between classes", "Theirs too"):
        assert words not in page.text
    assert len(page.all("dt")) == 1, "MAP is the only score"


def test_scores_may_be_missing_altogether(tmp_path):
    given = results()
    for name in ("map", "map_best", "map_worst", "map_stable", "precision_at_200", "accuracy"):
        del given[name]
    page = Page(write_report(tmp_path, results=given, metrics=[]))
    assert not page.all("dt")
    assert "this run 64 \N{EN DASH} \N{EN DASH} \N{EN DASH} 55" in page.text


def test_one_class_in_the_gallery_has_only_d1(tmp_path):
    page = report(tmp_path, {"d1": 4.5, "d2": None})
    assert "this run 4.50 \N{EN DASH} \N{EN DASH}" in page.text


def test_one_ranking_has_no_table(tmp_path):
    ranking = {"queries": "validation", "gallery": "gallery", "map": 0.8412}
    page = report(tmp_path, {"rankings": [ranking]})
    assert "2,134 validation queries" in page.text
    assert not (tmp_path / "report/rankings.csv").exists()


def test_a_recogniser_has_its_accuracy(tmp_path):
    names = ("bits", "map", "map_best", "map_worst", "map_stable", "precision_at_200")
    page = report(tmp_path, dict.fromkeys(names), metrics=training())
    assert "Sketch recognition" in page.text
    assert "this run 0.9004 55 29,662" in page.text
    assert "MAP" not in page.text


def test_names_in_the_data_cannot_become_markup(tmp_path):
    name = '<script>alert("1")</script>&'
    shown = [Neighbour(points(1), name, 1, False)]
    page = report(
        tmp_path,
        retrievals=[Retrieval(points(0), name, shown)],
        entropy_example=EntropyExample(name, np.ones(3), 0.5, 1.5, [points(2)]),
        choices=[OpenChoice(name, name, name)],
        title=name,
        reference=replace(REFERENCE, source=name, heading=name, choices_heading=name),
    )
    assert not page.all("script")
    assert page.text.count(name) >= 9


def test_a_run_with_only_results_has_a_page(tmp_path):
    page = report(tmp_path, {"sketches_per_second": {}, "config": {}, "after_stages": {}})
    assert not page.all("img")
    assert "MAP 0.8412" in page.text
    assert "Retrievals" not in page.text
    assert "Precision and recall" not in page.text
    assert (tmp_path / "report/results.csv").is_file()


@pytest.mark.parametrize("count", [0, 1, 7])
def test_fewer_than_36_results_are_all_shown(tmp_path, count):
    shown = [Neighbour(points(i), "cat", 0, True) for i in range(count)]
    page = report(tmp_path, retrievals=[Retrieval(points(50), "cat", shown)])
    expected = f"precision 100.0 % in the top {count}" if count else "the gallery returned nothing"
    assert expected in page.text


def test_a_class_with_one_sketch_has_its_histogram(tmp_path):
    lonely = EntropyExample("star", np.array([0.2]), 0.2, 0.2, middle=[points(1)])
    page = report(tmp_path, entropy_example=lonely)
    assert [image["src"] for image in page.all("img")].count("entropy.png") == 1
    assert page.text.count("No sketch is in this part") == 2


def test_given_values_of_a_stage_are_kept(tmp_path):
    stages = [StageRow("joint", "mine", map=0.1234)]
    page = report(tmp_path, metrics=training(), stages=stages)
    assert "joint mine 0.8600 0.1234" in page.text
    with (tmp_path / "report/stages.csv").open() as file:
        assert [row[0] for row in csv.reader(file)] == ["after stage", "joint"]


def test_results_in_numpy_s_types_give_the_page_of_plain_ones(tmp_path):
    given = results(train=np.int64(29_662), map=np.float32(0.5), config={"k": (100, 200)})
    page = write_report(tmp_path, results=given, metrics=[]).read_bytes()
    assert b"29,662" in page
    plain = given | {"train": 29_662, "map": 0.5, "config": {"k": [100, 200]}}
    assert write_report(tmp_path, results=plain, metrics=[]).read_bytes() == page


def test_the_page_is_the_same_from_material_json(whole, tmp_path):
    workdir, page = whole
    material = load_material(workdir / "report/material.json")
    assert material.reference == REFERENCE
    changes = {"d1": 4.5, "d2": 32.5, "d1_over_d2": 0.14}
    again = write_page(tmp_path, results(**changes), training(), material).read_text("utf-8")
    assert again.split("Next to the paper")[0] == page.source.split("Next to the paper")[0]
    assert again.split("Training</h2>")[1] == page.source.split("Training</h2>")[1]


def test_material_that_cannot_be_read_is_named(whole, tmp_path):
    path = tmp_path / "material.json"
    for content in ('{"curve": 3}', "{", '{"retrievals": [{"query_points": [[300, 0, 0]]}]}'):
        path.write_text(content)
        with pytest.raises(DataError, match=r"material\.json cannot be read"):
            load_material(path)
    read = load_material(whole[0] / "report/material.json")
    assert read.retrievals[0].results[3].points.dtype == np.uint8
    np.testing.assert_array_equal(read.retrievals[0].results[3].points, points(3))


def test_material_of_other_versions_can_be_read(tmp_path):
    path = tmp_path / "material.json"
    path.write_text('{"title": "old", "stages": [{"name": "joint", "paper_row": "x"}], "new": 1}')
    material = load_material(path)
    assert (material.title, material.stages, material.reference) == (
        "old",
        [StageRow("joint")],
        None,
    )


def test_a_curve_without_precision_keeps_its_place(tmp_path):
    curve = PrecisionRecall(np.linspace(0, 1, 65), np.full(65, np.nan))
    page = report(tmp_path, curve=curve)
    assert [image["src"] for image in page.all("img")].count("precision_recall.png") == 1
    read = load_material(tmp_path / "report/material.json").curve
    assert read is not None
    np.testing.assert_array_equal(read.precision, curve.precision)
