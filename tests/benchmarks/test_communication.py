"""benchmarks.communication: its count against the compiled program and the parameters."""

import math

import jax
import pytest

from benchmarks import communication, workload

TEXT = """
  %a = f32[3,4]{1,0} all-reduce(%x), channel_id=1
  ROOT %b = (f32[2]{0}, bf16[5]{0}, f32[]) all-reduce(%y, %z, %w), to_apply=%add
  %c = u8[2,8]{1,0} all-gather(%v), dimensions={0}
  %d = f32[9]{0} add(%a, %all-reduce.3)
"""


def test_bytes_are_those_of_the_results():
    assert communication.exchanged(TEXT) == {"all-reduce": 48 + 8 + 10 + 4, "all-gather": 16}


@pytest.mark.usefixtures("tiny")
def test_a_step_exchanges_the_gradients_and_little_else():
    config = workload.load_config("sample", "float32")
    program = communication.lowered(config, 55, "joint")
    found = communication.exchanged(program.as_text(dialect="hlo"))
    # The compiler merges metrics that are equal: single numbers, none of the gradients.
    compiled = communication.exchanged(program.compile().as_text())
    assert found.keys() == compiled.keys()
    assert 0 <= found["all-reduce"] - compiled["all-reduce"] <= 16
    state = program.args_info[0][1]
    # The stage leaves the classifiers of single encoders, such as cnn_classifier, as they are.
    trained = {k: own for k, own in state.params.items() if not k.endswith("_classifier")}
    parameters = sum(4 * math.prod(leaf.shape) for leaf in jax.tree.leaves(trained))
    assert parameters <= found["all-reduce"] < 1.2 * parameters


def test_efficiency_by_hand():
    """One second of work; 8 bytes at 1 byte/s inside, then a quarter of them at 1/2 byte/s."""
    cluster = communication.Cluster(1.0, 1.0, 1.0, 0.5, 1.0, 0.0, 4)
    assert communication.efficiency(1, 1.0, 8.0, cluster) == 1
    assert communication.efficiency(4, 1.0, 8.0, cluster) == pytest.approx(1 / (1 + 12))
    assert communication.efficiency(8, 1.0, 8.0, cluster) == pytest.approx(1 / (1 + 12 + 4))
