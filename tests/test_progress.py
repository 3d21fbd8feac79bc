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
