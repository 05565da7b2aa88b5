"""Going back after a spike of the loss."""

import math

import pytest

from sketchjax.train.spike import LEAST, WINDOW, Spike, check_spike


def feed(values, factor=3.0, detours=0):
    losses = []
    for value in values:
        losses = check_spike("cnn", value, losses, factor=factor, detours=detours)
    return losses


def test_a_loss_far_above_the_median_is_a_spike():
    with pytest.raises(Spike, match=r"stage cnn: a loss of 6\.1 after a median of 2 is a spike"):
        feed([3, 2, 2, 2, 6.1])
    assert feed([3, 2, 2, 2, 5.9])[-1] == 5.9


def test_there_is_no_spike_unasked_at_the_start_or_for_ever():
    assert feed([1] * 9 + [100], factor=0.0)[-1] == 100
    assert feed([1] * (LEAST - 1) + [100])[-1] == 100
    assert feed([1] * 9 + [100], detours=3)[-1] == 100
    with pytest.raises(Spike):
        feed([1] * 9 + [100], detours=2)


def test_only_the_last_losses_count():
    falling = [100 / (1 + i) for i in range(60)]
    losses = feed(falling)
    assert losses == falling[-WINDOW:]
    with pytest.raises(Spike):
        check_spike("cnn", 20, losses, factor=3.0, detours=0)  # far below the first losses


def test_a_loss_that_is_not_a_number_is_not_remembered():
    assert feed([1, math.nan, 2]) == [1, 2]
