"""The one-hidden-layer network of the multi-view theory, and which features it has learned."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from hilbertsd import inputs as check
from hilbertsd.nets.blocks import Activations

Array = Any


def smoothed_relu(z: Array, q: int = 4, threshold: float = 1.0) -> Array:
    """Return σ(z) = 0 for z ≤ 0, z^q/(q ϱ^{q−1}) on [0, ϱ], z − (1 − 1/q)ϱ above.

    It is continuously differentiable for q ≥ 2, with slope (z/ϱ)^{q−1} on [0, ϱ]: a unit that is
    twice as well aligned with a feature learns it 2^{q−1} times as fast.

    Parameters
    ----------
    z
        Of any shape.
    q, threshold
        The power, and ϱ, above which the function is linear.

    References
    ----------
    Allen-Zhu & Li 2023 (there ReLU with a tilde).

    Examples
    --------
    >>> smoothed_relu(jnp.array([-1.0, 0.0, 1.0, 3.0])).tolist()
    [0.0, 0.0, 0.25, 2.25]
    """
    power = jnp.clip(z, 0, threshold) ** q / (q * threshold ** (q - 1))
    return power + jnp.maximum(z - threshold, 0)


class PatchNetwork(eqx.Module):
    """F_i(X) = Σ_r Σ_p σ(⟨w_{i,r}, x_p⟩): m hidden units a class, their sum is its logit.

    The features h of an input are its k m hidden units, summed over patches; the last layer has
    ones within a class and is not trained.

    Attributes
    ----------
    weights
        (k, m, d).
    q, threshold
        Of :func:`smoothed_relu`.
    """

    weights: Array
    q: int = eqx.field(static=True)
    threshold: float = eqx.field(static=True)

    def activations(self, x: Array, state: eqx.nn.State) -> tuple[Activations, eqx.nn.State]:
        """Return the units at every patch, (k m, P), the features (k m,) and the logits (k,)."""
        classes, width, dimension = self.weights.shape
        units = self.weights.reshape(classes * width, dimension)
        found = smoothed_relu(x @ units.T, self.q, self.threshold)
        features = found.sum(0)
        outputs = features.reshape(classes, width).sum(1)
        return Activations((found.T,), features, outputs), state

    def __call__(self, x: Array, state: eqx.nn.State) -> tuple[Array, eqx.nn.State]:
        """Return the logits (k,) of the patches x (P, d), and the state."""
        found, state = self.activations(x, state)
        return found.outputs, state


def patch_network(
    dimension: int,
    classes: int,
    width: int,
    *,
    scale: float | None = None,
    q: int = 4,
    threshold: float = 1.0,
    key: Array,
) -> tuple[PatchNetwork, eqx.nn.State]:
    """Return a network with weights drawn from N(0, scale²), and its (empty) state.

    Parameters
    ----------
    dimension, classes, width
        d of a patch, k, and the hidden units m of a class.
    scale
        Standard deviation σ_0 of the entries; 1/√k, as in the theory, by default.
    q, threshold
        Of :func:`smoothed_relu`.
    key
        A key of `jax.random`.

    Raises
    ------
    HilbertSDError
        If a size is below 1, q below 2, or the threshold or the scale is not positive.

    References
    ----------
    Allen-Zhu & Li 2023; He & Ozay 2022.

    Examples
    --------
    >>> network, state = patch_network(16, 3, 4, key=jax.random.key(0))
    >>> outputs, state = network(jnp.ones((5, 16)), state)
    >>> outputs.shape
    (3,)
    """
    sizes = {"dimension": dimension, "classes": classes, "width": width}
    for name, size in sizes.items():
        check.whole_number(name, size, least=1)
    check.whole_number("q", q, least=2)
    threshold = check.positive("threshold", threshold)
    spread = check.positive("scale", classes**-0.5 if scale is None else scale)
    weights = spread * jax.random.normal(key, (classes, width, dimension), jnp.float32)
    return eqx.nn.make_with_state(PatchNetwork)(weights, int(q), threshold)


def feature_scores(weights: Array, directions: Array) -> Array:
    """Return Λ_{j,l} = max_r [⟨w_{j,r}, v_{j,l}⟩]⁺, how well class j sees its feature l.

    Parameters
    ----------
    weights
        (..., k, m, d).
    directions
        (k, L, d) the features v_{j,l} of each class, orthonormal.

    Returns
    -------
    Array
        (..., k, L), in units of the patches' strengths: a patch z v_{j,l} alone gives the best unit
        the preactivation z Λ_{j,l}.

    References
    ----------
    Allen-Zhu & Li 2023, in the proofs (Λ_{i,l}).

    Examples
    --------
    >>> directions = jnp.eye(4).reshape(2, 2, 4)
    >>> feature_scores(jnp.array([[[3.0, 0, 0, 9]], [[0, 0, -1, 2]]]), directions).tolist()
    [[3.0, 0.0], [0.0, 2.0]]
    """
    products = jnp.einsum("...krd,kld->...krl", weights, directions)
    return jnp.maximum(products, 0).max(-2)
