"""The problems that sweeps share: a smooth function with four per cent of noise power."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

NOISE_SHARE = 0.04
"""Share of the label power that is white noise."""
TOLERANCE_SHARE = 0.05
"""ε as a share of the label power: a little above the noise, as one chooses it."""


class Problem(NamedTuple):
    """Sites, labels and a tolerance."""

    x: np.ndarray
    y: np.ndarray
    eps: float


def on_the_line(size: int) -> Problem:
    """Sorted uniform sites in [0, 1]; one and a half periods of a sine, and noise."""
    rng = np.random.default_rng(0)
    x = np.sort(rng.random(size))
    return _noisy(x, np.sin(3 * np.pi * x), rng)


def in_space(size: int) -> Problem:
    """Uniform sites in the unit cube; a product of waves along two of its edges, and noise."""
    rng = np.random.default_rng(0)
    x = rng.random((size, 3))
    return _noisy(x, np.sin(2 * np.pi * x[:, 0]) * np.cos(np.pi * x[:, 1]), rng)


def _noisy(x: np.ndarray, signal: np.ndarray, rng: np.random.Generator) -> Problem:
    deviation = np.sqrt(NOISE_SHARE / (1 - NOISE_SHARE) * np.mean(signal**2))
    y = signal + deviation * rng.standard_normal(len(x))
    return Problem(x, y, TOLERANCE_SHARE * float(np.mean(y**2)))
