"""hilbertsd attack: the chains on which a statement has the least slack, or fails.

Only typer is imported at the top; everything heavy loads once the command runs.
"""

from __future__ import annotations

import enum
import json as _json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hilbertsd import progress
from hilbertsd.cli.exits import FAILED
from hilbertsd.cli.output import remove_stale, require_folder, say, show, write_texts
from hilbertsd.errors import HilbertSDError

if TYPE_CHECKING:
    from hilbertsd.theory import Statement
    from hilbertsd.theory.attack import Attack, Effort


class Budget(enum.StrEnum):
    """How long the adversary searches."""

    quick = "quick"
    standard = "standard"
    thorough = "thorough"


def attack(
    statement: Annotated[
        str | None,
        typer.Argument(
            metavar="[STATEMENT]",
            help="By its name, such as guaranteed_rounds, or its title, such as 'Proposition 4'; "
            "all of them without. 'hilbertsd verify -v' says both of each.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of the search.")] = 0,
    budget: Annotated[
        Budget | None,
        typer.Option(
            metavar="NAME",
            help="quick (about three seconds a statement, two to three minutes for all, without "
            "gradients), standard (10 to 40 seconds a statement, a quarter of an hour for all) or "
            "thorough (minutes a statement). Default: standard for one statement, quick for all.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for attack.json and the figure tightness."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Search for a chain on which a statement fails, or nearly does.

    Prints how nearly each statement is attained, where, and how the least slack grows with the
    condition number κ, the number of eigenvalues and the number of fits. Slack 0 is equality,
    1 or more says no more than was known. An apparent violation counts once it is confirmed in ball
    arithmetic; then the exit code is 1. Ctrl-C ends the search and keeps the statements that are
    finished.
    """
    if output is not None:
        require_folder(output)
    from hilbertsd.report.attack import text
    from hilbertsd.theory import REGISTRY
    from hilbertsd.theory.record import to_record

    claims = list(REGISTRY.values()) if statement is None else [named(statement)]
    budget = budget or (Budget.quick if statement is None else Budget.standard)
    command = " ".join(["hilbertsd attack", *(c.name for c in claims if statement is not None)])
    command += f" --budget {budget} --seed {seed}"
    start = time.perf_counter()
    attacks, interrupted = _attacked(claims, efforts()[budget], seed)
    seconds = time.perf_counter() - start
    document = _json.dumps(to_record(attacks, command), ensure_ascii=False, indent=1) + "\n"
    show(document if json else text(attacks, f"{command}: {seconds:.3g} seconds"))
    if output is not None:
        written = _write(output, attacks, document)
        if not json:
            show(written)
    if interrupted:
        raise KeyboardInterrupt
    if any(found.violated for found in attacks):
        raise typer.Exit(FAILED)


def _attacked(
    claims: Sequence[Statement], effort: Effort, seed: int
) -> tuple[tuple[Attack, ...], bool]:
    """Attack one statement after the other; an interrupt keeps what is finished, if anything."""
    from hilbertsd.theory.attack import attack as search

    attacks: list[Attack] = []
    with progress.phases() as phase:
        try:
            for number, claim in enumerate(claims, 1):
                phase(f"{number}/{len(claims)} {claim.title}")
                attacks.append(search(claim, effort=effort, seed=seed))
        except KeyboardInterrupt:
            if not attacks:
                raise
    interrupted = len(attacks) < len(claims)
    if interrupted:
        say(f"stopped after {len(attacks)} of {len(claims)} statements; these are kept")
    return tuple(attacks), interrupted


def named(text: str) -> Statement:
    """Return the statement of a name, a title, or the table's short title.

    Raises
    ------
    HilbertSDError
        If there is none, with those that come near.

    Examples
    --------
    >>> named("Proposition 4").name, named("theorem_5").name
    ('guaranteed_rounds', 'weight_ratio')
    """
    from hilbertsd.report.verdicts import SHORT
    from hilbertsd.theory import REGISTRY, UnknownStatementError

    in_table = {title.lower(): name for name, title in SHORT.items()}
    try:
        return REGISTRY[in_table.get(text.lower(), text)]
    except UnknownStatementError as error:
        raise HilbertSDError(
            f"{error} 'hilbertsd verify -v' lists all {len(REGISTRY)} with their names"
        ) from None


def efforts() -> dict[Budget, Effort]:
    """What each budget buys; without gradient steps nothing has to be compiled."""
    from hilbertsd.theory.attack import Effort

    return {
        Budget.quick: Effort(points=128, population=24, generations=24, steps=0),
        Budget.standard: Effort(),
        Budget.thorough: Effort(points=4096, population=128, generations=240, steps=600),
    }


def _write(folder: Path, attacks: tuple[Attack, ...], document: str) -> str:
    """Write the findings and their figure into a folder and return a line that says so."""
    from hilbertsd import plots
    from hilbertsd.report.tightness import figure

    names = write_texts(folder, {"attack.json": document})
    stale = ["tightness.pdf", "tightness.png"]
    if any(found.kind != "identity" for found in attacks):
        names += [path.name for path in plots.save(figure(attacks), folder / "tightness")]
        stale = []
    return f"Written to {folder}: {', '.join(names)}{remove_stale(folder, stale)}\n"
