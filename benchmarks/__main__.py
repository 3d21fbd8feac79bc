"""``python -m benchmarks``: run every comparison, print ratios with their spread, write JSON."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Annotated

import numpy as np
import scipy
import sklearn
import typer
from rich.console import Console

from benchmarks.batch import batch_over_loop
from benchmarks.dense import chain_over_kernel_ridge, rounds_over_eigh
from benchmarks.krylov import products_over_dense
from benchmarks.matrix_free import memory, tiled_over_keops, tiled_over_numpy
from benchmarks.measure import Bound, Comparison, PeerAbsent
from benchmarks.startup import import_time
from hilbertsd.storage import replacing

COMPARISONS = (
    rounds_over_eigh,
    chain_over_kernel_ridge,
    products_over_dense,
    batch_over_loop,
    tiled_over_numpy,
    tiled_over_keops,
    memory,
    import_time,
)


app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def main(
    quick: Annotated[
        bool, typer.Option("--quick", help="Small sizes; no claim is judged.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the measurements as JSON.")
    ] = None,
) -> None:
    """Measure the claims of speed, each against its peer in one process."""
    console = Console(highlight=False)
    results: list[Comparison | Bound] = []
    for compare in COMPARISONS:
        with console.status(compare.__doc__ or compare.__name__):
            try:
                results.append(compare(quick))
            except PeerAbsent as absent:
                console.print(f"{absent}\n", markup=False)
                continue
        console.print(results[-1].line(), markup=False)
    if output is not None:
        with replacing(output) as file:
            json.dump(_document(results, quick), file, indent=1)
            file.write("\n")
        console.print(f"written: {output}", markup=False)
    if any(result.verdict == "MISSED" for result in results):
        raise typer.Exit(1)


def _document(results: list[Comparison | Bound], quick: bool) -> dict:
    return {
        "quick": quick,
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
        "versions": {m.__name__: m.__version__ for m in (np, scipy, sklearn)},
        "comparisons": [result.record() for result in results],
    }


if __name__ == "__main__":
    app(prog_name="python -m benchmarks")
