"""Sets to classify: points, labels as given and as they are, and a clean test set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int64

from hilbertsd import inputs
from hilbertsd.datasets.noise import class_labels, confusion_matrix, effective_rate, noisy_labels
from hilbertsd.datasets.splits import counts, split
from hilbertsd.errors import HilbertSDError


@dataclass(frozen=True, eq=False)
class Classification:
    """Training points with given and true labels, and test points.

    Attributes
    ----------
    name
        What the data are.
    x_train, x_test
        (K, ...) and (N, ...) float32: vectors (p,), or images channel first (C, H, W).
    given, true
        (K,) int64: the labels that the learner sees, and those before noise.
    y_test
        (N,) int64, never noisy.
    classes
        Number of classes Q; labels go from 0 to Q − 1.
    settings
        All that it takes to make the same data again, as JSON can hold it.
    """

    name: str
    x_train: Float32[np.ndarray, "K *shape"]
    given: Int64[np.ndarray, " K"]
    true: Int64[np.ndarray, " K"]
    x_test: Float32[np.ndarray, "N *shape"]
    y_test: Int64[np.ndarray, " N"]
    classes: int
    settings: dict[str, Any]

    def __post_init__(self) -> None:
        for name in ("given", "true", "y_test"):
            class_labels(name, getattr(self, name), self.classes)
        for points, labels in (("x_train", "given"), ("x_train", "true"), ("x_test", "y_test")):
            n, m = len(getattr(self, points)), len(getattr(self, labels))
            if n != m:
                raise HilbertSDError(f"{points} has {n} points and {labels} {m} labels")
        for name in ("x_train", "x_test"):
            points = getattr(self, name)
            # nan and inf show in the extremes, without an array of flags
            if points.size and not np.isfinite([points.min(), points.max()]).all():
                raise HilbertSDError(f"{name} has entries that are not finite; drop those points")
        if self.x_train.shape[1:] != self.x_test.shape[1:]:
            raise HilbertSDError(
                f"points of x_train and x_test have shapes {self.x_train.shape[1:]} and "
                f"{self.x_test.shape[1:]}; both sets need the same"
            )

    @property
    def changed(self) -> Bool[np.ndarray, " K"]:
        """Where the given label is not the true one."""
        return self.given != self.true


def classification_set(data: Any) -> Classification:
    """Return the data if they are a classification set."""
    if not isinstance(data, Classification):
        raise HilbertSDError(
            f"data must be a Classification, got {type(data).__name__}; make one of your own "
            "arrays by hilbertsd.datasets.from_arrays(x, labels, train=...)."
        )
    return data


def from_arrays(
    x: Any,
    labels: Any,
    *,
    train: int,
    test: int | None = None,
    classes: int | None = None,
    seed: int = 0,
    stratify: bool = True,
    noise: Any = "symmetric",
    rate: float | None = None,
    name: str = "own",
) -> Classification:
    """Make a classification set of points and labels: split them and add label noise.

    Parameters
    ----------
    x
        (n, ...) numbers; become float32 and are not scaled.
    labels
        (n,) whole numbers from 0.
    train, test
        Numbers of training and test points; by default all other points are test points.
    classes
        Number of classes; by default the largest label plus 1, if that is no more than the points.
    seed
        Of the split and of the noise, which have independent streams.
    stratify
        Whether every class keeps its share (:func:`split`).
    noise, rate
        Of the training labels (:func:`noisy_labels`).
    name
        What the data are.

    Raises
    ------
    HilbertSDError
        If the arrays do not match, or a setting is out of its range.

    Examples
    --------
    >>> x = np.linspace(0, 1, 50)[:, None]
    >>> data = from_arrays(x, (x[:, 0] > 0.5).astype(int), train=40, rate=0.1)
    >>> data.x_train.shape, data.x_test.shape, int(data.changed.sum())
    ((40, 1), (10, 1), 4)
    """
    with np.errstate(over="ignore"):  # found as an infinite entry below
        points = inputs.real_array("x", x).astype(np.float32)
    whole = class_labels("labels", labels, np.iinfo(np.int64).max if classes is None else classes)
    if classes is None:
        classes = max(int(whole.max(initial=0)) + 1, 2)
        if classes > max(len(whole), 2):
            raise HilbertSDError(
                f"labels go up to {classes - 1} with {len(whole)} points; number the classes from "
                "0, or state how many there are by classes"
            )
    if points.ndim < 2 or len(points) != len(whole):
        raise HilbertSDError(
            f"x must have shape ({len(whole)}, ...) to match the labels, got {points.shape}"
        )
    chosen, rest = split(
        whole,
        inputs.whole_number("train", train, len(whole), least=1),
        test,
        seed=seed,
        stratify=stratify,
    )
    return with_noise(
        name,
        (points[chosen], whole[chosen]),
        (points[rest], whole[rest]),
        classes,
        noise=noise,
        rate=rate,
        seed=seed,
        settings={"stratify": bool(stratify)},
    )


def with_noise(
    name: str,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    classes: int,
    *,
    noise: Any,
    rate: float | None,
    seed: int,
    settings: dict[str, Any],
) -> Classification:
    """Add noise to the training labels of points already split, and state all that was done."""
    (x_train, true), (x_test, y_test) = train, test
    given = noisy_labels(true, classes, noise=noise, rate=rate, seed=seed)
    stated: Any = noise if isinstance(noise, str) else confusion_matrix(noise, classes).tolist()
    return Classification(
        name=name,
        x_train=x_train,
        given=given,
        true=true,
        x_test=x_test,
        y_test=y_test,
        classes=classes,
        settings={
            "dataset": name,
            "train": len(true),
            "test": len(y_test),
            "classes": classes,
            "class_counts": counts(true, classes),
            "seed": int(seed),
            "noise": stated,
            "rate": effective_rate(noise, rate),
            "changed": int((given != true).sum()),
        }
        | settings,
    )
