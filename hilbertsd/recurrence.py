"""The rounds of self-distillation, on anything that answers the recurrence's questions.

Round t fits the labels y_t within ε_t. That asks a Gram matrix for three things only: the
residual (and its decay) at a trial multiplier, the next labels, and how far rounding has moved
them. Whatever answers is a :class:`Route`; nothing here knows a matrix.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from hilbertsd import multiplier
from hilbertsd.multiplier import Residual


class RoundErrors(NamedTuple):
    """What rounding did to one round: relative errors, estimated."""

    multiplier: float
    """of c_t"""
    labels: np.ndarray
    """(Q,) of the columns of y_{t+1}, in norm"""
    label_norm: float
    """of ‖y_{t+1}‖"""


@runtime_checkable
class Route(Protocol):
    """One chain's current labels, seen through G."""

    size: int
    """K, the number of points."""
    outputs: int
    """Q, the number of columns that share a multiplier."""

    def power(self) -> float:
        """‖y_t‖²."""
        ...

    def floor(self) -> float:
        """‖y_t‖² outside the range of G; only round 0 can have any."""
        ...

    def residual(self, u: float) -> Residual:
        """Residual on the range of G at u = 1/c."""
        ...

    def advance(self, c: float) -> RoundErrors:
        """Fit with multiplier c and make the predictions the next labels."""
        ...


class Rounds(NamedTuple):
    """What the recurrence produced for one chain of T fits; c = inf from collapse on."""

    multipliers: Float[np.ndarray, "T"]
    multiplier_error: Float[np.ndarray, "T"]
    label_ratios: Float[np.ndarray, "T+1"]
    label_ratio_error: Float[np.ndarray, "T+1"]
    label_error: Float[np.ndarray, "T+1 Q"]
    collapse_round: int | None


def run(route: Route, eps: Float[np.ndarray, "T"], label_norm_error: float) -> Rounds:
    """Run the chain of len(eps) fits on a route.

    Parameters
    ----------
    route
        Answers for y_0 when called; it is advanced in place.
    eps
        (T,) tolerances, each above the residual floor of its round; r_T, which belongs to no fit,
        is taken with the last of them.
    label_norm_error
        Relative error of ‖y_0‖ (rounding of the sum of squares).

    Notes
    -----
    Mobahi et al. 2020, equations (25)-(35); r_t = ‖y_t‖/√(K ε_t) and round t has a non-trivial
    solution if and only if r_t > 1 (9)-(10).
    """
    count = len(eps)
    c = np.full(count, math.inf)
    c_error = np.zeros(count)
    ratios = np.zeros(count + 1)
    ratio_error = np.zeros(count + 1)
    label_error = np.zeros((count + 1, route.outputs))
    norm_error = label_norm_error
    collapse_round: int | None = None
    u = 0.0
    for t in range(count + 1):
        eps_t = float(eps[min(t, count - 1)])
        power, allowed = route.power(), route.size * eps_t
        # r - 1 from the difference of squares: near collapse r itself has no digits to spare.
        excess = (power - allowed) / (math.sqrt(allowed) * (math.sqrt(power) + math.sqrt(allowed)))
        ratios[t] = 1 + excess if excess > -0.5 else math.sqrt(power) / math.sqrt(allowed)
        ratio_error[t] = ratios[t] * norm_error if power > 0 else 0.0
        if excess <= 0:
            collapse_round = t
            break
        if t == count:
            break
        target = allowed - route.floor()
        u = multiplier.solve(route.residual, math.sqrt(target), warm_start=u).u
        c[t] = 1 / u
        c_error[t], label_error[t + 1], norm_error = route.advance(c[t])
    return Rounds(c, c_error, ratios, ratio_error, label_error, collapse_round)
