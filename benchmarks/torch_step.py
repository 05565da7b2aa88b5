"""Training steps of the PyTorch peer, and the proof that it is the same function as ours."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, cast

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
import torch.nn.functional as F  # pyright: ignore[reportMissingImports]
from torch import Tensor  # pyright: ignore[reportMissingImports]

from benchmarks.timing import median_seconds
from benchmarks.torch_peer import Network, device, from_flax, make_model, precision, wait
from benchmarks.workload import Workload, make_training
from sketchjax.losses.loss import LossInputs
from sketchjax.losses.objective import objective
from sketchjax.models import network as networks
from sketchjax.models.table import HEAD
from sketchjax.train.stages import Stage


def prepared(workload: Workload) -> list[dict[str, Any]]:
    """The k batches as both sides' models take them, sorted by falling length, in numpy.

    raster: u8[b s s 1]; sequence: f32[b t 4]; length, label: i64[b].
    """
    draw = jax.jit(workload.network.views, static_argnums=1)
    batches = []
    for number, label in enumerate(workload.batch.label):
        inputs = jax.tree.map(lambda array, number=number: array[number], workload.batch.inputs)
        length = inputs.length
        order = np.argsort(-np.asarray(length), kind="stable")
        views = draw(jax.tree.map(lambda array, order=order: array[order], inputs), HEAD)
        raster, sequence = views["picture"][0], views["sequence"][0]
        batches.append(
            {
                "raster": np.rint(np.asarray(raster) * 255).astype(np.uint8),
                "sequence": np.asarray(sequence),
                "length": np.asarray(length)[order].astype(np.int64),
                "label": np.asarray(label)[order].astype(np.int64),
            }
        )
    return batches


def on_device(batch: dict[str, Any]) -> dict[str, Tensor]:
    """A batch where torch wants it; packing reads the lengths on the host."""
    placed = {name: torch.tensor(value) for name, value in batch.items()}
    # [b s s 1] seen as [b 1 s s] is channels_last already.
    placed["raster"] = placed["raster"].permute(0, 3, 1, 2)
    return {
        name: value if name == "length" else value.to(device()) for name, value in placed.items()
    }


def run_model(model: Network, batch: dict[str, Tensor], output: str):
    """Features and logits of a prepared batch."""
    # The sequence's dtype is the model's, float32 but for the check of gradients.
    pictures = batch["raster"].to(batch["sequence"].dtype) / 255
    return model(pictures, batch["sequence"], batch["length"], output)


class Peer:
    """A stage of the peer: calling it does one block of k steps, and waits."""

    def __init__(self, workload: Workload, stage: str, batches: list[dict[str, Any]]):
        config = workload.config
        self.stage: Stage = make_training(workload, stage).stage
        self.dtype = config.model.dtype
        self.model = make_model(config, workload.classes, workload.variables)
        self.batches = [on_device(batch) for batch in batches]
        self.centers = torch.rand(workload.classes, config.model.bits, device=device())
        self.clip_norm = config.train.clip_norm
        modules = self.model.modules_of(self.stage.row.output)
        self.parameters = [p for module in modules for p in module.parameters()]
        decayed = [p for p in self.parameters if p.ndim > 1]
        kept = [p for p in self.parameters if p.ndim <= 1]
        decay = config.train.weight_decay
        self.optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": decay},
                {"params": kept, "weight_decay": 0.0},
            ],
            lr=self.stage.row.learning_rate,
            fused=True,
        )

    def __call__(self) -> None:
        codes = []
        if "quantization" in self.stage.row.losses:
            codes = [self._codes(batch) for batch in self.batches]
        self.model.train()
        for number, batch in enumerate(self.batches):
            self.optimizer.zero_grad(set_to_none=True)
            self._loss(batch, codes[number] if codes else None).backward()
            if self.clip_norm:
                torch.nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
            self.optimizer.step()
        wait()

    @torch.no_grad()
    def _codes(self, batch: dict[str, Tensor]) -> Tensor:
        self.model.eval()
        with precision(self.dtype):
            features, _ = run_model(self.model, batch, HEAD)
        assert features is not None, "the head has features"
        return (features > 0.5).float()

    def _loss(self, batch: dict[str, Tensor], codes: Tensor | None) -> Tensor:
        with precision(self.dtype):
            features, logits = run_model(self.model, batch, self.stage.row.output)
        weights = {name: own["weight"] for name, own in self.stage.row.losses.items()}
        loss = F.cross_entropy(logits.float(), batch["label"]) * weights["cross_entropy"]
        if "center" in weights and features is not None:
            away = features.float() - self.centers[batch["label"]]
            loss = loss + weights["center"] * (away**2).sum(-1).mean()
        if "quantization" in weights and features is not None:
            away = features.float() - codes
            loss = loss + weights["quantization"] * (away**2).sum(-1).mean()
        return loss


def fastest_peer(
    workload: Workload, stage: str, batches: list[dict], only_eager: bool = False
) -> tuple[Peer, str, dict]:
    """The peer with and without `torch.compile` of its CNN: the faster, its name, and seconds."""
    eager = Peer(workload, stage, batches)
    if only_eager or stage == "rnn":  # packed sequences and cuDNN's GRU are not compiled
        return eager, "eager", {}
    seconds: dict[str, Any] = {"eager": median_seconds(eager, 2)}
    compiled = Peer(workload, stage, batches)
    # Each size on its own: after another it would compile for any size, which is slower.
    torch.compiler.reset()
    compiled.model.cnn = cast(Any, torch.compile(compiled.model.cnn, dynamic=False))
    try:
        seconds["compiled"] = median_seconds(compiled, 2)
    except Exception as error:  # a missing compiler, say: the peer stays eager
        return eager, "eager", seconds | {"compile_error": f"{type(error).__name__}: {error}"[:200]}
    if seconds["compiled"] < seconds["eager"]:
        return compiled, "torch.compile of the CNN", seconds
    return eager, "eager", seconds


def same_function(workload: Workload, batch: dict[str, Any]) -> dict[str, float]:
    """How far the peer is from ours on the same weights, ours in float32.

    logits: the greatest difference over all outputs, without dropout; gradient: that of the joint
    loss with the batch's own statistics and no dropout, as the greatest over all parameters of
    |difference| / |ours| (Euclidean norms), with the peer in float64: in float32 a rectifier
    whose input rounds to the other side of 0 can change 2 % by itself (ours: 0.004 %).
    """
    with exact_matmuls():
        logits = max(
            float(np.abs(ours - theirs).max())
            for ours, theirs in (_logits(workload, batch, name) for name in ("cnn", "rnn", HEAD))
        )
        ours, theirs = _joint_gradients(workload, batch)
    norms = {name: float(np.linalg.norm(value)) for name, value in ours.items()}
    # A gradient that is 0 but for rounding, as of a bias before a normalisation, has no direction.
    least = 1e-3 * float(np.median(list(norms.values())))
    gradient = max(
        float(np.linalg.norm(ours[name] - theirs[name])) / max(norm, least)
        for name, norm in norms.items()
    )
    return {"logits": logits, "gradient": gradient}


def _logits(workload: Workload, batch: dict[str, Any], output: str):
    layers = _reference(workload)
    raster = batch["raster"].astype(np.float32) / 255
    views = {
        "picture": (raster,),
        "sequence": (batch["sequence"], batch["length"].astype(np.int32)),
    }
    apply = jax.jit(lambda variables, views: layers.apply(variables, views, output))
    ours = np.asarray(cast(Any, apply(workload.variables, views)).logits)
    peer = make_model(workload.config, workload.classes, workload.variables).eval()
    with torch.no_grad():
        theirs = run_model(peer, on_device(batch), output)[1]
    return ours, theirs.cpu().numpy()


def _joint_gradients(workload: Workload, batch: dict[str, Any]):
    layers, stage = _reference(workload), make_training(workload, "joint").stage
    raster = jnp.asarray(batch["raster"].astype(np.float32) / 255)
    params = {
        name: own for name, own in workload.variables["params"].items() if name in stage.parts
    }

    @jax.jit
    def gradients(params):
        def loss(params):
            variables = workload.variables | {"params": params}
            steps = (jnp.asarray(batch["sequence"]), jnp.asarray(batch["length"]))
            views = {"picture": (raster,), "sequence": steps}
            output, _ = layers.apply(variables, views, train=True, mutable=["batch_stats"])
            output = cast(Any, output)
            seen = LossInputs(
                output.logits, jnp.asarray(batch["label"]), output.features, None, jnp.zeros(())
            )
            return objective(stage.row.losses, seen)[0]

        return jax.grad(loss)(params)

    ours = from_flax(
        {"params": jax.device_get(gradients(params))}, workload.config.model.encoders.rnn.layers
    )
    peer = make_model(workload.config, workload.classes, workload.variables).double().train()
    for module in peer.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    peer.rnn.gru.dropout = 0.0
    placed = on_device(batch)
    placed["sequence"] = placed["sequence"].double()
    logits = run_model(peer, placed, HEAD)[1]
    F.cross_entropy(logits, placed["label"]).backward()
    theirs = {
        name: value.grad.cpu().numpy()
        for name, value in peer.named_parameters()
        if value.grad is not None
    }
    for name in ours:  # flax has no second bias in these two gates
        if "bias_hh" in name:
            theirs[name] = theirs[name].copy()
            theirs[name][: 2 * len(theirs[name]) // 3] = 0
    return ours, theirs


def _reference(workload: Workload) -> Any:
    """Our layers in float32, on one device."""
    architecture = msgspec.structs.replace(workload.network.architecture, dtype="float32")
    return networks.build(architecture).layers


@contextmanager
def exact_matmuls():
    """float32 without tensor cores on both sides: their 10 bits are no difference of functions."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    with jax.default_matmul_precision("highest"):
        yield
    # As a good user has it, and as jax has it by itself.
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
