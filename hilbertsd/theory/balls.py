"""Ball arithmetic as an array namespace: NumPy on objects, with comparisons that never guess.

A :class:`Ball` is a real number known to lie within a radius of a midpoint. Every operation
encloses the exact result. A comparison that the radii leave open raises :class:`Undecided`: a
formula that branches on it would otherwise silently take one side.

The module itself serves as the ``xp`` of a :class:`~hilbertsd.theory.chain.Chain`: what it does
not define is NumPy's, applied to object arrays of balls. ``max``, ``min``, ``maximum`` and
``minimum`` are its own, because the largest of several balls has an enclosure also where it is
open which of them it is; ``sum`` and ``isfinite`` because NumPy's do not know balls. The working
precision is that of ``flint.ctx``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from functools import reduce
from typing import Any, cast

import numpy as np

from hilbertsd.errors import HilbertSDError

try:
    import flint
except ImportError as error:
    raise HilbertSDError(
        "certificates need python-flint; install it with: pip install 'hilbertsd[certify]', or in "
        "a checkout: pip install '.[certify]'"
    ) from error


class Undecided(ArithmeticError):
    """The radii are too wide for the comparison; more precision may decide it."""


def enclosing(value: Any) -> flint.arb | None:
    """Return the ball of a number as flint has it, or None where the value is no number.

    Floats and fractions are the exact numbers they are; a fraction is rounded outwards.
    """
    if isinstance(value, Ball):
        return value.arb
    if isinstance(value, flint.arb):
        return value
    if isinstance(value, float):  # NumPy's float64 is one
        return flint.arb(float(value))
    if isinstance(value, (int, np.integer)):
        return flint.arb(int(value))
    if isinstance(value, Fraction):
        return flint.arb(flint.fmpq(value.numerator, value.denominator))
    if isinstance(value, flint.fmpq):
        return flint.arb(value)
    return None


class Ball:
    """A real number in [mid − rad, mid + rad].

    A ball compared with, subtracted from or divided by itself (the same object) is the same
    number: the copies of a repeated eigenvalue are one object, so that they tie exactly.

    Examples
    --------
    >>> third = Ball(1) / 3
    >>> third < 0.34, bool(np.all(np.array([third, Ball(1)]) > 0))
    (True, True)
    >>> third + third + third == 1
    Traceback (most recent call last):
    hilbertsd.theory.balls.Undecided: ...
    """

    __slots__ = ("arb",)

    def __init__(self, value: Any) -> None:
        ball = enclosing(value)
        if ball is None:
            raise TypeError(f"{type(value).__name__} is not a real number")
        self.arb = ball

    @classmethod
    def between(cls, lower: Fraction, upper: Fraction) -> Ball:
        """Return a ball that contains an interval with rational ends."""
        return cls(Ball(lower).arb.union(Ball(upper).arb))

    def __add__(self, other: Any) -> Any:
        return NotImplemented if (b := enclosing(other)) is None else Ball(self.arb + b)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        if other is self:
            return Ball(0)
        return NotImplemented if (b := enclosing(other)) is None else Ball(self.arb - b)

    def __rsub__(self, other: Any) -> Any:
        return NotImplemented if (b := enclosing(other)) is None else Ball(b - self.arb)

    def __mul__(self, other: Any) -> Any:
        return NotImplemented if (b := enclosing(other)) is None else Ball(self.arb * b)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        if other is self and not self.arb.contains(0):
            return Ball(1)
        return NotImplemented if (b := enclosing(other)) is None else Ball(self.arb / b)

    def __rtruediv__(self, other: Any) -> Any:
        return NotImplemented if (b := enclosing(other)) is None else Ball(b / self.arb)

    def __pow__(self, other: Any) -> Any:
        if isinstance(other, (int, np.integer)):
            power = _whole_power(self.arb, abs(int(other)))
            return Ball(power if other >= 0 else 1 / power)
        return NotImplemented if (b := enclosing(other)) is None else Ball(self.arb**b)

    def __rpow__(self, other: Any) -> Any:
        return NotImplemented if (b := enclosing(other)) is None else Ball(b**self.arb)

    def __neg__(self) -> Ball:
        return Ball(-self.arb)

    def __pos__(self) -> Ball:
        return self

    def __abs__(self) -> Ball:
        return Ball(abs(self.arb))

    # Comparisons answer only where every pair of members gives the same answer.

    def _compared(self, other: Any, relation: str, opposite: str) -> Any:
        b = enclosing(other)
        if b is None:
            return NotImplemented
        if getattr(self.arb, relation)(b):
            return True
        if getattr(self.arb, opposite)(b):
            return False
        raise Undecided(f"{self} and {other} cannot be told apart at {flint.ctx.prec} bits")

    def __lt__(self, other: Any) -> Any:
        return False if other is self else self._compared(other, "__lt__", "__ge__")

    def __le__(self, other: Any) -> Any:
        return True if other is self else self._compared(other, "__le__", "__gt__")

    def __gt__(self, other: Any) -> Any:
        return False if other is self else self._compared(other, "__gt__", "__le__")

    def __ge__(self, other: Any) -> Any:
        return True if other is self else self._compared(other, "__ge__", "__lt__")

    def __eq__(self, other: Any) -> Any:
        return True if other is self else self._compared(other, "__eq__", "__ne__")

    def __ne__(self, other: Any) -> Any:
        return False if other is self else self._compared(other, "__ne__", "__eq__")

    __hash__ = object.__hash__

    def __float__(self) -> float:
        raise TypeError("a ball is not a float: the enclosure would be lost; use .mid")

    def __floor__(self) -> int:
        return self._whole(self.arb.floor())

    def __ceil__(self) -> int:
        return self._whole(self.arb.ceil())

    def _whole(self, rounded: flint.arb) -> int:
        if (value := rounded.unique_fmpz()) is None:
            raise Undecided(f"{self} rounds to more than one whole number")
        return int(value)

    # The names under which NumPy's functions call on objects.

    def sqrt(self) -> Ball:
        """Square root of a number that is known to be >= 0, whatever the ball reaches below."""
        ball = self.arb
        return Ball((ball.nonnegative_part() if ball.contains(0) else ball).sqrt())

    def exp(self) -> Ball:
        """Exponential function."""
        return Ball(self.arb.exp())

    def expm1(self) -> Ball:
        """Exponential function minus one."""
        return Ball(self.arb.expm1())

    def log(self) -> Ball:
        """Natural logarithm."""
        return Ball(self.arb.log())

    def log1p(self) -> Ball:
        """Natural logarithm of one plus the number."""
        return Ball(self.arb.log1p())

    def conjugate(self) -> Ball:
        """Return the number itself: it is real."""
        return self

    @property
    def mid(self) -> float:
        """The midpoint, rounded: for display."""
        return float(self.arb.mid())

    def __repr__(self) -> str:
        return self.arb.str(12)


def _whole_power(base: flint.arb, power: int) -> flint.arb:
    # By products: flint's own power of a ball around zero is not a number.
    result = flint.arb(1)
    if power % 2 == 0:
        base = abs(base)
    while power:
        if power % 2:
            result = result * base
        base, power = base * base, power // 2
    return result


def _larger(a: Any, b: Any) -> Any:
    if a is b or not (isinstance(a, Ball) or isinstance(b, Ball)):
        return a if a >= b else b
    return Ball(Ball(a).arb.max(Ball(b).arb))


def _smaller(a: Any, b: Any) -> Any:
    if a is b or not (isinstance(a, Ball) or isinstance(b, Ball)):
        return a if a <= b else b
    return Ball(Ball(a).arb.min(Ball(b).arb))


maximum = np.frompyfunc(_larger, 2, 1)
minimum = np.frompyfunc(_smaller, 2, 1)


def _reduced(ufunc: Any, a: Any, axis: int | None, keepdims: bool) -> Any:
    array = np.asarray(a, dtype=object)
    if axis is None and not keepdims:
        if array.size == 0:
            raise ValueError("the largest or smallest of no numbers does not exist")
        return reduce(ufunc, array.ravel().tolist())
    return ufunc.reduce(array, axis=axis, keepdims=keepdims)


def max(a: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Largest entry, enclosed also where it is open which it is."""
    return _reduced(maximum, a, axis, keepdims)


def min(a: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Smallest entry, enclosed also where it is open which it is."""
    return _reduced(minimum, a, axis, keepdims)


amax, amin = max, min


def sum(a: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Sum of balls, which is a ball also of none (NumPy's would be the integer 0)."""
    entries = np.asarray(a, dtype=object)
    return np.sum(entries, axis=axis, keepdims=keepdims, initial=cast(Any, Ball(0)))


def _finite(value: Any) -> bool:
    return value.arb.is_finite() if isinstance(value, Ball) else math.isfinite(value)


def isfinite(a: Any) -> Any:
    """Whether each entry is a finite ball or number."""
    return np.vectorize(_finite, otypes=[bool])(np.asarray(a, dtype=object))


def array_of(values: Iterable[Any]) -> np.ndarray:
    """Return a one-dimensional object array."""
    entries = list(values)
    result = np.empty(len(entries), dtype=object)
    result[:] = entries
    return result


def __getattr__(name: str) -> Any:
    return getattr(np, name)
