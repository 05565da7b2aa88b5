"""Supervised Discrete Hashing (Shen et al., CVPR 2015), streamed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import solve

from sketchjax.compiled import kernel
from sketchjax.ops.moments import class_sums
from sketchjax.paper.shallow.hasher import (
    Features,
    Hasher,
    blocks,
    check_kernel_width,
    sample_rows,
)

BLOCK = 16_384  # rows: 64 MiB of a thousand float32 kernels
_SWEEPS = 10  # over the bits of a row, as in the authors' code; fewer once none changes


class Sdh(Hasher):
    """Codes from which a linear classifier predicts the classes, and a kernel map to the codes.

    Minimises ‖Y − B W‖² + λ‖W‖² + ν (‖B − Φ P‖² + μ‖P‖²) over codes B in {−1, 1} i8[n d], the
    classifier W f[d l] of the one-hot labels Y, and the projection P f[m+1 d] of Φ. Φ holds a
    constant and Gaussian kernels exp(−‖x − a‖² / 2σ²) of m anchors a, rows drawn with the seed.
    A turn is one pass over the rows: with W and P fixed, each block updates its codes bit by bit
    (discrete cyclic coordinate descent) and adds to Φ'B, B'B and B'Y, which determine the next W
    and P. Φ'Φ is summed once, in the first pass. Only codes are kept for all rows, a byte per bit.

    bits, seed, block: as in `Hasher`, but blocks of 16,384 rows.
    anchors: m, 1,000 by default, as in the authors' code.
    width: σ; by default σ² is half the mean of ‖x − a‖² (the authors set σ by hand per data set).
    classifier_ridge: λ, 1 by default, as in the authors' code.
    projection_ridge: μ, 0.01 by default, as in the authors' code.
    projection_weight: ν, 1e-5 by default, as in the authors' code.
    turns: passes that update the codes, 5 by default, as in the authors' code.
    After fit, objectives f64[turns + 1] holds the objective, starting with the first W and P; it
    never rises.
    """

    needs_labels = True
    objectives: list[float]

    def __init__(
        self,
        bits: int,
        seed: int = 0,
        *,
        anchors: int = 1_000,
        width: float | None = None,
        classifier_ridge: float = 1.0,
        projection_ridge: float = 1e-2,
        projection_weight: float = 1e-5,
        turns: int = 5,
        block: int = BLOCK,
    ):
        super().__init__(bits, seed, block=block)
        check_kernel_width(width)
        self.anchors, self.width, self.turns = anchors, width, turns
        self.classifier_ridge, self.projection_ridge = classifier_ridge, projection_ridge
        self.projection_weight = projection_weight

    def _fit(self, features: Features, labels: np.ndarray) -> None:
        self._place_anchors(features)
        shape = len(features), self.bits
        codes = np.random.default_rng(self.seed).integers(0, 2, shape, np.int8) * np.int8(2) - 1
        gram, sums = self._first_pass(features, labels, codes)
        classifier = self._solve(gram, sums)
        self.objectives = [self._objective(gram, sums, classifier, labels)]
        for _ in range(self.turns):
            sums = self._turn(features, labels, codes, classifier)
            classifier = self._solve(gram, sums)
            self.objectives.append(self._objective(gram, sums, classifier, labels))

    def project(self, rows: np.ndarray) -> np.ndarray:
        return self.kernels(rows) @ self._projection.astype(np.float32)

    def kernels(self, rows: np.ndarray) -> np.ndarray:
        """Φ f32[b m+1] of rows f32[b e]: the kernel with each anchor, then 1."""
        shifted = rows - self._shift
        found = np.empty((len(rows), len(self._anchors) + 1), np.float32)
        # ‖x‖² − 2 x·a + ‖a‖², in place: with 1,000 anchors this is the largest array.
        kernel = found[:, :-1]
        np.matmul(shifted, self._anchors.T * -2, out=kernel)
        kernel += (shifted * shifted).sum(axis=1, keepdims=True)
        kernel += (self._anchors * self._anchors).sum(axis=1)
        np.maximum(kernel, 0, out=kernel)
        kernel *= np.float32(-0.5 / self._width_of_kernel**2)
        np.exp(kernel, out=kernel)
        found[:, -1] = 1
        return found

    def _place_anchors(self, features: Features) -> None:
        anchors = sample_rows(features, self.anchors, self.seed, self.block)
        # Centred, so that large squared norms do not swallow the differences.
        self._shift = anchors.mean(axis=0)
        self._anchors = anchors - self._shift
        if self.width is None:
            # The mean of ‖x − a‖² over all pairs of anchors is twice their total variance.
            spread = float(self._anchors.var(axis=0, dtype=np.float64).sum())
            self._width_of_kernel = np.sqrt(spread) if spread > 0 else 1.0
        else:
            self._width_of_kernel = self.width

    def _first_pass(
        self, features: Features, labels: np.ndarray, codes: np.ndarray
    ) -> tuple[np.ndarray, _Sums]:
        """Φ'Φ and the sums of the first codes."""
        gram, sums = np.zeros(0), None
        for place, rows in blocks(features, self.block):
            kernels = self.kernels(rows)
            # In float64: rounded sums of very similar kernels are no longer positive definite.
            wide = kernels.astype(np.float64)
            gram = gram + wide.T @ wide if place.start else wide.T @ wide
            sums = _Sums.of(kernels, codes[place], labels[place], labels.max() + 1, sums)
        assert sums is not None
        return gram, sums

    def _turn(
        self, features: Features, labels: np.ndarray, codes: np.ndarray, classifier: np.ndarray
    ) -> _Sums:
        """Update the codes in place with W and P fixed; return the sums of the new codes."""
        between = classifier @ classifier.T
        projection = (self.projection_weight * self._projection).astype(np.float32)
        sums = None
        for place, rows in blocks(features, self.block):
            kernels = self.kernels(rows)
            wanted = kernels @ projection + classifier.T[labels[place]]
            descend(codes[place], wanted, between)
            sums = _Sums.of(kernels, codes[place], labels[place], classifier.shape[1], sums)
        assert sums is not None
        return sums

    def _solve(self, gram: np.ndarray, sums: _Sums) -> np.ndarray:
        """Set P and return W, each optimal for the codes."""
        self._projection = _ridge(gram, sums.kernels, self.projection_ridge)
        return _ridge(sums.codes, sums.classes, self.classifier_ridge)

    def _objective(
        self, gram: np.ndarray, sums: _Sums, classifier: np.ndarray, labels: np.ndarray
    ) -> float:
        """The value that fit minimises; ‖Y‖² is n and ‖B‖² is n d."""
        count = len(labels)
        classes = _residual(count, sums.codes, sums.classes, classifier)
        classes += self.classifier_ridge * np.square(classifier).sum()
        kernels = _residual(count * self.bits, gram, sums.kernels, self._projection)
        kernels += self.projection_ridge * np.square(self._projection).sum()
        return float(classes + self.projection_weight * kernels)


class _Sums(NamedTuple):
    """What determines W and P: Φ'B f64[m+1 d], B'B f64[d d] and B'Y f64[d l]."""

    kernels: np.ndarray
    codes: np.ndarray
    classes: np.ndarray

    @classmethod
    def of(
        cls,
        kernels: np.ndarray,
        codes: np.ndarray,
        labels: np.ndarray,
        classes: int,
        before: _Sums | None,
    ) -> _Sums:
        """The sums of a block, added to those of the blocks before.

        kernels: Φ f32[b m+1] of the block.
        codes: i8[b d] in {−1, 1}.
        labels: i64[b].
        classes: l.
        before: sums of the earlier blocks; None for the first.
        """
        signs = codes.astype(np.float32)
        own = cls(
            (kernels.T @ signs).astype(np.float64),
            (signs.T @ signs).astype(np.float64),
            class_sums(signs.astype(np.float64), labels, classes).T,
        )
        return own if before is None else cls(*(a + b for a, b in zip(before, own, strict=True)))


@kernel
def descend(codes, wanted, between):
    """Update codes in place, one bit after another, each optimal given the others.

    Lowers b'M b − 2 q·b over b in {−1, 1}. Bit k becomes the sign of q_k − Σ_{j≠k} M_kj b_j, and
    keeps its value if that is 0. A row is finished when a sweep changes nothing, or after ten.

    codes: b, i8[b d].
    wanted: q, f[b d].
    between: M = W W', f64[d d].
    """
    bits = codes.shape[1]
    pulled = np.empty(bits)  # M b, kept up to date as bits flip
    for row in range(len(codes)):
        code = codes[row]
        for k in range(bits):
            pulled[k] = 0.0
        for j in range(bits):
            for k in range(bits):
                pulled[k] += between[j, k] * code[j]
        for _ in range(_SWEEPS):
            changed = False
            for k in range(bits):
                force = wanted[row, k] - (pulled[k] - between[k, k] * code[k])
                if force * code[k] < 0:
                    code[k] = -code[k]
                    changed = True
                    for j in range(bits):
                        pulled[j] += 2.0 * code[k] * between[k, j]
            if not changed:
                break


def _ridge(gram: np.ndarray, products: np.ndarray, ridge: float) -> np.ndarray:
    """The x that minimises ‖y − A x‖² + ridge ‖x‖²; gram: A'A, products: A'y."""
    return solve(gram + ridge * np.eye(len(gram)), products, assume_a="pos")


def _residual(squares: float, gram: np.ndarray, products: np.ndarray, x: np.ndarray) -> float:
    """‖y − A x‖²; squares: ‖y‖², gram: A'A, products: A'y."""
    return float(squares - 2 * (x * products).sum() + (x * (gram @ x)).sum())
