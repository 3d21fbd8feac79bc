"""The chain as the statements see it: coordinates on the range of G, in one array namespace.

Statements about single rounds hold for every chain, with round 0 of a singular problem read on
the range of G: labels Py and tolerance ε − ε_floor. Statements about several rounds hold for
chains of constant ε that start in the range; on a singular problem that is the chain from y_1 on.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from hilbertsd.distillation import Distillation
from hilbertsd.errors import HilbertSDError


@dataclass(frozen=True)
class Chain:
    """n non-trivial fits on the range of G, which has m positive eigenvalues.

    Attributes
    ----------
    xp
        The array namespace of everything below: numpy (floats or objects such as balls) or
        jax.numpy.
    size
        K, the number of points.
    d
        (m,) positive eigenvalues, ascending.
    z
        (n+1, m) coordinates of y_0 .. y_n; the fit t takes y_t and predicts y_{t+1}.
    c
        (n,) multipliers.
    s
        (n+1,) √(K ε_t), with ε_0 − ε_floor for round 0 of a singular problem; the last one
        judges whether y_n collapses.
    collapsed
        Whether r_n <= 1: then n is the chain's collapse round.
    start
        The round of the user's chain that is round 0 here.
    constant
        Whether all ε_t are equal.
    """

    xp: ModuleType
    size: int
    d: Any
    z: Any
    c: Any
    s: Any
    collapsed: bool
    start: int = 0
    constant: bool = True

    @property
    def fits(self) -> int:
        """n, the number of non-trivial fits."""
        return len(self.c)

    @property
    def norms(self) -> Any:
        """(n+1,) ‖y_t‖."""
        return self.xp.sqrt(self.xp.sum(self.z**2, axis=1))

    @property
    def r(self) -> Any:
        """(n+1,) label ratios r_t = ‖y_t‖/√(K ε_t)."""
        return self.norms / self.s

    @property
    def kappa(self) -> Any:
        """κ = d_max/d_min over the range."""
        return self.d[-1] / self.d[0]

    @property
    def A(self) -> Any:
        """(n, m) diagonals of A_t = D (c_t I + D)⁻¹."""
        return self.d[None, :] / (self.c[:, None] + self.d[None, :])

    @property
    def B(self) -> Any:
        """(n, m) diagonals of B_t = A_t ... A_0, (45)."""
        rows, product = [], 1
        for row in self.A:
            product = product * row
            rows.append(product)
        return self.xp.stack(rows)


def views(result: Distillation, output: int = 0) -> dict[str, Chain | None]:
    """The chain of one output as ``"rounds"`` and as ``"chain"`` statements see it.

    The latter is None where no non-trivial fit starts in the range of G.
    """
    if result.spectrum is None or result.spectrum.kind != "exact":
        raise HilbertSDError("the statements need every eigenvalue; use method='dense'")
    spectrum = result.spectrum

    def of(values: np.ndarray, rank: int) -> np.ndarray:
        return values[..., output] if values.ndim == rank else values

    inside = spectrum.eigenvalues > 0
    d = spectrum.eigenvalues[inside]
    c = of(result.multipliers, 2)
    n = int(np.isfinite(c).sum())
    eps = of(result.eps, 2)
    ratios = of(result.label_ratios, 2)
    floor = float(of(np.asarray(spectrum.residual_floor), 1))
    weights = of(spectrum.basis_weights, 3)[:n][:, inside]
    start = of(spectrum.coordinates, 2)[inside]
    z = np.vstack([start[None], weights * start])
    size = len(spectrum.eigenvalues)
    s = np.sqrt(size * np.append(eps, eps[-1])[: n + 1])
    s_range = s.copy()
    s_range[0] = np.sqrt(size * (eps[0] - floor)) if n else s[0]
    collapsed = bool(ratios[n] <= 1)
    constant = bool(np.all(eps == eps[0]))
    whole = Chain(np, size, d, z, c[:n], s_range, collapsed, 0, constant)
    if floor == 0:
        return {"rounds": whole, "chain": whole}
    if n < 1:
        return {"rounds": whole, "chain": None}
    later = Chain(np, size, d, z[1:], c[1:n], s[1:], collapsed, 1, bool(np.all(eps[1:] == eps[-1])))
    return {"rounds": whole, "chain": later}
