"""Verdicts: what a statement says about a chain of floats, and whether it is so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hilbertsd.distillation import Distillation
from hilbertsd.theory.chain import Chain, views
from hilbertsd.theory.statement import REGISTRY, Check, Statement

Status = Literal["holds", "vacuous", "undecided", "not applicable", "fails"]

ROUNDING = 16 * float(np.finfo(float).eps)
"""Rounding of both sides, relative to a check's scale, for each coordinate and each round: the
sums have m terms, the products n factors, and the multiplier is solved to a few units."""


@dataclass(frozen=True)
class Verdict:
    """What became of one statement on one chain.

    Attributes
    ----------
    statement
        Its name in the registry.
    status
        ``"holds"``; ``"vacuous"``: it holds, and says nothing that was not known without it;
        ``"undecided"``: whether it applies is within rounding;
        ``"not applicable"``: a hypothesis fails; ``"fails"``: violated beyond rounding.
    why
        One sentence: the hypothesis that fails, what is known already, or what is violated.
    slack
        Smallest distance to a violation, relative to the check's scale; negative within
        ``tolerance`` is rounding. None where not applicable.
    tightness
        How nearly it is attained, from 0 (says no more than is known anyway, or is far away) to
        1 (equality). None for identities and where not applicable.
    where
        Index of the smallest slack in the check's arrays, for instance the round.
    tolerance
        What counts as rounding there: that of the sums, and the estimated errors of the rounds
        that the entry depends on.
    output
        The output that the chain belongs to; None where there is one chain.
    """

    statement: str
    status: Status
    why: str
    slack: float | None = None
    tightness: float | None = None
    where: tuple[int, ...] | None = None
    tolerance: float | None = None
    output: int | None = None


def judge(statement: Statement, chain: Chain | None, output: int | None = None) -> Verdict:
    """Evaluate a statement on a chain of floats.

    Finiteness is checked first. A violation counts from ``ROUNDING`` (n + m) plus the largest
    error estimate of the rounds that the entry depends on, relative to the check's scale: a last
    round that is ill-conditioned excuses nothing before it.

    Parameters
    ----------
    statement
        One of ``REGISTRY``.
    chain
        The view that the statement is about, from :func:`~hilbertsd.theory.chain.views`.
    output
        Copied to the verdict.
    """
    name = statement.name

    def inapplicable(why: str) -> Verdict:
        return Verdict(name, "not applicable", f"it needs {why}", output=output)

    if chain is None:
        return inapplicable("a non-trivial fit of labels in the range of G")
    if (hypothesis := statement.missing(chain)) is not None:
        if hypothesis.counts and not chain.decided:
            t = chain.start + chain.fits
            why = f"it needs {hypothesis.name}, and r_{t} equals 1 within its rounding error"
            return Verdict(name, "undecided", why, output=output)
        return inapplicable(hypothesis.name)
    with np.errstate(all="ignore"):  # what is not finite is found out below
        check = _floats(statement.sides(chain))
    if (why := _not_finite(check)) is not None:
        return Verdict(name, "fails", why, output=output)
    tolerance = _tolerance(statement, chain, check.actual.shape)
    slack = _slack(check)
    violated = slack < -tolerance
    shown = np.where(violated, slack, np.inf) if violated.any() else slack
    where = tuple(int(i) for i in np.unravel_index(np.argmin(shown), slack.shape))
    identity = statement.kind == "identity"
    informative = identity or bool(_informative(check, tolerance).any())
    tightness = None if identity else _tightness(check) if informative else 0.0
    numbers = ", ".join(
        f"{field} {float(getattr(check, field)[where]):.6g}"
        for field in ("lower", "actual", "upper")
        if np.isfinite(getattr(check, field)[where])
    )
    status: Status
    if violated.any():
        status, why = "fails", f"violated at {where}: {numbers}"
    elif not informative:
        status, why = "vacuous", f"it says no more than is known without it: {numbers}"
    else:
        status, why = "holds", f"nearest at {where}: {numbers}" if where else numbers
    at_worst = float(slack[where]), tightness, where, float(tolerance[where])
    return Verdict(name, status, why, *at_worst, output)


def check(result: Distillation) -> tuple[Verdict, ...]:
    """Check every statement of the theory on a chain.

    Parameters
    ----------
    result
        From :func:`hilbertsd.self_distill`, with every eigenvalue.

    Returns
    -------
    tuple of Verdict
        In the order of the paper; for several outputs with separate tolerances one verdict a
        statement and output.

    Raises
    ------
    HilbertSDError
        If the result does not hold every eigenvalue.

    Examples
    --------
    The condition number is too large for Proposition 4 to promise a round here.

    >>> import hilbertsd as hsd
    >>> from hilbertsd import theory
    >>> x, y = hsd.datasets.example()
    >>> G = hsd.gram(hsd.kernels.cubic_spline(), x)
    >>> verdicts = theory.check(hsd.self_distill(G, y, eps=0.045, rounds=10))
    >>> any(v.status == "fails" for v in verdicts)
    False
    >>> [v.status for v in verdicts if v.statement in ("guaranteed_rounds", "rounds_at_most")]
    ['vacuous', 'holds']
    """
    several = result.labels.ndim == 3 and not result.joint
    verdicts = []
    for output in range(result.labels.shape[2] if several else 1):
        chains = views(result, output)
        label = output if several else None
        verdicts += [judge(s, chains[s.about], label) for s in REGISTRY.values()]
    return tuple(verdicts)


def _tolerance(statement: Statement, chain: Chain, shape: tuple[int, ...]) -> np.ndarray:
    """What counts as rounding, for each entry, from the errors of the rounds it depends on."""
    n = chain.fits
    errors = np.zeros(n + 1) if chain.errors is None else chain.errors
    reach = statement.depends
    if reach in ("own round", "rounds so far"):
        errors = errors if reach == "own round" else np.maximum.accumulate(errors)
        first = max(n - shape[0], 0)  # a comparison of neighbours has one entry less
        errors = errors[first : first + shape[0]].reshape(-1, *(1 for _ in shape[1:]))
    elif reach == "first round" or (reach == "number of fits" and chain.decided):
        errors = errors[0]
    else:
        errors = errors.max()
    return np.broadcast_to(ROUNDING * (n + len(chain.d)) + errors, shape)


def _floats(check: Check) -> Check:
    """All fields as float arrays of one shape."""
    return Check(*np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in check)))


def _not_finite(check: Check) -> str | None:
    sides = {
        "the actual value": np.isfinite(check.actual),
        "the scale": np.isfinite(check.scale) & (check.scale >= 0),
        "the lower side": np.isfinite(check.lower) | (check.lower == -np.inf),
        "the upper side": np.isfinite(check.upper) | (check.upper == np.inf),
    }
    bad = next((side for side, fine in sides.items() if not fine.all()), None)
    return None if bad is None else f"{bad} is not finite"


def _slack(check: Check) -> np.ndarray:
    gap = np.minimum(check.actual - check.lower, check.upper - check.actual)
    # where both sides are below rounding of zero there is no scale: nothing but the sign counts
    exact = np.where(gap >= 0, 0.0, -np.inf)
    return np.divide(gap, check.scale, out=exact, where=check.scale > 0)


def _informative(check: Check, tolerance: np.ndarray) -> np.ndarray:
    """Where the bound says more than is known without it, beyond rounding."""
    rounding = tolerance * check.scale
    with np.errstate(invalid="ignore"):  # inf − inf: neither side says anything
        return (check.lower - check.trivial_lower > rounding) | (
            check.trivial_upper - check.upper > rounding
        )


def _tightness(check: Check) -> float:
    """Best share of what the bound says, beyond what is known, in what is true beyond it."""
    best = 0.0
    for bound, trivial, sign in (
        (check.lower, check.trivial_lower, 1),
        (check.upper, check.trivial_upper, -1),
    ):
        there = np.isfinite(bound)
        # with nothing known to compare with, the scale is the yardstick
        known = np.where(np.isfinite(trivial), trivial, bound - sign * check.scale)
        with np.errstate(invalid="ignore"):
            says = np.where(there, sign * (bound - known), 0.0)
            true = np.where(there, sign * (check.actual - known), 1.0)
        share = np.divide(says, true, out=np.zeros_like(says), where=(true > 0) & (says > 0))
        best = max(best, float(np.minimum(share, 1.0).max()))
    return best
