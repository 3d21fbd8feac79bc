"""What counts as a point, whose arrays it comes in, and when it is refused.

Everywhere in the package an array of points has shape ``(..., d)``, except that numbers and 1-d
arrays are points on the line (d = 1).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hilbertsd.errors import HilbertSDError

Array = Any
Namespace = Any


def namespace(*arrays: Array) -> Namespace:
    """Return the array namespace to compute in: that of the first array not NumPy's, else NumPy.

    Examples
    --------
    >>> namespace([0.1, 0.2], 3.0).__name__
    'numpy'
    """
    for array in arrays:
        if not isinstance(array, (np.ndarray, np.generic)):
            find = getattr(array, "__array_namespace__", None)
            if find is not None:
                return find()
    return np


def as_points(points: Array, xp: Namespace, name: str = "x") -> Array:
    """Return `points` as floating-point numbers of shape (..., d).

    Numbers and 1-d arrays become points on the line, shape (..., 1). NumPy input becomes float64;
    floating-point arrays of another namespace keep their type.

    Raises
    ------
    HilbertSDError
        If the array is ragged, complex, or does not hold numbers; if it is a float64 JAX array
        where JAX computes in float32.

    Examples
    --------
    >>> as_points([0.1, 0.2], np).shape, as_points([[0.1, 0.2]], np).shape
    ((2, 1), (1, 2))
    """
    try:
        array = xp.asarray(points)
    except (TypeError, ValueError) as problem:
        raise HilbertSDError(
            f"{name} is not an array of numbers ({problem}); pass an array of shape (n,) or (n, d)."
        ) from None
    if not (xp.issubdtype(array.dtype, xp.integer) or xp.issubdtype(array.dtype, xp.floating)):
        raise HilbertSDError(
            f"{name} has dtype {array.dtype}; points are real numbers: convert them to float64."
        )
    if array.dtype == np.float64 and xp.__name__ == "jax.numpy" and not _computes_in_float64(xp):
        raise HilbertSDError(
            f"{name} is a float64 JAX array, but JAX computes in float32 here; evaluate under "
            'jax.enable_x64(True), or pass x.astype("float32") if single precision is enough.'
        )
    if xp is np:
        array = array.astype(np.float64, copy=False)
    elif xp.issubdtype(array.dtype, xp.integer):
        array = array.astype(float)
    return array[..., None] if array.ndim < 2 else array


def _computes_in_float64(xp: Namespace) -> bool:
    return xp.asarray(0.0).dtype == np.float64


def concrete(array: Array) -> np.ndarray | None:
    """Return the values as a NumPy array, or None while a transformation such as jit traces them.

    Examples
    --------
    >>> concrete(np.array([1.0]))
    array([1.])
    """
    try:
        return np.asarray(array)
    except TypeError:
        return None


def require_finite(array: Array, name: str) -> None:
    """Raise HilbertSDError with the index of the first NaN or infinity; traced arrays pass.

    Examples
    --------
    >>> require_finite(np.array([0.0, 1.0]), "x")
    """
    values = concrete(array)
    if values is None or np.isfinite(values).all():
        return
    index = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
    place = index[0] if len(index) == 1 or values.shape[1:] == (1,) else index
    raise HilbertSDError(
        f"{name}[{place}] is {values[index]}; every coordinate of a point must be finite: "
        "drop the row or fill the value in first."
    )
