"""What a person asks for in words, as arrays: the data, the kernel and the tolerance.

Texts are parsed, never evaluated.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hilbertsd import datasets
from hilbertsd.errors import HilbertSDError
from hilbertsd.kernels import GreensFunction, Kernel, gaussian, greens, parse_kernel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hilbertsd.routes.dense import Decomposition
    from hilbertsd.tables import Table

AUTO_SHARE = 0.1
"""ε by default: what no fit reaches, plus this share of the remaining mean squared label."""
MEDIAN_POINTS = 1000
"""The median distance is taken over at most so many evenly spaced points."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Points and labels as a chain takes them, and how they came about.

    Attributes
    ----------
    x, y
        (K, p) points and (K,) or (K, Q) labels, as the chain sees them.
    note
        What to tell a person, line by line.
    record
        What to write down, so that the same can be done again.
    feature_mean, feature_scale, label_mean
        x = (original − feature_mean)/feature_scale, y = original − label_mean.
    """

    x: np.ndarray
    y: np.ndarray
    note: dict[str, str]
    record: dict[str, Any]
    feature_mean: np.ndarray
    feature_scale: np.ndarray
    label_mean: np.ndarray
    names: tuple[str, str] | None = None
    """Of the first feature and the first label, for the axes of a figure."""
    outputs: tuple[str, ...] | None = None
    """Names of the columns of y, where it has several that have names."""


def from_dataset(name: str) -> Problem:
    """Take data that come with the package: example, digits or diabetes.

    Examples
    --------
    >>> from_dataset("example").x.shape
    (11, 1)
    """
    x, y = {
        "example": datasets.example,
        "digits": datasets.digits,
        "diabetes": datasets.diabetes,
    }[name]()
    x = x.reshape(len(x), -1)
    width = x.shape[1]
    return Problem(
        x=x,
        y=y,
        note={"data": f"dataset {name}"},
        record={"dataset": name},
        feature_mean=np.zeros(width),
        feature_scale=np.ones(width),
        label_mean=np.zeros(y.shape[1:]),
    )


def from_table(table: Table, name: str, *, standardize: bool, center: bool) -> Problem:
    """Take data from a file, features standardised and labels centred if wanted.

    Parameters
    ----------
    name
        Of the file, for the report.
    standardize
        Bring each feature to mean 0 and standard deviation 1; constant ones become 0.
    center
        Subtract its mean from each label column.
    """
    y = table.y[:, 0] if len(table.targets) == 1 else table.y
    width = table.x.shape[1]
    mean, scale = np.zeros(width), np.ones(width)
    label_mean = np.zeros(y.shape[1:])
    if standardize:
        mean = _mean(table.x)
        with np.errstate(over="ignore"):  # what overflows is refused below
            scale = (table.x - mean).std(axis=0)
        scale[scale == 0] = 1.0
    if center:
        label_mean = _mean(y)
    with np.errstate(over="ignore", invalid="ignore"):
        x, y = (table.x - mean) / scale, y - label_mean
        finite = np.isfinite([*scale, np.square(x).sum()]).all()
    if not finite:
        raise HilbertSDError(f"{name}: a feature is too large to be squared; rescale it")
    features = table.features
    return Problem(
        x=x,
        y=y,
        note={
            "data": name,
            "features": _listed(features) + (", standardized" if standardize else ", as they are"),
            "labels": _listed(table.targets) + (", centered" if center else ", as they are"),
        },
        record={
            "file": name,
            "sha256": table.sha256,
            "features": list(features),
            "labels": list(table.targets),
            "feature_mean": mean.tolist(),
            "feature_scale": scale.tolist(),
            "label_mean": np.atleast_1d(label_mean).tolist(),
        },
        feature_mean=mean,
        feature_scale=scale,
        label_mean=label_mean,
        names=(features[0], table.targets[0]),
        outputs=table.targets if len(table.targets) > 1 else None,
    )


def kernel_from_text(
    kernel: str | None,
    operators: Sequence[str] = (),
    boundary: str | None = None,
    interval: str | None = None,
) -> Kernel | None:
    """Return the kernel that the texts ask for, None if they ask for none.

    Parameters
    ----------
    kernel
        A kernel by name, see :func:`hilbertsd.kernels.parse_kernel`.
    operators
        Polynomials in D, each alone or after its weight and a colon, to derive a Green's function.
    boundary, interval
        Conditions at the ends, and the ends themselves; ``"0,1"`` without.

    Examples
    --------
    >>> kernel_from_text("matern(1.5, 0.3)")
    matern(nu=1.5, length_scale=0.3)
    """
    if not operators:
        if boundary is not None or interval is not None:
            raise HilbertSDError("--boundary and --interval describe an --operator; give one")
        return None if kernel is None else parse_kernel(kernel)
    if kernel is not None:
        raise HilbertSDError("give --kernel or --operator, not both")
    weights, polynomials = [], []
    for text in operators:
        weight, colon, polynomial = text.rpartition(":")
        weights.append(_number("the weight of an operator", weight) if colon else 1)
        polynomials.append(polynomial.strip())
    ends = (interval or "0,1").split(",")
    if len(ends) != 2:
        raise HilbertSDError(f"--interval takes two numbers A,B, got {interval!r}")
    lower, upper = (_number("an end of the interval", end) for end in ends)
    return greens(polynomials, weights, interval=(lower, upper), boundary=boundary or "")


def lives_on_interval(kernel: Kernel | None) -> bool:
    """Whether a kernel, or a part of it, is defined on an interval only.

    Examples
    --------
    >>> lives_on_interval(kernel_from_text("2 * cubic_spline"))
    True
    """
    if kernel is None:
        return False
    if kernel.domain is not None:
        return True
    inner = [*getattr(kernel, "parts", ()), getattr(kernel, "kernel", None)]
    return any(lives_on_interval(part) for part in inner)


def require_domain(kernel: Kernel, problem: Problem) -> None:
    """Refuse a single feature that leaves the kernel's interval, with the text that repairs it."""
    if kernel.domain is None or problem.x.shape[1] != 1:
        return
    (lower, upper), low, high = kernel.domain, problem.x.min(), problem.x.max()
    if low < lower or high > upper:
        start, stop = _outward(float(low), float(high))
        if isinstance(kernel, GreensFunction):
            raise HilbertSDError(
                f"the feature runs from {low:.6g} to {high:.6g}, outside the interval [{lower:g}, "
                f"{upper:g}] of the Green's function; say --interval={start!r},{stop!r} and put "
                "the --boundary at its ends"
            )
        inner = f"({kernel!r})" if "+" in repr(kernel) or "*" in repr(kernel) else repr(kernel)
        raise HilbertSDError(
            f"the feature runs from {low:.6g} to {high:.6g}, outside the interval [{lower:g}, "
            f"{upper:g}] of {kernel!r}; to stretch the kernel over it, say "
            f"--kernel '{inner}.rescaled({start!r}, {stop!r})'"
        )


def require_memory(problem: Problem, rounds: int) -> None:
    """Refuse what the machine cannot hold; the operating system would end the process instead."""
    size = len(problem.x)
    need = 8 * (4 * size**2 + 4 * (rounds + 2) * problem.y.size)
    try:
        have = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return
    if need > have:
        raise HilbertSDError(
            f"{size} points and {rounds} rounds need about {need / 1e9:.3g} GB of memory, this "
            f"machine has {have / 1e9:.3g} GB; take fewer rows or rounds"
        )


def median_gaussian(x: np.ndarray) -> tuple[Kernel, str]:
    """Return the Gaussian whose length scale is the median distance, and words that say so.

    The median is over the distances that are not zero, rounded to three digits, so that the
    kernel that is printed is the kernel that was used.

    Examples
    --------
    >>> median_gaussian(np.array([[0.0], [1.0], [3.0]]))
    (gaussian(length_scale=2.0), 'median distance')
    """
    from scipy.spatial.distance import pdist

    if len(x) < 2:
        raise HilbertSDError("a median distance takes at least two points; name a --kernel")
    rows = np.linspace(0, len(x) - 1, min(len(x), MEDIAN_POINTS)).round().astype(int)
    distances = pdist(x[rows])
    distances = distances[distances > 0]
    if len(distances) == 0:
        raise HilbertSDError(
            "all points coincide, so there is no median distance to choose a length scale by; "
            "name a --kernel"
        )
    thinned = f" over {MEDIAN_POINTS} of the points" if len(x) > MEDIAN_POINTS else ""
    return gaussian(float(f"{np.median(distances):.3g}")), f"median distance{thinned}"


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
            "auto": f"residual floor + {100 * self.value:g}% of the mean squared label above it",
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


def _mean(columns: np.ndarray) -> np.ndarray:
    """Mean of each column; exactly the value of a constant one, which rounding would miss."""
    with np.errstate(over="ignore"):
        return np.where(np.ptp(columns, axis=0) == 0, columns[0], columns.mean(axis=0))


def _number(what: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise HilbertSDError(f"{what} must be a number, got {text!r}")
    return number


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:6])
    return shown + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _outward(low: float, high: float) -> tuple[float, float]:
    """Return ends around low ≤ high, rounded to a tenth of their distance's power of ten.

    Ends at the outermost data would pin a function that is zero there to them.

    Examples
    --------
    >>> _outward(0.02738500170148095, 9.97209935789211)
    (0.0, 10.0)
    """
    exponent = math.floor(math.log10(high - low or abs(low) or 1.0)) - 1
    step = 10.0**exponent
    start, stop = math.floor(low / step), math.ceil(high / step)
    start -= float(f"{start}e{exponent}") > low  # the division rounds
    stop += float(f"{stop}e{exponent}") < high
    return float(f"{start}e{exponent}"), float(f"{stop}e{exponent}")
