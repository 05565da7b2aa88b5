"""The paper's numbers against its own text, and its tables against each other."""

import pytest

from sketchjax.paper.numbers import FULL, rows, scores, source, table_names, title

BITS = (16, 24, 32, 64)


def value(table, field, **equal):
    (row,) = rows(table, **equal)
    return row[field]


def test_every_table_is_complete():
    assert table_names() == ("1", "2", "4", "5", "6", "zero-shot")
    assert [len(rows(name)) for name in table_names()] == [28, 64, 16, 4, 6, 3]
    assert all(title(name) for name in table_names())
    assert "SketchMate" in source()
    for name in table_names():
        for row in rows(name):
            for field in ("map", "precision_at_200", "accuracy", "d1_over_d2"):
                assert 0 < row.get(field, 0.5) < 1
    for name, fields in (("1", ("model",)), ("2", ("features", "method")), ("4", ("model",))):
        keys = [tuple(row[f] for f in (*fields, "bits")) for row in rows(name)]
        assert len(set(keys)) == len(keys)
        assert {key[-1] for key in keys} == set(BITS)


def test_improvements_match_the_text():
    """ "6.11/8.36 and 5.50/4.79 percent improvements … at 16-bit and 64-bit", over DLBHC."""
    for bits, by_map, by_precision in ((16, 0.0611, 0.0836), (64, 0.0550, 0.0479)):
        for field, gain in (("map", by_map), ("precision_at_200", by_precision)):
            ours = value("1", field, model=FULL, bits=bits)
            best = value("1", field, model="DLBHC", bits=bits)
            assert ours - best == pytest.approx(gain, abs=1e-9)


def test_the_full_model_is_best_in_table_1():
    for bits in BITS:
        for field in ("map", "precision_at_200"):
            best = max(rows("1", bits=bits), key=lambda row, field=field: row[field])
            assert best["model"] == FULL


def test_tables_4_and_1_differ_by_one_misprint():
    differing = [
        (row["model"], row["bits"], row["map"])
        for row in rows("4")
        if row["map"] != value("1", "map", model=row["model"], bits=row["bits"])
    ]
    assert differing == [("Our+CEL+SCL", 24, 0.6374)]


@pytest.mark.parametrize("bits", [24, 32, 64])
def test_ratios_of_table_4_are_quotients(bits):
    for row in rows("4", bits=bits):
        assert row["d1"] / row["d2"] == pytest.approx(row["d1_over_d2"], abs=1.1e-4)


@pytest.mark.parametrize(
    "table, field, equal, total",
    [
        ("1", "map", {"bits": 16}, 3.3436),
        ("1", "map", {"bits": 24}, 3.5678),
        ("1", "map", {"bits": 32}, 3.6862),
        ("1", "map", {"bits": 64}, 3.9056),
        ("1", "precision_at_200", {"bits": 16}, 3.2439),
        ("1", "precision_at_200", {"bits": 24}, 3.5710),
        ("1", "precision_at_200", {"bits": 32}, 3.7303),
        ("1", "precision_at_200", {"bits": 64}, 3.9796),
        ("2", "map", {"features": "HOG", "bits": 16}, 0.1291),
        ("2", "map", {"features": "HOG", "bits": 24}, 0.1349),
        ("2", "map", {"features": "HOG", "bits": 32}, 0.1452),
        ("2", "map", {"features": "HOG", "bits": 64}, 0.1627),
        ("2", "map", {"features": "deep feature", "bits": 16}, 2.9311),
        ("2", "map", {"features": "deep feature", "bits": 24}, 3.5413),
        ("2", "map", {"features": "deep feature", "bits": 32}, 3.8291),
        ("2", "map", {"features": "deep feature", "bits": 64}, 4.2511),
        ("4", "d1", {"bits": 16}, 2.3676),
        ("4", "d1", {"bits": 64}, 12.4208),
        ("4", "d2", {"bits": 16}, 17.3723),
        ("4", "d2", {"bits": 64}, 58.8825),
        ("5", "seconds_per_query", {}, 0.658),
        ("5", "memory_mb", {}, 2948),
        ("6", "accuracy", {}, 4.5899),
    ],
)
def test_columns_add_up(table, field, equal, total):
    """The sums come from the paper's text by a program other than the one that made the file."""
    assert sum(row[field] for row in rows(table, **equal)) == pytest.approx(total, abs=1e-9)


def test_supervised_shallow_hashing_is_two_methods():
    assert {row["method"] for row in rows("2", supervised=True)} == {"SDH", "CCA-ITQ"}
    # "deep features outperform shallow hand crafted features by one order of magnitude"
    for bits in BITS:
        deep, by_hand = (
            value("2", "map", features=name, method="PCA-ITQ", bits=bits)
            for name in ("deep feature", "HOG")
        )
        assert deep > 10 * by_hand


def test_values_match_the_text():
    assert value("zero-shot", "map", model=FULL) == 0.7547
    assert value("zero-shot", "map", model="DLBHC") == 0.7094
    assert value("zero-shot", "map", model="DSH-Sketch") == 0.5334
    assert value("6", "accuracy", model="our RNN&CNN + CEL") == 0.7949
    assert value("6", "accuracy", model="Sketch-a-Net") == 0.6871


def test_costs_grow_with_the_bits():
    for field in ("seconds_per_query", "memory_mb"):
        values = [row[field] for row in rows("5")]
        assert values == sorted(values)
        assert len(set(values)) == 4


def test_scores_by_the_names_of_results():
    assert scores(64) == {
        "map": 0.6791,
        "precision_at_200": 0.6882,
        "d1": 2.5231,
        "d2": 17.6179,
        "d1_over_d2": 0.1432,
        "accuracy": 0.8051,
    }
    assert scores(24, "Our+CEL+SCL")["map"] == 0.6371
    assert scores(16, "DLBHC") == {"map": 0.5453, "precision_at_200": 0.5142}
    assert scores(48) == {}


def test_rows_are_selected_by_field():
    assert value("1", "map", model=FULL, bits=64) == 0.6791
    dlbhc = {row["bits"]: row["precision_at_200"] for row in rows("1", model="DLBHC")}
    assert dlbhc == {16: 0.5142, 24: 0.5917, 32: 0.6169, 64: 0.6403}
    assert len({row["model"] for row in rows("1")}) == 7


def test_rows_are_copies():
    rows("1")[0]["map"] = 9
    assert rows("1")[0]["map"] == 0.5453


def test_unknown_names_are_rejected():
    with pytest.raises(ValueError, match="no table '3'"):
        rows("3")
    with pytest.raises(ValueError, match="no field colour"):
        rows("1", colour=1)
