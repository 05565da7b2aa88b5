"""Several devices compared with numpy: what is averaged, what is whole, what goes where."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sketchjax.parallel import SPLIT, WHOLE, average, over_devices, split


def deviation(weights, values):
    """A step like that of training: a different value on each device, then the mean."""
    own = (values * weights).sum()
    return average(own), weights * 2


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_step_averages_over_the_devices(count):
    values = np.arange(24, dtype=np.float32).reshape(8, 3)
    weights = np.array([1, 10, 100], np.float32)
    step = over_devices(
        deviation,
        inputs=(WHOLE, SPLIT),
        outputs=(WHOLE, WHOLE),
        devices=jax.devices()[:count],
    )
    mean, doubled = step(weights, split(values, count))
    assert mean.shape == ()
    assert doubled.shape == (3,)
    np.testing.assert_allclose(mean, (values * weights).sum() / count, rtol=1e-6)
    np.testing.assert_array_equal(doubled, weights * 2)


def test_all_devices_take_part_by_default():
    assert jax.local_device_count() == 4, "conftest.py asks for four"
    step = over_devices(lambda own: average(own), inputs=(SPLIT,), outputs=WHOLE)
    assert float(step(jnp.array([0.0, 1.0, 2.0, 5.0]))) == 2.0
    with pytest.raises(ValueError, match="devices"):
        step(jnp.zeros(5))


def test_whole_results_can_be_inputs_again():
    step = over_devices(deviation, inputs=(WHOLE, SPLIT), outputs=(WHOLE, WHOLE))
    values = split(np.ones((8, 3), np.float32), 4)
    weights = np.ones(3, np.float32)
    for power in range(1, 4):
        _, weights = step(weights, values)
        weights.block_until_ready()
        np.testing.assert_array_equal(weights, np.full(3, 2.0**power))


def test_split_results_keep_the_order_of_the_batch():
    step = over_devices(lambda own: own * 10, inputs=(SPLIT,), outputs=SPLIT)
    out = np.asarray(step(split(np.arange(12), 4)))
    np.testing.assert_array_equal(out.ravel(), np.arange(12) * 10)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_split_gives_device_i_the_ith_run(axis):
    array = np.arange(8 * 8 * 8).reshape(8, 8, 8)
    cut = split({"a": array}, 4, axis)["a"]
    assert cut.shape[0] == 4
    for device in range(4):
        wanted = np.take(array, range(device * 2, device * 2 + 2), axis)
        np.testing.assert_array_equal(cut[device], wanted)


@pytest.mark.parametrize("platform", ["cuda", "moon"])
def test_a_platform_that_is_not_there_is_named(environment, platform):
    code = "import sketchjax; sketchjax.load()"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"JAX_PLATFORMS": platform},
        capture_output=True,
        text=True,
    )
    if platform == "cuda" and not found.returncode:
        pytest.skip("this machine has a GPU")
    assert f"UnavailableError: jax finds no device with JAX_PLATFORMS={platform}" in found.stderr
    assert "unset it" in found.stderr


def test_a_process_that_computed_keeps_its_devices(environment):
    program = (
        "import jax; from sketchjax.parallel import divide_cpu; print([divide_cpu(2), "
        "jax.local_device_count(), divide_cpu(2), divide_cpu(3)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment | {"XLA_FLAGS": ""},
    )
    assert done.stdout == (
        "['', 2, '', 'train.cpu_devices=3 is not used: this process computed before, and its CPU "
        "is 2 devices']\n"
    ), done.stderr
