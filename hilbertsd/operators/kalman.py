"""Recursions along the line, each one compiled loop: products with a Gram matrix, and solves.

Loaded when first used, since it needs JAX; callers hold ``jax.enable_x64(True)``. The loops are
written for one column and few numbers a step: XLA then compiles the whole loop to machine code
(15 to 25 ns a step), and else dispatches every operation of every step (1 µs).
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

State = tuple[Any, ...]

UNIT = float(np.finfo(np.float64).eps)


class Transitions(NamedTuple):
    """The way to each site from the one before, s_i = ρ_i U(h_i) s_{i−1} + w_i."""

    decay: Any
    step: Any


class Model(NamedTuple):
    """G[i, j] = w_i cov(first component at i, at j) w_j, by its transitions and disturbances."""

    way: Transitions
    diagonal: State
    """D of the covariances of the disturbances, each (K,)."""
    lower: State
    """L of theirs, row by row."""
    weights: Any


class Solve(NamedTuple):
    """A solve with I + uG."""

    x: Any
    """(I + uG)⁻¹ y."""
    image: Any
    """G x."""


class Gains(NamedTuple):
    """What the Kalman filter at u = 1/c knows before any label: the loop over covariances."""

    variance: Any
    """(K,) of the first component, predicted, without the factor u."""
    regression: State
    """(K,) each: of the other components on the first."""
    innovation: Any
    """(K,) S_i = 1 + u w_i² variance_i."""


def moved(decay: Any, step: Any, state: State) -> State:
    """ρ U(h) s."""
    if len(state) == 1:
        return (decay * state[0],)
    if len(state) == 2:
        return decay * (state[0] + step * state[1]), decay * state[1]
    first, second, third = state
    return (
        decay * (first + step * (second + step / 2 * third)),
        decay * (second + step * third),
        decay * third,
    )


def moved_back(decay: Any, step: Any, state: State) -> State:
    """ρ U(h)ᵀ s: the same with the components in reverse order."""
    return moved(decay, step, state[::-1])[::-1]


@jax.jit
def product(way: Transitions, weights: Any, marginal: State, v: Any) -> Any:
    """G v for G[i, j] = w_i cov(first component at i, at j) w_j."""
    zeros = (jnp.zeros(()),) * len(marginal)

    def forward(below: State, site: Any) -> tuple[State, Any]:
        (decay, step), covariances, wv = site
        before = moved(decay, step, below)
        return _sum(before, tuple(p * wv for p in covariances)), before[0]

    wv = weights * v
    _, below = lax.scan(forward, zeros, (way, marginal, wv))

    def backward(above: State, site: Any) -> tuple[State, Any]:
        (decay, step), covariances, wv, below = site
        above = (above[0] + wv, *above[1:])
        return moved_back(decay, step, above), below + _dot(covariances, above)

    _, both = lax.scan(backward, zeros, (way, marginal, wv, below), reverse=True)
    return weights * both


@jax.jit
def gains(model: Model, u: Any, wobble: Any) -> Gains:
    """Predicted covariances L diag(D) Lᵀ of the state, site by site.

    A label changes the first entry of D alone, to D_0/S. A move puts the columns of ρU(h)L and
    those of the noise side by side and orthogonalises the rows (modified Gram-Schmidt, as in
    Thornton's time update of Bierman's filter): sums of positive terms, which keep their relative
    accuracy where a covariance formed by subtraction has none left.

    ``wobble``, if given, are random bits, (K,) uint16: they move what is carried, the entries of
    D and L, by a unit of rounding up or down as it is formed.
    """
    way, diagonal, lower, weights = model
    size = len(diagonal)
    power = u * weights**2

    def ahead(values: Any) -> Any:
        """What lies between a site and the next."""
        return jax.tree.map(lambda a: jnp.roll(a, -1), values)

    def step(carry: tuple[State, State], site: Any) -> Any:
        (scales, mixing), (power, (decay, h), noise, noise_mixing, wobble) = carry, site
        scales = (scales[0] / (1 + power * scales[0]), *scales[1:])
        columns = [moved(1.0, h, column) for column in _columns(mixing, size)]
        columns += _columns(noise_mixing, size)
        weights = [*(decay * decay * s for s in scales), *noise]
        found = _orthogonalised(columns, weights, wobble)
        return found, (carry[0][0], tuple(carry[1][k * (k - 1) // 2] for k in range(1, size)))

    first = jax.tree.map(lambda a: a[0], (diagonal, lower))
    sites = (power, ahead(way), ahead(diagonal), ahead(lower), wobble)
    _, (variance, regression) = lax.scan(step, first, sites)
    return Gains(variance, regression, 1 + power * variance)


def _columns(lower: State, size: int) -> list[State]:
    """Columns of L; zeros and ones are Python's, so that the loop does not carry them."""
    rows = [[*lower[i * (i - 1) // 2 :][:i], 1.0, *[0.0] * (size - i - 1)] for i in range(size)]
    return list(zip(*rows, strict=True))


def _orthogonalised(columns: list[State], weights: list[Any], wobble: Any) -> tuple[State, State]:
    """L diag(D) Lᵀ = Σ_j weight_j column_j column_jᵀ, as D and the rows of L below its diagonal."""
    bits = itertools.count()
    rows = [list(row) for row in zip(*columns, strict=True)]
    diagonal, lower = [], [[] for _ in rows]
    for i, row in enumerate(rows):
        weighted = [0.0 if _zero(a) else w * a for w, a in zip(weights, row, strict=True)]
        diagonal.append(_wobbled(_dot(weighted, row), wobble, next(bits)))
        for k in range(i + 1, len(rows)):
            share = _wobbled(_dot(weighted, rows[k]) / diagonal[i], wobble, next(bits))
            lower[k].append(share)
            rows[k] = [b if _zero(a) else b - share * a for a, b in zip(row, rows[k], strict=True)]
    return tuple(diagonal), tuple(share for row in lower for share in row)


@jax.jit
def smooth(model: Model, gain: Gains, u: Any, y: Any, wobble: Any) -> Solve:
    """Solve with I + uG, by the innovations and the disturbance smoother.

    ``wobble`` as for :func:`gains`: it moves the state on the way up and the adjoint back.

    Notes
    -----
    Durbin & Koopman, "Time Series Analysis by State Space Methods", 2nd ed. 2012, section 4.5.
    """
    way, weights, size = model.way, model.weights, len(model.diagonal)
    zeros = (jnp.zeros(()),) * size
    reach = weights * gain.variance

    def forward(state: State, site: Any) -> Any:
        (decay, h), w, reach, regression, innovation, y, wobble = site
        state = moved(decay, h, state)
        state = tuple(_wobbled(s, wobble, k) for k, s in enumerate(state))
        error = (y - u * w * state[0]) / innovation
        push = reach * error
        after = (push, *(r * push for r in regression))
        return _sum(state, after), (error, state[0])

    sites = (way, weights, reach, gain.regression, gain.innovation, y, wobble)
    _, (error, before) = lax.scan(forward, zeros, sites)

    def backward(adjoint: State, site: Any) -> Any:
        (decay, h), w, variance, regression, innovation, error, before, wobble = site
        adjoint = tuple(_wobbled(a, wobble, size + k) for k, a in enumerate(adjoint))
        x = error - u * w * variance / innovation * _dot((1.0, *regression), adjoint)
        adjoint = (adjoint[0] + w * x, *adjoint[1:])
        image = w * (before + variance * _dot((1.0, *regression), adjoint))
        return moved_back(decay, h, adjoint), Solve(x, image)

    sites = (way, weights, *gain, error, before, wobble)
    return lax.scan(backward, zeros, sites, reverse=True)[1]


@jax.jit
def energy(model: Model, x: Any) -> Any:
    """xᵀGx as a sum of squares, one a disturbance."""
    size = len(model.diagonal)

    def backward(carry: tuple[State, Any], site: Any) -> Any:
        (adjoint, total), ((decay, h), scales, lower, wx) = carry, site
        adjoint = (adjoint[0] + wx, *adjoint[1:])
        felt = [_dot(column, adjoint) for column in _columns(lower, size)]
        total = total + sum(q * f * f for q, f in zip(scales, felt, strict=True))
        return (moved_back(decay, h, adjoint), total), None

    start = ((jnp.zeros(()),) * size, jnp.zeros(()))
    sites = (model.way, model.diagonal, model.lower, model.weights * x)
    return lax.scan(backward, start, sites, reverse=True)[0][1]


def _wobbled(value: Any, wobble: Any, bit: int) -> Any:
    """Move a number by a unit of rounding, up or down by the bit of that place."""
    if wobble is None:
        return value
    up = ((wobble >> bit) & 1).astype(value.dtype)
    return value * (1 + UNIT * (2 * up - 1))


def _sum(a: State, b: State) -> State:
    return tuple(x + y for x, y in zip(a, b, strict=True))


def _dot(a: Any, b: Any) -> Any:
    return sum(x * y for x, y in zip(a, b, strict=True) if not (_zero(x) or _zero(y)))


def _zero(value: Any) -> bool:
    return isinstance(value, float) and value == 0
