"""hilbertsd attack: the chains on which a statement has the least slack, or fails.

Only typer is imported at the top; everything heavy loads once the command runs.
"""

from __future__ import annotations

import enum
import json as _json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hilbertsd import progress
from hilbertsd.cli.exits import FAILED
from hilbertsd.cli.output import require_folder, show, write_texts

if TYPE_CHECKING:
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
            help="By its name in the registry, such as guaranteed_rounds; all of them without.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of the search.")] = 0,
    budget: Annotated[
        Budget | None,
        typer.Option(
            metavar="NAME",
            help="quick (about two seconds a statement, two minutes for all, without gradients), "
            "standard (10 to 40 seconds a statement, a quarter of an hour for all) or thorough "
            "(minutes a statement). Default: standard for one statement, quick for all.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for attack.json and the figure tightness."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Search for chains on which a statement has the least slack, or fails.

    Prints how nearly each statement is attained, where, and how the least slack grows with the
    condition number κ, the number of eigenvalues and the number of fits. Slack 0 is equality, 1
    says no more than was known. An apparent violation counts once it is confirmed in ball
    arithmetic; then the exit code is 1.
    """
    if output is not None:
        require_folder(output)
    from hilbertsd.theory.attack import find
    from hilbertsd.theory.record import to_record
    from hilbertsd.theory.tightness import attack_table

    budget = budget or (Budget.quick if statement is None else Budget.standard)
    effort = efforts()[budget]
    claims = None if statement is None else [find(statement)]
    start = time.perf_counter()
    with progress.phases() as phase:
        attacks = attack_table(
            *(claims, None),
            effort=effort,
            seed=seed,
            progress=lambda done, count, title: phase(f"{done + 1}/{count} {title}"),
        )
    seconds = time.perf_counter() - start
    command = f"hilbertsd attack {statement or ''}".strip() + f" --budget {budget} --seed {seed}"
    document = _json.dumps(to_record(attacks, command), ensure_ascii=False, indent=1) + "\n"
    written = "" if output is None else _write(output, attacks, document)
    if json:
        show(document)
    else:
        from hilbertsd.report.attack import text

        show(text(attacks, f"{command}: {seconds:.3g} seconds"))
        show(written)
    if any(found.violated for found in attacks):
        raise typer.Exit(FAILED)


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
    from hilbertsd.theory.tightness import figure

    names = write_texts(folder, {"attack.json": document})
    if any(found.kind != "identity" for found in attacks):
        names += [path.name for path in plots.save(figure(attacks), folder / "tightness")]
    return f"Written to {folder}: {', '.join(names)}\n"
