"""Apparent violations, looked at in high precision before they may be called violations.

In floating point a claim may seem broken that is not: large powers of numbers near 1 lose every
digit. A chain given by its end (:mod:`hilbertsd.theory.backward`) needs square roots only, so its
statement can be evaluated in any precision, from the floats taken as the exact numbers they are.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from hilbertsd.theory.backward import chain_to
from hilbertsd.theory.statement import Check, Statement

DIGITS = (50, 100)
"""A violation has to show at both. What is smaller than half the digits counts as none."""


class Verdict(NamedTuple):
    """What high precision says about one statement on one chain."""

    violated: bool | None
    """None where the digits do not decide."""
    slack: float
    """Smallest normalised slack where the claim says something, rounded to a float."""


def confirm(
    statement: Statement, d: Any, last: Any, fits: int, *, size: int | None = None
) -> Verdict:
    """Decide whether a chain violates a statement.

    Parameters
    ----------
    d, last, fits
        (m,) eigenvalues, ascending; (m,) coordinates of the last labels y_n in units of √(Kε);
        the number n of non-trivial fits: see :func:`hilbertsd.theory.backward.chain_to`.
    size
        K, if not m.

    Returns
    -------
    Verdict
        Not violated where a hypothesis of the statement fails.
    """
    verdicts = [_at(statement, d, last, fits, size, digits) for digits in DIGITS]
    if all(v.violated is True for v in verdicts) or all(v.violated is False for v in verdicts):
        return verdicts[-1]
    return Verdict(None, verdicts[-1].slack)


def _at(
    statement: Statement, d: Any, last: Any, fits: int, size: int | None, digits: int
) -> Verdict:
    import mpmath as mp

    with mp.workdps(digits):
        xp = _namespace()
        exact_d, exact_last = (
            np.array([mp.mpf(float(value)) for value in array], dtype=object)
            for array in (d, last)
        )
        power = sum(value**2 for value in exact_last)
        chain = chain_to(exact_last, exact_d, fits, bool(power <= 1), xp=xp, size=size)
        tolerance = float(mp.mpf(10) ** (-digits // 2))
        try:
            if statement.missing(chain) is not None:
                return Verdict(False, float("inf"))
            gaps = exact_gaps(statement.sides(chain))
        except ZeroDivisionError:  # a pole at this very chain: the floats beside it remain
            return Verdict(None, float("nan"))
        smallest = min(gaps, default=mp.inf)
        if mp.isnan(smallest):
            return Verdict(None, float("nan"))
        return Verdict(bool(smallest < -tolerance), float(smallest))


def exact_gaps(check: Check) -> list[Any]:
    """Normalised slacks of both sides, entry by entry, where the claim says something."""
    gaps = []
    for lower, actual, upper, scale, low, high in np.broadcast(
        *(np.asarray(side, dtype=object) for side in check)
    ):
        unit = scale if scale > 0 else 1
        for gap, vacuous in (
            ((actual - lower) / unit, lower <= low),
            ((upper - actual) / unit, upper >= high),
        ):
            if gap < 0 or not vacuous or gap != gap:
                gaps.append(gap)
    return gaps


def _namespace() -> Any:
    """NumPy on object arrays of mpmath numbers."""
    import mpmath as mp

    def elementwise(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda x: np.frompyfunc(function, 1, 1)(x)

    functions = ("sqrt", "exp", "expm1", "log", "log1p", "ceil", "floor", "isfinite", "isnan")
    names = {name: elementwise(getattr(mp, name)) for name in functions}
    for name in ("isfinite", "isnan"):  # masks are boolean, whatever they are masks of
        names[name] = lambda x, test=names[name]: np.asarray(test(x), dtype=bool)[()]

    class Namespace(SimpleNamespace):
        def __getattr__(self, name: str) -> Any:
            return getattr(np, name)

    return Namespace(**names)
