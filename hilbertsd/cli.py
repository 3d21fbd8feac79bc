"""The command line: from a table of numbers to a chain, its figure and its report.

Only typer is imported at the top; everything heavy loads once a command runs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import errno
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hilbertsd import progress
from hilbertsd.errors import (
    CollapseWarning,
    HilbertSDError,
    InfeasibleToleranceError,
    PrecisionWarning,
)
from hilbertsd.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hilbertsd.distillation import Distillation
    from hilbertsd.kernels import Kernel
    from hilbertsd.problem import Problem

DONE, BAD_INPUT, INFEASIBLE, BAD_FILE, INTERRUPTED = 0, 2, 3, 4, 130
EXIT_CODES = (
    "Exit codes: 0 done, also if the chain collapses; 2 bad input or usage; 3 the tolerance "
    "cannot be reached; 4 a file cannot be read or written; 130 interrupted."
)
DEFAULT_OUTPUT = Path("hilbertsd-out")
EXAMPLE_EPS = "0.045"

# typer carries a click of its own in some versions; this is UsageError in either.
_UsageError: Any = typer.BadParameter.__mro__[1]

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
)


class Dataset(enum.StrEnum):
    """Data that come with the package."""

    example = "example"
    digits = "digits"
    diabetes = "diabetes"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Examples
    --------
    >>> main(["--version"])
    hilbertsd 0.1.0
    0
    """
    for stream in (sys.stdout, sys.stderr):
        # The report has Greek letters; an output that cannot show them gets escapes instead.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    from hilbertsd import cli_theory  # noqa: F401  adds its commands to the application

    try:
        command = typer.main.get_command(app)
        with _warnings_announced():
            code = command.main(args=arguments, prog_name="hilbertsd", standalone_mode=False)
        if code == INTERRUPTED:  # how some versions of typer report the interrupt
            raise KeyboardInterrupt
        return code or DONE
    except InfeasibleToleranceError as error:
        return _fail(INFEASIBLE, f"{error}")
    except HilbertSDError as error:
        return _fail(BAD_INPUT, f"{error}")
    except _UsageError as error:
        hint = "see 'hilbertsd --help' and 'hilbertsd distill --help'"
        return _fail(BAD_INPUT, f"{error.format_message().rstrip('.')}; {hint}")
    except MemoryError as error:
        return _fail(BAD_INPUT, f"not enough memory: {error}")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(BAD_FILE, f"{where}{error.strerror or error}")
    except (KeyboardInterrupt, typer.Abort):
        return _fail(INTERRUPTED, "interrupted; every file that was written is whole")


def _fail(code: int, message: str) -> int:
    _say(f"error: {message}")
    return code


def _print(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(message: str) -> None:
    print("hilbertsd:", " ".join(message.split()), file=sys.stderr)


@app.callback(invoke_without_command=True)
def hilbertsd(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Compute the theory of self-distillation in Hilbert space."""
    if version:
        print(f"hilbertsd {__version__}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


@app.command(epilog=EXIT_CODES)
def distill(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE.csv",
            help="Table of numbers separated by commas, semicolons or tabs, in UTF-8; - reads "
            "standard input.",
        ),
    ] = None,
    dataset: Annotated[
        Dataset | None,
        typer.Option(
            metavar="NAME",
            help="Instead of a file: example (the default; 11 noisy points of a sine), digits "
            "(1797 points, 64 features in [0, 1], ten outputs: +1 for the class and -1 for the "
            "others, centered) or diabetes (442 points, ten features; features and label "
            "standardized).",
        ),
    ] = None,
    kernel: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="Such as 'matern(1.5, 0.3)' or '2*gaussian(0.5) + laplace(1)'. Default: "
            "cubic_spline for the example, otherwise gaussian with the median distance between "
            "the points as length scale.",
        ),
    ] = None,
    operator: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="Derive the kernel from R(f) = sum of w * integral of (P f)^2: P as a polynomial "
            "in D, such as 'D^2', or with its weight, '0.5: D'. Repeatable.",
        ),
    ] = None,
    boundary: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="With --operator: such as \"f(0)=0, f(1)=0, f''(0)=0\"."),
    ] = None,
    interval: Annotated[
        list[str] | None, typer.Option(metavar="A,B", help="With --operator. Default: 0,1.")
    ] = None,
    eps: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="Tolerance of the mean squared residual: '0.045' in squared units of the labels; "
            "'5%' of the mean squared label; 'auto', which is the part that no fit reaches plus "
            "10% of the rest. Default: 0.045 for the example, otherwise auto.",
        ),
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=0, metavar="N", help="Rounds after ordinary training.")
    ] = 10,
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of labels, by name or index (first 0, last -1). Repeatable. "
            "Default: the last one.",
        ),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Column to leave out, by name or index. Repeatable."),
    ] = None,
    header: Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header", help="Whether line 1 holds names. Default: found out."
        ),
    ] = None,
    standardize: Annotated[
        bool | None,
        typer.Option(
            "--standardize/--no-standardize",
            help="Bring features to mean 0 and deviation 1. Default: on for files, unless the "
            "kernel lives on an interval.",
        ),
    ] = None,
    center: Annotated[
        bool | None,
        typer.Option("--center/--no-center", help="Subtract the labels' mean. Default: on, files."),
    ] = None,
    joint: Annotated[
        bool, typer.Option("--joint", help="One tolerance and multiplier for all outputs.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for the results. Default: hilbertsd-out."),
    ] = None,
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
    _refuse(file is not None and dataset is not None, "give a file or --dataset, not both")
    for name, value in {
        "--target": target,
        "--drop": drop,
        "--header/--no-header": header,
        "--standardize/--no-standardize": standardize,
        "--center/--no-center": center,
    }.items():
        unused = file is None and value not in (None, [])
        _refuse(unused, f"{name} is for a file; the datasets are ready as they are")
    tolerance_text = _once("--eps", eps, "run once for each tolerance")
    kernel_text = _once("--kernel", kernel, "add kernels in one text, as in 'k1 + k2'")
    conditions = _once("--boundary", boundary, "put all conditions into one, with commas between")
    ends = _once("--interval", interval, "all operators share one interval")
    folder = output if output is not None or json else DEFAULT_OUTPUT
    if folder is not None:
        _require_folder(folder)

    from hilbertsd import problem as asked
    from hilbertsd.distill import decompose, self_distill
    from hilbertsd.operators.gram import gram

    example = file is None and dataset in (None, Dataset.example)
    tolerance = asked.Tolerance.parse(tolerance_text or (EXAMPLE_EPS if example else "auto"))
    if example and not operator:
        kernel_text = kernel_text or "cubic_spline"
    with progress.phases() as phase:
        phase("kernel and data")
        g = asked.kernel_from_text(kernel_text, operator or [], conditions, ends)
        if file is None:
            problem = asked.from_dataset((dataset or Dataset.example).value)
        else:
            from hilbertsd.tables import read_table

            on_interval = asked.lives_on_interval(g)
            _refuse(
                on_interval and standardize is True,
                f"standardized features leave the interval of {g!r}; take --standardize away",
            )
            table = read_table(file, targets=target or [], drop=drop or [], header=header)
            problem = asked.from_table(
                *(table, table.name),
                standardize=not on_interval and standardize is not False,
                center=center is not False,
            )
        choice = ""
        if g is None:
            g, choice = asked.median_gaussian(problem.x)
        asked.require_domain(g, problem)
        asked.require_memory(problem, rounds)
        phase("Gram matrix")
        G = gram(g, problem.x)
        phase("eigendecomposition")
        decomposition = decompose(G)
        del G
        phase("rounds")
        values = tolerance.values(problem.y, decomposition, joint=joint)
        result = self_distill(decomposition, problem.y, values, rounds, joint=joint)
        record = problem.record | {"kernel": repr(g), "eps": str(tolerance)}
        result = dataclasses.replace(result, provenance=result.provenance | {"problem": record})
        heading = problem.note | {"kernel": f"{g!r}, {choice}" if choice else repr(g)}
        if tolerance.kind != "absolute":
            heading["ε"] = str(tolerance)
        written = ""
        if folder is not None:
            phase("writing")
            written = _write(folder, result, heading, problem, g)
    if json:
        _print(result.to_json())
        return
    from hilbertsd import report

    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else report.WIDTH
    outputs = problem.outputs
    _print(report.text(result, heading, outputs=outputs, width=width, terminal=terminal))
    _print(f"{written}\n")


def _refuse(refused: bool, message: str) -> None:
    if refused:
        raise HilbertSDError(message)


def _once(option: str, values: list[str] | None, way_out: str) -> str | None:
    """Return the one value of an option; a second one would take the first one's place silently."""
    _refuse(values is not None and len(values) > 1, f"{option} is given more than once; {way_out}")
    _refuse(values == [""], f"{option} is empty; leave it out for its default")
    return values[0] if values else None


def _require_folder(folder: Path) -> None:
    """Fail before the work, not after it, where the results could not be written."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is not a folder", str(existing))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "cannot be written to", str(existing))


def _write(
    folder: Path, result: Distillation, heading: dict[str, str], problem: Problem, kernel: Kernel
) -> str:
    """Write everything about a chain into a folder and return a line that says so.

    A chain that is there is replaced, and figures that this one does not have are removed.
    """
    from hilbertsd import plots, report
    from hilbertsd.storage import replacing

    folder.mkdir(parents=True, exist_ok=True)
    replaced = any((folder / name).exists() for name in ("chain.json", "chain.npz"))
    stale = [path for path in (folder / "fits.pdf", folder / "fits.png") if path.exists()]
    with replacing(folder / "chain.json") as file:
        file.write(result.to_json())
    result.to_npz(folder / "chain.npz")
    with replacing(folder / "table.txt") as file:
        file.write(report.text(result, heading, outputs=problem.outputs))
    title = f"{heading['data']}, {kernel!r}"
    figure = plots.chain(result, title=title, outputs=problem.outputs)
    figures = plots.save(figure, folder / "figure")
    if problem.x.shape[1] == 1 and problem.y.ndim == 1:
        figures += plots.save(_fits(result, problem, kernel), folder / "fits")
        stale = []
    for path in stale:
        path.unlink(missing_ok=True)
    names = ["chain.json", "chain.npz", "table.txt", *(path.name for path in figures)]
    line = f"Written to {folder}: {', '.join(names)}"
    if replaced:
        line += "; replaced the chain that was there"
    if stale:
        line += f"; removed its {' and '.join(path.name for path in stale)}"
    return line


def _fits(result: Distillation, problem: Problem, kernel: Kernel) -> Figure:
    """Draw the fits on one feature, in the feature's and the labels' own units."""
    import numpy as np

    from hilbertsd import datasets, plots
    from hilbertsd.operators.gram import cross_gram

    x = problem.x[:, 0]
    grid = np.linspace(x.min(), x.max(), 401)
    fits = int(np.isfinite(result.multipliers).sum())
    cross = cross_gram(kernel, grid, x)
    curves = np.reshape([result.predict(cross, t) for t in range(fits)], (fits, len(grid)))
    example = problem.record.get("dataset") == Dataset.example.value
    mean, scale = problem.feature_mean[0], problem.feature_scale[0]
    return plots.fits(
        *(x * scale + mean, problem.y + problem.label_mean),
        *(grid * scale + mean, curves + problem.label_mean),
        truth=datasets.example_truth(grid) if example else None,
        labels=problem.names,
    )


@contextlib.contextmanager
def _warnings_announced() -> Iterator[None]:
    """Show the package's warnings as lines on standard error once the block is done."""
    with warnings.catch_warnings(record=True) as caught:
        for category in (CollapseWarning, PrecisionWarning):
            warnings.simplefilter("always", category)
        yield
    for warning in caught:
        _say(f"warning: {warning.message}")
