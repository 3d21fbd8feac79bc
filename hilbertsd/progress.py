"""Progress on standard error, for work that turns out to take long."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

PATIENCE = 1.0
"""Seconds of silence: what is done by then needs no progress."""
INTERVAL = 15.0
"""Seconds between two lines where standard error is no terminal."""


@contextlib.contextmanager
def phases(
    patience: float = PATIENCE, interval: float = INTERVAL
) -> Iterator[Callable[[str], None]]:
    """Name phases as they come; shown once the work has taken ``patience`` seconds.

    Where standard error is no terminal, such as in a log, a phase that begins ``interval`` seconds
    or more after the start, or after the last line, is a line of its own.
    """
    if not sys.stderr.isatty():
        yield _lines(interval)
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


def _lines(interval: float) -> Callable[[str], None]:
    start = last = time.monotonic()

    def phase(name: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= interval:
            last = now
            print(f"hilbertsd: {name}, after {now - start:.0f} seconds", file=sys.stderr)

    return phase


@contextlib.contextmanager
def counted(
    total: int, patience: float = PATIENCE, interval: float = INTERVAL
) -> Iterator[Callable[[int, str], None]]:
    """Report how much of ``total`` is done, with the time left: ``advance(done, what)``.

    The time left is what the rest takes at the pace since the first report: what came before it,
    such as compiling, comes once. Where standard error is no terminal, a line every ``interval``
    seconds at most, and one where what was begun with nothing done takes ``patience`` seconds.
    """
    if not sys.stderr.isatty():
        with _counted_lines(total, patience, interval) as advance:
            yield advance
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.progress import TimeRemainingColumn as Left

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), Left())
    progress = Progress(*columns, console=Console(stderr=True))
    task = progress.add_task("", total=total)
    timer = threading.Timer(patience, progress.start)
    timer.daemon = True
    timer.start()
    try:
        yield lambda done, what: progress.update(task, completed=done, description=what)
    finally:
        timer.cancel()
        timer.join()
        progress.stop()


@contextlib.contextmanager
def _counted_lines(
    total: int, patience: float, interval: float
) -> Iterator[Callable[[int, str], None]]:
    start = last = time.monotonic()
    first: tuple[float, int] | None = None
    begun = ""

    def show(line: str) -> None:
        print(f"hilbertsd: {line}", file=sys.stderr, flush=True)

    def say_what_has_begun() -> None:
        if first is None:
            show(begun)

    timer = threading.Timer(patience, say_what_has_begun)
    timer.daemon = True

    def advance(done: int, what: str) -> None:
        nonlocal last, first, begun
        begun, now = what, time.monotonic()
        if done == 0:
            if timer.ident is None:
                timer.start()
            return
        since, before = first = first or (now, done)
        if now - last >= interval:
            last = now
            line = f"{what}, after {now - start:.0f} seconds"
            if done > before:
                line += f", about {(now - since) * (total - done) / (done - before):.0f} left"
            show(line)

    try:
        yield advance
    finally:
        timer.cancel()
