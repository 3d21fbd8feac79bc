"""Verdicts: what a statement says about a chain of floats, and whether it is so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

import numpy as np

from hilbertsd.distillation import Distillation
from hilbertsd.errors import HilbertSDError
from hilbertsd.theory.chain import Chain, views
from hilbertsd.theory.statement import REGISTRY, Check, Statement
from hilbertsd.theory.verdicts import Status, Verdict, Verdicts

ROUNDING = 16 * float(np.finfo(float).eps)
"""Rounding of both sides, relative to a check's scale, for each point and each round: the sums have
up to K terms, the products n factors, and the multiplier is solved to a few units."""
DECIDABLE = 1e-3
"""Largest tolerance, as a share of a check's scale, with which a statement is decided: a claim that
may be off by more than a thousandth of what it compares has not been looked at."""


def judge(statement: Statement, chain: Chain | None, output: int | None = None) -> Verdict:
    """Evaluate a statement on a chain of floats.

    A violation counts from ``ROUNDING`` (n + K) plus the largest error estimate of the rounds that
    the entry depends on, relative to the check's scale: a last round that is ill-conditioned
    excuses nothing before it. Where that exceeds ``DECIDABLE`` the verdict is ``"undecided"``,
    unless an entry is violated beyond it. What is not finite elsewhere fails.

    The numbers of the verdict are those of the entry with the least slack among all that are
    violated; else among all that say something, and can be decided, where there are any.

    Parameters
    ----------
    statement
        One of ``REGISTRY``.
    chain
        The view that the statement is about, from :func:`~hilbertsd.theory.chain.views`.
    output
        Copied to the verdict.
    """
    start = 0 if chain is None else chain.start

    def verdict(status: Status, why: str) -> Verdict:
        return Verdict(statement.name, statement.title, status, why, output=output, start=start)

    if chain is None:
        why = "it needs a non-trivial fit of labels in the range of G"
        return verdict("not applicable", why)
    if (hypothesis := statement.missing(chain)) is not None:
        if hypothesis.counts and not chain.decided:
            t = chain.start + chain.fits
            why = f"it needs {hypothesis.name}, and r_{t} equals 1 within its rounding error"
            return verdict("undecided", why)
        return verdict("not applicable", f"it needs {hypothesis.name}")
    with np.errstate(all="ignore"):  # what is not finite is found out below
        check = _floats(statement.sides(chain))
    tolerance = _tolerance(statement, chain, check.actual.shape)
    loose = tolerance > DECIDABLE
    if (why := _not_finite(check, ~loose)) is not None:
        return verdict("fails", why)
    with np.errstate(all="ignore"):
        below, above = (_side(check, side, tolerance) for side in ("lower", "upper"))
        slack = np.fmin(below.slack, above.slack)
        violated = slack < -tolerance
    says = np.where(statement.kind == "identity", True, below.says | above.says)
    useful = np.fmin(
        np.where(below.says, below.slack, np.inf), np.where(above.says, above.slack, np.inf)
    )
    found: Status
    if violated.any():
        found, shown = "fails", np.where(violated, slack, np.inf)
    elif loose.any():
        found, shown = "undecided", np.where(loose, np.inf, useful if says.any() else slack)
    elif says.any():
        found, shown = "holds", slack if statement.kind == "identity" else useful
    else:
        found, shown = "vacuous", slack
    where = tuple(int(i) for i in np.unravel_index(np.argmin(shown), slack.shape))
    place = _place(statement, chain, check.actual.shape, where)
    lower, actual, upper = (float(side[where]) for side in check[:3])
    numbers = " <= ".join(f"{v:.6g}" for v in (lower, actual, upper) if np.isfinite(v))
    if statement.kind == "identity":
        numbers = f"{lower:.6g} = {actual:.6g}"
    at = f"at {place}: {numbers}" if place else numbers
    first = np.unravel_index(np.argmax(loose), loose.shape)
    if found == "undecided":
        open_from = _place(statement, chain, check.actual.shape, first)
        error = f"{tolerance[first]:.1g}" if np.isfinite(tolerance[first]) else "no sure digit"
        why = f"the chain's own error exceeds {DECIDABLE:.1%} of what is compared: {error}" + (
            f" from {open_from} on" if open_from else ""
        )
    else:
        why = {
            "fails": f"violated {at}",
            "holds": f"nearest {at}" if place else numbers,
            "vacuous": f"it says no more than is known without it: {numbers}",
        }[found]
    return Verdict(
        statement.name,
        statement.title,
        found,
        why,
        lower,
        actual,
        upper,
        slack=float(shown[where] if np.isfinite(shown[where]) else slack[where]),
        tightness=None if loose[where] else _tightness(statement, below, above, where),
        tolerance=float(tolerance[first] if found == "undecided" else tolerance[where]),
        where=where,
        place=place,
        output=output,
        start=start,
    )


def check(result: Distillation, statements: Iterable[Statement | str] | None = None) -> Verdicts:
    """Check every statement of the theory, or some, on a chain.

    What is looked at is what the result hands out: its multipliers, and its labels and dual
    coefficients, by their coordinates if it keeps eigenvectors
    (``self_distill(..., keep_eigenvectors=True)``), else by norms alone.

    Parameters
    ----------
    result
        From :func:`hilbertsd.self_distill`, with every eigenvalue.
    statements
        Statements, their names or their titles; all of ``REGISTRY`` by default.

    Returns
    -------
    Verdicts
        In the order of the paper; for several outputs with separate tolerances one verdict a
        statement and output.

    Raises
    ------
    HilbertSDError
        If the result does not hold every eigenvalue, or contradicts itself: label ratios that are
        not those of its labels and tolerances. If there is no such statement.

    Examples
    --------
    The condition number is too large for Proposition 4 to promise a round here.

    >>> import hilbertsd as hsd
    >>> from hilbertsd import theory
    >>> x, y = hsd.datasets.example()
    >>> G = hsd.gram(hsd.kernels.cubic_spline(), x)
    >>> verdicts = theory.check(hsd.self_distill(G, y, eps=0.045, rounds=10))
    >>> verdicts.counts["fails"]
    0
    >>> found = verdicts["Proposition 4"]
    >>> print(found.status, f"{found.lower:.1g} <= {found.actual:g}")
    vacuous 0.0006 <= 4
    """
    if not isinstance(result, Distillation):
        raise HilbertSDError(
            f"check takes the Distillation that self_distill returns, not {type(result).__name__}"
        )
    chosen = REGISTRY.values() if statements is None else [_named(s) for s in _listed(statements)]
    several = result.labels.ndim == 3 and not result.joint
    verdicts = []
    for output in range(result.labels.shape[2] if several else 1):
        chains = views(result, output)
        label = output if several else None
        verdicts += [judge(s, chains[s.about], label) for s in chosen]
    return Verdicts(verdicts)


def _listed(statements: Iterable[Statement | str] | str | Statement) -> list[Statement | str]:
    return [statements] if isinstance(statements, (str, Statement)) else list(statements)


def _named(statement: Statement | str) -> Statement:
    return statement if isinstance(statement, Statement) else REGISTRY[statement]


def _tolerance(statement: Statement, chain: Chain, shape: tuple[int, ...]) -> np.ndarray:
    """What counts as rounding, for each entry, from the errors of the rounds it depends on."""
    n = chain.fits
    errors = np.zeros(n + 1) if chain.errors is None else chain.errors
    reach = statement.depends
    if reach in ("own round", "rounds so far"):
        errors = errors if reach == "own round" else np.maximum.accumulate(errors)
        first = _first_round(chain, shape)
        errors = errors[first : first + shape[0]].reshape(-1, *(1 for _ in shape[1:]))
    elif reach == "first round" or (reach == "number of fits" and chain.decided):
        errors = errors[0]
    else:
        errors = errors.max()
    return np.broadcast_to(ROUNDING * (n + chain.size) + errors, shape)


def _first_round(chain: Chain, shape: tuple[int, ...]) -> int:
    """The round of the first entry: a comparison of neighbours has one less, and is the later's."""
    return max(chain.fits - shape[0], 0)


def _place(
    statement: Statement, chain: Chain, shape: tuple[int, ...], where: Iterable[np.integer | int]
) -> str:
    """An index in words, with rounds as the user counts them."""
    words = []
    for axis, index in zip(statement.axes_of(len(shape)), where, strict=True):
        offset = chain.start + _first_round(chain, shape) if axis == "round" else 0
        words.append(f"{axis} {int(index) + offset}")
    return ", ".join(words)


def _floats(check: Check) -> Check:
    """All fields as float arrays of one shape."""
    return Check(*np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in check)))


def _not_finite(check: Check, decidable: np.ndarray) -> str | None:
    sides = {
        "the actual value": np.isfinite(check.actual),
        "the scale": np.isfinite(check.scale) & (check.scale >= 0),
        "the lower side": np.isfinite(check.lower) | (check.lower == -np.inf),
        "the upper side": np.isfinite(check.upper) | (check.upper == np.inf),
    }
    bad = next((side for side, fine in sides.items() if not fine[decidable].all()), None)
    return None if bad is None else f"{bad} is not finite"


class _Side(NamedTuple):
    """One side of a check, entry by entry."""

    slack: np.ndarray
    """Distance to a violation over the scale; inf where there is no such side."""
    says: np.ndarray
    """Whether the bound says more than is known without it, beyond rounding."""
    share: np.ndarray
    """How nearly it is attained; nan where that has no measure."""


def _side(check: Check, side: Literal["lower", "upper"], tolerance: np.ndarray) -> _Side:
    sign, bound = (1, check.lower) if side == "lower" else (-1, check.upper)
    known = check.trivial_lower if side == "lower" else check.trivial_upper
    gap = sign * (check.actual - bound)
    # where both sides are below rounding of zero there is no scale: nothing but the sign counts
    exact = np.where(gap >= 0, 0.0, -np.inf)
    slack = np.divide(gap, check.scale, out=exact, where=check.scale > 0)
    slack = np.where(np.isfinite(bound), slack, np.inf)
    says = np.isfinite(bound) & (sign * (bound - known) > tolerance * check.scale)
    return _Side(slack, says, _share(sign, check.actual, bound, known))


def _share(sign: int, actual: np.ndarray, bound: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Of what is true beyond what is known, the share that the bound says; see Verdict."""
    compares = np.isfinite(known)
    low, high = (bound, actual) if sign > 0 else (actual, bound)
    # with nothing known, the ratio of both sides; a bound of 0 has none
    says = np.where(compares, sign * (bound - known), np.where(low > 0, low, np.nan))
    true = np.where(compares, sign * (actual - known), high)
    nothing = np.where(says > 0, 1.0, says * 0)  # both sides within rounding of what is known
    share = np.divide(says, true, out=nothing, where=true > 0)
    return np.where(np.isfinite(bound), np.clip(share, 0.0, 1.0) + 0.0, np.nan)  # not -0


def _tightness(
    statement: Statement, below: _Side, above: _Side, where: tuple[int, ...]
) -> float | None:
    """The share of the nearer side at one entry; None where that has no meaning."""
    if statement.kind in ("identity", "monotone"):
        return None
    sides = [side for side in (below, above) if side.says[where]] or [below, above]
    share = float(min(sides, key=lambda side: side.slack[where]).share[where])
    return None if np.isnan(share) else share
