"""The empirical tangent kernel of a network: Θ(x, s) = J(x) J(s)ᵀ, J = ∂f_θ/∂θ."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hilbertsd import inputs
from hilbertsd.errors import HilbertSDError
from hilbertsd.nets.contraction import Features, contract, features, products
from hilbertsd.nets.functional import Network, PointFunction, Question, pose
from hilbertsd.nets.layers import Layer, trace
from hilbertsd.nets.plan import METHODS, Plan, Task, choose

Array = Any

MEMORY = 2**30
"""Bytes beside the result unless the user says otherwise."""


def empirical_ntk(
    f: Network,
    params: Any,
    x: Array,
    s: Array | None = None,
    *,
    outputs: str | int = "mean",
    method: str = "auto",
    memory: int = MEMORY,
    batch: int | None = None,
    dtype: str | None = None,
) -> np.ndarray:
    """Return the empirical neural tangent kernel of all pairs of points, without a 1/K.

    Θ[i, j] = Σ_p ∂f(x_i)/∂θ_p · ∂f(s_j)/∂θ_p (Jacot et al. 2018, (5)), block by block in bounded
    memory. Without s it is exactly symmetric, and positive semidefinite up to rounding. A Gram
    matrix is ``empirical_ntk(f, params, x) / len(x)``.

    Parameters
    ----------
    f : callable
        ``f(params, x)`` with a batch x and outputs that do not depend on each other's points: an
        ``apply`` function of any library, or what `as_function` makes of an Equinox model.
    params : pytree
        Every floating-point array in it is a parameter.
    x, s : (n, ...) and (m, ...) arrays
        The points.
    outputs : "mean", "all" or int
        Of Q outputs: the mean (1/Q) Σ_q Θ_qq, shape (n, m); all of them, shape (nQ, mQ), row
        i Q + q for output q of point i; or one of them, shape (n, m).
    method : "auto", "jacobian", "structured" or "products"
        Gradients stored and contracted; for dense and convolution layers by the factors of their
        gradients; one product with J Jᵀ a column. "auto" takes the least counted operations that
        fit the memory: see `tangent_plan`.
    memory : int
        Bytes beside the result, as counted.
    batch : int, optional
        Points at a time, instead of as many as fit the memory.
    dtype : "float64" or "float32", optional
        To compute in; by default the type of the parameters. JAX's configuration is left alone.

    Returns
    -------
    np.ndarray

    Raises
    ------
    HilbertSDError
        If the outputs of one point depend on the others (batch normalisation in training mode), if
        an argument is out of range, or if nothing fits the memory.

    Examples
    --------
    >>> def f(params, x):                       # one linear layer: Θ = (1 + ⟨x, s⟩) I
    ...     return x @ params["w"] + params["b"]
    >>> params = {"w": np.zeros((3, 2)), "b": np.zeros(2)}
    >>> x = np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    >>> empirical_ntk(f, params, x)
    array([[2., 1.],
           [1., 5.]])
    >>> empirical_ntk(f, params, x, outputs="all").shape
    (4, 4)
    """
    asked = pose(f, params, x, s, outputs, dtype)
    with asked.precision():
        return _blockwise(asked, _plan(asked, method, memory, batch))


def tangent_plan(
    f: Network,
    params: Any,
    x: Array,
    s: Array | None = None,
    *,
    outputs: str | int = "mean",
    method: str = "auto",
    memory: int = MEMORY,
    batch: int | None = None,
    dtype: str | None = None,
) -> Plan:
    """Return how `empirical_ntk` would go about it: the counts of every method, and the choice.

    Nothing is computed. Parameters and errors are those of `empirical_ntk`.

    Examples
    --------
    >>> f = lambda params, x: jnp.tanh(x @ params[0]) @ params[1]
    >>> params = [np.zeros((20, 500)), np.zeros((500, 10))]
    >>> plan = tangent_plan(f, params, np.zeros((100, 20)), outputs="all")
    >>> plan.method, [(layer.inputs, layer.outputs) for layer in plan.factored]
    ('structured', [(20, 500), (500, 10)])
    >>> plan.costs["jacobian"].operations > 10 * plan.costs["structured"].operations
    True
    """
    asked = pose(f, params, x, s, outputs, dtype)
    with asked.precision():
        return _plan(asked, method, memory, batch)


def _plan(asked: Question, method: str, memory: int, batch: int | None) -> Plan:
    inputs.one_of("method", method, ("auto", *METHODS))
    for name, value in (("memory", memory), ("batch", batch)):
        if value is not None:
            inputs.whole_number(name, value, least=1)
    graph = trace(asked.function, asked.leaves, asked.x[0])
    task = Task(
        rows=len(asked.x),
        columns=len(asked.x if asked.s is None else asked.s),
        symmetric=asked.s is None,
        outputs=asked.outputs,
        traced=asked.traced,
        itemsize=asked.dtype.itemsize,
        memory=int(memory),
        batch=batch,
    )
    return choose(graph, [leaf.size for leaf in asked.leaves], task, method)


# --- block by block


@partial(jax.jit, static_argnames=("function", "factored"))
def _features(leaves, x, function: PointFunction, factored: tuple[Layer, ...]) -> Features:
    return features(trace(function, leaves, x[0]), factored, leaves, x)


_contract = jax.jit(contract, static_argnames="traced")


@partial(jax.jit, static_argnames=("function", "traced"))
def _products(leaves, x, s, function: PointFunction, traced: bool) -> Array:
    return products(trace(function, leaves, x[0]), leaves, x, s, traced)


def _blockwise(asked: Question, plan: Plan) -> np.ndarray:
    rows = _blocks(asked.x, plan.batch)
    columns = rows if asked.s is None else _blocks(asked.s, plan.batch)
    n, m = len(asked.x), len(asked.x if asked.s is None else asked.s)
    width = 1 if asked.traced else asked.outputs
    values = np.empty((n * width, m * width), asked.dtype)
    step = plan.batch * width

    def kept(points: Array) -> Features:
        return _features(asked.leaves, points, asked.function, plan.factored)

    for i, here in enumerate(rows):
        mine = None if plan.method == "products" else kept(here)
        for j, there in enumerate(columns[: i + 1] if asked.s is None else columns):
            if mine is None:
                block = _products(asked.leaves, here, there, asked.function, asked.traced)
            else:
                theirs = mine if there is here else kept(there)
                block = _contract(mine, theirs, traced=asked.traced)
            block = np.asarray(block).reshape(step, -1)
            if there is here:
                block = (block + block.T) / 2
            part = values[i * step : (i + 1) * step, j * step : (j + 1) * step]
            part[:] = block[: part.shape[0], : part.shape[1]]
            if asked.s is None and j < i:
                values[j * step : (j + 1) * step, i * step : (i + 1) * step] = part.T
    if not np.isfinite(values).all():
        at = tuple(int(k) // width for k in np.argwhere(~np.isfinite(values))[0])
        raise HilbertSDError(
            f"the tangent kernel of points {at[0]} and {at[1]} is not finite; look for an overflow "
            "in the network, or a derivative of √ or of a norm at 0."
        )
    return values


def _blocks(points: Array, size: int) -> list[Array]:
    """Return the points in blocks of one size, so that one program serves all; the last repeats."""
    missing = -len(points) % size
    filled = jnp.concatenate([points, jnp.repeat(points[:1], missing, axis=0)])
    return [filled[i : i + size] for i in range(0, len(filled), size)]
