"""Norms, unit vectors and roots whose derivatives are finite everywhere, at zero too.

At zero these functions have no derivative; here it is 0, so that a dead unit, two equal points or
a student equal to its teacher stop a gradient instead of poisoning it.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Array = Any
Axis = int | tuple[int, ...] | None


def least(x: Array) -> float:
    """Return √tiny of an array's type, 1e-154 or 1e-19: what is not above it counts as zero."""
    return float(np.finfo(x.dtype).tiny) ** 0.5


def root(x: Array) -> Array:
    """Return √x, with derivative 0 where x counts as zero."""
    some = ~(x <= least(x))  # NaN is no zero
    return jnp.where(some, jnp.sqrt(jnp.where(some, x, 1)), 0)


def inverse_root(x: Array, above: float | None = None) -> Array:
    """Return 1/√x, and 0 with derivative 0 where x is not above a bound (or counts as zero)."""
    bound = least(x) if above is None else max(above, least(x))
    some = ~(x <= bound)
    return jnp.where(some, jax.lax.rsqrt(jnp.where(some, x, 1)), 0)


def scaled(x: Array, axis: Axis = None) -> Array:
    """Return x over its largest entry, held constant: for what does not depend on the scale.

    As f(x/m) = f(x) for every m, all derivatives are those of f, and squares neither overflow nor
    underflow.
    """
    return x / _largest(x, axis)


def bounded(x: Array, axis: Axis = None) -> Array:
    """Return (B, p) x, over its largest entry where squared distances would overflow.

    That is from 6e18/√p in float32, 4e153/√p in float64: for what depends on the scale of small x
    alone. With an axis, each row over its own.
    """
    largest = _largest(x, axis)
    safe = (float(np.finfo(x.dtype).max) / (8 * x.shape[1])) ** 0.5
    return x / jnp.where(largest > safe, largest, 1)


def shifted(x: Array) -> Array:
    """Return rows less the one that is nearest to their mean, held constant.

    For what does not depend on a shift: all derivatives are those of the whole. Equal rows give
    exactly zero, and a few far rows cost the others no digits, as they would with the mean itself.
    """
    away = jnp.sum(jnp.abs(x - x.mean(axis=0)), axis=1)
    return x - jax.lax.stop_gradient(x[jnp.argmin(away)])


def unit(x: Array, axis: Axis) -> Array:
    """Return x/‖x‖ along an axis or axes; 0 where x = 0."""
    y = scaled(x, axis)
    return y * inverse_root(jnp.sum(y**2, axis=axis, keepdims=True))


def norm(x: Array, axis: Axis) -> Array:
    """Return ‖x‖ along an axis or axes, with derivative 0 where x = 0."""
    largest = _largest(x, axis)
    length = root(jnp.sum((x / largest) ** 2, axis=axis, keepdims=True)) * largest
    return jnp.squeeze(length, axis)


def _largest(x: Array, axis: Axis) -> Array:
    """Return the largest entry in size, 1 where it counts as zero."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=axis, keepdims=True))
    return jnp.where(largest > least(x), largest, 1)
