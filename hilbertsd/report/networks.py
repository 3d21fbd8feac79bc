"""Chains of networks for a person: a table, a figure, and whether distillation helped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hilbertsd import plots
from hilbertsd.report.layout import WIDTH, grid, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.table import Table

Curves = Any
"""`hilbertsd.nets.Curves` of a chain, each (T, S), or a record with the same names."""

PANELS = {
    "train_accuracy": "training accuracy",
    "test_accuracy": "test accuracy",
    "train_loss": "training loss",
    "test_loss": "test loss",
}
"""The curves that are shown; training is against the given labels, whatever was fitted."""
ACCENT = "#d55e00"
"""Of what is compared with the chain."""


class Spread(NamedTuple):
    """Mean and standard deviation over the seeds, each (T,)."""

    mean: np.ndarray
    deviation: np.ndarray
    """With S − 1; NaN for one seed."""


class Course(NamedTuple):
    """How a measure went: from round 0 to its best round, and from there to the last."""

    best: int
    """Round of the largest mean."""
    rise: np.ndarray
    """(S,) of each seed, best round minus round 0."""
    fall: np.ndarray
    """(S,) of each seed, best round minus last round."""


def spread(values: np.ndarray) -> Spread:
    """Return mean and standard deviation over the seeds of (T, S) values.

    Examples
    --------
    >>> spread(np.array([[1.0, 3.0]]))
    Spread(mean=array([2.]), deviation=array([1.41421356]))
    """
    several = values.shape[1] > 1
    deviation = values.std(axis=1, ddof=1) if several else np.full(len(values), np.nan)
    return Spread(values.mean(axis=1), deviation)


def course(values: np.ndarray) -> Course:
    """Return how (T, S) values went over the rounds.

    Examples
    --------
    >>> course(np.array([[0.8, 0.7], [0.9, 0.9], [0.6, 0.8]])).best
    1
    """
    best = int(values.mean(axis=1).argmax())
    return Course(best, values[best] - values[0], values[best] - values[-1])


def plus_minus(values: np.ndarray) -> str:
    """Return mean ± standard deviation of numbers, three decimals; of one number, itself.

    Examples
    --------
    >>> plus_minus(np.array([0.5, 0.7]))
    '0.600 ± 0.141'
    """
    shown = f"{values.mean():.3f}"
    return shown if len(values) < 2 else f"{shown} ± {values.std(ddof=1):.3f}"


def remarks(curves: Curves, controls: Curves | None = None) -> list[str]:
    """Return sentences on what the test accuracy and the training accuracy did."""
    tested, best = curves.test_accuracy, course(curves.test_accuracy)
    count = tested.shape[1]
    last = len(tested) - 1
    lines = [f"Test accuracy: {plus_minus(tested[0])} in round 0"]
    if best.best:
        better = int((best.rise > 0).sum())
        lines[0] += (
            f", best in round {best.best} with {plus_minus(tested[best.best])}: "
            f"{plus_minus(best.rise)} more, above round 0 in {better} of {count} seeds"
        )
    elif last:
        lines[0] += ", and never better on average"
    if last > best.best:
        worse = int((best.fall > 0).sum())
        lines[0] += (
            f"; in round {last} {plus_minus(tested[-1])}, below that in {worse} of {count} seeds"
        )
    lines[0] += "."
    if last:
        steps = np.diff(curves.train_accuracy.mean(axis=1))
        lines.append(
            f"Training accuracy on the given labels: {plus_minus(curves.train_accuracy[0])} in "
            f"round 0, {plus_minus(curves.train_accuracy[-1])} in round {last}; its mean falls in "
            f"{int((steps < 0).sum())} of {last} rounds."
        )
    if controls is not None:
        lines.append(_against(curves, controls))
    return lines


def _against(curves: Curves, controls: Curves) -> str:
    best = course(curves.test_accuracy).best
    highest = course(controls.test_accuracy).best
    difference = curves.test_accuracy[best] - controls.test_accuracy[best]
    reached = controls.train_loss <= curves.train_loss
    over = max((curves.train_loss - controls.train_loss).mean(axis=1).max(), 0.0)
    return (
        f"Early stopping at the training loss of round {best}: test accuracy "
        f"{plus_minus(controls.test_accuracy[best])}; the chain's minus that: "
        f"{plus_minus(difference)}. Early stopping is best at the loss of round {highest}: "
        f"{plus_minus(controls.test_accuracy[highest])}. {int(reached.sum())} of {reached.size} "
        f"controls reached their loss, and overshot it by {over:.3f} on average at most."
    )


def text(
    curves: Curves,
    heading: Mapping[str, str],
    controls: Curves | None = None,
    *,
    width: int = WIDTH,
    terminal: bool = False,
) -> str:
    """Return the report as text.

    Parameters
    ----------
    curves
        Of a chain, each (T, S).
    heading
        Lines to put first.
    controls
        Of early stopping at matched training loss.
    width, terminal
        As for the other reports.
    """
    from rich.console import Group
    from rich.text import Text

    sentences = [Text(line) for line in (*_spread_named(curves), *remarks(curves, controls))]
    parts = grid(heading), Text(), _table(curves, controls), Text(), *sentences
    return plain(Group(*parts), width=width, terminal=terminal)


def _spread_named(curves: Curves) -> list[str]:
    count = curves.test_accuracy.shape[1]
    return [f"Mean ± standard deviation over {count} seeds."] if count > 1 else []


def _table(curves: Curves, controls: Curves | None) -> Table:
    from rich import box
    from rich.table import Table

    columns = {name.replace("_", " "): getattr(curves, name) for name in PANELS}
    if controls is not None:
        columns["early stopping"] = controls.test_accuracy
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    for name in ("t", *columns):
        table.add_column(name, justify="right", overflow="fold")
    for t in range(len(curves.test_accuracy)):
        table.add_row(str(t), *(plus_minus(values[t]) for values in columns.values()))
    return table


def figure(curves: Curves, controls: Curves | None = None, *, title: str | None = None) -> Figure:
    """Draw training and test accuracy and loss over the rounds, mean ± standard deviation.

    Parameters
    ----------
    curves
        Of a chain, each (T, S).
    controls
        Of early stopping at matched training loss.
    title
        Above the panels.
    """
    from matplotlib.figure import Figure

    with plots.house_style():
        drawn = Figure(figsize=(5.5, 3.8))
        panels = drawn.subplots(2, 2).flat
        for axes, name in zip(panels, PANELS, strict=True):
            panel(axes, name, curves, controls)
        if title:
            drawn.suptitle(title.replace("$", r"\$"), fontsize=9)
        legend(drawn)
        plots.settle(drawn)
    return drawn


def legend(drawn: Figure) -> None:
    """Say once below the panels what the lines are, where there are several kinds."""
    lines = {str(line.get_label()): line for axes in drawn.axes for line in axes.lines}
    if len(lines) > 1:
        drawn.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=len(lines))


def panel(axes: Axes, name: str, curves: Curves, controls: Curves | None = None) -> None:
    """Draw one of :data:`PANELS`, with the controls' curve beside it where there are some."""
    if controls is not None:
        band(axes, getattr(controls, name), ACCENT, "early stopping", ls=(0, (4, 2)), marker="")
    band(axes, getattr(curves, name), plots.INK, "self-distillation")
    before = getattr(curves, name.replace("train", "true"))
    if name.startswith("train") and (before != getattr(curves, name)).any():
        band(axes, before, plots.GREY, "on labels before noise", ls=":", marker="")
    round_axis(axes, len(curves.test_accuracy))
    axes.set(title=PANELS[name])


def band(axes: Axes, values: np.ndarray, color: Any, label: str, **look: Any) -> None:
    """Draw the mean over the seeds of (T, S) values, and one standard deviation around it."""
    mean, deviation = spread(values)
    t = np.arange(len(mean))
    if values.shape[1] > 1:
        axes.fill_between(t, mean - deviation, mean + deviation, color=color, alpha=0.2, lw=0)
    axes.plot(t, mean, color=color, label=label, **({"marker": "o", "ms": 2} | look))


def round_axis(axes: Axes, count: int) -> None:
    """Let the horizontal axis be rounds 0 to count − 1."""
    from matplotlib.ticker import MaxNLocator

    axes.set(xlabel="round $t$", xlim=(-0.03 * count, 1.03 * max(count - 1, 1)))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
