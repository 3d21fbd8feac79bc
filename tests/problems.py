"""Problems drawn from their spectrum, the tolerances of the suite, and how numbers are compared.

A Gram matrix drawn entry by entry is well conditioned, has no null space and no repeated
eigenvalue: it tests nothing that is hard here. So the spectrum is drawn, log-uniform over some
decades with zero, repeated and clustered eigenvalues, and turned by a random orthogonal matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

# Tolerances. Each is looser than what is observed by a factor of ten or more, and tighter than the
# smallest mistake it is there to catch.
UNIT = float(np.finfo(float).eps)
ROUNDING = 1e-12
"""A handful of well-conditioned operations, relative: observed below 1e-13."""
SOLVER = 1e-8
"""Against another library's solve with a matrix of condition up to 1e6 or so, relative."""
DIGITS = 5.1e-6
"""Reference numbers printed with five digits, absolute: half a unit in the fifth."""
ROOT_ULPS = 16.0
"""Multiplier of one secular equation: this many ulps times its condition number κ_c, numerators
and denominators of a sum over at most 40 terms."""
GAP_OF_ESTIMATES = 2.0
"""Two routes to one number may differ by the sum of their error estimates; the estimates are
first-order and statistical, hence the factor."""


def assert_close(actual, expected, *, rtol: float = 0.0, atol: float = 0.0) -> None:
    """Compare after checking shapes and that every number is finite; NaN never passes."""
    actual, expected = np.asarray(actual, dtype=float), np.asarray(expected, dtype=float)
    assert actual.shape == expected.shape, f"shapes {actual.shape} and {expected.shape}"
    assert np.isfinite(actual).all(), f"not finite: {actual}"
    assert np.isfinite(expected).all(), f"expected is not finite: {expected}"
    allowed = atol + rtol * np.abs(expected)
    worst = np.abs(actual - expected) - allowed
    assert (worst <= 0).all(), (
        f"off by {np.abs(actual - expected).max():.3g}, allowed {allowed.max():.3g}:\n"
        f"{actual}\n{expected}"
    )


def assert_norm_close(actual, expected, *, rtol: float, scale: float | None = None) -> None:
    """Compare vectors or matrices in norm, relative to the expected norm or to ``scale``."""
    actual, expected = np.asarray(actual, dtype=float), np.asarray(expected, dtype=float)
    assert actual.shape == expected.shape, f"shapes {actual.shape} and {expected.shape}"
    assert np.isfinite(actual).all(), f"not finite: {actual}"
    assert np.isfinite(expected).all(), f"expected is not finite: {expected}"
    size = np.linalg.norm(expected) if scale is None else scale
    gap = np.linalg.norm(actual - expected)
    assert gap <= rtol * size, f"off by {gap:.3g} in norm, allowed {rtol * size:.3g}"


def assert_identical(actual, expected) -> None:
    """The same type, shape and bits; infinities may stand, NaN may not."""
    assert type(actual) is type(expected)
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    assert not np.isnan(actual).any()
    assert actual.tobytes() == expected.tobytes(), f"{actual}\n{expected}"


def orthogonal(size: int, seed: int) -> np.ndarray:
    """A random orthogonal matrix, uniform (Haar)."""
    q, r = np.linalg.qr(np.random.default_rng([seed, 1]).standard_normal((size, size)))
    return q * np.sign(np.diag(r))


def symmetric(eigenvalues: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Q diag(d) Qᵀ, symmetric to the last bit."""
    product = (vectors * eigenvalues) @ vectors.T
    return (product + product.T) / 2


@dataclass(frozen=True, eq=False)
class Problem:
    """A spectrum, the labels' coordinates and an orthogonal matrix that hides both."""

    eigenvalues: np.ndarray
    coordinates: np.ndarray
    vectors: np.ndarray
    eps: float

    @property
    def size(self) -> int:
        return len(self.eigenvalues)

    @property
    def gram(self) -> np.ndarray:
        return symmetric(self.eigenvalues, self.vectors)

    @property
    def y(self) -> np.ndarray:
        return self.vectors @ self.coordinates

    @property
    def floor(self) -> float:
        return float(np.sum(self.coordinates[self.eigenvalues == 0] ** 2) / self.size)

    @property
    def label_ratio(self) -> float:
        """r_0 = ‖y‖/√(Kε)."""
        return float(np.linalg.norm(self.coordinates) / np.sqrt(self.size * self.eps))


def spectrum(
    seed: int, size: int, decades: float, zeros: int = 0, repeated: int = 0, clustered: int = 0
) -> np.ndarray:
    """Log-uniform eigenvalues in [10^-decades, 1], some zero, equal, or equal to nine digits."""
    rng = np.random.default_rng([seed, 2])
    d = 10 ** rng.uniform(-decades, 0, size)
    repeated = min(repeated, size - 1)
    d[1 : 1 + repeated] = d[0]
    clustered = min(clustered, size - 1 - repeated)
    d[1 + repeated : 1 + repeated + clustered] = d[0] * (1 + 1e-9 * np.arange(1, clustered + 1))
    d = np.sort(d)
    d[: min(zeros, size - 1)] = 0.0
    return d


def problem(
    seed: int,
    size: int = 8,
    decades: float = 4.0,
    zeros: int = 0,
    repeated: int = 0,
    clustered: int = 0,
    share: float = 0.1,
) -> Problem:
    """A problem whose ε lies at ``share`` of the way from its residual floor to ‖y‖²/K."""
    d = spectrum(seed, size, decades, zeros, repeated, clustered)
    rng = np.random.default_rng([seed, 3])
    z = rng.standard_normal(size) * 10 ** rng.uniform(-1, 1, size)
    floor = float(np.sum(z[d == 0] ** 2) / size)
    eps = floor + share * (float(np.sum(z**2) / size) - floor)
    return Problem(d, z, orthogonal(size, seed), eps)


SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def problems(draw, max_size: int = 8, decades: float = 5.0, singular: bool = True) -> Problem:
    """Problems of up to ``max_size`` points, from easy to singular, repeated and clustered."""
    size = draw(st.integers(1, max_size))
    return problem(
        draw(SEEDS),
        size,
        decades=draw(st.floats(0.0, decades)),
        zeros=draw(st.integers(0, size // 2)) if singular else 0,
        repeated=draw(st.integers(0, size // 2)),
        clustered=draw(st.integers(0, size // 2)),
        share=draw(st.floats(0.02, 0.9)),
    )


def spline_gram(x: np.ndarray, sites: np.ndarray) -> np.ndarray:
    """Cross-Gram of the cubic spline Green's function of Mobahi et al. 2020 (59), with its 1/K.

    g(x, s) = (1/6) max(x − s, 0)³ − (1/6) x (1 − s) (x² − 2s + s²)
    """
    a, s = np.asarray(x)[:, None], np.asarray(sites)[None, :]
    g = np.maximum(a - s, 0) ** 3 / 6 - a * (1 - s) * (a**2 - 2 * s + s**2) / 6
    return g / len(sites)


def gaussian_gram(x: np.ndarray, sites: np.ndarray, sharpness: float = 80.0) -> np.ndarray:
    """Cross-Gram of exp(−sharpness (x − s)²), with its 1/K."""
    return np.exp(-sharpness * (np.asarray(x)[:, None] - np.asarray(sites)) ** 2) / len(sites)
