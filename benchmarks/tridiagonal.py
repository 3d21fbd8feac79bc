"""The tridiagonal route: a chain without eigenvectors against an eigendecomposition."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg

import hilbertsd as hsd
from benchmarks.dense import LABEL_RATIO, ROUNDS, problem
from benchmarks.measure import Comparison, pairs


def tridiagonal_over_eigh(quick: bool) -> Comparison:
    """Ten rounds on a tridiagonal form, against one eigendecomposition of the same matrix."""
    size, repeats = (300, 3) if quick else (2000, 9)
    G, y, eps = problem(size)

    def chain(method: Any) -> hsd.Distillation:
        return hsd.self_distill(G, y, eps, rounds=ROUNDS, method=method)

    ours, theirs = chain("tridiagonal"), chain("dense")
    difference = float(np.max(np.abs(ours.multipliers / theirs.multipliers - 1)))
    if not difference < 1e-9:
        raise AssertionError(f"the two routes disagree on the multipliers by {difference:.1e}")
    our_seconds, their_seconds = pairs(
        lambda: chain("tridiagonal"), lambda: scipy.linalg.eigh(G, driver="evd"), repeats
    )
    return Comparison(
        name="one eigendecomposition over ten rounds on a tridiagonal form",
        ours="self_distill(G, y, eps, rounds=10, method='tridiagonal')",
        theirs="scipy.linalg.eigh(G, driver='evd')",
        at="K = 2000",
        settings={
            "K": size,
            "rounds": ROUNDS,
            "r_0": LABEL_RATIO,
            "kernel": "laplace(0.2)",
            "largest relative difference of the multipliers from the dense route": difference,
        },
        our_seconds=our_seconds,
        their_seconds=their_seconds,
        limit=2.5,
        speed_up=True,
        judged=not quick,
    )
