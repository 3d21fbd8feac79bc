"""The covariance of two Gaussian preactivations, held so that nothing cancels, through a layer.

At infinite width the preactivations u and v of two points are jointly Gaussian. A covariance κ near
√(E u² E v²), as for near points, says little about their angle in floating point: the arc cosine
of a rounded quotient loses half the digits. So the two gaps √(E u² E v²) ∓ κ are carried instead,
and every layer maps gaps to gaps through sums of terms that are ≥ 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from hilbertsd.kernels.closed_form import safe_sqrt
from hilbertsd.kernels.points import Array, Namespace


class Covariance(NamedTuple):
    """Of preactivations u and v with mean 0; the arrays broadcast together."""

    a: Array
    """√E[u²]"""
    b: Array
    """√E[v²]"""
    below: Array
    """ab − E[uv] ≥ 0"""
    above: Array
    """ab + E[uv] ≥ 0"""

    @property
    def value(self) -> Array:
        """E[uv]."""
        return (self.above - self.below) / 2

    def angle(self, xp: Namespace) -> Array:
        """Return θ with cos θ = E[uv]/(ab), π/2 where a or b is 0."""
        nothing = self.below + self.above == 0
        opposite = xp.where(nothing, 1.0, safe_sqrt(xp, self.below))
        adjacent = xp.where(nothing, 1.0, safe_sqrt(xp, self.above))
        return 2 * xp.atan2(opposite, adjacent)

    def cosine(self, xp: Namespace) -> Array:
        """Return E[uv]/(ab), 0 where a or b is 0."""
        total = self.below + self.above
        return (self.above - self.below) / xp.where(total == 0, 1.0, total)


class Window(NamedTuple):
    """What a neuron of the next layer sees: for a dense layer, the neurons at one place.

    ``axes_a``, ``axes_b``, ``axes`` are the image axes, in twos, of `Covariance.a`, of
    `Covariance.b` and of the arrays for pairs; empty in a dense network.
    """

    size: int = 1
    axes_a: tuple[int, ...] = ()
    axes_b: tuple[int, ...] = ()
    axes: tuple[int, ...] = ()

    def mean(self, array: Array, axes: tuple[int, ...], xp: Namespace) -> Array:
        """Return the mean over the window, zero outside the image."""
        return sum(self.shifts(array, axes, xp)) / self.places

    @property
    def places(self) -> int:
        """How many places the window has."""
        return self.size**2 if self.axes else 1

    def shifts(self, array: Array, axes: tuple[int, ...], xp: Namespace) -> Iterator[Array]:
        """Yield the array as each place of the window sees it, zero outside the image."""
        if not axes:
            yield array
            return
        before, after = (self.size - 1) // 2, self.size // 2
        width = [(before, after) if i in axes else (0, 0) for i in range(-array.ndim, 0)]
        padded = xp.pad(array, width)
        for place in product(range(self.size), repeat=2):
            index = [slice(None)] * array.ndim
            for axis, start in zip(axes, place * (len(axes) // 2), strict=True):
                index[axis] = slice(start, start + array.shape[axis])
            yield padded[tuple(index)]


def layer(
    cov: Covariance, weight_variance: float, bias_variance: float, window: Window, xp: Namespace
) -> Covariance:
    """Return the covariance after a linear layer, w² (mean over the window) + b².

    With P, Q, R the sums of a², b², ab that make the new variances and the old bound,
    √(PQ) − R = ½ Σ_i (r a_i − b_i/r)², r = (Q/P)^{1/4}: what the layer adds to both gaps.
    """
    share = weight_variance / window.places
    a = xp.sqrt(share * sum(i * i for i in window.shifts(cov.a, window.axes_a, xp)) + bias_variance)
    b = xp.sqrt(share * sum(i * i for i in window.shifts(cov.b, window.axes_b, xp)) + bias_variance)
    nothing = a * b == 0
    r = xp.sqrt(xp.where(nothing, 1.0, b) / xp.where(nothing, 1.0, a))
    lag = bias_variance * (r - 1 / r) ** 2
    sides = (window.shifts(cov.a, window.axes_a, xp), window.shifts(cov.b, window.axes_b, xp))
    for one, other in zip(*sides, strict=True):
        lag = lag + share * (r * one - other / r) ** 2
    lag = xp.where(nothing, 0.0, lag) / 2
    below = lag + weight_variance * window.mean(cov.below, window.axes, xp)
    above = lag + weight_variance * window.mean(cov.above, window.axes, xp) + 2 * bias_variance
    return Covariance(a, b, below, above)
