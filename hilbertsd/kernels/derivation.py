"""The Green's function of a boundary value problem, derived exactly.

With u_1..u_n spanning the solutions of L u = 0 that satisfy the left conditions, v_1..v_n those
that satisfy the right ones, and the bracket u L v − v L u = d/dx [u, v], the matrix
W_ij = [u_i, v_j] is constant and g(x, s) = u(x)ᵀ W⁻ᵀ v(s) for x ≤ s. W is singular exactly when
some function other than 0 satisfies L f = 0 and all conditions. Since the boundary terms vanish,
such a function has R(f) = 0, so that P_j f = 0 for every j: it is looked for there.

All of it happens on [0, b − a], in x − a and s − a: nothing depends on where the interval lies.

This module needs SymPy; it is loaded when the first Green's function is derived.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any, NamedTuple

import sympy
from sympy.polys.polyerrors import CoercionFailed

from hilbertsd.errors import HilbertSDError
from hilbertsd.kernels.boundary_value import BoundaryValueProblem, D, vanishes
from hilbertsd.kernels.high_precision import working_digits

X, S, T = sympy.Symbol("x"), sympy.Symbol("s"), sympy.Symbol("t")

# Beyond this many operations a simplification takes longer than it is worth.
MAX_SIMPLIFIED_OPERATIONS = 30
MAX_MINOR_TERMS = 300  # of one minor; beyond this no one can use the expression
# Rates with irrational squares together with the order, and the order with irrational coefficients,
# beyond which the minors alone take minutes.
MAX_RADICALS_AND_ORDER = 5
MAX_IRRATIONAL_ORDER = 2
MAX_TERMS = 40  # in the polynomials whose common factors are taken out
MAX_FACTORED_OPERATIONS = 300  # of an expression whose common numbers are taken out


class TooLongError(HilbertSDError):
    """The closed form has too many terms to be of use."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the closed form would take thousands of terms ({reason}); for an expression choose a "
            "lower order, or operators such as products of first-order factors with rational roots."
        )


class Pieces(NamedTuple):
    """g(x, s) on either side of the diagonal, as SymPy expressions in the symbols x and s."""

    left: Any  # x <= s
    right: Any  # x >= s

    def moved(self, lower: Any) -> Pieces:
        """Return the same functions on an interval that starts at `lower` instead of 0.

        Examples
        --------
        >>> Pieces(X, S).moved(3)
        Pieces(left=x - 3, right=s - 3)
        """
        moves = {X: X - lower, S: S - lower}
        return Pieces(*(sympy.sympify(piece).subs(moves, simultaneous=True) for piece in self))


@dataclass(frozen=True)
class RootFamily:
    """The roots ±alpha ± i beta of L, alpha, beta ≥ 0, each `multiplicity` times."""

    alpha: Any
    beta: Any
    multiplicity: int


def root_families(problem: BoundaryValueProblem) -> tuple[RootFamily, ...]:
    """Return the roots of L in closed form, grouped by sign and conjugation.

    Raises
    ------
    HilbertSDError
        If SymPy finds no closed form for one of them.

    Examples
    --------
    >>> from hilbertsd.kernels.boundary_value import pose
    >>> root_families(pose(["D", "1"], [1, 4], (0, 1), "f(0) = 0"))
    (RootFamily(alpha=2, beta=0, multiplicity=1),)
    """
    families = []
    # L is even: its roots are the square roots of those in D².
    for square, count in _roots(sympy.Poly(problem.operator[::-2], T)).items():
        real, imaginary = (sympy.expand(part) for part in square.as_real_imag())
        value = complex(sympy.N(square, 40))
        if abs(value.imag) < 1e-25 * (1 + abs(value)):
            alpha = sympy.sqrtdenest(sympy.sqrt(real)) if value.real > 0 else sympy.Integer(0)
            beta = sympy.sqrtdenest(sympy.sqrt(-real)) if value.real < 0 else sympy.Integer(0)
            families.append(RootFamily(alpha, beta, count if square != 0 else 2 * count))
        elif value.imag > 0:
            modulus = sympy.sqrtdenest(sympy.sqrt(sympy.expand(real**2 + imaginary**2)))
            alpha, beta = (sympy.sqrt(sympy.expand(modulus + r) / 2) for r in (real, -real))
            families.append(RootFamily(sympy.sqrtdenest(alpha), sympy.sqrtdenest(beta), count))
    families.sort(key=lambda f: (float(f.alpha), float(f.beta)))
    return tuple(families)


def _roots(polynomial: Any) -> dict[Any, int]:
    roots: dict[Any, int] = {}
    for factor, power in polynomial.factor_list()[1]:
        found = sympy.roots(factor, T)
        if sum(found.values()) != factor.degree():
            raise HilbertSDError(
                f"the roots of {factor.as_expr().subs(T, D)} have no closed form in SymPy; choose "
                "weights or operators whose roots do, e.g. P as a product of first-order factors."
            )
        for root, count in found.items():
            roots[root] = roots.get(root, 0) + count * power
    return roots


def null_space(problem: BoundaryValueProblem) -> list[Any]:
    """Return a basis of the functions of x with L f = 0 under all the boundary conditions.

    Examples
    --------
    >>> from hilbertsd.kernels.boundary_value import pose
    >>> null_space(pose("D^2", None, (0, 1), "f'(0) = 0"))
    [1]
    """
    common = sympy.gcd_list([sympy.Poly(p[::-1], T).as_expr() for p in problem.polynomials])
    if not common.has(T):
        return []
    basis = []
    for root, count in _roots(sympy.Poly(common, T)).items():
        real, imaginary = root.as_real_imag()
        if complex(sympy.N(root, 40)).imag < -1e-25:
            continue
        wave = [sympy.cos(imaginary * X), sympy.sin(imaginary * X)] if imaginary != 0 else [1]
        basis += [X**k * sympy.exp(real * X) * w for k in range(count) for w in wave]
    rows = [
        [
            sympy.Add(
                *(c * sympy.diff(f, X, k) for k, c in enumerate(condition.coefficients))
            ).subs(X, condition.end - problem.lower)
            for f in basis
        ]
        # Natural conditions hold wherever P_j f = 0 does.
        for condition in problem.conditions()
        if len(condition.coefficients) <= problem.order
    ]
    null = sympy.Matrix(len(rows), len(basis), [*chain(*rows)]).nullspace(iszerofunc=vanishes)
    found = (sympy.sympify(sympy.simplify((sympy.Matrix([basis]) * c)[0])) for c in null)
    return [function.subs(X, X - problem.lower) for function in found]


def derive(problem: BoundaryValueProblem, families: tuple[RootFamily, ...]) -> Pieces:
    """Return the pieces of the Green's function, without a null space, in x − lower and s − lower.

    Raises
    ------
    TooLongError
        If they would take thousands of terms.

    Examples
    --------
    >>> from hilbertsd.kernels.boundary_value import pose
    >>> problem = pose("D", None, (0, 1), "f(0) = 0")
    >>> derive(problem, root_families(problem))
    Pieces(left=x, right=s)
    """
    size = 2 * problem.order
    length = problem.upper - problem.lower
    # Inside the algebra, irrational rates λ and cosh(λ·length) and its like are symbols: where a
    # polynomial will do, no simplification is attempted.
    rates, named = _named_rates(families)
    if problem.order > MAX_IRRATIONAL_ORDER:
        if not all(c.is_Rational for c in problem.operator):
            raise TooLongError(f"order {problem.order} with irrational coefficients")
        radicals = len(rates) - len(_squares(rates))
        if radicals > 1 and radicals + problem.order > MAX_RADICALS_AND_ORDER:
            raise TooLongError(f"{radicals} rates with irrational squares")
    basis = [function for family in named for function in _solutions(family)]
    jets = [[function] for function in basis]
    for jet in jets:
        for _ in range(size - 1):
            jet.append(sympy.diff(jet[-1], T))
    at_zero = sympy.Matrix(size, size, lambda k, m: jets[m][k].subs(T, 0))
    at_length = sympy.Matrix(size, size, lambda k, m: jets[m][k].subs(T, length))
    mirror = sympy.diag(*[(-1) ** k for k in range(size)])
    u = _cleared(_kernel_of(problem.left * at_zero, rates), rates)
    v = _cleared(_kernel_of(problem.right * mirror * at_zero, rates), rates)
    bracket = sympy.zeros(size, size)
    for degree in range(2, size + 1, 2):
        for i in range(degree):
            bracket[i, degree - 1 - i] += (-1) ** i * problem.operator[degree]
    ends = _end_values(named, length)
    at_length = at_length.xreplace({value: symbol for symbol, value in ends.items()})
    pairing = ((at_length * u).T * bracket * (mirror * at_zero * v)).applyfunc(sympy.expand)
    row = sympy.Matrix([basis])
    left_side = (row * u).subs(T, X)
    right_side = (row * v).subs(T, length - S)

    def valued(expression: Any) -> Any:
        return expression.xreplace(ends).xreplace(rates)

    adjugate, determinant = _inverse(pairing, {**_hyperbolic(ends), **_squares(rates)})
    numerator = (left_side * adjugate.T * right_side.T)[0]
    left = tidy(valued(numerator / _in_sines(determinant, ends)))
    right = left.subs({X: S, S: X}, simultaneous=True)
    return Pieces(left, right)


def _named_rates(families: tuple[RootFamily, ...]) -> tuple[dict[Any, Any], list[RootFamily]]:
    """Return symbols for the irrational rates, with their values, and the families in them."""
    symbols: dict[Any, Any] = {}

    def name(value: Any) -> Any:
        if value.is_Rational:
            return value
        return symbols.setdefault(value, sympy.Dummy("rate", positive=True))

    named = [RootFamily(name(f.alpha), name(f.beta), f.multiplicity) for f in families]
    return {symbol: value for value, symbol in symbols.items()}, named


def _end_values(families: list[RootFamily], length: Any) -> dict[Any, Any]:
    values = {}
    for family in families:
        for rate, functions in (
            (family.alpha, (sympy.cosh, sympy.sinh)),
            (family.beta, (sympy.cos, sympy.sin)),
        ):
            for function in functions:
                value = function(rate * length)
                if value.has(sympy.Function):
                    values[sympy.Dummy(function.__name__)] = value
    return values


def _hyperbolic(ends: dict[Any, Any]) -> dict[Any, Any]:
    """Return what sinh² and sin² are in terms of cosh² and cos², for each pair of symbols."""
    pairs = list(ends)
    relations = {}
    for even, odd in pairwise(pairs):
        if (even.name, odd.name) == ("cosh", "sinh"):
            relations[odd] = even**2 - 1
        elif (even.name, odd.name) == ("cos", "sin"):
            relations[odd] = 1 - even**2
    return relations


def _in_sines(determinant: Any, ends: dict[Any, Any]) -> Any:
    """Return the determinant with cosh² and cos² replaced where that makes it shorter."""
    for even, odd in pairwise(ends):
        if (even.name, odd.name) not in (("cosh", "sinh"), ("cos", "sin")):
            continue
        square = 1 + odd**2 if even.name == "cosh" else 1 - odd**2
        if len(determinant.args) <= MAX_TERMS:
            other = sympy.expand(determinant.subs(even**2, square))
            determinant = min(determinant, other, key=lambda e: len(sympy.Add.make_args(e)))
    return determinant


def _squares(rates: dict[Any, Any]) -> dict[Any, Any]:
    squares = {symbol: sympy.expand(value**2) for symbol, value in rates.items()}
    return {symbol: square for symbol, square in squares.items() if square.is_Rational}


def _inverse(matrix: Any, relations: dict[Any, Any]) -> tuple[Any, Any]:
    """Return the adjugate and the determinant, as short as the relations s² = … make them."""
    size = matrix.rows
    used = matrix.free_symbols.union(*(square.free_symbols for square in relations.values()))
    even = sorted(used - set(relations), key=str)
    # In lexicographic order with these first, division by the relations replaces the squares.
    gens = [*relations, *even]
    try:
        ring = sympy.QQ[gens].ring if gens else sympy.QQ[T].ring
        entries = {(i, j): ring.from_expr(matrix[i, j]) for i in range(size) for j in range(size)}
    except (ValueError, CoercionFailed):  # irrational coefficients
        return matrix.adjugate("berkowitz"), matrix.det("berkowitz")
    divisors = [ring.from_expr(symbol**2 - square) for symbol, square in relations.items()]
    minors: dict[tuple[tuple[int, ...], tuple[int, ...]], Any] = {((), ()): ring.one}

    def minor(rows: tuple[int, ...], columns: tuple[int, ...]) -> Any:
        if (rows, columns) not in minors:
            total = ring.zero
            for k, column in enumerate(columns):
                rest = minor(rows[1:], columns[:k] + columns[k + 1 :])
                total += (-1) ** k * entries[rows[0], column] * rest
            total = total.rem(divisors) if divisors else total
            if len(total) > MAX_MINOR_TERMS:
                raise TooLongError(f"a {len(rows)} by {len(rows)} minor alone has {len(total)}")
            minors[rows, columns] = total
        return minors[rows, columns]

    every = tuple(range(size))
    determinant = minor(every, every)
    adjugate = [
        (-1) ** (i + j) * minor(every[:j] + every[j + 1 :], every[:i] + every[i + 1 :])
        for i in every
        for j in every
    ]
    if sum(len(entry) for entry in adjugate) < MAX_TERMS:
        common = determinant
        for entry in adjugate:
            common = common.gcd(entry)
        determinant, adjugate = determinant.exquo(common), [e.exquo(common) for e in adjugate]
    return sympy.Matrix(size, size, [e.as_expr() for e in adjugate]), determinant.as_expr()


def _cleared(columns: Any, rates: dict[Any, Any]) -> Any:
    """Return the columns times whatever makes their entries polynomials in the rates."""
    cleared = []
    for k in range(columns.cols):
        column = columns[:, k].applyfunc(sympy.together)
        cleared.append(
            (sympy.lcm_list([sympy.denom(e) for e in column]) * column).applyfunc(sympy.cancel)
        )
    return sympy.Matrix.hstack(*cleared)


def tidy(expression: Any) -> Any:
    """Return the expression in a shorter form where that is cheap.

    Examples
    --------
    >>> tidy(sympy.cosh(2) ** 2 - sympy.sinh(2) ** 2)
    1
    """
    if not expression.has(sympy.Function, sympy.exp):
        return sympy.factor(sympy.radsimp(expression))
    # To SymPy exp(1000 x) is the 1000th power of exp(x), which it simplifies as a polynomial.
    if expression.count_ops() > MAX_SIMPLIFIED_OPERATIONS or working_digits(expression) > 200:
        if expression.count_ops() > MAX_FACTORED_OPERATIONS:
            return expression
        return min(expression, sympy.factor_terms(expression), key=lambda e: e.count_ops())
    exponential = sympy.powsimp(sympy.expand(expression.rewrite(sympy.exp)))
    candidates = (expression, sympy.simplify(expression), exponential)
    return min(candidates, key=lambda candidate: candidate.count_ops())


def _solutions(family: RootFamily) -> list[Any]:
    alpha, beta = family.alpha, family.beta
    if alpha == 0 and beta == 0:
        return [T**k for k in range(family.multiplicity)]
    growth = [sympy.cosh(alpha * T), sympy.sinh(alpha * T)] if alpha != 0 else [sympy.Integer(1)]
    wave = [sympy.cos(beta * T), sympy.sin(beta * T)] if beta != 0 else [sympy.Integer(1)]
    return [T**k * g * w for k in range(family.multiplicity) for g in growth for w in wave]


def _kernel_of(conditions: Any, rates: dict[Any, Any]) -> Any:
    null = sympy.Matrix(conditions).nullspace(
        iszerofunc=lambda entry: vanishes(entry.xreplace(rates))
    )
    return sympy.Matrix.hstack(*null)
