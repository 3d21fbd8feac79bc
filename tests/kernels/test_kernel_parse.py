"""Kernels, operators and boundary conditions from text: what is read, and what is refused."""

import contextlib
import string
import tracemalloc
from fractions import Fraction

import hypothesis.strategies as st
import pytest
from hypothesis import given

from hilbertsd import kernels as hk
from hilbertsd.errors import HilbertSDError
from hilbertsd.kernels.differential import MAX_ORDER, BoundaryCondition
from hilbertsd.kernels.syntax import MAX_DEPTH, MAX_LENGTH

MEMORY = 20_000_000
"""Bytes that refusing a hostile text may take at most: observed below 2e6."""


@pytest.mark.parametrize(
    ("text", "kernel"),
    [
        ("cubic_spline", hk.cubic_spline()),
        (" cubic_spline() ", hk.cubic_spline()),
        ("gaussian(0.5)", hk.gaussian(0.5)),
        ("gaussian(1/3)", hk.gaussian(1 / 3)),
        ("gaussian(2**-1)", hk.gaussian(0.5)),
        ("gaussian(+0.5)", hk.gaussian(0.5)),
        (
            "2*matern(1.5, length_scale=0.3) + cubic_spline",
            2 * hk.matern(1.5, 0.3) + hk.cubic_spline(),
        ),
        ("cubic_spline*3", 3 * hk.cubic_spline()),
        ("gaussian * laplace(2)", hk.gaussian() * hk.laplace(2)),
        ("2*(gaussian + laplace)", 2 * (hk.gaussian() + hk.laplace())),
        ("cubic_spline.rescaled(-1, 2)", hk.cubic_spline().rescaled(-1, 2)),
        ("tensor(gaussian, brownian_motion)", hk.tensor(hk.gaussian(), hk.brownian_motion())),
        ("+".join(["gaussian"] * 80), sum([hk.gaussian()] * 79, start=hk.gaussian())),
    ],
)
def test_kernels(text, kernel):
    assert hk.parse_kernel(text) == kernel


HOSTILE = [
    "__import__('os')",
    "().__class__",
    "gaussian.__class__",
    "gaussian.__init__.__globals__",
    "gaussian(0.5).matrix(1, 2)",
    "gaussian(9**9**9)",
    "9**9**9*gaussian",
    "((((9**32)**32)**32)**32)*gaussian",
    "(" * 400 + "1" + ")" * 400,
    "-" * 900 + "1",
    "+".join(["gaussian"] * 110),
    "gaussian(" * 100 + ")" * 100,
    "x" * 100_000,
    "9" * 900,
    "1e999*gaussian",
    "1j*gaussian",
    "True*gaussian",
    "'a'*gaussian",
    "b'a'",
    "[gaussian]",
    "{1: 2}",
    "lambda: gaussian",
    "gaussian if 1 else laplace",
    "(gaussian := 1)",
    "[k for k in (1,)]",
    "gaussian(*[1])",
    "gaussian(**{})",
    "gaussian[0]",
    "gaussian < laplace",
    "gaussian and laplace",
    "f'{gaussian}'",
    "gaussian; laplace",
    "import os",
    "gaussian\nlaplace",
    "0or 1",
    "\x00",
    "\ud800",
    "gaussian(0.5",
    "",
    "   ",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:30]))
def test_nothing_else_is_read_and_refusing_is_cheap(text):
    tracemalloc.start()
    try:
        with pytest.raises(HilbertSDError) as caught:
            hk.parse_kernel(text)
        with pytest.raises(HilbertSDError):
            hk.parse_operator(text)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gausian(0.5)", "'gausian', which is no kernel here; did you mean gaussian?"),
        ("zzz", "choose from arc_cosine"),
        ("eval", "'eval'"),
        ("gaussian(width=3)", "unexpected keyword argument 'width'"),
        ("gaussian(1, 2)", "too many positional arguments"),
        ("gaussian(laplace)", "takes numbers, not laplace"),
        ("gaussian(sigma=0.5)", "^gaussian: got an unexpected .* 'sigma'; it takes length_scale"),
        ("brownian_motion(1)", "too many positional arguments; it takes no arguments"),
        ("gaussian(-1)", "length_scale = -1"),
        ("gaussian(0)", "length_scale = 0"),
        ("matern(2)", "choose nu = 0.5, 1.5 or 2.5"),
        ("gaussian + 1", "adds a number to a kernel"),
        ("2*3", "is a number, not a kernel"),
        ("1/0*gaussian", "divides by zero"),
        ("0**-1*gaussian", "divides by zero"),
        ("gaussian - laplace", "Sub is not allowed"),
        ("gaussian/2", "Div is not allowed"),
        ("-gaussian", "USub is not allowed"),
        ("gaussian**2", "Pow is not allowed"),
        ("-1*gaussian", "the factor of a kernel = -1"),
        ("gaussian.rescaled(0, 1)", "not tied to an interval"),
        ("cubic_spline.rescaled(0)", "rescaled.*missing a required argument"),
        ("tensor()", "at least one kernel"),
        ("tensor(1)", "not a kernel on the line"),
        ("x" * (MAX_LENGTH + 1), f"at most {MAX_LENGTH}"),
        ("-" * (MAX_DEPTH + 1) + "1", f"deeper than {MAX_DEPTH}"),
        (3, "is not text"),
    ],
)
def test_messages_name_the_fault(text, message):
    with pytest.raises(HilbertSDError, match=message):
        hk.parse_kernel(text)


def read_or_refused(text):
    for parse in (hk.parse_kernel, hk.parse_operator, hk.parse_boundary):
        # Any other exception fails the test.
        with contextlib.suppress(HilbertSDError):
            parse(text)


@given(st.text(alphabet=string.printable, max_size=60))
def test_any_text_is_read_or_refused(text):
    read_or_refused(text)


@given(st.text(alphabet="gD f'(01)+-*/.^=,", max_size=40))
def test_near_misses_are_read_or_refused(text):
    read_or_refused(text)


@pytest.mark.parametrize(
    ("text", "coefficients"),
    [
        ("D", (0, 1)),
        ("D^2", (0, 0, 1)),
        ("D**2 + 3*D + 2", (2, 3, 1)),
        ("(D + 1)*(D + 2)", (2, 3, 1)),
        ("(D+1)^3 / 2", (Fraction(1, 2), Fraction(3, 2), Fraction(3, 2), Fraction(1, 2))),
        ("0.1*D - 1/3", (Fraction(-1, 3), Fraction(1, 10))),
        ("-D + +2", (2, -1)),
        ("D^3 - D^3 + 1", (1,)),
        ("D^0", (1,)),
        ("D^8", (0,) * 8 + (1,)),
        ("2^10", (1024,)),
    ],
)
def test_operators(text, coefficients):
    assert hk.parse_operator(text) == coefficients


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("D^9", f"order 9; orders up to {MAX_ORDER}"),
        ("D^4*D^5", "order 9"),
        ("(D^8)^200", "order 1600"),
        ("D^-1", "not a small whole number"),
        ("D^D", "not a small whole number"),
        ("D^(1/2)", "not a small whole number"),
        ("9**9**9", "not a small whole number|power too large"),
        ("99^99", "too large"),
        ("x^2", "'x'.*unknown"),
        ("f(0)", "Call is not allowed"),
        ("1/D", "divides by D"),
        ("D/0", "divides by zero"),
        ("0*D", "is zero"),
        ("3D", "is not an expression"),
        (None, "is not text"),
    ],
)
def test_operators_refused(text, message):
    with pytest.raises(HilbertSDError, match=message):
        hk.parse_operator(text)


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("f(0)=0", [(0, (1,))]),
        ("f(0)=0, f''(1)=0", [(0, (1,)), (1, (0, 0, 1))]),
        ("f′(0) = 0; f″(0) = 0", [(0, (0, 1)), (0, (0, 0, 1))]),
        ("f^(3)(1) = 0", [(1, (0, 0, 0, 1))]),
        ("f'(1) + 2*f(1) = 0", [(1, (2, 1))]),
        ("f'(1) = -2*f(1)", [(1, (2, 1))]),
        ("2*(f(0) - f'(0)/4) = 0", [(0, (2, Fraction(-1, 2)))]),
        ("f(-1/2) = 0", [(Fraction(-1, 2), (1,))]),
        ("f(0.1) = 0", [(Fraction(1, 10), (1,))]),
        ("", []),
    ],
)
def test_boundary_conditions(text, conditions):
    assert hk.parse_boundary(text) == tuple(BoundaryCondition(*c) for c in conditions)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("f(0)", "not one equation"),
        ("f(0)=0=0", "not one equation"),
        ("f(0)=1", "not homogeneous"),
        ("2=2", "no condition on f"),
        ("f(0)-f(0)=0", "no condition on f"),
        ("f(0)=f(1)", "ties the points 0 and 1"),
        ("f(x)=0", "Name is not allowed"),
        ("f(0)*f(0)=0", "Mult is not allowed"),
        ("f(0)^2=0", "BitXor is not allowed"),
        ("f(0)/0=0", "divides by zero"),
        ("1/f(0)=0", "Div is not allowed"),
        ("g(0)=0", "Call is not allowed"),
        ("f(0,1)=0", "is not an expression|Call|not one equation"),
        ("f(9**9**9)=0", "not allowed|too large"),
        ("f^(99)(0)=0", "order 99"),
        ("f(" * 150 + "0" + ")" * 150 + "=0", "nested|not an expression"),
        ("f(0)=0," * 500, f"at most {MAX_LENGTH}"),
        (0, "is not text"),
    ],
)
def test_boundary_conditions_refused(text, message):
    with pytest.raises(HilbertSDError, match=message):
        hk.parse_boundary(text)


@given(
    st.fractions(-9, 9, max_denominator=9),
    st.lists(st.fractions(-9, 9, max_denominator=9), min_size=1, max_size=5),
)
def test_conditions_print_as_they_parse(end, coefficients):
    if coefficients[-1] != 0:
        condition = BoundaryCondition(end, tuple(coefficients))
        assert hk.parse_boundary(str(condition)) == (condition,)
