"""The dense route: one symmetric eigendecomposition, then rounds at O(K) each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hilbertsd.errors import HilbertSDError
from hilbertsd.multiplier import Residual
from hilbertsd.recurrence import RoundErrors
from hilbertsd.routes.perturbation import PerturbedChain


@dataclass(frozen=True, eq=False)
class Decomposition:
    """The eigensystem G = Q diag(d) Qᵀ = Vᵀ D V of a Gram matrix (V = Qᵀ in the paper, (18)).

    Every chain and every spectral filter on the same Gram matrix can share one decomposition:
    pass it to :func:`hilbertsd.self_distill` in place of G.

    Attributes
    ----------
    eigenvalues
        (K,) ascending, as LAPACK; those at or below ``threshold`` are exactly 0.
    eigenvectors
        (K, K), one a column, on the device where G was.
    threshold
        τ = K · unit · d_max, the eigenvalue at or below which d counts as zero.
    unit
        Unit of rounding of the entries of G.
    """

    eigenvalues: np.ndarray
    eigenvectors: Any
    threshold: float
    unit: float

    @property
    def size(self) -> int:
        """K, the number of points."""
        return len(self.eigenvalues)

    @property
    def rank(self) -> int:
        """Numerical rank: the number of eigenvalues above the threshold."""
        return int(np.count_nonzero(self.eigenvalues))

    def coordinates(self, y: np.ndarray) -> np.ndarray:
        """Eigen-coordinates z = V y, (K,) or (K, Q)."""
        return _product(self.eigenvectors.T, y)

    def lift(self, z: np.ndarray) -> np.ndarray:
        """Vᵀ z, back from eigen-coordinates."""
        return _product(self.eigenvectors, z)

    def apply(self, response: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Predictions at the training points of a spectral filter: Vᵀ h(D) V y.

        Parameters
        ----------
        response
            (K,) the filter h evaluated at ``eigenvalues``, see :mod:`hilbertsd.filters`.
        y
            (K,) or (K, Q) labels.
        """
        z = self.coordinates(np.asarray(y, dtype=float))
        return self.lift(_rows(response, z) * z)

    def dual_coef(self, response: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Coefficients β = Vᵀ D⁺ h(D) V y, so that f(x) = cross_gram(kernel, x, x_k) @ β.

        D⁺ is the pseudo-inverse: directions in which G vanishes carry no function.
        """
        inverse = np.zeros_like(self.eigenvalues)
        np.divide(1.0, self.eigenvalues, out=inverse, where=self.eigenvalues > 0)
        return self.apply(inverse * response, y)


def decompose(matrix: Any) -> Decomposition:
    """Eigendecomposition of a validated symmetric matrix (NumPy or JAX), on its own device.

    Raises
    ------
    HilbertSDError
        If an eigenvalue lies below −τ: the matrix is not positive semidefinite.
    """
    size = matrix.shape[0]
    unit = float(np.finfo(np.dtype(matrix.dtype)).eps)
    if isinstance(matrix, np.ndarray):
        import scipy.linalg

        eigenvalues, eigenvectors = scipy.linalg.eigh(
            matrix.astype(np.float64, copy=False), driver="evd", check_finite=False
        )
    else:
        import jax
        import jax.numpy as jnp

        with jax.enable_x64(True):
            eigenvalues, eigenvectors = jnp.linalg.eigh(matrix.astype(jnp.float64))
        eigenvalues = np.asarray(eigenvalues)
    threshold = size * unit * max(float(eigenvalues[-1]), 0.0)
    if eigenvalues[0] < -threshold:
        raise HilbertSDError(
            f"G is not positive semidefinite: its smallest eigenvalue is {eigenvalues[0]:.6g}, "
            f"below -{threshold:.3g} (rounding, K·u·d_max). A kernel gives a positive "
            "semidefinite Gram matrix: check the kernel, or the rows and columns of G."
        )
    eigenvalues = np.where(eigenvalues <= threshold, 0.0, eigenvalues)
    return Decomposition(eigenvalues, eigenvectors, threshold, unit)


class DenseRoute:
    """One chain in eigen-coordinates; the columns of ``coordinates`` share their multiplier.

    Parameters
    ----------
    eigenvalues
        (K,) ascending, exactly zero outside the range of G.
    coordinates
        (K, Q) coordinates of y_0.
    power
        ‖y_0‖², summed exactly from the labels themselves.
    unit
        Unit of rounding of the entries of G.
    """

    def __init__(
        self, eigenvalues: np.ndarray, coordinates: np.ndarray, power: float, unit: float
    ) -> None:
        self.size, self.outputs = coordinates.shape
        self._eigenvalues = eigenvalues
        self._range = eigenvalues > 0
        self._power = power
        self._perturbed = PerturbedChain(eigenvalues, coordinates, unit)
        self.history = [coordinates]
        self._measure()

    def _measure(self) -> None:
        """Spectral measure of the current labels on the range of G: nodes d_k, weights z_k²."""
        squares = np.sum(self.history[-1] ** 2, axis=1)
        self._nodes = self._eigenvalues[self._range]
        self._weights = squares[self._range]
        self._floor = math.fsum(squares[~self._range])

    def power(self) -> float:
        """‖y_t‖²."""
        return self._power

    def floor(self) -> float:
        """‖y_t‖² outside the range of G."""
        return self._floor

    def residual(self, u: float) -> Residual:
        """Norm and decay of (I + uG)⁻¹ y_t on the range of G."""
        damping = 1 / (1 + u * self._nodes)
        squares = self._weights * damping**2
        square = float(squares.sum())
        return Residual(math.sqrt(square), float(squares @ (self._nodes * damping)) / square)

    def advance(self, c: float) -> RoundErrors:
        """Make the predictions of the fit with multiplier c the next labels."""
        labels = self.history[-1]
        shrink = 1 / (c + self._eigenvalues)
        after = (self._eigenvalues * shrink)[:, None] * labels
        errors = self._perturbed.advance(c, (c * shrink)[:, None] * labels, after)
        self.history.append(after)
        self._measure()
        self._power = math.fsum(self._weights)
        return errors


def _rows(response: np.ndarray, z: np.ndarray) -> np.ndarray:
    return response if z.ndim == 1 else response[:, None]


def _product(matrix: Any, vectors: np.ndarray) -> np.ndarray:
    if isinstance(matrix, np.ndarray):
        return matrix @ vectors
    import jax

    with jax.enable_x64(True):
        return np.asarray(matrix @ vectors)
