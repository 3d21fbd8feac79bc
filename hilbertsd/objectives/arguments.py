"""What objectives take: batches of equal length, in the caller's precision; constant teachers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from hilbertsd.errors import HilbertSDError

Array = Any
FLOATS = {"float32", "float64"}
ASYMMETRY = 1e-3
"""Largest |K_ij − K_ji| taken for rounding, relative to the largest entry: float32, beside a large
mean. Features in place of a Gram matrix are far beyond."""
F = TypeVar("F", bound=Callable[..., Any])


def objective(function: F) -> F:
    """Let float64 stay float64 where JAX's double precision is off, if no argument is traced.

    NumPy's float64 and lists of numbers then come back as NumPy's. Beside a JAX array of float32
    they are rounded to that, as always in JAX. The switch of precision must not be turned within a
    trace: traced arguments keep the precision that JAX gave them, and what is made of constants
    alone is evaluated at once.
    """

    @functools.wraps(function)
    def in_precision(*args: Any, **kwargs: Any) -> Any:
        leaves = jax.tree.leaves((args, kwargs))
        if jax.config.read("jax_enable_x64"):
            return function(*args, **kwargs)
        if unknown := [x.dtype for x in leaves if traced(x)]:
            if np.float64 in unknown:
                raise HilbertSDError(
                    "a float64 array of JAX is traced where JAX's double precision is off; put "
                    "`with jax.enable_x64(True)` around the transformation too"
                )
            return function(*args, **kwargs)
        on_jax = {x.dtype.name for x in leaves if isinstance(x, jax.Array) and x.ndim} & FLOATS
        wide = any(map(_float64, (*leaves, *args, *kwargs.values())))
        if "float32" in on_jax or not wide:
            return function(*args, **kwargs)
        with jax.ensure_compile_time_eval(), jax.enable_x64(True):
            result = function(*args, **kwargs)
        return result if on_jax else jax.tree.map(lambda x: np.asarray(x)[()], result)

    return cast(F, in_precision)


def _float64(value: Any) -> bool:
    """Whether a value is an array of float64, or a list of numbers that NumPy makes one."""
    nested = isinstance(value, tuple) and any(isinstance(x, list | tuple) for x in value)
    if isinstance(value, list) or nested:
        return any(isinstance(x, float) for x in jax.tree.leaves(value))
    return isinstance(value, np.ndarray | jax.Array) and value.dtype == np.float64


def traced(value: Any) -> bool:
    """Whether a value is unknown while a transformation traces: only its shape can be checked."""
    return isinstance(value, Tracer)


def setting(check: Callable[[str, Any], float], name: str, value: Any) -> Any:
    """Return a number as a check of :mod:`hilbertsd.inputs` does, a traced one as it is."""
    return value if traced(value) else check(name, value)


def floating(name: str, value: Array) -> Array:
    """Return a JAX array of float32 or float64 with at least one entry along every axis."""
    if not isinstance(value, np.ndarray | jax.Array):
        try:
            value = jnp.asarray(value)
        except (TypeError, ValueError) as error:
            raise HilbertSDError(f"{name} is no array of numbers: {error}") from None
    if value.dtype.name not in FLOATS:
        raise HilbertSDError(
            f"{name} has dtype {value.dtype}; objectives take float32 or float64, as "
            f"{name}.astype('float32') gives"
        )
    array = jnp.asarray(value)
    if array.ndim == 0 or array.size == 0:
        raise HilbertSDError(
            f"{name} has shape {array.shape}; pass a batch of at least one sample, its first axis "
            "over the samples"
        )
    return array


def batch(name: str, value: Array) -> Array:
    """Return samples along the first axis, each with an axis of its own."""
    array = floating(name, value)
    if array.ndim < 2:
        raise HilbertSDError(
            f"{name} has shape {array.shape}; pass one sample a row, such as {name}[:, None] for "
            "samples of one feature"
        )
    return array


def batches(student: Array, teacher: Array, axes: int | None = None) -> tuple[Array, Array]:
    """Return student and constant teacher with the same number of samples."""
    s, t = batch("student", student), batch("teacher", teacher)
    for name, array in (("student", s), ("teacher", t)):
        if axes is not None and array.ndim != axes:
            shape = "(B, C, H, W)" if axes == 4 else "(B, p)"
            raise HilbertSDError(f"{name} must have shape {shape}, got {array.shape}")
    if len(s) != len(t):
        raise HilbertSDError(
            f"student has {len(s)} samples and teacher {len(t)}; both must be of the same batch"
        )
    return s, jax.lax.stop_gradient(t)


def alike(student: Array, teacher: Array) -> tuple[Array, Array]:
    """Return student and constant teacher of one shape."""
    s, t = batches(student, teacher)
    if s.shape != t.shape:
        raise HilbertSDError(
            f"student has shape {s.shape} and teacher {t.shape}; this objective compares entry "
            "with entry: map the student to the teacher's shape by a learned layer first"
        )
    return s, t


def square(name: str, K: Array) -> Array:
    """Return a Gram matrix; that it is symmetric is seen where it is not traced."""
    matrix = floating(name, K)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise HilbertSDError(
            f"{name} must be a Gram matrix of shape (B, B), got {matrix.shape}; "
            "objectives.grams.linear(features) makes one"
        )
    if not traced(matrix):
        symmetric(name, np.asarray(matrix))
    return matrix


def symmetric(name: str, K: np.ndarray) -> None:
    """Refuse a square matrix that is not symmetric."""
    with np.errstate(invalid="ignore"):  # inf − inf
        gap = float(np.abs(K - K.T).max())
    if gap > ASYMMETRY * float(np.abs(K).max()):
        raise HilbertSDError(
            f"{name} is not symmetric: entries and their mirror images differ by up to {gap:.3g}; "
            "pass features @ features.T"
        )


def squares(K_s: Array, K_t: Array) -> tuple[Array, Array]:
    """Return the Gram matrices of a student and of a constant teacher on one batch."""
    s, t = square("K_s", K_s), square("K_t", K_t)
    if s.shape != t.shape:
        raise HilbertSDError(
            f"K_s has shape {s.shape} and K_t {t.shape}; both must be of the same batch"
        )
    return s, jax.lax.stop_gradient(t)


def class_numbers(labels: Array, classes: int) -> Array:
    """Return (B,) whole numbers; that there are such classes is seen where they are not traced."""
    return _whole("labels", labels, classes, "class numbers")


def places(name: str, index: Array, samples: int) -> Array:
    """Return numbers of a memory's rows; that it has them is seen where they are not traced."""
    return _whole(name, index, samples, "numbers of the memory's rows")


def _whole(name: str, numbers: Array, end: int, what: str) -> Array:
    if not traced(numbers):
        given = np.asarray(numbers)
        if given.dtype.kind not in "biuf":
            raise HilbertSDError(f"{name} must be {what}, got {numbers!r}")
        wrong = ~((given >= 0) & (given < end) & (given == np.floor(given)))
        if wrong.any():
            raise HilbertSDError(
                f"{name} has {given[wrong][0]}; {what} are whole, from 0 to {end - 1}"
            )
    return jnp.asarray(numbers).astype(int)
