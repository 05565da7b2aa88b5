"""Heads trained on features that stay as they are, against a plain loop over the same batches."""

from typing import Any

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import optax
import pytest

from sketchjax.data.feed.order import Order
from sketchjax.errors import ConfigError, DataError
from sketchjax.losses.table import LOSSES
from sketchjax.models.architecture import Architecture, Drawing
from sketchjax.models.table import HEADS
from sketchjax.ops.hamming import pack_codes
from sketchjax.retrieval.metrics import evaluate
from sketchjax.train import frozen as heads
from sketchjax.train.frozen import (
    Frozen,
    HeadTrainer,
    Settings,
    head_network,
    head_outputs,
    head_stage,
)

CLASSES, READS, BITS, COUNT = 4, 12, 8, 256
SETTINGS = Settings(batch=32, inner_steps=2, clip_norm=0.0)


def frozen(seed=0) -> Frozen:
    """Noisy clusters, one of each class."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, COUNT).astype(np.int32)
    centers = np.random.default_rng(9).normal(size=(CLASSES, READS))
    features = centers[labels] + 0.5 * random.normal(size=(COUNT, READS))
    entropy = random.uniform(size=COUNT).astype(np.float32)
    return Frozen(features.astype(np.float32), labels, entropy, np.zeros(CLASSES), np.ones(CLASSES))


def network(head="hash", dropout=0.0, embedding="raw"):
    architecture = Architecture(
        encoders={},
        head=head,
        width=BITS,
        fusion_features=0,
        dtype="float32",
        drawing=Drawing(48, 1.5, 20.0),
        points=32,
        categories=list("abcd"),
        embedding=embedding,
    )
    return head_network(architecture, READS, dropout=dropout)


def train_head(own, rows, data, settings=SETTINGS, *, rate=0.02, seed=0) -> dict[str, Any]:
    """The variables of one head."""
    return HeadTrainer(own, rows, settings).train(data, rate, seed)


def map_of(own, variables) -> float:
    """MAP of the codes of fresh sketches among the training sketches."""
    threshold = HEADS[own.architecture.head].threshold
    asked, found = frozen(1), frozen()
    codes = [
        pack_codes(head_outputs(own, variables, every.features)[0] > threshold)
        for every in (asked, found)
    ]
    return evaluate(codes[0], asked.labels, codes[1], found.labels, bits=BITS).map


@pytest.mark.usefixtures("usual_emitters")
def test_training_is_a_plain_loop_over_the_same_batches():
    own, data = network(), frozen()
    row = head_stage("only", {"cross_entropy": 1.0}, epochs=2)
    found = train_head(own, [row], data, rate=0.01)

    params = own.initialise(jax.random.key(0))["params"]
    steps = 2 * COUNT // 32
    rate = optax.warmup_cosine_decay_schedule(0.0, 0.01, 1, steps)
    optimizer = optax.adam(rate)
    moments = optimizer.init(params)

    def loss(params, features, labels):
        hidden = features @ params["hash"]["kernel"] + params["hash"]["bias"]
        logits = jax.nn.sigmoid(hidden) @ params["classifier"]["kernel"]
        logits += params["classifier"]["bias"]
        own_logit = jnp.take_along_axis(logits, labels[:, None], 1)[:, 0]
        return (jax.nn.logsumexp(logits, 1) - own_logit).mean()

    @jax.jit
    def step(params, moments, features, labels):
        gradient = jax.grad(loss)(params, features, labels)
        updates, moments = optimizer.update(gradient, moments)
        return optax.apply_updates(params, updates), moments

    order = Order(COUNT, 32, 2, (0, 0))
    for block in range(steps // 2):
        for rows in order.places(block):
            params, moments = step(params, moments, data.features[rows], data.labels[rows])
    assert {*found["params"]} == {*params}
    jax.tree.map(
        lambda ours, theirs: np.testing.assert_allclose(ours, theirs, atol=2e-5),
        found["params"],
        jax.device_get(params),
    )


# Every loss that needs nothing besides the batch, with the head it goes with.
TRAINED = [
    (name, row.heads[0] if row.heads and "hash" not in row.heads else "hash")
    for name, row in LOSSES.items()
    if not row.needs and row.pairs != ("sketch", "photo") and name != "zero_mean"
]


@pytest.mark.parametrize("name, head", TRAINED, ids=[name for name, _ in TRAINED])
def test_every_objective_trains_a_head(name, head):
    """A code of 8 bits for four clusters: far better than chance, 0.25, after eight epochs."""
    own = network(head)
    losses = {name: 1.0} if "logits" not in LOSSES[name].reads else {name: 1.0, "cross_entropy": 1}
    if name in ("center", "common_center", "quantization"):
        losses = {name: 0.01, "cross_entropy": 1.0}
    row = head_stage("only", losses, epochs=8, classes=4)
    variables = train_head(own, [row], frozen())
    assert map_of(own, variables) > 0.6


def test_stages_follow_each_other_and_the_seed_decides():
    own = network(dropout=0.3)
    rows = [
        head_stage("joint", {"cross_entropy": 1.0}, epochs=2),
        head_stage("center", {"cross_entropy": 1.0, "center": 0.1}, number=1, epochs=1),
    ]
    trainer = HeadTrainer(own, rows, SETTINGS)
    first, again = (trainer.train(frozen(), 0.02, 0) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    short = train_head(own, rows[:1], frozen())
    assert not np.array_equal(short["params"]["hash"]["kernel"], first["params"]["hash"]["kernel"])
    other = trainer.train(frozen(), 0.02, 1)
    assert not np.array_equal(other["params"]["hash"]["kernel"], first["params"]["hash"]["kernel"])


def test_one_program_serves_all_rates_seeds_and_sketches(monkeypatch):
    """Of a trainer that has trained other heads, the same head as of a fresh one, bit for bit."""
    own, compiled = network(dropout=0.3), []
    compile_for = heads.compile_for
    monkeypatch.setattr(
        heads, "compile_for", lambda *given: compiled.append(given) or compile_for(*given)
    )
    rows = [
        head_stage("joint", {"cross_entropy": 1.0}, epochs=1),
        head_stage("center", {"cross_entropy": 1.0, "center": 0.1}, number=1, epochs=1),
    ]
    trainer = HeadTrainer(own, rows, SETTINGS)
    # The last differs from the others in all three: what a program kept of them would show.
    cases = [(0, 0.02, 0), (0, 0.01, 0), (0, 0.02, 1), (3, 0.02, 0), (4, 0.03, 2)]
    found = [trainer.train(frozen(data), rate, seed) for data, rate, seed in cases]
    assert len(compiled) == len(rows)
    data, rate, seed = cases[-1]
    fresh = train_head(own, rows, frozen(data), rate=rate, seed=seed)
    jax.tree.map(np.testing.assert_array_equal, found[-1], fresh)
    kernels = {ours["params"]["hash"]["kernel"].tobytes() for ours in found}
    assert len(kernels) == len(cases)


def test_a_batch_normalised_embedding_keeps_its_statistics():
    own = network("embedding", embedding="batch_norm")
    row = head_stage("only", {"contrastive": 1.0}, epochs=2, classes=4)
    variables = train_head(own, [row], frozen())
    fresh = own.initialise(jax.random.key(0))["batch_stats"]
    for after, before in zip(*map(jax.tree.leaves, (variables["batch_stats"], fresh)), strict=True):
        assert not np.array_equal(after, before)
    assert map_of(own, variables) > 0.6


@pytest.mark.parametrize("kind", ["codewords", "lda"])
def test_a_start_is_better_than_none(kind):
    own = network()
    row = head_stage("only", {"cross_entropy": 1.0}, epochs=1)
    scores = [
        map_of(
            own,
            train_head(own, [row], frozen(), Settings(batch=32, head_start=start), rate=1e-30),
        )
        for start in ("random", kind)
    ]
    assert scores[1] > scores[0] + 0.1


def test_what_cannot_be_trained_is_refused():
    row = head_stage("only", {"cross_entropy": 1.0}, epochs=1)
    with pytest.raises(DataError, match="fewer than one block"):
        train_head(network(), [row], frozen(), Settings(batch=256, inner_steps=8))
    narrow = Settings(batch=32, inner_steps=2, head_start="itq")
    wide = head_network(msgspec.structs.replace(network().architecture, width=16), READS)
    with pytest.raises(ConfigError, match="itq"):
        train_head(wide, [row], frozen(), narrow)
