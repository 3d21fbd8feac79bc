"""Whether a feature kernel determines predictions: a retrained last layer, another start.

He & Ozay (ICLR 2022), Fig. 2, on digits: a network's test predictions are compared with those of
its own features under a last layer trained anew, and with those of an independent start.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hilbertsd import datasets, nets, plots, schemes
from hilbertsd.nets.supervised import one_hot, schedule
from hilbertsd.report.objectives import ACCENT, interval, percent
from paper_figures.publish import FIGURES, TEXT_WIDTH, publish, table
from paper_figures.recorded import MACHINE, RESULTS, recorded
from paper_figures.resumed import each

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "fkd_agreement"
TRAIN, SEEDS = 200, 10
WIDTHS = (8, 32, 256)
TRAINING = nets.Training(
    loss="cross-entropy", steps=400, learning_rate=3e-3, weight_decay=1e-4, check_every=400
)
LAST = replace(TRAINING, steps=3000, learning_rate=1e-2, check_every=3000)
"""Of the last layer alone: a convex problem, with more steps so that it is solved."""
KINDS = ("retrained last layer", "independent start")
PERCENTS = (0, 1, 5, 20, 50, 100)
"""Marked on the scale of colours."""


@dataclass(frozen=True)
class Agreement:
    """Test predictions of S references of each width against S networks of each kind."""

    widths: list[int]
    matrices: np.ndarray
    """(W, 2, Q, Q) mean over the seeds: shares of points by reference's and other's class."""
    agreement: np.ndarray
    """(W, 2, S) shares of test points with the same prediction."""
    on_errors: np.ndarray
    """(W, 2, S) the same among the points where the reference is wrong."""
    kernels: np.ndarray
    """(W, S) CKA of the features of reference and independent network at the test points."""
    accuracy: np.ndarray
    """(W, 3, S) of the reference and of both kinds."""


def measure() -> Agreement:
    """Train references, last layers on their features, and independent networks."""
    found = each(NAME, [{"width": width} for width in WIDTHS], of_width)
    return Agreement(list(WIDTHS), *(np.stack(each) for each in zip(*found, strict=True)))


def of_width(width: int) -> tuple[np.ndarray, ...]:
    """Return the arrays of `Agreement` for one width."""
    data = datasets.digit_images(TRAIN)
    hot, numbers = one_hot(data.given, data.classes), range(SEEDS)
    make = partial(_network, (width,), 64)
    one, other = (
        nets.fit(make, data.x_train, hot, TRAINING, nets.keys(numbers, stream)) for stream in (0, 1)
    )
    seen, tested = (schemes.observe(one.model, one.state, x) for x in (data.x_train, data.x_test))
    layer, state = nets.initialise(partial(_network, (), width), nets.keys(numbers, 2))
    again = nets.train(
        nets.fitting_loss(LAST.loss, LAST.weight_decay),
        layer,
        state,
        {"x": seen.features, "targets": hot},
        nets.keys(numbers, 3),
        **schedule(LAST),
        seed_axes={"x": 0, "targets": None},
    )
    dense = again.model.dense
    retrained = np.einsum("snp,sqp->snq", tested.features, dense.weight) + dense.bias[:, None]
    independent = schemes.observe(other.model, other.state, data.x_test)
    first = np.asarray(tested.outputs).argmax(-1)
    found = np.stack([retrained.argmax(-1), np.asarray(independent.outputs).argmax(-1)])
    wrong = first != data.y_test
    matrices = np.zeros((2, data.classes, data.classes))
    for kind in (0, 1):
        np.add.at(matrices[kind], (first.ravel(), found[kind].ravel()), 1 / first.size)
    return (
        matrices,
        (found == first).mean(-1),
        ((found == first) & wrong).sum(-1) / wrong.sum(-1),
        np.array([_cka(a, b) for a, b in zip(tested.features, independent.features, strict=True)]),
        (np.stack([first, *found]) == data.y_test).mean(-1),
    )


def _network(widths: tuple[int, ...], inputs: int, key: Any) -> tuple[Any, Any]:
    return nets.mlp(inputs, 10, widths, key=key)


def _cka(one: Any, other: Any) -> float:
    from hilbertsd import objectives

    return float(objectives.cka(np.asarray(one, float), np.asarray(other, float)))


def compute(recompute: bool = False, machine: str = MACHINE, folder: Path = RESULTS) -> Agreement:
    """Return the data as recorded, or measured."""
    return recorded(NAME, Agreement, measure, recompute=recompute, machine=machine, folder=folder)


def plot(data: Agreement) -> Figure:
    """Draw both matrices of the narrowest networks, and the agreement by width."""
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    with plots.house_style():
        figure = Figure(figsize=(TEXT_WIDTH, 2.5))
        panels: Any = figure.subplots(1, 3, width_ratios=(1, 1, 1.2))
        image: Any = None
        for axes, letter, kind, matrix in zip(panels, "ab", KINDS, data.matrices[0], strict=False):
            percents = 100 * matrix / matrix.sum(axis=1, keepdims=True)
            image = axes.imshow(percents, norm=PowerNorm(0.5, 0, 100), cmap="Blues", aspect="auto")
            axes.set(xticks=(0, 3, 6, 9), yticks=(0, 3, 6, 9), title=f"({letter}) {kind}")
            axes.set_xlabel("class by the other")
        panels[0].set_ylabel("class by the reference")
        panels[1].tick_params(labelleft=False)
        bar = figure.colorbar(
            image, ax=panels[:2], location="bottom", aspect=30, ticks=PERCENTS,
            label="% of the row (square-root scale)",
        )  # fmt: skip
        bar.ax.set_xticklabels(map(str, PERCENTS))
        bar.outline.set_linewidth(0.4)
        axes = panels[2]
        for values, style in ((data.agreement, "-"), (data.on_errors, ":")):
            for kind, color in enumerate((plots.INK, ACCENT)):
                shown = [interval(row) for row in values[:, kind]]
                axes.errorbar(
                    data.widths, [100 * one.mean for one in shown], ls=style, marker="o", ms=3,
                    yerr=[100 * one.half for one in shown], lw=1, capsize=2, color=color,
                )  # fmt: skip
        axes.set(xscale="log", xlabel="width", ylabel="same prediction (%)")
        axes.set(title="(c) agreement", xticks=data.widths, xticklabels=data.widths)
        axes.set_ylim(0, 103)
        axes.minorticks_off()
        looks = [(plots.INK, "-"), (ACCENT, "-"), (plots.GREY, "-"), (plots.GREY, ":")]
        axes.legend(
            [axes.plot([], color=color, ls=style)[0] for color, style in looks],
            [*KINDS, "all test points", "reference wrong"],
            loc="lower right", borderaxespad=0, labelspacing=0.2,
        )  # fmt: skip
        plots.settle(figure)
    return figure


def caption(data: Agreement) -> str:
    """Say what agrees, and how much, in the run's numbers."""

    def gaps(values: np.ndarray) -> list[str]:
        return [percent(interval(a[0] - a[1]), signed=True) for a in values]

    def shares(values: np.ndarray) -> list[list[str]]:
        return [[percent(interval(row)) for row in kind] for kind in np.swapaxes(values, 0, 1)]

    kernels = [interval(values) for values in data.kernels]
    rows = []
    for where, values in (("", data.agreement), (", where the reference is wrong", data.on_errors)):
        rows += [(f"{kind}{where}", *row) for kind, row in zip(KINDS, shares(values), strict=True)]
        rows.append((f"difference{where}", *gaps(values)))
    rows.append(("CKA of independent features", *(f"{k.mean:.3f} ± {k.half:.3f}" for k in kernels)))
    names = ("reference", *KINDS)
    rows += [
        (f"test accuracy, {name}", *row)
        for name, row in zip(names, shares(data.accuracy), strict=True)
    ]
    listed = table(("width", *map(str, data.widths)), rows)
    return f"""
**The feature kernel and predictions** (He & Ozay 2022, Fig. 2, here on small data). Test
predictions of a network (width {data.widths[0]}) against (a) its own features under a last layer
trained anew and (b) an independent start: shares of the points in each class of the reference. (c)
Agreement in percent by width, at all test points (solid) and where the reference is wrong (dotted).
A shared feature kernel agrees clearly more, as in the paper, at all test points for
{_clear(data.widths, data.agreement)}, where the reference is wrong for
{_clear(data.widths, data.on_errors)}.

{listed}

In percent, mean and 95 % interval over {data.agreement.shape[-1]} seeds. Digits, {TRAIN} training
points, {TRAINING.steps} steps of Adam, networks of one hidden layer.
"""


def _clear(widths: list[int], values: np.ndarray) -> str:
    gaps = {w: interval(a[0] - a[1]) for w, a in zip(widths, values, strict=True)}
    clear = [str(w) for w, gap in gaps.items() if gap.clear and gap.mean > 0]
    return f"widths {', '.join(clear)}" if clear else "no width"


def main(folder: Path = FIGURES, *, recompute: bool = False, machine: str = MACHINE) -> list[Path]:
    """Read or measure, draw and write the figure."""
    data = compute(recompute, machine)
    return publish(plot(data), caption(data), NAME, folder)
