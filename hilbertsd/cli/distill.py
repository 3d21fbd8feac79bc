"""hilbertsd distill: a chain, its table, its figures and its numbers.

Only typer is imported at the top; everything heavy loads once the command runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hilbertsd import progress
from hilbertsd.cli.options import Options, Output, posing
from hilbertsd.cli.output import chosen_folder, look, remove_stale, show, write_texts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hilbertsd.cli.problem import Problem
    from hilbertsd.distillation import Distillation


@posing
def distill(
    options: Options,
    output: Output = None,
    json: Annotated[
        bool,
        typer.Option("--json", help="Print the chain as JSON; write files only with --output."),
    ] = False,
) -> None:
    """Run a chain; write its table, figure and numbers.

    Without arguments: the illustrative example of Mobahi, Farajtabar & Bartlett (2020). Writes
    chain.json, chain.npz, figure.pdf, figure.png and table.txt; with one feature and one label
    also fits.pdf and fits.png. A chain that is already there is replaced.
    """
    # --json writes only with --output
    folder = None if json and output is None else chosen_folder("distill", output)
    from hilbertsd.cli.problem import pose
    from hilbertsd.report import chain

    with progress.phases() as phase:
        phase("kernel and data")
        problem = pose(options)
        result = problem.solve(phase)
    if json:
        show(result.to_json())
    else:
        show(chain.text(result, problem.heading, outputs=problem.data.outputs, **look()))
    if folder is None:
        return
    with progress.phases() as phase:
        phase("writing")
        written = _write(folder, problem, result)
    if not json:
        show(f"{written}\n")


def _write(folder: Path, problem: Problem, result: Distillation) -> str:
    """Write everything about a chain into a folder and return a line that says so.

    A chain that is there is replaced, and figures that this one does not have are removed.
    """
    from hilbertsd import plots
    from hilbertsd.report import chain

    replaced = any((folder / name).exists() for name in ("chain.json", "chain.npz"))
    stale = ["fits.pdf", "fits.png"]
    data = problem.data
    write_texts(folder, {"chain.json": result.to_json()})
    result.to_npz(folder / "chain.npz")
    table = chain.text(result, problem.heading, outputs=data.outputs)
    write_texts(folder, {"table.txt": table})
    figure = plots.chain(result, title=problem.title, outputs=data.outputs)
    figures = plots.save(figure, folder / "figure")
    if data.x.shape[1] == 1 and data.y.ndim == 1:
        figures += plots.save(_fits(problem, result), folder / "fits")
        stale = []
    names = ["chain.json", "chain.npz", "table.txt", *(path.name for path in figures)]
    line = f"Written to {folder}: {', '.join(names)}"
    if replaced:
        line += "; replaced the chain that was there"
    return line + remove_stale(folder, stale)


def _fits(problem: Problem, result: Distillation) -> Figure:
    """Draw the fits on one feature, in the feature's and the labels' own units."""
    import numpy as np

    from hilbertsd import plots
    from hilbertsd.operators.gram import cross_gram

    data = problem.data
    x = data.x[:, 0]
    grid = np.linspace(x.min(), x.max(), 401)
    fits = int(np.isfinite(result.multipliers).sum())
    cross = cross_gram(problem.kernel, grid, x)
    curves = np.reshape([result.predict(cross, t) for t in range(fits)], (fits, len(grid)))
    mean, scale = data.feature_mean[0], data.feature_scale[0]
    return plots.fits(
        *(x * scale + mean, data.y + data.label_mean),
        *(grid * scale + mean, curves + data.label_mean),
        truth=None if data.truth is None else data.truth(grid),
        labels=data.names,
    )
