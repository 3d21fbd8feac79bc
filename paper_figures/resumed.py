"""Measurements that take minutes: what is finished survives Ctrl-C, until all of it is recorded."""

from __future__ import annotations

import functools
import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import joblib
from joblib import Memory

from hilbertsd.progress import phases

F = TypeVar("F", bound=Callable[..., Any])

PARTS = Path("hilbertsd-out") / "parts"
"""Where finished parts are kept, in the working folder; deleting them measures all again."""


def parts(name: str, folder: Path = PARTS) -> Path:
    """Return where a figure's parts are: other code, other parts."""
    return folder / name / _code()


def remember(name: str, folder: Path = PARTS, **settings: Any) -> Callable[[F], F]:
    """Return a decorator: what a function has returned for the same arguments is read.

    ``settings`` are what the functions depend on beside their arguments.
    """
    kept = Memory(parts(name, folder) / str(joblib.hash(settings)), verbose=0)
    return cast(Callable[[F], F], kept.cache)


def forget(name: str, folder: Path = PARTS) -> None:
    """Delete a figure's parts, of any code."""
    shutil.rmtree(folder / name, ignore_errors=True)


def each(
    name: str,
    arguments: Sequence[dict[str, Any]],
    measure: Callable[..., Any],
    folder: Path = PARTS,
) -> list[Any]:
    """Return ``measure(**part)`` of all arguments, one after the other, with progress."""
    cached = remember(name, folder)(measure)
    found = []
    with phases() as phase:
        for number, part in enumerate(arguments):
            phase(f"{name}: {number + 1} of {len(arguments)}")
            found.append(cached(**part))
    return found


@functools.cache
def _code() -> str:
    """Return a digest of the package and of the figures."""
    import hilbertsd

    found = hashlib.sha256()
    for package in (Path(hilbertsd.__file__).parent, Path(__file__).parent):
        for path in sorted(package.rglob("*.py")):
            found.update(path.read_bytes())
    return found.hexdigest()[:16]
