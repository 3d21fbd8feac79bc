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
from hilbertsd.kernels.separable import Unrounded

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

    The pieces are those in x − lower and s − lower, as from `derive`.

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
        end = condition.end - problem.lower
        yield judge(str(condition), [sympy.sympify(value).subs(X, end)])
    steps = [(right[k] - left[k]).subs(X, S) for k in range(size)]
    yield judge(_continuity(problem), steps[:-1])
    yield judge(_jump(problem), [steps[-1] - 1 / operator[size]])
    swapped = pieces.left.subs({X: S, S: X}, simultaneous=True)
    yield judge("g(x, s) = g(s, x)", [swapped - pieces.right])
    yield _boundary_terms(problem)


def _continuity(problem: BoundaryValueProblem) -> str:
    return f"derivatives up to order {2 * problem.order - 2} continuous at x = s"


def _jump(problem: BoundaryValueProblem) -> str:
    return f"jump of derivative {2 * problem.order - 1} at x = s is {1 / problem.operator[-1]}"


def _boundary_terms(problem: BoundaryValueProblem) -> Check:
    terms = [entry for form in problem.boundary_terms() for entry in form]
    passed = all(vanishes(entry) for entry in terms)
    return Check("boundary terms vanish, R(f) = ⟨f, L f⟩", passed, "exact" if passed else "differs")


def verify_numbers(form: Unrounded, problem: BoundaryValueProblem) -> tuple[Check, ...]:
    """Return the same properties for a form in mpmath's working precision, at random points.

    A k-th derivative counts as zero at 40 digits below its largest value at those points.
    """
    return tuple(_number_checks(form, problem))


def _number_checks(form: Unrounded, problem: BoundaryValueProblem) -> Iterator[Check]:
    size = 2 * problem.order
    operator = [at_exact(c) for c in problem.operator]
    tiny = mpmath.mpf(10) ** -DIGITS
    pairs = [sorted(map(at_exact, pair)) for pair in _random_points(problem)]
    below = [form.derivatives(low, high, size + 1, left=True) for low, high in pairs]
    above = [form.derivatives(high, low, size + 1, left=False) for low, high in pairs]
    scales = [max(abs(jet[k]) for jet in below + above) for k in range(size + 1)]

    def check(name: str, gaps: list[tuple[Any, Any]]) -> Check:
        passed = all(abs(gap) <= tiny * scale for gap, scale in gaps)
        return Check(name, passed, f"{DIGITS} digits" if passed else "differs")

    def combined(coefficients: list[Any], jet: list[Any]) -> tuple[Any, Any]:
        terms = [c * value for c, value in zip(coefficients, jet, strict=False)]
        sizes = [abs(c) * scale for c, scale in zip(coefficients, scales, strict=False)]
        return mpmath.fsum(terms), max(sizes)

    for name, jets in (("x < s", below), ("x > s", above)):
        yield check(f"L g = 0 for {name}", [combined(operator, jet) for jet in jets])
    for condition in problem.conditions():
        end, left = at_exact(condition.end - problem.lower), condition.end == problem.lower
        row = [at_exact(c) for c in condition.coefficients]
        jets = [form.derivatives(end, s, size, left=left) for s, _ in pairs]
        yield check(str(condition), [combined(row, jet) for jet in jets])
    at_same = [
        [form.derivatives(s, s, size, left=left) for left in (False, True)] for s, _ in pairs
    ]
    steps = [[r - q for r, q in zip(*sides, strict=True)] for sides in at_same]
    yield check(
        _continuity(problem), [(step[k], scales[k]) for step in steps for k in range(size - 1)]
    )
    jump = 1 / operator[size]
    yield check(_jump(problem), [(step[-1] - jump, abs(jump)) for step in steps])
    yield check(
        "g(x, s) = g(s, x)",
        [(a[0] - b[0], scales[0]) for a, b in zip(below, above, strict=True)],
    )
    yield _boundary_terms(problem)


def _random_points(problem: BoundaryValueProblem) -> list[tuple[Any, Any]]:
    source = random.Random(0)
    span = problem.upper - problem.lower
    draws = [sympy.Rational(source.randrange(1, 997), 997) for _ in range(6)]
    return [(span * x, span * s) for x, s in zip(draws[::2], draws[1::2], strict=True)]


class _Judge:
    """Decides whether expressions in x and s are zero, exactly where that is cheap."""

    def __init__(self, problem: BoundaryValueProblem) -> None:
        self.points = _random_points(problem)

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
