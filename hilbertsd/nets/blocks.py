"""What networks are put together from: stages of layers, each with its normalisation, a readout."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from hilbertsd.nets.parametrization import Convolution, Dense, Parametrization, windows

Array = Any

AXIS = "batch"
"""Name of the axis over the examples, along which batch normalisation takes its statistics."""
MOMENTUM = 0.9
"""Of the running statistics of batch normalisation. Equinox starts the variance at 1 and corrects
for a start at 0: it is 9 too large after one step, 3e-5 after a hundred."""
GROUPS = 8
"""Of group normalisation; their largest common divisor with the channels where it does not fit."""

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "abs": jnp.abs,
    "linear": lambda u: u,
    "erf": jax.lax.erf,
    "tanh": jnp.tanh,
    "gelu": lambda u: jax.nn.gelu(u, approximate=False),
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "sin": jnp.sin,
}


class Activations(NamedTuple):
    """What a network computes at one example; of stacked networks at K points (S, K, ...).

    Attributes
    ----------
    maps
        After each stage, (C, H, W); of a fully connected network each hidden layer, (n,). May be
        empty.
    features
        (p,) what enters the last dense layer.
    outputs
        (Q,) raw: no softmax.

    Notes
    -----
    Training, schemes and feature kernels take any network, as a pytree such as an Equinox module,
    with two methods at one example x, without an axis for the batch::

        activations(x, state) -> (Activations(maps, features, outputs), state)
        __call__(x, state) -> (outputs, state)

    and a function ``make(key) -> (model, state)``. A network without a state has None.

    Examples
    --------
    >>> class Mine(eqx.Module):
    ...     hidden: eqx.nn.Linear
    ...     last: eqx.nn.Linear
    ...     def activations(self, x, state):
    ...         h = jnp.tanh(self.hidden(x))
    ...         return Activations((h,), h, self.last(h)), state
    ...     def __call__(self, x, state):
    ...         found, state = self.activations(x, state)
    ...         return found.outputs, state
    >>> def make(key):
    ...     one, two = jax.random.split(key)
    ...     return Mine(eqx.nn.Linear(3, 4, key=one), eqx.nn.Linear(4, 2, key=two)), None
    >>> model, state = make(jax.random.key(0))
    >>> found, state = model.activations(jnp.ones(3), state)
    >>> found.features.shape, found.outputs.shape
    ((4,), (2,))
    """

    maps: tuple[Array, ...]
    features: Array
    outputs: Array


class Network(eqx.Module):
    """Stages, a readout, and one dense layer; made by `mlp`, `convnet`, `resnet` and `vgg`.

    Attributes
    ----------
    stages
        What `Activations.maps` are taken after.
    dense
        From the features to the outputs.
    readout
        How the last map becomes the features: "average" over height and width, or "flatten".
    flat
        Whether an example is taken as a vector, whatever its shape.
    """

    stages: tuple[Stage, ...]
    dense: Dense
    readout: str = eqx.field(static=True)
    flat: bool = eqx.field(static=True)

    def activations(self, x: Array, state: eqx.nn.State) -> tuple[Activations, eqx.nn.State]:
        """Return what the network computes at one example, and the state after it."""
        h = x.reshape(-1) if self.flat else x
        maps = []
        for stage in self.stages:
            h, state = stage(h, state)
            maps.append(h)
        features = h.mean((1, 2)) if self.readout == "average" else h.reshape(-1)
        return Activations(tuple(maps), features, self.dense(features)), state

    def __call__(self, x: Array, state: eqx.nn.State) -> tuple[Array, eqx.nn.State]:
        """Return the outputs (Q,) at one example, and the state after it."""
        found, state = self.activations(x, state)
        return found.outputs, state


Layer = Callable[[Array, eqx.nn.State], tuple[Array, eqx.nn.State]]


class Stage(eqx.Module):
    """Layers one after the other."""

    layers: tuple[Layer, ...]

    def __call__(self, h: Array, state: eqx.nn.State) -> tuple[Array, eqx.nn.State]:
        """Return what comes out, and the state after it."""
        for layer in self.layers:
            h, state = layer(h, state)
        return h, state


class Hidden(eqx.Module):
    """A dense or convolution layer, its normalisation and its activation."""

    linear: Dense | Convolution
    norm: eqx.nn.BatchNorm | eqx.nn.GroupNorm | None
    activation: str = eqx.field(static=True)

    def __call__(self, h: Array, state: eqx.nn.State) -> tuple[Array, eqx.nn.State]:
        """Return the layer's activations."""
        h = self.linear(h)
        if isinstance(self.norm, eqx.nn.BatchNorm):
            h, state = self.norm(h, state)
        elif self.norm is not None:
            h = self.norm(h)
        return ACTIVATIONS[self.activation](h), state


class MaxPool(eqx.Module):
    """The largest of each window; windows that are cut off at the border are left out."""

    side: int = eqx.field(static=True)
    stride: int = eqx.field(static=True)
    around: int = eqx.field(static=True)

    def __call__(self, h: Array, state: eqx.nn.State) -> tuple[Array, eqx.nn.State]:
        """Return the smaller image."""
        around = (self.around, self.around)
        return windows(h, self.side, self.stride, around, -jnp.inf).max(axis=1), state


class Residual(eqx.Module):
    """h ↦ relu(branch(h) + shortcut(h)).

    The shortcut is a 1 × 1 convolution with normalisation, or, without parameters, every
    ``stride``-th pixel with zeros for the new channels (He et al.'s options B and A).
    """

    branch: Stage
    projection: Hidden | None
    stride: int = eqx.field(static=True)

    def __call__(self, h: Array, state: eqx.nn.State) -> tuple[Array, eqx.nn.State]:
        """Return the block's activations."""
        out, state = self.branch(h, state)
        if self.projection is None:
            h = h[:, :: self.stride, :: self.stride]
            h = jnp.pad(h, ((0, len(out) - len(h)), (0, 0), (0, 0)))
        else:
            h, state = self.projection(h, state)
        return jax.nn.relu(out + h), state


class Builder(NamedTuple):
    """What the layers of one network have in common, and the keys of their starts."""

    start: Parametrization
    normalization: str | None
    keys: Iterator[Array]

    def convolution(
        self, inputs: int, outputs: int, side: int, stride: int = 1, activation: str = "relu"
    ) -> Hidden:
        """Return a convolution with its normalisation and activation."""
        biased = self.normalization is None
        linear = Convolution(inputs, outputs, side, self.start, next(self.keys), stride, biased)
        return Hidden(linear, _norm(self.normalization, outputs), activation)

    def residual(
        self, inputs: int, channels: int, outputs: int, stride: int, block: str, projected: bool
    ) -> Residual:
        """Return a residual block; its last layer has no activation before the sum."""
        if block == "basic":
            layers = (
                self.convolution(inputs, channels, 3, stride),
                self.convolution(channels, outputs, 3, 1, "linear"),
            )
        else:
            layers = (
                self.convolution(inputs, channels, 1),
                self.convolution(channels, channels, 3, stride),
                self.convolution(channels, outputs, 1, 1, "linear"),
            )
        changes = projected and (stride > 1 or inputs != outputs)
        shortcut = self.convolution(inputs, outputs, 1, stride, "linear") if changes else None
        return Residual(Stage(layers), shortcut, stride)

    def network(
        self, stages: Sequence[Stage], features: int, outputs: int, readout: str
    ) -> tuple[Network, eqx.nn.State]:
        """Return the network with its dense layer of weight variance 1, and its state."""
        start = self.start.of_variance(1.0, 0.0)
        dense = Dense(features, outputs, start, next(self.keys))
        return with_state(Network(tuple(stages), dense, readout, flat=False))


def with_state(model: Network) -> tuple[Network, eqx.nn.State]:
    """Return the model and its state apart."""
    return eqx.nn.make_with_state(lambda: model)()


def _norm(kind: str | None, channels: int) -> eqx.nn.BatchNorm | eqx.nn.GroupNorm | None:
    if kind == "batch":
        return eqx.nn.BatchNorm(channels, AXIS, momentum=MOMENTUM, dtype=jnp.float32, mode="batch")
    if kind == "group":
        return eqx.nn.GroupNorm(math.gcd(GROUPS, channels), channels, dtype=jnp.float32)
    return None
