"""Networks to train: fully connected, convolutional, residual, and VGG.

All are called alike, one example at a time under ``vmap(..., axis_name="batch")``, and hand out
what distillation looks at: the maps after each stage, the features that enter the last dense
layer, the outputs. Parameters are float32.

References
----------
He, Zhang, Ren & Sun, "Deep residual learning for image recognition", CVPR 2016. Simonyan &
Zisserman, "Very deep convolutional networks", ICLR 2015.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax

from hilbertsd import inputs as check
from hilbertsd.errors import HilbertSDError
from hilbertsd.nets.blocks import (
    ACTIVATIONS,
    Builder,
    Hidden,
    Layer,
    MaxPool,
    Network,
    Stage,
    with_state,
)
from hilbertsd.nets.parametrization import PARAMETRIZATIONS, Dense, Parametrization

Array = Any
Shape = tuple[int, int, int]

NORMALIZATIONS = ("batch", "group", None)
READOUTS = ("flatten", "average")
BLOCKS = ("basic", "bottleneck")
STEMS = ("cifar", "imagenet")

STAGES = {
    ("basic", 18): (2, 2, 2, 2),
    ("basic", 34): (3, 4, 6, 3),
    ("bottleneck", 50): (3, 4, 6, 3),
    ("bottleneck", 101): (3, 4, 23, 3),
    ("bottleneck", 152): (3, 8, 36, 3),
}
"""Blocks a stage of the residual networks with four stages (He et al., table 1)."""
VGG_STAGES = {
    8: (1, 1, 1, 1, 1),
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
"""Convolutions a stage (Simonyan & Zisserman, table 1; 8: as in the distillation literature)."""


# --- public doors


def mlp(
    inputs: int | Sequence[int],
    outputs: int,
    widths: Sequence[int] = (256, 256),
    *,
    activation: str = "relu",
    parametrization: str = "standard",
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
    key: Array,
) -> tuple[Network, eqx.nn.State]:
    """Return a fully connected network and its (empty) state.

    Every layer, the output too, is h ↦ w/√fan_in · W h + b β. As the widths grow, the tangent
    kernel at the start of the "ntk" form becomes `hilbertsd.kernels.ntk(len(widths), activation,
    w², b²)`.

    Parameters
    ----------
    inputs : int or shape
        Of an example; it is flattened.
    outputs : int
        Q.
    widths : sequence of int
        Of the hidden layers.
    activation : str
        "relu", "abs", "linear", "erf", "tanh", "gelu", "sigmoid", "silu", "softplus" or "sin".
    parametrization : "standard" or "ntk"
        Whether w/√fan_in and b are part of the parameters or factors in front of them.
    weight_variance, bias_variance : float
        w² and b² at the start. With "ntk" and b² = 0 there are no biases.
    key : jax.Array
        A key of `jax.random`.

    Raises
    ------
    HilbertSDError
        If an argument is out of range.

    Examples
    --------
    >>> import jax
    >>> model, state = mlp(64, 10, key=jax.random.key(0))
    >>> found, state = model.activations(jax.numpy.ones(64), state)
    >>> [h.shape for h in found.maps], found.features.shape, found.outputs.shape
    ([(256,), (256,)], (256,), (10,))
    """
    given = tuple(inputs) if isinstance(inputs, Sequence) else (inputs,)
    size = math.prod(_size("inputs", side) for side in given)
    start = _parametrization(parametrization, weight_variance, bias_variance)
    check.one_of("activation", activation, tuple(ACTIVATIONS))
    sizes = [size, *check.whole_numbers("widths", widths, least=1)]
    keys = iter(jax.random.split(key, len(sizes)))
    stages = tuple(
        Stage((Hidden(Dense(a, b, start, next(keys)), None, activation),))
        for a, b in itertools.pairwise(sizes)
    )
    dense = Dense(sizes[-1], _size("outputs", outputs), start, next(keys))
    return with_state(Network(stages, dense, "flatten", flat=True))


def convnet(
    shape: Shape,
    outputs: int,
    channels: Sequence[int] = (32, 64),
    *,
    activation: str = "relu",
    stride: int = 1,
    filter_size: int = 3,
    readout: str = "average",
    parametrization: str = "standard",
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
    normalization: str | None = None,
    key: Array,
) -> tuple[Network, eqx.nn.State]:
    """Return a small convolutional network and its state.

    Convolutions with zeros around the image, each followed by the activation, then the readout
    and a dense layer of weight variance 1. In the "ntk" form with stride 1 and without
    normalisation, `hilbertsd.kernels.conv_ntk` is the limit of many channels; there a point has
    the order (H, W, C), here (C, H, W).

    Parameters
    ----------
    shape : (channels, height, width)
        Of an image.
    outputs : int
        Q.
    channels : sequence of int
        Of the convolutions.
    activation, parametrization, weight_variance, bias_variance, key
        As for `mlp`; the variances are the convolutions'.
    stride : int
        Of every convolution.
    filter_size : int
        Pixels on a side of the filter.
    readout : "average" or "flatten"
        What the dense layer sees: the mean over the pixels, or all of them.
    normalization : "batch", "group" or None
        After every convolution, which then has no bias.

    Raises
    ------
    HilbertSDError
        If an argument is out of range.

    Examples
    --------
    >>> import jax
    >>> model, state = convnet((1, 8, 8), 10, stride=2, key=jax.random.key(0))
    >>> [h.shape for h in model.activations(jax.numpy.ones((1, 8, 8)), state)[0].maps]
    [(32, 4, 4), (64, 2, 2)]
    """
    size = _image(shape)
    check.one_of("activation", activation, tuple(ACTIVATIONS))
    check.one_of("readout", readout, READOUTS)
    sizes = [size[0], *check.whole_numbers("channels", channels, least=1)]
    build = Builder(
        _parametrization(parametrization, weight_variance, bias_variance),
        _normalization(normalization),
        iter(jax.random.split(key, len(sizes))),
    )
    side, stride = _size("filter_size", filter_size), _size("stride", stride)
    stages = tuple(
        Stage((build.convolution(a, b, side, stride, activation),))
        for a, b in itertools.pairwise(sizes)
    )
    if readout == "average":
        return build.network(stages, sizes[-1], _size("outputs", outputs), readout)
    height, width = size[1:]
    for _ in stages:
        height, width = -(-height // stride), -(-width // stride)
    return build.network(stages, sizes[-1] * height * width, _size("outputs", outputs), readout)


def resnet(
    shape: Shape,
    outputs: int,
    depth: int = 20,
    *,
    block: str = "basic",
    stem: str = "cifar",
    width: int | None = None,
    parametrization: str = "standard",
    normalization: str | None = "batch",
    key: Array,
) -> tuple[Network, eqx.nn.State]:
    """Return a residual network and its state.

    Depth 6n + 2 with basic blocks: the CIFAR form of He et al. (2016, section 4.2), three stages of
    n blocks with 16, 32 and 64 channels, shortcuts without parameters. Depths 18 and 34 (basic),
    50, 101 and 152 (bottleneck): four stages of 64 to 512 channels, and 1 × 1 convolutions where a
    shortcut changes shape; the bottleneck's stride is on its 3 × 3 convolution. The convolutions
    have weight variance 2, the dense layer 1.

    Parameters
    ----------
    shape : (channels, height, width)
        Of an image.
    outputs : int
        Q.
    depth : int
        Layers with weights, counted as in the paper.
    block : "basic" or "bottleneck"
        Two 3 × 3 convolutions, or 1 × 1, 3 × 3 and 1 × 1 with four times the channels.
    stem : "cifar" or "imagenet"
        A 3 × 3 convolution, or a 7 × 7 one and pooling, both of stride 2.
    width : int, optional
        Channels of the first stage, instead of 16 or 64.
    parametrization : "standard" or "ntk"
        As for `mlp`.
    normalization : "batch", "group" or None
        After every convolution. Without, the variance doubles with every block.
    key : jax.Array
        A key of `jax.random`.

    Raises
    ------
    HilbertSDError
        If an argument is out of range.

    Examples
    --------
    >>> import jax
    >>> model, state = resnet((3, 32, 32), 10, depth=8, key=jax.random.key(0))
    >>> x = jax.numpy.ones((2, 3, 32, 32))
    >>> batched = jax.vmap(model.activations, (0, None), (0, None), axis_name="batch")
    >>> found, state = batched(x, state)
    >>> [h.shape[1:] for h in found.maps], found.features.shape
    ([(16, 32, 32), (32, 16, 16), (64, 8, 8)], (2, 64))
    """
    size = _image(shape)
    check.one_of("block", block, BLOCKS)
    check.one_of("stem", stem, STEMS)
    depth = check.whole_number("depth", depth)
    blocks = STAGES.get((block, depth))
    cifar = blocks is None
    if blocks is None:
        if block != "basic" or depth < 8 or depth % 6 != 2:
            known = ", ".join(str(d) for b, d in STAGES if b == block)
            also = "" if block == "bottleneck" else ", or 6n + 2 such as 8, 14 and 20"
            raise HilbertSDError(
                f"depth = {depth} is no depth of a residual network of {block} blocks; there are "
                f"{known}{also}."
            )
        blocks = ((depth - 2) // 6,) * 3
    first = _size("width", (16 if cifar else 64) if width is None else width)
    build = Builder(
        _parametrization(parametrization, 2.0, 0.0),
        _normalization(normalization),
        iter(jax.random.split(key, 4 * sum(blocks) + 2)),
    )
    if stem == "cifar":
        entry: list[Layer] = [build.convolution(size[0], first, 3)]
    else:
        entry = [build.convolution(size[0], first, 7, 2), MaxPool(3, 2, 1)]
    stages, here = [], first
    for i, count in enumerate(blocks):
        channels = first * 2**i
        out = channels if block == "basic" else 4 * channels
        layers = [] if i else entry
        for j in range(count):
            stride = 2 if i > 0 and j == 0 else 1
            layers.append(build.residual(here, channels, out, stride, block, projected=not cifar))
            here = out
        stages.append(Stage(tuple(layers)))
    return build.network(stages, here, _size("outputs", outputs), "average")


def vgg(
    shape: Shape,
    outputs: int,
    depth: int = 8,
    *,
    width: int = 64,
    parametrization: str = "standard",
    normalization: str | None = "batch",
    key: Array,
) -> tuple[Network, eqx.nn.State]:
    """Return a VGG network for small images and its state.

    Five stages of 3 × 3 convolutions with 1, 2, 4, 8 and 8 times ``width`` channels, the mean over
    the pixels that are left, and one dense layer in place of three. Between stages, and after
    the last, images of at least two pixels on a side are halved by max pooling.

    Parameters
    ----------
    shape : (channels, height, width)
        Of an image.
    outputs : int
        Q.
    depth : 8, 11, 13, 16 or 19
        The name's number.
    width : int
        Channels of the first stage.
    parametrization, normalization, key
        As for `resnet`.

    Raises
    ------
    HilbertSDError
        If an argument is out of range.

    Examples
    --------
    >>> import jax
    >>> model, state = vgg((1, 8, 8), 10, width=4, normalization="group", key=jax.random.key(0))
    >>> [h.shape for h in model.activations(jax.numpy.ones((1, 8, 8)), state)[0].maps]
    [(4, 4, 4), (8, 2, 2), (16, 1, 1), (32, 1, 1), (32, 1, 1)]
    """
    size = _image(shape)
    counts = VGG_STAGES.get(check.whole_number("depth", depth))
    if counts is None:
        raise HilbertSDError(
            f"depth = {depth} is no VGG's; there are {', '.join(map(str, VGG_STAGES))}."
        )
    build = Builder(
        _parametrization(parametrization, 2.0, 0.0),
        _normalization(normalization),
        iter(jax.random.split(key, sum(counts) + 1)),
    )
    here, side, stages = size[0], min(size[1:]), []
    for i, count in enumerate(counts):
        channels = _size("width", width) * 2 ** min(i, 3)
        layers: list[Layer] = []
        for _ in range(count):
            layers.append(build.convolution(here, channels, 3))
            here = channels
        if side >= 2:
            layers.append(MaxPool(2, 2, 0))
            side //= 2
        stages.append(Stage(tuple(layers)))
    return build.network(stages, here, _size("outputs", outputs), "average")


# --- checks

_size = partial(check.whole_number, least=1)


def _image(shape: Any) -> Shape:
    try:
        channels, height, width = shape
    except (TypeError, ValueError):
        raise HilbertSDError(
            f"shape = {shape!r} is not (channels, height, width) of an image."
        ) from None
    return _size("channels", channels), _size("height", height), _size("width", width)


def _parametrization(name: str, weight_variance: float, bias_variance: float) -> Parametrization:
    check.one_of("parametrization", name, PARAMETRIZATIONS)
    weight = check.positive("weight_variance", weight_variance)
    return Parametrization(name, weight, check.nonnegative("bias_variance", bias_variance))


def _normalization(kind: Any) -> str | None:
    if kind not in NORMALIZATIONS:
        raise HilbertSDError(f"normalization must be 'batch', 'group' or None, got {kind!r}.")
    return kind
