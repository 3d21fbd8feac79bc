"""The Krylov route: a few products with G against an eigendecomposition of it."""

from __future__ import annotations

import numpy as np

import hilbertsd as hsd
from benchmarks.measure import Comparison, pairs

ROUNDS = 10
NOISE = 0.04
"""Power of the white noise over that of the sine."""
SHARE = 0.05
"""ε over the mean square of the labels."""


def problem(size: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Matérn-3/2 Gram matrix of random points on the line, and a noisy sine."""
    rng = np.random.default_rng(0)
    x = np.sort(rng.random(size))
    clean = np.sin(2 * np.pi * x)
    y = clean + np.sqrt(NOISE * np.mean(clean**2)) * rng.standard_normal(size)
    return hsd.gram(hsd.kernels.matern(1.5, length_scale=0.2), x), y, SHARE * float(np.mean(y**2))


def products_over_dense(quick: bool) -> Comparison:
    """A chain certified to 1e-8 against the dense route."""
    size, repeats = (300, 2) if quick else (5000, 3)
    G, y, eps = problem(size)
    chain = hsd.self_distill(G, y, eps, rounds=ROUNDS, method="krylov", rtol=1e-8)
    certified = chain.enclosure
    if certified is None or not certified.met:
        raise AssertionError("the chain is not certified to 1e-8")
    ours, theirs = pairs(
        lambda: hsd.self_distill(G, y, eps, rounds=ROUNDS, method="krylov"),
        lambda: hsd.self_distill(G, y, eps, rounds=ROUNDS, method="dense"),
        repeats,
    )
    return Comparison(
        name="certified products over an eigendecomposition",
        ours="self_distill(G, y, eps, rounds=10, method='krylov')",
        theirs="self_distill(G, y, eps, rounds=10, method='dense')",
        at="K = 5000",
        settings={
            "K": size,
            "rounds": ROUNDS,
            "eps / mean(y**2)": SHARE,
            "noise": NOISE,
            "kernel": "matern(1.5, 0.2)",
            "fits": int(np.isfinite(chain.multipliers).sum()),
            "products": certified.steps[0],
            "largest half-width": float(certified.half_widths.max()),
        },
        our_seconds=ours,
        their_seconds=theirs,
        limit=60.0,
        speed_up=True,
        judged=not quick,
    )
