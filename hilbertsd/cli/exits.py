"""How a command ends: the exit codes, and refusing what cannot be done."""

from __future__ import annotations

from hilbertsd.errors import HilbertSDError

DONE, FAILED, BAD_INPUT, INFEASIBLE, BAD_FILE, INTERRUPTED = 0, 1, 2, 3, 4, 130
EXIT_CODES = (
    "Exit codes: 0 done, also if the chain collapses; 2 bad input or usage; 3 the tolerance "
    "cannot be reached; 4 a file cannot be read or written; 130 interrupted."
)
EXIT_CODES_OF_CLAIMS = EXIT_CODES.replace("2 bad input", "1 a claim fails; 2 bad input")


def refuse(refused: bool, message: str) -> None:
    """End the command with :data:`BAD_INPUT` and the message where it is refused."""
    if refused:
        raise HilbertSDError(message)
