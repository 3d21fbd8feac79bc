"""Teachers as constants: what they say at the training points, alone, together, and with noise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from hilbertsd import inputs as check
from hilbertsd.errors import HilbertSDError
from hilbertsd.nets.blocks import Activations
from hilbertsd.nets.protocol import activation_shapes
from hilbertsd.nets.supervised import POINTS
from hilbertsd.nets.training import applied

Array = Any

KERNELS = ("linear", "correlation")
NOISES = ("additive", "multiplicative")


def observe(
    model: Any,
    state: Any,
    x: Array,
    *,
    seeds_in: str | None = None,
    devices: Sequence[Any] | None = None,
) -> Activations:
    """Return what stacked networks compute at points, in inference mode: maps, features, outputs.

    A teacher of `distill` is this, so it is a constant and never sees statistics of a batch.

    Parameters
    ----------
    model, state : pytrees
        S networks, as from `hilbertsd.nets.train`.
    x : (K, ...)
        Points.
    seeds_in, devices
        As for `hilbertsd.nets.train`.

    Returns
    -------
    Activations
        Each array (S, K, ...).

    Raises
    ------
    HilbertSDError
        If the networks do not offer their activations, or cannot be called with the points.

    Examples
    --------
    >>> from hilbertsd.nets import initialise, keys, mlp
    >>> networks = initialise(lambda key: mlp(3, 2, (4,), key=key), keys([0, 1]))
    >>> found = observe(*networks, np.ones((5, 3), np.float32))
    >>> found.features.shape, found.outputs.shape
    ((2, 5, 4), (2, 5, 2))
    """
    activation_shapes(model, state, x)
    return applied(_observed, model, state, jnp.asarray(x), seeds_in, devices)


def batch_activations(model: Any, state: Any, x: Array) -> Activations:
    """Return what one network computes at a batch in inference mode, as a constant."""
    model = eqx.nn.inference_mode(model)
    return lax.stop_gradient(jax.vmap(lambda point: model.activations(point, state)[0])(x))


def _observed(model: Any, state: Any, x: Array) -> Activations:
    model = eqx.nn.inference_mode(model)
    return lax.map(lambda point: model.activations(point, state)[0], x, batch_size=POINTS)


def constant(name: str, said: Any) -> Activations:
    """Return what a teacher says, if that is what it is."""
    if not isinstance(said, Activations):
        raise HilbertSDError(
            f"{name} must be what networks say at the training points, got "
            f"{type(said).__name__}; pass observe(student.model, student.state, data.x_train)."
        )
    return said


def ensemble(
    members: Sequence[Activations], *, temperature: float = 1.0, kernel: str = "linear"
) -> Activations:
    """Return several teachers as one: their mean prediction and their mean kernel.

    Its outputs z have softmax(z/ρ) = (1/E) Σ_e softmax(z_e/ρ). Its features are the members' side
    by side over √E, so that F Fᵀ = (1/E) Σ_e F_e F_eᵀ; its maps likewise, along the channels.

    Parameters
    ----------
    members : sequence of Activations
        E teachers at the same points, each array (S, K, ...), of the same stages.
    temperature : float
        ρ > 0, the temperature of the objective that takes the outputs.
    kernel : "linear" or "correlation"
        Which kernels of features are averaged; with "correlation" every F_e has its rows brought
        to unit norm first, and F Fᵀ is the mean of the R_e.

    Raises
    ------
    HilbertSDError
        If there is no member, or they do not go together.

    Notes
    -----
    Hinton, Vinyals & Dean 2015 (predictions); He & Ozay 2022 (kernels).

    Examples
    --------
    >>> one = Activations((), np.array([[[1.0, 0.0]]]), np.array([[[0.0, 0.0]]]))
    >>> other = Activations((), np.array([[[2.0]]]), np.array([[[np.log(3.0), 0.0]]]))
    >>> both = ensemble([one, other])
    >>> np.round(np.exp(both.outputs), 3).tolist(), float((both.features ** 2).sum().round(6))
    ([[[0.625, 0.375]]], 2.5)
    """
    if isinstance(members, Activations) or not isinstance(members, Iterable):
        raise HilbertSDError(
            f"members must be several teachers, such as [first, second], got one "
            f"{type(members).__name__}."
        )
    found = [constant("a member", one) for one in members]
    check.one_of("kernel", kernel, KERNELS)
    if not found:
        raise HilbertSDError("an ensemble needs at least one member.")
    check.positive("temperature", temperature)
    shapes = {(m.outputs.shape, m.features.shape[:2], len(m.maps)) for m in found}
    if len(shapes) > 1:
        raise HilbertSDError(
            f"members have {sorted(shapes)} as shapes of outputs, of (seeds, points), and numbers "
            "of maps; all need the same."
        )
    share = len(found) ** -0.5
    logs = [jax.nn.log_softmax(jnp.asarray(m.outputs) / temperature) for m in found]
    mean = jax.nn.logsumexp(jnp.stack(logs), axis=0) - math.log(len(found))
    features = [jnp.asarray(m.features) for m in found]
    if kernel == "correlation":
        features = [_unit(F) for F in features]
    try:
        maps = tuple(
            share * jnp.concatenate(stage, axis=2)
            for stage in zip(*(m.maps for m in found), strict=True)
        )
    except (TypeError, ValueError) as error:
        raise HilbertSDError(f"members' maps do not fit side by side: {error}") from None
    return Activations(maps, share * jnp.concatenate(features, axis=-1), temperature * mean)


def _unit(rows: Array) -> Array:
    norm = jnp.sqrt(jnp.sum(rows**2, axis=-1, keepdims=True))
    return rows / jnp.maximum(norm, np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Noise:
    """Gaussian noise on a teacher's logits, drawn anew in every step (`noisy`).

    Attributes
    ----------
    fraction
        Probability that a sample's logits are disturbed, the paper's α.
    deviation
        σ.
    kind
        "additive" or "multiplicative".
    """

    fraction: float = 0.5
    deviation: float = 1.0
    kind: str = "additive"

    def __post_init__(self) -> None:
        check.rate("fraction", self.fraction)
        check.nonnegative("deviation", self.deviation)
        check.one_of("kind", self.kind, NOISES)


def noisy(outputs: Array, noise: Noise, key: Array) -> Array:
    """Return logits (B, Q) with noise on a random part of the samples.

    z_i + b_i ξ_i, or "multiplicative" (1 + b_i ξ_i) z_i entry by entry, with b_i one with
    probability ``fraction`` and else zero, ξ_i ~ N(0, σ² I).

    Notes
    -----
    Sau & Balasubramanian 2016.

    Examples
    --------
    >>> import jax
    >>> changed = noisy(jax.numpy.ones((1000, 3)), Noise(0.8), jax.random.key(0)) != 1
    >>> bool((changed.all(1) == changed.any(1)).all()), 0.75 < changed.mean() < 0.85
    (True, Array(True, dtype=bool))
    """
    for_choice, for_size = jax.random.split(key)
    chosen = jax.random.bernoulli(for_choice, noise.fraction, (len(outputs), 1))
    size = noise.deviation * jax.random.normal(for_size, outputs.shape, outputs.dtype)
    if noise.kind == "multiplicative":
        size = size * outputs
    return outputs + jnp.where(chosen, size, 0)
