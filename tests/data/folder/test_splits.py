"""Splits by keyed hash against plain Python integers, and what holds when files are added."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchjax.data.folder import hashing, splits
from sketchjax.data.folder.hashing import keyed_hash, rank_within
from sketchjax.data.folder.splits import (
    SPLITS,
    Counts,
    Fractions,
    SplitFile,
    split_rule,
)
from sketchjax.errors import ConfigError, DataError

KEYS = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=300, unique=True)


def plain_mix(state: int) -> int:
    """SplitMix64 in Python's own integers."""
    state = (state + 0x9E3779B97F4A7C15) % 2**64
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
    return state ^ (state >> 31)


def named(split: np.ndarray) -> list[str | None]:
    return [None if index < 0 else SPLITS[index] for index in split.tolist()]


def assign(rule, key_ids, labels=None, seed=0) -> dict[int, str | None]:
    key_ids = np.array(key_ids, np.uint64)
    labels = np.zeros(len(key_ids), np.uint16) if labels is None else np.array(labels, np.uint16)
    split, _ = rule.assign(key_ids, keyed_hash(key_ids, seed), labels, int(labels.max()) + 1)
    return dict(zip(key_ids.tolist(), named(split), strict=True))


def test_mix_is_the_published_sequence():
    # The first outputs of SplitMix64 for the seed 1234567, as its reference code prints them.
    state, found = 1234567, []
    for _ in range(3):
        found.append(int(hashing._mix(np.array([state], np.uint64))[0]))
        state = (state + 0x9E3779B97F4A7C15) % 2**64
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(KEYS, st.integers(-5, 2**65))
def test_keyed_hash_mixes_number_and_key_one_to_one(numbers, key):
    found = keyed_hash(np.array(numbers, np.uint64), key)
    offset = plain_mix(key % 2**64)
    assert found.tolist() == [plain_mix((number + offset) % 2**64) for number in numbers]
    assert len(set(found.tolist())) == len(numbers)


def test_every_part_of_a_key_matters():
    numbers = np.arange(100, dtype=np.uint64)
    hashes = [keyed_hash(numbers, key) for key in (0, 1, (0, 1), (1, 0), (1, 1))]
    assert len(np.unique(np.concatenate(hashes))) == 500


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 10**6)), unique_by=lambda p: p[1]))
def test_rank_within(pairs):
    labels = np.array([label for label, _ in pairs], np.uint16)
    hashes = np.array([value for _, value in pairs], np.uint64)
    expected = [sum(o == label and h < value for o, h in pairs) for label, value in pairs]
    assert rank_within(labels, hashes).tolist() == expected


def test_fractions_are_met():
    rule = Fractions({"train": 0.7, "validation": 0.1, "gallery": 0.15, "query": 0.05})
    found = list(assign(rule, range(40_000), seed=3).values())
    # Five standard deviations of a binomial of 40,000.
    for name, share in rule.fractions.items():
        assert abs(found.count(name) / 40_000 - share) < 5 * (share * (1 - share) / 40_000) ** 0.5
    assert found.count(None) == 0


def test_fractions_below_one_leave_the_rest_out():
    rule = Fractions({"train": 0.25})
    first, second = (assign(rule, range(10_000), seed=seed) for seed in (1, 2))
    assert 2_200 < list(first.values()).count("train") < 2_800
    assert list(first.values()).count(None) == 10_000 - list(first.values()).count("train")
    assert first != second


@given(KEYS, st.integers(0, 300), st.integers(0, 2**63))
def test_adding_sketches_moves_none_with_fractions(keys, cut, seed):
    rule = Fractions(splits.DEFAULT_FRACTIONS)
    whole = assign(rule, keys, seed=seed)
    if keys[:cut]:
        part = assign(rule, keys[:cut], seed=seed)
        assert part == {key: whole[key] for key in part}


@given(KEYS, st.integers(0, 300), st.integers(0, 2**63))
def test_adding_sketches_changes_no_split_with_counts(keys, cut, seed):
    rule = Counts({"train": 40, "validation": 3, "gallery": 10, "query": 5})
    whole = assign(rule, keys, seed=seed)
    if keys[:cut]:
        part = assign(rule, keys[:cut], seed=seed)
        assert all(whole[key] in (split, None) for key, split in part.items())


def test_counts_are_exact_in_large_enough_categories():
    rule = Counts({"train": 300, "validation": 20, "gallery": 100, "query": 10})
    rng = np.random.default_rng(0)
    sizes = [rule.wanted, 2 * rule.wanted, 9 * rule.wanted]
    labels = np.repeat(np.arange(3), sizes)
    rng.shuffle(labels)
    keys = rng.choice(2**62, len(labels), replace=False)
    found = assign(rule, keys, labels)
    for label in range(3):
        own = [found[key] for key in keys[labels == label].tolist()]
        assert [own.count(name) for name in SPLITS] == [300, 20, 100, 10]


def test_counts_take_the_smallest_hashes_of_their_band():
    rule = Counts({"train": 50, "query": 50})
    keys = np.arange(1_000, dtype=np.uint64)
    found = assign(rule, keys)
    hashes = dict(zip(keys.tolist(), keyed_hash(keys, 0).tolist(), strict=True))
    for name, low, high in (("train", 0, 2**63), ("query", 2**63, 2**64)):
        band = sorted(value for value in hashes.values() if low <= value < high)
        assert sorted(hashes[key] for key in keys.tolist() if found[key] == name) == band[:50]


def test_shortages_name_category_and_split():
    labels = np.repeat(np.array([0, 1], np.uint16), [500, 30])
    keys = np.arange(530, dtype=np.uint64)
    rule = Counts({"train": 100, "query": 0})
    _, shortages = rule.assign(keys, keyed_hash(keys, 0), labels, 2)
    assert [shortage.label for shortage in shortages] == [1]
    assert "of 100" in shortages[0].reason
    assert "query" not in shortages[0].reason
    _, shortages = Fractions({"train": 0.01, "query": 0.9}).assign(
        keys[500:503], keyed_hash(keys[500:503], 0), labels[500:503] - 1, 1
    )
    assert [shortage.label for shortage in shortages] == [0]


def test_one_sketch_too_few_is_a_shortage():
    keys = np.arange(500, dtype=np.uint64)
    labels = np.zeros(500, np.uint16)
    for count, short in ((499, []), (500, []), (501, [0])):
        _, shortages = Counts({"train": count}).assign(keys, keyed_hash(keys, 0), labels, 1)
        assert [shortage.label for shortage in shortages] == short


@pytest.mark.parametrize(
    "values, message",
    [
        ({"train": 0.9, "query": 0.2}, "add up to 1.1, not to at most 1"),
        ({"train": -0.5}, "within 0 to 1"),
        ({"train": 1.5}, "within 0 to 1"),
        ({"test": 0.5}, "'test' is not a split"),
        ({"train": -1}, "must be a whole number of at least 0"),
        ({"train": 0, "query": 0}, "all splits are 0"),
        ({"train": 100, "query": 0.5}, "mix counts and fractions"),
    ],
)
def test_invalid_splits_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        split_rule(values)


def test_split_rule_distinguishes_counts_and_fractions():
    assert isinstance(split_rule({"train": 9000, "query": 100}), Counts)
    assert isinstance(split_rule({"train": 1.0, "query": 0}), Fractions)
    assert split_rule(None).settings() == Fractions(splits.DEFAULT_FRACTIONS).settings()


def test_split_file(tmp_path):
    path = tmp_path / "splits.csv"
    path.write_text("key_id,split\n18446744073709551615,query\n7,train\n\n5,gallery\n")
    rule = split_rule(path)
    found = assign(rule, [5, 6, 7, 8, 2**64 - 1])
    assert found == {5: "gallery", 6: None, 7: "train", 8: None, 2**64 - 1: "query"}
    assert isinstance(rule, SplitFile)
    assert len(rule.key_ids) == 3


def test_extra_drawings_of_a_category_are_those_with_the_smallest_hashes(tmp_path):
    path = tmp_path / "splits.csv"
    path.write_text("key_id,split\n1,query\n2,train\n")
    rule = SplitFile.read(path, extra_train=2)
    key_ids, labels = np.arange(1, 9, dtype=np.uint64), np.array([0, 0, 0, 0, 0, 1, 1, 1])
    hashes = np.array([0, 1, 50, 40, 30, 3, 9, 6], np.uint64)
    found, shortages = rule.assign(key_ids, hashes, labels, 2)
    assert found.tolist() == [3, 0, -1, 0, 0, 0, -1, 0]
    assert shortages == []
    assert rule.settings()["split_file"]["extra_train"] == 2
    assert "extra_train" not in split_rule(path).settings()["split_file"]


def test_an_empty_split_file_may_have_extra_drawings(tmp_path):
    path = tmp_path / "splits.csv"
    path.write_text("key_id,split\n")
    key_ids, labels = np.arange(3, dtype=np.uint64), np.zeros(3, np.int64)
    found, _ = SplitFile.read(path, extra_train=2).assign(key_ids, key_ids, labels, 1)
    assert found.tolist() == [0, 0, -1]


@pytest.mark.parametrize(
    "content, message",
    [
        ("key,split\n1,train\n", "line 1: a split file starts with"),
        ("", "line 1"),
        ("key_id,split\n1,train\n2,test\n", "line 3: split 'test' is not one of"),
        ("key_id,split\n1,train\n5.1E+15,train\n", "line 3: key_id '5.1E.15' is empty or"),
        ("key_id,split\n ,train\n", "line 2: key_id ''"),
        ("key_id,split\n1,train,2\n", "line 2: two columns"),
        ("key_id,split\n9,train\n1,train\n9,query\n", "key_id 9 occurs twice in the split file"),
    ],
)
def test_malformed_split_files_are_refused(tmp_path, content, message):
    path = tmp_path / "splits.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        SplitFile.read(path)


def test_a_missing_split_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.csv"):
        SplitFile.read(tmp_path / "nothing.csv")
