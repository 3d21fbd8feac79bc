"""Green's functions of the reader's own regularisers, as kernels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from hilbertsd.errors import HilbertSDError, PrecisionWarning
from hilbertsd.kernels.kernel import Kernel
from hilbertsd.kernels.points import Array, Namespace, namespace
from hilbertsd.kernels.regularizer_text import polynomial_text, regularizer_text
from hilbertsd.kernels.syntax import cut

if TYPE_CHECKING:
    from hilbertsd.kernels.boundary_value import BoundaryValueProblem
    from hilbertsd.kernels.derivation import Pieces
    from hilbertsd.kernels.separable import Separable
    from hilbertsd.kernels.verification import Check

# Above this error relative to the largest |g|, the float64 values come with a warning.
EVALUATION_TOLERANCE = 1e-11

# Largest |root of L| times the length of the interval: the checks carry this many digits and more.
MAX_STIFFNESS = 2000.0

# A message about a null space names so many basis functions; the error has all of them.
MAX_NAMED = 2


class NullSpaceError(HilbertSDError):
    """R(f) = 0 for functions other than 0, so that no Green's function exists.

    Attributes
    ----------
    basis : list of SymPy expressions
        A basis of the functions of x with R(f) = 0 under the boundary conditions.
    """

    def __init__(self, basis: list[Any]) -> None:
        self.basis = basis
        texts = sorted(map(str, basis), key=len)  # the simplest first
        shown = ", ".join(cut(text) for text in texts[:MAX_NAMED])
        if len(texts) > MAX_NAMED:
            shown += f" and {len(texts) - MAX_NAMED} more"
        super().__init__(
            "the regulariser vanishes on functions that satisfy every boundary condition, spanned "
            f"by {shown}; add boundary conditions that exclude them, or a weight on f itself."
        )

    def __reduce__(self):
        return type(self), (self.basis,)


@dataclass(frozen=True, repr=False)
class GreensFunction(Kernel):
    """The Green's function g of L = Σ_j w_j P_j(−D) P_j(D); made by `greens`.

    A kernel like any other: ``g(x, s)`` and ``g.matrix(x, s)``. Values are float64 to about 1e-14
    of the largest |g|, measured when the function is made (`evaluation_error`); they are exactly
    symmetric, and exactly 0 at an end with f = 0. They are computed from x − a and s − a, a the
    lower end, so that an interval far from 0 costs no more than the rounding of x − a.

    Attributes
    ----------
    problem : BoundaryValueProblem
        Operators, weights, interval and the completed boundary conditions.
    expression : Pieces
        The SymPy expressions ``left`` (x ≤ s) and ``right`` (x ≥ s), in `symbols`; HilbertSDError
        if they would take thousands of terms, as for most operators of order 3 and 4 whose roots
        are irrational. Values, `checks` and `roughness` do not need them.
    fixed_ends : tuple of float
        The ends at which f = 0.
    checks : tuple of Check
        Each defining property with its outcome: (name, passed, how).
    evaluation_error : float
        Largest difference between the float64 values and the expression at 40 digits, over sample
        points, relative to the largest |g|.
    """

    problem: BoundaryValueProblem
    pieces: Pieces | str = field(compare=False)  # in x − lower; or why there are none
    checks: tuple[Check, ...] = field(compare=False)
    form: Separable = field(compare=False)
    domain: tuple[float, float] = field(compare=False)
    regularizer: str = field(compare=False)
    fixed_ends: tuple[float, ...] = field(compare=False)
    features: int = field(default=1, compare=False)

    @property
    def evaluation_error(self) -> float:
        """Error of the float64 values, relative to the largest |g|."""
        return self.form.error

    @property
    def expression(self) -> Pieces:
        """The exact pieces on the interval itself."""
        return self._pieces().moved(self.problem.lower)

    def _pieces(self) -> Pieces:
        if isinstance(self.pieces, str):
            raise HilbertSDError(self.pieces)
        return self.pieces

    @property
    def symbols(self) -> tuple[Any, Any]:
        """The SymPy symbols x and s of `expression`."""
        from hilbertsd.kernels.derivation import S, X

        return X, S

    @property
    def boundary(self) -> str:
        """The 2n boundary conditions, essential and natural."""
        return ", ".join(map(str, self.problem.conditions()))

    def latex(self) -> str:
        r"""Return both pieces as one LaTeX expression.

        Examples
        --------
        >>> greens("D", boundary="f(0) = 0").latex()
        'g(x, s) = \\begin{cases} x & x \\le s \\\\ s & x \\ge s \\end{cases}'
        """
        import sympy

        left, right = (sympy.latex(piece) for piece in self.expression)
        return rf"g(x, s) = \begin{{cases}} {left} & x \le s \\ {right} & x \ge s \end{{cases}}"

    def roughness(self, dual_coef: Array, x: Array) -> float:
        """Return R(f) of f = cross_gram(g, ·, x) @ dual_coef, in closed form.

        f = (1/K) Σ_k β_k g(·, x_k), and R(g(·, x_j), g(·, x_k)) = g(x_j, x_k), so that
        R(f) = (1/K²) Σ_jk β_j β_k g(x_j, x_k) = βᵀ G β/K with G = gram(g, x).

        Raises
        ------
        HilbertSDError
            If the coefficients are not one finite number for each point.

        Examples
        --------
        >>> round(greens("D", boundary="f(0) = 0").roughness([2.0], [0.5]), 12)
        2.0
        """
        points, beta = _fit(dual_coef, x)
        return float(beta @ self.matrix(points, points) @ beta) / len(points) ** 2

    def roughness_by_quadrature(self, dual_coef: Array, x: Array) -> tuple[float, float]:
        """Return R(f) = Σ_j w_j ∫ (P_j f)² dx by quadrature, and an estimate of its error.

        The derivatives P_j f come from the symbolic pieces, the integral from
        `scipy.integrate.quad` between neighbouring knots: a route independent of `roughness`.

        Raises
        ------
        HilbertSDError
            If the coefficients are not one finite number for each point, there is no `expression`,
            or the operator is so stiff (about 350 in the exponent) that it overflows.

        Examples
        --------
        >>> value, error = greens("D", boundary="f(0) = 0").roughness_by_quadrature([2.0], [0.5])
        >>> abs(value - 2.0) < 1e-12
        True
        """
        import sympy
        from scipy.integrate import quad

        points, beta = _fit(dual_coef, x)
        self._accept(points, np, "x")
        symbols, pieces = self.symbols, self._pieces()
        value = error = 0.0
        lower, upper = self.domain
        points = points - lower
        knots = np.unique([0.0, upper - lower, *points])
        for weight, polynomial in zip(self.problem.weights, self.problem.polynomials, strict=True):
            # P g on either side of the diagonal, as functions of x and the knot s.
            below, above = (
                sympy.lambdify(
                    symbols,
                    sum(c * sympy.diff(piece, symbols[0], k) for k, c in enumerate(polynomial)),
                    "numpy",
                )
                for piece in pieces
            )
            for start, stop in pairwise(knots):
                ahead = points >= stop

                def integrand(t: float, ahead=ahead, below=below, above=above) -> float:
                    total = float(np.sum(beta[ahead] * below(t, points[ahead])))
                    total += float(np.sum(beta[~ahead] * above(t, points[~ahead])))
                    return (total / len(points)) ** 2

                try:
                    with np.errstate(over="raise", invalid="raise"):
                        # full_output: what is left to say is in the error estimate.
                        part, uncertainty, *_ = quad(
                            integrand, start, stop, epsabs=0, epsrel=1e-12, full_output=1
                        )
                except FloatingPointError:
                    raise HilbertSDError(
                        "the exponentials in the symbolic pieces overflow float64, so this "
                        "quadrature is out of reach; use roughness(), which does not need them."
                    ) from None
                value += float(weight) * part
                error += float(weight) * uncertainty
        return value, error

    def _pairs(self, x: Array, s: Array, xp: Namespace) -> Array:
        x, s = x[..., 0], s[..., 0]
        at_x, at_s = (self.form.smooth(points - self.domain[0], xp) for points in (x, s))
        return self._with_fixed_ends(self.form(xp.abs(x - s), at_x, at_s, xp), x, s, xp)

    def _block(self, x: Array, s: Array, xp: Namespace) -> Array:
        x, s = x[:, 0], s[:, 0]
        at_x = [values[:, None] for values in self.form.smooth(x - self.domain[0], xp)]
        at_s = [values[None, :] for values in self.form.smooth(s - self.domain[0], xp)]
        x, s = x[:, None], s[None, :]
        return self._with_fixed_ends(self.form(xp.abs(x - s), at_x, at_s, xp), x, s, xp)

    def _with_fixed_ends(self, values: Array, x: Array, s: Array, xp: Namespace) -> Array:
        # Where f vanishes at an end so does g, but the sum leaves rounding there.
        for end in self.fixed_ends:
            values = xp.where((x == end) | (s == end), 0.0, values)
        return values

    def __repr__(self) -> str:
        operators = [polynomial_text(p) for p in self.problem.polynomials]
        text = repr(operators[0] if len(operators) == 1 else operators)
        if any(weight != 1 for weight in self.problem.weights):
            text += f", [{', '.join(map(str, self.problem.weights))}]"
        if (self.problem.lower, self.problem.upper) != (0, 1):
            text += f", interval=({self.problem.lower}, {self.problem.upper})"
        return f'greens({text}, boundary="{self.boundary}")'


def greens(
    operators: Any,
    weights: Sequence[Any] | None = None,
    *,
    interval: tuple[Any, Any] = (0, 1),
    boundary: Any,
) -> GreensFunction:
    """Derive the Green's function of R(f) = Σ_j w_j ∫ (P_j f)² dx on an interval, exactly.

    L = Σ_j w_j P_j(−D) P_j(D), L g(·, s) = δ(· − s), under n separated conditions at each end.
    SymPy finds g and every property is checked; evaluation is float64. Numbers are exact: ints,
    fractions, SymPy numbers; floats are read as their shortest decimal, 0.1 as 1/10. Where the
    expression would take thousands of terms, g is solved for and checked to 40 digits instead, and
    only `expression`, `latex` and `roughness_by_quadrature` are refused.

    Parameters
    ----------
    operators : str, SymPy expression, coefficients, or a sequence of these
        The P_j, polynomials in D = d/dx with constant real coefficients, highest order n ≤ 8:
        text (`parse_operator`), an expression in one symbol, or coefficients with the constant
        term first.
    weights : sequence of numbers > 0, optional
        The w_j; 1 each by default.
    interval : pair of numbers
        The domain of f.
    boundary : str, BoundaryCondition, or a sequence of these
        Text as for `parse_boundary`. Either n conditions at an end, or fewer, which must be
        essential (derivatives below n) and are completed by the natural conditions of R there.

    Returns
    -------
    GreensFunction

    Raises
    ------
    NullSpaceError
        If R(f) = 0 for a function f ≠ 0 that satisfies the conditions.
    HilbertSDError
        If the boundary terms do not vanish, so that R(f) ≠ ⟨f, L f⟩; if the roots of L have no
        closed form; if an argument is not what it should be.

    Warns
    -----
    PrecisionWarning
        If float64 evaluation is worse than 1e-11 of the largest |g| on the sample points.

    References
    ----------
    Stakgold & Holst, "Green's Functions and Boundary Value Problems", 3rd ed. 2011, chapter 3;
    Mobahi, Farajtabar & Bartlett, NeurIPS 2020, (11)-(14) for its use here.

    Examples
    --------
    >>> g = greens("D^2", boundary="f(0)=0, f(1)=0, f''(0)=0, f''(1)=0")
    >>> g.expression.left
    x*(s - 1)*(s**2 - 2*s + x**2)/6
    >>> all(check.passed for check in g.checks)
    True
    >>> greens("D^2", boundary="f(0)=0, f'(0)=0").boundary
    "f(0) = 0, f'(0) = 0, f''(1) = 0, f'''(1) = 0"
    """
    from hilbertsd.kernels.boundary_value import pose
    from hilbertsd.kernels.derivation import TooLongError, derive, null_space, root_families
    from hilbertsd.kernels.verification import verify

    problem = pose(operators, weights, interval, boundary)
    null = null_space(problem)
    if null:
        raise NullSpaceError(null)
    families = root_families(problem)
    span = float(problem.upper - problem.lower)
    stiffness = max(abs(complex(float(f.alpha), float(f.beta))) for f in families) * span
    if stiffness > MAX_STIFFNESS:
        raise HilbertSDError(
            f"the fastest root of L times the length of the interval is {stiffness:.4g}, above "
            f"{MAX_STIFFNESS:g}; at that scale the ends no longer matter: shorten the interval, or "
            "use a kernel of the whole line, such as matern."
        )
    try:
        pieces = derive(problem, families)
        checks = verify(pieces, problem)
    except TooLongError as refusal:
        pieces, checks = str(refusal), ()
    form, number_checks = _numeric_form(problem, families, pieces)
    checks = checks or number_checks
    failed = [check.name for check in checks if not check.passed]
    if failed:
        raise HilbertSDError(
            f"the derived function fails its own checks ({'; '.join(failed)}); "
            "please report the operators and the boundary conditions."
        )
    if form.error > EVALUATION_TOLERANCE:
        warnings.warn(
            f"float64 values of this Green's function are good to {form.error:.1g} of its largest "
            f"value only (aimed at {EVALUATION_TOLERANCE:g}): two roots of L differ too little for "
            "the interval.",
            PrecisionWarning,
            stacklevel=2,
        )
    return GreensFunction(
        problem,
        pieces,
        checks,
        form,
        (float(problem.lower), float(problem.upper)),
        regularizer_text(problem),
        tuple(float(c.end) for c in problem.conditions() if len(c.coefficients) == 1),
    )


def _numeric_form(
    problem: Any, families: Any, pieces: Pieces | str
) -> tuple[Separable, tuple[Check, ...]]:
    """Return the best float64 form, its error against 40 digits, and the checks if no pieces."""
    import mpmath

    from hilbertsd.kernels.derivation import S, X
    from hilbertsd.kernels.high_precision import Evaluator, working_digits
    from hilbertsd.kernels.separable import (
        NumericProblem,
        evaluate,
        separable_forms,
        unrounded,
        with_error,
    )
    from hilbertsd.kernels.verification import verify_numbers

    span = float(problem.upper - problem.lower)
    fractions = np.array([0, 1e-3, 0.05, 0.21, 0.4, 0.5, 0.77, 0.9, 0.999, 1])
    low, high = np.triu_indices(len(fractions))
    points = span * fractions
    rate = max(max(float(f.alpha), float(f.beta)) for f in families)
    digits = 0 if isinstance(pieces, str) else working_digits(pieces.left)
    checks: tuple[Check, ...] = ()
    with mpmath.workdps(max(digits, 120 + int(2 * rate * span))):
        number = Evaluator({})
        numeric = NumericProblem(
            [number(c) for c in problem.operator],
            [(number(f.alpha), number(f.beta), f.multiplicity) for f in families],
            [[number(c) for c in problem.left.row(i)] for i in range(problem.order)],
            [[number(c) for c in problem.right.row(i)] for i in range(problem.order)],
            mpmath.mpf(0),
            number(problem.upper - problem.lower),
        )
        pairs = [
            tuple(map(mpmath.mpf, pair)) for pair in zip(points[low], points[high], strict=True)
        ]
        if isinstance(pieces, str):
            exact = unrounded(numeric)
            checks = verify_numbers(exact, problem)
            found = [exact.derivatives(x, s, 1, left=True)[0] for x, s in pairs]
        else:
            found = [Evaluator({X: x, S: s})(pieces.left) for x, s in pairs]
        reference = np.array([float(value) for value in found])
        forms = separable_forms(numeric)
    measured = []
    for form in forms:
        with np.errstate(over="ignore", invalid="ignore"):
            gap = np.abs(evaluate(form, points[low], points[high]) - reference).max()
        error = float(gap / np.abs(reference).max())
        measured.append(with_error(form, error if np.isfinite(error) else np.inf))
    return min(measured, key=lambda form: form.error), checks


def _fit(dual_coef: Array, x: Array) -> tuple[np.ndarray, np.ndarray]:
    if namespace(dual_coef, x) is not np:
        dual_coef, x = np.asarray(dual_coef), np.asarray(x)
    points = np.asarray(x, dtype=np.float64).reshape(-1)
    beta = np.asarray(dual_coef, dtype=np.float64)
    if beta.shape != points.shape or not points.size:
        raise HilbertSDError(
            f"dual_coef has shape {beta.shape} for {points.size} points; "
            "pass one coefficient for each of at least one point."
        )
    for name, values in (("dual_coef", beta), ("x", points)):
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            raise HilbertSDError(f"{name}[{bad[0]}] is {values[bad[0]]}; it must be finite.")
    return points, beta
