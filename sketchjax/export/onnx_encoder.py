"""A model that onnxruntime runs: the codes, features and probabilities of `Model`, without jax."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from sketchjax.data.feed.batch import pad_points
from sketchjax.errors import CheckpointError
from sketchjax.export.folder import GRAPH, read_folder
from sketchjax.export.onnx_graph import encoder_graph
from sketchjax.files import write_whole
from sketchjax.models.card import fingerprint, read_model_file
from sketchjax.retrieval.codes import Codes
from sketchjax.retrieval.drawings import as_sketches
from sketchjax.retrieval.outputs import Outputs

_PIXELS = 2**22  # times points, drawn at once: 16 MB for each step of the drawing
_BATCH = 64  # drawings encoded at once, at most


class OnnxEncoder:
    """A graph of `onnx_graph.encoder_graph` in a session of onnxruntime, on the CPU.

    path: of a model file, or of a folder that `export` wrote.
    threads: for one operator; in a server, whose requests have threads of their own, 1.
    Raises CheckpointError for what cannot be read, DataError for a model that has no graph.
    """

    def __init__(self, path: Path, threads: int = 1):
        if path.is_dir():
            self._weights = path / "model.safetensors"
            graph, found = read_folder(path)
            self.fingerprint, own = found.fingerprint, found.architecture
        else:
            self._weights = path
            arrays, card = read_model_file(path)
            graph, own = encoder_graph(arrays, card), card.architecture
            self.fingerprint = fingerprint(arrays, own)
        self.bits, self.categories = own.width, own.categories
        self._points = own.points
        drawn = _PIXELS // (own.points * own.drawing.size**2)
        self._batch = min(max(drawn, 1), _BATCH)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        # The arena would keep what the largest batch needed.
        options.enable_cpu_mem_arena = False
        try:
            self._session = onnxruntime.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has a class for each kind, and no common one
            raise CheckpointError(f"onnxruntime cannot read {path / GRAPH} ({error})") from error

    def outputs(self, drawings: Any) -> Outputs:
        """Codes, features and probabilities of drawings, which are as for `Model.encode`.

        Raises DataError for a drawing of no such form.
        """
        sketches = as_sketches(drawings)
        points, lengths = pad_points(sketches.points, sketches.offsets, self._points)
        parts = []
        for first in range(0, len(points), self._batch):
            now = slice(first, first + self._batch)
            parts.append(self._session.run(None, {"points": points[now], "lengths": lengths[now]}))
        packed, features, probabilities = (
            np.concatenate(part) for part in zip(*parts, strict=True)
        )
        labels = {name: label for label, name in enumerate(self.categories)}
        codes = Codes(
            packed,
            np.array([labels.get(name, -1) for name in sketches.categories], np.int32),
            sketches.key_ids.astype(np.uint64),
            np.arange(len(sketches), dtype=np.int64),
            categories=tuple(self.categories),
            model=self.fingerprint,
        )
        return Outputs(codes, features, probabilities)

    def save(self, path: Path) -> Path:
        """Write the model file that this encoder is made from, whole or not at all."""
        write_whole(path, self._weights.read_bytes())
        return path
