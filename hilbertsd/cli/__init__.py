"""The command line: from a table of numbers to a chain, its figure and what the theory says of it.

Only typer is imported at the top; everything heavy loads once a command runs.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from hilbertsd.cli import attack, certify, distill, networks, objectives, verify
from hilbertsd.cli.exits import (
    BAD_FILE,
    BAD_INPUT,
    DONE,
    EXIT_CODES,
    EXIT_CODES_OF_CLAIMS,
    INFEASIBLE,
    INTERRUPTED,
)
from hilbertsd.cli.output import say
from hilbertsd.errors import (
    CollapseWarning,
    HilbertSDError,
    InfeasibleToleranceError,
    PrecisionWarning,
)
from hilbertsd.version import __version__

__all__ = ["app", "main"]

# typer carries a click of its own in some versions; this is UsageError in either.
_UsageError: Any = typer.BadParameter.__mro__[1]

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES_OF_CLAIMS,
)
app.command(epilog=EXIT_CODES_OF_CLAIMS)(verify.verify)
app.command(epilog=EXIT_CODES)(distill.distill)
app.command(epilog=EXIT_CODES_OF_CLAIMS)(certify.certify)
app.command(epilog=EXIT_CODES_OF_CLAIMS)(attack.attack)
app.command(epilog=EXIT_CODES)(networks.networks)
app.add_typer(objectives.app, name="objectives")


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
        # Some versions of typer let the name of an exception of their own through.
        message = (
            error.format_message()
            .replace("Value error, ", "")
            .replace("Input should be", "it must be")
            .rstrip(".")
        )
        message += " See" if message.endswith("?") else "; see"
        where = "hilbertsd" if error.ctx is None else error.ctx.command_path
        return _fail(BAD_INPUT, f"{message} '{where} --help'")
    except MemoryError as error:
        return _fail(BAD_INPUT, f"not enough memory: {error}")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(BAD_FILE, f"{where}{error.strerror or error}")
    except (KeyboardInterrupt, typer.Abort):
        return _fail(INTERRUPTED, "interrupted; no file is left half written")


def _fail(code: int, message: str) -> int:
    say(f"error: {message}")
    return code


@contextlib.contextmanager
def _warnings_announced() -> Iterator[None]:
    """Show the package's warnings as lines on standard error once the block is done."""
    with warnings.catch_warnings(record=True) as caught:
        for category in (CollapseWarning, PrecisionWarning):
            warnings.simplefilter("always", category)
        yield
    for warning in caught:
        say(f"warning: {warning.message}")
