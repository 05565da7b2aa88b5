"""The stacked BiGRU: two implementations, the same parameters, the same function."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from sketchjax.models.bigru import BiGRU, FusedLayer, LinenLayer

HIDDEN, STEPS = 5, 6
LENGTHS = np.array([6, 1, 4, 2], np.int32)


def network(implementation="fused", **fields):
    """implementation: linen, fused, or `padded`, the fused one without packing."""
    if implementation == "padded":
        implementation, fields = "fused", {"phases": 0} | fields
    return BiGRU(**{"hidden": HIDDEN, "layers": 2, "implementation": implementation} | fields)


def sequences(seed=0):
    sequence = np.random.default_rng(seed).normal(size=(len(LENGTHS), STEPS, 4))
    valid = np.arange(STEPS) < LENGTHS[:, None]
    return (sequence * valid[:, :, None]).astype(np.float32)


@cache
def variables():
    """Random variables for both implementations, with biases that are not 0."""
    shapes = jax.eval_shape(network().init, jax.random.key(0), sequences(), LENGTHS)
    random = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: jnp.asarray(0.5 * random.normal(size=leaf.shape), jnp.float32), shapes
    )


@cache
def applying(one, train=False):
    return jax.jit(
        lambda variables, sequence, length, keys=None: one.apply(
            variables, sequence, length, train=train, keys=keys
        )
    )


def layer_states(parameters, steps):
    """One bidirectional layer over one sketch [t i]: states [t 2h], in plain numpy."""
    sides = []
    for direction, order in (("forward", 1), ("backward", -1)):
        own = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), parameters[direction])
        state, states = np.zeros(HIDDEN), []
        for x in steps[::order]:
            into = {g: x @ own[f"i{g}"]["kernel"] + own[f"i{g}"]["bias"] for g in "rzn"}
            back = {g: state @ own[f"h{g}"]["kernel"] for g in "rzn"}
            reset = 1 / (1 + np.exp(-(into["r"] + back["r"])))
            update = 1 / (1 + np.exp(-(into["z"] + back["z"])))
            new = np.tanh(into["n"] + reset * (back["n"] + own["hn"]["bias"]))
            state = (1 - update) * new + update * state
            states.append(state)
        sides.append(np.stack(states)[::order])
    return np.concatenate(sides, 1)


@pytest.mark.parametrize("implementation", ["linen", "fused", "padded"])
def test_final_states_equal_those_of_numpy(implementation):
    out = applying(network(implementation))(variables(), sequences(), LENGTHS)
    parameters = variables()["params"]
    assert out.shape == (4, 2 * HIDDEN)
    for b, length in enumerate(LENGTHS):
        states = sequences()[b, :length].astype(np.float64)
        for layer in ("layer1", "layer2"):
            states = layer_states(parameters[layer], states)
        # Forward at the last point, backward at the first.
        expected = np.concatenate([states[-1, :HIDDEN], states[0, HIDDEN:]])
        np.testing.assert_allclose(out[b], expected, atol=1e-5)


def test_implementations_share_names_and_shapes():
    trees = []
    for implementation in ("linen", "fused"):
        shapes = jax.eval_shape(
            network(implementation).init, jax.random.key(0), sequences(), LENGTHS
        )
        assert list(shapes) == ["params"]
        flat = traverse_util.flatten_dict(shapes["params"], sep="/")
        trees.append({name: leaf.shape for name, leaf in flat.items()})
    assert trees[0] == trees[1]
    expected = {}
    for layer, width in (("layer1", 4), ("layer2", 2 * HIDDEN)):
        for direction in ("forward", "backward"):
            for gate in "rzn":
                expected[f"{layer}/{direction}/i{gate}/kernel"] = (width, HIDDEN)
                expected[f"{layer}/{direction}/i{gate}/bias"] = (HIDDEN,)
                expected[f"{layer}/{direction}/h{gate}/kernel"] = (HIDDEN, HIDDEN)
            expected[f"{layer}/{direction}/hn/bias"] = (HIDDEN,)
    assert trees[0] == expected


@pytest.mark.parametrize("layer_type", [LinenLayer, FusedLayer])
def test_outputs_are_zero_beyond_the_length(layer_type):
    layer = layer_type(HIDDEN, jnp.float32)
    own = {"params": variables()["params"]["layer1"]}
    outputs, _ = jax.jit(layer.apply)(own, sequences().swapaxes(0, 1), LENGTHS)
    assert outputs.shape == (STEPS, 4, 2 * HIDDEN)
    for b, length in enumerate(LENGTHS):
        expected = layer_states(own["params"], sequences()[b, :length].astype(np.float64))
        np.testing.assert_allclose(outputs[:length, b], expected, atol=1e-5)
        assert not np.any(outputs[length:, b])


@cache
def gradients(implementation):
    def loss(variables, sequence):
        out = network(implementation).apply(variables, sequence, LENGTHS)
        return (out * np.arange(1, 1 + 2 * HIDDEN, dtype=np.float32)[None]).sum()

    return jax.jit(jax.grad(loss, (0, 1)))(variables(), sequences())


@pytest.mark.parametrize("implementation", ["fused", "padded"])
def test_implementations_have_the_same_gradients(implementation):
    linen, fused = gradients("linen"), gradients(implementation)
    for a, b in zip(jax.tree.leaves(linen), jax.tree.leaves(fused), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
        assert np.abs(a).max() > 1e-3


@pytest.mark.parametrize("implementation", ["linen", "fused", "padded"])
def test_fresh_recurrent_kernels_are_orthogonal(implementation):
    one = network(implementation, layers=1)
    parameters = jax.jit(one.init)(jax.random.key(0), sequences(), LENGTHS)["params"]
    flat = traverse_util.flatten_dict(jax.device_get(parameters))
    for path, leaf in flat.items():
        if path[-1] == "bias":
            assert not np.any(leaf)
        elif path[-2].startswith("h"):
            np.testing.assert_allclose(leaf @ leaf.T, np.eye(HIDDEN), atol=1e-5)
    # Every gate draws its own numbers.
    kernels = [np.asarray(leaf).tobytes() for path, leaf in flat.items() if path[-1] == "kernel"]
    assert len(set(kernels)) == len(kernels)


@pytest.mark.parametrize("implementation", ["linen", "fused", "padded"])
def test_finite_garbage_in_padding_changes_nothing(implementation):
    dirty = sequences()
    dirty[np.arange(STEPS) >= LENGTHS[:, None]] = 1e3
    apply = applying(network(implementation))
    clean = apply(variables(), sequences(), LENGTHS)
    np.testing.assert_allclose(apply(variables(), dirty, LENGTHS), clean, atol=1e-6)


@pytest.mark.parametrize("implementation", ["linen", "fused", "padded"])
def test_bfloat16_keeps_float32_parameters(implementation):
    small = network(implementation, dtype=jnp.bfloat16)
    fresh = jax.eval_shape(small.init, jax.random.key(0), sequences(), LENGTHS)
    assert {leaf.dtype for leaf in jax.tree.leaves(fresh)} == {jnp.dtype("float32")}
    out = applying(small)(variables(), sequences(), LENGTHS)
    exact = applying(network(implementation))(variables(), sequences(), LENGTHS)
    assert out.dtype == jnp.float32
    assert 0 < np.abs(out - exact).max() < 0.05


@pytest.mark.parametrize("implementation, dots, gates", [("fused", 2, 6), ("padded", 4, 3)])
def test_every_fused_matmul_takes_bfloat16(implementation, dots, gates):
    # In the second layer too: float32 outputs of the first would halve its speed on a GPU.
    small = network(implementation, dtype=jnp.bfloat16)
    jaxpr = str(jax.make_jaxpr(small.apply)(variables(), sequences(), LENGTHS))
    inputs = [line for line in jaxpr.splitlines() if "dot_general" in line]
    assert inputs
    projections = [
        line
        for line in jaxpr.splitlines()
        if f"[{STEPS * 4},{gates * HIDDEN}] = dot_general" in line
    ]
    assert len(projections) == dots
    assert all(":bf16[" in line for line in projections)


def test_dropout_is_one_mask_per_key():
    one_layer = network(layers=1, dropout=0.5)
    inputs = {"params": {"layer1": variables()["params"]["layer1"]}}, sequences(), LENGTHS
    keys = jax.random.split(jax.random.key(2), 4)
    plain = applying(one_layer)(*inputs)
    np.testing.assert_array_equal(applying(one_layer)(*inputs, keys), plain)
    np.testing.assert_array_equal(applying(one_layer, train=True)(*inputs), plain)
    dropped = np.asarray(applying(one_layer, train=True)(*inputs, keys))
    kept = dropped != 0
    assert 8 < kept.sum() < 32
    np.testing.assert_allclose(dropped[kept], 2 * np.asarray(plain)[kept], rtol=1e-5)
    assert len({row.tobytes() for row in kept}) > 1


def test_dropout_between_layers_follows_the_sketch():
    two = network(dropout=0.5)
    train = applying(two, train=True)
    keys = jax.random.split(jax.random.key(2), 4)
    dropped = np.asarray(train(variables(), sequences(), LENGTHS, keys))
    plain = np.asarray(applying(two)(variables(), sequences(), LENGTHS))
    kept = dropped != 0
    # What the last mask keeps is not twice the plain state, because the layer below dropped too.
    assert np.abs(dropped[kept] - 2 * plain[kept]).max() > 0.01
    order = np.array([2, 0, 3, 1])
    turned = train(variables(), sequences()[order], LENGTHS[order], keys[order])
    np.testing.assert_allclose(turned, dropped[order], atol=1e-6)


def test_one_mask_serves_all_steps_between_layers():
    # The second layer's input is dropped by hand, with the mask of the first layer's key.
    keys = jax.random.split(jax.random.key(2), 4)
    two = network(dropout=0.5)
    dropped = np.asarray(applying(two, train=True)(variables(), sequences(), LENGTHS, keys))
    parameters = variables()["params"]
    for b, length in enumerate(LENGTHS):
        masks = [
            2.0
            * np.asarray(
                jax.random.bernoulli(jax.random.fold_in(keys[b], layer), 0.5, (2 * HIDDEN,))
            )
            for layer in (0, 1)
        ]
        states = layer_states(parameters["layer1"], sequences()[b, :length].astype(np.float64))
        states = layer_states(parameters["layer2"], states * masks[0])
        expected = np.concatenate([states[-1, :HIDDEN], states[0, HIDDEN:]]) * masks[1]
        np.testing.assert_allclose(dropped[b], expected, atol=1e-5)
