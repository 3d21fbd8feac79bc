"""Empirical tangent kernels against neural-tangents, each in its own environment.

NEURAL_TANGENTS_PYTHON names the Python of an environment made by ``pip install
neural-tangents==0.6.5 jax==0.4.23 jaxlib==0.4.23 "numpy<2" "scipy<1.13"``: with JAX 0.5.3 it
imports, but its structured derivatives and its automatic choice fail. Calls alternate between two
processes; ours takes its automatic choice, theirs the faster of its own and its structured
derivatives, which was the fastest of its four implementations in every case.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measure import Comparison, PeerAbsent

WORKER = Path(__file__).parent / "tangent_worker.py"
VARIABLE = "NEURAL_TANGENTS_PYTHON"
IMPLEMENTATIONS = ("AUTO", "STRUCTURED_DERIVATIVES")
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


def tangent_dense_all(quick: bool) -> Comparison:
    """Tangent kernel of a dense network, all outputs, against neural-tangents."""
    return _compare("mlp-50-all", "784-256-256-10, 50 points, all outputs", quick)


def tangent_dense_mean(quick: bool) -> Comparison:
    """Tangent kernel of a dense network, mean over outputs, against neural-tangents."""
    return _compare("mlp-200-mean", "784-256-256-10, 200 points, mean over 10 outputs", quick)


def tangent_convolutional(quick: bool) -> Comparison:
    """Tangent kernel of a convolutional network, all outputs, against neural-tangents."""
    shape = "three convolutions of 16 channels on 8 × 8 pixels, average, dense"
    return _compare("cnn-30-all", f"{shape}; 30 points, 10 outputs", quick)


def _compare(case: str, at: str, quick: bool) -> Comparison:
    python = os.environ.get(VARIABLE)
    if not python:
        raise PeerAbsent(
            f"{VARIABLE} does not name the Python of an environment with neural-tangents; "
            "benchmarks/tangent.py says how to make one"
        )
    ours, theirs = Worker(sys.executable, "ours"), Worker(python, "theirs")
    try:
        trial = {name: theirs.seconds(case, name) for name in IMPLEMENTATIONS}
        trial = {name: seconds for name, seconds in trial.items() if np.isfinite(seconds)}
        if not trial:
            raise PeerAbsent(f"neural-tangents fails with the JAX beside {python}")
        best = min(trial, key=lambda name: trial[name])
        times: tuple[list[float], list[float]] = ([], [])
        for repeat in range(2 if quick else 15):
            sides = ((ours, "auto", times[0]), (theirs, best, times[1]))
            for side, implementation, record in sides if repeat % 2 else sides[::-1]:
                record.append(side.seconds(case, implementation))
        mine, other = ours.kernel(), theirs.kernel()
    finally:
        ours.close()
        theirs.close()
    gap = float(np.abs(mine - other).max() / np.abs(other).max())
    if not gap < AGREE:
        raise AssertionError(f"the kernels of {case} differ by {gap:.1e}")
    return Comparison(
        name=f"empirical tangent kernel over neural-tangents, {case}",
        ours="hilbertsd.nets.empirical_ntk, automatic choice",
        theirs=f"neural-tangents 0.6.5 under its own JAX, {best}",
        at=at,
        settings={"largest relative difference": gap, "theirs, one call each": trial},
        our_seconds=times[0],
        their_seconds=times[1],
        limit=1.1,
        judged=not quick,
    )
