"""Many chains in one call against a loop over the recurrence, chain by chain."""

from __future__ import annotations

import math

import jax
import numpy as np

from benchmarks.measure import Comparison, pairs
from hilbertsd import batch, recurrence
from hilbertsd.multiplier import Residual

ROUNDS = 10
LABEL_RATIO = 13.0
"""r_0: enough that no fit of the ten rounds collapses (collapse_round >= r_0 - 1)."""


class _Measure:
    """The recurrence's questions on a spectral measure, without error estimates: the lean route."""

    outputs = 1

    def __init__(self, d: np.ndarray, z: np.ndarray) -> None:
        self.size, self.d, self.weights = len(d), d, z**2

    def power(self) -> float:
        return float(self.weights.sum())

    def floor(self) -> float:
        return 0.0

    def residual(self, u: float) -> Residual:
        damping = 1 / (1 + u * self.d)
        squares = self.weights * damping**2
        square = float(squares.sum())
        return Residual(math.sqrt(square), float(squares @ (self.d * damping)) / square)

    def advance(self, c: float) -> recurrence.RoundErrors:
        self.weights = self.weights * (self.d / (c + self.d)) ** 2
        return recurrence.RoundErrors(0.0, np.zeros(1), 0.0)


def problems(count: int, nodes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spectra log-uniform over four decades, normal coordinates, ε from r_0."""
    rng = np.random.default_rng(0)
    d = 10 ** rng.uniform(-4, 0, (count, nodes))
    z = rng.standard_normal((count, nodes))
    return d, z, np.mean(z**2, axis=1) / LABEL_RATIO**2


def one_by_one(d: np.ndarray, z: np.ndarray, eps: np.ndarray) -> np.ndarray:
    """(count, T) multipliers by the package's recurrence in NumPy."""
    return np.stack(
        [
            recurrence.run(_Measure(*chain), np.full(ROUNDS + 1, e), 0.0).multipliers
            for *chain, e in zip(d, z, eps, strict=True)
        ]
    )


def batch_over_loop(quick: bool) -> Comparison:
    """Ten thousand chains of ten rounds in one call, against the recurrence in a loop."""
    count, nodes, repeats = (200, 50, 2) if quick else (10_000, 200, 3)
    d, z, eps = problems(count, nodes)

    def together() -> np.ndarray:
        with jax.enable_x64(True):
            return np.asarray(batch.chains(d, z, eps, ROUNDS).multipliers)

    difference = float(np.max(np.abs(together() / one_by_one(d, z, eps) - 1)))
    if not difference < 1e-10:
        raise AssertionError(f"the two sides disagree on the multipliers by {difference:.1e}")
    ours, theirs = pairs(together, lambda: one_by_one(d, z, eps), repeats)
    return Comparison(
        name="many chains in one call over a loop",
        ours="batch.chains(d, z, eps, rounds=10), arrays moved in and multipliers out",
        theirs="recurrence.run on each spectrum, without error estimates",
        at="10,000 chains on 200 nodes",
        settings={
            "chains": count,
            "nodes": nodes,
            "rounds": ROUNDS,
            "r_0": LABEL_RATIO,
            "largest relative difference of the multipliers": difference,
        },
        our_seconds=ours,
        their_seconds=theirs,
        limit=10.0,
        speed_up=True,
        judged=not quick,
    )
