"""GPyTorch on the CPU: solves with (c I + G) at given multipliers, as its documentation advises.

A kernel in a ScaleKernel of scale 1/K is G; ``add_diagonal(c).solve`` is the solve of its exact
Gaussian processes, by preconditioned conjugate gradients, and with a GridInterpolationKernel that
of KISS-GP, which approximates G on a grid. GPyTorch has no search for the multiplier: it is given
ours, so its side is one solve a fit, where ours finds the multipliers as well, with their errors.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

import hilbertsd as hsd
from benchmarks.measure import Comparison, pairs, peer
from benchmarks.problems import NOISE_SHARE, TOLERANCE_SHARE, on_the_line

ROUNDS = 10
LENGTH_SCALE = 0.2
RESIDUAL = 1e-4
"""Relative residual at which conjugate gradients end: about the least that GPyTorch was seen to
reach, whatever tolerance was asked."""
AGREEMENT = 1e-4
"""How far the labels may be from ours, in norm."""


class Solver:
    """Solves with c I + G, G by Matérn 3/2 at K points on the line."""

    def __init__(self, x: np.ndarray, interpolated: bool = False) -> None:
        self._torch, gpytorch = peer("torch"), peer("gpytorch")
        self._settings = gpytorch.settings
        points = self._torch.tensor(x, dtype=self._torch.float64)[:, None]
        base = gpytorch.kernels.MaternKernel(nu=1.5).double()
        base.lengthscale = LENGTH_SCALE
        if interpolated:
            grid = gpytorch.utils.grid.choose_grid_size(points, ratio=1.0)
            base = gpytorch.kernels.GridInterpolationKernel(base, grid_size=grid, num_dims=1)
        kernel = gpytorch.kernels.ScaleKernel(base).double()
        kernel.outputscale = 1 / len(x)
        with self._quietly():
            # evaluated once: every fit uses the same matrix
            self._gram = kernel(points).evaluate_kernel()

    def fit(self, c: float, y: np.ndarray) -> np.ndarray:
        """G (c I + G)⁻¹ y."""
        with self._quietly():
            labels = self._torch.tensor(y, dtype=self._torch.float64)[:, None]
            shift = self._torch.tensor(c, dtype=self._torch.float64)
            dual = self._gram.add_diagonal(shift).solve(labels)[:, 0].numpy()
        return y - c * dual

    def chain(self, multipliers: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(n+1, K) labels y_0 .. y_n at given multipliers."""
        history = [y]
        for c in multipliers:
            history.append(self.fit(c, history[-1]))
        return np.array(history)

    @contextlib.contextmanager
    def _quietly(self) -> Iterator[None]:
        settings = self._settings
        with (
            self._torch.no_grad(),
            settings.cg_tolerance(RESIDUAL),
            settings.max_cholesky_size(1),  # conjugate gradients at every size
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # of functions that PyTorch will drop
            yield


def chain_over_gpytorch(quick: bool) -> Comparison:
    """A chain from sites and labels, against GPyTorch's solves at the chain's own multipliers."""
    size, repeats = (300, 1) if quick else (4000, 5)
    x, y, eps = on_the_line(size)

    def ours() -> Any:
        G = hsd.gram(hsd.kernels.matern(1.5, length_scale=LENGTH_SCALE), x)
        return hsd.self_distill(G, y, eps, rounds=ROUNDS)

    result = ours()
    fits = int(np.isfinite(result.multipliers).sum())
    given = result.multipliers[:fits]

    def theirs() -> np.ndarray:
        return Solver(x).chain(given, y)

    difference = float(
        np.max(
            np.linalg.norm(theirs() - result.labels[: fits + 1], axis=1)
            / np.linalg.norm(result.labels[: fits + 1], axis=1)
        )
    )
    if not difference < AGREEMENT:
        raise AssertionError(f"the two sides disagree on the labels by {difference:.1e}")
    our_seconds, their_seconds = pairs(ours, theirs, repeats)
    return Comparison(
        name="GPyTorch's solves, multipliers given, over a whole chain",
        ours="gram and self_distill(G, y, eps, rounds=10), which finds the multipliers",
        theirs="GPyTorch, exact: one preconditioned CG solve a fit at multipliers given to it",
        at="K = 4000",
        settings={
            "K": size,
            "fits": fits,
            "kernel": f"matern(1.5, {LENGTH_SCALE:g}) on the line",
            "noise share": NOISE_SHARE,
            "tolerance share": TOLERANCE_SHARE,
            "our route": result.provenance["settings"]["method"],
            "our estimated error of the labels": float(result.label_error[1 : fits + 1].max()),
            "their relative residual": RESIDUAL,
            "largest relative difference of the labels": difference,
        },
        our_seconds=our_seconds,
        their_seconds=their_seconds,
        limit=1.0,
        speed_up=True,
        judged=not quick,
    )
