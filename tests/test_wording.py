"""Numbers with their nouns."""

import pytest

from sketchjax.wording import counted


@pytest.mark.parametrize(
    "number, nouns, words",
    [
        (1, ("drawing",), "1 drawing"),
        (0, ("drawing",), "0 drawings"),
        (2_000, ("drawing",), "2,000 drawings"),
        (1, ("query", "queries"), "1 query"),
        (2, ("query", "queries"), "2 queries"),
    ],
)
def test_one_thing_is_singular_and_any_other_number_plural(number, nouns, words):
    assert counted(number, *nouns) == words
