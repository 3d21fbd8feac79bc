"""Paired timing: both sides alternate in one process, and the ratio is taken pair by pair."""

from __future__ import annotations

import dataclasses
import importlib
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

SETTLE = 0.3
"""Seconds before each timing: a BLAS's idle threads go on spinning after the other side's run."""

PEERS = "install PyTorch's CPU build, as its site says, then pip install -e '.[peers]'"


class PeerAbsent(Exception):
    """What a comparison is with is not installed here; the message names the way to get it."""


def peer(module: str) -> Any:
    """Import an optional peer, or say how to get it."""
    os.environ.setdefault("PYKEOPS_VERBOSE", "0")
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise PeerAbsent(f"{error}; {PEERS}") from None


@dataclass(frozen=True)
class Sweep:
    """Curves over a size or a setting: measurements that are drawn, not judged."""

    name: str
    settings: dict[str, Any]
    curves: dict[str, list[dict[str, float]]]
    """The points of each curve, in the order in which they were measured."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Curves that could not be measured here, and why."""

    def line(self) -> str:
        """Say it to a person."""
        points = sum(map(len, self.curves.values()))
        lines = [self.name, f"  {points} points on {len(self.curves)} curves"]
        lines += [f"  left out: {curve}: {reason}" for curve, reason in self.skipped.items()]
        return "\n".join(lines) + "\n"

    def record(self) -> dict[str, Any]:
        """Return what is written to the file of results."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Bound:
    """One claim about a quantity of ours alone."""

    name: str
    at: str
    """The size that the claim speaks of."""
    settings: dict[str, Any]
    value: float
    unit: str
    limit: float
    judged: bool = True

    @property
    def verdict(self) -> str:
        """Whether the value is at most the limit: met, MISSED or not judged."""
        if not self.judged:
            return "not judged"
        return "met" if self.value <= self.limit else "MISSED"

    def line(self) -> str:
        """Say it to a person."""
        return (
            f"{self.name}\n"
            f"  {self.value:.4g} {self.unit}; claim: at most {self.limit:g} {self.unit} at "
            f"{self.at}: {self.verdict}\n"
        )

    def row(self) -> tuple[str, str, str, str]:
        """Value, spread, number of pairs and claim, for a table."""
        return f"{self.value:.4g} {self.unit}", "", "", f"≤ {self.limit:g}"

    def record(self) -> dict[str, Any]:
        """Return what is written to the file of results."""
        return dataclasses.asdict(self) | {"verdict": self.verdict}


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

    def line(self) -> str:
        """Say it to a person."""
        sides = "theirs/ours, at least" if self.speed_up else "ours/theirs, at most"
        ours, theirs = map(statistics.median, (self.our_seconds, self.their_seconds))
        spread = f"[{min(self.ratios):.3g}, {max(self.ratios):.3g}]"
        return (
            f"{self.name}\n"
            f"  ours    {self.ours}: {ours:.3g} s\n"
            f"  theirs  {self.theirs}: {theirs:.3g} s\n"
            f"  median ratio {self.median:.3g} {spread} over {len(self.ratios)} pairs; "
            f"claim: {sides} {self.limit:g} at {self.at}: {self.verdict}\n"
        )

    def row(self) -> tuple[str, str, str, str]:
        """Value, spread, number of pairs and claim, for a table."""
        spread = f"{min(self.ratios):.3g} .. {max(self.ratios):.3g}"
        bound = f"{'≥' if self.speed_up else '≤'} {self.limit:g}"
        return f"{self.median:.3g}", spread, str(len(self.ratios)), bound

    def record(self) -> dict[str, Any]:
        """Return what is written to the file of results."""
        derived = {"median": self.median, "ratios": self.ratios, "verdict": self.verdict}
        return dataclasses.asdict(self) | derived


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


def seconds(run: Callable[[], Any], repeats: int) -> list[float]:
    """Seconds of each run, of something that the caller has run before."""
    record = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        record.append(time.perf_counter() - start)
    return record
