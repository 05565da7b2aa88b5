"""Mean average precision of inner products, against a loop over the gallery."""

import numpy as np
import pytest

from sketchjax.errors import DataError
from sketchjax.retrieval.float_ranking import inner_product_map


def counted(queries, query_labels, gallery, gallery_labels):
    """Average precision, query by query and place by place."""
    found = []
    for query, label in zip(queries, query_labels, strict=True):
        order = sorted(range(len(gallery)), key=lambda item: (-(query @ gallery[item]), item))
        right, precisions = 0, []
        for rank, item in enumerate(order, 1):
            if gallery_labels[item] == label:
                right += 1
                precisions.append(right / rank)
        if precisions:
            found.append(np.mean(precisions))
    return np.mean(found)


@pytest.mark.parametrize("block", [3, 100])
def test_it_is_what_a_loop_counts(block):
    rng = np.random.default_rng(0)
    # Whole numbers: exact products, many of them equal.
    queries, gallery = rng.integers(-2, 3, (20, 4)), rng.integers(-2, 3, (50, 4))
    asked, labels = rng.integers(0, 5, 20), rng.integers(0, 4, 50)  # nothing for class 4
    found = inner_product_map(queries, asked, gallery, labels, block=block)
    assert found == pytest.approx(counted(queries, asked, gallery, labels))


def test_nothing_to_score_is_an_error():
    with pytest.raises(DataError, match="nothing to score"):
        inner_product_map(np.ones((2, 3)), np.zeros(2), np.ones((2, 3)), np.ones(2))
