"""The PyTorch peer computes what our model computes, on the same weights."""

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed: pip install sketchjax[bench]"
)

from benchmarks import torch_step, workload  # noqa: E402
from benchmarks.torch_peer import Network, from_flax, load  # noqa: E402
from sketchjax.models.table import HEAD  # noqa: E402

# Threads that wait for each other at tiny sizes take minutes on a busy machine.
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def work(drawings):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKETCHJAX_BENCH_TINY", "1")
        return workload.make_workload("sample", "float32", 0, drawings)


def test_logits_and_gradients_are_ours(work):
    differences = torch_step.same_function(work, torch_step.prepared(work)[0])
    assert differences["logits"] < 1e-4
    assert differences["gradient"] < 1e-3


def test_every_parameter_and_statistic_has_a_value(work):
    model = Network(work.config, work.classes)
    named = from_flax(work.variables, work.config.model.encoders.rnn.layers)
    assert set(named) == {n for n in model.state_dict() if not n.endswith("num_batches_tracked")}
    load(model, work.variables, work.config.model.encoders.rnn.layers)


def test_check_sees_other_weights(work):
    """A function that differs in one gate must not pass."""
    variables = {**work.variables, "params": dict(work.variables["params"])}
    hash_layer = variables["params"]["hash"]
    batch = torch_step.prepared(work)[0]
    model = torch_step.make_model(work.config, work.classes, work.variables).eval()
    variables["params"]["hash"] = {**hash_layer, "bias": hash_layer["bias"] + 1.0}
    other = torch_step.make_model(work.config, work.classes, variables).eval()
    placed = torch_step.on_device(batch)
    with torch.no_grad():
        one, two = (torch_step.run_model(m, placed, HEAD)[1] for m in (model, other))
    assert np.abs((one - two).numpy()).max() > 1e-3


@pytest.mark.parametrize("stage", ("cnn", "rnn", "joint", "full"))
def test_a_block_changes_only_the_stages_parts(work, stage):
    peer = torch_step.Peer(work, stage, torch_step.prepared(work))
    before = {name: p.detach().clone() for name, p in peer.model.named_parameters()}
    peer()
    changed = {n.split(".")[0] for n, p in peer.model.named_parameters() if (p != before[n]).any()}
    own = {"cnn": {"cnn", "cnn_classifier"}, "rnn": {"rnn", "rnn_classifier"}}
    assert changed == own.get(stage, {"cnn", "rnn", "hash", "classifier"})


def test_loss_of_the_peer_falls_as_it_trains(work):
    peer = torch_step.Peer(work, "joint", torch_step.prepared(work))
    first = float(peer._loss(peer.batches[0], None).detach())
    for _ in range(20):
        peer()
    assert float(peer._loss(peer.batches[0], None).detach()) < first
