"""Distillation between data sets with different classes: digits 0 to 4 teach digits 5 to 9.

He & Ozay (ICLR 2022), Table 1 and the ablations, on small data. Objectives on feature kernels need
no common classes. The undistilled student is the control; so is a teacher that was never trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hilbertsd import datasets, nets, plots, schemes
from hilbertsd.report.objectives import ACCENT, Interval, interval, percent
from hilbertsd.schemes import Recipe, term
from paper_figures.publish import FIGURES, TEXT_WIDTH, publish, table
from paper_figures.recorded import MACHINE, RESULTS, recorded
from paper_figures.resumed import each

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "fkd_transfer"
SIZES = (20, 100)
CHOSEN_AT = 50
"""Points in training where the weights are chosen, on splits of their own."""
WIDTHS = (8, 64)
"""Of the students."""
SPLITS, VALIDATION = range(20), range(100, 106)
TEACHER_POINTS = 700
TEACHER = (256,)
TRAINING = nets.Training(
    loss="cross-entropy", steps=300, batch=20, learning_rate=3e-3, weight_decay=1e-4,
    check_every=300,
)  # fmt: skip
FACTORS = (0.1, 1.0, 10.0)
REGULARISER = 1e-3
"""w of mean ‖h‖² inside FKD."""
METHODS: dict[str, tuple[str, float, dict[str, Any]]] = {
    "FKD": ("fkd", 3.0, {"norm_weight": REGULARISER}),
    "FKD without regulariser": ("fkd", 3.0, {}),
    "FKD with the raw kernel": ("fkd", 1e-4, {"kernel": "linear", "norm_weight": REGULARISER}),
    "SP": ("sp", 300.0, {}),
    "RKD": ("rkd", 0.3, {}),
}
"""Objective, weight in the middle of those tried, settings."""
ALONE, RANDOM = "alone", "FKD, untrained teacher"


@dataclass(frozen=True)
class Transfer:
    """Test accuracies of students on classes 5 to 9; each by the student's width first."""

    sizes: list[int]
    accuracy: dict[str, dict[str, list[list[float]]]]
    """By width and method, (sizes, splits)."""
    validation: dict[str, dict[str, dict[str, list[float]]]]
    """By width, method and weight, of the splits on which weights were chosen."""
    weights: dict[str, dict[str, float]]
    """The chosen ones, by width and method."""
    teacher_accuracy: float
    """On classes 0 to 4, at points that it was not trained on."""


def measure() -> Transfer:
    """Train the teacher, choose weights, train the students: minutes on two cores."""
    tried = [
        {"width": width, "size": CHOSEN_AT, "splits": VALIDATION, "method": name, "weight": weight}
        for width in WIDTHS
        for name, (_, middle, _) in METHODS.items()
        for weight in [factor * middle for factor in FACTORS]
    ]
    validation: dict[str, Any] = {}
    for asked, values in zip(tried, each(NAME, tried, students), strict=True):
        of_width = validation.setdefault(str(asked["width"]), {})
        of_width.setdefault(asked["method"], {})[f"{asked['weight']:g}"] = values
    weights = {
        width: {name: float(max(one, key=lambda w: np.mean(one[w]))) for name, one in tried.items()}
        for width, tried in validation.items()
    }
    cases = [
        {"width": width, "size": size, "splits": SPLITS, "method": name}
        | {"weight": weights[str(width)].get("FKD" if name == RANDOM else name, 0.0)}
        for width in WIDTHS
        for name in (ALONE, *METHODS, RANDOM)
        for size in SIZES
    ]
    accuracy: dict[str, Any] = {}
    for asked, values in zip(cases, each(NAME, cases, students), strict=True):
        accuracy.setdefault(str(asked["width"]), {}).setdefault(asked["method"], []).append(values)
    (model, state), _ = _teachers()
    own = schemes.accuracy(model, state, _taught())
    return Transfer(list(SIZES), accuracy, validation, weights, teacher_accuracy=float(own[0]))


def students(
    width: int, size: int, splits: Sequence[int], method: str, weight: float
) -> list[float]:
    """Return the test accuracies of students of one kind, one a split."""
    trained, untrained = _teachers()
    model, state = untrained if method == RANDOM else trained
    objective, _, settings = METHODS["FKD" if method in (ALONE, RANDOM) else method]
    make = _maker(width)
    recipe = Recipe(() if method == ALONE else (term(objective, weight, **settings),), TRAINING)
    found = []
    for split in splits:
        data = datasets.from_arrays(*_halves()[1], train=size, classes=5, seed=split)
        said = schemes.observe(model, state, data.x_train)
        done = schemes.distill(make, data, said, recipe, seeds=[split])
        found.append(float(schemes.accuracy(done.model, done.state, data)[0]))
    return found


@cache
def _teachers() -> tuple[Any, Any]:
    """Return the teacher of digits 0 to 4, and one that was never trained."""
    done = schemes.distill(_teacher, _taught(), None, Recipe((), TRAINING), seeds=[0])
    return (done.model, done.state), nets.initialise(_teacher, nets.keys([0], 7))


def _taught() -> datasets.Classification:
    return datasets.from_arrays(*_halves()[0], train=TEACHER_POINTS, classes=5)


def _halves() -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Return points and labels of digits 0 to 4, and of 5 to 9 with labels from 0."""
    from sklearn.datasets import load_digits

    x, labels = load_digits(return_X_y=True)
    low = np.asarray(labels) < 5
    return (x[low] / 16, labels[low]), (x[~low] / 16, labels[~low] - 5)


def _teacher(key: Any) -> tuple[Any, Any]:
    return nets.mlp(64, 5, TEACHER, key=key)


@cache  # the same object, compiled once
def _maker(width: int) -> Any:
    return lambda key: nets.mlp(64, 5, (width,), key=key)


def compute(recompute: bool = False, machine: str = MACHINE, folder: Path = RESULTS) -> Transfer:
    """Return the data as recorded, or measured."""
    return recorded(NAME, Transfer, measure, recompute=recompute, machine=machine, folder=folder)


def gains(data: Transfer, width: str) -> dict[str, list[Interval]]:
    """Return each method's gain over the student alone, split by split, for every size."""
    alone = np.array(data.accuracy[width][ALONE])
    return {
        name: [interval(row) for row in np.array(values) - alone]
        for name, values in data.accuracy[width].items()
        if name != ALONE
    }


def plot(data: Transfer) -> Figure:
    """Draw the gains over the student alone."""
    from matplotlib.figure import Figure

    shown = [(w, i) for w in data.accuracy for i in range(len(data.sizes))]
    with plots.house_style():
        figure = Figure(figsize=(TEXT_WIDTH, 2.2))
        panels = figure.subplots(1, len(shown), sharey=True)
        for axes, (width, i) in zip(panels, shown, strict=True):
            found = gains(data, width)
            axes.axvline(0, color=plots.GREY, lw=0.6)
            for y, values in enumerate(found.values()):
                one = values[i]
                axes.errorbar(
                    100 * one.mean, y, xerr=100 * one.half, fmt="o", ms=3, lw=1, capsize=2,
                    color=ACCENT if one.clear else plots.INK,
                )  # fmt: skip
            axes.set_title(f"width {width}, {data.sizes[i]} points", fontsize=7)
            axes.set(yticks=range(len(found)), yticklabels=list(found))
            axes.set_ylim(len(found) - 0.4, -0.6)
        figure.supxlabel("gain in test accuracy over the student alone (points)", fontsize=8)
        plots.settle(figure)
    return figure


def caption(data: Transfer) -> str:
    """Say what was measured and which gains are clear, in the run's numbers."""
    shown = [(width, i) for width in data.accuracy for i in range(len(data.sizes))]
    by_width = {width: gains(data, width) for width in data.accuracy}
    plain = [percent(interval(data.accuracy[width][ALONE][i])) for width, i in shown]
    rows = [("alone (%)", *("" for _ in data.accuracy), *plain, "")]
    for name in by_width[next(iter(by_width))]:
        weights = [
            f"{chosen[name]:g}" if name in chosen else "" for chosen in data.weights.values()
        ]
        found = [percent(by_width[width][name][i], signed=True) for width, i in shown]
        rows.append((name, *weights, *found, "" if name == "FKD" else against(data, name)))
    listed = table(
        (
            "",
            *(f"weight, width {width}" for width in data.accuracy),
            *(f"width {width}, {data.sizes[i]} points" for width, i in shown),
            "FKD above, below",
        ),
        rows,
    )
    return f"""
**Transfer between different classes** (He & Ozay 2022, Table 1 and ablations, here on small data).
Gains over the undistilled student in points, mean and 95 % interval over {len(SPLITS)} splits;
orange where zero is outside. A teacher of digits 0 to 4 and students of digits 5 to 9: FKD is
clearly above the student alone in {against(data, ALONE).split(",")[0]} of the {len(shown)} cases.

{listed}

Last column: in how many of the {len(shown)} cases FKD is clearly above and clearly below that row.
Teacher of {TEACHER_POINTS} points, test accuracy {100 * data.teacher_accuracy:.1f} %; fully
connected networks of one hidden layer, {TEACHER[0]} and {" or ".join(data.accuracy)}. Weights are
the best of {len(FACTORS)} at {CHOSEN_AT} points on {len(VALIDATION)} other splits.
"""


def against(data: Transfer, other: str) -> str:
    """Return in how many cases FKD is clearly above another, and in how many clearly below."""
    gaps = [
        interval(np.array(a) - np.array(b))
        for found in data.accuracy.values()
        for a, b in zip(found["FKD"], found[other], strict=True)
    ]
    above = sum(gap.clear and gap.mean > 0 for gap in gaps)
    below = sum(gap.clear and gap.mean < 0 for gap in gaps)
    return f"{above}, {below}"


def main(folder: Path = FIGURES, *, recompute: bool = False, machine: str = MACHINE) -> list[Path]:
    """Read or measure, draw and write the figure."""
    data = compute(recompute, machine)
    return publish(plot(data), caption(data), NAME, folder)
