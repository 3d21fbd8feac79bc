"""Scales and shifts that an objective does not see cost it no digits, in float32."""

from __future__ import annotations

from functools import partial

import definitions
import jax
import numpy as np
import pytest
from cases import features
from evaluation import APART, HUGE, QUICK, TINY, evaluated
from problems import assert_close
from test_objective_gradients import DISTINCT
from test_objective_laws import OVERALL, PER_SAMPLE

from hilbertsd import objectives
from hilbertsd.objectives import dependence, grams

EXACT = 1e-6
"""float32: powers of two change nothing but the order of sums."""
ROUNDED = 3e-3
"""Features of size 1 beside a shift of 1000 have lost all but four digits."""

COMPILED = {"rkd_angle", *DISTINCT}
"""Cases that other tests compile in float32 too, and one that ignores scales where RKD does not."""
CLAMPED = ["rkd", "rkd_distance"]
"""Distances are at least 1e-6."""
SHIFTED = [name for name in sorted(COMPILED) if name.startswith(("rkd", "cka", "hsic"))]


@pytest.mark.parametrize("name", sorted(COMPILED & {*OVERALL, "pkt"}))
def test_scales_of_float32(name):
    outcomes = evaluated(name, "float32")
    value, gradient, _ = outcomes["second"]
    factors = {"huge": HUGE} if name in (*CLAMPED, "pkt") else {"huge": HUGE, "tiny": TINY}
    for label, factor in factors.items():
        found = outcomes[label]
        assert_close(found.value, value, rtol=EXACT, atol=EXACT)
        size = np.abs(gradient).max()
        assert_close(found.gradient * np.float32(factor), gradient, atol=100 * EXACT * size)


@pytest.mark.parametrize("name", sorted(COMPILED & {*PER_SAMPLE}))
def test_samples_of_far_scales(name):
    outcomes = evaluated(name, "float32")
    value, gradient, _ = outcomes["second"]
    assert_close(outcomes["apart"].value, value, rtol=EXACT, atol=EXACT)
    factors = np.float32(APART ** (-1.0) ** np.arange(len(gradient)))[:, None]
    assert_close(outcomes["apart"].gradient * factors, gradient, atol=100 * EXACT)


@pytest.mark.parametrize("name", SHIFTED)
def test_shifts_of_float32(name):
    outcomes, exact = evaluated(name, "float32"), evaluated(name, "float64")["second"]
    value, gradient, _ = outcomes["shifted"]
    assert_close(value, exact.value, rtol=ROUNDED, atol=ROUNDED)
    size = np.abs(exact.gradient).max()
    assert_close(gradient, exact.gradient, atol=5 * ROUNDED * size)


@pytest.mark.parametrize("name", SHIFTED)
def test_one_far_sample_costs_the_others_no_digits(name):
    single, double = (evaluated(name, dtype)["one far"] for dtype in ("float32", "float64"))
    assert_close(single.value, double.value, rtol=1e-4, atol=1e-4)


def test_a_regulariser_of_norms_keeps_their_scale():
    s, t = features((6, 4)), features((6, 5))
    lengths = np.linalg.norm(s, axis=1)
    plain = definitions.fkd(s, t)
    for power in (1, 2):
        fkd = partial(objectives.fkd, norm_weight=0.5, power=power)
        with jax.enable_x64(True):
            found = jax.jit(fkd, compiler_options=QUICK)(1e3 * s, t)
        assert_close(found, plain + 0.5 * np.mean((1e3 * lengths) ** power), rtol=1e-12)


def test_gram_forms_that_ignore_the_scale():
    """The largest entry is just above what counts as zero, 1e-19; most are below."""
    small = np.array([[0.01], [1], [1], [1], [1], [1]])
    K, L = (x @ x.T for x in (small * features((6, 4)), features((6, 5))))
    tiny = np.float32(3e-19 / K.max() * K)
    forms = (grams.sp, grams.cc, grams.rkd_angle, dependence.cka, dependence.alignment)

    def every(K, L):
        return [*(f(K, L) for f in forms), *grams.gaussian(K).ravel()]

    values = jax.jit(every, compiler_options=QUICK)(tiny, np.float32(L))
    with jax.enable_x64(True):
        exact = jax.jit(every, compiler_options=QUICK)(K, L)
    assert_close(np.array(values), np.array(exact), rtol=1e-4)


def test_a_gram_matrix_has_lost_what_features_keep():
    """Why the page asks for centred features there."""
    s, t = np.float32(features((6, 4)) + 1000), np.float32(features((6, 5)))
    kept = objectives.cka(s, t)
    assert abs(dependence.cka(grams.linear(s), grams.linear(t)) - kept) > 0.1
    assert_close(dependence.cka(grams.linear(s - s.mean(axis=0)), grams.linear(t)), kept, rtol=1e-3)


def test_equal_samples_stay_equal():
    """Centring leaves no rounding to be scaled up."""
    equal, t = np.float32(np.tile(features((1, 4)) * 1e3, (6, 1))), np.float32(features((6, 5)))
    both = jax.jit(
        lambda s, t: (objectives.cka(s, t), objectives.rkd_angle(s, s)), compiler_options=QUICK
    )
    assert both(equal, t) == (0, 0)


def test_second_derivatives_see_no_shift():
    """A shift held constant leaves second derivatives as they are."""
    s, t = features((5, 2)), features((5, 3))
    with jax.enable_x64(True):
        slope = jax.jit(jax.grad(objectives.cka), compiler_options=QUICK)
        away = features(s.shape, 3)
        curved = jax.jit(
            lambda s, away: jax.jvp(lambda x: jax.grad(objectives.cka)(x, t), (s,), (away,))[1],
            compiler_options=QUICK,
        )(s, away)
        step = 1e-5 * away
        difference = (slope(s + step, t) - slope(s - step, t)) / 2e-5
    assert_close(curved, difference, atol=1e-8)


def test_a_gaussian_kernel_has_no_scale():
    s, t = np.float32(features((6, 4))), np.float32(features((6, 5)))
    hsic = jax.jit(partial(objectives.hsic, kernel="gaussian"), compiler_options=QUICK)
    for factor in (TINY, HUGE):
        assert_close(hsic(np.float32(factor) * s, t), hsic(s, t), rtol=1e-5)


def test_a_far_row_costs_pkt_nothing():
    """Each row has a norm of its own."""
    s, t = features((6, 4)), features((6, 5))
    s[0] *= 1e10
    assert_close(objectives.pkt(np.float32(s), np.float32(t)), objectives.pkt(s, t), rtol=1e-4)


def test_a_kernel_beside_a_large_mean_is_still_symmetric():
    X = np.float32(np.random.default_rng(0).standard_normal((256, 512)) + 10)
    K = grams.centred(grams.linear(X))
    assert_close(K, np.asarray(K).T)
    assert np.isfinite(grams.correlation(K)).all()
