"""Objectives compared on digits: KD, SP, RKD, CC, PKT, CRD and FKD, with intervals over seeds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hilbertsd import datasets, nets, schemes
from hilbertsd.report import objectives as report
from hilbertsd.report.objectives import interval, percent
from hilbertsd.schemes import compare_objectives, suggested, term
from paper_figures.publish import FIGURES, publish, table
from paper_figures.recorded import MACHINE, RESULTS, recorded
from paper_figures.resumed import parts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "objective_table"
TRAIN, TEACHER, STUDENT, SEEDS = 200, 256, 8, 20
TRAINING = nets.Training(
    loss="cross-entropy", steps=400, learning_rate=3e-3, weight_decay=1e-4, check_every=400
)
REGULARISER = 1e-3
UNTRAINED = 7
"""Stream of the teachers that were never trained, a control."""
SHOWN = ("kd", "sp", "rkd", "cc", "pkt", "crd", "fkd")
VARIANTS = {
    "fkd, regulariser": term("fkd", 10.0, norm_weight=REGULARISER),
    "fkd, raw kernel": term("fkd", 1e-4, kernel="linear", norm_weight=REGULARISER),
}
"""Ablations, with weights of their own, the best of seven as for the others."""


@dataclass(frozen=True)
class Table:
    """Test accuracies over the seeds, by name, and the weights."""

    accuracy: dict[str, list[float]]
    weights: dict[str, float]


def measure() -> Table:
    """Train teachers and students: minutes on two cores."""
    data = datasets.digit_images(TRAIN)
    terms: dict[str, Any] = {name: (suggested(name),) for name in SHOWN}
    terms |= {name: (one,) for name, one in VARIANTS.items()}
    found = compare_objectives(
        _teacher, _student, data, terms, TRAINING, seeds=range(SEEDS), progress=True,
        folder=parts(NAME),
    )  # fmt: skip
    model, state = nets.initialise(_teacher, nets.keys(range(SEEDS), UNTRAINED))
    said = schemes.observe(model, state, data.x_train)
    recipe = schemes.Recipe((suggested("fkd"),), TRAINING)
    control = schemes.distill(_student, data, said, recipe, seeds=range(SEEDS))
    accuracy = found.accuracy | {
        "fkd, untrained teacher": schemes.accuracy(control.model, control.state, data)
    }
    weights = {name: one[0].weight for name, one in terms.items()}
    return Table(
        {name: values.tolist() for name, values in accuracy.items()},
        weights | {"fkd, untrained teacher": weights["fkd"]},
    )


def _teacher(key: Any) -> tuple[Any, Any]:
    return nets.mlp(64, 10, (TEACHER,), key=key)


def _student(key: Any) -> tuple[Any, Any]:
    return nets.mlp(64, 10, (STUDENT,), key=key)


def compute(recompute: bool = False, machine: str = MACHINE, folder: Path = RESULTS) -> Table:
    """Return the data as recorded, or measured."""
    return recorded(NAME, Table, measure, recompute=recompute, machine=machine, folder=folder)


def _arrays(data: Table) -> dict[str, np.ndarray]:
    return {name: np.array(values) for name, values in data.accuracy.items()}


def plot(data: Table) -> Figure:
    """Draw accuracies and gains."""
    return report.figure(_arrays(data))


def caption(data: Table) -> str:
    """Say what was compared, and what came out, in the run's numbers."""
    found = _arrays(data)
    gains, fkd, alone = report.gains(found), found["fkd"], found["alone"]

    def row(name: str, values: np.ndarray) -> tuple[str, ...]:
        if name not in gains:
            return name, "", percent(interval(values)), "", ""
        less = "" if name == "fkd" else percent(interval(fkd - values), signed=True)
        gain = percent(gains[name], signed=True)
        return name, f"{data.weights[name]:g}", percent(interval(values)), gain, less

    control = interval(fkd - found["fkd, untrained teacher"])
    listed = table(
        ("", "weight", "test accuracy (%)", "gain", "FKD less this"),
        [row(name, values) for name, values in found.items()],
    )
    return f"""
**Objectives compared on digits.** A small student learns by cross-entropy plus weight · objective
on the features (kd: on the outputs); gains are over the student alone, in points.
{report.clear_gains(found)} The control is a teacher that was never trained; FKD with a trained one
gains {percent(control, signed=True)} more. One small data set: an order of methods here is no order
elsewhere.

{listed}

Mean and 95 % interval over {SEEDS} seeds, differences seed by seed; the student alone has from
{100 * alone.min():.1f} to {100 * alone.max():.1f} %. {TRAIN} training points, {TRAINING.steps}
steps of Adam, fully connected teacher and student of one hidden layer of {TEACHER} and of
{STUDENT}; weights were chosen on another split with other seeds.
"""


def main(folder: Path = FIGURES, *, recompute: bool = False, machine: str = MACHINE) -> list[Path]:
    """Read or measure, draw and write the figure."""
    data = compute(recompute, machine)
    return publish(plot(data), caption(data), NAME, folder)
