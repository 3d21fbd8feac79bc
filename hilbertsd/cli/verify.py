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
from hilbertsd.cli.output import chosen_folder, look, remove_stale, show, write_texts

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
    the slack relative to the statement's scale, and how nearly it is attained there. A statement
    holds, is vacuous (it says no more than is known without it), is undecided within the chain's
    own error, is not applicable, or fails. Without arguments: the illustrative example of Mobahi,
    Farajtabar & Bartlett (2020). Writes verdicts.json, verdicts.txt and the figure bounds, of
    values between their bounds; the chain itself is written by distill.
    """
    # --json writes only with --output
    folder = None if json and output is None else chosen_folder("verify", output)
    from hilbertsd.cli.problem import pose

    with progress.phases() as phase:
        phase("kernel and data")
        problem = pose(options)
        result = problem.solve(phase, keep_eigenvectors=True)
        phase("statements")
        from hilbertsd.report import verdicts
        from hilbertsd.theory import check

        found = check(result)
    document = verdicts.to_json(result, found)
    if json:
        show(document)
    else:
        show(verdicts.text(result, found, problem.heading, verbose=verbose, **look()))
    if folder is not None:
        table = verdicts.text(result, found, problem.heading, verbose=verbose)
        with progress.phases() as phase:
            phase("writing")
            texts = {"verdicts.json": document, "verdicts.txt": table}
            written = _write(folder, problem, result, texts)
        if not json:
            show(f"{written}\n")
    if found.counts["fails"]:
        raise typer.Exit(FAILED)


def _write(folder: Path, problem: Problem, result: Distillation, texts: dict[str, str]) -> str:
    """Write texts and the figure into a folder and return a line that says so.

    Where everything has collapsed at the start there is nothing to draw.
    """
    import numpy as np

    from hilbertsd import plots
    from hilbertsd.report import bounds

    outputs = result.labels.shape[2] if result.labels.ndim == 3 and not result.joint else 1
    title = problem.title + (f", output 0 of {outputs}" if outputs > 1 else "")
    names, stale = write_texts(folder, texts), ["bounds.pdf", "bounds.png"]
    if np.isfinite(result.multipliers).any():
        figures = plots.save(bounds.figure(result, title=title), folder / "bounds")
        names, stale = [*names, *(path.name for path in figures)], []
    return f"Written to {folder}: {', '.join(names)}{remove_stale(folder, stale)}"
