"""Self-distillation in 60 digits, and Gram matrices whose eigensystem is known that well.

The reference starts from the spectrum: eigenvalues d and an orthogonal V made of Householder
reflections are exact to 60 digits, G = Vᵀ D V is formed in those digits and only then rounded.
So the reference never computes an eigenvalue, and rank deficient problems are exactly so.
"""

from __future__ import annotations

from dataclasses import dataclass

import mpmath as mp
import numpy as np

DIGITS = 60


@dataclass(frozen=True)
class Problem:
    """A chain's input in float64 and its eigensystem in 60 digits."""

    name: str
    eigenvalues: np.ndarray  # (K,) mpf
    V: np.ndarray  # (K, K) mpf, one eigenvector a row
    G: np.ndarray  # (K, K) float64, V' D V rounded
    y: np.ndarray  # (K, Q) float64
    eps: np.ndarray  # () for a joint tolerance, (Q,) for one an output
    joint: bool
    rounds: int

    @property
    def groups(self) -> list[slice]:
        """Outputs that share a multiplier."""
        outputs = self.y.shape[1]
        return [slice(0, outputs)] if self.joint else [slice(q, q + 1) for q in range(outputs)]


def multiprecision(values: np.ndarray) -> np.ndarray:
    """Floats as the exact numbers they are."""
    return np.vectorize(mp.mpf, otypes=[object])(values)


def orthogonal(size: int, rng: np.random.Generator, reflections: int = 3) -> np.ndarray:
    """Product of Householder reflections along integer vectors."""
    V = multiprecision(np.eye(size))
    for _ in range(reflections):
        v = multiprecision(rng.integers(-1000, 1001, size).astype(float))
        V = V - np.outer(v, (v @ V) * (2 / (v @ v)))
    return V


def chain(d: np.ndarray, z: np.ndarray, eps: float, rounds: int) -> tuple[list, list]:
    """Multipliers and coordinates (K, Q) of one chain; the columns of z share the multiplier."""
    inside = d > 0
    allowed = len(d) * mp.mpf(eps)
    multipliers, coordinates = [], [z]
    for _ in range(rounds + 1):
        weights = np.sum(z**2, axis=1)
        if weights.sum() <= allowed:
            break
        target = mp.sqrt(allowed - sum(weights[~inside], mp.mpf(0)))
        c = 1 / _root(d[inside], weights[inside], target)
        z = (d / (c + d))[:, None] * z
        multipliers.append(c)
        coordinates.append(z)
    return multipliers, coordinates


def _root(d: np.ndarray, weights: np.ndarray, target: mp.mpf) -> mp.mpf:
    """Solve r(u) = target by bisection on log u, then secant: no step shared with the library."""

    def gap(log_u: mp.mpf) -> mp.mpf:
        u = mp.exp(log_u)
        return mp.log(sum(weights / (1 + u * d) ** 2)) / 2 - mp.log(target)

    power = mp.sqrt(sum(weights))
    low = mp.log((power / target - 1) / d.max()) - 1
    high = low + 1
    while gap(high) > 0:
        high += high - low
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if gap(middle) > 0 else (low, middle)
    a, b = low, high
    ga, gb = gap(a), gap(b)
    for _ in range(200):
        new = b - gb * (b - a) / (gb - ga) if gb != ga else (a + b) / 2
        if not low < new < high:
            new = (low + high) / 2
        value = gap(new)
        low, high = (new, high) if value > 0 else (low, new)
        a, ga, b, gb = b, gb, new, value
        if abs(b - a) < mp.mpf(10) ** (12 - DIGITS):
            return mp.exp(b)
    raise AssertionError("the reference did not converge")


def problem(seed: int) -> Problem:
    """An adversarial problem: what the seed selects is in its name."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(4, 25))
    span = rng.uniform(0, 12)
    spectrum = ("spread", "repeated", "clustered", "singular")[rng.integers(4)]
    d = 10 ** rng.uniform(-span, 0, size)
    if spectrum == "repeated":
        d = 10 ** (-span * rng.integers(0, 3, size) / 2)
    elif spectrum == "clustered":
        d = d[rng.integers(0, max(2, size // 3), size)]
        d = d * (1 + 1e-9 * rng.standard_normal(size))
    elif spectrum == "singular":
        d[: max(1, size // 3)] = 0
    d = np.sort(d) * 10 ** rng.uniform(-6, 6)
    exact = multiprecision(d)
    V = orthogonal(size, rng)
    G = ((V.T * exact) @ V).astype(float)
    G = (G + G.T) / 2
    outputs = int(rng.choice([1, 1, 1, 3]))
    y = rng.standard_normal((size, outputs))
    if rng.random() < 0.5:  # labels of very unequal coordinates
        y = (V.T.astype(float)) @ (y * 10 ** rng.uniform(-3, 0, (size, 1)))
    y *= 10 ** rng.uniform(-3, 3)
    z = V @ multiprecision(y)
    joint = bool(rng.integers(2))
    regime = ("near collapse", "wide", "moderate", "near floor")[rng.integers(4)]
    columns = [z] if joint else [z[:, [q]] for q in range(outputs)]
    eps = np.array([_tolerance(d, column, regime, rng) for column in columns])
    rounds = int(rng.choice([2, 9, 29]))
    name = f"{spectrum}, {regime}, {'joint' if joint else 'each'}"
    return Problem(name, exact, V, G, y, eps[0] if joint else eps, joint, rounds)


def _tolerance(d: np.ndarray, z: np.ndarray, regime: str, rng: np.random.Generator) -> float:
    """Draw a tolerance: r_0 from 1 + 1e-9 to 1e6, or a hair above the residual floor."""
    power = float(np.sum(z**2))
    floor = float(np.sum(z[d == 0] ** 2))
    r0 = {
        "near collapse": 1 + 10 ** rng.uniform(-9, 0),
        "wide": 10 ** rng.uniform(0.01, 6),
        "moderate": 10 ** rng.uniform(0.01, 1.5),
        "near floor": 1 + 10 ** rng.uniform(-1, 1),
    }[regime]
    allowed = power / r0**2
    if floor > 0 and (regime == "near floor" or allowed <= floor * (1 + 1e-13)):
        allowed = floor * (1 + 10 ** rng.uniform(-13, 0))
    return min(allowed, power * (1 - 2e-9)) / len(d)
