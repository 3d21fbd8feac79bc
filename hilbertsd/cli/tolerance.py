"""The tolerance as a person says it: a number, a share of the mean squared label, or auto."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from hilbertsd.errors import HilbertSDError

if TYPE_CHECKING:
    from hilbertsd.routes.dense import Decomposition

AUTO_SHARE = 0.1
"""ε by default: what no fit reaches, plus this share of the remaining mean squared label."""


@dataclass(frozen=True)
class Tolerance:
    """ε as a person says it: a number, a share of the mean squared label, or the default.

    Examples
    --------
    >>> Tolerance.parse("5%")
    Tolerance(kind='share', value=0.05)
    """

    kind: Literal["absolute", "share", "auto"]
    value: float

    @classmethod
    def parse(cls, text: str) -> Tolerance:
        """Read ``"0.045"``, ``"5%"`` or ``"auto"``."""
        if text.strip().lower() == "auto":
            return cls("auto", AUTO_SHARE)
        share = text.strip().endswith("%")
        try:
            value = float(text.strip().removesuffix("%")) / (100 if share else 1)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > 0):
            raise HilbertSDError(
                f"--eps takes a positive number, a share such as 5%, or auto; got {text!r}"
            )
        return cls("share" if share else "absolute", value)

    def __str__(self) -> str:
        """Say what the tolerance is a part of."""
        return {
            "absolute": f"{self.value:g}",
            "share": f"{100 * self.value:g}% of the mean squared label",
            "auto": f"residual floor + {100 * self.value:g}% of the rest of the mean squared label",
        }[self.kind]

    def values(self, y: np.ndarray, decomposition: Decomposition, *, joint: bool) -> np.ndarray:
        """Return ε as a number, or (Q,) numbers for several outputs without a joint tolerance."""
        if self.kind == "absolute":
            return np.asarray(self.value)
        with np.errstate(over="ignore"):
            power = np.mean(np.square(y), axis=0)
            null = decomposition.coordinates(y)[decomposition.eigenvalues == 0]
            floor = np.sum(np.square(null), axis=0) / len(y)
        if joint:
            power, floor = power.sum(), floor.sum()
        if not np.isfinite(power).all():
            raise HilbertSDError("the labels are too large to be squared; rescale them")
        if (power == 0).any():
            which = "" if power.ndim == 0 else f" of output {int(np.argmin(power))}"
            raise HilbertSDError(
                f"the labels{which} are constant, which leaves nothing to fit and no scale for "
                "eps; give --eps as a number, or keep their mean with --no-center"
            )
        return self.value * (power - floor) + floor if self.kind == "auto" else self.value * power
