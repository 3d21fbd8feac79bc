"""Problems in exact rationals: numbers as they are given, and Gram matrices of rational kernels.

A float is a rational number with a power of two below. 0.1 is not 1/10 but
3602879701896397/36028797018963968, and a Gram matrix of such numbers is another problem than the
one on tenths. Decimal strings and fractions say 1/10.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from hilbertsd import inputs
from hilbertsd.errors import HilbertSDError
from hilbertsd.kernels.closed_form import ClosedForm
from hilbertsd.kernels.kernel import Kernel, Product, Rescaled, Scaled, Sum
from hilbertsd.kernels.tensor import Tensor

MOST_CHARACTERS = 4000
"""Longest text of one number; every float fits, and parsing stays cheap."""

MOST_POWER = 64
"""Largest whole parameter of a kernel, such as a degree: powers of rationals grow long."""

_TEXT = re.compile(r"[+-]?(\d+/\d+|\d+(\.\d*)?([eE][+-]?\d{1,3})?|\.\d+([eE][+-]?\d{1,3})?)")


def rational(name: str, value: Any) -> Fraction:
    """Return a number as the exact rational it is.

    Parameters
    ----------
    name
        What to call it in errors.
    value
        A float (taken bit by bit), an integer, a Fraction, or text such as ``"0.1"`` or ``"1/10"``.

    Raises
    ------
    HilbertSDError
        If it is none of these, or not finite.

    Examples
    --------
    >>> rational("x", "0.1"), rational("x", 0.5)
    (Fraction(1, 10), Fraction(1, 2))
    """
    if isinstance(value, str) and len(value) <= MOST_CHARACTERS and _TEXT.fullmatch(value.strip()):
        try:
            return Fraction(value.strip())
        except ZeroDivisionError:
            raise HilbertSDError(f"{name} = {value.strip()[:40]} divides by zero") from None
    if isinstance(value, (float, np.floating)) and math.isfinite(value):
        return Fraction(*value.as_integer_ratio())
    if isinstance(value, (int, np.integer, Fraction)) and not isinstance(value, bool):
        return Fraction(value) if isinstance(value, Fraction) else Fraction(int(value))
    shown = repr(value)[:60]
    raise HilbertSDError(
        f"{name} = {shown} is not a finite rational number; give a float, an integer, a Fraction "
        "or text such as '0.1' or '1/10'"
    )


def rationals(name: str, values: Any) -> np.ndarray:
    """Return an object array of Fractions of the same shape."""
    if isinstance(values, np.ndarray):
        array = values
    else:
        try:
            array = np.array(values, dtype=object)  # leaves text and fractions as they are
        except ValueError as error:
            raise HilbertSDError(f"{name} is not rectangular: {error}") from None
    if array.size == 0:
        raise HilbertSDError(f"{name} is empty; at least one number is needed")
    result = np.empty(array.shape, dtype=object)
    for index in np.ndindex(array.shape):
        place = f"{name}[{', '.join(map(str, index))}]" if index else name
        result[index] = rational(place, array[index])
    return result


def symmetric_matrix(G: Any) -> np.ndarray:
    """Return (G + Gᵀ)/2, formed in rationals, of a Gram matrix.

    Floats may differ from their mirror image by rounding; rationals have to be symmetric.
    """
    given = np.array(G, dtype=object) if isinstance(G, (list, tuple)) else G
    if isinstance(given, np.ndarray) and given.dtype.kind == "O":
        matrix = rationals("G", given)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise HilbertSDError(f"G must be a square matrix, got shape {matrix.shape}")
        texts = any(not isinstance(v, (float, np.floating)) for v in np.ravel(given))
        if texts and (matrix != matrix.T).any():
            i, j = np.argwhere(matrix != matrix.T)[0]
            raise HilbertSDError(f"G is not symmetric: G[{i}, {j}] differs from its mirror image")
        if not texts:
            inputs.gram_matrix(given.astype(float))
    else:
        checked = inputs.gram_matrix(given)
        matrix = rationals("G", np.asarray(checked if hasattr(given, "matvec") else given))
    return (matrix + matrix.T) / Fraction(2)


def exact_gram(kernel: Kernel | Callable[[Any, Any], Any], x: Any) -> np.ndarray:
    """Return the Gram matrix g(x_j, x_k)/K in rationals.

    Parameters
    ----------
    kernel
        A kernel whose formula is rational: splines, Brownian motion and bridge, polynomials, and
        their sums, products, multiples, rescalings and tensor products. Its parameters are taken
        as the floats they are. A plain function gets arrays of Fractions that broadcast.
    x
        (K,) or (K, d) points: floats taken bit by bit, Fractions, integers or text.

    Raises
    ------
    HilbertSDError
        If the kernel takes a rational to something else, or the points do not fit it.

    Examples
    --------
    >>> from hilbertsd.kernels import brownian_bridge
    >>> exact_gram(brownian_bridge(), ["1/3", "2/3"])[0]
    array([Fraction(1, 9), Fraction(1, 18)], dtype=object)
    """
    points = rationals("x", x)
    if points.ndim not in (1, 2):
        raise HilbertSDError(f"x has shape {points.shape}; points have shape (K,) or (K, d)")
    points = points.reshape(len(points), -1)
    size = len(points)
    refusal = HilbertSDError(
        f"{kernel!r} does not take rational points to rational numbers; certify its Gram matrix "
        "in floating point instead: certify(hilbertsd.gram(kernel, x), y, eps, rounds); where "
        "rounding leaves that with a negative eigenvalue, the error says what to add to it"
    )
    left, right = points[:, None, :], points[None, :, :]
    try:
        if isinstance(kernel, Kernel):
            kernel.matrix(points[:1].astype(float), points.astype(float))  # checks the points
            values = _values(kernel, left, right)
        else:
            values = kernel(points, points.T) if points.shape[1] == 1 else kernel(left, right)
    except (TypeError, AttributeError, OverflowError):
        raise refusal from None
    if np.shape(values) != (size, size) or any(
        not isinstance(v, (Fraction, int)) for v in np.ravel(values)
    ):
        raise refusal
    if (values != values.T).any():
        raise HilbertSDError(f"{kernel!r} is not symmetric on these points")
    return values / Fraction(size)


def _values(kernel: Kernel, x: Any, s: Any) -> Any:
    """Evaluate with every float of the kernel replaced by the rational it is."""
    match kernel:
        case Scaled():
            return Fraction(kernel.factor) * _values(kernel.kernel, x, s)
        case Sum():
            return sum(_values(part, x, s) for part in kernel.parts)
        case Product():
            return math.prod(_values(part, x, s) for part in kernel.parts)
        case Tensor():
            return math.prod(
                _values(part, x[..., i : i + 1], s[..., i : i + 1])
                for i, part in enumerate(kernel.parts)
            )
        case Rescaled():
            lower, upper = map(Fraction, kernel.domain)
            a, b = map(Fraction, kernel.kernel.domain or (0, 1))
            ratio = (b - a) / (upper - lower)
            return _values(kernel.kernel, a + ratio * (x - lower), a + ratio * (s - lower))
        case ClosedForm() if all(v <= MOST_POWER for _, v in kernel.parameters):
            exact = tuple(
                (key, Fraction(v) if isinstance(v, float) else v) for key, v in kernel.parameters
            )
            return dataclasses.replace(kernel, parameters=exact)._pairs(x, s, np)
    raise TypeError
