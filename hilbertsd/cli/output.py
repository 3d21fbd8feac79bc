"""What a command leaves behind: text on standard output, lines on standard error, files."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

RESULTS = Path("hilbertsd-out")
"""Without --output the results of a command go into a folder of its name in here: what lies
together is about one problem."""


def show(text: str) -> None:
    """Put a text on standard output."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(message: str) -> None:
    """Put one line on standard error."""
    print("hilbertsd:", " ".join(message.split()), file=sys.stderr)


def look() -> dict[str, Any]:
    """Return the width of the terminal and that it is one, as the reports take it; else nothing."""
    if not sys.stdout.isatty():
        return {}
    return {"width": shutil.get_terminal_size().columns, "terminal": True}


def chosen_folder(command: str, output: Path | None) -> Path:
    """Return where the results go, once they can be written there."""
    folder = RESULTS / command if output is None else output
    require_folder(folder)
    return folder


def require_folder(folder: Path) -> None:
    """Fail before the work, not after it, where the results could not be written."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is not a folder", str(existing))
    try:
        with tempfile.TemporaryFile(dir=existing):  # permissions alone do not tell
            pass
    except OSError as error:
        reason = f"cannot be written to ({error.strerror})"
        raise PermissionError(errno.EACCES, reason, str(existing)) from None


def write_texts(folder: Path, texts: Mapping[str, str]) -> list[str]:
    """Write texts into files of a folder, each whole or not at all, and return their names."""
    from hilbertsd.storage import replacing

    folder.mkdir(parents=True, exist_ok=True)
    for name, content in texts.items():
        with replacing(folder / name) as file:
            file.write(content)
    return list(texts)


def remove_stale(folder: Path, names: Iterable[str]) -> str:
    """Remove files of an earlier run that this one does not make, and return words that say so."""
    stale = [folder / name for name in names if (folder / name).exists()]
    for path in stale:
        path.unlink(missing_ok=True)
    return f"; removed its {' and '.join(path.name for path in stale)}" if stale else ""
