"""Progress appears for long work on a terminal, and nowhere else."""

from __future__ import annotations

import io
import sys
import time

import pytest

from hilbertsd import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "work", "shown"),
    [(Terminal(), 0.3, True), (Terminal(), 0.0, False), (io.StringIO(), 0.3, False)],
    ids=["long work", "short work", "no terminal"],
)
def test_phases(monkeypatch, stream, work, shown):
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with progress.phases(patience=0.1) as phase:
        phase("eigendecomposition")
        time.sleep(work)
    assert ("eigendecomposition" in stream.getvalue()) == shown


def interrupted():
    with progress.phases(patience=0.0) as phase:
        phase("rounds")
        raise KeyboardInterrupt


def test_an_interrupt_passes_through(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(KeyboardInterrupt):
        interrupted()


def test_a_log_gets_a_line_now_and_then(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.phases(interval=0.1) as phase:
        phase("first")  # at once: nothing has taken long yet
        time.sleep(0.15)
        phase("second")
        phase("third")
    (line,) = stream.getvalue().splitlines()
    assert line == "hilbertsd: second, after 0 seconds"


def test_time_left_is_counted_from_the_first_report(monkeypatch):
    stream, clock = io.StringIO(), iter([0.0, 50.0, 51.0, 52.0])
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.counted(10, patience=60.0, interval=0.5) as advance:
        advance(1, "first")  # after fifty seconds of compiling
        advance(2, "second")
        advance(4, "third")
    assert stream.getvalue().splitlines() == [
        "hilbertsd: first, after 50 seconds",
        "hilbertsd: second, after 51 seconds, about 8 left",
        "hilbertsd: third, after 52 seconds, about 4 left",
    ]


def test_what_has_begun_is_said_before_the_first_report(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.counted(10, patience=0.05) as advance:
        advance(0, "compiling")
        time.sleep(0.3)
        advance(1, "first")
    assert stream.getvalue() == "hilbertsd: compiling\n"
