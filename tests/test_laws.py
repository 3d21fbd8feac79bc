"""Laws that every chain obeys, each shown to catch a planted mistake.

A law is a function of ``distill``, anything with the arguments of ``self_distill``: the property
test hands it the library, the test of its power hands it a library with one mistake.
"""

import math
import warnings

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from problems import (
    GAP_OF_ESTIMATES,
    SEEDS,
    UNIT,
    Problem,
    assert_identical,
    orthogonal,
    problem,
    problems,
    symmetric,
)

import hilbertsd as hsd

ROUNDS = 6


def distill(gram, y, eps, rounds=ROUNDS):
    """The library, without its warnings: near collapse they are right, and not what is tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hsd.PrecisionWarning)
        warnings.simplefilter("ignore", hsd.CollapseWarning)
        return hsd.self_distill(gram, y, eps, rounds=rounds)


def assert_same(one, other, c_factor=1.0, y_factor=1.0, turn=lambda y: y):
    """``other`` is ``one`` with c times ``c_factor`` and labels turned and scaled.

    Allowed is the sum of both error estimates; from an undecided collapse on nothing is compared.
    """
    rounds = min(len(one.multipliers), len(other.multipliers))
    sure = np.minimum(_decided(one), _decided(other))
    for t in range(min(sure, rounds)):
        assert np.isfinite(one.multipliers[t]) == np.isfinite(other.multipliers[t]), t
        if np.isfinite(one.multipliers[t]):
            gap = abs(other.multipliers[t] / (c_factor * one.multipliers[t]) - 1)
            error = one.multiplier_error[t] + other.multiplier_error[t]
            assert gap <= GAP_OF_ESTIMATES * error + 8 * UNIT, f"c_{t} off by {gap}, est. {error}"
        expected = y_factor * turn(one.labels[t + 1])
        gap = np.linalg.norm(other.labels[t + 1] - expected)
        error = one.label_error[t + 1] + other.label_error[t + 1]
        allowed = (GAP_OF_ESTIMATES * error + 64 * UNIT) * np.linalg.norm(expected)
        assert gap <= allowed, f"y_{t + 1} off by {gap}, allowed {allowed}"
    return min(sure, rounds)


def _decided(result):
    """Number of first fits about whose triviality rounding leaves no doubt."""
    doubtful = np.abs(result.label_ratios - 1) <= 10 * result.label_ratio_error
    return int(np.argmax(doubtful)) if doubtful.any() else len(doubtful)


# Scaling


def law_labels_scale(distill, p: Problem, factor):
    """y → ay with ε → a²ε: the same multipliers, labels times a."""
    one = distill(p.gram, p.y, p.eps)
    return assert_same(one, distill(p.gram, factor * p.y, factor**2 * p.eps), y_factor=factor)


def law_gram_scales(distill, p: Problem, factor):
    """G → aG: multipliers times a, the same labels."""
    one = distill(p.gram, p.y, p.eps)
    return assert_same(one, distill(factor * p.gram, p.y, p.eps), c_factor=factor)


@given(problems(), st.floats(1e-6, 1e6) | st.floats(-1e6, -1e-6))
def test_scaling_the_labels(p, factor):
    law_labels_scale(distill, p, factor)


@given(problems(), st.floats(1e-6, 1e6))
def test_scaling_the_gram_matrix(p, factor):
    law_gram_scales(distill, p, factor)


@given(problems(), st.integers(-300, 300))
def test_scaling_the_labels_by_a_power_of_two_is_exact(p, power):
    factor = 2.0**power
    one, other = distill(p.gram, p.y, p.eps), distill(p.gram, factor * p.y, factor**2 * p.eps)
    assert_identical(other.multipliers, one.multipliers)
    assert_identical(other.label_ratios, one.label_ratios)
    assert_identical(other.multiplier_error, one.multiplier_error)
    assert_identical(other.labels, factor * one.labels)
    assert_identical(other.dual_coef, factor * one.dual_coef)
    assert other.collapse_round == one.collapse_round


@given(problems(), st.integers(-300, 300))
def test_scaling_the_spectrum_by_a_power_of_two_is_exact(p, power):
    factor = 2.0**power
    base = hsd.decompose(p.gram)
    scaled = hsd.Decomposition(
        base.eigenvalues * factor, base.eigenvectors, base.threshold * factor, base.unit
    )
    one, other = distill(base, p.y, p.eps), distill(scaled, p.y, p.eps)
    assert_identical(other.multipliers, factor * one.multipliers)
    assert_identical(other.labels, one.labels)
    assert_identical(other.dual_coef, one.dual_coef / factor)


# Points


def law_permutation(distill, p: Problem, seed):
    """The order of the points does not matter."""
    order = np.random.default_rng(seed).permutation(p.size)
    one = distill(p.gram, p.y, p.eps)
    return assert_same(
        one, distill(p.gram[np.ix_(order, order)], p.y[order], p.eps), turn=lambda y: y[order]
    )


def law_orthogonal(distill, p: Problem, seed):
    """Only the spectrum and the labels' coordinates matter: UGUᵀ and Uy give Uy_t."""
    turn = orthogonal(p.size, seed)
    turned = symmetric(p.eigenvalues, turn @ p.vectors)
    one = distill(p.gram, p.y, p.eps)
    return assert_same(one, distill(turned, turn @ p.y, p.eps), turn=lambda y: turn @ y)


def law_duplicates(distill, p: Problem, copies, spread=0.0):
    """Every point ``copies`` times is the same problem: 1/K in G and in the residual follow.

    Copies whose labels differ by a mean square of ``spread`` around the old one add it to the
    floor, and so to ε in round 0 only: from y_1 on the copies agree.
    """
    kernel = p.size * p.gram
    gram = np.kron(kernel, np.ones((copies, copies))) / (p.size * copies)
    offsets = np.linspace(-1, 1, copies) if copies > 1 else np.zeros(1)
    offsets *= math.sqrt(spread / max(float(np.mean(offsets**2)), 1e-300))
    y = (p.y[:, None] + offsets).ravel()
    eps = np.full((ROUNDS + 1, 1), p.eps)
    one = distill(p.gram, p.y, eps)
    eps[0] += float(np.mean(offsets**2))
    return assert_same(one, distill(gram, y, eps), turn=lambda y: np.repeat(y, copies))


@given(problems(), SEEDS)
def test_permutation_of_the_points(p, seed):
    law_permutation(distill, p, seed)


@given(problems(), SEEDS)
def test_orthogonal_invariance(p, seed):
    law_orthogonal(distill, p, seed)


@given(problems(max_size=5, decades=3.0), st.integers(1, 4))
def test_duplicate_points(p, copies):
    law_duplicates(distill, p, copies)


@given(problems(max_size=5, decades=3.0), st.integers(2, 4), st.floats(0.01, 1.0))
def test_duplicate_points_with_different_labels(p, copies, share):
    law_duplicates(distill, p, copies, spread=share * p.eps)


# Rounds


def law_semigroup(distill, p: Problem, first, more):
    """``first`` fits, and then ``more`` from the labels that they left, are all of them."""
    whole = distill(p.gram, p.y, p.eps, rounds=first + more - 1)
    if _decided(whole) <= first or (whole.collapse_round or first + more) <= first:
        return 0
    rest = distill(p.gram, whole.labels[first], p.eps, rounds=more - 1)
    sure = min(_decided(whole) - first, _decided(rest), more)
    # what rounding did before round ``first`` moves the rest as well: the whole chain's estimates
    for t in range(sure):
        c, again = whole.multipliers[first + t], rest.multipliers[t]
        assert np.isfinite(c) == np.isfinite(again)
        if np.isfinite(c):
            error = whole.multiplier_error[first + t] + rest.multiplier_error[t]
            assert abs(again / c - 1) <= GAP_OF_ESTIMATES * error + 8 * UNIT
    return sure


def law_collapse_is_dated(distill, p: Problem):
    """r_0 − 1 <= collapse_round <= ⌈r_0² − 1⌉, for any G."""
    ratio = p.label_ratio
    latest = math.ceil(ratio**2 - 1)
    result = distill(p.gram, p.y, p.eps, rounds=latest)
    if _decided(result) <= (result.collapse_round or 0):
        return 0
    assert result.collapse_round is not None, f"no collapse within {latest} rounds"
    assert ratio - 1 <= result.collapse_round * (1 + 8 * UNIT) + 8 * UNIT
    assert result.collapse_round <= latest
    return result.collapse_round


def law_constraint(distill, p: Problem):
    """‖y_t − y_{t+1}‖ = √(Kε) in every non-trivial round."""
    result = distill(p.gram, p.y, p.eps)
    count = int(np.isfinite(result.multipliers).sum())
    steps = np.linalg.norm(np.diff(result.labels, axis=0), axis=1)[:count]
    radius = math.sqrt(p.size * p.eps)
    # u = y_t − y_{t+1} is a difference: its error is that of the two labels
    norms = np.linalg.norm(result.labels, axis=1)
    noise = (result.label_error + 8 * UNIT) * norms
    assert np.isfinite(steps).all()
    assert (
        np.abs(steps - radius)
        <= GAP_OF_ESTIMATES * (noise[:count] + noise[1 : count + 1]) + 64 * UNIT * norms[0]
    ).all()
    return count


def law_shrinking(distill, p: Problem):
    """r_{t+1} lies in [r_t − 1, √(r_t² − 1)], and so ‖y_t‖ decreases."""
    result = distill(p.gram, p.y, p.eps)
    count = int(np.isfinite(result.multipliers).sum())
    r = np.linalg.norm(result.labels, axis=1) / math.sqrt(p.size * p.eps)
    slack = 1e-7 * r[0]  # the errors of labels stay below it on these spectra
    for t in range(count):
        assert r[t] - 1 - slack <= r[t + 1]
        assert r[t + 1] ** 2 <= r[t] ** 2 - 1 + slack * r[t]
    return count


@given(problems(), st.integers(1, 4), st.integers(1, 4))
def test_semigroup(p, first, more):
    law_semigroup(distill, p, first, more)


@given(problems(max_size=6))
def test_collapse_is_dated(p):
    law_collapse_is_dated(distill, p)


@given(problems())
def test_the_constraint_is_active(p):
    law_constraint(distill, p)


@given(problems())
def test_labels_shrink_as_dated(p):
    law_shrinking(distill, p)


# Tightness


@pytest.mark.parametrize("ratio", [1.5, 2.25, 6.5, 20.75])
def test_the_lower_date_is_attained_at_condition_one(ratio):
    y = np.array([2.0, 1.0])
    result = distill(0.3 * np.eye(2), y, float(y @ y) / 2 / ratio**2, rounds=30)
    assert result.collapse_round == math.ceil(ratio - 1)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_the_upper_date_is_nearly_attained_on_separated_scales(size):
    """Energies a little over Kε on scales far apart: every round but the last kills one."""
    d = 10.0 ** (-5.0 * np.arange(size)[::-1])
    z = np.full(size, 1.0)
    eps = 1 / size / 1.05
    result = distill(np.diag(d), z, eps, rounds=12)
    latest = math.ceil(size * 1.05 - 1)
    assert latest - 1 <= result.collapse_round <= latest


# Power: the same laws, handed a library with one mistake


def jittered(gram, y, eps, rounds=ROUNDS):
    """A jitter on the diagonal that does not scale with G."""
    return distill(gram + 1e-3 * np.eye(len(gram)), y, eps, rounds)


def padded(gram, y, eps, rounds=ROUNDS):
    """A tolerance with an absolute part."""
    return distill(gram, y, eps + 1e-3, rounds)


def favoured(gram, y, eps, rounds=ROUNDS):
    """The first point is not like the others."""
    return distill(gram, y * np.where(np.arange(len(y)) == 0, 1.01, 1.0), eps, rounds)


def diagonal(gram, y, eps, rounds=ROUNDS):
    """Only the diagonal of G is used."""
    return distill(np.diag(np.diag(gram)), y, eps, rounds)


def unnormalised(gram, y, eps, rounds=ROUNDS):
    """The 1/K of G is forgotten."""
    return distill(len(gram) * gram, y, eps, rounds)


def tightening(gram, y, eps, rounds=ROUNDS):
    """ε shrinks as the rounds go by."""
    schedule = np.broadcast_to(eps, (rounds + 1, 1)) * 0.9 ** np.arange(rounds + 1)[:, None]
    return distill(gram, y, schedule, rounds)


def forgetful(gram, y, eps, rounds=ROUNDS):
    """The tolerance of round 0 serves in all."""
    return distill(gram, y, float(np.ravel(eps)[0]), rounds)


def loose(gram, y, eps, rounds=ROUNDS):
    """‖residual‖² <= 9 K ε."""
    return distill(gram, y, 9 * np.asarray(eps), rounds)


def strict(gram, y, eps, rounds=ROUNDS):
    """‖residual‖² <= K ε / 9."""
    return distill(gram, y, np.asarray(eps) / 9, rounds)


PLAIN = problem(17, size=6, decades=2, share=0.01)
SHORT = problem(17, size=6, decades=2, share=0.15)


@pytest.mark.parametrize(
    ("law", "mistake", "p", "arguments"),
    [
        (law_labels_scale, padded, PLAIN, (0.01,)),
        (law_gram_scales, jittered, PLAIN, (0.01,)),
        (law_permutation, favoured, PLAIN, (1,)),
        (law_orthogonal, diagonal, PLAIN, (1,)),
        (law_duplicates, unnormalised, PLAIN, (3,)),
        (law_duplicates, forgetful, PLAIN, (3, PLAIN.eps)),
        (law_semigroup, tightening, PLAIN, (2, 2)),
        (law_collapse_is_dated, loose, PLAIN, ()),
        (law_collapse_is_dated, strict, SHORT, ()),
        (law_constraint, padded, PLAIN, ()),
        (law_constraint, strict, PLAIN, ()),
        (law_shrinking, loose, PLAIN, ()),
        (law_shrinking, strict, SHORT, ()),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_power(law, mistake, p, arguments):
    assert law(distill, p, *arguments) >= 2, "the law says nothing about this problem"
    with pytest.raises(AssertionError):
        law(mistake, p, *arguments)
