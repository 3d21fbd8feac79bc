"""The empirical tangent kernel as an operator: products with vectors, and no entries."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from hilbertsd import inputs
from hilbertsd.errors import HilbertSDError
from hilbertsd.nets.functional import Network, PointFunction, Question, pose
from hilbertsd.nets.layers import trace
from hilbertsd.nets.tangent import MEMORY, empirical_ntk

Array = Any

SAMPLE = 8
"""Points on whose pairs the rounding of the kernel is measured."""
SAFETY = 4.0
"""The sample's largest error, times this, is stated as the error of all entries."""


@dataclass(frozen=True, eq=False)
class TangentOperator:
    """G = Θ/K of K points, for `hilbertsd.self_distill`; made by `tangent_operator`.

    Attributes
    ----------
    shape : (N, N)
        N = K, or K Q where all Q outputs were asked for: then entry i Q + q belongs to output q of
        point i.
    dtype : numpy.dtype
        The type that the network is computed in.
    unit : float
        Relative rounding of the matrix that is applied, its entries against max |Θ|, estimated.
    batch : int
        Points at a time.
    """

    shape: tuple[int, int]
    dtype: np.dtype
    unit: float
    batch: int
    _apply: Callable[[np.ndarray], np.ndarray] = field(repr=False)

    def matvec(self, v: Any) -> np.ndarray:
        """Return the product with a vector, (N,) -> (N,), NumPy float64.

        Raises
        ------
        HilbertSDError
            If v is not (N,), or holds something else than finite real numbers.
        """
        return self._apply(self._vectors("v", v, 1)[:, None])[:, 0]

    def matmat(self, V: Any) -> np.ndarray:
        """Return the product with m vectors, (N, m) -> (N, m), NumPy float64.

        Raises
        ------
        HilbertSDError
            If V is not (N, m), or holds something else than finite real numbers.
        """
        return self._apply(self._vectors("V", V, 2))

    def __matmul__(self, other: Any) -> np.ndarray:
        return self.matmat(other) if np.ndim(other) == 2 else self.matvec(other)

    def _vectors(self, name: str, v: Any, axes: int) -> np.ndarray:
        v = inputs.real_array(name, v)
        if v.ndim != axes or len(v) != self.shape[0]:
            wanted = f"({self.shape[0]},)" if axes == 1 else f"({self.shape[0]}, m)"
            raise HilbertSDError(f"{name} has shape {v.shape}; the operator takes {wanted}.")
        return v


def tangent_operator(
    f: Network,
    params: Any,
    x: Array,
    *,
    outputs: str | int = "mean",
    memory: int = MEMORY,
    batch: int | None = None,
    dtype: str | None = None,
) -> TangentOperator:
    """Return the Gram operator G = Θ/K of the empirical tangent kernel at K points.

    G v = J (Jᵀ v)/K, one backward and one forward sweep over the points, in memory for a few
    gradients and one batch; with ``outputs="mean"`` of Q outputs it takes Q of them.

    Parameters
    ----------
    f, params, x, outputs, dtype
        As for `empirical_ntk`.
    memory : int
        Bytes, as counted from the gradient and from what the network writes for a point.
    batch : int, optional
        Points at a time, instead of as many as fit the memory.

    Returns
    -------
    TangentOperator
        With `shape`, `dtype`, `unit`, `matvec` and `matmat`.

    Raises
    ------
    HilbertSDError
        As for `empirical_ntk`.

    Examples
    --------
    >>> def f(params, x):                       # one linear layer: Θ = (1 + ⟨x, s⟩) I
    ...     return x @ params["w"] + params["b"]
    >>> params = {"w": np.zeros((3, 2)), "b": np.zeros(2)}
    >>> x = np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    >>> G = tangent_operator(f, params, x)
    >>> G @ np.eye(2)
    array([[1. , 0.5],
           [0.5, 2.5]])
    """
    asked = pose(f, params, x, None, outputs, dtype)
    with asked.precision():
        size = _batch(asked, memory, batch)
        missing = -len(asked.x) % size
        filled = jnp.concatenate([asked.x, jnp.repeat(asked.x[:1], missing, axis=0)])
        blocks = filled.reshape(-1, size, *asked.x.shape[1:])
    count, width = len(asked.x), 1 if asked.traced else asked.outputs
    together = max(1, memory // (4 * asked.dtype.itemsize * sum(a.size for a in asked.leaves)))

    def apply(vectors: np.ndarray) -> np.ndarray:
        columns = vectors.shape[1]
        padded = np.zeros((columns, blocks.shape[0] * size, width))
        padded[:, :count] = vectors.T.reshape(columns, count, width)
        with asked.precision():
            found = _products(
                asked.leaves,
                blocks,
                jnp.asarray(padded.reshape(columns, -1, size, width), asked.dtype),
                asked.function,
                asked.traced,
                min(together, columns * (asked.outputs if asked.traced else 1)),
            )
            result = np.asarray(found, float)
        result = result.reshape(columns, -1, width)[:, :count].reshape(columns, -1)
        return result.T / count

    shape = (count * width, count * width)
    return TangentOperator(shape, asked.dtype, _unit(f, params, outputs, asked), size, apply)


def _batch(asked: Question, memory: int, batch: int | None) -> int:
    for name, value in (("memory", memory), ("batch", batch)):
        if value is not None:
            inputs.whole_number(name, value, least=1)
    if batch is not None:
        return min(batch, len(asked.x))
    graph = trace(asked.function, asked.leaves, asked.x[0])
    fixed = 4 * sum(leaf.size for leaf in asked.leaves)
    one = 2 * graph.activations
    most = (memory // asked.dtype.itemsize - fixed) // max(1, one)
    if most < 1:
        raise HilbertSDError(
            f"a product takes about {(fixed + one) * asked.dtype.itemsize} bytes for one point at "
            f"a time, above memory={memory}; raise memory."
        )
    blocks = math.ceil(len(asked.x) / most)
    return math.ceil(len(asked.x) / blocks)


@partial(jax.jit, static_argnames=("function", "traced", "together"))
def _products(
    leaves, blocks, vectors, function: PointFunction, traced: bool, together: int
) -> Array:
    """Return Θ v for v of shape (columns, blocks, batch, width), in the same shape."""

    def outputs(parameters, points):
        return jax.vmap(lambda point: function(parameters, point))(points)

    def product(v: Array) -> Array:  # (blocks, batch, Q)
        def back(gradient, block):
            points, weights = block
            _, pullback = jax.vjp(lambda p: outputs(p, points), leaves)
            return jax.tree.map(jnp.add, gradient, pullback(weights)[0]), None

        gradient, _ = lax.scan(back, jax.tree.map(jnp.zeros_like, leaves), (blocks, v))
        return lax.map(
            lambda points: jax.jvp(lambda p: outputs(p, points), (leaves,), (gradient,))[1], blocks
        )

    if not traced:
        return lax.map(product, vectors, batch_size=together)
    size = len(jax.eval_shape(function, leaves, blocks[0, 0]))
    basis = jnp.eye(size, dtype=vectors.dtype)
    spread = (vectors[:, None] * basis[:, None, None, :]).reshape(-1, *vectors.shape[1:3], size)
    found = lax.map(product, spread, batch_size=together)
    found = found.reshape(len(vectors), size, *found.shape[1:])
    return jnp.einsum("cqnbq->cnb", found)[..., None] / size


def _unit(f: Network, params: Any, outputs: str | int, asked: Question) -> float:
    """Return the rounding of the kernel's entries: float32 measured against float64, and scaled."""
    x = np.asarray(asked.x)
    sample = x[:: max(1, len(x) // SAMPLE)][:SAMPLE]
    single, double = (
        empirical_ntk(f, params, sample, outputs=outputs, dtype=kind)
        for kind in ("float32", "float64")
    )
    error = float(np.abs(single - double).max() / max(np.abs(double).max(), 1e-300))
    ratio = float(np.finfo(asked.dtype).eps / np.finfo(np.float32).eps)
    return max(float(np.finfo(asked.dtype).eps), SAFETY * error * ratio)
