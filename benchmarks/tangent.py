"""Empirical tangent kernels against neural-tangents, each in its own environment.

    python -m benchmarks.tangent --peer /path/to/venv/bin/python [--quick]

The peer's environment needs ``pip install neural-tangents==0.6.5 "jax==0.4.23" "jaxlib==0.4.23"
"numpy<2" "scipy<1.13"``, the last JAX with which all its implementations run (with 0.5.3 it
imports, and its structured derivatives and its automatic choice fail). Calls alternate between two
processes; ours uses its automatic choice, theirs the fastest of its implementations.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.measure import Comparison

WORKER = Path(__file__).parent / "tangent_worker.py"
IMPLEMENTATIONS = (
    "AUTO",
    "JACOBIAN_CONTRACTION",
    "NTK_VECTOR_PRODUCTS",
    "STRUCTURED_DERIVATIVES",
)
CASES = {
    "mlp-50-all": "784-256-256-10, 50 points, all outputs",
    "mlp-200-mean": "784-256-256-10, 200 points, mean over outputs",
    "cnn-30-all": "three convolutions of 16 channels on 8 × 8, average, 30 points, all outputs",
    "cnn-60-mean": "the same, 60 points, mean over outputs",
}
AGREE = 1e-10
"""Largest difference of the two kernels, relative to the largest entry."""


class Worker:
    """One side, in its own interpreter."""

    def __init__(self, python: str, side: str) -> None:
        self.process = subprocess.Popen(
            [python, str(WORKER), side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, *words: str) -> str:
        """Send a line and return the answer, past what a library prints of its own."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(*words, file=self.process.stdin, flush=True)
        while line := self.process.stdout.readline():
            if line.startswith(("failed", "saved")) or _number(line):
                return line.strip()
        raise RuntimeError(f"the worker ended at {' '.join(words)}")

    def seconds(self, case: str, implementation: str) -> float:
        """Return the seconds of one call, after a first one that compiles; nan if it fails."""
        answer = self.ask(case, implementation)
        return float("nan") if answer.startswith("failed") else float(answer)

    def kernel(self) -> np.ndarray:
        """Return the last kernel computed."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "kernel.npy"
            self.ask("save", str(path))
            return np.load(path)

    def close(self) -> None:
        """End the process by the end of its input."""
        self.process.communicate()


def _number(line: str) -> bool:
    try:
        float(line)
    except ValueError:
        return False
    return True


def over_neural_tangents(case: str, ours: Worker, theirs: Worker, quick: bool) -> Comparison:
    """Return the comparison for one network and set of points."""
    trial = {name: theirs.seconds(case, name) for name in IMPLEMENTATIONS}
    trial = {name: seconds for name, seconds in trial.items() if np.isfinite(seconds)}
    best = min(trial, key=lambda name: trial[name])
    times: tuple[list[float], list[float]] = ([], [])
    for repeat in range(2 if quick else 7):
        sides = ((ours, "auto", times[0]), (theirs, best, times[1]))
        for side, implementation, record in sides if repeat % 2 else sides[::-1]:
            record.append(side.seconds(case, implementation))
    mine, other = ours.kernel(), theirs.kernel()
    gap = float(np.abs(mine - other).max() / np.abs(other).max())
    if not gap < AGREE:
        raise AssertionError(f"the kernels of {case} differ by {gap:.1e}")
    return Comparison(
        name=f"empirical tangent kernel, {CASES[case]}",
        ours="hilbertsd.nets.empirical_ntk, automatic choice",
        theirs=f"neural-tangents 0.6.5, {best}, the fastest of {', '.join(trial)}",
        at=CASES[case],
        settings={"largest relative difference": gap, "theirs, one call each": trial},
        our_seconds=times[0],
        their_seconds=times[1],
        limit=1.1,
        judged=not quick,
    )


def main(
    peer: Annotated[str, typer.Option(help="The Python that has neural-tangents.")],
    quick: Annotated[bool, typer.Option("--quick", help="Two repeats; nothing is judged.")] = False,
) -> None:
    """Measure every case and print the ratios."""
    ours, theirs = Worker(sys.executable, "ours"), Worker(peer, "theirs")
    missed = False
    for case in CASES:
        result = over_neural_tangents(case, ours, theirs, quick)
        missed |= result.verdict == "MISSED"
        print(
            f"{result.name}\n  ours {np.median(result.our_seconds):.3g} s, {result.theirs}: "
            f"{np.median(result.their_seconds):.3g} s\n  ours/theirs {result.median:.3g} "
            f"[{min(result.ratios):.3g}, {max(result.ratios):.3g}]: {result.verdict}; one call "
            f"each: {result.settings['theirs, one call each']}"
        )
    ours.close()
    theirs.close()
    if missed:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
