"""What the adversary found, as text for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hilbertsd.report.layout import plain
from hilbertsd.report.numbers import slack_text
from hilbertsd.report.verdicts import SHORT

if TYPE_CHECKING:
    from hilbertsd.theory.attack import Attack


def text(attacks: Sequence[Attack], line: str) -> str:
    """Return how nearly statements are attained as text, and where.

    Parameters
    ----------
    attacks
        From :func:`hilbertsd.theory.tightness.attack_table`. One is told in full.
    line
        The command and the time it took.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, expand=True)
    table.add_column("", overflow="fold", ratio=1)
    symbols = {"kappa": "κ", "nodes": "m", "fits": "n"}
    last = [f"{symbols[name]}={attacks[0].by[name][-1][0]:g}" for name in symbols]
    for heading in ("slack", "at κ", "r_0", *last):
        width = 5 if heading in ("at κ", "r_0") else 7
        table.add_column(heading, justify="right", width=width, overflow="fold")
    for found in attacks:
        nearest = found.nearest
        mark = {True: " VIOLATED", None: " undecided", False: ""}[found.violated]
        numbers = [nearest.slack, nearest.condition_number, nearest.label_ratio]
        numbers += [found.by[name][-1][1] for name in symbols]
        title = SHORT.get(found.name, found.title)
        table.add_row(title + mark, *(slack_text(value) for value in numbers))
    lines = _in_full(attacks[0]) if len(attacks) == 1 else []
    violated = sum(bool(found.violated) for found in attacks)
    open_ = sum(found.violated is None for found in attacks)
    lines += [
        "Least slack, and the κ and r_0 of the chain that has it; then the least at the given "
        "condition number κ, number m of eigenvalues, and number n of fits. 0 is equality, 1 says "
        "no more than was known.",
        f"{len(attacks)} statement{'s' if len(attacks) > 1 else ''} attacked: {violated} violated, "
        f"{open_} undecided.",
        line,
    ]
    return plain(Group(table, Text(), *(Text(each) for each in lines)))


def _in_full(found: Attack) -> list[str]:
    nearest = found.nearest
    lines = [
        f"Least slack with {words}: "
        + ", ".join(f"{value:g}: {slack_text(slack)}" for value, slack in found.by[name])
        for name, words in (
            *(("kappa", "condition number"), ("nodes", "eigenvalues m")),
            ("fits", "fits n"),
        )
    ]
    elsewhere = {"null space": "a null space", "every round": "a tolerance that varies"}
    lines += [
        f"Least slack with {words}: {slack_text(found.elsewhere[where].slack)}"
        for where, words in elsewhere.items()
        if where in found.elsewhere
    ]
    if nearest.eigenvalues is not None and nearest.coordinates is not None:
        values = ", ".join(f"{value:.6g}" for value in nearest.eigenvalues)
        labels = ", ".join(f"{value:.6g}" for value in nearest.coordinates)
        lines += [
            f"Nearest: {nearest.fits} fits, "
            f"{'then collapse' if nearest.collapsed else 'not collapsed'}, decided by "
            f"{nearest.confirmed_by}; {nearest.evaluations} chains evaluated.",
            f"  eigenvalues {values}",
            f"  labels in the eigenbasis {labels}",
            f"  eps {nearest.eps:.6g}",
        ]
    return [*lines, ""]
