"""Whether two expressions are the Green's function of a boundary value problem.

This module needs SymPy; it is loaded when the first Green's function is derived.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import mpmath
import sympy

from hilbertsd.kernels.boundary_value import BoundaryValueProblem, vanishes
from hilbertsd.kernels.derivation import Pieces, S, X
from hilbertsd.kernels.high_precision import Evaluator, working_digits

# An expression this far below its own terms, at random points, is taken for zero.
DIGITS = 40
MAX_EXPANDED_OPERATIONS = 600  # beyond this, expanding takes longer than it is worth


class Check(NamedTuple):
    """One property of a Green's function.

    `how` says what stands behind `passed`: "exact" when the difference simplifies to 0, "40 digits"
    when it vanishes to that precision at random points, "differs" when it does not.
    """

    name: str
    passed: bool
    how: str


def verify(pieces: Pieces, problem: BoundaryValueProblem) -> tuple[Check, ...]:
    """Return every defining property of the Green's function, checked on the expressions alone.

    Examples
    --------
    >>> from hilbertsd.kernels.boundary_value import pose
    >>> problem = pose("D", None, (0, 1), "f(0) = 0")
    >>> all(check.passed for check in verify(Pieces(X, S), problem))
    True
    >>> [check.name for check in verify(Pieces(X, S**2), problem) if not check.passed]
    ['derivatives up to order 0 continuous at x = s', 'g(x, s) = g(s, x)']
    """
    return tuple(_checks(pieces, problem))


def _checks(pieces: Pieces, problem: BoundaryValueProblem) -> Iterator[Check]:
    size, operator = 2 * problem.order, problem.operator
    left, right = ([sympy.sympify(piece)] for piece in pieces)
    for jet in (left, right):
        for _ in range(size):
            jet.append(sympy.diff(jet[-1], X))
    judge = _Judge(problem)
    for name, jet in (("x < s", left), ("x > s", right)):
        applied = [c * derivative for c, derivative in zip(operator, jet, strict=True)]
        yield judge(f"L g = 0 for {name}", [sum(applied)])
    for condition in problem.conditions():
        jet = left if condition.end == problem.lower else right
        value = sum(c * jet[k] for k, c in enumerate(condition.coefficients))
        yield judge(str(condition), [sympy.sympify(value).subs(X, condition.end)])
    steps = [(right[k] - left[k]).subs(X, S) for k in range(size)]
    yield judge(f"derivatives up to order {size - 2} continuous at x = s", steps[:-1])
    yield judge(
        f"jump of derivative {size - 1} at x = s is {1 / operator[size]}",
        [steps[-1] - 1 / operator[size]],
    )
    swapped = pieces.left.subs({X: S, S: X}, simultaneous=True)
    yield judge("g(x, s) = g(s, x)", [swapped - pieces.right])
    terms = [entry for form in problem.boundary_terms() for entry in form]
    passed = all(vanishes(entry) for entry in terms)
    yield Check("boundary terms vanish, R(f) = ⟨f, L f⟩", passed, "exact" if passed else "differs")


class _Judge:
    """Decides whether expressions in x and s are zero, exactly where that is cheap."""

    def __init__(self, problem: BoundaryValueProblem) -> None:
        source = random.Random(0)
        span = problem.upper - problem.lower
        self.points = [
            tuple(
                problem.lower + span * sympy.Rational(source.randrange(1, 997), 997)
                for _ in range(2)
            )
            for _ in range(3)
        ]

    def __call__(self, name: str, expressions: list[Any]) -> Check:
        outcomes = [self._zero(sympy.sympify(expression)) for expression in expressions]
        if "differs" in outcomes:
            return Check(name, False, "differs")
        return Check(name, True, "exact" if set(outcomes) == {"exact"} else f"{DIGITS} digits")

    def _zero(self, expression: Any) -> str:
        if expression == 0:
            return "exact"
        if not self._zero_at_points(expression):
            return "differs"
        if expression.count_ops() < MAX_EXPANDED_OPERATIONS:
            exponential = sympy.expand(sympy.together(expression.rewrite(sympy.exp)))
            if (
                exponential == 0
                or sympy.expand(sympy.fraction(sympy.together(exponential))[0]) == 0
            ):
                return "exact"
        return f"{DIGITS} digits"

    def _zero_at_points(self, expression: Any) -> bool:
        # Extra digits for what cancels between growing exponentials.
        with mpmath.workdps(working_digits(expression)):
            tiny = mpmath.mpf(10) ** -DIGITS
            for x, s in self.points:
                at_point = Evaluator({X: at_exact(x), S: at_exact(s)})
                scale = max(abs(at_point(term)) for term in sympy.Add.make_args(expression))
                if abs(at_point(expression)) > tiny * max(scale, tiny):
                    return False
        return True


def at_exact(number: Any) -> Any:
    """Return an exact number in mpmath's working precision.

    Examples
    --------
    >>> at_exact(sympy.Rational(1, 4))
    mpf('0.25')
    """
    return Evaluator({})(sympy.sympify(number))
