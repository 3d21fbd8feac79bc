"""Brackets of every round's multiplier and label norm, from Gauss rules of the labels.

The residual norm of round t, φ_t, increases in c_t and decreases in every earlier c_s, and label
norms decrease in all of them. So two chains enclose the true one. The lower chain keeps an upper
bound of φ_t at Kε_t or below, given the multipliers that it took before, the upper chain a lower
bound at Kε_t or above. A bracket needs no root, only one point on each side at which a bound has
been evaluated; Newton's method proposes it.

Rounding. The Jacobi matrix that Lanczos returns in floating point is exactly that of some positive
semidefinite G + E, E a few units of rounding of ‖G‖. What is enclosed first is the chain of G + E;
then, with ‖E‖₂ <= ω, the resolvents of the two differ by (c + G + E)⁻¹E(c + G)⁻¹, so that

    |√φ_t(G) − √φ_t(G + E)| <= Σ_{s<=t} (ω/c_s) sup_λ[x_s Π_{s<j<t}(1 − x_j)] √φ_s(G)

to all orders in E. No condition number enters but by way of the brackets themselves.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hilbertsd.routes.quadrature import GaussRule, Norm, damped, norm

TRIES = 60
OVERSHOOT = 1 / 64
"""Newton's step to a bracket's end is taken this much longer, and twice as much at each failure."""
EVALUATION = 16.0
"""Rounding of one norm from its rule, relative, in units; every round adds one more."""

_UNIT = float(np.finfo(float).eps)


class Measure(NamedTuple):
    """The labels of one group as Lanczos knows them."""

    rules: list[GaussRule]
    """One an output with labels that are not zero; the nodes shifted to be positive."""
    power: float
    """‖y‖², summed exactly."""
    rounding: float
    """ω, a bound of ‖E‖₂."""


class Brackets(NamedTuple):
    """Bounds of the rounds that were reached."""

    multipliers: Float[np.ndarray, "2 T"]
    label_norms: Float[np.ndarray, "2 T+1"]
    missed: tuple[int, float] | None
    """The first round whose relative half-width passes the one asked for, and that width."""


class _Side:
    """One of the two chains: its multipliers, and a bound of every residual norm."""

    def __init__(self, measure: Measure) -> None:
        self._measure = measure
        self._power = math.sqrt(measure.power)
        self.multipliers: list[float] = []
        self._residuals: list[float] = []

    def bounds(self, c: float) -> tuple[float, float, Norm]:
        """Lower and upper bound of √φ_t at c, and what they come from; at inf, of ‖y_t‖."""
        chosen = np.array([*self.multipliers, c])
        found = norm(self._measure.rules, chosen)
        drift = rounding_drift(chosen, np.array(self._residuals), self._measure.rounding)
        slack = (EVALUATION + len(chosen)) * _UNIT * self._power + drift
        share = self._measure.rounding / c if c > 0 else math.inf
        lower = max(math.sqrt(max(found.lower, 0.0)) - slack, 0.0) / (1 + share)
        upper = (math.sqrt(max(found.upper, 0.0)) + slack) / (1 - share) if share < 1 else math.inf
        return lower, upper, found

    def go_on(self, c: float, residual: float) -> None:
        """Take the multiplier c, at which √φ_t is at most ``residual``."""
        self.multipliers.append(c)
        self._residuals.append(residual)

    def below(self, target: float, guess: float) -> float:
        """Go on with a multiplier, as large as can be, at which √φ_t is at most ``target``."""
        u = 1 / guess
        for attempt in range(TRIES):
            _, upper, found = self.bounds(1 / u)
            if upper <= target:
                self.go_on(1 / u, upper)
                return 1 / u
            if not (found.decay > 0 and math.isfinite(upper)):
                break
            u += _longer((upper - target) / (target * found.decay), attempt) + 4 * _UNIT * u
        self.go_on(0.0, 0.0)
        return 0.0

    def above(self, target: float, guess: float) -> float:
        """Go on with a multiplier, as small as can be, at which √φ_t is at least ``target``."""
        u = 1 / guess
        for attempt in range(TRIES):
            lower, upper, found = self.bounds(1 / u)
            if lower >= target:
                self.go_on(1 / u, upper)
                return 1 / u
            if not found.decay > 0:
                break
            new = u - _longer((target - lower) / (target * found.decay), attempt) - 4 * _UNIT * u
            u = new if new > 0 else u / 4
        self.go_on(math.inf, 0.0)
        return math.inf


def _longer(step: float, attempt: int) -> float:
    return step * (1 + OVERSHOOT * 2 ** min(attempt, 30))


def rounding_drift(
    c: Float[np.ndarray, "n"], residuals: Float[np.ndarray, "t"], rounding: float
) -> float:
    """Bound what ‖E‖₂ <= ω in rounds 0 .. t−1 does to √φ_t, or to y_t where c_t = inf."""
    t = len(residuals)
    inverse = np.zeros(t)
    np.divide(rounding, c[:t], out=inverse, where=c[:t] > 0)
    return float(np.sum(inverse * damped(c)[:t, t] * residuals))


def brackets(
    measure: Measure,
    allowed: Float[np.ndarray, "T"],
    guesses: Float[np.ndarray, "T"],
    width: float = math.inf,
) -> Brackets:
    """Enclose every round, or those before the first whose bracket is too wide.

    Parameters
    ----------
    measure
        The labels' Gauss rules.
    allowed
        (T,) K ε_t.
    guesses
        (T,) multipliers near the truth, as the rule's own chain gives them; inf from collapse on.
    width
        Relative half-width at which to stop.
    """
    count = len(allowed)
    c = np.full((2, count), math.inf)
    labels = np.zeros((2, count + 1))
    low, high = _Side(measure), _Side(measure)
    labels[:, 0] = math.sqrt(measure.power) * (1 + EVALUATION * _UNIT * np.array([-1, 1]))
    largest = max((float(rule.nodes[-1]) for rule in measure.rules), default=1.0)
    for t in range(count + 1):
        if t > 0:
            labels[0, t] = high.bounds(math.inf)[0]
            labels[1, t] = low.bounds(math.inf)[1]
        target = math.sqrt(allowed[min(t, count - 1)])
        if half_width(*np.maximum(labels[:, t], target)) > width:
            return Brackets(c, labels, (t, half_width(*labels[:, t])))
        if t == count or labels[1, t] <= target:
            break
        guess = guesses[t] if guesses[t] < math.inf else 1e6 * largest
        c[0, t] = low.below(target, guess)
        if labels[0, t] > target:
            c[1, t] = high.above(target, guess)
        else:
            high.go_on(math.inf, 0.0)
        if half_width(*c[:, t]) > width:
            return Brackets(c, labels, (t, half_width(*c[:, t])))
    return Brackets(c, labels, None)


def half_width(lower: float, upper: float) -> float:
    """Relative half-width of a bracket; infinite if it has only one end."""
    if lower == upper:
        return 0.0
    return (upper - lower) / (upper + lower) if upper < math.inf else math.inf
