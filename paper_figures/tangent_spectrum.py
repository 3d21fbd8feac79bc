"""The labels of trained networks on the eigenvectors of their tangent kernel, round by round.

In the theory round t multiplies the coordinate of the labels on eigenvector k of the Gram matrix by
d_k/(c_t + d_k) (Mobahi, Farajtabar & Bartlett 2020, equation 45): those with small eigenvalues die
first. Here the labels are those of networks trained as in figure 4, and the Gram matrix is Θ/K with
Θ the empirical tangent kernel. A figure that the paper does not have.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hilbertsd import nets, plots
from hilbertsd.report import networks as report
from hilbertsd.schemes import intervals
from paper_figures.illustration import power_of_ten
from paper_figures.network_chains import Setting, settings
from paper_figures.publish import FIGURES, TEXT_WIDTH, publish, table
from paper_figures.recorded import MACHINE, machine_of, recorded
from paper_figures.resumed import parts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "tangent_spectrum"
GROUPS = 6
"""Of eigenvalues, equally many in each."""
KERNELS = ("at a random start", "after round 0")
SHOWN = 0
"""The kernel whose groups are drawn."""
LEAST = 1e-3
"""Where the vertical axis of sizes ends."""
REACH = 30.0
"""Multipliers are looked for so many powers of e below and above the eigenvalues."""


@dataclass(frozen=True, eq=False)
class TangentSpectrum:
    """What the figure shows, of S seeds and labels y_0 (given) to y_T (predictions of round T − 1).

    Attributes
    ----------
    correlation
        (2, S, T) Spearman's rank correlation over k of d_k and ‖⟨v_k, y_t⟩‖/‖⟨v_k, y_0⟩‖ in
        t = 1 .. T, with the kernels of :data:`KERNELS`.
    later
        (2, S, T − 1) the same with y_1 in place of y_0, t = 2 .. T: what distillation adds to
        ordinary training.
    measured, predicted
        (2, S, T + 1, groups) norm of the coordinates in each group of eigenvalues, relative to that
        of y_0: of the networks, and if every coordinate shrank by d_k/(c_t + d_k).
    groups
        (2, S, groups) geometric mean of the eigenvalues in each.
    multipliers
        (2, S, T) c_t with which kernel regression on y_t leaves the residual of the network.
    data, settings
        Of the data and of the chain.
    """

    correlation: np.ndarray
    later: np.ndarray
    measured: np.ndarray
    predicted: np.ndarray
    groups: np.ndarray
    multipliers: np.ndarray
    data: dict[str, Any]
    settings: dict[str, Any]


def compute(setting: Setting | None = None, folder: Path | None = None) -> TangentSpectrum:
    """Train chains as in the first setting of figure 4, and decompose their kernels and labels."""
    if setting is None:
        setting = dataclasses.replace(settings()["squared"], rounds=9)
    data = setting.data()
    chosen = nets.ChainSettings(nets.Training(**setting.training))
    make = partial(setting.make, data.x_train.shape[1:], data.classes)
    seeds = range(setting.seeds)
    folder = folder or parts(NAME)
    chain = nets.train_chain(
        make, data, chosen, rounds=setting.rounds, seeds=seeds, folder=folder, progress=True
    )
    trained = nets.load_network(folder, make, 0)
    starts = nets.initialise(make, nets.keys(seeds))
    labels = centred(data.given, chain.predictions)

    def of_seed(stack: Any, i: int) -> Decomposed:
        model, state = nets.member(stack, i)
        return decomposed(tangent_gram(model, state, data.x_train), labels[:, i])

    found = [[of_seed(stack, i) for i in seeds] for stack in (starts, trained)]
    stacked = Decomposed(
        *(np.array([[getattr(one, name) for one in kernel] for kernel in found])
          for name in Decomposed._fields)
    )  # fmt: skip
    return TangentSpectrum(
        **stacked._asdict(), data=data.settings, settings=dataclasses.asdict(chosen)
    )


def centred(given: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Return y_0 .. y_T (T + 1, S, K, Q) minus 1/Q, the prediction of a network that knows nothing.

    The constant is not part of what is learned: softmax always sums to 1.
    """
    classes = predictions.shape[-1]
    first = np.broadcast_to(np.eye(classes)[given], predictions.shape[1:])
    return np.concatenate([first[None], predictions]).astype(float) - 1 / classes


class Decomposed(NamedTuple):
    """The labels of one seed on the eigenvectors of one kernel; see :class:`TangentSpectrum`."""

    correlation: np.ndarray
    later: np.ndarray
    measured: np.ndarray
    predicted: np.ndarray
    groups: np.ndarray
    multipliers: np.ndarray


def decomposed(gram: np.ndarray, labels: np.ndarray) -> Decomposed:
    """Return what became of the labels (T + 1, K, Q) of one seed, on the eigenvectors of G."""
    eigenvalues, vectors = np.linalg.eigh(gram)
    eigenvalues = np.maximum(eigenvalues, np.finfo(float).tiny)
    sizes = np.linalg.norm(vectors.T @ labels, axis=-1)  # (T + 1, K)
    residuals = np.mean(np.sum(np.diff(labels, axis=0) ** 2, axis=2), axis=1)
    multipliers = np.array(
        [
            multiplier(eigenvalues, size, eps)
            for size, eps in zip(sizes[:-1], residuals, strict=True)
        ]
    )
    shrunk = np.cumprod(eigenvalues / (multipliers[:, None] + eigenvalues), axis=0)
    expected = sizes[0] * np.concatenate([np.ones((1, len(gram))), shrunk])
    parts = np.array_split(np.arange(len(gram)), GROUPS)

    def grouped(values: np.ndarray) -> np.ndarray:
        norms = np.stack([np.linalg.norm(values[:, part], axis=1) for part in parts], axis=1)
        return norms / norms[0]

    return Decomposed(
        rank_correlations(eigenvalues, sizes[1:] / sizes[0]),
        rank_correlations(eigenvalues, sizes[2:] / sizes[1]),
        grouped(sizes),
        grouped(expected),
        np.array([np.exp(np.log(eigenvalues[part]).mean()) for part in parts]),
        multipliers,
    )


def multiplier(eigenvalues: np.ndarray, sizes: np.ndarray, eps: float) -> float:
    """Return the c with which kernel regression leaves the mean squared residual eps.

    Infinite where the zero function leaves no more.
    """
    from scipy.optimize import brentq

    if sizes @ sizes <= len(sizes) * eps:
        return np.inf

    def excess(log_c: float) -> float:
        left = sizes / (1 + eigenvalues * np.exp(-log_c))
        return float(left @ left / len(sizes) - eps)

    ends = np.log(eigenvalues[0]) - REACH, np.log(eigenvalues[-1]) + REACH
    root: Any = brentq(excess, *ends, xtol=1e-12)
    return float(np.exp(root))


def tangent_gram(model: Any, state: Any, x: np.ndarray) -> np.ndarray:
    """Return Θ/K of a network in float64, Θ the mean over the outputs."""
    f, params = nets.as_function(model, state)
    return nets.empirical_ntk(f, params, x.astype(float), dtype="float64") / len(x)


def rank_correlations(eigenvalues: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """Return Spearman's ρ of the eigenvalues with each row of ratios."""
    from scipy.stats import spearmanr

    found: list[Any] = [spearmanr(eigenvalues, row) for row in ratios]
    return np.array([one.statistic for one in found])


def plot(data: TangentSpectrum) -> Figure:
    """Draw what became of each group of eigenvalues, what was predicted, and the correlations."""
    from matplotlib.figure import Figure

    with plots.house_style():
        figure = Figure(figsize=(TEXT_WIDTH, 2.6))
        a, b, c = figure.subplots(1, 3)
        b.sharey(a)
        for axes, values, title in (
            (a, data.measured[SHOWN], "(a) networks"),
            (b, data.predicted[SHOWN], "(b) shrunk by $d_k/(c_t+d_k)$"),
        ):
            colors = plots.round_colors(GROUPS)[::-1]
            for g, color in enumerate(colors):
                report.band(axes, values[:, :, g].T, color, group_name(data, g))
            report.round_axis(axes, values.shape[1])
            axes.set(title=title, yscale="log", ylim=(LEAST, 1.5), xlabel="labels $y_t$")
        a.set_ylabel("size relative to $y_0$")
        for row, (kernel, look) in enumerate(zip(("start", "round 0"), ("-", ":"), strict=True)):
            _from(c, 1, data.correlation[row], plots.INK, f"to $y_0$, {kernel}", look)
            _from(c, 2, data.later[row], report.ACCENT, f"to $y_1$, {kernel}", look)
        c.axhline(0, color=plots.GREY, lw=0.6)
        report.round_axis(c, data.measured.shape[2])
        c.set(title="(c) rank correlation", xlabel="labels $y_t$", ylim=(-0.9, 1.02))
        c.set_yticks((0, 0.5, 1))
        c.legend(fontsize=7, loc="lower center", handlelength=1.5, labelspacing=0.2)
        handles, labels = a.get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=GROUPS, title="$d_k$ near",
            handlelength=1.2, columnspacing=1.0,
        )  # fmt: skip
        plots.settle(figure)
    return figure


def _from(axes: Axes, first: int, values: np.ndarray, color: str, label: str, style: str) -> None:
    """Draw the mean over the seeds of (S, n) values in t = first, .., and one deviation."""
    mean, deviation = report.spread(values.T)
    t = np.arange(first, first + len(mean))
    axes.fill_between(t, mean - deviation, mean + deviation, color=color, alpha=0.2, lw=0)
    axes.plot(t, mean, color=color, label=label, ls=style, marker="o", ms=2)


def group_name(data: TangentSpectrum, g: int) -> str:
    """Return the eigenvalues of a group in words."""
    return f"{np.exp(np.log(data.groups[SHOWN, :, g]).mean()):.1g}"


def interval(values: np.ndarray) -> str:
    """Return mean and 95 % confidence interval of the mean over the seeds, by Student's t."""
    mean, half = intervals.interval(values)
    return f"{mean:.3f} [{mean - half:.3f}, {mean + half:.3f}]"


def caption(data: TangentSpectrum) -> str:
    """Say what the panels show, in the numbers of this run."""
    _, seeds, last = data.correlation.shape
    training, points = data.settings["training"], data.data["train"]
    ordered = int((np.diff(data.measured[SHOWN, :, -1]) > 0).all(axis=1).sum())
    small, large = (report.plus_minus(data.measured[SHOWN, :, -1, g]) for g in (0, -1))
    fewer = power_of_ten(float(np.median(data.predicted[SHOWN, :, -1, 0])), 0)
    more = report.plus_minus(data.predicted[SHOWN, :, -1, -1])
    told = table(
        (
            "kernel",
            "to y_0, t = 1",
            f"to y_0, t = {last}",
            "least of the seeds",
            f"to y_1, t = {last}",
        ),
        [
            (
                kernel,
                interval(data.correlation[row, :, 0]),
                interval(data.correlation[row, :, -1]),
                f"{data.correlation[row, :, -1].min():.3f}",
                interval(data.later[row, :, -1]),
            )
            for row, kernel in enumerate(KERNELS)
        ],
    )
    faster = (data.predicted[SHOWN, :, -1, 0] < data.measured[SHOWN, :, -1, 0]).sum()
    return f"""
**Labels on the eigenvectors of the tangent kernel.** (a) Norm of the coordinates ⟨v_k, y_t⟩ of a
chain's labels relative to y_0, in {GROUPS} groups of equally many eigenvalues d_k, smallest first:
in {ordered} of {seeds} seeds what is left of y_{last} grows from every group to the next, from
{small} to {large}. (b) The same if each coordinate shrank by d_k/(c_t + d_k), with the c_t for
which kernel regression on the network's y_t leaves the network's residual: {fewer} (median) and
{more}; in {faster} seeds the smallest are predicted to die faster than they do. The theory's order
of the directions is borne out, its rates are not: softmax outputs, decay of all weights, finite
width and the new random start of every round are not in it.

(c) Spearman's rank correlation over k of d_k and ‖⟨v_k, y_t⟩‖/‖⟨v_k, y_0⟩‖, which is 0 where no
direction dies before another; relative to y_1 it is what distillation adds to ordinary training.
Mean and 95% interval over the seeds:

{told}

{seeds} chains as in Figure 4: digits, {points} points, {100 * data.data["rate"]:.3g}% label noise,
64-256-256-10, {training["loss"]} loss, weight decay {training["weight_decay"]:g},
{training["steps"]} steps of Adam ({training["learning_rate"]:g}). y_0 are the given labels, y_1 the
predictions of the network trained on them, and so on, all minus 1/{data.data["classes"]}. d_k and
v_k are the eigenvalues and eigenvectors of Θ/K, with Θ the empirical tangent kernel, the mean over
the outputs; (a) and (b) with the kernel {KERNELS[SHOWN]}, mean and standard deviation over the
seeds, sizes below {LEAST:g} not shown. Measured on {machine_of(NAME)}.
"""


def main(folder: Path = FIGURES, *, recompute: bool = False, machine: str = MACHINE) -> list[Path]:
    """Read or measure, draw and write the figure."""
    data = recorded(NAME, TangentSpectrum, compute, recompute=recompute, machine=machine)
    return publish(plot(data), caption(data), NAME, folder)


if __name__ == "__main__":
    main()
