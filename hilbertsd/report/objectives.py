"""Objectives compared, for a person: test accuracy by objective with intervals over the seeds."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hilbertsd import plots
from hilbertsd.report.layout import WIDTH, grid, plain
from hilbertsd.schemes.intervals import FIRST, Interval, gains, interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.table import Table

LINE = 90
"""Characters of a figure's title in a line."""
ACCENT = "#d55e00"
"""Of gains whose interval is above or below zero."""


def percent(found: Interval, signed: bool = False) -> str:
    """Return an interval of shares in percent, such as 93.2 ± 0.4.

    Examples
    --------
    >>> percent(Interval(0.932, 0.004)), percent(Interval(0.01, 0.02), signed=True)
    ('93.2 ± 0.4', '+1.0 ± 2.0')
    """
    mean = f"{100 * found.mean:{'+' if signed else ''}.1f}"
    return mean if np.isnan(found.half) else f"{mean} ± {100 * found.half:.1f}"


def text(
    accuracy: Mapping[str, np.ndarray],
    added: Mapping[str, str],
    heading: Mapping[str, str],
    *,
    width: int = WIDTH,
    terminal: bool = False,
) -> str:
    """Return the comparison as text.

    Parameters
    ----------
    accuracy
        (S,) by name, with "teacher" and "alone".
    added
        By name, what the objective's students had added to their own loss.
    heading
        Lines to put first.
    width, terminal
        As for the other reports.
    """
    from rich.console import Group
    from rich.text import Text

    parts = grid(heading), Text(), _table(accuracy, added), Text(), Text(remark(accuracy))
    return plain(Group(*parts), width=width, terminal=terminal)


def remark(accuracy: Mapping[str, np.ndarray]) -> str:
    """Return what the intervals are, and which gains are clear."""
    count = len(accuracy["alone"])
    if count < 2:
        return "Test accuracy in percent; one seed has no interval."
    return (
        f"Test accuracy in percent, mean ± half of its 95 % interval over {count} seeds (Student's "
        "t). Gains are differences from the student alone, seed by seed. "
        f"{clear_gains(accuracy)}"
    )


def clear_gains(accuracy: Mapping[str, np.ndarray]) -> str:
    """Return which gains have an interval clear of zero."""
    found = gains(accuracy)
    better = [name for name, gain in found.items() if gain.clear and gain.mean > 0]
    worse = [name for name, gain in found.items() if gain.clear and gain.mean < 0]
    above, below = ("; ".join(names) or "none" for names in (better, worse))
    return f"Clear of zero, above: {above}. Below: {below}."


def _table(accuracy: Mapping[str, np.ndarray], added: Mapping[str, str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    for name, side in (("", "left"), ("added", "left"), ("accuracy", "right"), ("gain", "right")):
        table.add_column(name, justify=side, overflow="fold")  # type: ignore[arg-type]
    table.add_column("seeds better", justify="right")
    found = gains(accuracy)
    for name, values in accuracy.items():
        row = [name, added.get(name, ""), percent(interval(values))]
        if name in found:
            better = int((values > accuracy["alone"]).sum())
            row += [percent(found[name], signed=True), f"{better} of {len(values)}"]
        table.add_row(*row)
    return table


def figure(accuracy: Mapping[str, np.ndarray], *, title: str | None = None) -> Figure:
    """Draw test accuracy by objective, and the gain over students alone, with intervals."""
    from matplotlib.figure import Figure

    with plots.house_style():
        drawn = Figure(figsize=(5.5, 1.15 + 0.2 * len(accuracy)))
        left, right = drawn.subplots(1, 2, sharey=True)
        accuracies(left, accuracy)
        differences(right, accuracy)
        if title:
            drawn.suptitle(textwrap.fill(title, LINE).replace("$", r"\$"), fontsize=9)
        legend(drawn, accuracy)
        plots.settle(drawn)
    return drawn


def legend(drawn: Figure, accuracy: Mapping[str, np.ndarray]) -> None:
    """Say below the panels what dots, bars and the accent are."""
    from matplotlib.lines import Line2D

    def line(label: str, color: str, **look: Any) -> Line2D:
        return Line2D([], [], color=color, label=label, **look)

    several = len(accuracy["alone"]) > 1
    bars = "mean and 95 % interval" if several else "the one seed"
    lines = [line(bars, plots.INK, marker="o", ms=3, lw=several)]
    if several:
        lines.insert(0, line("a seed", plots.INK, marker=".", ms=4, lw=0, alpha=0.35))
    if any(gain.clear for gain in gains(accuracy).values()):
        lines.append(line("zero outside the interval", ACCENT, marker="o", ms=3, lw=1))
    drawn.legend(handles=lines, loc="outside lower center", ncols=len(lines))


def accuracies(axes: Axes, accuracy: Mapping[str, np.ndarray]) -> None:
    """Draw test accuracies in percent: every seed, the mean and its interval."""
    for y, (name, values) in enumerate(accuracy.items()):
        color = plots.GREY if name in FIRST else plots.INK
        axes.plot(100 * values, np.full(len(values), y), ".", ms=2.5, color=color, alpha=0.35)
        _bar(axes, interval(values), y, color)
    axes.set(yticks=range(len(accuracy)), yticklabels=list(accuracy), xlabel="test accuracy (%)")
    axes.set_ylim(len(accuracy) - 0.4, -0.6)


def differences(axes: Axes, accuracy: Mapping[str, np.ndarray]) -> None:
    """Draw gains over students alone in percent."""
    found = gains(accuracy)
    axes.axvline(0, color=plots.GREY, lw=0.6)
    for y, name in enumerate(accuracy):
        if name in found:
            _bar(axes, found[name], y, ACCENT if found[name].clear else plots.INK)
    axes.set(xlabel="gain over the student alone (points)")


def _bar(axes: Axes, found: Interval, y: int, color: str) -> None:
    half = 0.0 if np.isnan(found.half) else 100 * found.half
    axes.errorbar(100 * found.mean, y, xerr=half, fmt="o", ms=3, lw=1, capsize=2, color=color)
