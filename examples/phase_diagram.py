"""When does self-distillation help? Fits, best round and risk over tolerance and label noise."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import hilbertsd as hsd
from hilbertsd import batch, plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS, ROUNDS = 64, 44
QUARTILES = 0.25, 0.5, 0.75
ONE_FIT, BEST_ROUND = "#d55e00", plots.INK


class Diagram(NamedTuple):
    """Quartiles over the noise draws; rows are noise levels, columns tolerances."""

    noise: np.ndarray
    """(n,) standard deviation σ of the label noise."""
    eps: np.ndarray
    """(e,) tolerance ε."""
    fits: np.ndarray
    """(3, n, e) number of non-trivial fits: the collapse round."""
    best: np.ndarray
    """(3, n, e) round of least in-sample risk."""
    one_fit: np.ndarray
    """(3, n, e) in-sample risk of ordinary training, t = 0."""
    best_fit: np.ndarray
    """(3, n, e) in-sample risk of the best round."""
    gain: np.ndarray
    """(3, n, e) risk of the best round over that of one fit, draw by draw."""


def compute(draws: int, grid: int) -> Diagram:
    x = np.linspace(0, 1, POINTS)
    spectrum = hsd.decompose(hsd.gram(hsd.kernels.matern(1.5, length_scale=0.2), x))
    truth = spectrum.coordinates(np.sin(2 * np.pi * x))
    white = np.random.default_rng(0).standard_normal((draws, POINTS))
    noise, eps = np.geomspace(0.05, 1, grid), np.geomspace(3e-3, 0.4, grid)

    @jax.jit
    def row(deviation: jax.Array) -> tuple[jax.Array, ...]:
        """Every tolerance and every draw at one noise level."""
        labels = truth + deviation * white  # white noise is white in eigen-coordinates too
        runs = batch.chains(spectrum.eigenvalues, labels, eps[:, None], ROUNDS)
        risk = runs.squared_errors(truth) / POINTS  # (e, draws, T)
        one, best = risk[..., 0], jnp.min(risk, axis=-1)
        numbers = runs.fits, jnp.argmin(risk, axis=-1), one, best, best / one
        return tuple(jnp.quantile(n, jnp.array(QUARTILES), axis=-1) for n in numbers)

    with jax.enable_x64(True):
        rows = [[np.asarray(part) for part in row(jnp.asarray(level))] for level in noise]
    return Diagram(noise, eps, *(np.stack(parts, axis=1) for parts in zip(*rows, strict=True)))


def plot(data: Diagram) -> Figure:
    from matplotlib.figure import Figure

    with plots.house_style():
        figure = Figure(figsize=(7.2, 5.2))
        (fits, best), (gain, slice_) = figure.subplots(2, 2)
        _map(
            fits,
            data,
            data.fits[1],
            "fits until collapse",
            {n: f"{n}" for n in (1, 2, 5, 10, 20, 30)},
        )
        # a logarithmic scale begins at 1, rounds at 0
        _map(
            best,
            data,
            data.best[1] + 1,
            "best round $t$",
            {t + 1: f"{t}" for t in (0, 1, 2, 5, 10, 20)},
        )
        ticks = {share: f"{share:g}" for share in (0.05, 0.1, 0.2, 0.5, 1)}
        title = "risk of the best round over that of one fit"
        _map(gain, data, data.gain[1], title, ticks, cmap="magma")
        level = int(np.argmin(abs(data.noise - 0.3)))
        for risk, color, words in (
            (data.one_fit, ONE_FIT, "one fit"),
            (data.best_fit, BEST_ROUND, "best round"),
        ):
            low, median, high = risk[:, level]
            slice_.fill_between(data.eps, low, high, color=color, alpha=0.2, lw=0)
            slice_.plot(data.eps, median, color=color, label=words)
        slice_.axvline(data.noise[level] ** 2, color=plots.GREY, ls=":", lw=1)
        slice_.set(xscale="log", yscale="log", xlabel=r"tolerance $\varepsilon$")
        slice_.set_title(rf"in-sample risk at $\sigma = {data.noise[level]:.2f}$, quartiles")
        slice_.legend()
        plots.settle(figure)
    return figure


def _map(
    axes: Axes,
    data: Diagram,
    values: np.ndarray,
    title: str,
    ticks: dict[Any, str],
    cmap: str = "viridis",
) -> None:
    """One panel over ε and σ, in logarithmic colours, with the line ε = σ²."""
    figure: Any = axes.get_figure()
    mesh = axes.pcolormesh(
        data.eps, data.noise, values, norm="log", cmap=cmap, shading="nearest", rasterized=True
    )
    ink = "white" if cmap == "viridis" else plots.GREY
    axes.plot(data.noise**2, data.noise, ls=(0, (1, 2)), color=ink, lw=1.2)
    axes.set(xscale="log", yscale="log", xlim=data.eps[[0, -1]], ylim=data.noise[[0, -1]])
    axes.set(xlabel=r"tolerance $\varepsilon$", ylabel=r"noise $\sigma$", title=title)
    axes.text(0.0055, 0.06, r"$\varepsilon = \sigma^2$", color=ink)
    bar = figure.colorbar(mesh, ax=axes, aspect=25, pad=0.02)
    shown = [tick for tick in ticks if values.min() <= tick <= values.max()]
    bar.set_ticks(shown, labels=[ticks[tick] for tick in shown])
    bar.minorticks_off()
    bar.outline.set_linewidth(0.4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="draw the figure, and write it here")
    folder = parser.parse_args().folder
    data = compute(draws=16, grid=8) if folder is None else compute(draws=64, grid=40)
    print("noise  tolerance  fits  best round  risk of the best over that of one fit [quartiles]")
    for i, j in np.ndindex(data.fits.shape[1:]):
        low, gain, high = data.gain[:, i, j]
        print(
            f"{data.noise[i]:5.3f}  {data.eps[j]:9.4f}  {data.fits[1, i, j]:4g}  "
            f"{data.best[1, i, j]:10g}  {gain:.3f} [{low:.3f}, {high:.3f}]"
        )
    if folder is not None:
        for path in plots.save(plot(data), folder / "phase-diagram"):
            print(path)


if __name__ == "__main__":
    main()
