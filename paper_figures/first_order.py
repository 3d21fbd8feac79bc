"""What objectives on Gram matrices do to the same student's kernel, to first order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hilbertsd import plots
from hilbertsd.progress import phases
from paper_figures.publish import FIGURES, TEXT_WIDTH, publish, table
from paper_figures.recorded import MACHINE, recorded
from paper_figures.resumed import remember

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "first_order"
NAMES = (
    "FKD", "FKD of K", "SP", "CC", "PKT", "RKD-D", "RKD-A", "CKA", "HSIC", "alignment", "projector",
)  # fmt: skip


SHARES = (0, 0.02, 0.1, 0.25, 0.5, 1)
"""Marked on the scale of colours."""


@dataclass(frozen=True, eq=False)
class FirstOrderView:
    """What the figure shows; S pairs of networks, N objectives, p features of the student.

    Attributes
    ----------
    directions
        (S, N, p) share of each objective's descent by the eigen-directions of K_s, largest
        eigenvalue first.
    eigenvalues, norms, outside
        (S, N) share of the descent by eigenvalues, by the norms of features, and out of the span of
        the features.
    growing
        (S, N) share of the eigenvalues' part that is growth.
    agreement
        (S, N, N) cosines between the ways in which the student's features move.
    accuracy
        (2, S) test accuracy of students and teachers.
    settings
        Of the networks, the batch and the objectives.
    """

    directions: np.ndarray
    eigenvalues: np.ndarray
    norms: np.ndarray
    outside: np.ndarray
    growing: np.ndarray
    agreement: np.ndarray
    accuracy: np.ndarray
    settings: dict[str, Any]


def compute(
    seeds: int = 5,
    samples: int = 128,
    teacher: tuple[int, ...] = (128, 64),
    student: tuple[int, ...] = (64, 32),
    steps: int = 1500,
) -> FirstOrderView:
    """Train students and teachers on digits, and look at a batch."""
    from hilbertsd import datasets
    from hilbertsd.nets import Training, fit, keys, mlp, network_outputs
    from hilbertsd.nets.features import network_features
    from hilbertsd.nets.supervised import one_hot
    from hilbertsd.objectives.first_order import agreement, first_order

    data = datasets.digit_images(1000, seed=0)
    settings = Training(loss="cross-entropy", steps=steps)
    chosen = {
        "seeds": seeds, "samples": samples, "teacher": list(teacher), "student": list(student),
        "steps": steps,
    }  # fmt: skip

    @remember(NAME, **chosen)
    def trained(role: int, widths: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return accuracies, and features at the batch."""
        done = fit(
            lambda key: mlp(64, 10, widths, key=key),
            data.x_train, one_hot(data.given, 10), settings, keys(range(seeds), role),
        )  # fmt: skip
        outputs = network_outputs(done.model, done.state, data.x_test)
        right = np.mean(outputs.argmax(axis=-1) == data.y_test, axis=-1)
        return right, network_features(done.model, done.state, data.x_test[:samples])

    with phases() as phase:
        networks = []
        for role, widths in enumerate((student, teacher)):
            phase("students" if role == 0 else "teachers")
            networks.append(trained(role, widths))
        accuracy, features = zip(*networks, strict=True)
        found = []
        for number, pair in enumerate(zip(*features, strict=True)):
            phase(f"gradients at pair {number + 1}")
            grams = [rows @ rows.T for rows in pair]
            decay = float(np.trace(grams[0])) / samples
            views = [first_order(objective, *grams) for objective in objectives(decay)]
            found.append((views, agreement(views)))

    def each(part: Callable[[Any], Any]) -> np.ndarray:
        return np.array([[part(view) for view in views] for views, _ in found])

    def growing(view: Any) -> float:
        parts = view.growth * np.abs(view.growth) * np.maximum(view.eigenvalues, 0)
        return float(parts[parts > 0].sum() / np.abs(parts).sum())

    return FirstOrderView(
        directions=each(lambda view: view.direction_shares[::-1][: student[-1]]),
        eigenvalues=each(lambda view: view.eigenvalue_share),
        norms=each(lambda view: view.radial_share),
        outside=each(lambda view: view.outside_share),
        growing=each(growing),
        agreement=np.stack([cosines for _, cosines in found]),
        accuracy=np.stack(accuracy),
        settings=chosen,
    )


def objectives(weight_decay: float) -> list[Callable[[Any, Any], Any]]:
    """Return the objectives of NAMES, at their usual settings."""
    from hilbertsd.objectives import dependence, grams, projector

    return [
        grams.fkd,
        partial(grams.fkd, kernel="linear"),
        grams.sp,
        grams.cc,
        grams.pkt,
        grams.rkd_distance,
        grams.rkd_angle,
        dependence.cka_loss,
        dependence.hsic_loss,
        dependence.alignment_loss,
        partial(projector.fitted_projector, weight_decay=weight_decay),
    ]


def plot(data: FirstOrderView) -> Figure:
    """Draw which directions each objective moves, how, and how far objectives agree."""
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    rows = np.arange(len(NAMES))
    with plots.house_style():
        figure = Figure(figsize=(TEXT_WIDTH, 5.2))
        parts: Any = figure.subfigures(2, 1, height_ratios=[1.1, 1])
        top, bottom = parts
        engine: Any = figure.get_layout_engine()
        engine.set(wspace=0.1)  # between the scale of colours and (b)
        a, b = top.subplots(1, 2, width_ratios=[1.75, 1], sharey=True)
        share = data.directions.mean(axis=0)
        image = a.imshow(
            share, cmap="Greys", norm=PowerNorm(0.5, 0, 1), aspect="auto",
            extent=(0.5, share.shape[1] + 0.5, len(rows) - 0.5, -0.5),
        )  # fmt: skip
        bar = top.colorbar(
            image, ax=a, pad=0.02, aspect=22, ticks=SHARES, label="share (square-root scale)"
        )
        bar.ax.set_yticklabels([f"{tick:g}" for tick in SHARES])
        bar.ax.yaxis.labelpad = 1
        bar.outline.set_linewidth(0.4)
        a.set(yticks=rows, yticklabels=NAMES, xlabel="eigen-direction of the student's kernel")
        a.set_title("(a) share of the descent by direction")
        for offset, values, color, mark, words in (
            (-0.27, data.norms, "#d55e00", "o", "norms of features"),
            (0, data.eigenvalues, plots.INK, "s", "eigenvalues"),
            (0.27, data.outside, "#0072b2", "^", "leaving the span"),
        ):
            at = rows + offset
            b.hlines(at, values.min(axis=0), values.max(axis=0), color=color, lw=0.8)
            b.plot(values.mean(axis=0), at, mark, color=color, ms=2.5, label=words)
        for row in rows[1::2]:
            b.axhspan(row - 0.5, row + 0.5, color=plots.BAND, alpha=0.4, lw=0)
        b.set(xlim=(-0.04, 1.04), xticks=(0, 0.5, 1), xlabel="share of the descent")
        b.tick_params(labelleft=False)
        b.set_title("(b) share by kind of move")
        top.legend(*b.get_legend_handles_labels(), loc="outside lower right", ncols=3)
        c = bottom.subplots()
        cosines = data.agreement.mean(axis=0)
        c.imshow(cosines, cmap="PuOr", vmin=-1, vmax=1, aspect="auto")
        for i in rows:
            for j in rows:
                dark = abs(cosines[i, j]) > 0.6
                c.text(
                    j, i, f"{cosines[i, j]:.2f}".replace("0.", ".").replace("-", "−"),
                    ha="center", va="center",
                    fontsize=6.5, color="white" if dark else plots.INK,
                )  # fmt: skip
        c.set(xticks=rows, yticks=rows, yticklabels=NAMES)
        c.set_xticklabels(NAMES, rotation=30, ha="right")
        c.set_title("(c) cosine between the moves of the features")
        plots.settle(figure)
    return figure


def caption(data: FirstOrderView) -> str:
    """Say what the panels show, in the numbers of the runs."""
    chosen = data.settings
    share = data.directions.mean(axis=0)
    leading = 100 * share[:, :9].sum(axis=1)
    cosines = data.agreement.mean(axis=0)
    pairs = [
        (cosines[i, j], f"{NAMES[i]} and {NAMES[j]}") for i in range(len(NAMES)) for j in range(i)
    ]
    close = ", ".join(f"{words} {value:.2f}" for value, words in sorted(pairs)[:-6:-1])
    far = min(pairs)
    norms = data.norms.mean(axis=0)
    listed = table(
        ("", "nine leading directions", "growth, of the eigenvalues' part"),
        [
            (name, f"{part:.0f} %", f"{100 * grown:.0f} %")
            for name, part, grown in zip(NAMES, leading, data.growing.mean(axis=0), strict=True)
        ],
    )
    still = ", ".join(name for name, value in zip(NAMES, norms, strict=True) if value < 1e-6)
    student, teacher = 100 * data.accuracy.mean(axis=1)
    return f"""
**Objectives on Gram matrices, to first order.** M is the gradient of an objective by the student's
Gram matrix K = Σ λ_i v_i v_iᵀ; features move along −2 M F. (a) Share of the descent
2 Σ (λ_i + λ_j)(v_iᵀ M v_j)² by eigen-direction, largest eigenvalue first: most is in the nine
leading ones, which are about the classes (half of what leaves the span of the features is not
shown). (b) Share by changing norms of features, by eigenvalues, and by leaving the span of the
features (mean and range): three views of the same descent, which overlap and do not add up to 1;
norms do not matter to {still}. (c) Cosines between the moves: nearest
are {close}; farthest {far[1]} {far[0]:.2f}.

{listed}

Means over {chosen["seeds"]} pairs of students and teachers with hidden layers {chosen["student"]}
and {chosen["teacher"]}, trained alone on digits (test accuracy {student:.1f} and {teacher:.1f} %),
their features at {chosen["samples"]} test points. The projector has weight decay η = tr K/B.
"""


def main(folder: Path = FIGURES, *, recompute: bool = False, machine: str = MACHINE) -> list[Path]:
    """Draw the figure from its recorded data, measured again if asked."""
    data = recorded(NAME, FirstOrderView, compute, recompute=recompute, machine=machine)
    return publish(plot(data), caption(data), NAME, folder)


if __name__ == "__main__":
    main()
