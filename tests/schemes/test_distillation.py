"""One student and a constant teacher: what is minimised, and that every objective can be."""

import dataclasses
import inspect

import numpy as np
import pytest

jax = pytest.importorskip("jax")
eqx = pytest.importorskip("equinox")
optax = pytest.importorskip("optax")
jnp = jax.numpy

from small import DATA, TRAINING, images, large, normalised, small  # noqa: E402

from hilbertsd import nets, objectives  # noqa: E402
from hilbertsd.errors import HilbertSDError  # noqa: E402
from hilbertsd.nets.protocol import activation_shapes  # noqa: E402
from hilbertsd.nets.supervised import one_hot  # noqa: E402
from hilbertsd.schemes import (  # noqa: E402
    Noise,
    Recipe,
    Student,
    accuracy,
    compare_objectives,
    distill,
    ensemble,
    generations,
    mean_teacher,
    mutual,
    noisy,
    observe,
    term,
)
from hilbertsd.schemes import beside as besides  # noqa: E402
from hilbertsd.schemes.distillation import (  # noqa: E402
    started,
    student_shape,
    with_terms,
)
from hilbertsd.schemes.terms import teacher_part  # noqa: E402

SINGLE = 2e-5
"""Two programs in float32 that compute the same, relative to the largest entry."""
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def teacher():
    model, state = nets.initialise(large, nets.keys([3, 4]))
    return observe(model, state, DATA.x_train)


@pytest.fixture(scope="module")
def image_teacher():
    model, state = nets.initialise(normalised, nets.keys([5]))
    return observe(model, state, DATA.x_train)


def arrays(model):
    return jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))


def assert_same(one, other):
    for a, b in zip(arrays(one), arrays(other), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def assert_near(one, other, tolerance=SINGLE):
    for a, b in zip(arrays(one), arrays(other), strict=True):
        assert np.isfinite(a).all()
        assert np.abs(a - b).max() <= tolerance * np.abs(b).max() + 1e-7


def alone(stream=0):
    return nets.fit(
        small,
        DATA.x_train,
        one_hot(DATA.given, DATA.classes),
        TRAINING,
        nets.keys([0, 1], stream),
    )


def test_weight_zero_is_training_alone_bit_for_bit(teacher):
    recipe = Recipe((term("fkd", 0.0), term("kd", 0.0)), TRAINING)
    student = distill(small, DATA, teacher, recipe, seeds=[0, 1])
    expected = alone()
    assert_same(student.model, expected.model)
    np.testing.assert_array_equal(student.losses, expected.losses)
    assert student.beside == ()
    pushed = distill(small, DATA, teacher, Recipe((term("fkd", 1.0),), TRAINING), seeds=[0, 1])
    assert not np.array_equal(pushed.losses, expected.losses)  # a weight has an effect


def test_steps_are_those_of_a_loop_written_out(teacher):
    """Own loss, FKD on features, decay; full batch, gradient descent, from scratch."""
    training = nets.Training(
        loss="cross-entropy", steps=3, batch=None, optimizer="sgd", learning_rate=0.1,
        weight_decay=1e-3,
    )  # fmt: skip
    recipe = Recipe((term("fkd", 2.0, norm_weight=0.1),), training, own_weight=0.5)
    student = distill(small, DATA, teacher, recipe, seeds=[0, 1])
    x, y = jnp.asarray(DATA.x_train.reshape(40, -1)), DATA.given
    starts = jax.vmap(jax.random.split, out_axes=1)(nets.keys([0, 1], 0))[0]
    model = nets.member(nets.initialise(small, starts)[0], 1)
    hidden, last = model.stages[0].layers[0].linear, model.dense
    params = [hidden.weight, hidden.bias, last.weight, last.bias]
    F_t = jnp.asarray(teacher.features[1])
    R_t = F_t @ F_t.T / jnp.outer(*[jnp.linalg.norm(F_t, axis=1)] * 2)

    def loss(params):
        W, b, V, c = params
        h = jax.nn.relu(x @ W.T + b)
        z = h @ V.T + c
        K = h @ h.T
        n = jnp.sqrt(jnp.diagonal(K))
        kernel = jnp.sum((K / jnp.outer(n, n) - R_t) ** 2) / (40 * 39) + 0.1 * jnp.mean(n**2)
        entropy = -jnp.mean(jax.nn.log_softmax(z)[jnp.arange(40), y])
        return 0.5 * entropy + 2 * kernel + 1e-3 * sum(jnp.sum(p**2) for p in params)

    gradient = jax.jit(jax.grad(loss))
    for _ in range(3):
        params = [p - 0.1 * g for p, g in zip(params, gradient(params), strict=True)]
    end = nets.member(student.model, 1)
    found = [end.stages[0].layers[0].linear.weight, end.stages[0].layers[0].linear.bias]
    assert_near([*found, end.dense.weight, end.dense.bias], params)


def test_what_stands_beside_a_student_by_objective(image_teacher):
    """A learned part where shapes must be brought together, and for what the objective needs."""
    model, state = nets.initialise(images, nets.keys([0]))
    seen = activation_shapes(model, state, DATA.x_train)
    for name, entry in objectives.OBJECTIVES.items():
        one = term(name)
        said = jax.tree.map(lambda a: a.shape[2:], teacher_part(one, image_teacher))
        shapes = [(student_shape(one, seen), said)]
        own, past = eqx.filter_eval_shape(lambda k, t=one, s=shapes: started([t], s, 40, k), KEY)
        learns = (entry.same_shape and entry.takes != "logits") or bool(entry.needs)
        assert bool(jax.tree.leaves(own)) == learns
        assert bool(jax.tree.leaves(past)) == (name == "crd")


def test_objectives_of_every_kind_train_together(image_teacher):
    """On logits, features, maps, two maps, with embeddings, a memory, variances, a translator."""
    names = ("kd", "fkd", "vid", "crd", "at", "ft", "fsp")
    training = dataclasses.replace(TRAINING, steps=3, check_every=3)
    terms = tuple(term(name, {"crd": 0.1}.get(name, 1.0)) for name in names)
    student = distill(images, DATA, image_teacher, Recipe(terms, training), seeds=[0])
    assert np.isfinite(student.losses).all()
    assert all(np.isfinite(a).all() for a in arrays((student.model, student.beside)))
    for learned in jax.tree.leaves(student.beside):  # biases start at 0
        assert (np.asarray(learned) != 0).any()


def test_the_teacher_stays_what_it_is_in_inference_mode():
    """Batch statistics never enter: what a teacher says of a point does not depend on others."""
    model, state = nets.initialise(normalised, nets.keys([5]))
    whole = observe(model, state, DATA.x_train)
    part = observe(model, state, DATA.x_train[:3])
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(part), strict=True):
        np.testing.assert_allclose(a[:, :3], b, rtol=1e-5, atol=1e-6)


def test_ensemble_has_the_mean_prediction_and_the_mean_kernel():
    rng = np.random.default_rng(0)
    members = [
        nets.Activations(
            (rng.normal(size=(1, 7, width, 2, 2)),),
            rng.normal(size=(1, 7, width)),
            rng.normal(size=(1, 7, 3)),
        )
        for width in (2, 5, 4)
    ]
    for kernel in ("linear", "correlation"):
        both = ensemble(members, temperature=2.5, kernel=kernel)
        grams = [m.features[0] @ m.features[0].T for m in members]
        if kernel == "correlation":
            grams = [K / np.sqrt(np.outer(np.diag(K), np.diag(K))) for K in grams]
        F = np.asarray(both.features[0])
        np.testing.assert_allclose(F @ F.T, np.mean(grams, axis=0), atol=SINGLE)
        softened = [np.exp(m.outputs[0] / 2.5) for m in members]
        mean = np.mean([p / p.sum(1, keepdims=True) for p in softened], axis=0)
        np.testing.assert_allclose(np.exp(both.outputs[0] / 2.5), mean, rtol=SINGLE)
        flat = [m.maps[0][0].reshape(7, -1) for m in members]
        A = np.asarray(both.maps[0][0]).reshape(7, -1)
        np.testing.assert_allclose(A @ A.T, np.mean([a @ a.T for a in flat], axis=0), atol=1e-4)


def test_noise_is_on_the_chosen_fraction_with_the_chosen_size():
    z = jnp.full((20_000, 4), 3.0)
    for kind, scale in (("additive", 1.0), ("multiplicative", 3.0)):
        change = np.asarray(noisy(z, Noise(0.3, 0.5, kind), jax.random.key(1)) - z)
        hit = (change != 0).any(axis=1)
        assert ((change != 0).all(axis=1) == hit).all()  # whole samples
        assert abs(hit.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / len(z))
        inside = change[hit] / (0.5 * scale)
        assert abs(inside.mean()) < 4 / np.sqrt(inside.size)
        assert abs(inside.std() - 1) < 4 / np.sqrt(2 * inside.size)
        assert abs(np.corrcoef(inside.T)[np.triu_indices(4, 1)]).max() < 0.06  # independent


def test_noise_reaches_what_the_student_sees(teacher):
    """The term's value, taken apart: KL to the disturbed logits, and nothing else disturbed."""
    rng = np.random.default_rng(1)
    said = jax.tree.map(lambda a: a[0], teacher)
    seen = said._replace(outputs=jnp.asarray(rng.normal(size=(40, 10)), "float32"))
    terms = (term("kd", 2.0), term("fkd", 1.0))
    parts = (said.outputs, 2 * said.features[:, ::-1] ** 2)
    key = jax.random.key(3)

    def total(noise):
        recipe = Recipe(terms, noise=noise)
        beside = (besides.Beside(),) * 2
        return float(
            with_terms(0.0, recipe, beside, (None, None), seen, parts, jnp.arange(40), key)[0]
        )

    plain = 2 * objectives.kd(seen.outputs, parts[0]) + objectives.fkd(seen.features, parts[1])
    assert total(None) == pytest.approx(float(plain), rel=SINGLE)
    assert total(Noise(0.0, 5.0)) == pytest.approx(float(plain), rel=SINGLE)
    loud = Noise(0.5, 2.0)
    disturbed = noisy(parts[0], loud, jax.random.split(jax.random.fold_in(key, 0))[0])
    gap = 2 * (objectives.kd(seen.outputs, disturbed) - objectives.kd(seen.outputs, parts[0]))
    assert abs(float(gap)) > 0.1
    assert total(loud) - total(None) == pytest.approx(float(gap), rel=1e-3)


def test_distillation_moves_the_student_to_the_teacher(teacher):
    """Without a loss of its own a student comes near the teacher's predictions, not the labels."""
    training = dataclasses.replace(TRAINING, steps=150, check_every=150, weight_decay=0.0)
    recipe = Recipe((term("logits", 1.0),), training, own_weight=0.0)
    shared = jax.tree.map(lambda a: a[1:], teacher)
    student = distill(large, DATA, shared, recipe, seeds=[0, 1])
    assert (student.losses[:, -8:].mean(1) < 0.1 * student.losses[:, 0]).all()
    outputs = nets.network_outputs(student.model, student.state, DATA.x_train)
    for mine in outputs:  # one teacher for both
        near, far = (np.abs(mine - z).mean() for z in teacher.outputs[::-1])
        assert near < 0.5 * far
    assert accuracy(student.model, student.state, DATA).shape == (2,)


def test_what_does_not_go_together_is_refused(teacher):
    def refused(words, name="fkd", make=small, data=DATA, said=teacher, **settings):
        with pytest.raises(HilbertSDError, match=words):
            distill(make, data, said, Recipe((term(name, **settings),), TRAINING), seeds=[0, 1])

    refused("no setting 'width'", width=3)
    refused("there is no objective", "fdk")
    refused("weight must be", weight=-1.0)
    refused("maps", "at")  # a fully connected network has none
    refused("stage 4", student_stage=4)
    refused("leave student_stage out", "kd", student_stage=0)
    refused("begin with", said=jax.tree.map(lambda a: a[:, :5], teacher))
    refused("no teacher", said=None)
    fewer = teacher._replace(outputs=teacher.outputs[..., :4])
    refused("has 10 of them, the teacher 4", "kd", said=fewer)
    refused("has 9 outputs and data 10 classes", make=lambda key: nets.mlp(64, 9, key=key))
    refused("fails at one point", make=lambda key: nets.mlp(63, 10, key=key))
    refused("data must be a Classification, got tuple", data=(DATA.x_train, DATA.given))
    with pytest.raises(HilbertSDError, match="leave nothing"):
        Recipe((term("fkd", 0.0),), own_weight=0.0)
    with pytest.raises(HilbertSDError, match="own_weight must be a number, 0 or more, got '1'"):
        Recipe(own_weight="1")
    with pytest.raises(HilbertSDError, match="fraction"):
        Recipe(noise=Noise(1.5))
    with pytest.raises(HilbertSDError, match="stop_at"):
        Recipe(training=dataclasses.replace(TRAINING, stop_at=0.1))
    with pytest.raises(HilbertSDError, match="noise must be a Noise, got tuple"):
        Recipe(noise=(0.5, 1.0))
    with pytest.raises(HilbertSDError, match="deviation"):
        Noise(0.5, -1.0)
    with pytest.raises(HilbertSDError, match="kind"):
        Noise(0.5, 1.0, "mult")
    for words, members in (
        ("at least one member", []),
        ("several teachers, such as .* got one Activations", teacher),
        ("a member must be what networks say .* got Student", [Student(None, None, (), None)]),
    ):
        with pytest.raises(HilbertSDError, match=words):
            ensemble(members)


def test_what_a_scheme_takes_is_named(teacher):
    recipe, seeds = Recipe(term("fkd"), TRAINING), [0, 1]
    student = Student(*nets.initialise(small, nets.keys(seeds)), (), np.zeros((2, 0)))
    for words, scheme in (
        ("seeds must be several", lambda: distill(small, DATA, teacher, recipe, seeds=2)),
        ("recipe must be a Recipe, got Training", lambda: distill(
            small, DATA, teacher, TRAINING, seeds=seeds)),
        ("teacher must be what networks say .* got Student", lambda: distill(
            small, DATA, student, recipe, seeds=seeds)),
        ("makes must be a list .* got function", lambda: mutual(small, DATA, recipe, seeds=seeds)),
        ("makes must be a list", lambda: generations(small, DATA, recipe, seeds=seeds)),
        ("recipe must be", lambda: generations([small], DATA, TRAINING, seeds=seeds)),
        ("decay must be a number", lambda: mean_teacher(
            small, DATA, recipe, decay="a", seeds=seeds)),
        ("data must be", lambda: accuracy(student.model, student.state, (1, 2))),
        ("must return .model, state., got Network", lambda: compare_objectives(
            small, lambda key: small(key)[0], DATA, {"fkd": term("fkd")}, seeds=seeds)),
        ("Student is no network", lambda: observe(student, None, DATA.x_train)),
    ):  # fmt: skip
        with pytest.raises(HilbertSDError, match=words):
            scheme()


def test_terms_are_tried_when_they_are_made():
    assert Recipe(term("fkd", 2.0)).terms == Recipe((term("fkd", 2.0),)).terms
    for words, terms in (
        ("terms must be a tuple .* got dict", {"fkd": term("fkd")}),
        ("made by term.* got 'fkd'", ("fkd",)),
    ):
        with pytest.raises(HilbertSDError, match=words):
            Recipe(terms)
    for words, name, settings in (
        ("own_weight=1 - w", "kd", {"imitation_weight": 0.5}),
        ("foo", "cka_loss", {"foo": 1}),
        ("norm_weight", "fkd", {"norm_weight": "a"}),
        ("kernel", "fkd", {"kernel": "cubic"}),
        ("base", "inheritance", {"base": "XX"}),
        ("median", "cka_loss", {"kernel": "gaussian", "median": "mean"}),
    ):
        with pytest.raises(HilbertSDError, match=words):
            term(name, **settings)


def test_every_objective_keeps_its_settings_when_it_is_tried():
    """The trial batch suits all: at their defaults, given as settings, none refuses."""
    for name, entry in objectives.OBJECTIVES.items():
        keywords = inspect.signature(entry.function).parameters.values()
        defaults = {p.name: p.default for p in keywords if p.kind is p.KEYWORD_ONLY}
        defaults.pop("normalisers", None)
        assert dict(term(name, **defaults).settings) == defaults
