"""Models: published sizes, other libraries' convolutions, and the kernels of infinite width."""

import numpy as np
import pytest
from problems import assert_close

from hilbertsd import kernels as hk
from hilbertsd import nets
from hilbertsd.errors import HilbertSDError

jax = pytest.importorskip("jax")
eqx = pytest.importorskip("equinox")
jnp = jax.numpy

from hilbertsd.nets.losses import batched  # noqa: E402
from hilbertsd.nets.parametrization import Convolution, Parametrization, windows  # noqa: E402

SINGLE = 2e-6
"""A few float32 operations, relative to the largest entry: observed below 5e-7."""
DEEP = 2e-5
"""A small network in float32, relative: observed below 2e-6."""


def close(actual, expected, tolerance=SINGLE):
    assert_close(actual, expected, atol=tolerance * np.abs(np.asarray(expected)).max())


def entries(make):
    model, _ = eqx.filter_eval_shape(make, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(model) if hasattr(leaf, "size"))


@pytest.mark.parametrize(
    ("published", "make"),
    [
        # 0.27M in table 6 of He et al.; 11.69M, 25.56M as in torchvision's table of weights
        (269_722, lambda key: nets.resnet((3, 32, 32), 10, 20, key=key)),
        (11_689_512, lambda key: nets.resnet((3, 224, 224), 1000, 18, stem="imagenet", key=key)),
        (
            25_557_032,
            lambda key: nets.resnet(
                (3, 224, 224), 1000, 50, block="bottleneck", stem="imagenet", key=key
            ),
        ),
        # 138.36M of which 14,714,688 are the convolutions, and 512 · 10 + 10
        (14_714_688 + 5130, lambda key: nets.vgg((3, 32, 32), 10, 16, normalization=None, key=key)),
    ],
)
def test_as_many_parameters_as_published(published, make):
    assert entries(make) == published


@pytest.mark.parametrize(("side", "stride"), [(1, 1), (1, 2), (2, 1), (3, 1), (3, 2), (7, 2)])
def test_a_convolution_is_that_of_jax(side, stride):
    rng = np.random.default_rng(side)
    h = rng.normal(size=(3, 9, 8)).astype(np.float32)
    start = Parametrization("ntk", 2.0, 0.5)
    layer = Convolution(3, 5, side, start, jax.random.key(side), stride)
    around = ((side - 1) // 2, side // 2)
    plain = jax.lax.conv_general_dilated(h[None], layer.weight, (stride, stride), (around, around))[
        0
    ]
    expected = np.sqrt(2 / (3 * side**2)) * plain + np.sqrt(0.5) * layer.bias[:, None, None]
    close(eqx.filter_jit(layer)(h), expected)


def test_pooling_is_that_of_jax():
    h = np.random.default_rng(0).normal(size=(2, 9, 7)).astype(np.float32)
    around = ((0, 0), (1, 1), (1, 1))
    expected = jax.lax.reduce_window(h, -jnp.inf, jax.lax.max, (1, 3, 3), (1, 2, 2), around)
    close(windows(h, 3, 2, (1, 1), -jnp.inf).max(axis=1), expected, 0.0)


MODELS = {
    "mlp": lambda key, **how: nets.mlp((1, 8, 8), 3, (8, 8), bias_variance=0.3, key=key, **how),
    "convnet": lambda key, **how: nets.convnet(
        (1, 8, 8), 3, (4, 6), stride=2, readout="flatten", bias_variance=0.3, key=key, **how
    ),
    "resnet": lambda key, **how: nets.resnet((1, 8, 8), 3, 8, width=4, key=key, **how),
    "vgg": lambda key, **how: nets.vgg((1, 8, 8), 3, 8, width=4, key=key, **how),
}


@pytest.mark.parametrize("name", ["mlp", "convnet", "resnet", "vgg"])
def test_both_parametrisations_start_as_the_same_function(name):
    x = np.random.default_rng(1).normal(size=(4, 1, 8, 8)).astype(np.float32)
    found = {}
    for kind in ("standard", "ntk"):

        @eqx.filter_jit
        def start(key, kind=kind):
            model, state = MODELS[name](key, parametrization=kind)
            return batched(model, state, x)[0], jnp.std(model.dense.weight), model.dense

        found[kind], deviation, dense = start(jax.random.key(2))
        inputs = dense.weight.shape[1]
        assert 0.5 < float(deviation) * (np.sqrt(inputs) if kind == "standard" else 1) < 2
    assert found["ntk"].shape == (4, 3)
    close(found["ntk"], found["standard"], DEEP)


@pytest.mark.parametrize("name", ["convnet", "resnet"])
def test_features_enter_the_last_dense_layer_and_are_read_from_the_last_map(name):
    x = np.random.default_rng(2).normal(size=(1, 8, 8)).astype(np.float32)

    @eqx.filter_jit
    def look(key):
        model, state = MODELS[name](key)
        model = eqx.nn.inference_mode(model)
        return model.activations(x, state)[0], model(x, state)[0], model.dense

    found, outputs, dense = look(jax.random.key(3))
    last = np.asarray(found.maps[-1])
    close(found.features, last.reshape(-1) if name == "convnet" else last.mean((1, 2)))
    expected = dense.weight_scale * np.asarray(dense.weight) @ np.asarray(found.features)
    close(found.outputs, expected + dense.bias_scale * np.asarray(dense.bias))
    close(outputs, found.outputs, SINGLE)


def test_in_training_batch_normalisation_sees_the_batch():
    x = np.random.default_rng(4).normal(2.0, 3.0, size=(16, 1, 8, 8)).astype(np.float32)
    model, state = nets.convnet((1, 8, 8), 3, (4,), normalization="batch", activation="linear",
                                key=jax.random.key(0))  # fmt: skip
    run = jax.jit(
        jax.vmap(model.activations, in_axes=(0, None), out_axes=(0, None), axis_name="batch")
    )
    maps = np.asarray(run(x, state)[0].maps[0])
    assert_close(maps.mean((0, 2, 3)), np.zeros(4), atol=1e-5)
    assert_close(maps.std((0, 2, 3)), np.ones(4), atol=1e-3)
    fewer = run(x[:4], state)[0].maps[0]
    assert np.abs(fewer[0] - maps[0]).max() > 0.01


def test_bottlenecks_have_four_times_the_channels_and_halve_the_image():
    model, state = eqx.filter_eval_shape(
        lambda key: nets.resnet((3, 32, 32), 10, 50, block="bottleneck", key=key), jax.random.key(0)
    )

    def look(model, state):
        return eqx.nn.inference_mode(model).activations(jnp.ones((3, 32, 32)), state)[0]

    found = eqx.filter_eval_shape(look, model, state)
    assert [h.shape for h in found.maps] == [
        (256, 32, 32), (512, 16, 16), (1024, 8, 8), (2048, 4, 4)
    ]  # fmt: skip
    assert found.features.shape == (2048,)


def test_the_tangent_kernel_of_a_network_with_running_statistics():
    x = np.random.default_rng(5).normal(size=(3, 1, 8, 8)).astype(np.float32)
    model, start = nets.convnet((1, 8, 8), 2, (3, 4), normalization="batch", key=jax.random.key(1))
    _, state = eqx.filter_jit(batched)(model, start, x)
    f, params = nets.as_function(model, state)
    found = nets.empirical_ntk(f, params, x, outputs="all", dtype="float64", method="structured")
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda a: jnp.asarray(a, float), params)
        parts = jax.tree.leaves(jax.jacrev(f)(wide, jnp.asarray(x, float)))
        J = np.concatenate([np.asarray(part).reshape(6, -1) for part in parts], axis=1)
    close(found, J @ J.T, 1e-10)
    assert nets.as_function(model, start)[0] != f, "other running statistics, another function"
    assert nets.as_function(model, state)[0] == f


def errors(limit, make, x, widths, seeds):
    found = []
    for width in widths:
        gaps = []
        for seed in range(seeds):
            f, params = nets.as_function(*make(width, jax.random.key(seed)))
            theta = nets.empirical_ntk(f, params, x)
            gaps.append(np.linalg.norm(theta - limit) / np.linalg.norm(limit))
        found.append(float(np.sqrt(np.mean(np.square(gaps)))))
    return found


def falls(found, widths):
    slope = np.polyfit(np.log(widths), np.log(found), 1)[0]
    assert -0.8 < slope < -0.3, f"{found}"


def test_wide_mlps_have_the_tangent_kernel_of_infinite_width():
    x = np.random.default_rng(6).normal(size=(6, 5)).astype(np.float32)
    limit = hk.ntk(2, "erf", 1.5, 0.2).matrix(x, x)

    def make(width, key):
        return nets.mlp(5, 2, (width, width), activation="erf", parametrization="ntk",
                        weight_variance=1.5, bias_variance=0.2, key=key)  # fmt: skip

    found = errors(limit, make, x, (32, 1024), 6)
    falls(found, (32, 1024))
    assert found[-1] < 0.06


@pytest.mark.parametrize("readout", ["flatten", "average"])
def test_convnets_of_many_channels_have_the_tangent_kernel_of_infinitely_many(readout):
    x = np.random.default_rng(7).normal(size=(4, 2, 4, 4)).astype(np.float32)
    points = x.transpose(0, 2, 3, 1).reshape(4, -1).astype(float)
    limit = hk.conv_ntk((4, 4, 2), 2, "relu", 2.0, 0.1, readout).matrix(points, points)

    def make(width, key):
        return nets.convnet((2, 4, 4), 2, (width, width), readout=readout, parametrization="ntk",
                            bias_variance=0.1, key=key)  # fmt: skip

    found = errors(limit, make, x, (16, 256), 4)
    falls(found, (16, 256))
    assert found[-1] < 0.12


def test_sizes_may_be_numbers_of_numpy():
    size = np.prod([2, 3])
    assert entries(lambda key: nets.mlp(size, 2, (np.int64(4),), key=key)) == 6 * 4 + 4 + 4 * 2 + 2


def test_refusals():
    key = jax.random.key(0)
    for call, message in (
        (lambda: nets.mlp(3, 2, (0,), key=key), r"widths\[0\] must be a whole number, 1 or more"),
        (lambda: nets.mlp(3, 2, 8, key=key), "widths must be several whole numbers"),
        (lambda: nets.convnet((1, 8, 8), 2, 8, key=key), "channels must be several"),
        (lambda: nets.mlp(3, 2, weight_variance="x", key=key), "weight_variance must be a number"),
        (lambda: nets.mlp(3, 2, activation="swash", key=key), "activation must be one of"),
        (lambda: nets.mlp(3, 2, parametrization="mup", key=key), "parametrization must be one of"),
        (
            lambda: nets.mlp(3, 2, weight_variance=-1.0, key=key),
            "variance must be a number above 0",
        ),
        (
            lambda: nets.mlp(3, 2, bias_variance=-1.0, key=key),
            "variance must be a number, 0 or more",
        ),
        (lambda: nets.convnet((8, 8), 2, key=key), r"not \(channels, height, width\)"),
        (lambda: nets.convnet((1, 8, 8), 2, readout="max", key=key), "readout must be one of"),
        (lambda: nets.resnet((1, 8, 8), 2, 9, key=key), "18, 34, or 6n"),
        (
            lambda: nets.resnet((1, 8, 8), 2, 8, width=0, key=key),
            "width must be a whole number, 1 or more",
        ),
        (lambda: nets.resnet((1, 8, 8), 2, 20, block="bottleneck", key=key), "50, 101, 152"),
        (lambda: nets.resnet((1, 8, 8), 2, normalization="layer", key=key), "'batch', 'group'"),
        (lambda: nets.vgg((1, 8, 8), 2, 9, key=key), "8, 11, 13, 16, 19"),
    ):
        with pytest.raises(HilbertSDError, match=message):
            call()
