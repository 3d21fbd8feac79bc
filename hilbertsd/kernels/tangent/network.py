"""Infinitely wide networks as kernels: their covariance (NNGP) and their tangent kernel (NTK)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hilbertsd.errors import PrecisionWarning
from hilbertsd.kernels.closed_form import direction, over_coordinates
from hilbertsd.kernels.kernel import Kernel
from hilbertsd.kernels.points import Array, Namespace
from hilbertsd.kernels.tangent.activations import (
    MOST_NODES,
    NODES,
    ErrorFunction,
    Hermite,
    Piecewise,
)
from hilbertsd.kernels.tangent.covariance import Covariance, Window, layer

TILE_ENTRIES = 2**14
"""Pairs at a time while a matrix is filled: a tile's dozen arrays stay in the cache."""
NEAR = 2.0**-10
"""1 ∓ cos θ below this is taken from differences, not from the inner product."""
NEGLIGIBLE = 1e-6
"""A quadrature error estimated above this, relative to the diagonal, is warned of."""


@dataclass(frozen=True, repr=False)
class Network(Kernel):
    """An infinitely wide network; see `nngp`, `ntk`, `conv_nngp`, `conv_ntk`."""

    name: str
    depth: int
    activation: str | Callable[[Array], Array]
    weight_variance: float
    bias_variance: float
    nodes: int
    rule: Piecewise | ErrorFunction | Hermite = field(compare=False)
    domain: None = field(init=False, default=None)

    @property
    def features(self) -> int | None:
        """Any number of coordinates."""
        return None

    @property
    def tangent(self) -> bool:
        """Whether this is the tangent kernel, and not the covariance."""
        return self.name.endswith("ntk")

    @property
    def regularizer(self) -> str:
        """The norm in parameters, as the width goes to infinity."""
        if self.tangent:
            return "R(f) = min ‖θ − θ_0‖² over f = ⟨∇f_{θ_0}, θ − θ_0⟩, width → ∞"
        return "R(f) = min ‖v‖² over f = ⟨v, last hidden layer at θ_0⟩, width → ∞"

    def quadrature_error(self, x: Array) -> float:
        """Return the error of the activation's quadrature, relative to the diagonal, estimated.

        The share of E[φ(u)²] and E[φ'(u)²] beyond the terms that are kept, the largest over the
        points x, summed over the layers; 0 for activations in closed form.

        Examples
        --------
        >>> from hilbertsd.kernels import ntk
        >>> ntk(2, "relu").quadrature_error([[1.0, 2.0]])
        0.0
        >>> ntk(2, "tanh").quadrature_error([[0.5, 1.0]]) < 1e-9
        True
        """
        points = np.asarray(x, dtype=float)
        return self._tail(points[..., None] if points.ndim < 2 else points)

    def _tail(self, points: np.ndarray) -> float:
        if not isinstance(self.rule, Hermite):
            return 0.0
        deviations, window = self._deviations(points)
        total = 0.0
        for _ in range(self.depth):
            share = self.weight_variance / window.places
            squares = sum(d * d for d in window.shifts(deviations, window.axes_a, np))
            deviations, tail = self.rule.tail(np.sqrt(share * squares + self.bias_variance))
            total += tail
        return total

    def _deviations(self, points: np.ndarray) -> tuple[np.ndarray, Window]:
        return np.sqrt(np.mean(points**2, axis=-1)), Window()

    def _inside(self, points: Array, xp: Namespace, name: str) -> Array:
        points = super()._inside(points, xp, name)
        error = self._tail(points) if xp is np and np.size(points) else 0.0
        if error > NEGLIGIBLE:
            warnings.warn(
                f"the quadrature of {self!r} has an error of about {error:.1g} relative to the "
                f"diagonal at the points of {name}; raise nodes (at most {MOST_NODES}), or bring "
                "the points or the variances to a smaller scale. Kinks converge slowly: 'relu' and "
                "'abs' have closed forms",
                PrecisionWarning,
                stacklevel=4,
            )
        return points

    def _linear(
        self, cov: Covariance, tangent: Array | None, window: Window, xp: Namespace
    ) -> tuple[Covariance, Array | None]:
        """Take both kernels through a linear layer, whose own parameters add to the tangent one."""
        cov = layer(cov, self.weight_variance, self.bias_variance, window, xp)
        if not self.tangent:
            return cov, None
        if tangent is None:  # no parameters so far
            return cov, cov.value
        return cov, self.weight_variance * window.mean(tangent, window.axes, xp) + cov.value

    def _hidden(
        self, cov: Covariance, window: Window, xp: Namespace
    ) -> tuple[Covariance, Array | None]:
        """Take both kernels through the hidden layers, each linear and then the activation."""
        tangent = None
        for _ in range(self.depth):
            cov, tangent = self._linear(cov, tangent, window, xp)
            cov, slope = self.rule(cov, xp)
            tangent = None if tangent is None else slope * tangent
        return cov, tangent

    def _values(self, cov: Covariance, xp: Namespace) -> Array:
        cov, tangent = self._linear(*self._hidden(cov, Window(), xp), Window(), xp)
        return cov.value if tangent is None else tangent

    def _pairs(self, x: Array, s: Array, xp: Namespace) -> Array:
        (u, a), (v, b) = _spread(x, xp), _spread(s, xp)
        below = over_coordinates(xp, lambda p, q: (p - q) ** 2, u, v) / 2
        above = over_coordinates(xp, lambda p, q: (p + q) ** 2, u, v) / 2
        return self._values(Covariance(a, b, a * b * below, a * b * above), xp)

    def _block(self, x: Array, s: Array, xp: Namespace) -> Array:
        if xp is not np:
            return _by_rows(lambda row: self._pairs(row[None], s, xp), x)
        (u, a), (v, b) = _spread(x, np), _spread(s, np)
        values = np.empty((len(x), len(s)))
        for rows, columns in _tiles(len(x), len(s), 1):
            below, above = _gaps(u[rows], v[columns])
            one, other = a[rows, None], b[None, columns]
            cov = Covariance(one, other, one * other * below, one * other * above)
            values[rows, columns] = self._values(cov, np)
        return values

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{k}={v!r}' for k, v in self._arguments())})"

    def _arguments(self) -> list[tuple[str, Any]]:
        shown = [
            ("depth", self.depth),
            ("activation", self.activation),
            ("weight_variance", self.weight_variance),
            ("bias_variance", self.bias_variance),
        ]
        return shown + ([("nodes", self.nodes)] if self.nodes != NODES else [])


@dataclass(frozen=True, repr=False)
class ConvolutionalNetwork(Network):
    """An infinitely wide convolutional network; see `conv_nngp` and `conv_ntk`."""

    shape: tuple[int, int, int]
    readout: str
    filter_size: int

    @property
    def features(self) -> int:
        """The image's numbers, height · width · channels."""
        return math.prod(self.shape)

    def _window(self) -> Window:
        # Axes of arrays for pairs: (..., height, width) at one place of both images, or
        # (..., height, width, height', width') at any two places.
        if self.readout == "flatten":
            return Window(self.filter_size, (-2, -1), (-2, -1), (-2, -1))
        return Window(self.filter_size, (-4, -3), (-2, -1), (-4, -3, -2, -1))

    def _deviations(self, points: np.ndarray) -> tuple[np.ndarray, Window]:
        image = points.reshape(*points.shape[:-1], *self.shape)
        one = Window(self.filter_size, (-2, -1), (-2, -1), (-2, -1))
        return np.sqrt(np.mean(image**2, axis=-1)), one

    def _pairs(self, x: Array, s: Array, xp: Namespace) -> Array:
        x, s = (points.reshape(*points.shape[:-1], *self.shape) for points in (x, s))
        (u, a), (v, b) = _spread(x, xp), _spread(s, xp)
        if self.readout == "average":
            u, a = u[..., None, None, :], a[..., None, None]
            v, b = v[..., None, None, :, :, :], b[..., None, None, :, :]
        below = over_coordinates(xp, lambda p, q: (p - q) ** 2, u, v) / 2
        above = over_coordinates(xp, lambda p, q: (p + q) ** 2, u, v) / 2
        window = self._window()
        cov = Covariance(a, b, a * b * below, a * b * above)
        cov, tangent = self._hidden(cov, window, xp)
        total = cov.value if tangent is None else cov.value + tangent
        return xp.mean(total, axis=tuple(range(-len(window.axes), 0)))

    def _block(self, x: Array, s: Array, xp: Namespace) -> Array:
        if xp is not np:
            return _by_rows(lambda row: self._pairs(row[None], s, xp), x)
        pixels = self.shape[0] * self.shape[1]
        entries = self.shape[2] * (pixels if self.readout == "flatten" else pixels**2)
        values = np.empty((len(x), len(s)))
        for rows, columns in _tiles(len(x), len(s), entries):
            values[rows, columns] = self._pairs(x[rows, None], s[None, columns], np)
        return values

    def _arguments(self) -> list[tuple[str, Any]]:
        own = [("shape", self.shape), *super()._arguments(), ("readout", self.readout)]
        return own + ([("filter_size", self.filter_size)] if self.filter_size != 3 else [])


def _tiles(rows: int, columns: int, entries: int) -> Iterator[tuple[slice, slice]]:
    """Yield square tiles of the matrix, small enough when every pair takes so many numbers."""
    side = max(1, math.isqrt(TILE_ENTRIES // entries))
    for i in range(0, rows, side):
        for j in range(0, columns, side):
            yield slice(i, i + side), slice(j, j + side)


def _spread(points: Array, xp: Namespace) -> tuple[Array, Array]:
    """Return unit vectors and root mean squares."""
    unit, length = direction(points, xp)
    return unit, length / math.sqrt(points.shape[-1])


def _gaps(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return 1 − ⟨u, v⟩ and 1 + ⟨u, v⟩ of unit vectors, all pairs, each to full relative accuracy.

    A vector 0 counts as having angle π/2 to all others.
    """
    product = u @ v.T
    below, above = 1 - product, 1 + product
    for gap, sign in ((below, -1.0), (above, 1.0)):
        i, j = np.nonzero(gap < NEAR)
        for start in range(0, len(i), TILE_ENTRIES):
            rows, columns = i[start : start + TILE_ENTRIES], j[start : start + TILE_ENTRIES]
            gap[rows, columns] = np.sum((u[rows] + sign * v[columns]) ** 2, axis=-1) / 2
    return below, above


def _by_rows(values: Callable[[Array], Array], x: Array) -> Array:
    """Return the values row by row, so that no array of all pairs and all coordinates arises."""
    from jax import lax

    return lax.map(values, x)
