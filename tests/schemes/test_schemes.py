"""Chains, cohorts, mean teachers, inheritance: each against a second route."""

import dataclasses

import numpy as np
import pytest

jax = pytest.importorskip("jax")
eqx = pytest.importorskip("equinox")
optax = pytest.importorskip("optax")
jnp = jax.numpy

from scipy.signal import correlate2d  # noqa: E402
from small import DATA, TRAINING, images, small  # noqa: E402
from test_distillation import arrays, assert_near, assert_same  # noqa: E402

from hilbertsd import nets, schemes  # noqa: E402
from hilbertsd.errors import HilbertSDError  # noqa: E402
from hilbertsd.schemes import Recipe, term  # noqa: E402
from hilbertsd.schemes.beside import beside  # noqa: E402
from hilbertsd.schemes.cohorts import Cohort  # noqa: E402
from hilbertsd.schemes.cohorts import _Loss as CohortLoss  # noqa: E402
from hilbertsd.schemes.distillation import BESIDE  # noqa: E402

FULL = dataclasses.replace(TRAINING, batch=None, steps=3, check_every=3)
DML = Recipe((term("kd", 1.0, temperature=1.0),), FULL)


def at(stacked, index=0):
    return nets.member(stacked, index)


def logits(model, x=DATA.x_train):
    x = jnp.asarray(x.reshape(len(x), -1))
    hidden = model.stages[0].layers[0].linear
    return jax.nn.relu(x @ hidden.weight.T + hidden.bias) @ model.dense.weight.T + model.dense.bias


# --- chains


def test_a_chain_on_predictions_is_the_chain_of_networks():
    """Born-again by KD at temperature 1 is training on mixed targets: two programs, one answer."""
    a = 0.25
    recipe = Recipe((term("kd", 1 - a, temperature=1.0),), TRAINING, own_weight=a)
    found = schemes.generations([small] * 3, DATA, recipe, seeds=[0, 1])
    settings = nets.ChainSettings(TRAINING, ground_truth_weight=a)
    chain = nets.train_chain(small, DATA, settings, rounds=2, seeds=[0, 1])
    assert_near(found[-1].model, chain.network[0], 2e-3)  # Adam divides small gradients
    outputs = nets.network_outputs(found[0].model, found[0].state, DATA.x_train)
    np.testing.assert_allclose(outputs, chain.outputs[0], rtol=1e-6, atol=1e-6)
    said = schemes.observe(found[1].model, found[1].state, DATA.x_train)
    again = schemes.distill(small, DATA, said, recipe, seeds=[0, 1], stream=2)
    assert_same(found[2].model, again.model)  # the last one's teacher is the one before


# --- mutual learning


def test_mutual_learning_is_symmetric():
    """Exchanged students are exchanged: the joint loss and its gradient know no order."""
    (one, s), (other, t) = (
        at(nets.initialise(make, nets.keys([i]))) for i, make in enumerate((small, small))
    )
    batch = {
        "x": jnp.asarray(DATA.x_train),
        "targets": jax.nn.one_hot(DATA.given, 10),
        "index": jnp.arange(40),
    }
    extra = ((schemes.Beside(),),)
    loss = CohortLoss(DML, 1.0)

    def value(models, states):
        cohort = Cohort(models, (extra, extra), ())
        past = (((None,),), ((None,),))
        return loss(cohort, (states, past), batch, jax.random.key(0))[0]

    grad = eqx.filter_jit(eqx.filter_value_and_grad(value))
    forth, g = grad((one, other), (s, t))
    back, h = grad((other, one), (t, s))
    assert float(forth) == pytest.approx(float(back), rel=1e-6)
    assert_near(g[0], h[1])
    assert_near(g[1], h[0])

    # and both are what is written down: cross-entropy and KL both ways, the peer a constant
    def written(models):
        logs = [jax.nn.log_softmax(logits(m)) for m in models]
        total = 0.0
        for mine, peer in (logs, logs[::-1]):
            peer = jax.lax.stop_gradient(peer)
            total += -jnp.mean(mine[jnp.arange(40), DATA.given])
            total += jnp.mean(jnp.sum(jnp.exp(peer) * (peer - mine), axis=1))
        decay = sum(jnp.sum(a**2) for a in arrays(models))
        return total + FULL.weight_decay * decay

    expected, k = eqx.filter_value_and_grad(written)((one, other))
    assert float(forth) == pytest.approx(float(expected), rel=1e-5)
    assert_near(g, k)


def test_a_cohort_of_three_takes_the_mean_over_its_peers():
    three = schemes.mutual([small] * 3, DATA, DML, seeds=[0])
    assert len(three) == 3
    models = [at(nets.initialise(small, nets.keys([0], 0, n))[0]) for n in range(3)]
    logs = [np.asarray(jax.nn.log_softmax(logits(m)), float) for m in models]
    expected = 0.0
    for n, mine in enumerate(logs):
        expected -= mine[np.arange(40), DATA.given].mean()
        for m, peer in enumerate(logs):
            if m != n:
                expected += 0.5 * (np.exp(peer) * (peer - mine)).sum(1).mean()
    expected += FULL.weight_decay * sum(float((a**2).sum()) for a in arrays(models))
    assert three[0].losses[0, 0] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(HilbertSDError, match="at least 2"):
        schemes.mutual([small], DATA, DML, seeds=[0])


# --- mean teacher


def test_the_mean_teacher_is_the_closed_form_of_its_average():
    """Weights after every number of steps, from runs of their own, put into the sum."""
    d, steps = 0.7, 3
    sgd = dataclasses.replace(FULL, optimizer="sgd", learning_rate=0.3)

    def run(count):
        training = dataclasses.replace(sgd, steps=count, check_every=1)  # one program for all
        recipe = Recipe((term("kd", 1.0, temperature=1.0),), training)
        return schemes.mean_teacher(small, DATA, recipe, decay=d, seeds=[0, 1])

    start = nets.initialise(small, jax.vmap(jax.random.split, out_axes=1)(nets.keys([0, 1], 0))[0])[
        0
    ]
    path = [start, *(run(t).student.model for t in range(1, steps))]
    last = run(steps)
    path.append(last.student.model)
    leaves = [[np.asarray(a, float) for a in arrays(model)] for model in path]
    expected = [d ** (steps + 1) * a for a in leaves[0]]
    for t, weights in enumerate(leaves):
        for e, w in zip(expected, weights, strict=True):
            e += (1 - d) * d ** (steps - t) * w
    assert_near(last.teacher.model, expected)
    assert np.abs(arrays(last.teacher.model)[0] - arrays(last.student.model)[0]).max() > 1e-3


def test_an_average_without_memory_teaches_nothing():
    """d = 0: the teacher is the student, KL and its gradient vanish."""
    recipe = Recipe((term("kd", 5.0, temperature=1.0),), FULL)
    found = schemes.mean_teacher(small, DATA, recipe, decay=0.0, seeds=[0])
    assert_same(found.teacher.model, found.student.model)
    start = jax.vmap(jax.random.split, out_axes=1)(nets.keys([0], 0))[0]
    model = at(nets.initialise(small, start)[0])
    own = -jax.nn.log_softmax(logits(model))[jnp.arange(40), DATA.given].mean()
    decay = FULL.weight_decay * sum(float((a**2).sum()) for a in arrays(model))
    assert found.student.losses[0, 0] == pytest.approx(float(own) + decay, rel=1e-5)
    with pytest.raises(HilbertSDError, match="decay"):
        schemes.mean_teacher(small, DATA, recipe, decay=1.0, seeds=[0])


# --- codes of a teacher's maps


@pytest.fixture(scope="module")
def taught():
    model, state = nets.initialise(images, nets.keys([7]))
    return schemes.observe(model, state, DATA.x_train)


@pytest.fixture(scope="module")
def coder(taught):
    return schemes.autoencoder(taught.maps[-1], code=3, seeds=[0, 1], steps=150, batch=None)


def test_the_auto_encoder_learns_to_give_back_what_it_saw(taught, coder):
    maps = np.asarray(taught.maps[-1][0])
    assert (coder.losses[:, -1] < 0.6 * np.abs(maps).mean()).all()  # better than x̂ = 0
    for s in range(2):
        one = at(coder.model, s)
        error = np.abs(np.asarray(one.decode(one.encode(jnp.asarray(maps)))) - maps).mean()
        assert error == pytest.approx(float(coder.losses[s, -1]), rel=0.1)


def test_codes_take_the_place_of_maps(taught, coder):
    found = schemes.coded(taught, coder.model)
    codes = found.maps[0]
    assert codes.shape == (2, 40, 3, 2, 2)
    assert found.outputs.shape == (2, 40, 10)
    expected = at(coder.model, 1).encode(jnp.asarray(taught.maps[-1][0]))
    np.testing.assert_allclose(codes[1], expected, rtol=1e-4, atol=1e-5)
    each = jax.tree.map(lambda a: jnp.concatenate([a, a]), taught)
    np.testing.assert_allclose(
        schemes.coded(each, coder.model).maps[0], codes, rtol=1e-4, atol=1e-5
    )


# --- factor transfer


def encoded(encoder, maps):
    """Two convolutions of 3 × 3 with zeros around, a leaky ReLU between, by SciPy."""
    for number, layer in enumerate((encoder.first, encoder.second)):
        W, b = np.asarray(layer.weight, float), np.asarray(layer.bias, float)
        if number:
            maps = np.where(maps > 0, maps, 0.1 * maps)
        maps = np.array(
            [
                [
                    b[q].item() + sum(correlate2d(a[p], W[q, p], "same") for p in range(len(a)))
                    for q in range(len(W))
                ]
                for a in maps
            ]
        )
    return maps


def test_factors_go_through_the_paraphraser_and_the_translator(taught, coder):
    """The first step's loss: cross-entropy, and the mean |f_s − f_t| of unit factors, in NumPy."""
    said = jax.tree.map(lambda a: a[1:], schemes.coded(taught, coder.model))
    recipe = Recipe((term("ft", 30.0),), FULL)
    student = schemes.distill(images, DATA, said, recipe, seeds=[5])
    start = jax.vmap(jax.random.split, out_axes=1)(nets.keys([5], 0))[0]
    model, state = nets.initialise(images, start)
    seen = schemes.observe(model, state, DATA.x_train)
    key = jax.random.fold_in(nets.keys([5], 0, BESIDE)[0], 0)
    translator = schemes.Encoder.start(6, 3, jax.random.split(key)[0])
    factors = (
        encoded(translator, np.asarray(seen.maps[-1][0], float)),
        encoded(at(coder.model, 1).encode, np.asarray(taught.maps[-1][0], float)),
    )
    logs = np.asarray(jax.nn.log_softmax(seen.outputs[0]), float)
    expected = -logs[np.arange(40), DATA.given].mean() + 30 * gap(*factors) / factors[0][0].size
    expected += FULL.weight_decay * sum(float((a**2).sum()) for a in arrays(model))
    assert student.losses[0, 0] == pytest.approx(expected, rel=1e-5)


def test_paraphrasers_by_squared_error(taught):
    """The loss at the start is the mean of (x − x̂)², in NumPy."""
    found = schemes.autoencoder(
        taught.maps[-1], code=3, seeds=[0, 1], steps=1, batch=None, error="squared"
    )
    start = schemes.Coder.start(6, 3, nets.keys([0, 1], 0)[1])
    maps = np.asarray(taught.maps[-1][0], float)
    gaps = encoded(start.decode, encoded(start.encode, maps)) - maps
    assert found.losses[1, 0] == pytest.approx((gaps**2).mean(), rel=1e-5)
    with pytest.raises(HilbertSDError, match="absolute"):
        schemes.autoencoder(taught.maps[-1], code=3, seeds=[0, 1], error="L2")


def test_what_is_no_coder_and_no_map_is_refused(taught, coder):
    with pytest.raises(HilbertSDError, match=r"pass autoencoder\(\.\.\.\)\.model"):
        schemes.coded(taught, coder)
    with pytest.raises(HilbertSDError, match="seeds must be several whole numbers"):
        schemes.autoencoder(taught.maps[-1], code=3, seeds=2)
    with pytest.raises(HilbertSDError, match="take a convolutional teacher's"):
        schemes.autoencoder(taught.features, code=3, seeds=[0, 1])


def test_channel_means_need_no_translator():
    one = term("ft", factor="channel mean")
    shapes = (4, 2, 2), (6, 2, 2), jax.random.key(0)
    assert not arrays(beside(one, *shapes))
    assert arrays(beside(term("ft"), *shapes))


# --- inheritance and exploration


def test_the_first_half_comes_near_the_code_and_the_second_leaves_it(taught, coder):
    said = schemes.coded(taught, coder.model)
    training = dataclasses.replace(TRAINING, steps=80, check_every=80)
    recipe = Recipe(schemes.inheritance_terms("FT"), training)
    student = schemes.distill(images, DATA, said, recipe, seeds=[0, 1])
    seen = schemes.observe(student.model, student.state, DATA.x_train)
    for s in range(2):
        maps, code = np.asarray(seen.maps[-1][s]), np.asarray(said.maps[0][s])
        near, far = (
            gap(np.asarray(at(extra, s).maps(jnp.asarray(half))), code)
            for extra, half in zip(student.beside, (maps[:, :3], maps[:, 3:]), strict=True)
        )
        assert np.isfinite([near, far]).all()
        assert near < 0.7 * far


def gap(a, b):
    """The definition of the base loss FT, in NumPy."""
    a, b = (c.astype(float).reshape(len(c), -1) for c in (a, b))
    a, b = (c / np.linalg.norm(c, axis=1, keepdims=True) for c in (a, b))
    return np.abs(a - b).sum(1).mean()


def test_two_students_inherit_and_explore_each_other():
    training = dataclasses.replace(TRAINING, steps=0)
    recipe = Recipe(schemes.inheritance_terms("FT"), training)
    cohort = schemes.mutual([images, images], DATA, recipe, seeds=[0], code=3)
    for n, student in enumerate(cohort):  # steps are tested below, on the loss itself
        assert_same(student.model, nets.initialise(images, nets.keys([0], 0, n))[0])
    with pytest.raises(HilbertSDError, match="convolutional"):
        schemes.mutual([small, small], DATA, recipe, seeds=[0])


def test_joint_auto_encoders_learn_from_reconstruction_alone():
    """γ moves them and nothing else: codes are constants to peers, maps to auto-encoders."""
    batch = {
        "x": jnp.asarray(DATA.x_train),
        "targets": jax.nn.one_hot(DATA.given, 10),
        "index": jnp.arange(40),
    }
    starts = [at(nets.initialise(images, nets.keys([i]))) for i in (0, 1)]
    models, states = zip(*starts, strict=True)
    terms = schemes.inheritance_terms("OD")
    keys = jax.random.split(jax.random.key(0), 4)
    extra = tuple(schemes.Beside(maps=schemes.Encoder.start(3, 3, key)) for key in keys[:2])
    coders = tuple(schemes.Coder.start(6, 3, key) for key in keys[2:])
    past = (((None, None),), ((None, None),))

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(cohort, weight):
        loss = CohortLoss(Recipe(terms, FULL), weight)
        return loss(cohort, (states, past), batch, jax.random.key(0))[0]

    cohort = Cohort(models, ((extra,), (extra,)), coders)
    none, some = (gradient(cohort, jnp.float32(weight)) for weight in (0.0, 1.0))
    assert all((np.asarray(a) == 0).all() for a in arrays(none.coders))
    assert all((np.asarray(a) != 0).any() for a in arrays(some.coders))
    assert_near(none.networks, some.networks, 1e-6)
