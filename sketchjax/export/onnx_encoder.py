"""A model that onnxruntime runs: the codes, features and probabilities of `Model`, without jax."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from sketchjax.data.feed.batch import pad_points
from sketchjax.errors import CheckpointError
from sketchjax.export.onnx_graph import PICTURES, encoder_graph
from sketchjax.export.pictures import pictures_of
from sketchjax.files import write_whole
from sketchjax.models.architecture import Architecture
from sketchjax.models.card import fingerprint, model_file, read_model_file
from sketchjax.retrieval.codes import Codes
from sketchjax.retrieval.drawings import as_sketches
from sketchjax.retrieval.outputs import Outputs

# Pixels that a thread encodes at once, and the fewest drawings: 16 of 64 px, 4 of 224. Within 5 %
# of the best number at 48 and 64 px; one of 224 px at a time takes 1.4 times as long as four.
_PIXELS, _FEWEST = 2**16, 4


class OnnxEncoder:
    """A model in a session of onnxruntime, on the CPU; `OnnxEncoder.load` makes one.

    graph: of `onnx_graph.encoder_graph`, one that does not draw.
    architecture: of the model.
    fingerprint: of the model.
    weights: its file.
    threads: that encode several drawings at once. A server has threads for its requests, and one is
      best.
    """

    def __init__(
        self,
        graph: bytes,
        architecture: Architecture,
        fingerprint: str,
        weights: Path,
        threads: int = 1,
    ):
        self.bits: int | None = architecture.width
        self.categories = architecture.categories
        self.reads = frozenset({"strokes"})  # a graph has the sketches of a model only
        self.fingerprint = fingerprint
        self._weights = weights
        self._points = architecture.points
        self._drawing = architecture.drawing
        # Drawings of a pass.
        self.at_once = max(_PIXELS // architecture.drawing.size**2, _FEWEST)
        self._threads = threads
        options = onnxruntime.SessionOptions()
        # A thread for each batch: several for one operator would wait for each other.
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )
        read = {each.name for each in self._session.get_inputs()}
        self._pictures = [name for name in PICTURES if name in read]

    @classmethod
    def load(cls, path: Path, *, threads: int = 1) -> OnnxEncoder:
        """The encoder of a model.

        path: a model file, or what holds one: the workdir of a run, a folder of `sketchjax export`.
          The graph is written in memory.
        Raises CheckpointError for what cannot be read, DataError for a model that has no graph.
        """
        weights = model_file(path)
        arrays, card = read_model_file(weights)
        try:
            graph = encoder_graph(arrays, card, draws=False)
        except KeyError as error:
            raise CheckpointError(
                f"{weights} does not hold the arrays that its architecture has in this version of "
                f"sketchjax: {error.args[0]}; use the version that wrote it"
            ) from error
        own = card.architecture
        return cls(graph, own, fingerprint(arrays, own), weights, threads)

    def outputs(self, drawings: Any) -> Outputs:
        """Codes, features and probabilities of drawings, which are as for `Model.encode`.

        Raises DataError for a drawing of no such form.
        """
        sketches = as_sketches(drawings)
        points, lengths = pad_points(sketches.points, sketches.offsets, self._points)
        # Like lengths together: recurrent layers read up to the longest of a batch.
        order = np.argsort(lengths, kind="stable")
        batches = np.split(order, range(self.at_once, len(order), self.at_once))

        def run(rows: np.ndarray) -> Any:
            return self._run(points[rows], lengths[rows])

        if len(batches) == 1 or self._threads == 1:
            parts = list(map(run, batches))
        else:
            with ThreadPoolExecutor(self._threads) as pool:
                parts = list(pool.map(run, batches))
        places = np.argsort(order)
        packed, features, shares = (
            np.concatenate(part)[places] for part in zip(*parts, strict=True)
        )
        codes = Codes.of(packed, sketches, self.categories, self.fingerprint)
        return Outputs(codes, features, shares)

    def save(self, path: Path) -> Path:
        """Write the file of the model, whole or not at all."""
        write_whole(path, self._weights.read_bytes())
        return path

    def _run(self, points: np.ndarray, lengths: np.ndarray) -> Any:
        feed = {"points": points, "lengths": lengths}
        for name in self._pictures:
            feed[name] = pictures_of(points, lengths, self._drawing, mirrored=name == PICTURES[1])
        return self._session.run(None, feed)
