"""Seconds of a training step of photo encoders, against the same nets in PyTorch.

    python -m benchmarks.photo_encoders [--nets 2] [--size 112] [--batch 32] [--rounds 5]
        [--json FILE]

A step is forward and backward of `--nets` EfficientNet-Lite0 (a photo and a sketch encoder, say)
with batch statistics, in float32. Ours are steps of a jitted `lax.scan`, as the trainer runs them;
the peer's are those of `efficientnet_lite_pytorch` in the memory format that is faster there,
channels last. Both start from the same published weights, and their features are compared first.
They take turns, A B A B; `ratio` is ours over the peer's speed, the median of all rounds.

Needs `pip install 'sketchjax[pretrained]' torch efficientnet-lite-pytorch`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.record import report
from benchmarks.timing import in_turn
from sketchjax.models.backbone import as_imagenet
from sketchjax.models.efficientnet_lite import EfficientNetLite
from sketchjax.models.pretrained import pretrained_variables, weights_path

PACKAGE = "efficientnet-lite0"
STEPS = 2  # of one dispatch
FEATURES_WITHIN = 1e-4


def main(arguments: list[str] | None = None) -> None:
    flags = read_flags(arguments)
    shape = (STEPS, flags.nets, flags.batch, flags.size, flags.size, 3)
    pictures = np.random.default_rng(0).random(shape, np.float32)
    encoder = EfficientNetLite(drop_path=0.0, pretrained=PACKAGE)
    shapes = jax.eval_shape(encoder.init, jax.random.key(0), pictures[0, 0, :1])
    variables = pretrained_variables(encoder, shapes)
    peers = [make_peer(flags.size) for _ in range(flags.nets)]
    away = difference(encoder, variables, peers[0], pictures[0, 0])
    assert away < FEATURES_WITHIN, f"the peer is another function: {away}"
    begun = time.perf_counter()
    ours = our_steps(encoder, variables, jnp.asarray(pictures))
    ours()
    compile_seconds = time.perf_counter() - begun
    times = in_turn(ours, peer_steps(peers, pictures), flags.rounds)
    figures = {
        "nets": flags.nets,
        "size": flags.size,
        "batch": flags.batch,
        "seconds_per_step": times.seconds / STEPS,
        "peer_seconds_per_step": times.peer_seconds / STEPS,
        "ratio": times.ratio,
        "ratio_range": [times.least_ratio, times.greatest_ratio],
        "compile_seconds": compile_seconds,
        "peer_difference": away,
    }
    report("photo_encoders", figures, flags.json)


def read_flags(arguments: list[str] | None) -> argparse.Namespace:
    flags = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flags.add_argument("--nets", type=int, default=2)
    flags.add_argument("--size", type=int, default=112)
    flags.add_argument("--batch", type=int, default=32)
    flags.add_argument("--rounds", type=int, default=5)
    flags.add_argument("--json", type=Path)
    return flags.parse_args(arguments)


def our_steps(encoder: EfficientNetLite, variables: Any, pictures: jax.Array) -> Any:
    """A call of all steps: gradient descent, each net on its own pictures."""
    nets = [variables] * pictures.shape[1]

    def loss(params, stats, own):
        features, changed = encoder.apply(
            {"params": params, "batch_stats": stats}, own, train=True, mutable=["batch_stats"]
        )
        return (features**2).mean(), changed["batch_stats"]

    def step(nets, pictures):
        moved = []
        for net, own in zip(nets, pictures, strict=True):
            gradient, stats = jax.grad(loss, has_aux=True)(net["params"], net["batch_stats"], own)
            params = jax.tree.map(lambda p, g: p - 1e-3 * g, net["params"], gradient)
            moved.append({"params": params, "batch_stats": stats})
        return moved, None

    run = jax.jit(lambda nets, pictures: jax.lax.scan(step, nets, pictures)[0])
    return lambda: jax.block_until_ready(run(nets, pictures))


def make_peer(size: int) -> Any:
    """The same net in PyTorch, with the published weights and without stochastic depth."""
    import torch  # pyright: ignore[reportMissingImports]
    from efficientnet_lite_pytorch import EfficientNet  # pyright: ignore[reportMissingImports]

    path = str(weights_path(PACKAGE))
    peer = EfficientNet.from_pretrained(
        PACKAGE, weights_path=path, image_size=size, drop_connect_rate=0.0
    )
    return peer.to(memory_format=torch.channels_last)


def as_tensor(pictures: np.ndarray) -> Any:
    """Pictures f32[b s s 3] as PyTorch reads them, normalised."""
    import torch  # pyright: ignore[reportMissingImports]

    # Contiguous as f[b s s c] and seen as f[b c s s]: that is the format channels last.
    return torch.from_numpy(np.array(as_imagenet(jnp.asarray(pictures)))).permute(0, 3, 1, 2)


def features_of(peer: Any, pictures: Any) -> Any:
    """f[b 1280] of pictures as `as_tensor` makes them."""
    return peer.extract_features(pictures).mean((2, 3))


def difference(encoder: EfficientNetLite, variables: Any, peer: Any, pictures: np.ndarray) -> float:
    """The greatest difference of the features without training."""
    import torch  # pyright: ignore[reportMissingImports]

    with torch.no_grad():
        theirs = features_of(peer.eval(), as_tensor(pictures[:4])).numpy()
    return float(np.abs(jax.jit(encoder.apply)(variables, pictures[:4]) - theirs).max())


def peer_steps(peers: list[Any], pictures: np.ndarray) -> Any:
    """A call of all steps of the peers."""
    import torch  # pyright: ignore[reportMissingImports]

    parameters = [parameter for peer in peers for parameter in peer.train().parameters()]
    descent = torch.optim.SGD(parameters, 1e-3)
    steps = [[as_tensor(own) for own in of_step] for of_step in pictures]

    def run() -> None:
        for of_step in steps:
            descent.zero_grad()
            for peer, own in zip(peers, of_step, strict=True):
                (features_of(peer, own) ** 2).mean().backward()
            descent.step()

    return run


if __name__ == "__main__":
    main()
