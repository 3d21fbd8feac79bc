"""Gram matrices in float64 whose eigensystem is known exactly.

G = H diag(d) Hᵀ/K with a Hadamard matrix H of ±1 and whole eigenvalues d below 2^40: its entries
are sums of K whole numbers, and K is a power of two, so nothing is rounded. What a chain on these
very float64 numbers is, 60 digits can tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import mpmath as mp
import numpy as np
import reference
from scipy.linalg import hadamard

BITS = 40


@dataclass(frozen=True)
class Problem:
    eigenvalues: np.ndarray  # (K,) float64, exact
    G: np.ndarray
    y: np.ndarray  # (K, Q) float64
    z: np.ndarray  # (K, Q) mpf, coordinates of y
    eps: np.ndarray  # (Q,), or () if joint
    joint: bool
    rounds: int

    def chain(self, q: int = 0) -> tuple[list, list]:
        """Multipliers, and coordinates of the labels, of one output or of all that are joint."""
        z = self.z if self.joint else self.z[:, [q]]
        eps = float(self.eps if self.joint else self.eps[q])
        return reference.chain(reference.multiprecision(self.eigenvalues), z, eps, self.rounds)


def problem(seed: int, outputs: int = 1, joint: bool = False) -> Problem:
    """Spectra over up to 40 octaves, some singular, repeated or clustered; r_0 from 1.0001 on."""
    rng = np.random.default_rng([seed, outputs, joint])
    size = int(rng.choice([4, 8, 16, 32, 64]))
    H = hadamard(size).astype(float)
    octaves = rng.uniform(0, BITS)
    d = np.floor(2.0 ** (BITS - rng.uniform(0, octaves, size)))
    kind = ("spread", "clustered", "singular", "repeated")[rng.integers(4)]
    if kind == "clustered":
        d = d[rng.integers(0, max(2, size // 3), size)] + rng.integers(0, 3, size)
    elif kind == "singular":
        d[: size // 3] = 0
    elif kind == "repeated":
        d = np.floor(2.0 ** (BITS - octaves * rng.integers(0, 3, size) / 2))
    d = np.sort(d)
    y = rng.standard_normal((size, outputs))
    if rng.random() < 0.5:  # labels of very unequal coordinates
        y = H @ (y * 10 ** rng.uniform(-3, 0, (size, 1)))
    z = H.T.astype(int) @ reference.multiprecision(y) / mp.sqrt(size)
    r0 = (1 + 10 ** rng.uniform(-4, 0), 10 ** rng.uniform(0.01, 3), 10 ** rng.uniform(0.01, 1.3))
    ratio = r0[rng.integers(3)]
    eps = []
    for column in [z] if joint else list(z.T):
        power = float(np.sum(column**2))
        floor = float(np.sum(column[d == 0] ** 2))
        allowed = power / ratio**2
        if allowed <= floor * 1.0001:
            allowed = floor * (1 + 10 ** rng.uniform(-3, 0))
        eps.append(min(allowed, power * (1 - 1e-5)) / size)
    rounds = int(rng.choice([1, 4, 10, 20]))
    return Problem(d, (H * d) @ H.T / size, y, z, np.array(eps[0] if joint else eps), joint, rounds)
