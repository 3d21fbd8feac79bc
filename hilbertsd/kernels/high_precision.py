"""Numbers from exact expressions, in mpmath at any precision.

SymPy's own routes print an expression as code first, or raise the precision node by node; for the
large expressions here, walking the tree once at a fixed precision is what stays fast.
"""

from __future__ import annotations

from typing import Any

import mpmath
import sympy

_FUNCTIONS = {
    sympy.exp: mpmath.exp,
    sympy.cosh: mpmath.cosh,
    sympy.sinh: mpmath.sinh,
    sympy.tanh: mpmath.tanh,
    sympy.coth: mpmath.coth,
    sympy.cos: mpmath.cos,
    sympy.sin: mpmath.sin,
    sympy.tan: mpmath.tan,
    sympy.log: mpmath.log,
    sympy.atan: mpmath.atan,
}


class Evaluator:
    """Evaluates expressions at one point, remembering every subexpression.

    Examples
    --------
    >>> x = sympy.Symbol("x")
    >>> with mpmath.workdps(30):
    ...     mpmath.nstr(Evaluator({x: mpmath.mpf(1)})(sympy.cosh(x) / 3), 12)
    '0.514360211605'
    """

    def __init__(self, values: dict[Any, Any]) -> None:
        self.known: dict[Any, Any] = dict(values)

    def __call__(self, expression: Any) -> Any:
        """Return the value as an mpmath number, in mpmath's working precision."""
        found = self.known.get(expression)
        if found is None:
            found = self._value(expression)
            self.known[expression] = found
        return found

    def _value(self, expression: Any) -> Any:
        if expression.is_Rational:
            return mpmath.mpf(int(expression.p)) / int(expression.q)
        if expression.is_Add:
            return mpmath.fsum([self(term) for term in expression.args])
        if expression.is_Mul:
            return mpmath.fprod([self(factor) for factor in expression.args])
        function = _FUNCTIONS.get(expression.func)
        if function is not None:
            return function(self(expression.args[0]))
        if expression.is_Pow:
            base, exponent = expression.args
            if exponent.is_Integer:
                return self(base) ** int(exponent)
            if exponent == sympy.Rational(1, 2):
                return mpmath.sqrt(self(base))
            return mpmath.power(self(base), self(exponent))
        return mpmath.mpmathify(sympy.N(expression, mpmath.mp.dps + 10))


def working_digits(*expressions: Any) -> int:
    """Return a precision that leaves 80 digits where the exponentials in the expressions cancel.

    Examples
    --------
    >>> x = sympy.Symbol("x")
    >>> working_digits(x**2), working_digits(sympy.cosh(100 * x))
    (80, 480)
    """
    largest = 0.0
    for expression in expressions:
        for call in expression.atoms(sympy.cosh, sympy.sinh, sympy.exp):
            at_ones = call.args[0].subs(dict.fromkeys(call.args[0].free_symbols, 1))
            terms = sympy.Add.make_args(call.args[0])
            rates = [term.subs(dict.fromkeys(term.free_symbols, 1)) for term in terms]
            largest = max(largest, *(abs(float(value)) for value in [at_ones, *rates]))
    # Two exponentials at each end, 0.43 digits for each unit of the exponent, twice over.
    return 80 + int(4 * largest)
