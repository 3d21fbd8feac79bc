"""The secular equation: the multiplier at which the residual meets the tolerance.

With u = 1/c the residual of a fit is (I + uG)⁻¹ y. Let r(u) be its norm on the range of G and
δ the norm it has to reach. Then h(u) = 1/r(u) − 1/δ increases and is concave, because r⁻¹ is a
power mean of order −2 of the numbers 1 + u d_k. A tangent of a concave function lies above it,
so a Newton step from anywhere lands at or left of the root, and from there the iteration climbs
monotonically: no bracket is needed. One step from u = 0 gives a lower bound for the root that
guards the first step of a warm start.

That is so in exact arithmetic. A step back from far to the right of the root cancels, and may
end to the right of it again; and a decay with few digits may carry a step forward past the root.
A step back after a step forward is rounding at the root if it is tiny, or no shorter than half
of the step before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from hilbertsd.errors import HilbertSDError

MAX_ITERATIONS = 100
AGREEMENT = 1e-6
"""A target above r(0) by at most this share is rounding, by more a mistake of the caller."""

SETTLED = 1e-8
"""A first step back that is shorter than this, relative, ends the iteration."""

_ROUNDING = 2 * float(np.finfo(float).eps)


class Residual(NamedTuple):
    """The residual on the range of G at a trial u = 1/c."""

    norm: float
    """r(u) = ‖(I + uG)⁻¹ y‖."""
    decay: float
    """−d log r/du = E_ρ[d/(1 + u d)], ρ_k ∝ squared residual coordinates."""


class Root(NamedTuple):
    """The solution of the secular equation."""

    u: float
    iterations: int


def solve(residual: Callable[[float], Residual], target: float, warm_start: float = 0.0) -> Root:
    """Find u = 1/c > 0 with r(u) = target, by Newton's method on 1/r.

    Parameters
    ----------
    residual
        Norm and logarithmic decay of the residual at a trial u.
    target
        δ = √(K(ε − ε_floor)) > 0, below r(0).
    warm_start
        A guess, for instance the root of the round before; any value >= 0 at which the residual
        does not underflow is safe.

    Raises
    ------
    HilbertSDError
        If the target is above r(0), or if rounding keeps the iteration from settling in
        ``MAX_ITERATIONS`` steps.

    Notes
    -----
    Mobahi et al. 2020, Proposition 2 and equation (20), in the variable 1/c.

    Examples
    --------
    One eigenvalue d = 3 and ‖y‖ = 2: 2/(1 + 3u) = 1 at u = 1/3.

    >>> solve(lambda u: Residual(2 / (1 + 3 * u), 3 / (1 + 3 * u)), target=1.0).u
    0.3333333333333333
    """

    def newton_step(at: Residual) -> float:
        return (at.norm - target) / (target * at.decay)

    start = residual(0.0)
    lower = newton_step(start)
    if not lower > 0:
        if not start.norm >= target * (1 - AGREEMENT):
            raise HilbertSDError(
                f"the target residual {target:.6g} must be below that of the zero function, "
                f"{start.norm:.6g}; choose a smaller eps"
            )
        return Root(_ROUNDING / start.decay, 0)  # r(0) and the target agree within rounding
    u = max(lower, warm_start)
    forward = 0.0
    for iteration in range(1, MAX_ITERATIONS + 1):
        step = newton_step(residual(u))
        new = max(u + step, lower)
        back = forward > 0 and -step > 0 and (-step <= SETTLED * new or -2 * step >= forward)
        if abs(new - u) <= _ROUNDING * new or back:
            return Root(new, iteration)
        forward = abs(step) if forward > 0 else max(step, 0.0)
        u = new
    raise HilbertSDError(
        f"the multiplier did not settle in {MAX_ITERATIONS} Newton steps (last 1/c = {u:.6g}, "
        f"target residual {target:.6g}): eps is too near to the residual floor for float64."
    )


def multiplier_to_alpha(c: float, size: int) -> float:
    """Convert a multiplier c into scikit-learn's ``KernelRidge(alpha=...)``: alpha = K c.

    The difference is the 1/K in G: (cI + G)⁻¹ = K (K c I + K G)⁻¹, and KernelRidge takes the
    un-normalised kernel matrix K G.

    Examples
    --------
    >>> multiplier_to_alpha(0.02, size=10)
    0.2
    """
    return c * size


def alpha_to_multiplier(alpha: float, size: int) -> float:
    """Convert scikit-learn's ``KernelRidge(alpha=...)`` into the multiplier c = alpha/K.

    Examples
    --------
    >>> alpha_to_multiplier(0.2, size=10)
    0.02
    """
    return alpha / size
