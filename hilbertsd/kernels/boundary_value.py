"""A quadratic regulariser with boundary conditions, as an exact boundary value problem.

R(f) = Σ_j w_j ∫ (P_j f)² dx. Integrating by parts, the bilinear form of R is
⟨f, L h⟩ + [Σ_r f^(r) N_r h] between the ends, with L = Σ_j w_j P_j(−D) P_j(D) and
N_r = Σ_j w_j Σ_{i>r} p_{j,i} (−D)^{i−1−r} P_j. The N_r make the natural conditions.

This module needs SymPy; it is loaded when the first Green's function is derived.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import sympy

from hilbertsd.errors import HilbertSDError
from hilbertsd.kernels.differential import (
    MAX_ORDER,
    BoundaryCondition,
    parse_boundary,
    parse_operator,
)
from hilbertsd.kernels.high_precision import Evaluator, working_digits
from hilbertsd.kernels.syntax import cut, exact

D = sympy.Symbol("D")


def vanishes(number: Any) -> bool:
    """Return whether an exact number is 0: decided symbolically, or else to 40 digits.

    Examples
    --------
    >>> vanishes(sympy.sqrt(2) * sympy.sqrt(3) - sympy.sqrt(6)), vanishes(sympy.exp(-50))
    (True, False)
    """
    number = sympy.expand(number)
    if number.is_Rational or number.is_zero:
        return bool(number == 0)
    with mpmath.workdps(working_digits(number)):
        value = Evaluator({})
        scale = max(abs(value(term)) for term in sympy.Add.make_args(number))
        return bool(abs(value(number)) <= mpmath.mpf(10) ** -40 * scale)


@dataclass(frozen=True)
class BoundaryValueProblem:
    """L f = 0 between the ends, n conditions at each; made by `pose`.

    Attributes
    ----------
    polynomials : tuple of tuples
        Coefficients of each P_j, constant term first.
    weights : tuple
        The w_j > 0.
    lower, upper : SymPy numbers
        The interval.
    left, right : (n, 2n) matrices
        One row a condition: the coefficients of f, f', …, f^(2n−1) at that end.
    """

    polynomials: tuple[tuple[Any, ...], ...]
    weights: tuple[Any, ...]
    lower: Any
    upper: Any
    left: Any
    right: Any

    @property
    def order(self) -> int:
        """The order n of the highest P_j; L has order 2n."""
        return max(len(p) for p in self.polynomials) - 1

    @property
    def operator(self) -> tuple[Any, ...]:
        """Coefficients of L in D, constant term first, 2n + 1 of them."""
        return _operator(self.polynomials, self.weights)

    def conditions(self) -> tuple[BoundaryCondition, ...]:
        """Return all 2n conditions, essential and natural, reduced as in row echelon form."""
        found = []
        for end, rows in ((self.lower, self.left), (self.upper, self.right)):
            for i in range(rows.rows):
                row = list(rows.row(i))
                while row[-1] == 0:
                    row.pop()
                found.append(BoundaryCondition(end, tuple(row)))
        return tuple(found)

    def boundary_terms(self) -> tuple[Any, Any]:
        """Return the boundary form of R on the states allowed at each end; both must vanish."""
        form = _boundary_form(self.polynomials, self.weights, self.order)
        return tuple(_on_kernel(form, rows) for rows in (self.left, self.right))  # type: ignore


def pose(
    operators: Any, weights: Any, interval: tuple[Any, Any], boundary: Any
) -> BoundaryValueProblem:
    """Return the boundary value problem of a regulariser; arguments as for `greens`.

    Examples
    --------
    >>> problem = pose("D^2", None, (0, 1), "f(0) = 0, f'(0) = 0")
    >>> [str(condition) for condition in problem.conditions()]
    ['f(0) = 0', "f'(0) = 0", "f''(1) = 0", "f'''(1) = 0"]
    """
    polynomials = tuple(_coefficients(item) for item in _listed(operators))
    order = max(len(p) for p in polynomials) - 1
    if not 1 <= order <= MAX_ORDER:
        raise HilbertSDError(
            f"the highest operator has order {order}; orders 1 to {MAX_ORDER} have a "
            "Green's function here."
        )
    masses = _weights(weights, len(polynomials))
    lower, upper = _interval(interval)
    rows: dict[Any, list[list[Any]]] = {lower: [], upper: []}
    for condition in _conditions(boundary):
        end = _number(condition.end, "the end of a boundary condition")
        if end not in rows:
            raise HilbertSDError(
                f"the condition {condition} is at {end}, which is not an end of "
                f"[{lower}, {upper}]; move it to an end or change interval."
            )
        row = [_number(c, "a coefficient of a boundary condition") for c in condition.coefficients]
        if len(row) > 2 * order or all(c == 0 for c in row):
            raise HilbertSDError(
                f"the condition {condition} must involve derivatives of order 0 to {2 * order - 1},"
                f" since L has order {2 * order}."
            )
        rows[end].append(row + [sympy.Integer(0)] * (2 * order - len(row)))
    form = _boundary_form(polynomials, masses, order)
    left, right = (_complete(rows[end], form, order, end) for end in (lower, upper))
    return BoundaryValueProblem(polynomials, masses, lower, upper, left, right)


def _listed(operators: Any) -> list[Any]:
    if isinstance(operators, (str, sympy.Basic)):
        return [operators]
    try:
        items = list(operators)
    except TypeError:
        raise HilbertSDError(
            f"{operators!r} is not an operator; pass text such as 'D^2', a SymPy expression, "
            "coefficients with the constant term first, or a list of these."
        ) from None
    if not items:
        raise HilbertSDError("no operator was given; pass at least one, e.g. 'D^2'.")
    plain = all(exact(c) is not None or getattr(c, "is_number", False) for c in items)
    return [items] if plain else items


def _coefficients(item: Any) -> tuple[Any, ...]:
    if isinstance(item, str):
        found = [sympy.Rational(c.numerator, c.denominator) for c in parse_operator(item)]
    elif isinstance(item, sympy.Expr):
        free = sorted(item.free_symbols, key=str)
        if len(free) > 1 or not item.is_polynomial(*free):
            raise HilbertSDError(
                f"{item} is not a polynomial in one symbol with constant coefficients."
            )
        reversed_ = sympy.Poly(item, free[0]).all_coeffs() if free else [item]
        found = [_number(c, "a coefficient") for c in reversed(reversed_)]
    else:
        found = [_number(c, "a coefficient") for c in _listed(item)[0]]
    while len(found) > 1 and vanishes(found[-1]):
        found.pop()
    if len(found) == 1 and vanishes(found[0]):
        raise HilbertSDError(f"the operator {item!r} is zero; write a polynomial in D, e.g. D^2.")
    return tuple(found)


def _number(value: Any, name: str) -> Any:
    """Return an exact SymPy number; floats are read as their shortest decimal, 0.1 as 1/10."""
    if isinstance(value, sympy.Float):
        value = float(value)
    fraction = exact(value)
    if fraction is not None:
        return sympy.Rational(fraction.numerator, fraction.denominator)
    if isinstance(value, sympy.Expr) and value.is_number and value.is_real and value.is_finite:
        return sympy.nsimplify(value, rational=True) if value.has(sympy.Float) else value
    raise HilbertSDError(f"{name} is {value!r}; pass a finite real number.")


def _weights(weights: Any, count: int) -> tuple[Any, ...]:
    if weights is None:
        return (sympy.Integer(1),) * count
    try:
        items = list(weights)
    except TypeError:
        items = [weights]
    if len(items) != count:
        raise HilbertSDError(
            f"{len(items)} weights for {count} operators; pass one weight > 0 for each operator."
        )
    found = tuple(_number(w, f"weights[{i}]") for i, w in enumerate(items))
    for i, weight in enumerate(found):
        if not weight > 0:
            raise HilbertSDError(f"weights[{i}] = {weight} is not above 0; drop that operator.")
    return found


def _interval(interval: Any) -> tuple[Any, Any]:
    try:
        lower, upper = interval
    except (TypeError, ValueError):
        raise HilbertSDError(
            f"interval = {interval!r} is not a pair; pass (lower, upper)."
        ) from None
    lower, upper = _number(lower, "interval[0]"), _number(upper, "interval[1]")
    if not lower < upper:
        raise HilbertSDError(f"interval = ({lower}, {upper}) is empty; choose lower < upper.")
    return lower, upper


def _conditions(boundary: Any) -> Sequence[BoundaryCondition]:
    if isinstance(boundary, str):
        return parse_boundary(boundary) if boundary.strip() else ()
    if isinstance(boundary, BoundaryCondition):
        return (boundary,)
    try:
        items = list(boundary)
    except TypeError:
        items = [boundary]
    found: list[BoundaryCondition] = []
    for item in items:
        if not isinstance(item, (str, BoundaryCondition)):
            raise HilbertSDError(
                f'{item!r} is not a boundary condition; pass text such as "f(0)=0, f\'(1)=0" '
                "or BoundaryCondition objects."
            )
        found.extend(_conditions(item))
    return found


def _operator(polynomials, weights) -> tuple[Any, ...]:
    total = [sympy.Integer(0)] * (2 * max(len(p) for p in polynomials) - 1)
    for weight, p in zip(weights, polynomials, strict=True):
        for i, a in enumerate(p):
            for j, b in enumerate(p):
                total[i + j] += weight * (-1) ** i * a * b
    return tuple(sympy.expand(c) for c in total)


def _boundary_form(polynomials, weights, order: int) -> Any:
    form = sympy.zeros(order, 2 * order)
    for weight, p in zip(weights, polynomials, strict=True):
        for r in range(order):
            for i in range(r + 1, len(p)):
                for j, b in enumerate(p):
                    form[r, i - 1 - r + j] += weight * p[i] * (-1) ** (i - 1 - r) * b
    return form


def _complete(rows: list[list[Any]], form: Any, order: int, end: Any) -> Any:
    """Return the n conditions at one end: the essential ones and the natural ones they leave."""
    given = sympy.Matrix(rows) if rows else sympy.zeros(0, 2 * order)
    # Highest derivative first, so that the rows without pivot there are the essential ones.
    flipped: Any = given[:, ::-1]
    echelon, pivots = flipped.rref(iszerofunc=vanishes)
    rank = len(pivots)
    reduced = echelon[:rank, ::-1]
    if rank > order:
        raise HilbertSDError(
            f"there are {rank} independent conditions at {end}; L of order {2 * order} takes "
            f"{order} at each end."
        )
    essential = [i for i, pivot in enumerate(pivots) if pivot >= order]
    fixed = reduced[essential, :order] if essential else sympy.zeros(0, order)
    free = fixed.nullspace(iszerofunc=vanishes) if essential else list(_unit_columns(order))
    natural = [column.T * form for column in free]
    padded = fixed.row_join(sympy.zeros(fixed.rows, order))
    complete = sympy.Matrix.vstack(padded, *natural)
    if sympy.Matrix.vstack(complete, reduced).rank(iszerofunc=vanishes) > order:
        _refuse(reduced, complete, form, order, end)
    tidy, _ = complete[:, ::-1].rref(iszerofunc=vanishes)
    return sympy.ImmutableMatrix(tidy[::-1, ::-1])


def _unit_columns(size: int) -> Any:
    return (sympy.eye(size)[:, i] for i in range(size))


def _on_kernel(form: Any, rows: Any) -> Any:
    order = form.rows
    allowed = sympy.Matrix.hstack(*sympy.Matrix(rows).nullspace(iszerofunc=vanishes))
    return (allowed[:order, :].T * form * allowed).applyfunc(sympy.expand)


def _refuse(reduced: Any, complete: Any, form: Any, order: int, end: Any) -> None:
    wanted = BoundaryValueProblem((), (), end, end, complete, sympy.zeros(0, 2 * order))
    natural = ", ".join(cut(str(c)) for c in wanted.conditions())
    terms = _on_kernel(form, reduced)
    if reduced.rows == order and not all(vanishes(c) for c in terms - terms.T):
        reason = f"the boundary conditions at {end} are not self-adjoint for L"
    elif reduced.rows == order:
        reason = (
            f"the boundary terms at {end} do not vanish, so ⟨f, Lf⟩ is not R(f) under the "
            "boundary conditions there"
        )
    else:
        reason = f"a condition at {end} is neither essential (order below {order}) nor natural"
    raise HilbertSDError(
        f"{reason}; with the essential conditions given, the full set at {end} is: {natural}."
    )
