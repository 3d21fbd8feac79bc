"""The bounded remainder of a Gauss rule: valid at any step, tight, and not what a rule alone gives.

``HILBERTSD_ACCURACY_PROBLEMS=5000 pytest tests/routes/test_quadrature.py`` draws more problems.
"""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import UNIT, assert_close, spectrum

from hilbertsd.routes import quadrature
from hilbertsd.routes.lanczos import Lanczos, extend, products
from hilbertsd.routes.quadrature import damped, gauss_rule, norm

PROBLEMS = int(os.environ.get("HILBERTSD_ACCURACY_PROBLEMS", "150"))
SLACK = 1e4 * UNIT
"""Rounding of the rule and of the reference, relative to ‖y‖²; c stays above 1e-4 of ‖G‖ here."""
MOST_ROUNDS = 12


def drawn(seed, outputs=1):
    """A spectrum in [1e-6, 1], labels of each output, multipliers c_0 .. c_t, and few steps."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(6, 60))
    d = spectrum(seed, size, rng.uniform(1, 6), repeated=size // 6)
    y = rng.standard_normal((outputs, size)) * 10 ** rng.uniform(-1, 0, size)
    c = 10 ** np.sort(rng.uniform(-4, 0.5, rng.integers(1, MOST_ROUNDS + 1)))
    if rng.random() < 0.3:
        rng.shuffle(c)
    if rng.random() < 0.3:
        c[-1] = math.inf
    return d, y, c, int(rng.integers(1, 12))


def lanczos(d, y, steps):
    multiply, to_basis = products(np.diag(d))
    process = Lanczos(y, to_basis)
    extend(multiply, [process], steps)
    return process


def rule_of(d, y, steps):
    process = lanczos(d, y, steps)
    return gauss_rule(np.array(process.diagonal), np.array(process.off_diagonal), process.norm)


def integrand(d, c):
    """f_t = x_t² Π_{s<t} (1 − x_s)² at d."""
    last = 1 / (1 + d / c[-1])
    return last**2 * np.prod([(d / (s + d)) ** 2 for s in c[:-1]], axis=0)


def exact(d, y, c):
    return float(np.sum(y**2 * integrand(d, c)))


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_bounds_hold_at_any_number_of_steps(outputs):
    width = []
    for seed in range(PROBLEMS):
        d, y, c, steps = drawn(seed, outputs)
        found = norm([rule_of(d, column, steps) for column in y], c)
        truth, slack = sum(exact(d, column, c) for column in y), SLACK * float(np.sum(y**2))
        assert found.lower - slack <= truth <= found.upper + slack, (seed, steps, c)
        width.append((found.upper - found.lower) / truth)
    assert np.quantile(width, 0.1) < 1e-2, "no problem is near convergence"
    assert np.quantile(width, 0.9) > 1e-2, "no problem is far from convergence"


def gauss_and_radau(d, y, c, steps):
    """The plain rules on f_t: m steps, and with one more node at 0 (Golub 1973)."""
    process = lanczos(d, y, steps)
    rule = gauss_rule(np.array(process.diagonal), np.array(process.off_diagonal), process.norm)
    beta = process.off_diagonal[-1]
    last = beta**2 * float(np.sum(rule.vectors[-1] ** 2 / rule.nodes))
    radau = gauss_rule(
        np.array([*process.diagonal, last]), np.array([*process.off_diagonal, 0.0]), process.norm
    )
    return tuple(float(r.first**2 @ integrand(np.maximum(r.nodes, 0), c)) for r in (rule, radau))


def plain_rules_missed(t, tries):
    missed = 0
    for seed in range(tries):
        d, y, c, steps = drawn(seed)
        c = np.resize(c[np.isfinite(c)], t + 1) if np.isfinite(c).any() else np.ones(t + 1)
        process = lanczos(d, y[0], steps)
        if process.exhausted:
            continue
        lower, upper = gauss_and_radau(d, y[0], c, steps)
        slack = SLACK * float(np.sum(y**2))
        missed += not lower - slack <= exact(d, y[0], c) <= upper + slack
    return missed


def test_plain_gauss_and_radau_are_no_bounds_after_round_0():
    """Negative control: f_0 is completely monotone and bracketed by the two rules, f_t is not."""
    assert plain_rules_missed(0, PROBLEMS) == 0
    for t in (1, 2, 5):
        assert plain_rules_missed(t, 150) >= 10, t


@pytest.mark.parametrize("seed", range(8))
def test_round_0_is_the_rule_of_radau_within_a_little(seed):
    """Lower: Gauss to the bit. Upper: not below Radau, and not twice as far from Gauss."""
    d, y, c, _ = drawn(seed)
    c = np.array([0.1])
    for steps in (2, 4, 6):
        found = norm([rule_of(d, y[0], steps)], c)
        gauss, radau = gauss_and_radau(d, y[0], c, steps)
        slack = SLACK * float(np.sum(y**2))
        assert found.lower == found.gauss
        assert_close(found.gauss, gauss, rtol=1e-12)
        assert radau - slack <= found.upper <= gauss + 2 * (radau - gauss) + slack


def widths(d, y, c, counts):
    bounds = [norm([rule_of(d, y, steps)], c) for steps in counts]
    return np.array([b.upper - b.lower for b in bounds]), bounds


def test_the_width_shrinks_as_the_error_of_the_rule_does():
    """Both fall by the same rate with the steps, and the error comes near the bound."""
    d = np.linspace(0.01, 1, 400)
    y = np.random.default_rng(0).standard_normal(400)
    c = np.array([0.02, 0.04, 0.08])
    counts = [6, 10, 14, 18, 22]
    width, bounds = widths(d, y, c, counts)
    # conjugate gradients on [0.02 + 0.01, 0.02 + 1]: √κ = 5.8, twice the rate for norms
    root = math.sqrt(1.02 / 0.03)
    rate = ((root - 1) / (root + 1)) ** 8
    assert (width[1:] <= 4 * rate * width[:-1]).all(), width
    assert (width[1:] >= 0.05 * rate * width[:-1]).all(), width
    truth = exact(d, y, c)
    error = np.array([abs(b.gauss - truth) for b in bounds])
    # the errors of a rule after round 0 change their sign with the steps, so some are small
    assert np.min(width / error) <= 10, width / error


@pytest.mark.parametrize("rounds", [2, 6, 12])
def test_the_width_does_not_grow_with_the_round(rounds):
    """A difference of completely monotone functions would: by 4 a round."""
    d = 10 ** np.linspace(-4, 0, 300)
    y = np.random.default_rng(1).standard_normal(300)
    first = widths(d, y, np.array([0.01]), [20])[0][0]
    later = widths(d, y, np.full(rounds, 0.01), [20])[0][0]
    assert later <= 6 * first


@given(st.lists(st.floats(1e-6, 1e3), min_size=2, max_size=7))
def test_damping_bounds_the_supremum(c):
    c = np.array(c)
    found = damped(c)
    at = np.logspace(-9, 6, 400)[:, None]
    for s in range(len(c)):
        for k in range(s + 1, len(c)):
            between = np.prod(at / (c[s + 1 : k] + at), axis=1)
            supremum = np.max(c[s] / (c[s] + at[:, 0]) * between)
            assert supremum <= found[s, k] * (1 + 8 * UNIT)
            if k == s + 2:
                assert supremum >= 0.98 * found[s, k]  # attained between two points of the grid


def test_ends_of_the_scale():
    """c_s = 0 leaves the labels, an earlier inf makes them zero, a last inf asks for their norm."""
    d, y, _, _ = drawn(3)
    rule = rule_of(d, y[0], 4)
    plain = norm([rule], np.array([0.1]))
    kept = norm([rule], np.array([0.0, 0.1]))
    assert_close([kept.lower, kept.upper], [plain.lower, plain.upper], rtol=1e-12)
    gone = norm([rule], np.array([math.inf, 0.1]))
    assert (gone.gauss, gone.lower, gone.upper) == (0, 0, 0)
    start = norm([rule], np.array([math.inf]))
    assert_close([start.lower, start.upper], [float(y[0] @ y[0])] * 2, rtol=1e-12)


@pytest.mark.parametrize(
    "mistake",
    [
        lambda found: found._replace(lower=found.upper, upper=found.lower),
        lambda found: found._replace(upper=found.gauss),  # Gauss from above
        lambda found: found._replace(lower=found.gauss),  # Gauss from below, also after round 0
        lambda found: found._replace(
            lower=found.gauss - (found.gauss - found.lower) / 8,
            upper=found.gauss + (found.upper - found.gauss) / 8,
        ),
    ],
)
def test_a_narrower_bound_is_caught(mistake):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "norm", lambda rules, c: mistake(norm_of(rules, c)))
        with pytest.raises(AssertionError):
            test_the_bounds_hold_at_any_number_of_steps(1)


norm_of = norm


def test_a_damping_too_strong_is_caught(monkeypatch):
    monkeypatch.setattr(quadrature, "damped", lambda c: damped(c) / 4)
    with pytest.raises(AssertionError):
        test_the_bounds_hold_at_any_number_of_steps(1)
