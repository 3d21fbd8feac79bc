"""Kernels on the line that are covariances of Markov processes, as state-space models.

A function f with covariance g is observation × the first of n state components, and the state
moves from one site to the next by

    s_i = ρ_i U(h_i) s_{i−1} + w_i,   U(h) = exp(h N),   N the shift (ones above the diagonal),

with w_i independent. Every covariance is kept as L diag(D) Lᵀ, L unit lower triangular, in forms
whose terms have one sign: they keep their relative accuracy on sites as close as float64 allows,
which a covariance taken apart by subtraction does not.

Matérn with a = √(2ν)/ℓ: the state is (D + a)^k f/a^k, white noise drives the last one, and
ρ = e^{−aΔ}, h = aΔ. Kernels that vanish at 1 are processes conditioned on f(1) = 0. With
L = 1 − x the state f/L of the bridge and the state (f/L, (f + L f')/L³) of the cubic spline
turn the condition into a change of clock: their last component has independent increments.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hilbertsd.errors import HilbertSDError
from hilbertsd.kernels.closed_form import ClosedForm
from hilbertsd.kernels.kernel import Kernel, Rescaled, Scaled


class Covariance(NamedTuple):
    """Covariances L diag(D) Lᵀ of n-vectors, L unit lower triangular."""

    diagonal: tuple[Float[np.ndarray, "K"], ...]
    lower: tuple[Float[np.ndarray, "K"], ...]
    """Below the diagonal of L, row by row: (), (L_10,) or (L_10, L_20, L_21)."""


class Path(NamedTuple):
    """How a kernel moves along ascending sites; the first entry is the way from nowhere."""

    observation: Float[np.ndarray, "K"]
    """f at a site over the first component of the state."""
    decay: Float[np.ndarray, "K"]
    """ρ_i, 0 at the first site."""
    step: Float[np.ndarray, "K"]
    """h_i, 0 at the first site."""
    marginal: tuple[Float[np.ndarray, "K"], ...]
    """Covariance of each of the n components with the first."""


class _Form(NamedTuple):
    """A kernel at ascending distinct sites at which it does not vanish."""

    path: Callable[..., Path]
    noise: Callable[..., Covariance]


class Markov(NamedTuple):
    """A kernel as factor × a kernel with a state-space form, on points moved to its own domain."""

    factor: float
    kernel: ClosedForm
    moves: tuple[Rescaled, ...]
    """Changes of interval, outermost first."""

    def positions(self, x: Float[np.ndarray, "K"]) -> Float[np.ndarray, "K"]:
        """Points as the innermost kernel sees them: those it cannot tell apart become equal."""
        for move in self.moves:
            x = move.to_own_domain(x)
        return x

    def variances(self, positions: Float[np.ndarray, "K"]) -> Float[np.ndarray, "K"]:
        """g(x, x); 0 where every function of the space vanishes."""
        return self.factor * self.kernel(positions, positions)

    def path(self, positions: Float[np.ndarray, "K"]) -> Path:
        """Observation, transitions and marginal covariances at ascending distinct positions.

        Examples
        --------
        >>> from hilbertsd.kernels import brownian_motion
        >>> markov(2 * brownian_motion()).path(np.array([0.25, 0.5])).marginal
        (array([0.5, 1. ]),)
        """
        found = _FORMS[self.kernel.name].path(positions, **dict(self.kernel.parameters))
        return found._replace(marginal=tuple(self.factor * p for p in found.marginal))

    def noise(self, positions: Float[np.ndarray, "K"]) -> Covariance:
        """Covariances of the disturbances w_i, and first that of the state at the first site.

        Examples
        --------
        >>> from hilbertsd.kernels import brownian_motion
        >>> markov(brownian_motion()).noise(np.array([0.25, 1.0])).diagonal
        (array([0.25, 0.75]),)
        """
        found = _FORMS[self.kernel.name].noise(positions, **dict(self.kernel.parameters))
        return found._replace(diagonal=tuple(self.factor * d for d in found.diagonal))


def markov(kernel: Kernel) -> Markov:
    """Return the state-space form of a kernel on the line.

    Raises
    ------
    HilbertSDError
        If the kernel has none here.

    Examples
    --------
    >>> from hilbertsd.kernels import brownian_bridge
    >>> markov(3 * brownian_bridge()).factor
    3.0
    """
    factor, inner, moves = 1.0, kernel, []
    while isinstance(inner, Scaled | Rescaled):
        if isinstance(inner, Scaled):
            factor *= inner.factor
        else:
            moves.append(inner)
        inner = inner.kernel
    if not isinstance(inner, ClosedForm) or inner.name not in _FORMS:
        raise HilbertSDError(
            f"{kernel!r} has no state-space form here; the kernels on the line that have one are "
            f"{', '.join(_FORMS)}, a number times these, or these rescaled. For others use "
            "hilbertsd.gram(kernel, x)."
        )
    return Markov(factor, inner, tuple(moves))


def _from_nowhere(first: float, gaps: np.ndarray) -> np.ndarray:
    return np.concatenate([[first], gaps])


def _ones(x: np.ndarray) -> np.ndarray:
    return _from_nowhere(0.0, np.ones(len(x) - 1))


def _brownian_motion(x: np.ndarray) -> Path:
    return Path(np.ones_like(x), _ones(x), np.zeros_like(x), (x,))


def _brownian_motion_noise(x: np.ndarray) -> Covariance:
    return Covariance((_from_nowhere(x[0], np.diff(x)),), ())


def _brownian_bridge(x: np.ndarray) -> Path:
    rest = 1 - x
    return Path(rest, _ones(x), np.zeros_like(x), (x / rest,))


def _brownian_bridge_noise(x: np.ndarray) -> Covariance:
    rest = 1 - x
    gaps = np.diff(x) / (rest[:-1] * rest[1:])
    return Covariance((_from_nowhere(x[0] / rest[0], gaps),), ())


def _integrated_brownian_motion(x: np.ndarray) -> Path:
    step = _from_nowhere(0.0, np.diff(x))
    return Path(np.ones_like(x), _ones(x), step, (x**3 / 3, x**2 / 2))


def _integrated_brownian_motion_noise(x: np.ndarray) -> Covariance:
    gap = _from_nowhere(x[0], np.diff(x))
    return Covariance((gap**3 / 3, gap / 4), (1.5 / gap,))


def _cubic_spline(x: np.ndarray) -> Path:
    rest = 1 - x
    step = _from_nowhere(0.0, np.diff(x) * (rest[:-1] + rest[1:]) / 2)
    return Path(rest, _ones(x), step, (x**2 / 3, x / (3 * rest)))


def _cubic_spline_noise(x: np.ndarray) -> Covariance:
    rest, gap = 1 - x, np.diff(x)
    old, new = rest[:-1], rest[1:]
    sum_of = 3 * old + new
    return Covariance(
        (
            _from_nowhere(x[0] ** 2 / 3, gap**3 * sum_of / (12 * old**3)),
            _from_nowhere(x[0] / (3 * rest[0] ** 3), gap / (new**3 * sum_of)),
        ),
        (_from_nowhere(1 / (x[0] * rest[0]), 2 * (2 * old + new) / (gap * new * sum_of)),),
    )


def _matern(x: np.ndarray, length_scale: float, nu: float = 0.5) -> Path:
    step = _from_nowhere(0.0, math.sqrt(2 * nu) / length_scale * np.diff(x))
    decay = _from_nowhere(0.0, np.exp(-step[1:]))
    stationary = {0.5: (1.0,), 1.5: (1.0, 1.0), 2.5: (1.0, 1.0, 2 / 3)}[nu]
    return Path(np.ones_like(x), decay, step, tuple(np.full_like(x, p) for p in stationary))


def _matern_noise(x: np.ndarray, length_scale: float, nu: float = 0.5) -> Covariance:
    # P(k, z) at z = 2aΔ, the share of Poisson counts that reach k; a gap of infinity restores all
    # of the stationary covariance
    far = 2.0 * np.finfo(float).maxexp
    z = _from_nowhere(far, 2 * math.sqrt(2 * nu) / length_scale * np.diff(x))
    # the factorisation cancels one or two digits: long double, where there is one, has them
    found = _MATERN_NOISE[nu](*_poisson_tails(round(2 * nu), np.minimum(z, far).astype("g")))
    return Covariance(*(tuple(part.astype(np.float64) for part in parts) for parts in found))


def _poisson_tails(order: int, z: np.ndarray) -> list[np.ndarray]:
    """P(k, z) = Σ_{j ≥ k} e^{−z} z^j/j! for k = order, .., 1, in sums of positive terms."""
    weights = [np.exp(-z)]
    for k in range(1, order + 1):
        weights.append(weights[-1] * z / k)
    near = np.minimum(z, 1.0)
    rest, term = np.zeros_like(z), np.ones_like(z)
    for k in range(order + 1, order + 25):  # 1/24! is below any rounding
        rest += term
        term *= near / k
    tails = [np.where(z <= 1, weights[order] * rest, 1 - sum(weights[:order]))]
    for k in range(order - 1, 0, -1):
        tails.append(tails[-1] + weights[k])
    return tails


def _ldl2(a00: np.ndarray, a01: np.ndarray, a11: np.ndarray) -> Covariance:
    l10 = _quotient(a01, a00)
    return Covariance((a00, a11 - l10 * a01), (l10,))


def _ldl3(
    a00: np.ndarray,
    a01: np.ndarray,
    a02: np.ndarray,
    a11: np.ndarray,
    a12: np.ndarray,
    a22: np.ndarray,
) -> Covariance:
    (d0, d1), (l10,) = _ldl2(a00, a01, a11)
    l20 = _quotient(a02, a00)
    l21 = _quotient(a12 - l10 * a02, d1)
    return Covariance((d0, d1, a22 - l20 * a02 - l21**2 * d1), (l10, l20, l21))


def _quotient(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a/b, and 0 where the variance b underflows: what hangs on it is nothing."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)


# from P(2ν, z), P(2ν − 1, z), .., P(1, z)
_MATERN_NOISE = {
    0.5: lambda p1: Covariance((p1,), ()),
    1.5: lambda p3, p2, p1: _ldl2(p3, p2, 2 * p1),
    2.5: lambda p5, p4, p3, p2, p1: _ldl3(
        p5, p4, p3 * (2 / 3), p3 * (4 / 3), p2 * (4 / 3), p1 * (8 / 3)
    ),
}

_FORMS = {
    "brownian_motion": _Form(_brownian_motion, _brownian_motion_noise),
    "brownian_bridge": _Form(_brownian_bridge, _brownian_bridge_noise),
    "integrated_brownian_motion": _Form(
        _integrated_brownian_motion, _integrated_brownian_motion_noise
    ),
    "cantilever_beam": _Form(_integrated_brownian_motion, _integrated_brownian_motion_noise),
    "cubic_spline": _Form(_cubic_spline, _cubic_spline_noise),
    "laplace": _Form(_matern, _matern_noise),
    "matern": _Form(_matern, _matern_noise),
}
