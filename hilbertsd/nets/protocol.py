"""What a network must offer, and what is said of one that does not.

A network is a pytree, such as an Equinox module, with two methods. Both take one example x, without
an axis for the batch, and the network's state, which may be None::

    activations(x, state) -> (Activations(maps, features, outputs), state)
    __call__(x, state) -> (outputs, state)

Training alone calls the second; schemes, objectives and feature kernels need the first. A function
``make(key) -> (model, state)`` makes one from a key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from hilbertsd.errors import HilbertSDError
from hilbertsd.nets.blocks import Activations
from hilbertsd.nets.training import initialise

Array = Any
Make = Callable[[Array], tuple[Any, Any]]


def made(make: Make, keys: Array) -> tuple[Any, Any]:
    """Return model and state of every key, stacked."""
    found = initialise(make, keys)
    if not isinstance(found, tuple) or len(found) != 2:
        raise HilbertSDError(
            f"make(key) must return (model, state), got {type(found).__name__}; a network without "
            "a state is returned as model, None."
        )
    return found


def activation_shapes(model: Any, state: Any, x: Array) -> Activations:
    """Return shapes of what stacked networks compute at one point, as `jax.ShapeDtypeStruct`s."""
    if not hasattr(model, "activations"):
        name = type(model).__name__
        if hasattr(model, "model"):
            raise HilbertSDError(f"{name} is no network; pass its .model and .state.")
        raise HilbertSDError(
            f"{name} has no method activations(x, state), which returns (Activations(maps, "
            "features, outputs), state) at one example; hilbertsd.nets.Activations says what these "
            "are."
        )
    found = _at_a_point(lambda network, *args: network.activations(*args), model, state, x)
    if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], Activations)):
        raise HilbertSDError(
            f"activations of {type(model).__name__} must return (Activations(maps, features, "
            f"outputs), state), got {type(found).__name__}."
        )
    seen = found[0]
    for name in ("features", "outputs"):
        _require_vector(name, getattr(seen, name), model)
    return seen


def output_count(model: Any, state: Any, x: Array) -> int:
    """Return Q, the number of outputs of stacked networks at one point."""
    found = _at_a_point(lambda network, *args: network(*args), model, state, x)
    if not isinstance(found, tuple) or len(found) != 2:
        raise HilbertSDError(
            f"{type(model).__name__} must return (outputs, state) at one example, got "
            f"{type(found).__name__}."
        )
    return _require_vector("outputs", found[0], model)


def _require_vector(name: str, found: Any, model: Any) -> int:
    shape = getattr(found, "shape", None)
    if shape is None or len(shape) != 1:
        raise HilbertSDError(
            f"{name} of {type(model).__name__} must be a vector at one example, got "
            f"{type(found).__name__ if shape is None else shape}."
        )
    return shape[0]


def _at_a_point(function: Callable[..., Any], model: Any, state: Any, x: Array) -> Any:
    """Return shapes of ``function(model, point, state)`` of one network, in inference mode."""

    def of_one(model: Any, state: Any, point: Array) -> Any:
        return function(eqx.nn.inference_mode(model), point, state)

    x = jnp.asarray(x)
    each = eqx.filter_vmap(of_one, in_axes=(eqx.if_array(0), eqx.if_array(0), None))
    point = jax.ShapeDtypeStruct(x.shape[1:], x.dtype)
    try:
        found = eqx.filter_eval_shape(each, model, state, point)
    except HilbertSDError:
        raise
    except (TypeError, ValueError, IndexError) as error:
        raise HilbertSDError(
            f"{type(model).__name__} fails at one point of shape {point.shape}: {error} A network "
            "takes (x, state), x without an axis for the batch, and must be made for such points."
        ) from error
    return jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype) if hasattr(a, "shape") else a, found
    )
