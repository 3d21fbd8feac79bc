"""What figures 4 to 10 have in common: panels of curves over the rounds, and their caption."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hilbertsd import plots
from hilbertsd.report import networks as report
from paper_figures.network_chains import Curves, curves, recorded_as
from paper_figures.publish import FIGURES, TEXT_WIDTH, publish, table
from paper_figures.recorded import MACHINE, machine_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACCURACIES = ("train_accuracy", "test_accuracy")
FULL = (*ACCURACIES, "train_loss", "test_loss")
CLEAR = 2.0
"""A mean over the seeds of so many standard errors is called clear."""


@dataclass(frozen=True)
class NetworkFigure:
    """Curves of some chains over the rounds, mean and standard deviation over the seeds."""

    name: str
    title: str
    paper: str
    """What the paper's figure shows, and on what."""
    parts: dict[str, tuple[str, ...]]
    """The panels of each chain, by the name of its setting; four in all."""
    early_stopping: bool = False
    """Whether the networks stopped early are shown."""

    def compute(self, archives: Path | None = None, **again: Any) -> dict[str, Curves]:
        """Return the curves of each part, as recorded or measured again."""
        return {name: curves(name, archives, **again) for name in self.parts}

    def plot(self, data: dict[str, Curves]) -> Figure:
        """Draw the four panels."""
        from matplotlib.figure import Figure

        panels = [(name, panel) for name, shown in self.parts.items() for panel in shown]
        with plots.house_style():
            figure = Figure(figsize=(TEXT_WIDTH, 3.7))
            several = len(self.parts) > 1
            for axes, letter, (name, panel) in zip(
                figure.subplots(2, 2).flat, "abcd", panels, strict=True
            ):
                found = data[name]
                report.panel(axes, panel, found, self._controls(found))
                where = f", {found.data['dataset']}, {short(found)}" if several else ""
                axes.set_title(f"({letter}) {report.PANELS[panel]}{where}")
            report.legend(figure)
            plots.settle(figure)
        return figure

    def caption(self, data: dict[str, Curves], archives: Path | None = None) -> str:
        """Say what the panels show, and what the paper's figure shows, in the run's numbers."""
        first = next(iter(data.values()))
        lengths = sorted({len(found.test_accuracy) - 1 for found in data.values()})
        rounds = " and ".join(map(str, lengths))
        number = self.name.removeprefix("fig")
        parts, letters = {}, "abcd"
        for name, shown in self.parts.items():
            parts[f"({letters[0]}–{letters[len(shown) - 1]})"] = (data[name], shown)
            letters = letters[len(shown) :]
        words = [
            f"**Figure {number}.** {self.title}: mean and standard deviation over "
            f"{first.test_accuracy.shape[1]} seeds, ordinary training and {rounds} rounds of "
            f"self-distillation. {self.paper}"
        ]
        for where, (found, shown) in parts.items():
            words += [where, verdict(found)]
            if (controls := self._controls(found)) is not None:
                words.append(against(found, controls))
            if "test_loss" in shown:
                words.append(losses(found))
        columns = [numbers(found) for found, _ in parts.values()]
        listed = table(
            ("", *parts),
            [(name, *(column[name] for column in columns)) for name in columns[0]],
        )
        stopped = [
            f"{where} {report.remarks(found, controls)[-1]}"
            for where, (found, _) in parts.items()
            if (controls := self._controls(found)) is not None
        ]
        settings = [f"{where} {described(found)}." for where, (found, _) in parts.items()]
        machines = dict.fromkeys(machine_of(recorded_as(name, archives)) for name in self.parts)
        settings.append(f"Measured on {' and '.join(machines)}.")
        return "\n\n".join([" ".join(words), listed, *stopped, " ".join(settings)])

    def _controls(self, found: Curves) -> Curves | None:
        return found.controls if self.early_stopping else None

    def main(
        self,
        folder: Path = FIGURES,
        *,
        recompute: bool = False,
        machine: str = MACHINE,
        archives: Path | None = None,
    ) -> list[Path]:
        """Read or measure, draw and write the figure."""
        data = self.compute(archives, recompute=recompute, machine=machine)
        name = self.name if archives is None else f"{self.name}-cifar"
        return publish(self.plot(data), self.caption(data, archives), name, folder)


def short(found: Curves) -> str:
    """Return the network's short name."""
    return found.network.split(" of ")[0]


def described(found: Curves) -> str:
    """Return the setting in words."""
    data, training = found.data, found.settings["training"]
    points = f"{data['dataset']}, {data['train']} training points, {data['classes']} classes"
    noise = f"{100 * data['rate']:.3g}% {data['noise']} label noise" if data["rate"] else "no noise"
    return (
        f"{points}, {noise}; {found.network}; "
        f"{training['loss']} loss, {found.settings['labels']} labels, weight decay "
        f"{training['weight_decay']:g}, {training['steps']} steps of Adam "
        f"({training['learning_rate']:g}) with batches of {training['batch']}"
    )


def numbers(found: Curves) -> dict[str, str]:
    """Return what the accuracies did, by what is measured."""
    tested, trained = found.test_accuracy, found.train_accuracy
    last, seeds = len(tested) - 1, tested.shape[1]
    course = report.course(tested)
    return {
        "test accuracy, round 0": report.plus_minus(tested[0]),
        "at its best": f"{report.plus_minus(tested[course.best])} in round {course.best}",
        "best less round 0": f"{report.plus_minus(course.rise)}, above 0 in "
        f"{int((course.rise > 0).sum())} of {seeds} seeds",
        "in the last round": f"{report.plus_minus(tested[-1])}, below the best in "
        f"{int((course.fall > 0).sum())} of {seeds} seeds",
        "training accuracy on the given labels, round 0": report.plus_minus(trained[0]),
        "there in the last round": report.plus_minus(trained[-1]),
        "its mean falls in": f"{int((np.diff(trained.mean(axis=1)) < 0).sum())} of {last} rounds",
    }


def against(found: Curves, controls: Curves) -> str:
    """Say in how many rounds the chain is better than early stopping, and in how many worse."""
    differences = found.test_accuracy - controls.test_accuracy
    above, below = (sum(clear(sign * row) for row in differences) for sign in (1, -1))
    words = (
        f"At the same training loss the chain's test accuracy is clearly above that of early "
        f"stopping in {above} of {len(differences)} rounds, clearly below in {below}: "
    )
    if not above and not below:
        return words + "the difference that the paper finds is not seen here."
    if above and below:
        return words + "the two are different, as the paper finds, and neither is always better."
    return words + "the two are different, as the paper finds."


def losses(found: Curves) -> str:
    """Say in which rounds the mean losses are least."""
    least = {
        name: int(getattr(found, name).mean(axis=1).argmin())
        for name in ("train_loss", "true_loss", "test_loss")
    }
    words = (
        f"The mean loss is least in round {least['train_loss']} at the training points on the "
        f"given labels, in round {least['true_loss']} there on the labels before noise, and in "
        f"round {least['test_loss']} at the test points."
    )
    if not least["train_loss"] and found.settings.get("labels") != "hard":
        words += " In the paper the training loss falls before it rises; on noisy given labels it "
        words += "is least at the start"
        words += ", on those before noise it falls first." if least["true_loss"] else "."
    return words


def verdict(found: Curves) -> str:
    """Say which of the paper's claims the test accuracy bears out, and which it does not."""
    course = report.course(found.test_accuracy)
    rises, falls = clear(course.rise), clear(course.fall)
    if rises and falls:
        return "Both of the paper's regimes are seen: test accuracy rises, then falls."
    if rises:
        return "Test accuracy rises as in the paper; its later fall is not seen in these rounds."
    if falls:
        return "Test accuracy falls as in the paper; a clear rise before that is not seen here."
    return "Neither the paper's rise of test accuracy nor its fall is clear here."


def clear(differences: np.ndarray) -> bool:
    """Return whether a mean over the seeds is more than :data:`CLEAR` standard errors above 0."""
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return bool(differences.mean() > CLEAR * error)
