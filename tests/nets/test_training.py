"""Training by an independent hand: Adam in NumPy, differences, counts, and laws of many seeds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from problems import assert_close, assert_identical

from hilbertsd import nets
from hilbertsd.errors import HilbertSDError

jax = pytest.importorskip("jax")
eqx = pytest.importorskip("equinox")
optax = pytest.importorskip("optax")
jnp = jax.numpy

from hilbertsd.nets.losses import LOSSES, batched, fitting_loss, squared_norm  # noqa: E402

SINGLE = 2e-6
"""A few steps in float32, relative to the largest entry: observed below 3e-7."""
ORDER = 1e-3
"""Fifty steps in float32 that sum in another order, relative: observed below 3e-5."""
DIFFERENCES = 1e-7
"""Central differences of step 1e-5 in float64, relative: observed below 1e-9."""

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 3)).astype(np.float32)
TARGETS = np.eye(2, dtype=np.float32)[(X[:, 0] * X[:, 1] > 0).astype(int)]
DATA = {"x": X, "targets": TARGETS}


def small(key):
    return nets.mlp(3, 2, (8,), key=key)


def line(key):
    """A linear network: its gradient is known."""
    return nets.mlp(3, 2, (), bias_variance=1.0, key=key)


def trained(make=small, seeds=(0, 1), steps=50, loss="softmax-squared", data=DATA, **how):
    keys = nets.keys(seeds)
    objective = fitting_loss(loss, how.pop("weight_decay", 0.0), how.pop("decayed", "all"))
    how.setdefault("optimizer", ADAM)
    how.setdefault("batch", 16)
    return nets.train(objective, *nets.initialise(make, keys), data, keys, steps=steps, **how)


ADAM = optax.adam(0.01)


def weights(done):
    return np.concatenate([
        np.asarray(a).reshape(len(done.steps), -1)
        for a in jax.tree.leaves(eqx.filter(done.model, eqx.is_inexact_array))
    ], axis=1)  # fmt: skip


def close(actual, expected, tolerance):
    assert_close(actual, expected, atol=tolerance * np.abs(np.asarray(expected)).max())


# --- losses


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


BY_HAND = {
    "squared": lambda z, t: ((z - t) ** 2).sum(-1),
    "softmax-squared": lambda z, t: ((softmax(z) - t) ** 2).sum(-1),
    "cross-entropy": lambda z, t: -(t * np.log(softmax(z))).sum(-1),
}


@pytest.mark.parametrize("loss", BY_HAND)
def test_losses_are_those_of_numpy_for_soft_targets_and_far_logits(loss):
    rng = np.random.default_rng(1)
    z, t = rng.normal(size=(2, 5, 4)), softmax(rng.normal(size=(2, 5, 4)))
    z[0, 0] = [30.0, -30.0, 0.0, 3.0]
    with jax.enable_x64(True):
        found = LOSSES[loss].error(jnp.asarray(z), jnp.asarray(t))
        predicted = LOSSES[loss].predictions(jnp.asarray(z))
    assert_close(found, BY_HAND[loss](z, t), rtol=1e-12)
    assert_close(predicted, z if loss == "squared" else softmax(z), rtol=1e-12)


@pytest.mark.parametrize("loss", BY_HAND)
@pytest.mark.parametrize("decayed", ["all", "weights"])
def test_gradients_of_the_fitting_loss_are_differences(loss, decayed):
    objective = fitting_loss(loss, 0.03, decayed)
    with jax.enable_x64(True):
        model, state = nets.mlp(3, 2, (4,), activation="tanh", bias_variance=1.0,
                                key=jax.random.key(0))  # fmt: skip
        model = jax.tree.map(lambda a: a.astype(float) if eqx.is_inexact_array(a) else a, model)
        batch = {"x": jnp.asarray(X[:7], float), "targets": jnp.asarray(TARGETS[:7], float)}
        params, static = eqx.partition(model, eqx.is_inexact_array)
        flat, unravel = jax.flatten_util.ravel_pytree(params)

        @jax.jit
        def value(v):
            return objective(eqx.combine(unravel(v), static), state, batch, None)[0]

        rng = np.random.default_rng(2)
        steps = 1e-5 * rng.normal(size=(6, len(flat)))
        ups, downs = (jax.vmap(value)(flat + sign * steps) for sign in (1, -1))
        gradient, here = np.asarray(jax.grad(value)(flat)), float(value(flat))
        outputs = np.asarray(batched(model, state, batch["x"])[0])
        arrays = [np.asarray(a) for a in jax.tree.leaves(params)]
    close(steps @ gradient, (np.asarray(ups) - np.asarray(downs)) / 2, DIFFERENCES)
    kept = [a for a in arrays if decayed == "all" or a.ndim > 1]
    by_hand = BY_HAND[loss](outputs, TARGETS[:7]).mean() + 0.03 * sum((a**2).sum() for a in kept)
    assert_close(here, by_hand, rtol=1e-12)


# --- steps


def adam_by_hand(weight, bias, decay, rate, steps, decoupled=False):
    """Full-batch Adam (Kingma & Ba 2015) on mean Σ_q (z − t)² + decay (‖W‖² + ‖b‖²)."""
    moments = [[np.zeros_like(p), np.zeros_like(p)] for p in (weight, bias)]
    for t in range(1, steps + 1):
        residual = X @ weight.T + bias - TARGETS
        gradients = [2 * residual.T @ X / len(X), 2 * residual.mean(0)]
        updated = []
        for p, g, m in zip((weight, bias), gradients, moments, strict=True):
            g = g + (0 if decoupled else 2 * decay * p)
            m[0] = 0.9 * m[0] + 0.1 * g
            m[1] = 0.999 * m[1] + 0.001 * g**2
            moved = (m[0] / (1 - 0.9**t)) / (np.sqrt(m[1] / (1 - 0.999**t)) + 1e-8)
            updated.append(p - rate * (moved + (2 * decay * p if decoupled else 0)))
        weight, bias = updated
    return weight, bias


@pytest.mark.parametrize("steps", [1, 3])
def test_adam_steps_with_decay_in_the_loss_are_those_by_hand(steps):
    keys = nets.keys([5])
    start, _ = nets.initialise(line, keys)
    first = [np.asarray(a[0], float) for a in (start.dense.weight, start.dense.bias)]
    done = trained(line, [5], steps, "squared", weight_decay=0.5, batch=None)
    expected = adam_by_hand(*first, 0.5, 0.01, steps)
    other = adam_by_hand(*first, 0.5, 0.01, steps, decoupled=True)
    found = (done.model.dense.weight[0], done.model.dense.bias[0])
    for one, by_hand, wrong in zip(found, expected, other, strict=True):
        close(one, by_hand, SINGLE)
        with pytest.raises(AssertionError):  # AdamW is something else
            close(one, wrong, SINGLE)


def counting(model, state, batch, key):
    """A loss whose state counts how often each example was drawn."""
    return jnp.sum(model**2), state.at[batch].add(1)


def test_an_epoch_draws_every_example_at_most_once_and_each_network_in_its_own_order():
    keys, size = nets.keys([0, 1]), 10
    state = jnp.zeros((2, size), jnp.int32)

    def after(steps):
        return np.asarray(
            nets.train(counting, jnp.ones((2, 1)), state, np.arange(size), keys, steps=steps,
                       batch=3, optimizer=optax.sgd(0.1), every=4).state
        )  # fmt: skip

    one, two = after(3), after(6)
    assert (one.sum(1) == 9).all()
    assert (one.max(1) == 1).all()
    assert (two.max(1) <= 2).all()
    assert (two - one).max() == 1
    assert (after(2)[0] != after(2)[1]).any()
    assert (after(300).min(1) > 60).all()


@pytest.mark.parametrize("every", [1, 7, 50])
def test_the_result_does_not_depend_on_the_steps_a_call_takes(every):
    whole, parts = trained(every=1000), trained(every=every)
    assert_identical(weights(parts), weights(whole))
    assert_identical(parts.losses, whole.losses)


def test_noise_in_the_loss_has_a_key_of_its_own_every_step():
    seen = []

    def noisy(model, state, batch, key):
        return jnp.sum(model) + jax.random.normal(key), state

    keys = nets.keys([0, 1])
    done = nets.train(noisy, jnp.zeros((2, 1)), None, X, keys, steps=20,
                      optimizer=optax.sgd(0.0), report=lambda *now: seen.append(now),
                      every=8)  # fmt: skip
    assert len(np.unique(done.losses)) == 40
    assert [step for step, _ in seen] == [8, 16, 20]
    assert_identical(np.asarray(seen[-1][1]), done.losses[:, -1])


def test_running_statistics_become_those_of_the_batch():
    images = np.random.default_rng(3).normal(2.0, 3.0, (12, 1, 4, 4)).astype(np.float32)

    def make(key):
        return nets.convnet((1, 4, 4), 2, (3,), normalization="batch", key=key)

    done = trained(make, [0], 150, data={"x": images, "targets": TARGETS[:12]}, batch=None,
                   optimizer=optax.sgd(0.0))  # fmt: skip
    model, state = (nets.member(tree, 0) for tree in (done.model, done.state))
    in_training, _ = eqx.filter_jit(batched)(model, state, images)
    close(nets.network_outputs(done.model, done.state, images)[0], in_training, 1e-5)


# --- many seeds


def test_side_by_side_in_turn_and_alone_are_the_same_networks():
    together, turn = trained(seeds=(4, 5, 6)), trained(seeds=(4, 5, 6), seeds_in="turn")
    close(weights(together), weights(turn), ORDER)
    for i, seed in enumerate((4, 5, 6)):
        assert_identical(weights(trained(seeds=[seed], seeds_in="turn"))[0], weights(turn)[i])
    assert np.abs(weights(turn)[0] - weights(turn)[1]).max() > 0.1


def test_networks_may_have_data_of_their_own():
    own = np.stack([TARGETS, TARGETS[:, ::-1]])
    done = trained(data={"x": X, "targets": own}, seed_axes={"x": None, "targets": 0},
                   seeds_in="turn")  # fmt: skip
    for i in (0, 1):
        alone = trained(data={"x": X, "targets": own[i]}, seeds_in="turn")
        assert_identical(weights(done)[i], weights(alone)[i])


def full_loss(model, state, data):
    outputs, _ = batched(model, state, data["x"])
    return jnp.mean(LOSSES["softmax-squared"].error(outputs, data["targets"]))


@pytest.mark.parametrize("seeds_in", ["parallel", "turn"])
def test_each_network_stops_where_its_own_loss_is_reached(seeds_in):
    seeds, limits = (0, 1, 2, 3), [0.45, 0.0, 0.3, 5.0]
    done = trained(seeds=seeds, steps=200, every=5, monitor=full_loss, threshold=limits,
                   seeds_in=seeds_in)  # fmt: skip
    assert done.stopped.tolist() == [True, False, True, True]
    assert (done.steps % 5 == 0).all()
    assert done.steps[1] == 200
    assert done.steps[3] == 0
    assert 0 < done.steps[0] < 200
    assert (np.isfinite(done.losses).sum(1) == done.steps).all()
    for i in (0, 2):
        for back, reached in ((0, True), (5, False)):
            then = trained(seeds=seeds, steps=done.steps[i] - back, every=5, seeds_in=seeds_in)
            model, state = nets.member(then.model, i), nets.member(then.state, i)
            assert (float(full_loss(model, state, DATA)) <= limits[i] + 1e-6) == reached
            if reached:
                close(weights(then)[i], weights(done)[i], SINGLE)
    untouched = trained(seeds=seeds, steps=200, every=5, seeds_in=seeds_in)
    close(weights(done)[1], weights(untouched)[1], ORDER)


SHARDED = """
import json
import jax, numpy as np
import test_training as t

done, outputs = t.eleven()
answers = {"devices": jax.device_count(), "steps": done.steps, "weights": t.weights(done),
           "outputs": outputs}
print(json.dumps(answers, default=lambda a: np.asarray(a).tolist()))
"""


def eleven():
    """Eleven networks, two a device on six of eight, with one to spare; some stop early."""
    settings = nets.Training(steps=30, batch=16, learning_rate=0.01, check_every=10, stop_at=0.45)
    done = nets.fit(small, X, TARGETS, settings, nets.keys(range(11)))
    return done, nets.network_outputs(done.model, done.state, X)


def test_seeds_dealt_out_to_eight_devices_are_those_of_one():
    path = [str(Path(__file__).parent), str(Path(__file__).parents[1]), *sys.path]
    finished = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{SHARDED}"],
        env=os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    many = json.loads(finished.stdout)
    done, outputs = eleven()
    assert (many["devices"], jax.device_count()) == (8, 1)
    assert many["steps"] == done.steps.tolist()
    assert len(set(many["steps"])) > 1, "all stop together: the test says little"
    close(many["weights"], weights(done), ORDER)
    close(many["outputs"], outputs, ORDER)


# --- refusals


def test_a_loss_that_is_not_finite_is_named():
    def poor(model, state, batch, key):
        return jnp.log(jnp.sum(model)), state

    keys = nets.keys([0, 1])
    with pytest.raises(HilbertSDError, match="network 1 is nan at step 0"):
        nets.train(poor, jnp.asarray([[1.0], [-1.0]]), None, X, keys, steps=3, optimizer=ADAM)


def test_refusals():
    for call, message in (
        (lambda: trained(data={}), "must hold arrays"),
        (lambda: trained(data={"x": X, "targets": TARGETS[:-1]}), "same number"),
        (lambda: trained(seed_axes={"x": 0, "targets": None}), "2 seeds as first axis"),
        (lambda: trained(seed_axes={"y": 0}), "no prefix"),
        (lambda: trained(batch=0), "batch must be a whole number, 1 or more"),
        (lambda: trained(every=0), "every must be a whole number, 1 or more"),
        (lambda: trained(steps=-1), "steps must be a whole number"),
        (lambda: trained(threshold=0.1), "go together"),
        (lambda: trained(devices=[]), "devices is empty"),
        (lambda: trained(seeds_in="series"), "seeds_in must be one of"),
        (lambda: trained(loss="hinge"), "loss must be one of"),
        (lambda: nets.Training(learning_rate=0.0), "learning_rate must be a number above 0"),
        (lambda: nets.Training(optimizer="lion"), "optimizer must be one of"),
        (lambda: nets.keys([-1]), r"seeds\[0\] must be a whole number"),
        (lambda: nets.keys([]), "seeds is empty"),
        (lambda: nets.keys(3), r"such as .* range\(10\), got 3"),
        (lambda: nets.Training(learning_rate="1e-3"), "a number above 0, got '1e-3'"),
        (lambda: nets.Training(weight_decay=None), "weight_decay must be a number, 0 or more"),
        (
            lambda: nets.Training(stop_at=float("nan")),
            "stop_at must be .* got nan",
        ),
        (lambda: nets.Training(stop_at=-1.0), "stop_at must be"),
        (lambda: nets.member(jnp.zeros((2, 3)), 2), "index must be at most 1"),
        # which broadcasts
        (lambda: trained(lambda key: nets.mlp(3, 1, (8,), key=key)), "as many outputs"),
    ):
        with pytest.raises(HilbertSDError, match=message):
            call()


def test_the_squared_norm_counts_what_is_named():
    model, _ = nets.mlp(3, 2, (4,), key=jax.random.key(0))
    model = jax.tree.map(lambda a: jnp.ones_like(a) if eqx.is_inexact_array(a) else a, model)
    assert float(squared_norm(model)) == 3 * 4 + 4 + 4 * 2 + 2
    assert float(squared_norm(model, "weights")) == 3 * 4 + 4 * 2
