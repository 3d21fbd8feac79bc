"""The box of chains that the adversary searches: each of its points is a chain, from its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hilbertsd.theory.backward import chain_to
from hilbertsd.theory.chain import Chain

Tolerances = Literal["constant", "null space", "every round"]
SCALE, LARGEST = 0.25, 8.0
"""√(Kε) and d_max. Every claim is free of units; away from 1, formulas that are not show it."""
INSIDE = 1e-14
"""Labels at r_n = 1 are taken so much smaller that rounding does not move them across."""


@dataclass(frozen=True)
class Space:
    """The chains that are searched: m nodes, n fits, and the box for the rest.

    Attributes
    ----------
    nodes, fits
        m, n.
    kappa
        Smallest and largest condition number.
    label_ratio
        Largest r_n of chains that do not end in collapse.
    label_decades
        Orders of magnitude between the last labels' coordinates.
    tolerances
        ``"constant"``; ``"null space"``: one more node, of eigenvalue 0, whose share of the labels
        leaves less of the tolerance to the first round; ``"every round"``: each has its own.
    tolerance_decades
        Orders of magnitude between the square roots of tolerances that are not constant.
    """

    nodes: int = 4
    fits: int = 3
    kappa: tuple[float, float] = (1.0, 1e6)
    label_ratio: float = 1e4
    label_decades: float = 16.0
    tolerances: Tolerances = "constant"
    tolerance_decades: float = 4.0

    @property
    def size(self) -> int:
        """K: the nodes, and the one of eigenvalue 0 if there is a null space."""
        return self.nodes + (self.tolerances == "null space")

    @property
    def free_tolerances(self) -> int:
        """How many tolerances are not that of y_n."""
        return {"constant": 0, "null space": 1, "every round": self.fits}[self.tolerances]

    @property
    def dimension(self) -> int:
        """κ, r_n, the m − 2 eigenvalues between the ends, free tolerances, and the labels."""
        return 2 + max(self.nodes - 2, 0) + self.free_tolerances + self.nodes

    def point(
        self, theta: Any, collapsed: bool, xp: Any = np, log_kappa: Any = None
    ) -> tuple[Any, Any, Any]:
        """Spectrum, ascending, last labels, and √(Kε) or n + 1 of them, of a point of the box."""
        m = self.nodes
        low, high = np.log(self.kappa) if log_kappa is None else log_kappa
        width = low + (high - low) * theta[0]
        inner = theta[2 : 2 + max(m - 2, 0)]
        position = xp.concatenate([xp.zeros(min(m - 1, 1)), xp.sort(inner), xp.ones(1)])
        d = xp.exp(width * (position - 1))
        size = xp.exp(-self.label_decades * np.log(10) * theta[-m:])
        if collapsed:
            ratio = (1e-6 + (1 - 1e-6) * theta[1]) * (1 - INSIDE)
        else:
            ratio = 1 + xp.exp(np.log(1e-6) + np.log(self.label_ratio / 1e-6) * theta[1])
        last = SCALE * ratio * size / xp.sqrt(xp.sum(size**2))
        count = self.free_tolerances
        if count == 0:
            return LARGEST * d, last, SCALE
        # ε − ε_floor is below ε
        centre = 1 + 1e-6 if self.tolerances == "null space" else 0.5
        free = theta[-m - count : -m] - centre
        s = SCALE * xp.exp(self.tolerance_decades * np.log(10) * free)
        return LARGEST * d, last, xp.concatenate([s, SCALE * xp.ones(self.fits + 1 - count)])

    def chain(self, theta: Any, collapsed: bool, xp: Any = np, log_kappa: Any = None) -> Chain:
        """The chain of a point of the unit box."""
        d, last, s = self.point(theta, collapsed, xp, log_kappa)
        return chain_to(last, d, self.fits, collapsed, s, xp=xp, size=self.size)
