"""What a command leaves behind: text on standard output, lines on standard error, files."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DEFAULT_FOLDER = Path("hilbertsd-out")


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


def chosen_folder(output: Path | None, json: bool) -> Path | None:
    """Return where the results go, None for nowhere: --json writes only with --output."""
    folder = output if output is not None or json else DEFAULT_FOLDER
    if folder is not None:
        require_folder(folder)
    return folder


def require_folder(folder: Path) -> None:
    """Fail before the work, not after it, where the results could not be written."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is not a folder", str(existing))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "cannot be written to", str(existing))


def write_texts(folder: Path, texts: Mapping[str, str]) -> list[str]:
    """Write texts into files of a folder, each whole or not at all, and return their names."""
    from hilbertsd.storage import replacing

    folder.mkdir(parents=True, exist_ok=True)
    for name, content in texts.items():
        with replacing(folder / name) as file:
            file.write(content)
    return list(texts)
