"""Apparent violations, looked at in high precision before they may be called violations.

In floating point a claim may seem broken that is not: large powers of numbers near 1 lose every
digit. A chain given by its end (:mod:`hilbertsd.theory.backward`) needs square roots only, so its
statement can be evaluated in any precision, from the floats taken as the exact numbers they are.

High precision acquits; ball arithmetic convicts, because its enclosures are a proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from hilbertsd.theory.backward import chain_to
from hilbertsd.theory.statement import Check, Statement

DIGITS = (50, 100)
"""A violation has to show at both. What is smaller than half the digits counts as 0."""
BITS = (128, 512, 2048)
"""Precisions of ball arithmetic, tried in turn."""


class Verdict(NamedTuple):
    """What high precision says about one statement on one chain."""

    violated: bool | None
    """None where neither digits nor balls decide."""
    slack: float
    """The least over both sides and all entries, as :mod:`hilbertsd.theory.attack` defines it."""
    by: str
    """What decided."""


def confirm(
    statement: Statement, d: Any, last: Any, fits: int, s: Any = 1.0, *, size: int | None = None
) -> Verdict:
    """Decide whether a chain violates a statement.

    Parameters
    ----------
    d, last, fits, s
        (m,) eigenvalues, ascending; (m,) coordinates of the last labels y_n; the number n of
        non-trivial fits; √(Kε), one or n + 1 of them: see
        :func:`hilbertsd.theory.backward.chain_to`.
    size
        K, if not m.

    Returns
    -------
    Verdict
        Not violated where a hypothesis of the statement, decided on floats, fails. A violation
        is proved in ball arithmetic; without python-flint (the extra ``certify``) 100 digits
        have to do, and ``by`` says so.
    """
    s = float(s) if np.ndim(s) == 0 else [float(bound) for bound in s]
    judged = s if isinstance(s, float) else s[-1]
    collapsed = sum(Fraction(float(value)) ** 2 for value in last) <= Fraction(judged) ** 2
    floats = chain_to(np.asarray(last), np.asarray(d), fits, collapsed, s, size=size)
    if statement.missing(floats) is not None:
        return Verdict(False, float("inf"), "a hypothesis fails")

    def sides(number: Callable[[float], Any], xp: Any) -> Check:
        exact = _objects(last, number), _objects(d, number)
        return statement.sides(chain_to(*exact, fits, collapsed, s, xp=xp, size=size))

    slacks = [_in_digits(sides, digits) for digits in DIGITS]
    by = f"{DIGITS[-1]} digits"
    if any(np.isnan(slacks)) or (slacks[0] < 0) != (slacks[-1] < 0):
        return Verdict(None, slacks[-1], by)
    if slacks[-1] >= 0:
        return Verdict(False, slacks[-1], by)
    try:
        import flint  # noqa: F401
    except ImportError:
        return Verdict(True, slacks[-1], by)
    for bits in BITS:
        if _proved_violated(sides, bits):
            return Verdict(True, slacks[-1], f"ball arithmetic at {bits} bits")
    return Verdict(None, slacks[-1], f"ball arithmetic at {BITS[-1]} bits")


def _in_digits(sides: Callable[..., Check], digits: int) -> float:
    """Least slack, 0 below half the digits; nan where the formula has no value."""
    import mpmath as mp

    with mp.workdps(digits):
        try:
            slacks = [
                slack
                for lower, actual, upper, scale, low, high in _entries(*sides(mp.mpf, _namespace()))
                for slack in (
                    _slack(actual - lower, actual - low, lower, actual, scale),
                    _slack(upper - actual, high - actual, upper, actual, scale),
                )
            ]
        except ZeroDivisionError:  # a pole at this very chain
            return float("nan")
        if any(slack != slack for slack in slacks):
            return float("nan")
        least = float(min(slacks, default=mp.inf))
        return 0.0 if abs(least) < 10.0 ** (-digits // 2) else least


def _slack(gap: Any, beyond: Any, bound: Any, actual: Any, scale: Any) -> Any:
    """One side of one entry; ``beyond`` is what is true beyond the trivial."""
    if gap < 0:
        return gap / (scale if scale > 0 else 1)
    if abs(bound) == float("inf"):
        return float("inf")
    yardstick = beyond
    if beyond == float("inf"):
        yardstick = abs(actual) + abs(bound) if bound != 0 else scale
    return gap / yardstick if yardstick > 0 else 1


def _proved_violated(sides: Callable[..., Check], bits: int) -> bool:
    """Whether balls show that some side of the claim does not hold."""
    import flint

    from hilbertsd.theory import balls

    before = flint.ctx.prec
    flint.ctx.prec = bits
    try:
        check = sides(balls.Ball, balls)
        for lower, actual, upper in _entries(check.lower, check.actual, check.upper):
            for smaller, larger in ((lower, actual), (actual, upper)):
                try:
                    if larger < smaller:
                        return True
                except balls.Undecided:
                    continue
        return False
    except (balls.Undecided, ZeroDivisionError):
        return False
    finally:
        flint.ctx.prec = before


def _objects(values: Any, number: Callable[[float], Any]) -> np.ndarray:
    """Floats as exact numbers, equal ones as one object: so balls of repeated eigenvalues tie."""
    exact = {float(value): number(float(value)) for value in values}
    result = np.empty(len(values), dtype=object)
    result[:] = [exact[float(value)] for value in values]
    return result


def _entries(*sides: Any) -> Iterator[tuple[Any, ...]]:
    """Arrays broadcast together, entry by entry."""
    return iter(np.broadcast(*(np.asarray(side, dtype=object) for side in sides)))


def _namespace() -> Any:
    """NumPy on object arrays of mpmath numbers."""
    import mpmath as mp

    class Namespace(SimpleNamespace):
        def __getattr__(self, name: str) -> Any:
            return getattr(np, name)

    functions = ("sqrt", "exp", "expm1", "log", "log1p", "ceil", "floor")
    elementwise = {name: np.frompyfunc(getattr(mp, name), 1, 1) for name in functions}
    masks = {name: np.vectorize(getattr(mp, name), otypes=[bool]) for name in ("isfinite", "isnan")}
    return Namespace(**elementwise, **masks)
