"""What a chain sees of the spectrum of G."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from hilbertsd.errors import HilbertSDError

TIE_TOLERANCE = 1e-10
"""Eigenvalues within this share of each other count as one in the sparsity index: the index
compares distinct eigenvalues, and a computed gap below rounding says nothing."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The spectral measure of the labels: M nodes, all K eigenvalues of G or M < K Ritz values.

    Whatever needs every eigenvalue raises a HilbertSDError on Ritz values.

    Attributes
    ----------
    kind
        ``"exact"``: every eigenvalue of G. ``"ritz"``: those that the labels see.
    eigenvalues
        (M,) ascending; those at or below ``threshold`` are exactly 0.
    rank, threshold
        Numerical rank and the eigenvalue at or below which d_k counts as zero.
    residual_floor
        () or (Q,) ε_floor = (1/K) Σ_{d_k = 0} z_k², the mean squared residual no fit can avoid;
        for a joint tolerance the sum over the outputs, repeated.
    coordinates
        (M,) or (M, Q) z = V y_0.
    basis_weights
        (T, M) or (T, M, Q) diag B_t = Π_{i≤t} d/(c_i + d) (45); zero from collapse on.
    eigenvectors
        None, or (K, M), one a column (Vᵀ in the paper).
    """

    kind: Literal["exact", "ritz"]
    eigenvalues: Float[np.ndarray, "M"]
    rank: int
    threshold: float
    residual_floor: Float[np.ndarray, "*Q"]
    coordinates: Float[np.ndarray, "M *Q"]
    basis_weights: Float[np.ndarray, "T M *Q"]
    eigenvectors: Float[np.ndarray, "K M"] | None = None

    def _complete(self) -> None:
        """Refuse what Ritz values cannot tell: they are not all of the spectrum."""
        if self.kind != "exact":
            raise HilbertSDError(
                "condition number, effective dimension and sparsity index need every eigenvalue, "
                "and this spectrum has Ritz values; use method='dense'"
            )

    @property
    def condition_number(self) -> float:
        """κ = d_max / d_min, over the range of G; nan for G = 0."""
        self._complete()
        positive = self.eigenvalues[self.eigenvalues > 0]
        return float(positive[-1] / positive[0]) if len(positive) else float("nan")

    @property
    def effective_dimension(self) -> np.ndarray:
        """(T[, Q]) tr B_t: the degrees of freedom that f_t spends on the original labels."""
        self._complete()
        return self.basis_weights.sum(axis=1)

    @property
    def sparsity_index(self) -> np.ndarray:
        """(T[, Q]) smallest B_t[k+1]/B_t[k] over consecutive distinct positive eigenvalues.

        This is the index of the actual B_t, at least 1 and the larger the sparser; the paper's
        (49) is that of a lower bound. nan with fewer than two distinct eigenvalues, and from
        collapse on.
        """
        self._complete()
        d = self.eigenvalues
        positive = np.flatnonzero(d > 0)
        first = positive[:1]
        steps = positive[1:][np.diff(d[positive]) > TIE_TOLERANCE * d[positive[1:]]]
        chosen = np.concatenate([first, steps]).astype(int)
        shape = self.basis_weights.shape[:1] + self.basis_weights.shape[2:]
        if len(chosen) < 2:
            return np.full(shape, np.nan)
        weights = self.basis_weights[:, chosen]
        # tiny weights may underflow to zero: a ratio with zero below is infinite sparsity
        ratios = np.full(weights[:, 1:].shape, np.inf)
        np.divide(weights[:, 1:], weights[:, :-1], out=ratios, where=weights[:, :-1] > 0)
        alive = weights[:, -1] > 0
        return np.where(alive, ratios.min(axis=1), np.nan)
