"""A regulariser and its operator in words a reader can check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hilbertsd.kernels.boundary_value import BoundaryValueProblem

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def polynomial_text(coefficients: tuple[Any, ...]) -> str:
    """Return a polynomial in D as `parse_operator` reads it, from SymPy numbers.

    Examples
    --------
    >>> import sympy
    >>> polynomial_text((sympy.Integer(2), sympy.Integer(0), sympy.Integer(-1)))
    '-D^2 + 2'
    """
    terms = []
    for power, coefficient in reversed(list(enumerate(coefficients))):
        if coefficient == 0:
            continue
        symbol = "" if power == 0 else "D" if power == 1 else f"D^{power}"
        if not symbol or coefficient not in (1, -1):
            number = str(coefficient) if coefficient.is_Rational else f"({coefficient})"
            terms.append(f"{number}*{symbol}" if symbol else number)
        else:
            terms.append(symbol if coefficient == 1 else f"-{symbol}")
    return " + ".join(terms).replace("+ -", "- ")


def _pretty(coefficients: tuple[Any, ...]) -> str:
    text = polynomial_text(coefficients).replace("*", " ").replace("-", "−")
    for power in range(len(coefficients) - 1, 1, -1):
        text = text.replace(f"D^{power}", f"D{str(power).translate(_SUPERSCRIPTS)}")
    return text


def regularizer_text(problem: BoundaryValueProblem) -> str:
    """Return R(f), its interval, all boundary conditions and L in one line."""
    terms = []
    for weight, p in zip(problem.weights, problem.polynomials, strict=True):
        monomial = all(c == 0 for c in p[:-1]) and p[-1] == 1 and len(p) <= 5
        inside = f"f{chr(39) * (len(p) - 1)}(x)" if monomial else f"(({_pretty(p)}) f(x))"
        terms.append(f"{'' if weight == 1 else f'{weight} '}∫ {inside}² dx")
    conditions = ", ".join(str(c).replace(" = ", "=") for c in problem.conditions())
    return (
        f"R(f) = {' + '.join(terms)} on [{problem.lower}, {problem.upper}], {conditions}, "
        f"L = {_pretty(problem.operator)}"
    )
