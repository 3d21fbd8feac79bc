"""Inner products of gradients: by the gradients, by the layers' factors, or by products with J Jᵀ.

J is the derivative of the outputs by all parameters; the empirical tangent kernel is Θ = J Jᵀ. All
functions here are traceable by JAX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from hilbertsd.nets.layers import Graph, Layer, bind, by_place, evaluate, perturbed, preactivation

Array = Any


class Features(NamedTuple):
    """What the kernel needs of n points with Q outputs each."""

    gradients: tuple[Array, ...]
    """(n, Q, p) by the p entries of each array of parameters that is not kept by its factors."""
    inputs: tuple[Array, ...]
    """(n, places, inputs) of each layer that is."""
    derivatives: tuple[Array, ...]
    """(n, Q, places, outputs) of the outputs by that layer's preactivations."""


def features(
    graph: Graph, factored: Sequence[Layer], leaves: Sequence[Array], x: Array
) -> Features:
    """Return the features of the points x; the layers named are kept by their factors.

    Gradients of layers with several places, convolutions above all, are formed from the factors as
    matrix products: six times faster on a CPU than the backward convolution under vmap.
    """
    factors = [layer for layer in graph.layers if layer in factored or layer.places > 1]
    taken = {layer.leaf for layer in factors}
    rest = [i for i in range(graph.leaves) if i not in taken]

    def of_one(example: Array) -> Features:
        def forward(parameters, shifts):
            full = list(leaves)
            for i, value in zip(rest, parameters, strict=True):
                full[i] = value
            return perturbed(graph, factors, full, example, shifts)

        shapes = [preactivation(layer, graph) for layer in factors]
        shifts = [jnp.zeros(s.shape, s.dtype) for s in shapes]
        output, pullback, inputs = jax.vjp(forward, [leaves[i] for i in rest], shifts, has_aux=True)
        basis = jnp.eye(len(output), dtype=output.dtype)
        others, shifted = jax.vmap(pullback)(basis)
        gradients = [g.reshape(len(basis), -1) for g in others]
        kept = []
        for layer, h, d in zip(factors, inputs, shifted, strict=True):
            d = by_place(layer, graph, d)
            if layer in factored:
                kept.append((h, d))
            else:
                gradients.append(jnp.einsum("ti,qto->qio", h, d).reshape(len(basis), -1))
        return Features(tuple(gradients), tuple(h for h, _ in kept), tuple(d for _, d in kept))

    return jax.vmap(of_one)(x)


def contract(one: Features, other: Features, traced: bool) -> Array:
    """Return Θ between two sets of points: (n, Q, m, Q), or (n, m) of (1/Q) Σ_q Θ_qq if traced."""
    total = sum(_inner(a, b, traced) for a, b in zip(one.gradients, other.gradients, strict=True))
    for h, d, k, e in zip(
        one.inputs, one.derivatives, other.inputs, other.derivatives, strict=True
    ):
        total = total + (_dense if h.shape[1] == 1 else _places)(h, d, k, e, traced)
    return total


def _inner(a: Array, b: Array, traced: bool) -> Array:
    """Return the inner products over the last axes of (n, Q, ...) and (m, Q, ...)."""
    (n, outputs), m = a.shape[:2], len(b)
    if traced:
        return a.reshape(n, -1) @ b.reshape(m, -1).T / outputs
    flat = a.reshape(n * outputs, -1) @ b.reshape(m * outputs, -1).T
    return flat.reshape(n, outputs, m, outputs)


def _dense(h: Array, d: Array, k: Array, e: Array, traced: bool) -> Array:
    # ⟨δ hᵀ, ε kᵀ⟩ = ⟨h, k⟩⟨δ, ε⟩: a Kronecker product, point by point.
    product = h[:, 0] @ k[:, 0].T
    return (product if traced else product[:, None, :, None]) * _inner(d, e, traced)


def _places(h: Array, d: Array, k: Array, e: Array, traced: bool) -> Array:
    # ⟨Σ_t δ_t h_tᵀ, Σ_s ε_s k_sᵀ⟩ = Σ_ts ⟨h_t, k_s⟩⟨δ_t, ε_s⟩, one point at a time.
    def row(point):
        h_t, d_t = point
        inputs = jnp.einsum("ti,msi->mts", h_t, k)
        if traced:
            return jnp.einsum("mts,qto,mqso->m", inputs, d_t, e) / len(d_t)
        return jnp.einsum("mts,qto,mrso->qmr", inputs, d_t, e)

    return lax.map(row, (h, d))


def products(graph: Graph, leaves: Sequence[Array], x: Array, s: Array, traced: bool) -> Array:
    """Return what `contract` does, one product with J Jᵀ a column: no gradient is stored twice."""

    def outputs(parameters: list[Array], points: Array) -> Array:
        def one(example):
            return evaluate(graph.jaxpr, [*parameters, example], lambda _, e, v: bind(e, v))[0]

        return jax.vmap(one)(points)

    values, pushforward = jax.linearize(lambda p: outputs(p, x), list(leaves))
    size = values.shape[1]
    basis = jnp.eye(size, dtype=values.dtype)

    def columns(point):
        _, pullback = jax.vjp(lambda p: outputs(p, point[None])[0], list(leaves))
        if traced:

            def add(total, direction):
                (gradient,) = pullback(direction)
                return total + pushforward(gradient) @ direction, None

            return lax.scan(add, jnp.zeros(len(x), values.dtype), basis)[0] / size
        return lax.map(lambda direction: pushforward(*pullback(direction)), basis)

    found = lax.map(columns, s)  # (m, n), or (m, Q, n, Q) with the column's output first
    return found.T if traced else jnp.transpose(found, (2, 3, 0, 1))
