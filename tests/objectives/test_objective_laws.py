"""Laws: order, rotation and scale of features; what is zero; what is positive semidefinite."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from cases import CASES, features
from evaluation import evaluated
from hypothesis import given
from hypothesis import strategies as st
from problems import ROUNDING, SEEDS, assert_close, orthogonal, symmetric

from hilbertsd import objectives
from hilbertsd.objectives import grams

EXACT = 1e-9
"""Equal in exact arithmetic: relative to values of order one; angles lose most."""

RELATIONAL = [name for name, case in CASES.items() if case.gram or "cka" in name]
BY_NUMBER = ["kd, labels", "crd", "crd, normalised"]
"""Cases with labels or numbers of samples beside the features, which are not permuted here."""
PER_SAMPLE = ["fkd", "cc", "cc, third order", "cc, Gaussian"]
"""Functions of the correlation kernel: a factor for each sample changes nothing."""
OVERALL = [*PER_SAMPLE, "sp", "sp, L1", "rkd", "rkd_distance", "rkd_angle", "cka_loss",
           "cka_loss, unbiased", "cka_loss, Gaussian", "cka_loss, pairs",
           "alignment_loss"]  # fmt: skip
"""A factor for all samples changes nothing."""

COMPILED = [jax.jit(f) for f in (objectives.fkd, objectives.sp, objectives.cc)]


@pytest.mark.parametrize("name", [name for name in CASES if name not in BY_NUMBER])
def test_order_of_the_batch_does_not_matter(name):
    outcomes = evaluated(name, "float64")
    value = outcomes["second"].value
    assert_close(outcomes["reversed"].value, value, rtol=EXACT, atol=EXACT)
    assert abs(outcomes["rolled student"].value - value) > 1e-6, "wrong pairs went unnoticed"


@pytest.mark.parametrize("name", RELATIONAL)
def test_rotations_of_features_do_not_matter(name):
    outcomes = evaluated(name, "float64")
    assert_close(outcomes["turned"].value, outcomes["second"].value, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("name", RELATIONAL)
def test_scale_of_features(name):
    outcomes = evaluated(name, "float64")
    value = outcomes["second"].value
    overall, single = (abs(outcomes[key].value - value) for key in ("hundredfold", "factors"))
    assert overall < EXACT if name in OVERALL else overall > EXACT
    if name in PER_SAMPLE:
        assert single < EXACT
    elif name != "pkt":  # whose ε adds to norms: nearly a function of correlations
        assert single > 1e-4


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.zero_at_equal])
def test_zero_for_student_equal_to_teacher(name):
    outcomes = evaluated(name, "float64")
    assert_close(outcomes["student is teacher"].value, 0.0, atol=ROUNDING)
    assert abs(outcomes["second"].value) > 1e-6


@given(seed=SEEDS)
def test_zero_exactly_for_equal_kernels(seed):
    """FKD, SP and CC vanish where the kernels they compare are equal, and nowhere else."""
    s = features((5, 3), seed)
    same = s @ np.linalg.qr(features((6, 3), seed + 1))[0].T
    other = same + 1e-3 * features((5, 6), seed + 2)
    with jax.enable_x64(True):
        for f in COMPILED:
            assert abs(f(s, same)) < 1e-20
            assert f(s, other) > 1e-12


@given(seed=SEEDS, order=st.sampled_from([0, 1, 2, 3, 8, np.inf]))
def test_taylor_kernel_is_positive_semidefinite_and_converges(seed, order):
    d = 10 ** np.random.default_rng(seed).uniform(-3, 0, 6)
    d[0] = 1  # not all are zero
    R = grams.correlation(symmetric(np.where(d < 1e-2, 0, d), orthogonal(6, seed)))
    k = grams.taylor(R, 0.4, order)
    assert np.linalg.eigvalsh(k).min() > -ROUNDING
    exact = np.exp(0.8 * (R - 1))
    if order == np.inf:
        assert_close(k, exact, rtol=ROUNDING)
    elif order == 8:  # the next term, 0.8⁹/9!, bounds the rest by a factor of 1.1
        assert_close(k, exact, atol=1.1 * 0.8**9 / 362880)
    elif order <= 2:
        assert np.abs(k - exact).max() > 1e-3


def test_neighbours_in_the_batch_are_no_kernel():
    """Why the published code of CC is not offered.

    Order matters, and it is zero for a student that errs in every second sample.
    """

    def neighbours(s, t):
        gap = np.abs(s - t)
        return np.mean(np.sum(gap[:-1] * gap[1:], axis=1))

    s, t = features((6, 4)), features((6, 4), 1)
    order = [0, 2, 4, 1, 3, 5]
    assert abs(neighbours(s, t) - neighbours(s[order], t[order])) > 1e-3
    every_second = t + np.arange(6)[:, None] % 2
    assert neighbours(every_second, t) == 0.0
    assert objectives.cc(every_second, t) > 1e-4


def test_kd_keeps_the_size_of_its_gradient_as_temperature_grows():
    s, t = features((5, 4)), features((5, 4), 1)
    values = [float(objectives.kd(s, t, temperature=rho)) for rho in (10.0, 100.0)]
    assert 0.8 < values[1] / values[0] < 1.25
