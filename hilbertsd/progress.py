"""Progress on standard error, for work that turns out to take long."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

PATIENCE = 1.0
"""Seconds of silence: what is done by then needs no progress."""


@contextlib.contextmanager
def phases(patience: float = PATIENCE) -> Iterator[Callable[[str], None]]:
    """Name phases as they come; shown once the work has taken ``patience`` seconds.

    Nothing is shown where standard error is no terminal.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    progress = Progress(
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )

    def finish() -> None:
        for task in progress.task_ids:
            progress.update(task, total=1, completed=1)

    def phase(name: str) -> None:
        finish()
        progress.add_task(name, total=None)

    timer = threading.Timer(patience, progress.start)
    timer.daemon = True
    timer.start()
    try:
        yield phase
        finish()
    finally:
        timer.cancel()
        timer.join()
        progress.stop()
