"""hilbertsd verify: a chain, and every statement of the theory judged on it.

Only typer is imported at the top; everything heavy loads once the command runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hilbertsd import progress
from hilbertsd.cli.exits import FAILED
from hilbertsd.cli.options import Options, Output, posing
from hilbertsd.cli.output import chosen_folder, look, show, write_texts

if TYPE_CHECKING:
    from hilbertsd.cli.problem import Problem
    from hilbertsd.distillation import Distillation


@posing
def verify(
    options: Options,
    output: Output = None,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Say of each statement what it claims and where."),
    ] = False,
    json: Annotated[
        bool,
        typer.Option("--json", help="Print the verdicts as JSON; write files only with --output."),
    ] = False,
) -> None:
    """Run a chain and check every statement of the theory on it.

    Each line is a statement at the place where it is nearest to failing: lower <= actual <= upper,
    the slack relative to the statement's scale, and how nearly it is attained. A statement holds,
    is vacuous (it says no more than is known without it), is not applicable, or fails. Without
    arguments: the illustrative example of Mobahi, Farajtabar & Bartlett (2020). Writes
    chain.json, verdicts.json, table.txt and a figure of values between their bounds.
    """
    folder = chosen_folder(output, json)
    from hilbertsd.cli.problem import pose

    with progress.phases() as phase:
        phase("kernel and data")
        problem = pose(options)
        result = problem.solve(phase)
        phase("statements")
        from hilbertsd.report import verdicts

        found = verdicts.readings(result)
        document = verdicts.to_json(result, found)
        table = verdicts.text(result, found, problem.heading, verbose=verbose)
        written = ""
        if folder is not None:
            phase("writing")
            texts = {"chain.json": result.to_json(), "verdicts.json": document, "table.txt": table}
            written = _write(folder, problem, result, texts)
    if json:
        show(document)
    else:
        show(verdicts.text(result, found, problem.heading, verbose=verbose, **look()))
        show(f"{written}\n")
    if verdicts.counts(found)["fails"]:
        raise typer.Exit(FAILED)


def _write(folder: Path, problem: Problem, result: Distillation, texts: dict[str, str]) -> str:
    """Write texts and the figure into a folder and return a line that says so."""
    from hilbertsd import plots
    from hilbertsd.report import bounds

    outputs = result.labels.shape[2] if result.labels.ndim == 3 and not result.joint else 1
    title = problem.title + (f", output 0 of {outputs}" if outputs > 1 else "")
    names = write_texts(folder, texts)
    figures = plots.save(bounds.figure(result, title=title), folder / "bounds")
    return f"Written to {folder}: {', '.join([*names, *(path.name for path in figures)])}"
