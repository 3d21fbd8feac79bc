"""Features of trained networks: what enters their last layer, and so what that layer can learn.

With features F (K, p) of a network at the training points, its feature kernel is K = F Fᵀ, in this
package's normalisation G = F Fᵀ/K. Training the last layer alone by squared error,

    min_W (1/K) ‖F W − Y‖² + c ‖W‖²,

is kernel regression with it: F W = G (c I + G)⁻¹ Y (He & Ozay, ICLR 2022). So

    G = gram(kernels.linear(), F);  chain = self_distill(G, Y, eps)

is what distilling the last layer does, ``primal_coef(F, chain.dual_coef[t])`` the layer of round t,
and ``chain.predict(cross_gram(kernels.linear(), F_new, F), t)`` its outputs elsewhere. A column of
ones beside the features is a bias with a penalty; centred features and targets a bias without.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax

from hilbertsd.nets.protocol import activation_shapes
from hilbertsd.nets.supervised import POINTS
from hilbertsd.nets.training import applied

Array = Any


def network_features(
    model: Any,
    state: Any,
    x: Array,
    *,
    seeds_in: str | None = None,
    devices: Sequence[Any] | None = None,
) -> np.ndarray:
    """Return the features of stacked networks in inference mode, shape (S, n, p), in float64.

    The networks compute in the precision of their parameters; what follows (Gram matrices, chains)
    takes their numbers as they are.

    Parameters
    ----------
    model, state : pytrees
        Stacked over the seeds, as from `train` or `initialise`; with an ``activations`` method as
        the networks of `hilbertsd.nets` have it.
    x : (n, ...) array
        Points.
    seeds_in, devices
        As for `train`.

    Raises
    ------
    HilbertSDError
        If the networks have no such method, or cannot be called with the points.

    Examples
    --------
    >>> from hilbertsd.nets import initialise, keys, mlp
    >>> networks = initialise(lambda key: mlp(3, 2, (4,), key=key), keys([0, 1]))
    >>> network_features(*networks, np.ones((5, 3), np.float32)).shape
    (2, 5, 4)
    """
    activation_shapes(model, state, x)
    found = applied(_features, model, state, jnp.asarray(x), seeds_in, devices)
    return np.asarray(found, dtype=np.float64)


def _features(model: Any, state: Any, x: Array) -> Array:
    """Return the features of one network, some points at a time."""
    model = eqx.nn.inference_mode(model)
    return lax.map(lambda point: model.activations(point, state)[0].features, x, batch_size=POINTS)
