"""Paired timing: both sides alternate in one process, and the ratio is taken pair by pair."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SETTLE = 0.3
"""Seconds before each timing: a BLAS's idle threads go on spinning after the other side's run."""


@dataclass(frozen=True)
class Comparison:
    """One claim: how the time of ours compares with the time of theirs."""

    name: str
    ours: str
    theirs: str
    at: str
    """The size that the claim speaks of."""
    settings: dict[str, Any]
    our_seconds: list[float]
    their_seconds: list[float]
    limit: float
    speed_up: bool = False
    """False: ours/theirs at most ``limit``. True: theirs/ours at least ``limit``."""
    judged: bool = True
    """False for quick runs at small sizes, which say nothing about the claim."""

    @property
    def ratios(self) -> list[float]:
        """ours/theirs pair by pair, or theirs/ours where the claim is a speed-up."""
        pairs = zip(self.our_seconds, self.their_seconds, strict=True)
        return [b / a if self.speed_up else a / b for a, b in pairs]

    @property
    def median(self) -> float:
        """Median of the paired ratios."""
        return statistics.median(self.ratios)

    @property
    def verdict(self) -> str:
        """Whether the median meets the claim: met, MISSED or not judged."""
        if not self.judged:
            return "not judged"
        met = self.median >= self.limit if self.speed_up else self.median <= self.limit
        return "met" if met else "MISSED"


def pairs(
    ours: Callable[[], Any], theirs: Callable[[], Any], repeats: int
) -> tuple[list[float], list[float]]:
    """Seconds of both sides, alternating, after one warm-up of each."""
    ours()
    theirs()
    seconds: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats):
        # the order alternates too, so that neither side always runs on a warmer cache
        sides = ((ours, seconds[0]), (theirs, seconds[1]))
        for run, record in sides if repeat % 2 else sides[::-1]:
            time.sleep(SETTLE)
            start = time.perf_counter()
            run()
            record.append(time.perf_counter() - start)
    return seconds
