"""The projector against an ODE solver, augmented least squares and the kernel it regresses with."""

from functools import partial

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import ROUNDING, SOLVER, assert_close, assert_norm_close, orthogonal
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

import hilbertsd as hsd
from hilbertsd import filters
from hilbertsd.errors import HilbertSDError

jax = pytest.importorskip("jax")

from hilbertsd.objectives.projector import (  # noqa: E402
    fitted_projector,
    projector_loss,
    projector_minimum,
    projector_weights,
)

ODE = 1e-8
"""Against an ODE solver of relative tolerance 1e-11, in norm: observed below 1e-9."""
FILTERED = 1e-10
"""Features of condition 100 against their Gram matrix, of condition 10^4: observed below 1e-12."""
MULTIPLIER = 1e-8
"""The root of the tolerance by bisection on least squares fits, relative: observed below 1e-11."""
NOTHING = 1e-24
"""A least value of 0, from features of size 1."""


def pair(seed, samples=7, width=4, rank=None, teacher=3):
    """Features with singular values in [0.1, 10], some zero and two equal, and a teacher's."""
    rng = np.random.default_rng([seed, 6])
    full = min(samples, width)
    rank = full if rank is None else rank
    singular = 10 ** rng.uniform(-1, 1, rank)
    singular[: min(2, rank)] = singular[0]
    outer, inner = orthogonal(samples, seed)[:, :rank], orthogonal(width, seed + 1)[:rank]
    return (outer * singular) @ inner, rng.standard_normal((samples, teacher))


def ridge(student, teacher, weight_decay):
    """Ridge regression as plain least squares of the rows √η I, 0 added to the data."""
    width, outputs = student.shape[1], teacher.shape[1]
    rows = np.vstack([student, np.sqrt(weight_decay) * np.eye(width)])
    return np.linalg.lstsq(rows, np.vstack([teacher, np.zeros((width, outputs))]), rcond=None)[0]


SHAPES = [(7, 4, None), (7, 4, 2), (4, 7, None), (4, 7, 2), (5, 5, None)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("weight_decay", [0.0, 0.7])
def test_gradient_flow_is_the_differential_equation(shape, weight_decay):
    student, teacher = pair(1, *shape)
    start = np.random.default_rng(2).standard_normal((student.shape[1], teacher.shape[1]))

    def velocity(_, flat):  # C_st − C_s W − η W, from the correlations
        w = flat.reshape(start.shape)
        moved = student.T @ teacher - student.T @ student @ w - weight_decay * w
        return moved.ravel()

    solved = solve_ivp(velocity, (0, 0.3), start.ravel(), method="LSODA", rtol=1e-11, atol=1e-13)
    found = projector_weights(student, teacher, weight_decay, time=0.3, start=start)
    assert_norm_close(found, solved.y[:, -1].reshape(start.shape), rtol=ODE)


@given(st.integers(0, 10**6), st.sampled_from(SHAPES), st.sampled_from([0.0, 1e-9, 0.5, 1e9]))
def test_laws_of_the_flow(seed, shape, weight_decay):
    student, teacher = pair(seed, *shape)
    rng = np.random.default_rng([seed, 7])
    start = rng.standard_normal((student.shape[1], teacher.shape[1]))

    def flow(time, start):
        return projector_weights(student, teacher, weight_decay, time=time, start=start)

    assert_close(flow(0.0, start), start, atol=ROUNDING * np.abs(start).max())
    first, then = 10 ** rng.uniform(-3, 1, 2)
    scale = np.linalg.norm(start) + np.linalg.norm(flow(np.inf, start))
    assert_norm_close(
        flow(then, flow(first, start)), flow(first + then, start), rtol=1e-11, scale=scale
    )
    end = flow(np.inf, start)
    assert_norm_close(
        flow(1e12, start) if weight_decay != 1e-9 else end, end, rtol=1e-11, scale=scale
    )
    assert_norm_close(flow(3.0, end), end, rtol=1e-11, scale=scale)  # stationary


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("weight_decay", [0.0, 0.01, 3.0])
def test_it_ends_in_ridge_regression_and_its_least_value(shape, weight_decay):
    student, teacher = pair(3, *shape)
    weights = projector_weights(student, teacher, weight_decay)
    expected = ridge(student, teacher, weight_decay)
    assert_norm_close(weights, expected, rtol=SOLVER)
    gap, size = student @ expected - teacher, np.sum(expected**2)
    least = 0.5 * np.sum(gap**2) + 0.5 * weight_decay * size
    assert_close(
        projector_minimum(student, teacher, weight_decay), least, rtol=FILTERED, atol=NOTHING
    )
    with jax.enable_x64(True):
        loss = projector_loss(student, teacher, weights, weight_decay=weight_decay)
        assert_close(loss, least, rtol=FILTERED, atol=NOTHING)
        if weight_decay > 0:
            grams = student @ student.T, teacher @ teacher.T
            assert_close(fitted_projector(*grams, weight_decay=weight_decay), least, rtol=FILTERED)
            # a planted mistake: the 1/2 forgotten in one of the two terms
            assert (
                abs(float(fitted_projector(*grams, weight_decay=2 * weight_decay)) / least - 1)
                > 1e-3
            )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_no_weights_have_a_smaller_loss(shape):
    student, teacher = pair(4, *shape)
    weights, least = (
        projector_weights(student, teacher, 0.3),
        projector_minimum(student, teacher, 0.3),
    )
    rng = np.random.default_rng(5)
    with jax.enable_x64(True):
        for size in (1e-3, 1.0):
            away = weights + size * rng.standard_normal(weights.shape)
            assert float(projector_loss(student, teacher, away, weight_decay=0.3)) > least


def test_the_gradient_is_the_published_one():
    student, teacher = pair(6)
    weights = np.random.default_rng(6).standard_normal((4, 3))
    with jax.enable_x64(True):
        slopes = jax.grad(partial(projector_loss, weight_decay=0.4), argnums=(2, 1))(
            student, teacher, weights
        )
    expected = student.T @ teacher - student.T @ student @ weights - 0.4 * weights
    assert_norm_close(-np.asarray(slopes[0]), expected, rtol=ROUNDING)
    assert not np.asarray(slopes[1]).any()  # teachers are constants


@given(st.integers(0, 10**6), st.sampled_from(SHAPES), st.sampled_from([0.0, 1e-6, 0.5]))
def test_it_is_a_filter_on_the_students_kernel(seed, shape, weight_decay):
    student, teacher = pair(seed, *shape)
    size = len(student)
    kernel = hsd.decompose(hsd.gram(hsd.kernels.linear(), student))
    c = hsd.alpha_to_multiplier(weight_decay, size)
    d = kernel.eigenvalues
    scale = np.linalg.norm(teacher)
    for time in (1e-3, 0.1, 10.0):
        fitted = student @ projector_weights(student, teacher, weight_decay, time=time)
        response = filters.gradient_flow(d, size * time, c)
        assert_norm_close(fitted, kernel.apply(response, teacher), rtol=FILTERED, scale=scale)
        wrong = kernel.apply(filters.gradient_flow(d, time, c), teacher)  # the 1/K forgotten
        if time == 0.1:
            assert np.linalg.norm(fitted - wrong) > 1e-6 * scale
    if weight_decay > 0:
        fitted = student @ projector_weights(student, teacher, weight_decay)
        response = filters.ridge(d, c)
        assert_norm_close(fitted, kernel.apply(response, teacher), rtol=1e-8, scale=scale)


@pytest.mark.parametrize("shape", [(9, 5, None), (9, 5, 3), (5, 9, None)], ids=str)
def test_a_chain_of_projectors_is_self_distillation(shape):
    student, teacher = pair(8, *shape)
    teacher = student @ np.linalg.pinv(student) @ teacher + 0.05 * teacher  # mostly in the span
    size = len(student)
    floor = 2 * projector_minimum(student, teacher) / size
    eps = floor + 0.03 * (np.sum(teacher**2) / size - floor)
    chain = hsd.self_distill(student @ student.T / size, teacher, eps, rounds=3, joint=True)
    labels = teacher
    for t in range(4):

        def misfit(log_c, labels=labels):  # of the weights with penalty c, by least squares
            weights = ridge(student, labels, size * np.exp(log_c))
            return np.sum((student @ weights - labels) ** 2) / size - eps

        c = np.exp(brentq(misfit, -40, 10, xtol=1e-13, rtol=1e-14))
        weights = ridge(student, labels, size * c)
        assert_close(chain.multipliers[t], np.full(3, c), rtol=MULTIPLIER)
        found = hsd.primal_coef(student, chain.dual_coef[t])
        assert_norm_close(found, weights, rtol=MULTIPLIER)
        labels = student @ weights
        assert_norm_close(chain.labels[t + 1], labels, rtol=MULTIPLIER)


def test_short_times_keep_their_digits():
    singular, target, time = 1e-3, 2.0, 1e-7
    with mpmath.workdps(50):
        s = mpmath.mpf(singular)
        exact = float((1 - mpmath.exp(-(s**2) * mpmath.mpf(time))) / s * target)
    found = projector_weights([[singular]], [[target]], time=time)[0, 0]
    assert_close(found, exact, rtol=ROUNDING)  # 1 − exp alone has three digits here


def test_the_gradient_of_the_least_value():
    student, teacher = pair(9)
    decay, rng = 0.6, np.random.default_rng(9)
    grams = student @ student.T, teacher @ teacher.T
    with jax.enable_x64(True):
        slope = np.asarray(jax.grad(partial(fitted_projector, weight_decay=decay))(*grams))
        fixed = np.asarray(
            jax.grad(partial(projector_loss, weight_decay=decay))(
                student, teacher, projector_weights(student, teacher, decay)
            )
        )
    inverse = np.linalg.inv(grams[0] + decay * np.eye(7))
    assert_norm_close(
        (slope + slope.T) / 2, -0.5 * decay * inverse @ grams[1] @ inverse, rtol=SOLVER
    )
    assert np.linalg.eigvalsh(slope + slope.T)[-1] <= 1e-12 * np.abs(slope).max()
    # the fitted W does not move to first order (envelope theorem)
    assert_norm_close((slope + slope.T) @ student, fixed, rtol=SOLVER)
    step = 1e-6 * rng.standard_normal(student.shape)
    ahead, behind = (projector_minimum(student + sign * step, teacher, decay) for sign in (1, -1))
    assert_close(ahead - behind, 2 * np.sum(fixed * step), rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((np.ones(3), np.ones((3, 1))), {}, r"student has shape \(3,\)"),
        ((np.ones((3, 2)), np.ones((2, 1))), {}, "student has 3 samples and teacher 2"),
        ((np.ones((3, 2)), np.ones((3, 1)), -1.0), {}, "weight_decay must be a non-negative"),
        (
            (np.ones((3, 2)), np.ones((3, 1))),
            {"time": -1.0},
            r"time must be a number, 0 or more, got -1\.0",
        ),
        (
            (np.ones((3, 2)), np.ones((3, 1))),
            {"time": np.nan},
            "time must be a number, 0 or more, got nan",
        ),
        ((np.ones((3, 2)), np.ones((3, 1))), {"time": "x"}, "time must be a number"),
        ((np.ones((3, 2)), np.ones((3, 1))), {"time": None}, "time must be a number"),
        ((np.ones((3, 2)), np.full((3, 1), np.nan)), {}, r"teacher\[0, 0\] is nan"),
        ((np.ones((3, 2)), np.ones((3, 1))), {"start": np.ones((2, 2))}, r"start must have shape"),
    ],
)
def test_bad_input(arguments, options, message):
    with pytest.raises(HilbertSDError, match=message):
        projector_weights(*arguments, **options)
    if not options:
        with pytest.raises(HilbertSDError, match=message):
            projector_minimum(*arguments)


def test_a_gram_without_decay_is_refused():
    with pytest.raises(HilbertSDError, match="weight_decay must be a number above 0, got 0"):
        fitted_projector(np.eye(2), np.eye(2), weight_decay=0.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_small_decay_leads_to_none_where_features_lack_directions(dtype):
    student, teacher = pair(11, samples=32, width=3)
    least = projector_minimum(student, teacher)
    assert least > 1
    with jax.enable_x64(dtype == "float64"):
        grams = [np.asarray(x @ x.T, dtype) for x in (student, teacher)]
        for decay in (1e-9, 1e-20, 1e-37):
            assert_close(fitted_projector(*grams, weight_decay=decay), least, rtol=1e-4)
