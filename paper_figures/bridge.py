"""A figure that the paper lacks: chains of networks against the theory's chain, width by width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hilbertsd import plots
from paper_figures.publish import FIGURES, TEXT_WIDTH, publish, table
from paper_figures.recorded import MACHINE, machine_of, recorded

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS, FLIPPED, DEPTH = 60, 0.2, 2
CODINGS = {"one-hot": ("0 and 1, a column of one-hot labels,", 0.05), "signs": ("±1", 0.1)}
"""Labels in words, and their ε: both columns of one-hot labels together have the 0.1 of ±1."""
WIDTHS = (64, 128, 256, 512, 1024, 2048)
SEEDS = (0, 1, 2, 3, 4)
LOWEST = 2e-4
"""Where the axis ends: errors of the training below it are no news."""
RTOL = 3e-3
"""Of each fit: well below the distances that are measured."""


@dataclass(frozen=True, eq=False)
class BridgeData:
    """What the figure shows: W widths, S seeds, T fits.

    Attributes
    ----------
    widths, seeds
        (W,) and (S,).
    test, train
        (W, S, T) relative distance of the networks' fits from the theory's.
    kernel, nonlinearity, remaining
        (W, S, T) its parts at the test points, and what the training leaves.
    multipliers, label_ratios
        (T,) c_t and (T + 1,) r_t of the theory.
    network_label_ratios
        (W, S, T + 1).
    settings
        Of the problem and of the training.
    """

    widths: np.ndarray
    seeds: np.ndarray
    test: np.ndarray
    train: np.ndarray
    kernel: np.ndarray
    nonlinearity: np.ndarray
    remaining: np.ndarray
    multipliers: np.ndarray
    label_ratios: np.ndarray
    network_label_ratios: np.ndarray
    settings: dict[str, Any]


def problem(coding: str = "one-hot") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return 60 digits 0 and 1, labels of which a fifth is flipped, and the other digits.

    Pixels are centred, and scaled to a mean square of 1.
    """
    from sklearn.datasets import load_digits

    x, label = load_digits(n_class=2, return_X_y=True)
    x = np.asarray(x) - np.mean(x, axis=0)
    x = x / np.sqrt(np.mean(x**2))
    rng = np.random.default_rng(0)
    order = rng.permutation(len(x))
    x, y = x[order], 2.0 * np.asarray(label)[order][:POINTS] - 1
    y[rng.choice(POINTS, round(FLIPPED * POINTS), replace=False)] *= -1
    return x[:POINTS], (y if coding == "signs" else (y + 1) / 2), x[POINTS:]


def compute(
    coding: str = "one-hot", widths: Sequence[int] = WIDTHS, seeds: Sequence[int] = SEEDS
) -> BridgeData:
    """Train the chains; some minutes at the default widths."""
    from hilbertsd.kernels import ntk
    from hilbertsd.nets import bridge
    from hilbertsd.progress import phases

    labels, eps = CODINGS[coding]
    x, y, x_test = problem(coding)
    kernel = ntk(DEPTH)
    with phases() as phase:
        found = bridge(kernel, x, y, x_test, eps, widths=widths, seeds=seeds, rounds=2,
                       rtol=RTOL, dtype="float32", progress=phase)  # fmt: skip
    return BridgeData(
        widths=np.array(found.widths),
        seeds=np.array(found.seeds),
        test=found.test.network,
        train=found.train.network,
        kernel=found.test.kernel,
        nonlinearity=found.test.nonlinearity,
        remaining=found.test.remaining,
        multipliers=found.stops,
        label_ratios=found.label_ratios,
        network_label_ratios=found.network_label_ratios,
        settings={
            "data": "scikit-learn's digits 0 and 1, pixels centred, mean square 1",
            "points": POINTS,
            "test_points": len(x_test),
            "labels": labels,
            "flipped": FLIPPED,
            "eps": eps,
            "kernel": repr(kernel),
            "optimiser": "L-BFGS",
            "rtol": RTOL,
            "dtype": "float32",
        },
    )


def slopes(widths: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the log-log slope of each round's mean over seeds, (T,), and its standard error.

    The error is that of the slopes of single seeds over √S.
    """
    from hilbertsd.nets import log_slope

    rounds = range(errors.shape[2])
    of_mean = [log_slope(widths, errors[:, :, t].mean(axis=1)) for t in rounds]
    single = [[log_slope(widths, one) for one in errors[:, :, t].T] for t in rounds]
    return np.array(of_mean), np.std(single, axis=1, ddof=1) / np.sqrt(errors.shape[1])


def plot(data: dict[str, BridgeData]) -> Figure:
    """Draw the distances at test and at training points, and their parts; a row a coding."""
    from matplotlib.figure import Figure

    with plots.house_style():
        figure = Figure(figsize=(TEXT_WIDTH, 4.2))
        rows = figure.subplots(len(data), 3, sharex=True, sharey=True, squeeze=False)
        for panels, one in zip(rows, data.values(), strict=True):
            _row(panels, one)
            labels = str(one.settings["labels"]).split(",")[0]
            panels[0].set_ylim(bottom=LOWEST)
            panels[0].set_ylabel(
                f"labels {labels}\n"
                r"$\Vert f_t - f_t^{\rm theory}\Vert/\Vert f_t^{\rm theory}\Vert$"
            )
        titles = ("test points", "training points", "parts at test points")
        for axes, letter, title in zip(rows.flat, "abcdef", len(data) * titles, strict=False):
            axes.set_title(f"({letter}) {title}")
        for axes in rows[-1]:
            axes.set_xlabel("width")
        look: dict[str, Any] = {"handlelength": 1.5, "columnspacing": 1.0, "ncols": 4}
        left, right = (rows[0, i].get_legend_handles_labels() for i in (0, 2))
        figure.legend(*left, loc="outside lower left", **look)
        figure.legend(*right, loc="outside lower right", **look)
        plots.settle(figure)
    return figure


def _row(panels: Sequence[Axes], data: BridgeData) -> None:
    colors = plots.round_colors(data.test.shape[2])
    for axes, values in zip(panels[:2], (data.test, data.train), strict=True):
        for t, color in enumerate(colors):
            _line(axes, data, values[:, :, t], color=color, label=f"$t = {t}$")
    parts = (
        (data.kernel, plots.OUTPUTS[1][0], {"fmt": "s-"}, "kernel"),
        (data.nonlinearity, plots.OUTPUTS[3][0], {"fmt": "^-"}, "nonlinearity"),
        (data.remaining, plots.GREY, {"fmt": ".:"}, "training"),
        (data.test, plots.INK, {"fmt": "o-", "ms": 5.5, "mfc": "none", "lw": 0.7}, "network"),
    )
    for values, color, look, label in parts:
        _line(panels[2], data, values[:, :, 0], color=color, label=label, **look)
    for axes, values in zip(panels, (data.test, data.train, data.test), strict=True):
        guide = values[0, :, 0].mean() * np.sqrt(data.widths[0] / data.widths)
        axes.set(xscale="log", yscale="log")
        axes.set_xticks(data.widths, [str(width) for width in data.widths], rotation=45)
        axes.minorticks_off()
        axes.plot(data.widths, guide, color=plots.GREY, lw=0.8, ls=(0, (4, 2)), zorder=0)


def _line(axes: Axes, data: BridgeData, values: np.ndarray, **look: Any) -> None:
    """Draw the mean over seeds with its standard deviation."""
    look = {"fmt": "o-", "ms": 3, "lw": 1.1, "elinewidth": 0.9, "capsize": 1.8} | look
    deviation = values.std(axis=1, ddof=1)
    axes.errorbar(data.widths, values.mean(axis=1), yerr=deviation, **look)


def caption(data: dict[str, BridgeData], machine: str = MACHINE) -> str:
    """Say what the panels show, in the numbers of this run."""
    first = next(iter(data.values()))
    settings = first.settings
    columns = [_column(one) for one in data.values()]
    labels = [f"labels {one.settings['labels']}".split(",")[0] for one in data.values()]
    listed = table(
        ("", *labels),
        [(name, *(column[name] for column in columns)) for name in columns[0]],
    )
    return f"""
**The bridge.** Self-distillation of networks in NTK parametrisation, trained in round t on
(1/K) Σ (f_θ − f_θ0 − y_t)² + c_t ‖θ − θ_0‖² with the multipliers c_t of the theory's chain,
beside that chain: the relative distance in norm falls like width^(−1/2) (dashed); mean and standard
deviation of {len(first.seeds)} seeds. (c), (f) The parts of the distance at the test points in
round 0, the chain on the networks' own tangent kernels against the theory (kernel) and the networks
against that (nonlinearity), and what the last half of the iterations of {settings["optimiser"]}
changed (training).

{listed}

At the test points; slopes are log-log, with standard errors over the seeds. Kernel
{settings["kernel"]}. Data: {settings["data"]}; K = {settings["points"]},
{100 * settings["flipped"]:.0f} % of the labels flipped, {settings["test_points"]} test points; a
fresh network in every round. Measured on {machine}.
"""


def _column(data: BridgeData) -> dict[str, str]:
    """Return the numbers of one coding of the labels, by what they are."""
    distances = data.test[:, :, 0]
    slope, error = slopes(data.widths, data.test)
    parts = {"kernel": data.kernel, "nonlinearity": data.nonlinearity, "training": data.remaining}
    return (
        {"ε": f"{data.settings['eps']:g}"}
        | {f"c_t, t = {t}": f"{c:.4g}" for t, c in enumerate(data.multipliers)}
        | {
            f"distance, t = 0, width {width}": f"{row.mean():.3f} ± {row.std(ddof=1):.3f}"
            for width, row in zip(data.widths, distances, strict=True)
        }
        | {
            f"its part at width {data.widths[-1]}: {name}": f"{values[-1, :, 0].mean():.2g}"
            for name, values in parts.items()
        }
        | {
            f"slope, t = {t}": f"−{-s:.3f} ± {e:.3f}"
            for t, (s, e) in enumerate(zip(slope, error, strict=True))
        }
    )


def main(folder: Path = FIGURES, *, recompute: bool = False, machine: str = MACHINE) -> list[Path]:
    """Read or measure the data, draw and write the figure."""
    data = {
        coding: recorded(
            *(f"bridge-{coding}", BridgeData, partial(compute, coding)),
            recompute=recompute,
            machine=machine,
        )
        for coding in CODINGS
    }
    return publish(plot(data), caption(data, machine_of("bridge-one-hot")), "bridge", folder)


if __name__ == "__main__":
    main()
