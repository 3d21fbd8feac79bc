"""Paired timing: both sides alternate in one process, and the ratio is taken pair by pair."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Comparison:
    """One claim: how the time of ours compares with the time of theirs."""

    name: str
    ours: str
    theirs: str
    claim: str
    settings: dict[str, Any]
    our_seconds: list[float]
    their_seconds: list[float]
    at_most: float | None = None
    """Largest ours/theirs that the claim allows."""
    at_least: float | None = None
    """Smallest theirs/ours that the claim allows."""

    @property
    def ratios(self) -> list[float]:
        """ours/theirs, or theirs/ours where the claim is a speed-up."""
        pairs = zip(self.our_seconds, self.their_seconds, strict=True)
        return [b / a if self.at_least is not None else a / b for a, b in pairs]

    @property
    def median(self) -> float:
        """Median of the paired ratios."""
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool:
        """Whether the median meets the claim."""
        if self.at_least is not None:
            return self.median >= self.at_least
        return self.at_most is None or self.median <= self.at_most


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
            start = time.perf_counter()
            run()
            record.append(time.perf_counter() - start)
    return seconds
