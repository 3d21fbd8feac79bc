"""Sums, products, scalings, rescalings and tensor products of kernels, and what they print."""

import pickle

import numpy as np
import pytest
from problems import assert_close

from hilbertsd import kernels as hk
from hilbertsd.errors import HilbertSDError
from hilbertsd.kernels import kernel as kernel_module

ROUNDING = 1e-15
X = np.linspace(0, 1, 7)
A, B, C = hk.gaussian(0.5), hk.brownian_bridge(), hk.matern(1.5, 0.3)


def values(kernel):
    return kernel.matrix(X, X[::2])


def test_values_follow_the_algebra():
    assert_close(values(A + B), values(A) + values(B), rtol=ROUNDING)
    assert_close(values(A * B), values(A) * values(B), rtol=ROUNDING)
    assert_close(values(3 * A), 3 * values(A), rtol=ROUNDING)
    assert_close(values(A * (B + C)), values(A * B + A * C), rtol=4 * ROUNDING)
    assert_close((A + B)(0.25, X), A(0.25, X) + B(0.25, X), rtol=ROUNDING)
    assert_close((A * B)(0.25, X), A(0.25, X) * B(0.25, X), rtol=ROUNDING)


def test_structure_is_normalised():
    assert (A + B) + C == A + (B + C)
    assert (A * B) * C == A * (B * C)
    assert 2 * (3 * A) == 6 * A == A * 6
    assert A + B != A * B
    assert A != B
    assert hk.gaussian(0.5) == A
    assert len({A, hk.gaussian(0.5), hk.gaussian(0.6)}) == 2


@pytest.mark.parametrize(
    ("kernel", "text"),
    [
        (A, "gaussian(length_scale=0.5)"),
        (2 * A + hk.brownian_motion(), "2.0 * gaussian(length_scale=0.5) + brownian_motion()"),
        ((A + B) * C, "(gaussian(length_scale=0.5) + brownian_bridge()) * matern("),
        (2 * (A + B), "2.0 * (gaussian(length_scale=0.5) + brownian_bridge())"),
        (B.rescaled(-1, 3), "brownian_bridge().rescaled(-1.0, 3.0)"),
        ((2 * B).rescaled(0, 3), "(2.0 * brownian_bridge()).rescaled(0.0, 3.0)"),
        (hk.tensor(B, A), "tensor(brownian_bridge(), gaussian(length_scale=0.5))"),
    ],
    ids=repr,
)
def test_repr_is_readable_and_parses_back(kernel, text):
    assert repr(kernel).startswith(text)
    assert hk.parse_kernel(repr(kernel)) == kernel
    assert pickle.loads(pickle.dumps(kernel)) == kernel
    assert kernel.regularizer


def test_rescaling_pulls_back_and_the_operator_scales():
    lower, upper = -1.0, 3.0
    moved = hk.cubic_spline().rescaled(lower, upper)
    x = lower + (upper - lower) * X
    assert_close(moved.matrix(x, x), hk.cubic_spline().matrix(X, X), atol=ROUNDING)
    # The Green's function of D⁴ on the interval itself is length³ times the pull-back.
    own = hk.greens("D^2", interval=(-1, 3), boundary="f(-1)=0, f(3)=0")
    assert_close(own.matrix(x, x), (4**3 * moved).matrix(x, x), atol=1e-13)
    assert moved.domain == (lower, upper)
    assert moved.rescaled(0, 1).matrix(X, X) == pytest.approx(values_on_unit(), abs=ROUNDING)


def values_on_unit():
    return hk.cubic_spline().matrix(X, X)


def test_rescaled_ends_stay_inside():
    rng = np.random.default_rng(0)
    for lower, width in zip(rng.normal(size=200), rng.random(200), strict=True):
        kernel = hk.brownian_bridge().rescaled(lower, lower + width)
        ends = np.array(kernel.domain)
        assert_close(kernel(ends, ends), [0.0, 0.0], atol=1e-15)


def test_tensor_is_the_product_over_coordinates():
    kernel = hk.tensor(B, C)
    rng = np.random.default_rng(0)
    x, s = rng.random((5, 2)), rng.random((4, 2))
    expected = B.matrix(x[:, 0], s[:, 0]) * C.matrix(x[:, 1], s[:, 1])
    assert_close(kernel.matrix(x, s), expected, rtol=ROUNDING)
    assert_close(kernel(x, s[:1]), expected[:, 0], rtol=ROUNDING)
    assert kernel.features == 2
    with pytest.raises(HilbertSDError, match=r"x\[..., 0\] holds 1.5"):
        kernel.matrix([[1.5, 0.0]], s)


def test_matrix_is_filled_in_blocks(monkeypatch):
    whole = [values(k) for k in (A, B, A + 2 * B * C)]
    monkeypatch.setattr(kernel_module, "BLOCK_ENTRIES", 5)
    for kernel, expected in zip((A, B, A + 2 * B * C), whole, strict=True):
        assert (values(kernel) == expected).all()


def test_domains_meet():
    half = B.rescaled(0.5, 2)
    assert (half + B).domain == (0.5, 1.0)
    assert (2 * half).domain == (0.5, 2.0)
    with pytest.raises(HilbertSDError, match="no interval in common"):
        _ = B.rescaled(2, 3) + B


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: 0 * A, "the factor of a kernel = 0"),
        (lambda: -1.0 * A, "the factor of a kernel = -1.0"),
        (lambda: float("nan") * A, "the factor of a kernel = nan"),
        (lambda: 1e200 * (1e200 * A), "the factor of a kernel = inf"),
        (lambda: A.rescaled(0, 2), "not tied to an interval"),
        (lambda: B.rescaled(1, 1), "not an interval"),
        (lambda: B.rescaled("left", 1), "not an interval"),
        (lambda: B.rescaled(0, float("inf")), "not an interval"),
        (hk.tensor, "at least one kernel"),
        (lambda: hk.tensor(A, 2), "2 is not a kernel on the line"),
        (lambda: hk.tensor(hk.tensor(A, A), A), "not a kernel on the line"),
        (lambda: hk.tensor(A, A) + B, "do not combine"),
        (lambda: A(np.zeros((2, 3)), np.zeros((2, 2))), "3 coordinates and s with 2"),
        (lambda: A(np.zeros(2), np.zeros(3)), "kernel.matrix"),
        (lambda: A.matrix(np.zeros((2, 2, 2)), np.zeros((2, 2))), "x has 3 axes"),
        (lambda: B(np.zeros((2, 3)), 0.5), "3 coordinates"),
        (lambda: A(1j, 0.0), "complex128"),
        (lambda: A(["a"], 0.0), "points are real numbers"),
        (lambda: A([[1.0], [1.0, 2.0]], 0.0), "not an array of numbers"),
        (lambda: A(np.array([None]), 0.0), "object"),
    ],
)
def test_errors(call, message):
    with pytest.raises(HilbertSDError, match=message):
        call()


def test_other_objects_are_not_combined():
    with pytest.raises(TypeError):
        _ = A + 1
    with pytest.raises(TypeError):
        _ = A * "2"
