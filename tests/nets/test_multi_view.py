"""The network of the multi-view theory against finite differences and planted features."""

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("equinox")
jnp = jax.numpy

from hilbertsd.errors import HilbertSDError  # noqa: E402
from hilbertsd.nets.multi_view import (  # noqa: E402
    PatchNetwork,
    feature_scores,
    patch_network,
    smoothed_relu,
)

DIFFERENCES = 1e-8
"""Central differences of step 1e-5 in float64, relative to the largest entry."""
JUMP = 1e-6
"""What a jump over an interval of 2e-9 may be: slopes are at most 1, curvatures at most q/ϱ."""


def slope(z, q, threshold):
    return jax.grad(lambda z: smoothed_relu(z, q, threshold))(z)


@pytest.mark.parametrize(("q", "threshold"), [(2, 1.0), (3, 0.5), (4, 1.0), (4, 0.2)])
def test_value_and_slope_are_continuous(q, threshold):
    with jax.enable_x64(True):
        for joint in (0.0, threshold):
            left, right = joint - 1e-9, joint + 1e-9
            for f in (smoothed_relu, slope):
                jump = float(f(jnp.asarray(right), q, threshold)) - float(
                    f(jnp.asarray(left), q, threshold)
                )
                assert abs(jump) < JUMP * q / threshold
            ends = [float(slope(jnp.asarray(z), q, threshold)) for z in (left, joint, right)]
            assert ends == pytest.approx([float(joint > 0)] * 3, abs=JUMP)  # 0 at 0, 1 at ϱ


def test_the_three_pieces():
    q, threshold = 3, 0.5
    z = np.array([-2.0, -0.1, 0.1, 0.4, 0.7, 5.0])
    expected = [0, 0, 0.1**3 / (3 * 0.25), 0.4**3 / (3 * 0.25), 0.7 - 1 / 3, 5 - 1 / 3]
    with jax.enable_x64(True):
        np.testing.assert_allclose(smoothed_relu(z, q, threshold), expected, rtol=1e-14)


def test_gradient_against_differences():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        weights = jnp.asarray(rng.normal(size=(3, 2, 5)))
        x, c = rng.normal(size=(4, 5)), rng.normal(size=3)

        @jax.jit
        def loss(weights):
            return jnp.dot(c, PatchNetwork(weights, 4, 1.0)(x, None)[0])

        gradient = np.asarray(jax.grad(loss)(weights))
        differences = np.zeros_like(gradient)
        for index in np.ndindex(gradient.shape):
            step = np.zeros_like(gradient)
            step[index] = 1e-5
            differences[index] = (loss(weights + step) - loss(weights - step)) / 2e-5
    assert np.isfinite(gradient).all()
    assert np.abs(gradient - differences).max() < DIFFERENCES * np.abs(gradient).max()


def test_the_sums_of_the_definition():
    rng = np.random.default_rng(1)
    network, state = patch_network(6, 3, 2, scale=1.0, key=jax.random.key(0))
    x = rng.normal(size=(4, 6)).astype(np.float32)
    w = np.asarray(network.weights)
    for i in range(3):
        total = sum(float(smoothed_relu(w[i, r] @ x[p])) for r in range(2) for p in range(4))
        assert float(network(x, state)[0][i]) == pytest.approx(total, rel=1e-5)
    found, _ = network.activations(x, state)
    np.testing.assert_allclose(found.maps[0].sum(1), found.features, rtol=1e-5)
    np.testing.assert_allclose(found.features.reshape(3, 2).sum(1), found.outputs, rtol=1e-5)


def test_scores_of_planted_units():
    rng = np.random.default_rng(2)
    directions = np.linalg.qr(rng.normal(size=(12, 12)))[0][:8].reshape(4, 2, 12)
    planted = rng.uniform(0.5, 2, size=(4, 2))
    weights = planted[:, :, None] * directions  # one unit a feature
    np.testing.assert_allclose(feature_scores(weights, directions), planted, rtol=1e-5)
    away = -weights
    np.testing.assert_allclose(feature_scores(away, directions), 0, atol=1e-6)
    batch = np.stack([weights, away])
    assert feature_scores(batch, directions).shape == (2, 4, 2)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"width": 0}, "width must be a whole number, 1 or more, got 0"),
        ({"q": 1}, "q must be a whole number, 2 or more, got 1"),
        ({"threshold": 0.0}, "threshold must be a number above 0, got 0.0"),
        ({"scale": float("nan")}, "scale must be a number above 0, got nan"),
    ],
)
def test_bad_settings_are_named(changed, named):
    settings = {"dimension": 4, "classes": 2, "width": 3} | changed
    with pytest.raises(HilbertSDError, match=named):
        patch_network(**settings, key=jax.random.key(0))
