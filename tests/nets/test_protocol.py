"""Networks of one's own in training and at the doors that look at their activations."""

import numpy as np
import pytest

jax = pytest.importorskip("jax")
eqx = pytest.importorskip("equinox")
pytest.importorskip("optax")
jnp = jax.numpy

from hilbertsd import datasets, nets  # noqa: E402
from hilbertsd.errors import HilbertSDError  # noqa: E402
from hilbertsd.nets.protocol import activation_shapes, made, output_count  # noqa: E402

DATA = datasets.digit_images(40, test=40)
TRAINING = nets.Training(loss="cross-entropy", steps=3, check_every=3)
SINGLE = 1e-6
"""Sums of 64 products in float32, of two programs."""


class Plain(eqx.Module):
    """As Equinox has it: one example, no state."""

    layer: eqx.nn.Linear

    def __call__(self, x):
        return self.layer(x)


class Own(eqx.Module):
    """With the two methods; what ``activations`` returns may be spoiled."""

    layer: eqx.nn.Linear
    spoil: str = eqx.field(static=True, default="")

    def activations(self, x, state):
        h = jnp.tanh(self.layer(x))
        found = nets.Activations((h,), h[None] if self.spoil == "features" else h, h)
        if self.spoil == "state":
            return found
        return (tuple(found) if self.spoil == "tuple" else found), state

    def __call__(self, x, state):
        h = jnp.tanh(self.layer(x))
        return h if self.spoil == "state" else (h, state)


def own(key, spoil="", inputs=64):
    return Own(eqx.nn.Linear(inputs, 10, key=key), spoil), None


def plain(key):
    return Plain(eqx.nn.Linear(64, 10, key=key)), None


def test_a_network_of_ones_own_is_trained_and_its_features_are_seen():
    chain = nets.train_chain(own, DATA, nets.ChainSettings(TRAINING), rounds=1, seeds=[0, 1])
    model, state = chain.network
    assert state is None
    W, b = (np.asarray(a, float)[1] for a in (model.layer.weight, model.layer.bias))
    expected = np.tanh(DATA.x_train.astype(float) @ W.T + b)
    found = nets.network_features(model, state, DATA.x_train)[1]
    np.testing.assert_allclose(found, expected, atol=10 * SINGLE)
    np.testing.assert_allclose(chain.outputs[-1, 1], expected, atol=10 * SINGLE)


def test_shapes_are_those_of_one_network_at_one_point():
    model, state = made(own, nets.keys([0, 1, 2]))
    seen = activation_shapes(model, state, DATA.x_train)
    assert (seen.maps[0].shape, seen.features.shape, seen.outputs.shape) == ((10,), (10,), (10,))
    assert output_count(model, state, DATA.x_train) == 10


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (plain, r"Plain has no method activations\(x, state\)"),
        (lambda key: own(key, "state"), r"activations of Own must return \(Activations"),
        (lambda key: own(key, "tuple"), r"activations of Own must return \(Activations"),
        (lambda key: own(key, "features"), r"features of Own must be a vector .* \(1, 10\)"),
        (lambda key: own(key, inputs=63), r"Own fails at one point of shape \(64,\)"),
        (lambda key: own(key)[0], r"must return \(model, state\), got Own"),
        (lambda key: None, r"must return \(model, state\), got NoneType"),
        (own(jax.random.key(0)), "make must be a function of a key, .* got tuple"),
    ],
)
def test_what_a_network_lacks_is_said(make, said):
    with pytest.raises(HilbertSDError, match=said):
        nets.network_features(*made(make, nets.keys([0])), DATA.x_train)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (plain, r"Plain fails at one point .* takes \(x, state\)"),
        (lambda key: own(key, "state"), r"Own must return \(outputs, state\)"),
        (lambda key: own(key)[0], r"must return \(model, state\), got Own"),
        (lambda key: own(key, inputs=63), r"Own fails at one point of shape \(64,\)"),
    ],
)
def test_training_says_it_too(make, said):
    with pytest.raises(HilbertSDError, match=said):
        nets.train_chain(make, DATA, nets.ChainSettings(TRAINING), rounds=0, seeds=[0])


def test_a_result_is_no_network():
    trained = nets.fit(own, DATA.x_train, np.eye(10)[DATA.given], TRAINING, nets.keys([0]))
    with pytest.raises(
        HilbertSDError, match=r"Trained is no network; pass its \.model and \.state"
    ):
        nets.network_features(trained, None, DATA.x_train)
