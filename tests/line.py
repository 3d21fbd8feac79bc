"""Chains on the line in a few hundred bits, a reference that shares no step with the library.

Dense, from the formulas of the kernels, for any of them; and for the cubic spline at thousands of
points Reinsch's banded form, which loses everything in float64 and nothing here.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from flint import arb, arb_mat, ctx

from hilbertsd.kernels import (
    brownian_bridge,
    brownian_motion,
    cubic_spline,
    integrated_brownian_motion,
    matern,
)

BITS = 400


def covariance(name: str, parameters: dict[str, float], x: arb, s: arb) -> arb:
    """g(x, s) for x ≤ s."""
    if name == "brownian_motion":
        return x
    if name == "brownian_bridge":
        return x * (1 - s)
    if name in ("integrated_brownian_motion", "cantilever_beam"):
        return x * x * (3 * s - x) / 6
    if name == "cubic_spline":
        return x * (1 - s) * (2 * s - s * s - x * x) / 6
    nu = parameters.get("nu", 0.5)
    t = arb(2 * nu).sqrt() / arb(parameters["length_scale"]) * (s - x)
    return {0.5: 1, 1.5: 1 + t, 2.5: 1 + t + t * t / 3}[nu] * (-t).exp()


def gram(name: str, parameters: dict[str, float], x: np.ndarray) -> arb_mat:
    """(K, K) Gram matrix at the floats x as they are, its 1/K included."""
    ctx.prec = BITS
    points = exact(x)
    size = len(points)
    G = arb_mat(size, size)
    for i in range(size):
        for j in range(i + 1):
            low, high = (points[i], points[j]) if x[i] <= x[j] else (points[j], points[i])
            G[i, j] = G[j, i] = covariance(name, parameters, low, high) / size
    return G


def exact(values) -> list[arb]:
    return [arb(float(v)) for v in np.asarray(values, dtype=float)]


Solve = Callable[[arb, list[arb]], list[arb]]
"""(cI + G)⁻¹ y."""


def dense(G: arb_mat) -> Solve:
    size = G.nrows()

    def solve(c: arb, y: list[arb]) -> list[arb]:
        shifted = G + c * arb_mat(
            size, size, [int(i == j) for i in range(size) for j in range(size)]
        )
        found = shifted.solve(arb_mat(size, 1, y))
        return [found[i, 0].mid() for i in range(size)]

    return solve


def reinsch(x: np.ndarray) -> Solve:
    """(cI + G)⁻¹ = Q (cQ² + R/K)⁻¹ Q for the cubic spline at ascending distinct interior sites.

    Q are the second differences with pinned ends and R the mass matrix of the hat functions, both
    tridiagonal: G = Q⁻¹ R Q⁻¹/K.
    """
    ctx.prec = BITS
    points = [arb(0), *exact(x), arb(1)]
    size = len(x)
    h = [(b - a).mid() for a, b in pairwise(points)]
    diagonal = [(-1 / h[i] - 1 / h[i + 1]).mid() for i in range(size)]
    beside = [(1 / h[i + 1]).mid() for i in range(size - 1)]

    def second_differences(v: list[arb]) -> list[arb]:
        out = [d * a for d, a in zip(diagonal, v, strict=True)]
        for i, b in enumerate(beside):
            out[i] += b * v[i + 1]
            out[i + 1] += b * v[i]
        return [a.mid() for a in out]

    def solve(c: arb, y: list[arb]) -> list[arb]:
        d0 = [c * d * d + (h[i] + h[i + 1]) / 3 / size for i, d in enumerate(diagonal)]
        for i, b in enumerate(beside):
            d0[i] += c * b * b
            d0[i + 1] += c * b * b
        d1 = [
            c * b * (diagonal[i] + diagonal[i + 1]) + h[i + 1] / 6 / size
            for i, b in enumerate(beside)
        ]
        d2 = [c * a * b for a, b in pairwise(beside)]
        v = second_differences(y)
        for i in range(size):  # LDLᵀ in place
            pivot = d0[i] = d0[i].mid()
            if i + 1 < size:
                l1 = (d1[i] / pivot).mid()
                d0[i + 1] -= l1 * d1[i]
                v[i + 1] = (v[i + 1] - l1 * v[i]).mid()
            if i + 2 < size:
                l2 = (d2[i] / pivot).mid()
                d1[i + 1] -= l1 * d2[i]
                d0[i + 2] -= l2 * d2[i]
                v[i + 2] = (v[i + 2] - l2 * v[i]).mid()
                d2[i] = l2
            if i + 1 < size:
                d1[i] = l1
        v = [a / d for a, d in zip(v, d0, strict=True)]
        for i in reversed(range(size)):
            if i + 1 < size:
                v[i] -= d1[i] * v[i + 1]
            if i + 2 < size:
                v[i] -= d2[i] * v[i + 2]
            v[i] = v[i].mid()
        return second_differences(v)

    return solve


def chain(
    solve: Solve, y: np.ndarray, eps: float, guesses: np.ndarray
) -> tuple[list[arb], list[list[arb]]]:
    """Multipliers and labels y_1, .. of as many rounds as there are guesses.

    The secant method on log ‖residual‖² against log c: a guess only starts it.
    """
    labels, multipliers, history = exact(y), [], []
    allowed = (len(labels) * arb(float(eps))).log().mid()
    for guess in guesses:

        def gap(log_c: arb, labels=labels) -> tuple[arb, arb, list[arb]]:
            c = log_c.exp().mid()
            x = solve(c, labels)
            return ((c * c * squares(x)).log() - allowed).mid(), c, x

        new = arb(float(guess)).log().mid()
        old = (new - arb("1e-6")).mid()
        at_old, *_ = gap(old)
        for _ in range(40):
            at_new, c, x = gap(new)
            if abs(at_new) < arb("1e-35"):
                break
            step = (at_new * (new - old) / (at_new - at_old)).mid()
            old, at_old, new = new, at_new, (new - step).mid()
        else:
            raise AssertionError("the reference did not settle")
        labels = [(v - c * w).mid() for v, w in zip(labels, x, strict=True)]
        multipliers.append(c)
        history.append(labels)
    return multipliers, history


def squares(v: list[arb]) -> arb:
    return sum((a * a for a in v), arb(0)).mid()


def relative_error(found: float, truth: arb) -> float:
    return abs(float((arb(float(found)) / truth - 1).mid()))


def distance(found: np.ndarray, truth: list[arb]) -> float:
    """‖found − truth‖/‖truth‖, found in float64."""
    gap = squares([(a - b).mid() for a, b in zip(exact(found), truth, strict=True)])
    return float((gap / squares(truth)).mid()) ** 0.5


KERNELS = (
    brownian_motion(),
    brownian_bridge(),
    cubic_spline(),
    integrated_brownian_motion(),
    matern(0.5, 0.2),
    matern(1.5, 0.05),
    matern(2.5, 0.2),
)
"""Each kernel with a state-space form."""


def sites(kind: str, size: int, seed: int) -> np.ndarray:
    """Unsorted points: scattered, in clusters with gaps of 1e-12, repeated, or next to the ends."""
    rng = np.random.default_rng([seed, size])
    if kind == "random":
        return rng.random(size)
    centres = rng.uniform(0.05, 0.95, size // 3)[rng.integers(0, size // 3, size)]
    if kind == "clustered":
        return centres + 1e-12 * rng.standard_normal(size)
    if kind == "repeated":
        return centres
    assert kind == "ends"
    near = 10 ** rng.uniform(-12, 0, size)
    return np.where(rng.random(size) < 0.5, near, 1 - near)
