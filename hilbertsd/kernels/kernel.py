"""A kernel is evaluated on two points; Gram matrices and sums follow from that."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np

from hilbertsd.errors import HilbertSDError
from hilbertsd.kernels.points import Array, Namespace, as_points, concrete, namespace

# Entries of a temporary array while a matrix is filled row block by row block (32 MiB).
BLOCK_ENTRIES = 2**22


def positive(name: str, value: Any) -> float:
    """Return a hyperparameter as a float, or raise HilbertSDError unless it is finite and > 0.

    Examples
    --------
    >>> positive("length_scale", 2)
    2.0
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise HilbertSDError(
            f"{name} = {value!r} is not a finite number above 0; choose {name} > 0."
        )
    return number


class Kernel:
    """A symmetric positive semidefinite function g(x, s) of two points.

    ``kernel(x, s)`` takes arrays of points, shape (..., d), and broadcasts over the leading axes;
    numbers and 1-d arrays are points on the line (so one point of the plane is ``[[x1, x2]]``).
    ``kernel.matrix(x, s)`` takes (n, d) or (n,) and (m, d) or (m,) and returns all pairs, (n, m).
    Neither divides by the number of points: `hilbertsd.gram` does.

    NumPy input gives float64. Arrays of another namespace (JAX) are computed in that namespace and
    keep their type. While such arrays are traced, points outside the domain give NaN, since
    nothing can be raised then.

    Attributes
    ----------
    regularizer : str
        The R(f), with its boundary conditions and operator L, whose Hilbert space this is.
    domain : tuple of float, or None
        Where the kernel is defined, (lower, upper); None means everywhere.
    features : int or None
        How many coordinates a point must have; None means any number.

    Examples
    --------
    >>> from hilbertsd.kernels import brownian_motion, gaussian
    >>> float(brownian_motion()(0.25, 0.5))
    0.25
    >>> 2 * gaussian(length_scale=0.5) + brownian_motion()
    2.0 * gaussian(length_scale=0.5) + brownian_motion()
    >>> gaussian(0.5).matrix([0.0, 1.0], [0.0, 1.0, 2.0]).shape
    (2, 3)
    """

    regularizer: str
    domain: tuple[float, float] | None
    features: int | None

    # What a concrete kernel supplies: values on matching points, and, where it is cheaper than
    # broadcasting, on all pairs.
    def _pairs(self, x: Array, s: Array, xp: Namespace) -> Array:
        raise NotImplementedError

    def _block(self, x: Array, s: Array, xp: Namespace) -> Array:
        return self._pairs(x[:, None, :], s[None, :, :], xp)

    def __call__(self, x: Array, s: Array) -> Array:
        """Return g(x, s), broadcasting (..., d) over the leading axes."""
        xp = namespace(x, s)
        x, s = self._accept(x, xp, "x"), self._accept(s, xp, "s")
        _same_features(x, s)
        try:
            np.broadcast_shapes(x.shape, s.shape)
        except ValueError:
            raise HilbertSDError(
                f"points of leading shapes {x.shape[:-1]} and {s.shape[:-1]} do not pair up; "
                "for all pairs use kernel.matrix(x, s)."
            ) from None
        return self._pairs(x, s, xp)

    def matrix(self, x: Array, s: Array) -> Array:
        """Return g(x_i, s_j) for all pairs, shape (n, m), not divided by the number of points."""
        xp = namespace(x, s)
        x, s = self._accept(x, xp, "x"), self._accept(s, xp, "s")
        _same_features(x, s)
        for name, points in (("x", x), ("s", s)):
            if points.ndim != 2:
                raise HilbertSDError(
                    f"{name} has {points.ndim} axes; matrix takes points of shape (n,) or (n, d)."
                )
        if xp is not np:
            return self._block(x, s, xp)
        values = np.empty((len(x), len(s)))
        rows = max(1, BLOCK_ENTRIES // max(1, len(s)))
        for start in range(0, len(x), rows):
            values[start : start + rows] = self._block(x[start : start + rows], s, xp)
        return values

    def _accept(self, points: Array, xp: Namespace, name: str) -> Array:
        """Return the points in shape (..., d), with their features and domain checked."""
        return self._inside(as_points(points, xp, name), xp, name)

    def _inside(self, points: Array, xp: Namespace, name: str) -> Array:
        if self.features is not None and points.shape[-1] != self.features:
            raise HilbertSDError(
                f"{name} has points with {points.shape[-1]} coordinates, but {self!r} is defined "
                f"on {self.features}; for a product over coordinates use tensor(k1, k2, ...)."
            )
        if self.domain is None:
            return points
        lower, upper = self.domain
        inside = (points >= lower) & (points <= upper)
        known = concrete(inside)
        if known is None:
            return xp.where(inside, points, math.nan)
        if not known.all():
            value = np.asarray(points)[~known][0]
            raise HilbertSDError(
                f"{name} holds {value:.17g}, outside the domain [{lower:g}, {upper:g}] of {self!r};"
                " map the domain onto your points with kernel.rescaled(lower, upper)."
            )
        return points

    def __add__(self, other: Any) -> Kernel:
        if not isinstance(other, Kernel):
            return NotImplemented
        return Sum(_flat(Sum, self) + _flat(Sum, other))

    def __mul__(self, other: Any) -> Kernel:
        if isinstance(other, Kernel):
            return Product(_flat(Product, self) + _flat(Product, other))
        if not isinstance(other, Real):
            return NotImplemented
        factor = positive("the factor of a kernel", other)
        if isinstance(self, Scaled):
            return Scaled(positive("the factor of a kernel", factor * self.factor), self.kernel)
        return Scaled(factor, self)

    __rmul__ = __mul__

    def rescaled(self, lower: float, upper: float) -> Kernel:
        """Pull the kernel back from its own domain [a, b] to [lower, upper].

        h(x, s) = g(φ(x), φ(s)), φ(x) = a + (b − a)(x − lower)/(upper − lower), so the norm of f
        is R(f∘φ⁻¹). Only the points are rescaled: with θ = (upper − lower)/(b − a), the Green's
        function of D⁴ on [lower, upper] itself is θ³ h, of D^{2n} it is θ^{2n−1} h.

        Raises
        ------
        HilbertSDError
            If the kernel has no domain, or lower < upper does not hold with both finite.

        Examples
        --------
        >>> from hilbertsd.kernels import brownian_motion
        >>> k = brownian_motion().rescaled(0, 4)
        >>> float(k(1.0, 2.0)), float((4 * k)(1.0, 2.0))
        (0.25, 1.0)
        """
        return rescaled(self, lower, upper)


def _same_features(x: Array, s: Array) -> None:
    if x.shape[-1] != s.shape[-1]:
        raise HilbertSDError(
            f"x has points with {x.shape[-1]} coordinates and s with {s.shape[-1]}; "
            "both must live in the same space."
        )


def _flat(kind: type, kernel: Any) -> tuple[Kernel, ...]:
    return kernel.parts if isinstance(kernel, kind) else (kernel,)


def _common(parts: tuple[Kernel, ...]) -> tuple[tuple[float, float] | None, int | None]:
    """Return the domain and feature count on which all the parts are defined."""
    counts = {part.features for part in parts} - {None}
    if len(counts) > 1:
        raise HilbertSDError(
            f"kernels on points with {sorted(c for c in counts if c)} coordinates do not combine; "
            "join the coordinates with tensor(k1, k2, ...)."
        )
    domains = [part.domain for part in parts if part.domain is not None]
    if not domains:
        return None, next(iter(counts), None)
    lower, upper = max(d[0] for d in domains), min(d[1] for d in domains)
    if lower >= upper:
        raise HilbertSDError(
            f"the domains {domains} have no interval in common; bring one to the other with "
            "kernel.rescaled(lower, upper)."
        )
    return (lower, upper), next(iter(counts), None)


@dataclass(frozen=True, repr=False)
class Combination(Kernel):
    """Several kernels taken together; `parts` in the order they were written."""

    parts: tuple[Kernel, ...]
    domain: tuple[float, float] | None = field(init=False, compare=False)
    features: int | None = field(init=False, compare=False)

    def __post_init__(self):
        domain, features = _common(self.parts)
        object.__setattr__(self, "domain", domain)
        object.__setattr__(self, "features", features)

    def _inside(self, points: Array, xp: Namespace, name: str) -> Array:
        for part in self.parts:
            points = part._inside(points, xp, name)
        return points


class Sum(Combination):
    """g_1 + g_2 + …; its norm is the least Σ R_i(f_i) over the splittings f = Σ f_i."""

    @property
    def regularizer(self) -> str:
        """The infimal convolution of the parts' regularisers (Aronszajn 1950, section 6)."""
        return "R(f) = min over f = Σ f_i of Σ R_i(f_i); " + "; ".join(
            f"R_{i}: {part.regularizer}" for i, part in enumerate(self.parts, 1)
        )

    def _pairs(self, x: Array, s: Array, xp: Namespace) -> Array:
        return sum(part._pairs(x, s, xp) for part in self.parts)

    def _block(self, x: Array, s: Array, xp: Namespace) -> Array:
        return sum(part._block(x, s, xp) for part in self.parts)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.parts))


class Product(Combination):
    """g_1 · g_2 · …, all on the same point."""

    @property
    def regularizer(self) -> str:
        """The norm of the tensor product, restricted to the diagonal (Aronszajn 1950, sec. 8)."""
        return "R(f) = least tensor-product norm over extensions of f off the diagonal; " + (
            "; ".join(f"R_{i}: {part.regularizer}" for i, part in enumerate(self.parts, 1))
        )

    def _pairs(self, x: Array, s: Array, xp: Namespace) -> Array:
        return math.prod(part._pairs(x, s, xp) for part in self.parts)

    def _block(self, x: Array, s: Array, xp: Namespace) -> Array:
        return math.prod(part._block(x, s, xp) for part in self.parts)

    def __repr__(self) -> str:
        return " * ".join(
            f"({p!r})" if isinstance(p, (Sum, Scaled)) else repr(p) for p in self.parts
        )


@dataclass(frozen=True, repr=False)
class Scaled(Kernel):
    """a · g for a number a > 0; the norm is divided by a."""

    factor: float
    kernel: Kernel

    @property
    def regularizer(self) -> str:
        """The kernel's regulariser, divided by the factor."""
        return f"1/{self.factor!r} times: {self.kernel.regularizer}"

    @property
    def domain(self) -> tuple[float, float] | None:
        """The kernel's own domain."""
        return self.kernel.domain

    @property
    def features(self) -> int | None:
        """The kernel's own number of coordinates."""
        return self.kernel.features

    def _inside(self, points: Array, xp: Namespace, name: str) -> Array:
        return self.kernel._inside(points, xp, name)

    def _pairs(self, x: Array, s: Array, xp: Namespace) -> Array:
        return self.factor * self.kernel._pairs(x, s, xp)

    def _block(self, x: Array, s: Array, xp: Namespace) -> Array:
        return self.factor * self.kernel._block(x, s, xp)

    def __repr__(self) -> str:
        inner = f"({self.kernel!r})" if isinstance(self.kernel, Combination) else repr(self.kernel)
        return f"{self.factor!r} * {inner}"


@dataclass(frozen=True, repr=False)
class Rescaled(Kernel):
    """A kernel pulled back to another interval; see `Kernel.rescaled`."""

    kernel: Kernel
    domain: tuple[float, float]
    features: int | None = field(init=False, default=1)

    @property
    def regularizer(self) -> str:
        """The kernel's regulariser, of f moved back to the kernel's own domain."""
        lower, upper = self.domain
        return f"R(f∘φ⁻¹), φ affine from [{lower:g}, {upper:g}]: {self.kernel.regularizer}"

    def to_own_domain(self, points: Array, xp: Namespace = np) -> Array:
        """φ of the points: where the kernel inside sees them."""
        (lower, upper), (a, b) = self.domain, self.kernel.domain or (0.0, 1.0)
        unit = (points - lower) / (upper - lower)
        # Rounding must not carry an end point out of the kernel's domain.
        return xp.clip(a + (b - a) * unit, a, b)

    def _pairs(self, x: Array, s: Array, xp: Namespace) -> Array:
        return self.kernel._pairs(self.to_own_domain(x, xp), self.to_own_domain(s, xp), xp)

    def _block(self, x: Array, s: Array, xp: Namespace) -> Array:
        return self.kernel._block(self.to_own_domain(x, xp), self.to_own_domain(s, xp), xp)

    def __repr__(self) -> str:
        inner = repr(self.kernel)
        if isinstance(self.kernel, (Combination, Scaled)):
            inner = f"({inner})"
        return f"{inner}.rescaled({self.domain[0]!r}, {self.domain[1]!r})"


def rescaled(kernel: Kernel, lower: float, upper: float) -> Rescaled:
    """Return ``kernel.rescaled(lower, upper)``; see there.

    Examples
    --------
    >>> from hilbertsd.kernels import brownian_bridge
    >>> rescaled(brownian_bridge(), -1, 1)
    brownian_bridge().rescaled(-1.0, 1.0)
    """
    if kernel.domain is None or kernel.features not in (None, 1):
        raise HilbertSDError(
            f"{kernel!r} is not tied to an interval; change its length scale instead."
        )
    try:
        low, high = float(lower), float(upper)
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise HilbertSDError(
            f"[{lower!r}, {upper!r}] is not an interval; choose finite lower < upper."
        )
    return Rescaled(kernel, (low, high))
