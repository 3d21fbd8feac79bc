"""Gradients: against finite differences, finite everywhere, none for the teacher."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, batch, features
from evaluation import QUICK, STEP, degenerate, evaluated, evaluated_alone
from problems import assert_close

DIFFERENCE = 1e-7
"""Relative to gradient and step: h² of the third derivative, and rounding over h."""
SINGLE = 2e-4
"""float32 against float64, absolute and relative: 1e-7 times what cancels in d² and in centring."""

TYPES = ("float32", "float64")
SAME_DERIVATIVES = {"fkd, linear", "fkd, norm", "cc, third order", "cka_loss, pairs",
                    "hsic_loss, V", "ab, batch", "crd, normalised", "info_nce, symmetric",
                    "rkd_distance", "rkd_angle", "exploration", "kd, labels",
                    "ft, channel mean", "inheritance, AT", "inheritance, OD",
                    "hsic_loss, unbiased"}  # fmt: skip
"""Cases whose guarded operations are those of another case."""
DISTINCT = [name for name in CASES if name not in SAME_DERIVATIVES]


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_finite_differences(name):
    outcomes = evaluated(name, "float64")
    gradient = outcomes["second"].gradient
    for k in range(2):
        direction = features(gradient.shape, 50 + k)
        size = np.linalg.norm(gradient) * np.linalg.norm(direction)
        slope = (outcomes[f"ahead {k}"].value - outcomes[f"behind {k}"].value) / (2 * STEP)
        assert_close(np.sum(gradient * direction), slope, atol=DIFFERENCE * (size + 1e-2))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", DISTINCT)
def test_gradients_are_finite_everywhere_and_types_follow_the_input(name, dtype):
    outcomes = evaluated(name, dtype)
    for label in degenerate(CASES[name]):
        value, gradient, _ = outcomes[label]
        assert value.dtype == gradient.dtype == dtype
        assert np.isfinite(value), f"{label}: {value}"
        assert np.isfinite(gradient).all(), f"{label}: {gradient}"


@pytest.mark.parametrize("name", [name for name in DISTINCT if "unbiased" not in name])
def test_a_batch_of_one(name):
    value, gradient, teacher = evaluated_alone(name, "float32")  # the narrower range
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert not teacher.any()
    if CASES[name].gram and CASES[name].zero_at_equal and "cka" not in name and "align" not in name:
        assert_close(value, 0.0, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_what_is_no_number_gives_none(name):
    """Guards at zero must not hide it."""
    assert np.isnan(evaluated(name, "float64")["no number"].value)


@pytest.mark.parametrize("name", CASES)
def test_teacher_is_constant(name):
    outcomes = evaluated(name, "float64")
    assert outcomes["second"].gradient.any()
    assert not any(outcome.teacher_gradient.any() for outcome in outcomes.values())


@pytest.mark.parametrize("name", DISTINCT)
def test_float32_gives_nearly_the_numbers_of_float64(name):
    single, double = (evaluated(name, dtype) for dtype in TYPES)
    for label in ("first", "second", "factors"):
        assert_close(single[label].value, double[label].value, rtol=SINGLE, atol=SINGLE)
        size = np.abs(double[label].gradient).max()
        assert_close(single[label].gradient, double[label].gradient, atol=10 * SINGLE * (size + 1))


@pytest.mark.parametrize("name", ["fkd", "cka_loss"])
def test_second_derivatives_are_symmetric_and_finite(name):
    case = CASES[name]
    s, t = batch(case)
    with jax.enable_x64(True):
        hessian = jax.jit(jax.hessian(case.call), compiler_options=QUICK)
        for x in (s, s * (np.arange(len(s)) != 1)[:, None]):
            H = np.asarray(hessian(x, t)).reshape(s.size, s.size)
            assert_close(H, H.T, atol=1e-9 * np.abs(H).max())


def test_correlation_kernel_has_no_radial_gradient_and_the_regulariser_has_nothing_else():
    s, _ = batch(CASES["fkd"], 1)
    plain, full = (evaluated(name, "float64")["second"].gradient for name in ("fkd", "fkd, norm"))
    assert_close(np.sum(plain * s, axis=1), np.zeros(len(s)), atol=1e-14)
    assert_close(full - plain, 0.6 * s / len(s), atol=1e-14)


def test_a_plain_norm_is_caught():
    """The guarded norms are needed: without them the gradient at zero is not finite."""
    gradient = jax.grad(lambda x: jnp.linalg.norm(x))(jnp.zeros(3))
    assert not np.isfinite(gradient).any()
