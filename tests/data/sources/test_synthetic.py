"""Synthetic doodles: valid QuickDraw files, repeatable, with pairs that need order or shape."""

import json
import time
from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sketchjax.data import sources as formats
from sketchjax.data.sketch import strokes
from sketchjax.data.sources import doodles as synthetic
from sketchjax.data.sources.doodles import CATEGORIES, draw, hand, noise, write
from sketchjax.data.sources.doodles import pen as pens
from sketchjax.errors import ConfigError, DiskError

ORDER_PAIRS = [
    ("target", "ripple"),
    ("stairs up", "stairs down"),
    ("ladder", "railway"),
    ("sunrise", "sunset"),
]
SHAPE_PAIRS = [("dotted circle", "dotted square"), ("waffle", "picture frame")]


def drawings(category, count, seed=0):
    return [draw(category, np.random.default_rng([seed, index])) for index in range(count)]


def picture(points, side=32):
    """Ink from 0 to 1, f[side side], drawn by Pillow at four times the size."""
    image = Image.new("L", (4 * side, 4 * side))
    pen = ImageDraw.Draw(image)
    scale = (4 * side - 9) / 255
    for stroke in strokes(points):
        pen.line([tuple(point) for point in stroke * scale + 4], fill=255, width=5)
    return np.asarray(image.resize((side, side), Image.Resampling.BOX)) / 255


def entropy(points):
    """Entropy in bits of the binary picture: 224 px, lines of 2 px."""
    image = Image.new("1", (224, 224))
    pen = ImageDraw.Draw(image)
    for stroke in strokes(points):
        pen.line([tuple(point) for point in stroke * (219 / 255) + 2], fill=1, width=2)
    ink = np.asarray(image).mean()
    return -ink * np.log2(ink) - (1 - ink) * np.log2(1 - ink)


def backwards(points):
    """The same drawing played from its end to its start."""
    return [stroke[::-1].tolist() for stroke in reversed(list(strokes(points)))]


def assert_simplified(points):
    """Points u8[t 3] as QuickDraw's simplified form has them."""
    assert points.dtype == np.uint8
    assert points.ndim == 2
    assert points.shape[1] == 3
    assert 2 <= len(points) <= 128
    assert set(points[:, 2].tolist()) <= {0, 1}
    assert points[-1, 2] == 1
    # The simplification may leave out an extreme point that is less than 2 px off its line.
    assert points[:, :2].min(0).max() <= 2, "not aligned to the top left"
    assert points[:, :2].max() >= 253, "the larger side is not 255"
    assert min(len(stroke) for stroke in strokes(points)) >= 2


def test_there_are_at_least_32_categories_each_once():
    assert len(set(CATEGORIES)) == len(CATEGORIES) >= 32
    assert {name for pair in ORDER_PAIRS + SHAPE_PAIRS for name in pair} <= set(CATEGORIES)


@pytest.mark.parametrize("category", CATEGORIES)
def test_drawings_are_simplified_and_of_typical_length(category):
    drawn = drawings(category, 40)
    for points in drawn:
        assert_simplified(points)
    lengths = [len(points) for points in drawn]
    assert 14 <= np.median(lengths) <= 85
    assert min(lengths) >= 6


def test_typical_lengths_are_20_to_80():
    lengths = np.array([len(p) for name in CATEGORIES for p in drawings(name, 15)])
    assert np.mean((lengths >= 20) & (lengths <= 80)) > 0.75


@pytest.mark.parametrize("category", CATEGORIES)
def test_drawings_differ_and_a_seed_repeats_them(category):
    drawn = drawings(category, 20)
    assert len({points.tobytes() for points in drawn}) == 20
    again = drawings(category, 20)
    assert all(np.array_equal(a, b) for a, b in zip(drawn, again, strict=True))


@pytest.mark.parametrize("first, second", ORDER_PAIRS)
def test_order_pairs_are_one_drawing_backwards(first, second):
    for index in range(30):
        a = draw(first, np.random.default_rng(index))
        b = draw(second, np.random.default_rng(index))
        assert [stroke.tolist() for stroke in strokes(a)] == backwards(b)
        assert not np.array_equal(a, b)
        # Played backwards, the lines on the paper are the same ones.
        assert np.abs(picture(a) - picture(b)).mean() < 0.01


@pytest.mark.parametrize("first, second", ORDER_PAIRS)
def test_pictures_of_order_pairs_have_one_distribution(first, second):
    """The mean pictures of a pair differ no more than two halves of one category do."""
    a = np.array([picture(points) for points in drawings(first, 160, seed=1)])
    b = np.array([picture(points) for points in drawings(second, 160, seed=2)])
    other = np.array([picture(points) for points in drawings("house", 160, seed=3)])

    def apart(x, y):
        return np.abs(x.mean(0) - y.mean(0)).mean()

    within = (apart(a[::2], a[1::2]) + apart(b[::2], b[1::2])) / 2
    assert apart(a, b) < 1.5 * within
    assert apart(a, other) > 3 * within


@pytest.mark.parametrize(
    "category, kept",
    [
        # Independent of the programs: where the first line is relative to the last.
        ("target", lambda s: np.ptp(s[0], 0).max() > np.ptp(s[-1], 0).max()),
        ("ripple", lambda s: np.ptp(s[0], 0).max() < np.ptp(s[-1], 0).max()),
        ("stairs up", lambda s: len(s[0]) > len(s[-1])),
        ("stairs down", lambda s: len(s[0]) < len(s[-1])),
        ("ladder", lambda s: np.ptp(s[0], 0)[1] > np.ptp(s[-1], 0)[1]),
        ("railway", lambda s: np.ptp(s[0], 0)[1] < np.ptp(s[-1], 0)[1]),
        ("sunrise", lambda s: np.ptp(s[0], 0)[0] > np.ptp(s[-1], 0)[0]),
        ("sunset", lambda s: np.ptp(s[0], 0)[0] < np.ptp(s[-1], 0)[0]),
    ],
)
def test_order_is_kept_in_most_drawings_but_not_in_all(category, kept):
    count = 400
    share = np.mean([kept([s.astype(int) for s in strokes(p)]) for p in drawings(category, count)])
    assert 0.90 <= share <= 0.985


@pytest.mark.parametrize("first, second", SHAPE_PAIRS)
def test_shape_pairs_differ_only_in_the_picture(first, second):
    a, b = drawings(first, 200, seed=1), drawings(second, 200, seed=2)
    lengths = [np.mean([len(points) for points in side]) for side in (a, b)]
    counts = [np.mean([points[:, 2].sum() for points in side]) for side in (a, b)]
    assert abs(lengths[0] - lengths[1]) < 0.08 * lengths[0]
    assert abs(counts[0] - counts[1]) < 0.05 * counts[0]
    # Any order: the first stroke of a drawing can be anywhere.
    for side in (a, b):
        firsts = np.array([next(strokes(points)).mean(0) for points in side])
        assert firsts.std(0).min() > 20
    means = [np.mean([picture(points) for points in side], axis=0) for side in (a, b)]
    half = [np.mean([picture(points) for points in a[i::2]], axis=0) for i in (0, 1)]
    assert np.abs(means[0] - means[1]).mean() > 2 * np.abs(half[0] - half[1]).mean()


def four_lines():
    """Four strokes of four points: x says which stroke, y the direction."""
    return [np.array([(x, y) for y in (0.0, 30.0, 60.0, 90.0)]) for x in (0, 30, 60, 90)]


def test_how_often_a_hand_slips():
    rng = np.random.default_rng(0)
    drawn = [hand.slips(four_lines(), rng) for _ in range(4000)]
    # A share of 0.08 of 4,000 has a deviation of 0.004.
    assert np.mean([len(drawing) == 3 for drawing in drawn]) == pytest.approx(0.07, abs=0.02)
    assert np.mean([len(drawing) == 5 for drawing in drawn]) == pytest.approx(0.06, abs=0.02)
    longest = [max(stroke[:, 1].max() for stroke in drawing) for drawing in drawn]
    assert np.mean(np.array(longest) > 90) == pytest.approx(0.08, abs=0.02)
    assert all(drawing[0][0, 0] == 0 for drawing in drawn), "the first stroke is never forgotten"


@pytest.mark.parametrize(
    "order, usual, turned",
    [
        (hand.Order.HABIT, 0.75 + 0.25 / 24, 0.15),  # one in 24 permutations changes nothing
        (hand.Order.ANY, 1 / 24, 0.5),
        (hand.Order.KEPT, 0.95, 0.05),
        (hand.Order.BACKWARDS, 0.05, 0.95),
    ],
)
def test_how_often_orders_and_directions_occur(order, usual, turned):
    rng = np.random.default_rng(0)
    drawn = [hand.ordered(four_lines(), rng, order) for _ in range(3000)]
    for drawing in drawn:
        assert sorted(stroke[0, 0] for stroke in drawing) == [0, 30, 60, 90]
    as_given = [[stroke[0, 0] for stroke in drawing] == [0, 30, 60, 90] for drawing in drawn]
    assert np.mean(as_given) == pytest.approx(usual, abs=0.03)
    upwards = [stroke[0, 1] > stroke[-1, 1] for drawing in drawn for stroke in drawing]
    assert np.mean(upwards) == pytest.approx(turned, abs=0.03)


def test_where_the_pen_stays_down():
    rng = np.random.default_rng(0)

    def lifts(order):
        drawn = [hand.perform(four_lines(), rng, order) for _ in range(1500)]
        return np.mean([points[:, 2].sum() for points in drawn])

    # Forgotten and repeated strokes nearly balance: 4 - 0.07 + 0.06; one in 8.3 loses a pen-up.
    assert lifts(hand.Order.KEPT) == pytest.approx(3.99, abs=0.04)
    assert lifts(hand.Order.HABIT) == pytest.approx(3.99 - 0.12, abs=0.05)


def test_noise_lies_outside_the_ordinary_range_of_ink():
    """Fig. 4's entropy separates them: in each category most scribbles and near-empty ones."""
    for category in CATEGORIES:
        program, _ = synthetic.PROGRAMS[category]
        usual = [entropy(points) for points in drawings(category, 40)]
        for kind, beyond in ((noise.scribble, np.greater), (noise.near_empty, np.less)):
            for index in range(8):
                rng = np.random.default_rng([index, 5])
                points = kind(program(pens.Pen(rng)), rng)
                assert_simplified(points)
                limit = max(usual) if kind is noise.scribble else min(usual)
                assert beyond(entropy(points), limit), (category, kind.__name__, index)


def test_files_are_json_lines_as_documented(tmp_path):
    paths = write(tmp_path, per_category=12, seed=3)
    assert [path.name for path in paths] == [f"{name}.ndjson" for name in CATEGORIES]
    assert sorted(tmp_path.iterdir()) == sorted(paths), "the folder holds something else"
    keys = set()
    for path, category in zip(paths, CATEGORIES, strict=True):
        lines = path.read_text().splitlines()
        assert len(lines) == 12
        for line in lines:
            record = json.loads(line)
            assert set(record) == {"word", "key_id", "recognized", "drawing"}
            assert record["word"] == category
            assert record["recognized"] in (True, False)
            assert record["key_id"].isdecimal()
            assert len(record["key_id"]) == 16
            keys.add(record["key_id"])
            for stroke in record["drawing"]:
                xs, ys = stroke
                assert len(xs) == len(ys) >= 2
                assert all(type(v) is int and 0 <= v <= 255 for v in xs + ys)
    assert len(keys) == 12 * len(CATEGORIES)


def test_bytes_depend_on_the_seed(tmp_path):
    def content(folder, **arguments):
        return [path.read_bytes() for path in write(tmp_path / folder, **arguments)]

    first = content("a", per_category=5, seed=1)
    assert content("b", per_category=5, seed=1, workers=2) == first
    assert content("c", per_category=5, seed=2) != first
    some = content("d", per_category=5, seed=1, categories=["cat", "railway"])
    assert some == [first[CATEGORIES.index("cat")], first[CATEGORIES.index("railway")]]
    more = content("e", per_category=9, seed=1)
    assert all(long.startswith(short) for long, short in zip(more, first, strict=True))
    assert all(long.count(b"\n") == 9 for long in more)


def test_six_in_a_hundred_are_noise(tmp_path):
    (path,) = write(tmp_path, per_category=2000, seed=0, categories=["moon"])
    records = [json.loads(line) for line in path.read_text().splitlines()]
    noisy = [record["drawing"] for record in records if not record["recognized"]]
    kinds = Counter(sum(len(xs) for xs, _ in drawing) > 20 for drawing in noisy)
    # 60 are expected of each, with a deviation of 7.6.
    assert 30 <= kinds[True] <= 90
    assert 30 <= kinds[False] <= 90


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    (old,) = write(tmp_path, per_category=3, seed=0, categories=["fish"])
    before = old.read_bytes()
    spoil = synthetic.draw_or_spoil

    def fails_at_the_cat(category, rng):
        if category == "cat":
            raise RuntimeError("power cut")
        return spoil(category, rng)

    monkeypatch.setattr(synthetic, "draw_or_spoil", fails_at_the_cat)
    with pytest.raises(RuntimeError, match="power cut"):
        write(tmp_path, per_category=3, seed=0, categories=["fish", "cat"])
    assert list(tmp_path.iterdir()) == [old]
    assert old.read_bytes() == before


def test_files_are_read_by_the_reader_of_real_data(tmp_path):
    (path,) = write(tmp_path, per_category=30, seed=4, categories=["light bulb"])
    read = list(formats.read(path))
    made = synthetic.sketches("light bulb", 30, seed=4)
    assert sum(len(chunk) for chunk in read) == len(made) == 30
    for name in ("points", "key_ids", "recognized", "places"):
        there = np.concatenate([getattr(chunk, name) for chunk in read])
        assert np.array_equal(there, getattr(made, name)), name
    (nothing,) = write(tmp_path, per_category=0, seed=4, categories=["cat"])
    assert nothing.read_bytes() == b""


def test_mistakes_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no synthetic category 'dragon'.*railway"):
        draw("dragon", np.random.default_rng(0))
    with pytest.raises(ConfigError, match="dragon"):
        write(tmp_path, per_category=1, seed=0, categories=["cat", "dragon"])
    assert list(tmp_path.iterdir()) == [], "files were written before the mistake was found"
    with pytest.raises(ConfigError, match="per_category=-1"):
        write(tmp_path, per_category=-1, seed=0)
    with pytest.raises(ConfigError, match="workers=0: must be at least 1"):
        write(tmp_path, per_category=1, seed=0, workers=0)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DiskError, match=r"file cannot be written.*what is in its place"):
        write(blocked, per_category=1, seed=0, categories=["cat"])


def test_long_drawings_are_thinned_to_128_points():
    rng = np.random.default_rng(0)
    wild = [rng.uniform(0, 100, (150, 2)), rng.uniform(0, 100, (90, 2))]
    points = hand.perform(wild, rng, hand.Order.KEPT)
    assert_simplified(points)


def test_lines_of_the_pen_go_through_their_knots():
    knots = [(0.0, 0.0), (10.0, 40.0), (70.0, 20.0), (90.0, 90.0)]
    for line in (pens.path(*knots), pens.curve(*knots)):
        for knot in knots:
            assert np.abs(line - knot).max(1).min() < 1e-9
    ring = pens.arc(10, 20, 5, 8, 0, 360)
    assert np.allclose(((ring - (10, 20)) / (5, 8)) ** 2 @ [1, 1], 1)


def test_two_thousand_sketches_a_second_on_one_core(tmp_path):
    write(tmp_path, per_category=1, seed=0)
    start = time.process_time()
    write(tmp_path, per_category=20, seed=0)
    # 3,500 a second on a slow shared core; a third of the promise still passes on a busy machine.
    assert 20 * len(CATEGORIES) / (time.process_time() - start) > 700
