"""What an activation makes of a covariance: E[φ(u)φ(v)] and E[φ'(u)φ'(v)].

By Price's theorem the second is the derivative of the first in E[uv], which is how the tangent
kernel of an infinitely wide network follows from its covariances.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from hilbertsd.errors import HilbertSDError
from hilbertsd.kernels.points import Array, Namespace
from hilbertsd.kernels.tangent.covariance import Covariance

NODES = 256
"""Nodes of the Gauss-Hermite rule unless the user says otherwise."""
MOST_NODES = 320
"""Beyond this the weights of the outermost nodes underflow."""

STEADIEST = 0.95
"""Octaves of a series are taken to shrink at least by this; what does not shrink is rounding."""
SAFETY = 4.0
"""On the estimate of what a series leaves out: a kink spoils the terms that are kept as well."""


@dataclass(frozen=True)
class Piecewise:
    """φ(u) = p u + q |u|, in closed form (Cho & Saul 2009, (1) with n = 1 for relu, p = q = ½)."""

    p: float
    q: float

    def __call__(self, cov: Covariance, xp: Namespace) -> tuple[Covariance, Array]:
        """Return the covariance of φ(u), φ(v) and E[φ'(u)φ'(v)]."""
        squares, q2 = self.p**2 + self.q**2, self.q**2
        angle = cov.angle(xp)
        reach = (cov.below + cov.above) / 2
        bend = q2 * (2 / math.pi) * reach * (xp.sin(angle) - angle * xp.cos(angle))
        root = math.sqrt(squares)
        after = Covariance(
            root * cov.a,
            root * cov.b,
            xp.maximum(squares * cov.below - bend, 0.0),
            squares * cov.above + bend,
        )
        return after, self.p**2 + q2 * (1 - 2 * angle / math.pi)

    def tail(self, deviations: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the deviations after φ, and 0: nothing is left out."""
        return math.hypot(self.p, self.q) * deviations, 0.0


@dataclass(frozen=True)
class ErrorFunction:
    """φ = erf, in closed form (Williams 1997, (11))."""

    def __call__(self, cov: Covariance, xp: Namespace) -> tuple[Covariance, Array]:
        """Return the covariance of φ(u), φ(v) and E[φ'(u)φ'(v)]."""
        # The determinant of I + 2Λ, whose E[u²]E[v²] − E[uv]² is the product of the gaps.
        root = xp.sqrt(1 + 2 * (cov.a**2 + cov.b**2) + 4 * cov.below * cov.above)
        value = (2 / math.pi) * xp.atan2(2 * cov.value, root)
        a, b = (
            xp.sqrt((2 / math.pi) * xp.atan2(2 * d * d, xp.sqrt(1 + 4 * d * d)))
            for d in (cov.a, cov.b)
        )
        below, above = xp.maximum(a * b - value, 0.0), xp.maximum(a * b + value, 0.0)
        return Covariance(a, b, below, above), 4 / (math.pi * root)

    def tail(self, deviations: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the deviations after φ, and 0: nothing is left out."""
        squares = deviations**2
        return np.sqrt((2 / math.pi) * np.arctan2(2 * squares, np.sqrt(1 + 4 * squares))), 0.0


@dataclass(frozen=True)
class Hermite:
    """Any φ by its Hermite series, the coefficients by Gauss-Hermite quadrature.

    E[φ(u)φ(v)] = Σ_j c_j(a) c_j(b) ρ^j, c_j(a) = E[φ(az) h_j(z)] with orthonormal h_j (Mehler).
    The series stops at half the nodes, as the rule knows later terms poorly. The truncated sum is
    positive semidefinite, as every term is.
    """

    function: Callable[[Array, Namespace], Array]
    nodes: int

    def __call__(self, cov: Covariance, xp: Namespace) -> tuple[Covariance, Array]:
        """Return the covariance of φ(u), φ(v) and E[φ'(u)φ'(v)]."""
        terms = self.nodes // 2
        one, other = (self._coefficients(d, terms, xp) for d in (cov.a, cov.b))
        value, slope = _series(one, other, cov.cosine(xp), xp)
        a, b = (xp.sqrt(xp.sum(c * c, axis=0)) for c in (one, other))
        reach = cov.a * cov.b
        nothing = reach == 0
        # Where a = 0 the tangent kernel that the slope multiplies is 0 as well.
        slope = xp.where(nothing, 0.0, slope / xp.where(nothing, 1.0, reach))
        below, above = xp.maximum(a * b - value, 0.0), xp.maximum(a * b + value, 0.0)
        return Covariance(a, b, below, above), slope

    def tail(self, deviations: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the deviations after φ, and the largest share that the series leaves out.

        Of E[φ(u)²] and of E[φ'(u)²], whichever is worse: by the Cauchy-Schwarz inequality it
        bounds the error of every pair, relative to the diagonal. Estimated from the last two
        octaves of terms, as if all further ones shrank by the same ratio.
        """
        terms = self.nodes // 2
        squares = self._coefficients(deviations, terms, np) ** 2
        order = np.arange(terms).reshape(-1, *[1] * np.ndim(deviations))
        shares = []
        for weighted in (squares, order * squares):
            last, before = (
                weighted[terms // 2 :].sum(axis=0),
                weighted[terms // 4 : terms // 2].sum(axis=0),
            )
            ratio = np.minimum(last / np.where(before == 0, 1.0, before), STEADIEST)
            beyond = SAFETY * last * ratio / (1 - ratio)
            whole = weighted.sum(axis=0) + beyond
            shares.append(np.max(beyond / np.where(whole == 0, 1.0, whole), initial=0.0))
        return np.sqrt(squares.sum(axis=0)), float(max(shares))

    def _coefficients(self, deviations: Array, terms: int, xp: Namespace) -> Array:
        """Return the first c_j of every deviation, shape (terms, ...)."""
        nodes, weights, transform = hermite_rule(self.nodes)
        values = self.function(deviations[..., None] * nodes.astype(deviations.dtype), xp)
        coefficients = (values * weights) @ transform[:, :terms].astype(deviations.dtype)
        return xp.moveaxis(coefficients, -1, 0)


def _series(one: Array, other: Array, rho: Array, xp: Namespace) -> tuple[Array, Array]:
    """Return Σ_j one_j other_j ρ^j and its derivative in ρ, by Horner's scheme."""
    if xp is not np:
        from jax import lax

        def step(sums, coefficients):
            (value, slope), (p, q) = sums, coefficients
            return (value * rho + p * q, slope * rho + value), None

        return lax.scan(step, (0 * rho, 0 * rho), (one, other), reverse=True)[0]
    one, other = np.ascontiguousarray(one), np.ascontiguousarray(other)
    value, slope, term = np.zeros_like(rho), np.zeros_like(rho), np.empty_like(rho)
    for p, q in zip(one[::-1], other[::-1], strict=True):
        slope *= rho
        slope += value
        value *= rho
        value += np.multiply(p, q, out=term)
    return value, slope


@lru_cache(maxsize=8)
def hermite_rule(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the nodes, the roots of the weights, and the orthonormal functions (nodes, orders).

    Examples
    --------
    >>> nodes, roots, functions = hermite_rule(5)
    >>> bool(np.allclose(functions.T @ functions, np.eye(5)))
    True
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    roots = np.sqrt(weights / math.sqrt(2 * math.pi))
    functions = np.empty((count, count))
    functions[:, 0] = roots
    if count > 1:
        functions[:, 1] = nodes * roots
    for j in range(1, count - 1):
        functions[:, j + 1] = (nodes * functions[:, j] - math.sqrt(j) * functions[:, j - 1]) / (
            math.sqrt(j + 1)
        )
    return nodes, roots, functions


def _erf(z: Array, xp: Namespace) -> Array:
    if xp is np:
        from scipy.special import erf
    else:
        from jax.scipy.special import erf
    return erf(z)


CLOSED_FORMS: dict[str, Piecewise | ErrorFunction] = {
    "relu": Piecewise(0.5, 0.5),
    "abs": Piecewise(0.0, 1.0),
    "linear": Piecewise(1.0, 0.0),
    "erf": ErrorFunction(),
}
SMOOTH: dict[str, Callable[[Array, Namespace], Array]] = {
    "tanh": lambda z, xp: xp.tanh(z),
    "gelu": lambda z, xp: z * (1 + _erf(z / math.sqrt(2), xp)) / 2,
    "sigmoid": lambda z, xp: (1 + xp.tanh(z / 2)) / 2,
    "silu": lambda z, xp: z * (1 + xp.tanh(z / 2)) / 2,
    "softplus": lambda z, xp: xp.logaddexp(z, 0.0),
    "sin": lambda z, xp: xp.sin(z),
}


def activation(choice: Any, nodes: int) -> Piecewise | ErrorFunction | Hermite:
    """Return the rule for an activation by its name, or for an elementwise function.

    Examples
    --------
    >>> activation("relu", NODES)
    Piecewise(p=0.5, q=0.5)
    """
    if isinstance(choice, str):
        if choice in CLOSED_FORMS:
            return CLOSED_FORMS[choice]
        if choice in SMOOTH:
            return Hermite(SMOOTH[choice], nodes)
        known = ", ".join([*CLOSED_FORMS, *SMOOTH])
        raise HilbertSDError(
            f"activation = {choice!r} is not known by name; choose from {known}, or pass a "
            "function that works elementwise."
        )
    if callable(choice):
        return Hermite(_checked(choice), nodes)
    raise HilbertSDError(f"activation = {choice!r} is neither a name nor a function.")


def _checked(function: Callable[[Array], Array]) -> Callable[[Array, Namespace], Array]:
    def call(z: Array, xp: Namespace) -> Array:
        values = xp.asarray(function(z))
        if values.shape != z.shape:
            raise HilbertSDError(
                f"the activation returned shape {values.shape} for {z.shape}; "
                "it must work elementwise."
            )
        return values

    return call
