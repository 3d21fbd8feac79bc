"""Green's functions derived by SymPy: against closed forms, against 40 digits, and checked."""

import math
import pickle
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy
from problems import assert_close

from hilbertsd import kernels as hk
from hilbertsd.errors import HilbertSDError, PrecisionWarning
from hilbertsd.kernels.boundary_value import pose
from hilbertsd.kernels.derivation import Pieces, derive, root_families
from hilbertsd.kernels.high_precision import Evaluator
from hilbertsd.kernels.separable import (
    Mode,
    NumericProblem,
    Unrounded,
    evaluate,
    separable_forms,
    unrounded,
)
from hilbertsd.kernels.verification import verify, verify_numbers
from hilbertsd.operators import gram

EVALUATION = 5e-14
"""float64 values against 40 digits, relative to the largest |g|: observed below 1e-14 on the
operators here; near-double roots (50 and 51) are the worst."""
CLOSED_FORM = 2e-14
"""Derived and hand-written formulas in float64, relative to the largest |g|."""
GALERKIN = 1e-7
"""g(s, s) against polynomials of degree 23: the jump of derivative 2n − 1 ≥ 5 limits them."""
QUADRATURE = 1e-10
"""R(f) in closed form and by quadrature, relative: observed below 1e-13."""

x, s = sympy.symbols("x s")
SUPPORTED = "f(0)=0, f(1)=0, f''(0)=0, f''(1)=0"


def same(expression, expected):
    return sympy.simplify(expression - expected) == 0


def test_the_papers_green_function_exactly():
    g = hk.greens("D^2", boundary=SUPPORTED)
    left = -sympy.Rational(1, 6) * x * (1 - s) * (x**2 - 2 * s + s**2)
    assert same(g.expression.left, left)
    assert same(g.expression.right, (x - s) ** 3 / 6 + left)
    assert all(check.passed and check.how == "exact" for check in g.checks)
    assert len(g.checks) == 2 + 4 + 4
    # Two essential conditions complete to the same problem.
    assert hk.greens("D^2", boundary="f(0)=0, f(1)=0") == g


# Operators, weights, boundary and the closed form for x <= s.
CLOSED_FORMS = {
    "brownian motion": ("D", None, "f(0)=0", x, hk.brownian_motion()),
    "bridge": ("D", None, "f(0)=0, f(1)=0", x * (1 - s), hk.brownian_bridge()),
    "cantilever": (
        "D^2",
        None,
        "f(0)=0, f'(0)=0",
        x**2 * (3 * s - x) / 6,
        hk.cantilever_beam(),
    ),
    "clamped": (
        "D^2",
        None,
        "f(0)=0, f'(0)=0, f(1)=0, f'(1)=0",
        x**2 * (1 - s) ** 2 * (3 * s - x - 2 * x * s) / 6,
        hk.clamped_beam(),
    ),
    "supported": (
        "D^2",
        None,
        SUPPORTED,
        x * (1 - s) * (2 * s - s**2 - x**2) / 6,
        hk.cubic_spline(),
    ),
    "free, with a weight on f": (
        ["D", "1"],
        [1, 9],
        "",
        sympy.cosh(3 * x) * sympy.cosh(3 * (1 - s)) / (3 * sympy.sinh(3)),
        None,
    ),
    "fixed, with a weight on f": (
        ["D", "1"],
        [1, 9],
        "f(0)=0, f(1)=0",
        sympy.sinh(3 * x) * sympy.sinh(3 * (1 - s)) / (3 * sympy.sinh(3)),
        None,
    ),
    "first order, clamped": (
        "D + 3",
        None,
        "f(0)=0",
        sympy.exp(-3 * s) * sympy.sinh(3 * x) / 3,
        None,
    ),
}


@pytest.mark.parametrize("case", CLOSED_FORMS.values(), ids=CLOSED_FORMS.keys())
def test_closed_forms(case):
    operators, weights, boundary, left, kernel = case
    g = hk.greens(operators, weights, boundary=boundary)
    assert same(g.expression.left.rewrite(sympy.exp), left.rewrite(sympy.exp))
    assert same(g.expression.right, g.expression.left.subs({x: s, s: x}, simultaneous=True))
    assert all(check.passed for check in g.checks)
    points = np.linspace(0, 1, 13)
    if kernel is not None:
        expected = kernel.matrix(points, points)
        assert_close(g.matrix(points, points), expected, atol=CLOSED_FORM * expected.max())


def test_natural_conditions_of_a_matern_like_operator():
    # R = ∫ ((D + a) f)²: natural at both ends would leave e^{-ax}; a weight on f at one end does
    # not. On [0, 1] with f free, weights for D and 1 give cosh; the natural condition is f' = 0.
    g = hk.greens(["D", "1"], [1, 4], boundary=())
    assert g.boundary == "f'(0) = 0, f'(1) = 0"
    # With P = D + 2 the natural condition is (P f)(1) = 0.
    assert hk.greens("D + 2", boundary="f(0)=0").boundary == "f(0) = 0, 2*f(1) + f'(1) = 0"
    assert hk.greens("D + 2", boundary="f(0)=0, f'(1) + 2*f(1) = 0").boundary.endswith("f'(1) = 0")


STIFF_AND_SOFT = {
    "-D^2 + 50^2": (["D", "1"], [1, 2500], "f(0)=0, f(1)=0"),
    "-D^2 + 1000^2": (["D", "1"], [1, 10**6], ""),
    "-D^2 + 1e-6": (["D", "1"], [1, 1e-6], ""),
    "tension 50": (["D^2", "D"], [1, 2500], "f(0)=0, f(1)=0"),
    "tension 1/10": (["D^2", "D"], [1, Fraction(1, 100)], "f(0)=0, f'(0)=0"),
    "resonant": ("D^2 + 2500", None, "f(0)=0, f(1)=0"),
    "D^4 + 30^4": (["D^2", "1"], [1, 30**4], ""),
    "double root 50": ("(D + 50)^2", None, "f(0)=0, f'(0)=0"),
    "near-double roots": ("(D + 50)*(D + 51)", None, "f(0)=0, f'(0)=0"),
    "roots far apart": ("(D + 1/100)*(D + 50)", None, "f(0)=0, f'(0)=0"),
    "order 8": ("D^4", None, "f(0)=0, f'(0)=0, f(1)=0, f'(1)=0"),
}


def forty_digits(g, points):
    at = sympy.lambdify((x, s), g.expression.left, "mpmath")
    with mpmath.workdps(40 + 1000):
        return np.array(
            [
                [float(at(mpmath.mpf(min(a, b)), mpmath.mpf(max(a, b)))) for b in points]
                for a in points
            ]
        )


@pytest.mark.parametrize("case", STIFF_AND_SOFT.values(), ids=STIFF_AND_SOFT.keys())
def test_evaluation_is_stable(case):
    g = hk.greens(case[0], case[1], boundary=case[2])
    points = np.array([0.0, 0.013, 0.3, 0.302, 0.66, 0.97, 1.0])
    expected = forty_digits(g, points)
    values = g.matrix(points, points)
    assert_close(values, expected, atol=EVALUATION * np.abs(expected).max())
    assert g.evaluation_error < EVALUATION
    assert (values == values.T).all()
    assert (g(points[:, None, None], points[None, :, None]) == values).all()
    dense = gram(g, np.linspace(0, 1, 30))
    assert np.linalg.eigvalsh(dense).min() >= -1e-13 * np.trace(dense)
    assert all(check.passed for check in g.checks)


def test_exactly_zero_where_f_is():
    g = hk.greens(["D^2", "D"], [1, 7], boundary="f(0)=0, f(1)=0")
    assert (g.matrix([0.0, 1.0], np.linspace(0, 1, 9)) == 0).all()


def test_simple_roots_of_order_eight():
    g = hk.greens("(D+1)*(D+2)*(D+3)*(D+4)", boundary="f(0)=0, f'(0)=0, f''(0)=0, f'''(0)=0")
    assert all(check.passed for check in g.checks)
    assert g.problem.order == 4
    assert g.evaluation_error < EVALUATION
    # Clamped at 0, P f = white noise: g is the covariance ∫ h(x − u) h(s − u) du, P h = δ.
    rates, gap = [1, 2, 3, 4], np.array([0.8, 0.5])
    weights = [1 / math.prod(r - q for r in rates if r != q) for q in rates]

    def response(t):
        return sum(w * math.exp(-q * t) for w, q in zip(weights, rates, strict=True))

    from scipy.integrate import quad

    expected, _ = quad(lambda u: response(gap[0] - u) * response(gap[1] - u), 0, gap[1])
    assert_close(g(*gap), expected, rtol=QUADRATURE)


def test_other_intervals():
    g = hk.greens("D", interval=(-2, 3), boundary="f(-2)=0")
    assert same(g.expression.left, x + 2)
    assert g.domain == (-2.0, 3.0)
    assert float(g(0.5, 3.0)) == pytest.approx(2.5, abs=1e-15)
    with pytest.raises(HilbertSDError, match=r"holds 3\.5, outside"):
        g(3.5, 0.0)
    half = hk.greens("D", interval=(0, 0.1), boundary="f(0)=0, f(0.1)=0")
    assert same(half.expression.left, x * (1 - 10 * s))


@pytest.mark.parametrize(
    "operators",
    [
        "D^2 + 2*D",
        sympy.Symbol("q") ** 2 + 2 * sympy.Symbol("q"),
        [0, 2, 1],
        np.array([0, 2, 1]),
        (0.0, 2.0, 1.0),
        ["D^2 + 2*D"],
        [[0, 2, 1]],
        [Fraction(0), sympy.Integer(2), 1, 0],
    ],
    ids=repr,
)
def test_ways_to_write_an_operator(operators):
    assert pose(operators, None, (0, 1), "f(0)=0").polynomials == ((0, 2, 1),)


def test_exact_numbers():
    problem = pose(["D", "1"], [0.1, sympy.sqrt(2)], (0, 1), "f(0)=0")
    assert problem.weights == (sympy.Rational(1, 10), sympy.sqrt(2))
    g = hk.greens("D", [sympy.sqrt(2)], boundary="f(0)=0")
    assert same(g.expression.left, x / sympy.sqrt(2))


# --- the checks have power


def planted(problem_arguments, change):
    problem = pose(*problem_arguments)
    pieces = derive(problem, root_families(problem))
    return [check.name for check in verify(change(pieces), problem) if not check.passed]


PAPER = ("D^2", None, (0, 1), SUPPORTED)


def test_the_planted_sign_in_the_papers_formula_is_caught():
    wrong_left = sympy.Rational(1, 6) * x * (1 - s) * (x**2 - 2 * s + s**2)
    wrong = Pieces(wrong_left, (x - s) ** 3 / 6 + wrong_left)
    failed = [check.name for check in verify(wrong, pose(*PAPER)) if not check.passed]
    assert "g(x, s) = g(s, x)" in failed
    assert any("f(1) = 0" in name for name in failed)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda p: p, None),
        (lambda p: Pieces(-p.left, -p.right), "jump of derivative 3 at x = s is 1"),
        (lambda p: Pieces(2 * p.left, 2 * p.right), "jump of derivative 3 at x = s is 1"),
        (lambda p: Pieces(p.left + x * s * (x - s), p.right), "derivatives up to order 2"),
        (lambda p: Pieces(p.left + x**2 * s**2, p.right + x**2 * s**2), "f''(0) = 0"),
        (lambda p: Pieces(p.left + x**4, p.right + x**4), "L g = 0 for x < s"),
        (lambda p: Pieces(p.left + s * x, p.right + s * x), "f(1) = 0"),
        (lambda p: Pieces(p.left + s, p.right + s), "f(0) = 0"),
        (lambda p: Pieces(p.right, p.left), "jump of derivative 3 at x = s is 1"),
    ],
)
def test_planted_mistakes_are_caught(change, name):
    failed = planted(PAPER, change)
    assert (failed == []) if name is None else any(name in item for item in failed)


def test_planted_mistakes_with_exponentials_are_caught():
    arguments = (["D", "1"], [1, 2500], (0, 1), "f(0)=0, f(1)=0")
    assert planted(arguments, lambda p: p) == []
    tiny = sympy.Rational(1, 10**12)
    off = planted(arguments, lambda p: Pieces(p.left * (1 + tiny), p.right * (1 + tiny)))
    assert off == ["jump of derivative 1 at x = s is -1"]


# --- intervals far from the origin


@pytest.mark.parametrize(("lower", "units"), [(1900, 120), (1_700_000_000, 86400), (-(10**6), 1)])
def test_years_and_timestamps_cost_no_more_than_the_unit_interval(lower, units):
    upper = lower + units
    rate = Fraction(20, units)
    arguments = ["D", "1"], [1, rate**2]
    near = hk.greens(*arguments, interval=(0, units), boundary=f"f({units})=0")
    far = hk.greens(*arguments, interval=(lower, upper), boundary=f"f({upper})=0")
    assert far.boundary == f"f'({lower}) = 0, f({upper}) = 0"
    assert far.domain == (lower, upper)
    assert far.evaluation_error == near.evaluation_error < EVALUATION
    points = np.linspace(0, units, 9)
    shifted = lower + points
    # The same values to the last bit, at the points that x − lower gives.
    expected = near.matrix(shifted - lower, shifted - lower)
    assert (far.matrix(shifted, shifted) == expected).all()
    assert (far(shifted, lower + 0.5) == near(shifted - lower, 0.5)).all()
    moved = near.expression.left.subs({x: x - lower, s: s - lower}, simultaneous=True)
    assert same(far.expression.left, moved)
    names = [check.name for check in far.checks]
    assert f"f({upper}) = 0" in names
    assert all(check.passed for check in far.checks)
    beta = np.linspace(-1, 1, 9)
    closed, (value, _) = far.roughness(beta, shifted), far.roughness_by_quadrature(beta, shifted)
    assert_close(closed, value, rtol=QUADRATURE)
    assert_close(closed, near.roughness(beta, shifted - lower), rtol=1e-13)


def test_a_far_interval_takes_no_more_digits(monkeypatch):
    # What took minutes was the precision, 4 digits for each unit of the exponent.
    digits = []
    workdps = mpmath.workdps
    monkeypatch.setattr(mpmath, "workdps", lambda n: digits.append(n) or workdps(n))
    hk.greens(["D", "1"], interval=(10**9, 10**9 + 20), boundary="")
    assert max(digits) < 400


def test_null_spaces_far_from_the_origin():
    with pytest.raises(hk.NullSpaceError, match=r"spanned by x - 20000;"):
        hk.greens("D^2", interval=(20000, 20001), boundary="f(20000)=0")
    with pytest.raises(hk.NullSpaceError, match="exp"):
        hk.greens("D + 2", interval=(10**6, 10**6 + 1), boundary="")


# --- where the expression would be too long


TOO_LONG = {
    "order 3": (["D^3", "1"], [1, 5], ""),
    "order 3, fixed ends": (["D^3", "D", "1"], [1, 1, 1], "f(0)=0, f(1)=0"),
    "order 4": (["D^4", "1"], None, "f(0)=0"),
    "order 4, four rates": (["D^4", "D^2", "1"], [1, 2, 3], ""),
    "irrational weights": (["D^3", "D", "1"], [1, sympy.sqrt(2), 1], ""),
    "order 8": (["D^8", "1"], None, ""),
}


@pytest.mark.parametrize("case", TOO_LONG.values(), ids=TOO_LONG.keys())
def test_values_do_not_need_the_expression(case):
    g = hk.greens(case[0], case[1], boundary=case[2])
    order = g.problem.order
    assert len(g.checks) == 2 + 2 * order + 4
    assert all(check.passed for check in g.checks)
    assert g.evaluation_error < EVALUATION
    points = np.linspace(0, 1, 30)
    dense = gram(g, points)
    assert (dense == dense.T).all()
    assert np.linalg.eigvalsh(dense).min() >= -1e-13 * np.trace(dense)
    again = pickle.loads(pickle.dumps(g))
    assert again == g
    assert (gram(again, points) == dense).all()
    for refused in (
        lambda: g.expression,
        g.latex,
        lambda: g.roughness_by_quadrature([1.0], [0.5]),
    ):
        with pytest.raises(HilbertSDError, match="thousands of terms"):
            refused()
    assert_close(by_galerkin(g.problem, g.fixed_ends, 0.4), g(0.4, 0.4), rtol=GALERKIN)


def by_galerkin(problem, fixed_ends, at, degree=20):
    """g(s, s) as the largest 2 f(s) − R(f) over the polynomials with f = 0 at the fixed ends."""
    with mpmath.workdps(80):
        system = mpmath.zeros(degree + len(fixed_ends))
        for weight, polynomial in zip(problem.weights, problem.polynomials, strict=True):
            # P x^i as powers and coefficients; ∫ x^p dx = 1/(p + 1).
            applied = [
                [(i - k, math.perm(i, k) * c) for k, c in enumerate(polynomial) if c and k <= i]
                for i in range(degree)
            ]
            for i, first in enumerate(applied):
                for j, second in enumerate(applied):
                    system[i, j] += mpmath.mpf(float(weight)) * sum(
                        mpmath.mpf(int(a * b)) / (p + q + 1) for p, a in first for q, b in second
                    )
        for row, end in enumerate(fixed_ends, degree):
            for i in range(degree):
                system[i, row] = system[row, i] = mpmath.mpf(end) ** i
        powers = [mpmath.mpf(at) ** i for i in range(degree)]
        right = mpmath.matrix(powers + [0] * len(fixed_ends))
        solution = mpmath.lu_solve(system, right)
        return float(sum(p * c for p, c in zip(powers, solution[:degree], strict=True)))


def test_number_checks_have_power():
    problem = pose(["D^3", "1"], [1, 5], (0, 1), "f(0)=0")
    families = root_families(problem)
    numbers = Evaluator({})
    with mpmath.workdps(140):
        numeric = NumericProblem(
            [numbers(c) for c in problem.operator],
            [(numbers(f.alpha), numbers(f.beta), f.multiplicity) for f in families],
            [[numbers(c) for c in problem.left.row(i)] for i in range(3)],
            [[numbers(c) for c in problem.right.row(i)] for i in range(3)],
            mpmath.mpf(0),
            mpmath.mpf(1),
        )
        form = unrounded(numeric)
        assert all(check.passed for check in verify_numbers(form, problem))
        tiny = mpmath.mpf(10) ** -35

        def failed(changed):
            return {c.name for c in verify_numbers(changed, problem) if not c.passed}

        scatter = form.scatter.copy()
        scatter[0, 1] *= 1 + tiny
        off = failed(Unrounded(form.free, form.basis, scatter))
        assert "g(x, s) = g(s, x)" in off
        assert "f(0) = 0" in off
        weight, mode = form.free[0]
        off = failed(Unrounded([(weight * (1 + tiny), mode), *form.free[1:]], form.basis, scatter))
        assert any("jump" in name for name in off)
        assert any("continuous" in name for name in off)
        faster = Mode(mode.anchor, 1, 0, mode.alpha * (1 + tiny), mode.beta, mode.sine)
        off = failed(Unrounded([(weight, faster), *form.free[1:]], form.basis, form.scatter))
        assert {"L g = 0 for x < s", "L g = 0 for x > s"} <= off


def test_both_kinds_of_checks_have_the_same_names():
    g = hk.greens(["D^2", "1"], [1, 4], boundary="f(0)=0")
    long = hk.greens(["D^4", "1"], boundary="f(0)=0")
    assert [c.name for c in g.checks][:2] == [c.name for c in long.checks][:2]
    assert [c.name for c in g.checks][-2:] == [c.name for c in long.checks][-2:]
    assert {c.how for c in long.checks[:-1]} == {"40 digits"}


@pytest.mark.parametrize(
    ("operators", "text"),
    [("D^2 + 1", "2*sin(1)**2"), (["D", "1"], "sinh(1)")],
)
def test_denominators_are_short(operators, text):
    left = hk.greens(operators, boundary="f(0)=0, f(1)=0").expression.left
    assert str(sympy.denom(left)) == text


# --- what has no Green's function


@pytest.mark.parametrize(
    ("arguments", "dimension"),
    [
        (("D^2", None, "f'(0)=0, f'(1)=0"), 1),
        (("D^2", None, ""), 2),
        (("D", None, ""), 1),
        (("D + 2", None, ""), 1),
        (("(D + 1)^2", None, "f(0)=0"), 1),
        (("D^2 + 4", None, ""), 2),
        ((sympy.Symbol("q") ** 2 + sympy.pi**2, None, "f(0)=0, f(1)=0"), 1),
        ((["D^2", "D"], [1, 3], ""), 1),
    ],
)
def test_null_spaces_are_named(arguments, dimension):
    operators, weights, boundary = arguments
    with pytest.raises(hk.NullSpaceError) as caught:
        hk.greens(operators, weights, boundary=boundary)
    basis = caught.value.basis
    assert len(basis) == dimension
    assert str(basis[0]) in str(caught.value)
    problem = pose(operators, weights, (0, 1), boundary)
    for function in basis:
        for polynomial in problem.polynomials:
            applied = sum(c * sympy.diff(function, x, k) for k, c in enumerate(polynomial))
            assert sympy.simplify(applied) == 0
        for condition in problem.conditions():
            value = sum(
                c * sympy.diff(function, x, k) for k, c in enumerate(condition.coefficients)
            )
            assert sympy.simplify(sympy.sympify(value).subs(x, condition.end)) == 0
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


@pytest.mark.parametrize("boundary", ["", "f^(7)(0) + f'(0) = 0"])
def test_refusals_do_not_drown_the_reader_in_formulas(boundary):
    with pytest.raises(HilbertSDError) as caught:
        hk.greens("D^4 - 5*D^3 + 4*D + 1/3", boundary=boundary)
    assert len(str(caught.value)) < 500
    assert "…" in str(caught.value)
    if not boundary:
        assert "and 2 more" in str(caught.value)
        assert len(caught.value.basis) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("D", None, "f(0)=0, f'(1) + 2*f(1) = 0"), "boundary terms at 1 do not vanish"),
        (("D^2", None, "f(0)=0, f'''(0)=0, f(1)=0, f'(1)=0"), "not self-adjoint"),
        (("D^2", None, "f''(0)=0, f'(0)=0, f(1)=0"), "not self-adjoint|do not vanish"),
        (("D^2", None, "f(0)=0, f'(0)=0, f''(0)=0"), "3 independent conditions at 0"),
        (("D^2", None, "f'''(0)=0, f(1)=0, f'(1)=0"), None),
        (("D + 1", None, "f'(0)=0, f(1)=0"), "boundary terms at 0 do not vanish"),
        (("D^3", None, "f'''''(0) + f(0) = 0, f(1)=0"), "neither essential"),
        (("D", None, "f(1/2)=0"), "not an end"),
        (("D", None, "f''(0)=0"), "order 0 to 1"),
        (("3", None, "f(0)=0"), "order 0"),
        (("D*0", None, ""), "is zero"),
        ([[0, 0], None, ""], "is zero"),
        ((3.5j, None, ""), "is not an operator"),
        (([], None, ""), "no operator"),
        ((x * s, None, ""), "not a polynomial in one symbol"),
        ((sympy.sin(x), None, ""), "not a polynomial in one symbol"),
        ((sympy.I * x, None, ""), "finite real number"),
        (([0, math.nan], None, ""), "finite real number|not an operator|is not"),
        (("D", [1, 2], "f(0)=0"), "2 weights for 1 operators"),
        (("D", 2, "f(0)=0"), None),
        (("D", [0], "f(0)=0"), r"weights\[0\] = 0"),
        (("D", [math.inf], "f(0)=0"), r"weights\[0\] is inf"),
        (("D", None, 3), "3 is not a boundary condition"),
        (("D", None, ["f(0)=0", None]), "None is not a boundary condition"),
        ((["D", "1"], [1, 10**8], ""), "is 1e\\+04, above 2000"),
        (("D^5 - D - 1", None, "f(0)=0"), "no closed form"),
    ],
)
def test_refusals(arguments, message):
    operators, weights, boundary = arguments
    if message is None:
        hk.greens(operators, weights, boundary=boundary)
        return
    with pytest.raises(HilbertSDError, match=message):
        hk.greens(operators, weights, boundary=boundary)


@pytest.mark.parametrize("interval", [(1, 0), (0, 0), (0, math.inf), (0,), 3, ("a", 1)])
def test_intervals_refused(interval):
    with pytest.raises(HilbertSDError, match=r"interval"):
        hk.greens("D", interval=interval, boundary="f(0)=0")


def test_lost_digits_come_with_a_warning(monkeypatch):
    import sys

    monkeypatch.setattr(sys.modules["hilbertsd.kernels.greens"], "EVALUATION_TOLERANCE", 0.0)
    with pytest.warns(PrecisionWarning, match="good to"):
        hk.greens(["D", "1"], [1, 2], boundary="")


# --- roughness


@pytest.mark.parametrize(
    "case",
    [
        ("D^2", None, SUPPORTED),
        ("D", None, "f(0)=0"),
        (["D", "1"], [1, 2500], "f(0)=0, f(1)=0"),
        (["D^2", "D"], [0.5, 3], "f(0)=0, f'(0)=0"),
        ("D + 2", [3], "f(0)=0"),
    ],
)
def test_roughness_two_ways(case):
    g = hk.greens(case[0], case[1], boundary=case[2])
    knots = np.array([0.1, 0.25, 0.5, 0.5, 0.77, 1.0])
    beta = np.array([1.0, -2.0, 0.5, 3.0, -1.0, 0.7])
    value, error = g.roughness_by_quadrature(beta, knots)
    closed = g.roughness(beta, knots)
    assert error < QUADRATURE * value
    assert_close(closed, value, rtol=QUADRATURE)
    assert_close(closed, beta @ gram(g, knots) @ beta / len(knots), rtol=1e-13)


def test_roughness_of_a_known_function():
    # With R = ∫ f'², f(0) = 0 and one knot at 1: f = β x, R = β².
    g = hk.greens("D", boundary="f(0)=0")
    assert g.roughness([3.0], [1.0]) == pytest.approx(9.0, rel=1e-14)


@pytest.mark.parametrize("method", ["roughness", "roughness_by_quadrature"])
@pytest.mark.parametrize(
    ("beta", "knots", "message"),
    [
        ([1.0, 2.0], [0.5], "shape"),
        ([], [], "at least one point"),
        ([math.nan], [0.5], r"dual_coef\[0\] is nan"),
        ([1.0], [math.inf], r"x\[0\] is inf"),
        ([1.0], [1.5], "outside"),
    ],
)
def test_roughness_refusals(method, beta, knots, message):
    g = hk.greens("D", boundary="f(0)=0")
    with pytest.raises(HilbertSDError, match=message):
        getattr(g, method)(beta, knots)


def test_quadrature_refuses_what_overflows():
    g = hk.greens(["D", "1"], [1, 10**6], boundary="f(0)=0, f(1)=0")
    assert np.isfinite(g.roughness([1.0], [0.5]))
    with pytest.raises(HilbertSDError, match="overflow"):
        g.roughness_by_quadrature([1.0], [0.5])


# --- a Green's function is a kernel like any other


def test_kernel_behaviour():
    g = hk.greens(["D^2", "D"], [1, Fraction(1, 2)], interval=(0, 2), boundary="f(0)=0, f(2)=0")
    assert repr(g).startswith("greens(['D^2', 'D'], [1, 1/2], interval=(0, 2), boundary=")
    assert g.regularizer.startswith("R(f) = ∫ f''(x)² dx + 1/2 ∫ f'(x)² dx on [0, 2], f(0)=0")
    assert g.regularizer.endswith("L = D⁴ − 1/2 D²")
    assert g.latex().startswith(r"g(x, s) = \begin{cases}")
    assert g.symbols == (x, s)
    again = pickle.loads(pickle.dumps(g))
    assert again == g
    assert hash(again) == hash(g)
    points = np.linspace(0, 2, 5)
    assert (again.matrix(points, points) == g.matrix(points, points)).all()
    assert_close(
        (2 * g + g).matrix(points, points), 3 * g.matrix(points, points), rtol=1e-15, atol=1e-30
    )
    with pytest.raises(HilbertSDError, match="2 coordinates"):
        g(np.zeros((3, 2)), 0.5)


def test_both_forms_agree_where_both_are_good():
    with mpmath.workdps(60):
        # L = −D² + 9 under f' = 0 at both ends.
        problem = NumericProblem(
            [mpmath.mpf(9), mpmath.mpf(0), mpmath.mpf(-1)],
            [(mpmath.mpf(3), mpmath.mpf(0), 1)],
            [[mpmath.mpf(0), mpmath.mpf(1)]],
            [[mpmath.mpf(0), mpmath.mpf(1)]],
            mpmath.mpf(0),
            mpmath.mpf(1),
        )
        exponential, series = separable_forms(problem)
    first, second = np.meshgrid(np.linspace(0, 1, 6), np.linspace(0, 1, 6))
    expected = np.cosh(3 * np.minimum(first, second)) * np.cosh(3 - 3 * np.maximum(first, second))
    expected = expected / (3 * np.sinh(3))
    for form in (exponential, series):
        assert_close(evaluate(form, first, second), expected, rtol=1e-13)
