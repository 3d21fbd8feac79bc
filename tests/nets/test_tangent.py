"""Empirical tangent kernels: all routes against plain Jacobians, differences and infinite width."""

import sys

import numpy as np
import pytest
from problems import assert_close

from hilbertsd import distill
from hilbertsd import kernels as hk
from hilbertsd.errors import HilbertSDError

jax = pytest.importorskip("jax")
equinox = pytest.importorskip("equinox")
jnp = jax.numpy

from hilbertsd.nets import (  # noqa: E402
    as_function,
    empirical_ntk,
    tangent_operator,
    tangent_plan,
)
from hilbertsd.nets.contraction import contract, features  # noqa: E402
from hilbertsd.nets.layers import trace  # noqa: E402

ROUTES = 1e-10
"""Between routes in float64, relative to the largest entry: observed below 5e-15."""
DIFFERENCES = 1e-8
"""Central differences of step 1e-5, relative: their own error is 1e-10 and less."""
NEGATIVE = 1e-13
"""How far below zero rounding may push an eigenvalue, relative to the trace."""
METHODS = ("jacobian", "structured", "products")


class Small(equinox.Module):
    """Two convolutions, one with a stride, and two dense layers."""

    first: equinox.nn.Conv2d
    second: equinox.nn.Conv2d
    dense: equinox.nn.Linear
    out: equinox.nn.Linear
    dropout: equinox.nn.Dropout

    def __init__(self, key):
        keys = jax.random.split(key, 4)
        self.first = equinox.nn.Conv2d(1, 3, 3, padding=1, key=keys[0])
        self.second = equinox.nn.Conv2d(3, 4, 3, stride=2, key=keys[1])
        self.dense = equinox.nn.Linear(16, 7, key=keys[2])
        self.out = equinox.nn.Linear(7, 3, key=keys[3])
        self.dropout = equinox.nn.Dropout(0.5)

    def __call__(self, x):
        h = jax.nn.gelu(self.second(jax.nn.relu(self.first(x))))
        return self.out(self.dropout(jnp.tanh(self.dense(h.reshape(-1)))))


def jacobian(f, params, x):
    """(nQ, P) by reverse mode, one point at a time, in float64."""
    with jax.enable_x64(True):
        params = jax.tree.map(lambda a: jnp.asarray(a, float), params)
        of_one = jax.jacrev(lambda p, point: f(p, point[None]).ravel())
        parts = jax.jit(jax.vmap(of_one, (None, 0)))(params, jnp.asarray(x, float))
        flat = [np.asarray(part) for part in jax.tree.leaves(parts)]
    rows = np.prod(flat[0].shape[:2])
    return np.concatenate([part.reshape(rows, -1) for part in flat], axis=-1)


@pytest.fixture(scope="module")
def small():
    f, params = as_function(Small(jax.random.key(0)))
    rng = np.random.default_rng(0)
    x, s = rng.normal(size=(5, 1, 6, 6)), rng.normal(size=(3, 1, 6, 6))
    J, K = np.split(jacobian(f, params, np.concatenate([x, s])), [15])
    return f, params, x, s, J @ J.T, J @ K.T


def close(actual, expected):
    assert_close(actual, expected, atol=ROUTES * np.abs(expected).max())


@pytest.mark.parametrize("method", METHODS)
def test_every_route_is_the_product_of_jacobians(small, method):
    f, params, x, _, own, _ = small
    found = empirical_ntk(f, params, x, outputs="all", method=method, dtype="float64")
    assert found.dtype == np.float64
    close(found, own)
    assert (found == found.T).all()
    assert np.linalg.eigvalsh(found)[0] >= -NEGATIVE * np.trace(found)


@pytest.mark.parametrize("method", METHODS)
def test_batched_is_unbatched(small, method):
    f, params, x, s, _, cross = small
    expected = np.einsum("iqjq->ij", cross.reshape(5, 3, 3, 3)) / 3
    close(empirical_ntk(f, params, x, s, method=method, dtype="float64", batch=2), expected)


def test_one_output(shallow):
    params, x, own = shallow
    found = empirical_ntk(two_layers, params, x, outputs=1)
    close(found, own.reshape(5, 3, 5, 3)[:, 1, :, 1])


def test_convolutions_by_their_factors(small):
    f, params, x, s, _, cross = small

    def function(leaves, point):
        return f(jax.tree.unflatten(jax.tree.structure(params), leaves), point[None])[0]

    with jax.enable_x64(True):
        leaves = [jnp.asarray(leaf, float) for leaf in jax.tree.leaves(params)]
        graph = trace(function, leaves, jnp.asarray(x[0]))
        sizes = [(layer.places, layer.inputs, layer.outputs) for layer in graph.layers]
        assert sorted(sizes) == [(1, 7, 3), (1, 16, 7), (4, 27, 4), (36, 9, 3)]

        @jax.jit
        def between(x, s):
            one, other = (features(graph, graph.layers, leaves, points) for points in (x, s))
            return contract(one, other, False), contract(one, other, True)

        found, traced = between(jnp.asarray(x), jnp.asarray(s))
    expected = cross.reshape(5, 3, 3, 3)
    close(np.asarray(found), expected)
    close(np.asarray(traced), np.einsum("iqjq->ij", expected) / 3)


def scanned(p, x):
    step = lambda h, w: (jnp.tanh(h @ w), None)  # noqa: E731
    return jax.lax.scan(step, x, p["w"])[0] @ p["v"]


def convolved(p, x):
    kernel = jnp.transpose(p["w"], (2, 3, 1, 0)) / 3
    h = jax.lax.conv_general_dilated(
        x.reshape(-1, 3, 4, 1),
        kernel,
        (1, 1),
        "SAME",
        rhs_dilation=(2, 1),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return jnp.sin(h).reshape(len(x), -1) @ p["v"]


@jax.jit
def jitted(p, x):
    return jax.nn.softplus(jnp.dot(x, -2 * p["w"].T / jnp.sqrt(3.0)) + p["b"]) @ p["v"]


PLAIN = {
    # f, shapes of its parameters, how many of them are weights of layers
    "scaled, transposed, jitted": (jitted, {"w": (5, 12), "b": (5,), "v": (5, 2)}, 2),
    "tokens": (
        lambda p, x: jnp.einsum("btc,cd->bdt", x.reshape(-1, 4, 3), p["w"]).mean(-1) ** 2,
        {"w": (3, 2)},
        1,
    ),
    "one output, no axis for it": (lambda p, x: jnp.tanh(x @ p["w"]), {"w": (12,)}, 1),
    "convolution, transposed and dilated": (convolved, {"w": (2, 1, 3, 2), "v": (24, 2)}, 2),
    "tied weights": (lambda p, x: jnp.tanh(x @ p["w"]) @ p["w"].T, {"w": (12, 3)}, 0),
    "learned scale": (
        lambda p, x: jnp.tanh(x @ (p["g"] * p["w"])),
        {"w": (12, 3), "g": ()},
        0,
    ),
    "in a function of one argument": (
        lambda p, x: jnp.exp(p["g"]) * (x @ p["w"][:, 1:]),
        {"w": (12, 4), "g": (3,)},
        0,
    ),
    "products of weights": (
        lambda p, x: jnp.tanh(x @ (p["w"] + p["a"] @ p["b"])),
        {"w": (12, 3), "a": (12, 2), "b": (2, 3)},
        0,
    ),
    "in a scan": (scanned, {"w": (2, 12, 12), "v": (12, 2)}, 1),
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_functions(name):
    f, shapes, layers = PLAIN[name]
    rng = np.random.default_rng(1)
    params = {key: rng.normal(size=shape) for key, shape in shapes.items()}
    x = rng.normal(size=(4, 12))
    J = jacobian(f, params, x)
    if not layers:
        assert "structured" not in tangent_plan(f, params, x).costs
        close(empirical_ntk(f, params, x, outputs="all"), J @ J.T)
    if layers:
        with jax.enable_x64(True):
            leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(params)]
            keys = sorted(params)
            graph = trace(
                lambda values, point: f(dict(zip(keys, values, strict=True)), point[None]).ravel(),
                leaves,
                jnp.asarray(x[0]),
            )
            assert len(graph.layers) == layers

            @jax.jit
            def own(x):
                made = features(graph, graph.layers, leaves, x)
                return contract(made, made, False)

            found = np.asarray(own(jnp.asarray(x)))
        close(found.reshape(J.shape[0], -1), J @ J.T)


def test_against_central_differences():
    rng = np.random.default_rng(2)
    w, v = rng.normal(size=(3, 4)), rng.normal(size=(4, 2))
    x = rng.normal(size=(3, 3))

    def by_hand(theta):
        return (np.tanh(x @ theta[:12].reshape(3, 4)) @ theta[12:].reshape(4, 2)).ravel()

    theta, step = np.concatenate([w.ravel(), v.ravel()]), 1e-5
    J = np.stack([(by_hand(theta + e) - by_hand(theta - e)) / (2 * step)
                  for e in step * np.eye(20)], axis=1)  # fmt: skip
    found = empirical_ntk(two_layers, [w, v], x, outputs="all")
    assert_close(found, J @ J.T, atol=DIFFERENCES * np.abs(found).max())


# --- as an operator


def two_layers(p, x):
    return jnp.tanh(x @ p[0]) @ p[1]


@pytest.fixture(scope="module")
def shallow():
    rng = np.random.default_rng(3)
    params, x = [rng.normal(size=(4, 6)), rng.normal(size=(6, 3))], rng.normal(size=(5, 4))
    J = jacobian(two_layers, params, x)
    return params, x, J @ J.T


@pytest.mark.parametrize("outputs", ["mean", "all"])
def test_the_operator_is_the_gram_matrix(shallow, outputs):
    params, x, own = shallow
    G = (own if outputs == "all" else np.einsum("iqjq->ij", own.reshape(5, 3, 5, 3)) / 3) / 5
    operator = tangent_operator(two_layers, params, x, outputs=outputs, batch=2)
    assert operator.shape == G.shape
    assert operator.dtype == np.float64
    assert 2e-16 < operator.unit < 1e-12
    close(operator @ np.eye(len(G)), G)
    v = np.cos(np.arange(len(G)))
    close(operator @ v, G @ v)
    if outputs == "mean":
        y = np.sin(np.arange(len(G)))
        by_operator, by_matrix = (distill.self_distill(g, y, 0.02, 2) for g in (operator, G))
        assert_close(by_operator.label_ratios, by_matrix.label_ratios, rtol=1e-8)


def test_operator_refusals(shallow):
    params, x, _ = shallow
    operator = tangent_operator(two_layers, params, x, batch=2)
    with pytest.raises(HilbertSDError, match=r"v has shape \(3,\); the operator takes \(5,\)"):
        operator.matvec(np.ones(3))
    with pytest.raises(HilbertSDError, match="raise memory"):
        tangent_operator(two_layers, params, x, memory=100)


# --- counts and memory


def test_the_choice_is_the_least_count_that_fits():
    f = two_layers
    params = [np.zeros((30, 400)), np.zeros((400, 5))]
    x = np.zeros((60, 30))
    plan = tangent_plan(f, params, x, outputs="all")
    assert plan.method == "structured"
    assert plan.costs[plan.method].operations == min(c.operations for c in plan.costs.values())
    # J Jᵀ by hand: 300² inner products of 14 000 numbers, each pair of points once.
    by_hand = 2 * 60 * 61 / 2 * 25 * 14_000
    counted = tangent_plan(f, params, x, outputs="all", method="jacobian").costs["jacobian"]
    assert by_hand <= counted.operations <= 1.1 * by_hand
    less = tangent_plan(f, params, x, outputs="all", memory=300_000)
    assert less.batch < 60
    assert less.costs[less.method].memory <= 300_000
    assert f"{less.batch} points at a time" in str(less)
    with pytest.raises(HilbertSDError, match="above memory=1000; raise memory"):
        tangent_plan(f, params, x, outputs="all", memory=1000)


def test_little_memory_changes_the_blocks_and_not_the_values(shallow):
    params, x, own = shallow
    wanted = {"outputs": "all", "memory": 6_000}
    assert 1 < tangent_plan(two_layers, params, x, **wanted).batch < 5
    close(empirical_ntk(two_layers, params, x, **wanted), own)


# --- types, refusals


def test_types_follow_the_parameters_and_jax_is_left_alone(small):
    f, params, x, _, own, _ = small
    before = jax.config.jax_enable_x64
    found = empirical_ntk(f, params, x, outputs="all", method="jacobian")
    assert found.dtype == np.float32
    assert_close(found, own, atol=1e-5 * np.abs(own).max())
    assert jax.config.jax_enable_x64 == before
    assert jnp.zeros(1).dtype == np.float32


def test_refusals(small):
    f, params, x = small[:3]
    w = np.array([[1.0, 2.0], [3.0, -1.0]])

    def line(p, x):
        return x @ p["w"]

    def centred(p, x):
        return (x - x.mean(0)) @ p["w"]

    for call, message in (
        (lambda: empirical_ntk(f, params, x, method="fast"), "'auto', 'jacobian'"),
        (lambda: empirical_ntk(f, params, x, outputs=3), "at most 2"),
        (lambda: empirical_ntk(f, params, x, outputs="sum"), "'mean', 'all' or a number"),
        (lambda: empirical_ntk(f, params, x, batch=0), "batch must be a whole number, 1 or more"),
        (lambda: empirical_ntk(f, params, x, dtype="float16"), "dtype must be one of"),
        (lambda: empirical_ntk(f, params, x[:0]), "at least one point"),
        (lambda: empirical_ntk(f, params, x, x[:, 0]), "both must be inputs"),
        (lambda: empirical_ntk(line, {"w": [1, 2]}, x), "no array of floating-point numbers"),
        (lambda: empirical_ntk(Small(jax.random.key(0)), params, x), "as_function"),
        (lambda: as_function(line), "not an Equinox model"),
        (lambda: empirical_ntk(centred, {"w": w}, np.eye(2)), "depend on the batch"),
        # points that are alike, or alone, do not hide it
        (
            lambda: empirical_ntk(centred, {"w": w}, np.eye(2)[[0, 0, 1]]),
            "depend on the batch",
        ),
        (lambda: empirical_ntk(centred, {"w": w}, np.eye(2)[:1]), "depend on the batch"),
        (lambda: empirical_ntk(line, {"w": w, "v": 1j * w}, np.eye(2)), "complex numbers"),
        (
            lambda: empirical_ntk(lambda p, x: (x @ p["w"]).argmax(-1), {"w": w}, np.eye(2)),
            "logits, not classes",
        ),
        (
            lambda: empirical_ntk(lambda p, x: jnp.sum(x @ p["w"]), {"w": w}, np.eye(2)),
            "first axis must run over the points",
        ),
        (
            lambda: empirical_ntk(
                lambda p, x: jnp.sqrt(jnp.abs(x @ p["w"])), {"w": 0 * w}, np.eye(2)
            ),
            "points 0 and 0 is not finite",
        ),
        (
            lambda: empirical_ntk(
                lambda p, x: x * p["b"], {"b": np.ones(2)}, np.eye(2), method="structured"
            ),
            "use method='auto'",
        ),
    ):
        with pytest.raises(HilbertSDError, match=message):
            call()


def test_without_equinox_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "equinox", None)
    with pytest.raises(HilbertSDError, match=r"pip install 'hilbertsd\[nets\]'"):
        as_function(object())


def test_parameters_may_hold_other_things():
    def f(p, x):
        return x[:, p["columns"]] @ p["w"] * p["gain"] if p["name"] else None

    params = {"w": np.ones(2), "columns": np.array([2, 0]), "gain": 2.0, "name": "line"}
    x = np.arange(6.0).reshape(2, 3)
    expected = 4 * x[:, [2, 0]] @ x[:, [2, 0]].T + np.outer(*[x[:, [2, 0]].sum(1)] * 2)
    close(empirical_ntk(f, params, x), expected)


class Chooses(equinox.Module):
    w: jax.Array
    columns: jax.Array
    key: jax.Array

    def __call__(self, x):
        return x[self.columns] @ self.w + 0 * jax.random.normal(self.key)


def test_models_that_differ_in_what_is_no_parameter():
    x = np.arange(6.0).reshape(2, 3)
    functions = []
    for i in (0, 1):
        model = Chooses(jnp.ones((2, 1)), jnp.arange(2) + i, jax.random.key(i))
        f, params = as_function(model)
        functions.append(f)
        part = x[:, i : i + 2]
        close(empirical_ntk(f, params, x, dtype="float64"), part @ part.T)
    assert functions[0] != functions[1]
    assert functions[1] == as_function(model)[0]
    assert hash(functions[1]) == hash(as_function(model)[0])
    held = {"w": np.ones(3), "key": jax.random.key(0)}
    close(
        empirical_ntk(lambda p, x: x @ p["w"] + 0 * jax.random.normal(p["key"]), held, x), x @ x.T
    )


# --- towards infinite width


def wide(params, x):
    *hidden, (last, bias) = params
    for w, b in hidden:
        x = jax.nn.relu(x @ (w * (2 / w.shape[0]) ** 0.5) + 0.3 * b)
    return x @ (last * (2 / last.shape[0]) ** 0.5) + 0.3 * bias


def test_wide_networks_approach_the_infinite_one():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(6, 5))
    limit = hk.ntk(2, "relu", 2.0, 0.09).matrix(x, x)
    widths, seeds = np.array([32, 256, 2048]), 8
    errors = []
    for width in widths:
        shapes = [(5, width), (width, width), (width, 1)]
        gaps = []
        for _ in range(seeds):
            params = [(rng.normal(size=s), rng.normal(size=s[1])) for s in shapes]
            found = empirical_ntk(wide, params, x)
            gaps.append(np.linalg.norm(found - limit) / np.linalg.norm(limit))
        errors.append(np.sqrt(np.mean(np.square(gaps))))
    slope = np.polyfit(np.log(widths), np.log(errors), 1)[0]
    assert -0.7 < slope < -0.35, f"{errors}"
    assert errors[-1] < 0.12


def channels(readout):
    def f(params, x):
        h = x.reshape(-1, 4, 4, 1)
        for w, b in params[:-1]:
            w = w * (2 / np.prod(w.shape[:3])) ** 0.5
            h = jax.lax.conv_general_dilated(
                h, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            h = jax.nn.relu(h + 0.1 * b)
        h = h.mean((1, 2)) if readout == "average" else h.reshape(len(x), -1)
        return h @ params[-1] / params[-1].shape[0] ** 0.5

    return f


@pytest.mark.parametrize("readout", ["flatten", "average"])
def test_many_channels_approach_the_infinite_convolutional_network(readout):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(4, 16))
    limit = hk.conv_ntk((4, 4, 1), 2, "relu", 2.0, 0.01, readout).matrix(x, x)
    count, seeds, f = 256, 6, channels(readout)
    total = np.zeros((4, 4))
    for _ in range(seeds):
        params = [
            (rng.normal(size=(3, 3, 1, count)), rng.normal(size=count)),
            (rng.normal(size=(3, 3, count, count)), rng.normal(size=count)),
            rng.normal(size=(count if readout == "average" else 16 * count, 1)),
        ]
        total += empirical_ntk(f, params, x, dtype="float32")
    gap = np.linalg.norm(total / seeds - limit) / np.linalg.norm(limit)
    assert gap < 0.05
