"""How nearly every statement is attained: the attacks on all of them, as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from hilbertsd.theory.attack import Attack, Effort, Space, attack
from hilbertsd.theory.statement import REGISTRY, Statement

LINES = ("kappa", "nodes", "fits")
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
