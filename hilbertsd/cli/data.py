"""The data that a person asks for: points and labels, and how they came about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from hilbertsd import datasets
from hilbertsd.errors import HilbertSDError

if TYPE_CHECKING:
    from hilbertsd.tables import Table


@dataclass(frozen=True, eq=False)
class Data:
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
    exact: tuple[Fraction, ...] | None = None
    """The points as they are meant, where floats only come near."""
    truth: Callable[[np.ndarray], np.ndarray] | None = None
    """The function behind the labels, where it is known."""


def from_dataset(name: str) -> Data:
    """Take data that come with the package: example, headline, digits or diabetes.

    The headline is about the example's points and labels; it differs in what is asked of them.

    Examples
    --------
    >>> from_dataset("example").x.shape
    (11, 1)
    """
    source = "example" if name == "headline" else name
    x, y = {
        "example": datasets.example,
        "digits": datasets.digits,
        "diabetes": datasets.diabetes,
    }[source]()
    x = x.reshape(len(x), -1)
    width = x.shape[1]
    known: dict[str, Any] = {}
    if source == "example":
        tenths = tuple(Fraction(k, 10) for k in range(len(x)))
        known = {"exact": tenths, "truth": datasets.example_truth}
    return Data(
        x=x,
        y=y,
        note={"data": f"dataset {name}"},
        record={"dataset": source},
        feature_mean=np.zeros(width),
        feature_scale=np.ones(width),
        label_mean=np.zeros(y.shape[1:]),
        **known,
    )


def from_table(table: Table, *, standardize: bool, center: bool) -> Data:
    """Take data from a file, features standardised and labels centred if wanted.

    Parameters
    ----------
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
        raise HilbertSDError(f"{table.name}: a feature is too large to be squared; rescale it")
    features = table.features
    return Data(
        x=x,
        y=y,
        note={
            "data": table.name,
            "features": _listed(features) + (", standardized" if standardize else ", as they are"),
            "labels": _listed(table.targets) + (", centered" if center else ", as they are"),
        },
        record={
            "file": table.name,
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


def _mean(columns: np.ndarray) -> np.ndarray:
    """Mean of each column; exactly the value of a constant one, which rounding would miss."""
    with np.errstate(over="ignore"):
        return np.where(np.ptp(columns, axis=0) == 0, columns[0], columns.mean(axis=0))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:6])
    return shown + (f" and {len(names) - 6} more" if len(names) > 6 else "")
