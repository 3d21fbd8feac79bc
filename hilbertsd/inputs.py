"""Checks at the public doors: each returns the value in the form the solvers take."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from operator import index
from typing import Any

import numpy as np

from hilbertsd.errors import HilbertSDError, PrecisionWarning

SMALLEST_SHARE = 1e-160
"""Smallest eps relative to the squared label scale (the largest is its inverse): the secular
equation takes cubes of √eps, which must not underflow."""

LARGEST_SCALE = 1e140
"""G and y may be as large as this and as small as its inverse: squares and quotients of the two
stay within float64."""

BLOCK = 128
"""Rows and columns of a matrix that are checked at once."""

MOST_ROUNDS = 1_000_000
"""A chain keeps the labels of every round; more rounds than this are a mistake."""


def real_array(name: str, value: Any) -> np.ndarray:
    """Return a finite float64 array, or say what is wrong with the value and where."""
    array = _numbers(name, value)
    # nan and inf show in the extremes, without an array of flags
    if not (np.isfinite(array.max()) and np.isfinite(array.min())):
        raise _not_finite(name, array)
    return array


def _numbers(name: str, value: Any) -> np.ndarray:
    """Return a float64 array that may still hold nan or inf."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise HilbertSDError(f"{name} has masked entries; fill them in or drop those points")
    if hasattr(value, "toarray"):
        raise HilbertSDError(
            f"{name} is a sparse matrix; pass {name}.toarray(), or "
            f"scipy.sparse.linalg.aslinearoperator({name})"
        )
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise HilbertSDError(f"{name} is not a rectangular array of numbers: {error}") from None
    if array.dtype.kind == "c":
        raise HilbertSDError(f"{name} is complex; the theory is for real {name}")
    if callable(value):
        raise HilbertSDError(
            f"{name} must be an array of numbers, got {type(value).__name__}; a kernel becomes a "
            "Gram matrix by hilbertsd.gram(kernel, x)"
        )
    if array.dtype.kind not in "fiub":
        raise HilbertSDError(
            f"{name} must be an array of numbers, got dtype {array.dtype}; convert it with "
            f"np.asarray({name}, dtype=float)"
        )
    if array.size == 0:
        raise HilbertSDError(
            f"{name} is empty (shape {array.shape}); at least one number is needed"
        )
    with np.errstate(over="ignore"):  # of a longer float: found as an infinite entry below
        return array.astype(np.float64, copy=False)


def _not_finite(name: str, array: np.ndarray) -> HilbertSDError:
    index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
    entry = f"{name}[{', '.join(map(str, index))}]" if index else name
    return HilbertSDError(f"{entry} is {array[index]}; every entry must be finite")


def flag(name: str, value: Any) -> bool:
    """Return a bool: other truthy values are likely a slip."""
    if not isinstance(value, bool | np.bool_):
        raise HilbertSDError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def whole_number(name: str, value: Any, most: int | None = None, least: int = 0) -> int:
    """Return an int that is at least ``least``, and at most ``most``."""
    try:
        whole = int(value)
        exact = bool(whole == value) and not isinstance(value, bool | np.bool_)
    except (TypeError, ValueError, OverflowError):
        exact = False
    if not exact or whole < least:
        raise HilbertSDError(f"{name} must be a whole number, {least} or more, got {value!r}")
    if most is not None and whole > most:
        raise HilbertSDError(f"{name} must be at most {most}, got {value!r}")
    return whole


def whole_numbers(
    name: str, values: Any, most: int | None = None, least: int = 0, *, distinct: bool = False
) -> tuple[int, ...]:
    """Return ints, each as `whole_number` returns it; where distinct, all so and at least one."""
    try:
        given = tuple(values)
    except TypeError:
        raise HilbertSDError(
            f"{name} must be several whole numbers, such as (1, 2) or range(10), got {values!r}"
        ) from None
    found = tuple(whole_number(f"{name}[{i}]", one, most, least) for i, one in enumerate(given))
    if distinct and (not found or len(set(found)) != len(found)):
        raise HilbertSDError(f"{name} must be different and at least one, got {found}")
    return found


def one_of(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """Return the value if it is one of the names."""
    if not isinstance(value, str) or value not in choices:
        raise HilbertSDError(
            f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}"
        )
    return value


def share(name: str, value: Any) -> float:
    """Return a float in (0, 1)."""
    return _number(name, value, lambda number: 0 < number < 1, "a number between 0 and 1")


def rate(name: str, value: Any) -> float:
    """Return a float in [0, 1]."""
    return _number(name, value, lambda number: 0 <= number <= 1, "a number from 0 to 1")


def nonnegative(name: str, value: Any) -> float:
    """Return a finite float, 0 or more."""
    return _number(name, value, lambda number: number >= 0, "a number, 0 or more")


def positive(name: str, value: Any) -> float:
    """Return a finite float above 0."""
    return _number(name, value, lambda number: number > 0, "a number above 0")


def _number(name: str, value: Any, within: Callable[[float], bool], bound: str) -> float:
    try:
        number = math.nan if isinstance(value, str) or np.ndim(value) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not (math.isfinite(number) and within(number)):
        raise HilbertSDError(f"{name} must be {bound}, got {value!r}")
    return number


def gram_matrix(G: Any) -> Any:
    """Return a finite, square, symmetric float matrix: NumPy, or JAX where G is a JAX array.

    float32 stays float32, so that the caller knows the unit of rounding of its entries; all
    other numbers become float64.
    """
    own = 0.0
    if is_operator(G):
        own = rounding_unit(G)
        G = _dense(operator(G))
    if _is_jax(G):
        if G.dtype.kind == "c" or G.dtype.name not in ("float32", "float64"):
            raise HilbertSDError(f"G must be float32 or float64 on JAX, got {G.dtype.name}")
        matrix, unit = G, float(np.finfo(G.dtype.name).eps)
    else:
        if getattr(G, "dtype", None) == np.float16:
            raise HilbertSDError("G is float16, which carries three digits; build it in float64")
        single = getattr(G, "dtype", None) == np.float32
        matrix, unit = _numbers("G", G), float(np.finfo(np.float32 if single else float).eps)
        matrix = matrix.astype(np.float32) if single else matrix
    _square(matrix.shape)
    scale, gap, (i, j) = _extremes(matrix)
    if not np.isfinite(scale + gap):
        raise _not_finite("G", np.asarray(matrix))
    _within_scale("G", scale)
    if gap > max(matrix.shape[0], 100) * max(unit, own) * scale:
        raise HilbertSDError(
            f"G is not symmetric: G[{i}, {j}] and its mirror image differ by {gap:.6g}; if it "
            "should be, pass (G + G.T) / 2"
        )
    if gap > 0 and isinstance(matrix, np.ndarray):  # eigensolvers read one triangle
        matrix = (matrix + matrix.T) / 2
    if matrix.dtype == np.float32:
        warnings.warn(
            "G is float32: eigenvalues below K·1.2e-7·d_max are lost, and the error estimates "
            "grow by 5e8; build G in float64 for full accuracy (JAX arrays are float32 unless "
            "made under jax.enable_x64(True) or jax.config.update('jax_enable_x64', True))",
            PrecisionWarning,
            stacklevel=4,
        )
    return matrix


def labels(y: Any, size: int) -> np.ndarray:
    """Return (K,) or (K, Q) finite float64 labels."""
    array = real_array("y", y)
    if array.ndim not in (1, 2) or array.shape[0] != size:
        raise HilbertSDError(
            f"y must have shape ({size},) or ({size}, Q) to match the {size} points of G, "
            f"got {array.shape}"
        )
    _within_scale("y", max(float(array.max()), -float(array.min())))
    return array


def tolerances(eps: Any, *, fits: int, outputs: int, joint: bool) -> np.ndarray:
    """Return (T, Q) positive tolerances, broadcast from a number, (Q,), (T, 1) or (T, Q).

    With one output (T,) means one a fit.
    """
    if isinstance(eps, str):
        raise HilbertSDError(
            f"eps must be a number, got {eps!r}; a share of the label power is, for instance, "
            "0.05 * np.mean(y**2)"
        )
    array = real_array("eps", eps)
    if outputs == 1 and array.shape == (fits,):
        array = array[:, None]
    widths = (1,) if joint else (1, outputs)
    fitting = (
        array.ndim == 0
        or (array.ndim == 1 and array.shape[0] in widths)
        or (array.ndim == 2 and array.shape[0] in (1, fits) and array.shape[1] in widths)
    )
    if not fitting:
        one_a_fit = f"one a fit (rounds + 1 = {fits})"
        if outputs == 1:
            shapes = f"a number or ({fits},), {one_a_fit}"
        elif joint:
            shapes = f"a number shared by all outputs, or ({fits}, 1), {one_a_fit}"
        else:
            shapes = (
                f"a number, ({outputs},), one an output, or ({fits}, 1) or ({fits}, {outputs}), "
                f"{one_a_fit}"
            )
        raise HilbertSDError(f"eps must be {shapes}; got shape {array.shape}")
    if (array <= 0).any():
        raise HilbertSDError(
            f"eps must be positive, got {array.min():.6g}: with eps = 0 the fit interpolates and "
            "the multiplier c is 0"
        )
    return np.broadcast_to(array, (fits, outputs)).copy()


def resolvable_tolerance(scaled: np.ndarray, eps: np.ndarray) -> None:
    """Refuse tolerances that underflow or overflow beside the squared labels."""
    for outside, side, way_out in (
        (scaled < SMALLEST_SHARE, "below", "larger"),
        (scaled > 1 / SMALLEST_SHARE, "above", "smaller"),
    ):
        if outside.any():
            raise HilbertSDError(
                f"eps = {eps[outside][0]:.3g} is more than 160 orders of magnitude {side} the "
                f"squared labels, which float64 cannot resolve; choose a {way_out} eps"
            )


def _within_scale(name: str, largest: float) -> None:
    if largest > LARGEST_SCALE or 0 < largest < 1 / LARGEST_SCALE:
        raise HilbertSDError(
            f"the largest entry of {name} is {largest:.3g}; it must lie between "
            f"{1 / LARGEST_SCALE:.0e} and {LARGEST_SCALE:.0e}, or squares leave the range of "
            f"float64: choose other units for {name}"
        )


def _square(shape: tuple[int, ...]) -> None:
    if len(shape) != 2 or shape[0] != shape[1]:
        raise HilbertSDError(
            f"G must be a square matrix, got shape {shape}; make it with hilbertsd.gram(kernel, x)"
        )


def _extremes(matrix: Any) -> tuple[float, float, tuple[int, int]]:
    """Largest entry and largest asymmetry of a matrix, and where; nan or inf if an entry is so."""
    if _is_jax(matrix):
        import jax
        import jax.numpy as jnp

        with jax.enable_x64(True):
            gaps = jnp.abs(matrix - matrix.T)
            i, j = divmod(int(gaps.argmax()), matrix.shape[0])
            return float(jnp.abs(matrix).max()), float(gaps[i, j]), (i, j)
    size = matrix.shape[0]
    largest, scale, where = 0.0, 0.0, (0, 0)
    with np.errstate(invalid="ignore"):  # inf - inf
        for start in range(0, size, BLOCK):
            for left in range(start, size, BLOCK):  # pairs of mirrored blocks, which fit the cache
                upper = matrix[start : start + BLOCK, left : left + BLOCK]
                gap = upper - matrix[left : left + BLOCK, start : start + BLOCK].T
                scale = max(scale, float(upper.max()), -float(upper.min()))
                most = max(float(gap.max()), -float(gap.min()))
                if not most <= largest:
                    at = np.unravel_index(int(np.abs(gap).argmax()), gap.shape)
                    largest, where = most, (start + int(at[0]), left + int(at[1]))
                    if not np.isfinite(most):
                        return scale, most, where
    return scale, largest, where


def is_operator(G: Any) -> bool:
    """Whether G is known by its products, as SciPy's linear operators are."""
    return hasattr(G, "matvec") and hasattr(G, "shape")


def multiplies(value: Any) -> bool:
    """Whether a value is known by its products, not by entries that NumPy can read."""
    by_products = hasattr(value, "matmat") or (
        hasattr(value, "__matmul__") and not hasattr(value, "__array__")
    )
    return is_operator(value) or (by_products and hasattr(value, "shape"))


def operator(G: Any) -> Any:
    """Return a square operator whose product with one random vector is finite and symmetric.

    One that gives its products in a single array, each in place of the one before, comes back
    with products of their own.
    """
    shape = shape_of("G", G)
    _square(shape)
    if getattr(G, "dtype", None) == np.float16:
        raise HilbertSDError(
            "G is a float16 operator, which carries three digits; make its products float64"
        )
    unit = rounding_unit(G)
    u, v = np.random.default_rng(0).standard_normal((2, shape[0]))
    first = G.matvec(u.copy())  # products may be formed in place
    Gu = vector("G @ v", first, shape[0])
    second = G.matvec(v.copy())
    Gv = vector("G @ v", second, shape[0])
    _within_scale("G @ v", max(float(np.abs(Gu).max()), float(np.abs(Gv).max())))
    scale = float(np.linalg.norm(Gu) * np.linalg.norm(v) + np.linalg.norm(Gv) * np.linalg.norm(u))
    gap, bound = abs(float(u @ Gv - v @ Gu)), 100 * unit * scale
    if gap > bound:
        raise HilbertSDError(
            f"G is not symmetric: for two random vectors u @ (G v) and v @ (G u) differ by "
            f"{gap:.3g}, more than the {bound:.3g} that rounding explains; a Gram operator must "
            "equal its transpose. If its products have fewer digits than float64, say so by "
            "G.dtype = np.float32, or by G.unit, their relative rounding"
        )
    reused = isinstance(first, np.ndarray) and isinstance(second, np.ndarray)
    return _Copied(G, shape, unit) if reused and np.may_share_memory(first, second) else G


class _Copied:
    """An operator whose products are copied. It has no ``matmat``: SciPy's does not copy."""

    def __init__(self, given: Any, shape: tuple[int, ...], unit: float) -> None:
        self.shape, self.unit, self.dtype = shape, unit, getattr(given, "dtype", None)
        self._given = given

    def matvec(self, v: Any) -> np.ndarray:
        return np.array(self._given.matvec(v))


def rounding_unit(G: Any) -> float:
    """Unit of rounding of a matrix's entries, or of an operator's products."""
    single = getattr(G, "dtype", None) == np.float32
    unit = float(np.finfo(np.float32 if single else np.float64).eps)
    try:
        own = float(getattr(G, "unit", unit))
    except (TypeError, ValueError):
        own = np.nan
    if not 0 <= own < 1:
        raise HilbertSDError(
            f"G.unit is {G.unit!r}; it must be a number from 0 to 1, the relative rounding of "
            "products with G, 2.2e-16 if they are as good as float64 allows"
        )
    return max(unit, own)


def shape_of(name: str, operator: Any) -> tuple[int, ...]:
    """Return the shape of an operator as positive whole numbers."""
    try:
        shape = tuple(index(length) for length in operator.shape)
    except TypeError:
        shape = (0,)
    if min(shape, default=1) < 1:
        raise HilbertSDError(
            f"{name}.shape is {operator.shape!r}; it must be a pair of whole numbers from 1, "
            "(K, K) for a Gram operator on K points"
        )
    return shape


def vector(name: str, product: Any, size: int) -> np.ndarray:
    """Return a product as ``size`` finite numbers of its own: it may be overwritten by the next."""
    array = np.array(real_array(name, product))
    if array.size != size:
        raise HilbertSDError(f"{name} must have {size} numbers, got shape {array.shape}")
    return array.reshape(-1)


def _dense(given: Any) -> np.ndarray:
    """Make a linear operator a matrix, one product a column."""
    size = given.shape[0]
    identity = np.eye(size)
    if hasattr(given, "matmat"):
        matrix = np.asarray(given.matmat(identity))
    else:
        columns = [vector("G @ v", given.matvec(column), size) for column in identity]
        matrix = np.stack(columns, axis=1)
    # its entries are no more accurate than the operator's own type
    single = getattr(given, "dtype", None) == np.float32
    return matrix.astype(np.float32) if single else matrix


def _is_jax(value: Any) -> bool:
    return type(value).__module__.split(".")[0] in ("jax", "jaxlib")
