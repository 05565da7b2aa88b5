"""The page: readable without a network, true to its inputs, whole when parts are missing."""

import csv
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from sketchjax.config import default
from sketchjax.data.sketch import points_of_strokes
from sketchjax.errors import DataError
from sketchjax.report.material import (
    EntropyExample,
    Neighbour,
    OpenChoice,
    PrecisionRecall,
    Retrieval,
    Stage,
    load_material,
)
from sketchjax.report.page import rebuild, write_report
from sketchjax.run.writers import Writers, read_metrics, read_results, write_results

VOID = {"meta", "link", "img", "source", "br", "path", "hr"}
STAGES = ("cnn", "rnn", "joint", "center", "full")


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
    config = default()
    config.name = "a test"
    return {
        "map": 0.8412,
        "map_best": 0.8533,
        "map_worst": 0.8279,
        "map_stable": 0.8405,
        "precision_at_200": 0.6934,
        "accuracy": 0.9004,
        "bits": 64,
        "classes": 55,
        "train": 29_662,
        "gallery": 8_477,
        "queries": 2_134,
        "seconds_total": 4920.0,
        "sketches_per_second": dict.fromkeys(STAGES, 150.0),
        "config": config.to_dict(),
        "versions": {"jax": "0.10.2", "flax": "0.12.8"},
        "device": "cpu, 2 cores",
    } | changes


def train(workdir: Path) -> None:
    with Writers(workdir) as writers:
        for step in range(1, 101):
            stage = STAGES[(step - 1) // 20]
            writers.write(step, {"epoch": step % 20 / 4, "loss": 2 / step, "accuracy": 0.5}, stage)
            if step % 20 == 0:
                values = {"validation_accuracy": 0.8 + step / 1000}
                writers.write(step, values, stage)
                if step > 40:
                    writers.write(step, {"map": 0.7 + step / 1000}, stage)


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


def report(workdir: Path, changes: dict | None = None, **material) -> Page:
    write_results(workdir, results(**(changes or {})))
    path = write_report(
        workdir,
        results=read_results(workdir) or {},
        metrics=read_metrics(workdir),
        **material,
    )
    assert path == workdir / "report" / "index.html"
    return Page(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, Page]:
    workdir = tmp_path_factory.mktemp("whole")
    train(workdir)
    return workdir, report(workdir, **full_material())


def test_everything_it_shows_lies_beside_it(whole):
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


def test_figures_are_small_pngs_with_words_for_those_who_cannot_see(whole):
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


def test_the_headline_and_the_paper_s_numbers_are_there(whole):
    text = whole[1].text
    for words in (
        "MAP 0.8412",
        "precision@200 0.6934",
        "accuracy 0.9004",
        "55 classes",
        "29,662 training sketches",
        "8,477 gallery sketches",
        "2,134 queries",
        "1 h 22 min in all",
        "on cpu, 2 cores",
        "worst order gives 0.8279",
        "Our+CEL+SCL+QL (Full) 64 0.6791 0.6882",
        "do not compare one to one",
        "precision@200 cannot be much more than 0.7706",  # 8,477 / 55 / 200
        "jax 0.10.2",
        "configs/test.py",
    ):
        assert words in text


def test_each_stage_stands_beside_its_row_with_values_from_metrics(whole):
    workdir, _ = whole
    with (workdir / "report/stages.csv").open() as file:
        rows = list(csv.reader(file))[1:]
    assert [row[0] for row in rows] == list(STAGES)
    assert [row[7] for row in rows] == [
        "",
        "",
        "Our+CEL",
        "Our+CEL+SCL",
        "Our+CEL+SCL+QL (Full)",
    ]
    assert [float(row[2]) for row in rows] == pytest.approx([0.82, 0.84, 0.86, 0.88, 0.9])
    assert [float(row[3]) for row in rows[2:]] == pytest.approx([0.76, 0.78, 0.8])
    assert [float(row[4]) for row in rows[2:]] == [0.6525, 0.6767, 0.6791]


def test_false_positives_are_framed_and_the_precision_is_printed(whole):
    workdir, page = whole
    tiles = [a for a in page.all("li") if "Hamming distance" in a.get("title", "")]
    assert len(tiles) == 36
    wrong = [index for index, a in enumerate(tiles) if a.get("class") == "wrong"]
    assert wrong == [3, 17, 35]
    assert tiles[3]["title"] == "4: dog, Hamming distance 0, false positive"
    assert "precision 91.7 % in the top 36" in page.text
    assert (workdir / "report/retrieval-1.png").is_file()


def test_entropy_s_three_parts_and_thresholds_are_shown(whole):
    text = whole[1].text
    assert "300 training sketches of “star”" in text
    assert "between 0.1051 and 0.1721 bits" in text
    assert len([a for a in whole[1].all("svg") if a["aria-label"] == "star"]) == 4


def test_the_whole_config_and_the_open_choices_are_shown(whole):
    text = whole[1].text
    assert "model.cnn.batch_norm True" in text
    assert "AlexNet: batch normalisation" in text
    for section, fields in default().to_dict().items():
        for field in fields if isinstance(fields, dict) else ():
            assert f"{section}.{field}" in text


def test_words_of_the_data_cannot_become_markup(tmp_path):
    name = '<script>alert("1")</script>&'
    shown = [Neighbour(points(1), name, 1, False)]
    page = report(
        tmp_path,
        retrievals=[Retrieval(points(0), name, shown)],
        entropy_example=EntropyExample(name, np.ones(3), 0.5, 1.5, [points(2)]),
        choices=[OpenChoice(name, name, name)],
        title=name,
    )
    assert not page.all("script")
    assert page.text.count(name) >= 6


def test_a_run_with_nothing_but_results_still_has_its_page(tmp_path):
    page = report(tmp_path, {"sketches_per_second": {}, "config": {}})
    assert not page.all("img")
    assert "MAP 0.8412" in page.text
    assert "Retrievals" not in page.text
    assert "Precision and recall" not in page.text
    assert (tmp_path / "report/results.csv").is_file()


@pytest.mark.parametrize("count", [0, 1, 7])
def test_fewer_than_36_results_are_shown_as_they_are(tmp_path, count):
    shown = [Neighbour(points(i), "cat", 0, True) for i in range(count)]
    page = report(tmp_path, retrievals=[Retrieval(points(50), "cat", shown)])
    expected = f"precision 100.0 % in the top {count}" if count else "nothing to show"
    assert expected in page.text


def test_a_class_with_one_sketch_has_its_histogram(tmp_path):
    lonely = EntropyExample("star", np.array([0.2]), 0.2, 0.2, middle=[points(1)])
    page = report(tmp_path, entropy_example=lonely)
    assert [image["src"] for image in page.all("img")].count("entropy.png") == 1
    assert page.text.count("No sketch lies here") == 2


def test_bits_that_the_paper_has_not_are_told(tmp_path):
    page = report(tmp_path, {"bits": 48})
    assert "The paper has no number at 48 bits" in page.text
    assert "Our+CEL+SCL+QL (Full) 64 0.6791" in page.text


def test_given_values_of_a_stage_are_not_overwritten(tmp_path):
    train(tmp_path)
    page = report(tmp_path, stages=[Stage("joint", "mine", map=0.1234)])
    assert "joint mine 0.8600 0.1234" in page.text
    with (tmp_path / "report/stages.csv").open() as file:
        assert [row[0] for row in csv.reader(file)] == ["after stage", "joint"]


def test_rebuild_makes_the_same_page_from_the_files_alone(whole):
    workdir, page = whole
    before = {path.name: path.read_bytes() for path in (workdir / "report").iterdir()}
    for path in (workdir / "report").iterdir():
        if path.name != "material.json":
            path.unlink()
    rebuild(workdir)
    after = {path.name: path.read_bytes() for path in (workdir / "report").iterdir()}
    assert before.keys() == after.keys()
    changed = {name for name in before if before[name] != after[name]}
    assert not changed
    assert page.source.encode() == after["index.html"]


def test_results_in_numpy_s_types_and_tuples_give_the_page_of_plain_ones(tmp_path):
    given = results(train=np.int64(29_662), map=np.float32(0.5), config={"k": (100, 200)})
    path = write_report(tmp_path, results=given, metrics=[])
    page = path.read_bytes()
    assert b"29,662" in page
    write_results(tmp_path, given)
    assert rebuild(tmp_path).read_bytes() == page


def test_rebuild_of_an_unfinished_run_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="run it again"):
        rebuild(tmp_path)


def test_material_that_cannot_be_read_is_named(whole, tmp_path):
    (tmp_path / "material.json").write_text('{"curve": 3}')
    with pytest.raises(DataError, match=r"material\.json"):
        load_material(tmp_path / "material.json")
    read = load_material(whole[0] / "report/material.json")
    assert read.retrievals[0].results[3].points.dtype == np.uint8
    np.testing.assert_array_equal(read.retrievals[0].results[3].points, points(3))
