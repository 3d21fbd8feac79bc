"""The secular equation, against 40 digits, SciPy, scikit-learn and its own mistakes."""

import functools

import mpmath
import numpy as np
import pytest
from problems import ROOT_ULPS, SOLVER, UNIT, assert_close, problem, spectrum
from scipy.optimize import brentq
from sklearn.kernel_ridge import KernelRidge

from hilbertsd import HilbertSDError, alpha_to_multiplier, multiplier_to_alpha
from hilbertsd.multiplier import MAX_ITERATIONS, Residual, solve


def residual_of(d, z):
    """r(u) and its decay, written for this file alone."""

    def residual(u):
        parts = z / (1 + u * d)
        square = float(np.dot(parts, parts))
        return Residual(np.sqrt(square), float(np.dot(parts**2, d / (1 + u * d))) / square)

    return residual


def exact_log_multiplier(d, z, target, digits=40):
    """log c and its condition number κ_c, by bisection of the residual in log c at 40 digits."""
    with mpmath.workdps(digits):
        d, z, target = [mpmath.mpf(v) for v in d], [mpmath.mpf(v) for v in z], mpmath.mpf(target)

        def parts(log_c):
            c = mpmath.exp(log_c)
            return [(c / (c + a), (b * c / (c + a)) ** 2) for a, b in zip(d, z, strict=True)]

        # (24) with the smallest and largest eigenvalue, opened by one on both sides
        norm = mpmath.sqrt(mpmath.fsum(b**2 for b in z))
        low = mpmath.log(min(d) * target / (norm - target)) - 1
        high = mpmath.log(max(d) * target / (norm - target)) + 1
        for _ in range(110):
            middle = (low + high) / 2
            if mpmath.fsum(square for _, square in parts(middle)) < target**2:
                low = middle
            else:
                high = middle
        kept = mpmath.fsum((1 - share) * square for share, square in parts(low))
        return low, float(target**2 / kept)


def relative_error(u, log_c):
    with mpmath.workdps(40):
        return float(abs(mpmath.expm1(-mpmath.log(mpmath.mpf(float(u))) - log_c)))


@functools.cache
def adversarial():
    """Spectra over up to 18 decades, labels that see all or few of them, any share left."""
    cases = []
    for seed in range(150):
        rng = np.random.default_rng([seed, 4])
        size = int(rng.integers(1, 13))
        d = spectrum(seed, size, rng.uniform(0, 18), repeated=seed % 3, clustered=seed % 2)
        z = rng.standard_normal(size) * 10 ** rng.uniform(-4, 0, size)
        z *= rng.permutation([1] * max(1, size // 2) + [1e-6] * (size - max(1, size // 2)))
        share = [rng.uniform(0.01, 0.99), 10 ** rng.uniform(-12, -1), 1 - 10 ** rng.uniform(-8, -1)]
        target = float(np.linalg.norm(z)) * share[seed % 3]
        cases.append((d, z, target, *exact_log_multiplier(d, z, target)))
    return cases


def test_root_on_adversarial_spectra_against_40_digits():
    iterations, reach = [], []
    for d, z, target, log_c, condition in adversarial():
        root = solve(residual_of(d, z), target)
        # r and δ agree to an ulp or so; r − δ cancels against δ: hence κ_c, which is 1/(r_0 − 1)
        # near collapse.
        assert relative_error(root.u, log_c) <= ROOT_ULPS * UNIT * condition
        iterations.append(root.iterations)
        reach.append(float(log_c) / np.log(10))
    assert max(iterations) <= 30
    assert np.median(iterations) <= 8
    assert max(reach) - min(reach) > 18, "the spectra no longer span what they are meant to"


def test_root_against_brentq_in_log_c():
    for d, z, target, _, condition in adversarial():
        low = np.log(d.min() * target / (np.linalg.norm(z) - target)) - 1
        high = np.log(d.max() * target / (np.linalg.norm(z) - target)) + 1

        def gap(log_c, d=d, z=z, target=target):
            return np.log(np.linalg.norm(z / (1 + d * np.exp(-log_c))) / target)

        # brentq's own xtol is absolute; in log c that is a relative 2e-12
        log_c = brentq(gap, low, high, xtol=2e-12, rtol=8.9e-16)
        u = solve(residual_of(d, z), target).u
        assert_close(np.log(u) + log_c, 0.0, atol=1e-11 + ROOT_ULPS * UNIT * condition)


def test_the_iteration_climbs_from_the_left():
    for d, z, target, _, condition in adversarial():
        seen, inner = [], residual_of(d, z)

        def residual(u, seen=seen, inner=inner):
            seen.append(u)
            return inner(u)

        root = solve(residual, target)
        visited = np.array(seen)
        assert visited[0] == 0
        assert (np.diff(visited) > 0)[:-1].all(), "a step back before the last one"
        assert (visited <= root.u * (1 + ROOT_ULPS * UNIT * condition)).all(), "overshot"


def test_next_to_the_residual_floor():
    # δ² = K(ε − floor) with ε = floor (1 + 1e-14) and a floor like ‖y‖²/K: 1e-14 of the labels.
    counts = []
    for seed in range(60):
        p = problem(seed, size=12, decades=12)
        target = float(np.linalg.norm(p.coordinates)) * 1e-7
        root = solve(residual_of(p.eigenvalues, p.coordinates), target)
        log_c, condition = exact_log_multiplier(p.eigenvalues, p.coordinates, target)
        assert relative_error(root.u, log_c) <= ROOT_ULPS * UNIT * condition
        counts.append(root.iterations)
    assert max(counts) <= 60 < MAX_ITERATIONS


FACTORS = [0.0, 1e-30, 1e-3, 0.5, 1 - 1e-12, 1.0, 1 + 1e-12, 2.0, 1e3]
ABSURD = [1e9, 1e15, 1e16, 1e17, 1e18, 1e20, 1e30, 1e60]


@pytest.mark.parametrize("factor", FACTORS + ABSURD)
def test_a_warm_start_anywhere_gives_the_same_root(factor):
    for seed in range(100):
        p = problem(seed, size=1 + seed % 9, decades=9, share=0.01 + 0.0098 * seed)
        residual = residual_of(p.eigenvalues, p.coordinates)
        target = float(np.sqrt(p.size * p.eps))
        cold = solve(residual, target)
        warm = solve(residual, target, warm_start=cold.u * factor)
        decay = residual(cold.u).decay
        assert_close(warm.u, cold.u, rtol=2 * ROOT_ULPS * UNIT / (cold.u * decay))
        assert warm.iterations <= MAX_ITERATIONS


def unguarded(residual, target, u, steps=100, stop_on_any_step_back=False):
    """The mistakes that the guards are there for: no lower bound, or a hasty stop."""
    start = residual(0.0)
    lower = (start.norm - target) / (target * start.decay)
    for iteration in range(1, steps + 1):
        norm, decay = residual(u)
        new = u + (norm - target) / (target * decay)
        if stop_on_any_step_back:
            new = max(new, lower)
            if iteration > 1 and new < u:
                return new
        if abs(new - u) <= 4 * UNIT * abs(new):
            return new
        u = new
    return u


def test_power_an_unguarded_warm_start_leaves_the_domain():
    """Started from the root of the round before, c_t, some first steps land at u <= 0."""
    outside = 0
    for seed in range(200):
        p = problem(seed, size=8, decades=6, share=0.05)
        z, target, u = p.coordinates, float(np.sqrt(p.size * p.eps)), 0.0
        while np.linalg.norm(z) > target * (1 + 1e-6):
            residual = residual_of(p.eigenvalues, z)
            if u > 0:
                norm, decay = residual(u)
                outside += u + (norm - target) / (target * decay) <= 0
            u = solve(residual, target, warm_start=u).u
            assert u > 0
            z = z * p.eigenvalues / (1 / u + p.eigenvalues)
    assert outside >= 20


def test_power_a_hasty_stop_misses_the_root():
    """From 1e18 times the root a step cancels; to take the next step back for rounding is wrong."""
    wrong = 0
    for seed in range(100):
        p = problem(seed, size=1 + seed % 9, decades=9, share=0.01 + 0.0098 * seed)
        residual = residual_of(p.eigenvalues, p.coordinates)
        target = float(np.sqrt(p.size * p.eps))
        root = solve(residual, target).u
        hasty = unguarded(residual, target, root * 1e18, stop_on_any_step_back=True)
        wrong += abs(hasty / root - 1) > 1e-3
    assert wrong >= 10


def test_power_the_comparison_sees_one_part_in_a_million():
    d, z, target, log_c, condition = adversarial()[3]
    wrong = solve(residual_of(d, z), target).u * (1 + 1e-6)
    assert relative_error(wrong, log_c) > ROOT_ULPS * UNIT * condition


def test_a_target_within_rounding_of_the_labels_gives_a_positive_multiplier():
    residual = residual_of(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    for target in (5.0, 5.0 * (1 + UNIT), 5.0 * (1 + 8 * UNIT)):
        root = solve(residual, target)
        assert 0 < root.u < 1e-14


@pytest.mark.parametrize("target", [5.1, 50.0, np.nan])
def test_a_target_above_the_labels_is_refused(target):
    with pytest.raises(HilbertSDError, match=r"below that of the zero function, 5; choose"):
        solve(residual_of(np.array([1.0, 2.0]), np.array([3.0, 4.0])), target)


def test_an_iteration_that_does_not_settle_says_so():
    with pytest.raises(HilbertSDError, match=r"did not settle in 100 Newton steps .* too near"):
        solve(lambda u: Residual(2.0, 1e-3), 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_conversion_to_kernel_ridge(seed):
    """KernelRidge takes the un-normalised kernel matrix K G and alpha = K c."""
    p = problem(seed, size=9, decades=4, zeros=2)
    c = 10.0 ** -(seed % 4)
    alpha = multiplier_to_alpha(c, p.size)
    model = KernelRidge(alpha=alpha, kernel="precomputed").fit(p.size * p.gram, p.y)
    ours = p.gram @ np.linalg.solve(c * np.eye(p.size) + p.gram, p.y)
    assert_close(model.predict(p.size * p.gram), ours, atol=SOLVER * float(np.abs(p.y).max()))
    assert_close(alpha_to_multiplier(alpha, p.size), c, rtol=2 * UNIT)
    forgotten = KernelRidge(alpha=c, kernel="precomputed").fit(p.size * p.gram, p.y)
    gap = np.abs(forgotten.predict(p.size * p.gram) - ours).max()
    assert gap > 1e3 * SOLVER * np.abs(p.y).max(), "power: alpha = c must not pass"
