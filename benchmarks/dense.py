"""The dense route: what ten rounds add to one eigendecomposition, and what a user does today."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
from sklearn.kernel_ridge import KernelRidge

import hilbertsd as hsd
from benchmarks.measure import Comparison, pairs
from benchmarks.search import Found, chain_by_search

ROUNDS = 10
LABEL_RATIO = 13.0
"""r_0: enough that no fit of the ten rounds collapses (collapse_round >= r_0 - 1)."""


def problem(size: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Laplace Gram matrix in one dimension, a sine with 30 % noise, ε from r_0."""
    rng = np.random.default_rng(0)
    x = np.sort(rng.random(size))
    G = hsd.gram(hsd.kernels.laplace(length_scale=0.2), x)
    y = np.sin(2 * np.pi * x) + 0.3 * rng.standard_normal(size)
    return G, y, float(np.mean(y**2)) / LABEL_RATIO**2


def rounds_over_eigh(quick: bool) -> Comparison:
    """Ten rounds, errors and all, against one eigendecomposition of the same matrix."""
    size, repeats = (300, 3) if quick else (2000, 9)
    G, y, eps = problem(size)
    ours, theirs = pairs(
        lambda: hsd.self_distill(G, y, eps, rounds=ROUNDS),
        lambda: scipy.linalg.eigh(G, driver="evd"),
        repeats,
    )
    return Comparison(
        name="ten rounds over one eigendecomposition",
        ours="self_distill(G, y, eps, rounds=10)",
        theirs="scipy.linalg.eigh(G, driver='evd')",
        at="K = 2000",
        settings={"K": size, "rounds": ROUNDS, "r_0": LABEL_RATIO, "kernel": "laplace(0.2)"},
        our_seconds=ours,
        their_seconds=theirs,
        limit=1.10,
        judged=not quick,
    )


def kernel_ridge_in_brentq(G: np.ndarray, y: np.ndarray, eps: float, rounds: int) -> Found:
    """The chain as one gets it from scikit-learn and SciPy."""
    size = len(y)
    kernel = size * G

    def fitted(c: Any, labels: np.ndarray) -> np.ndarray:
        model = KernelRidge(alpha=size * c, kernel="precomputed")
        return model.fit(kernel, labels).predict(kernel)

    return chain_by_search(fitted, y, eps, rounds, largest=float(np.linalg.norm(G, 2)))


def chain_over_kernel_ridge(quick: bool) -> Comparison:
    """The same multipliers from KernelRidge inside brentq."""
    size, repeats = (150, 1) if quick else (1000, 5)
    G, y, eps = problem(size)
    by_search = kernel_ridge_in_brentq(G, y, eps, ROUNDS).multipliers
    by_chain = hsd.self_distill(G, y, eps, rounds=ROUNDS).multipliers[: len(by_search)]
    difference = float(np.max(np.abs(by_search / by_chain - 1)))
    if not difference < 1e-6:
        raise AssertionError(f"the two sides disagree on the multipliers by {difference:.1e}")
    ours, theirs = pairs(
        lambda: hsd.self_distill(G, y, eps, rounds=ROUNDS),
        lambda: kernel_ridge_in_brentq(G, y, eps, ROUNDS),
        repeats,
    )
    return Comparison(
        name="a chain over KernelRidge inside brentq",
        ours="self_distill(G, y, eps, rounds=10)",
        theirs="sklearn KernelRidge(kernel='precomputed') inside scipy's brentq, round by round",
        at="K = 1000",
        settings={
            "K": size,
            "rounds": ROUNDS,
            "r_0": LABEL_RATIO,
            "fits": len(by_search),
            "largest relative difference of the multipliers": difference,
        },
        our_seconds=ours,
        their_seconds=theirs,
        limit=40.0,
        speed_up=True,
        judged=not quick,
    )
