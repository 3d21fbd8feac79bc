"""How nearly every statement is attained: the attacks on all of them, as a table and a figure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from hilbertsd import plots
from hilbertsd.errors import HilbertSDError
from hilbertsd.theory.attack import Attack, Effort, Space, attack
from hilbertsd.theory.statement import REGISTRY, Statement

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ATTAINED = 1e-9
"""Slack below this is drawn at the left edge: equality, or a limit."""
LINES = {"kappa": "condition number κ", "nodes": "eigenvalues m", "fits": "fits n"}
HEADINGS = ("statement", "kind", "least slack", "κ", "r_0", "with κ", "with m", "with n")


def attack_table(
    statements: Iterable[Statement] | None = None,
    space: Space | None = None,
    *,
    effort: Effort | None = None,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> tuple[Attack, ...]:
    """Attack all statements.

    Parameters
    ----------
    statements
        All registered ones, unless given.
    space, effort, seed
        As for :func:`hilbertsd.theory.attack.attack`.
    progress
        Called with the number done, the number in all and the next statement's title.
    """
    claims = list(REGISTRY.values() if statements is None else statements)
    attacks = []
    for done, claim in enumerate(claims):
        if progress is not None:
            progress(done, len(claims), claim.title)
        attacks.append(attack(claim, space, effort=effort, seed=seed))
    return tuple(attacks)


def rows(attacks: Iterable[Attack]) -> list[tuple[str, ...]]:
    """The table's cells, under ``HEADINGS``: where each statement is nearest to equality."""
    table = []
    for found in attacks:
        nearest = found.nearest
        verdict = {True: " VIOLATED", None: " undecided", False: ""}[found.violated]
        lines = (
            ", ".join(f"{_number(value)}: {_number(slack)}" for value, slack in found.by[name])
            for name in LINES
        )
        where = (_number(nearest.condition_number), _number(nearest.label_ratio))
        table.append((found.title, found.kind, _number(nearest.slack) + verdict, *where, *lines))
    return table


def _number(value: float) -> str:
    return "–" if not np.isfinite(value) else f"{value:.2g}"


def figure(attacks: Iterable[Attack]) -> Figure:
    """Draw the least slack of each inequality, and how it grows with κ, m and n.

    One row a statement. A circle is the least slack over the whole space; the dots are those at
    fixed κ, m or n, the lighter the larger. At the left edge the bound is attained, right of 1 it
    says nothing. Identities are left out.

    Raises
    ------
    HilbertSDError
        If there is no inequality among the attacks.
    """
    from matplotlib.figure import Figure

    shown = [a for a in attacks if a.kind != "identity" and np.isfinite(a.nearest.slack)]
    if not shown:
        raise HilbertSDError("there is no inequality to draw; pass the attacks of some")
    with plots.house_style():
        drawn = Figure(figsize=(7.2, 1.1 + 0.17 * len(shown)))
        panels = drawn.subplots(1, len(LINES), sharey=True)
        for axes, (name, title) in zip(panels, LINES.items(), strict=True):
            _panel(axes, shown, name, title)
        panels[0].set_yticks(range(len(shown)), [a.title for a in shown])
        panels[0].invert_yaxis()
        drawn.supxlabel("least slack: 0 is equality, 1 says nothing", fontsize=9)
        plots.settle(drawn)
    return drawn


def _panel(axes: Axes, attacks: list[Attack], name: str, title: str) -> None:
    axes.set_xscale("log")
    axes.set_title(title, pad=16)
    axes.set_xlim(ATTAINED / 3, 3)
    axes.set_xticks([ATTAINED, 1e-6, 1e-3, 1], ["0", "$10^{-6}$", "$10^{-3}$", "1"])
    axes.minorticks_off()
    axes.tick_params(axis="y", length=0)
    axes.axvline(1, color=plots.GREY, lw=0.6, ls=":")
    values = sorted({value for a in attacks for value, _ in a.by[name]})
    colors = dict(zip(values, plots.round_colors(len(values)), strict=True))
    for row, found in enumerate(attacks):
        axes.axhline(row, color=plots.BAND, lw=0.4, zorder=0)
        size = dict.fromkeys(values, 14)
        for value, slack in found.by[name]:
            if np.isfinite(slack):
                axes.scatter(_clipped(slack), row, s=size[value], color=colors[value], lw=0)
        axes.scatter(
            _clipped(found.nearest.slack), row, s=26, facecolor="none", edgecolor=plots.INK, lw=0.6
        )
    for value in values:
        axes.scatter([], [], s=14, color=colors[value], lw=0, label=f"{value:g}")
    if values:
        axes.legend(
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            borderaxespad=0.0,
            ncols=len(values),
            handletextpad=0.0,
            columnspacing=0.6,
        )


def _clipped(slack: float) -> float:
    return float(np.clip(slack, ATTAINED, 2.0))
