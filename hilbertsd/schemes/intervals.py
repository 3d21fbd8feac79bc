"""Means over the seeds with their intervals, and gains taken seed by seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

CONFIDENCE = 0.95
FIRST = ("teacher", "alone")
"""Names that have no gain: the teachers, and the students without one."""


class Interval(NamedTuple):
    """Mean over the seeds and half the width of its 95 % interval: mean ± half."""

    mean: float
    half: float
    """t quantile · standard deviation/√S; NaN for one seed."""

    @property
    def clear(self) -> bool:
        """Whether zero is outside."""
        return abs(self.mean) > self.half


def interval(values: Any) -> Interval:
    """Return the mean of S values and its 95 % interval, Student's t with S − 1.

    Examples
    --------
    >>> found = interval([1.0, 2.0, 3.0])
    >>> round(found.mean, 3), round(found.half, 3)     # 4.3027/√3
    (2.0, 2.484)
    """
    from scipy.special import stdtrit

    found = np.asarray(values, dtype=float)
    count = len(found)
    if count < 2:
        return Interval(float(found.mean()), float("nan"))
    quantile = stdtrit(count - 1, (1 + CONFIDENCE) / 2)
    return Interval(float(found.mean()), float(quantile * found.std(ddof=1) / np.sqrt(count)))


def gains(accuracy: Mapping[str, np.ndarray]) -> dict[str, Interval]:
    """Return each objective's gain over students alone, seed by seed.

    Examples
    --------
    >>> alone = np.array([0.5, 0.7])
    >>> found = gains({"alone": alone, "fkd": alone + 0.1})["fkd"]
    >>> round(found.mean, 3), round(found.half, 3)
    (0.1, 0.0)
    """
    alone = accuracy["alone"]
    return {name: interval(v - alone) for name, v in accuracy.items() if name not in FIRST}
