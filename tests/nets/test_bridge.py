"""The bridge: linearised networks are the theory's filters, and wide networks nearly so."""

import contextlib
import math

import numpy as np
import pytest
from problems import assert_close, assert_norm_close

from hilbertsd import filters, self_distill
from hilbertsd.errors import HilbertSDError, PrecisionWarning
from hilbertsd.kernels import gaussian, ntk

jax = pytest.importorskip("jax")
pytest.importorskip("equinox")
pytest.importorskip("optax")

from hilbertsd.nets import bridge, finite_width, fitting, log_slope  # noqa: E402

MINIMISER = 1e-8
"""Of L-BFGS with rtol = 1e-10 from the minimiser, relative: observed below 1e-10."""
INTEGRATOR = 1e-6
"""Of the flow in steps of h d_max = 0.1 from its filter, relative: observed below 1e-7."""
WRONG = 1e-2
"""The least that a planted mistake changes, relative."""
K, FEATURES = 12, 3


@pytest.fixture(scope="module")
def problem():
    """A narrow relu network, points, labels, and its Jacobians by reverse mode."""
    f, start = finite_width(
        ntk(2, bias_variance=0.1), FEATURES, 8, jax.random.key(3), dtype="float64"
    )
    rng = np.random.default_rng(5)
    x, points = rng.normal(size=(K, FEATURES)), rng.normal(size=(7, FEATURES))
    y = np.sign(x[:, 0]) + 0.3 * rng.normal(size=K)
    with jax.enable_x64(True):
        flat, restore = jax.flatten_util.ravel_pytree(start)
        at = jax.jit(lambda theta, x: f(restore(theta), x).ravel())
        J, cross = (np.asarray(jax.jacrev(at)(flat, jax.numpy.asarray(p))) for p in (x, points))
        origin = np.asarray(at(flat, jax.numpy.asarray(x)))
    return f, start, x, points, y, J, cross, origin


def by_normal_equations(J, cross, y, c):
    """Minimise (1/K) ‖Jδ − y‖² + c ‖δ‖² over all parameters."""
    return cross @ np.linalg.solve(J.T @ J / K + c * np.eye(J.shape[1]), J.T @ y / K)


def test_the_linearised_network_is_proposition_1(problem):
    f, start, x, points, y, J, cross, origin = problem
    c = 0.05
    fit = fitting.penalized(f, start, x, y, c, linear=True, rtol=1e-10)
    found = fitting.predictions(f, start, fit.move, points, linear=True)
    assert_norm_close(found, by_normal_equations(J, cross, y, c), rtol=MINIMISER)
    G = J @ J.T / K
    assert_norm_close(
        found, cross @ J.T @ np.linalg.solve(G + c * np.eye(K), y) / K, rtol=MINIMISER
    )
    # Mistakes of the kind that such a formula invites are seen.
    for multiplier in (2 * c, c / 2, K * c, c / K):
        off = found - by_normal_equations(J, cross, y, multiplier)
        assert np.linalg.norm(off) > WRONG * np.linalg.norm(found)
    for labels in (y - origin, y + origin):  # not centred, or centred with the wrong sign
        off = found - by_normal_equations(J, cross, labels, c)
        assert np.linalg.norm(off) > WRONG * np.linalg.norm(found)


def test_the_bound_holds_and_is_no_formality(problem):
    f, start, x, _, y, J, _, _ = problem
    c = 0.05
    fit = fitting.penalized(f, start, x, y, c, linear=True, rtol=1e-2)
    exact = by_normal_equations(J, J, y, c)
    off = np.sqrt(np.mean((fitting.predictions(f, start, fit.move, x, linear=True) - exact) ** 2))
    relative = off / np.sqrt(np.mean(y**2))
    assert 0 < relative <= fit.error_bound <= 1e-2
    assert fit.error_bound < 1e3 * relative
    assert fit.halfway is None


def test_the_linearised_network_with_the_multiplier_of_the_chain_leaves_eps(problem):
    f, start, x, _, y, J, _, _ = problem
    eps = 0.1
    chain = self_distill(J @ J.T / K, y, eps, rounds=1)
    labels = y
    for t, c in enumerate(chain.multipliers):
        fit = fitting.penalized(f, start, x, labels, c, linear=True, rtol=1e-10)
        assert_close(fit.residual, eps, rtol=MINIMISER)
        labels = fitting.predictions(f, start, fit.move, x, linear=True)
        assert_norm_close(labels, chain.labels[t + 1], rtol=MINIMISER)


def test_descent_and_flow_are_their_filters(problem):
    f, start, x, points, y, J, cross, _ = problem
    eps = 0.2
    d, Q = np.linalg.eigh(J @ J.T / K)
    eta = 1 / d[-1]
    z = Q.T @ y
    inverse = cross @ J.T @ Q / K  # applied to h(d)/d · z

    steps = 0
    while np.mean((z * (1 - eta * d) ** steps) ** 2) > eps:
        steps += 1
    fit = fitting.descent(f, start, x, y, eps, eta, linear=True)
    assert fit.stop == fit.steps == steps > 3
    response = filters.gradient_descent(d, eta, steps)
    found = fitting.predictions(f, start, fit.move, points, linear=True)
    assert_norm_close(found, inverse @ (response / d * z), rtol=MINIMISER)

    fit = fitting.flow(f, start, x, y, eps, 0.1 * eta, linear=True)
    assert_close(np.mean((z * np.exp(-d * fit.stop)) ** 2), eps, rtol=INTEGRATOR)
    assert_close(fit.residual, eps, rtol=1e-12)
    response = filters.gradient_flow(d, fit.stop)
    found = fitting.predictions(f, start, fit.move, points, linear=True)
    assert_norm_close(found, inverse @ (response / d * z), rtol=INTEGRATOR)


@pytest.mark.parametrize("method", ["ridge", "gradient_descent", "gradient_flow"])
def test_without_hidden_layers_every_width_is_infinite(method):
    # One linear layer: the tangent kernel is ⟨x, s⟩/p whatever θ_0 is, and the network is linear.
    rng = np.random.default_rng(1)
    x, x_test = rng.normal(size=(8, 20)), rng.normal(size=(5, 20))
    y = 2 * np.sign(x[:, 0])
    # All that is left is the error of the minimisation, and is warned of as such.
    expected = pytest.warns(PrecisionWarning, match="of the distance measured")
    with expected if method == "ridge" else contextlib.nullcontext():
        found = bridge(ntk(0, weight_variance=1.0), x, y, x_test, 0.5, widths=(1,), seeds=(0,),
                       rounds=9, method=method, rtol=1e-9, dtype="float64")  # fmt: skip
    tolerance = INTEGRATOR if method == "gradient_flow" else 1e-7
    fits = found.collapse_round
    assert 1 < fits < 9
    assert found.network_collapse_round.tolist() == [[fits]]
    for points in (found.train, found.test):
        assert_close(points.network[0, 0, :fits], np.zeros(fits), atol=tolerance)
        assert_close(points.kernel[0, 0, :fits], np.zeros(fits), atol=tolerance)
        assert np.isnan(points.network[0, 0, fits:]).all()
    assert_close(found.network_label_ratios[0, 0], found.label_ratios, atol=10 * tolerance)
    assert_close(found.network_stops[0, 0, :fits], found.stops[:fits], rtol=10 * tolerance)
    r = found.label_ratios[0]
    assert r - 1 <= fits <= math.ceil(r**2 - 1)
    if method == "ridge":
        chain = self_distill(x @ x.T / 20 / 8, y, 0.5, rounds=9)
        assert_close(found.stops[:fits], chain.multipliers[:fits], rtol=1e-10)
        assert chain.collapse_round == fits


@pytest.fixture(scope="module")
def measured():
    """Smooth networks of two widths against the theory."""
    rng = np.random.default_rng(2)
    x, x_test = rng.normal(size=(10, FEATURES)), rng.normal(size=(20, FEATURES))
    y = np.sign(x[:, 0])
    kernel = ntk(1, "erf", weight_variance=4.0, bias_variance=1.0)
    return bridge(kernel, x, y, x_test, 0.05, widths=(16, 1024), seeds=(0, 1, 2), rounds=1,
                  rtol=1e-4, dtype="float64")  # fmt: skip


def test_networks_tend_to_the_theory_with_the_width(measured):
    for points in (measured.train, measured.test):
        mean = points.network.mean(axis=1)
        assert np.isfinite(mean).all()
        # width^(−1/2) is a factor of 8 here
        assert (mean[1] < mean[0] / 3).all()
        assert (points.nonlinearity.mean(axis=1)[1] < points.nonlinearity.mean(axis=1)[0] / 3).all()
        parts = points.kernel + points.nonlinearity
        assert (points.network <= parts * (1 + 1e-9)).all()
        assert (points.remaining < 0.1 * points.network).all()
    assert (measured.error_bound <= 1e-4).all()  # smooth: the gradient vanishes
    assert (np.abs(measured.residuals[1] / measured.eps - 1) < 0.2).all()
    shown = repr(measured)  # without its arrays
    assert shown.startswith("<Bridge: ridge, widths (16, 1024), 3 seeds, 2 fits, ")
    assert shown.endswith(f"{measured.test.network[1, :, 0].mean():.3g}>")
    assert len(shown) < 150


def test_chains_of_stopped_networks_collapse_within_the_bounds(problem):
    x, points, y = problem[2], problem[3], problem[4]
    found = bridge(ntk(2, bias_variance=0.1), x, y, points, 0.2, widths=(8,), seeds=(0, 1),
                   rounds=12, method="gradient_descent", step_size=0.1,
                   dtype="float64")  # fmt: skip
    r = found.network_label_ratios[0]
    rounds = found.network_collapse_round[0]
    assert (rounds > 0).all()
    assert (rounds >= r[:, 0] - 1).all()
    assert (rounds <= np.ceil(r[:, 0] ** 2 - 1)).all()
    for ratios, collapse in zip(r, rounds, strict=True):
        assert (ratios[:collapse] > 1).all()
        assert ratios[collapse] <= 1
        assert (ratios[collapse + 1 :] == 0).all()
        # What is left of the labels is at most √(Kε) whatever the network is.
        assert (ratios[1 : collapse + 1] >= ratios[:collapse] - 1 - 1e-9).all()


def test_the_same_network_in_every_round_and_multipliers_of_the_labels(problem):
    x, points, y = problem[2], problem[3], problem[4]
    asked = {"widths": (8,), "seeds": (0,), "rounds": 4, "dtype": "float64", "rtol": 1e-3}
    kernel = ntk(2, bias_variance=0.1)
    by_theory = bridge(kernel, x, y, points, 0.3, **asked)
    by_labels = bridge(kernel, x, y, points, 0.3, multipliers="labels", fresh=False, **asked)
    # Round 0 has the same labels, network and multiplier in both.
    assert by_theory.test.network[0, 0, 0] == by_labels.test.network[0, 0, 0]
    assert by_theory.test.kernel[0, 0, 0] == by_labels.test.kernel[0, 0, 0]
    assert by_theory.network_stops[0, 0, 1] == by_theory.stops[1]
    assert by_labels.network_stops[0, 0, 1] != by_labels.stops[1]
    assert by_labels.network_collapse_round[0, 0] > 0


def test_slopes():
    widths = np.array([64, 128, 512])
    assert_close(log_slope(widths, 3 * widths**-0.7), -0.7, rtol=1e-12)


def test_refusals(problem):
    x, points, y = problem[2], problem[3], problem[4]
    kernel = ntk(1)
    for call, message in (
        (lambda: bridge(kernel, x, y, points, 0.1, method="adam"), "'ridge', 'gradient_flow'"),
        (lambda: bridge(kernel, x, y, points, 0.1, multipliers="own"), "'theory', 'labels'"),
        (lambda: bridge(kernel, x, y[:, None], points, 0.1), "one output"),
        (lambda: bridge(kernel, x, y, points, 9.0), "every fit is zero"),
        (
            lambda: bridge(kernel, x, y, points, 0.1, widths=(0,)),
            r"widths\[0\] must be",
        ),
        (lambda: bridge(kernel, x, y, points, 0.1, seeds=()), "seeds must be different and at"),
        (lambda: bridge(kernel, x, y, points, 0.1, seeds=(1, 1)), "seeds must be different"),
        (lambda: bridge(kernel, x, y, points, 0.1, step_size=1e9), "below 2/d_max"),
        (lambda: bridge(kernel, x, y, points, 0.1, step_size="1"), "step_size must be a number"),
        (lambda: bridge(kernel, x, y, points, 0.1, widths=8), "widths must be several"),
        (lambda: bridge(gaussian(1.0), x, y, points, 0.1), "fully connected network"),
        (lambda: finite_width(kernel, 3, 4, jax.random.key(0), dtype="half"), "'float32'"),
    ):
        with pytest.raises(HilbertSDError, match=message):
            call()
    f, start = problem[:2]
    with pytest.raises(HilbertSDError, match=r"loss of .* after 3 steps, above eps"):
        fitting.descent(f, start, x, y, 1e-3, 1e-3, iterations=3)
    with pytest.raises(HilbertSDError, match=r"loss of .* after 3 steps, above eps"):
        fitting.flow(f, start, x, y, 1e-3, 1e-3, iterations=3)
