"""Figure 2 of Mobahi, Farajtabar & Bartlett (2020): Green's function, data, and the fits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import hilbertsd as hsd
from hilbertsd import datasets, plots
from paper_figures.illustration import illustration, power_of_ten
from paper_figures.publish import FIGURES, TEXT_WIDTH, publish

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Fig2:
    """What the figure shows.

    Attributes
    ----------
    grid
        (101,) even points of [0, 1], where everything is drawn and errors are averaged.
    greens
        (101, 101) g(x, s) on the grid.
    x, y
        (11,) the data.
    truth
        (101,) sin(2πx).
    fits
        (T, 101) the non-trivial fits.
    multipliers, errors
        (T,) c_t, and the mean squared error of fit t to sin(2πx) on the grid.
    eps, floor, rank, collapse_round
        Of the chain.
    """

    grid: np.ndarray
    greens: np.ndarray
    x: np.ndarray
    y: np.ndarray
    truth: np.ndarray
    fits: np.ndarray
    multipliers: np.ndarray
    errors: np.ndarray
    eps: float
    floor: float
    rank: int
    collapse_round: int


def compute() -> Fig2:
    """Run the chain and evaluate its fits."""
    kernel, (x, y), chain = illustration()
    grid = np.arange(101) / 100
    truth = datasets.example_truth(grid)
    cross = hsd.cross_gram(kernel, grid, x)
    collapse = chain.collapse_round
    assert isinstance(collapse, int)
    assert chain.spectrum is not None
    fits = np.stack([chain.predict(cross, t) for t in range(collapse)])
    return Fig2(
        grid=grid,
        greens=kernel.matrix(grid, grid),
        x=x,
        y=y,
        truth=truth,
        fits=fits,
        multipliers=chain.multipliers[:collapse],
        errors=np.mean((fits - truth) ** 2, axis=1),
        eps=float(chain.eps[0]),
        floor=float(chain.spectrum.residual_floor),
        rank=chain.spectrum.rank,
        collapse_round=collapse,
    )


def plot(data: Fig2) -> Figure:
    """Draw the three panels."""
    from matplotlib.figure import Figure

    with plots.house_style():
        figure = Figure(figsize=(TEXT_WIDTH, 2.15))
        a, b, c = figure.subplots(1, 3)
        levels = np.arange(0, 12) * 0.002  # up to g(1/2, 1/2) = 1/48
        shades = a.contourf(
            *(data.grid, data.grid, data.greens), levels, cmap="Greys", vmin=0, vmax=0.032
        )
        a.contour(*(data.grid, data.grid, data.greens), levels, colors="white", linewidths=0.3)
        bar = figure.colorbar(shades, ax=a, ticks=levels[::5], aspect=14, pad=0.03)
        bar.ax.set_title("$g(x,s)$", fontsize=8)
        a.set(ylabel="$s$", xticks=(0, 0.5, 1), yticks=(0, 0.5, 1), title="(a)", aspect="equal")
        for axes, title in ((b, "(b)"), (c, "(c)")):
            axes.plot(data.grid, data.truth, color=plots.INK, lw=0.9, ls=(0, (4, 2)))
            axes.plot(data.x, data.y, "o", color=plots.INK, ms=2.5, zorder=3)
            axes.set(xticks=(0, 0.5, 1), yticks=(-1, 0, 1), ylim=(-1.2, 1.6), title=title)
        lines = [
            c.plot(data.grid, fit, color=color, lw=1.3)[0]
            for fit, color in zip(data.fits, plots.round_colors(len(data.fits)), strict=True)
        ]
        b.set_ylabel("$y$")
        for axes in (a, b, c):
            axes.set_xlabel("$x$")
        figure.legend(
            [b.lines[1], b.lines[0], *lines],
            ["data", r"$\sin 2\pi x$", *(f"$t = {t}$" for t in range(len(lines)))],
            loc="outside lower center",
            ncols=2 + len(lines),
            handlelength=1.5,
            columnspacing=1.4,
        )
        plots.settle(figure)
    return figure


def caption(data: Fig2) -> str:
    """Say what the panels show, in the numbers of this run."""
    multipliers = ", ".join(power_of_ten(c) for c in data.multipliers)
    errors = ", ".join(f"{error:.5f}" for error in data.errors)
    best = int(np.argmin(data.errors))
    return f"""
**Figure 2.** (a) Green's function g(x, s) of D⁴ on [0, 1] with f = f″ = 0 at both ends, Mobahi,
Farajtabar & Bartlett (2020), equation (59). (b) The {len(data.x)} noisy samples of sin(2πx) of
their §4. (c) The fits t = 0, …, {len(data.fits) - 1} of self-distillation with tolerance
ε = {data.eps:g}; round {data.collapse_round} collapses to zero. Multipliers
c_t = {multipliers}; mean squared errors to sin(2πx) on {len(data.grid)} even points
{errors}: the error is smallest at t = {best}, and later rounds underfit. The kernel vanishes at
both ends, so the Gram matrix has rank {data.rank} of {len(data.x)} and no fit leaves a mean
squared residual below {data.floor:.7f}.
"""


def main(folder: Path = FIGURES) -> list[Path]:
    """Compute, draw and write the figure."""
    data = compute()
    return publish(plot(data), caption(data), "fig2", folder)


if __name__ == "__main__":
    main()
