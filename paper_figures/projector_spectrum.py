"""Singular values of a projector over training, by how the features it compares are normalised.

The figure of Miles & Mikolajczyk (AAAI 2024) on normalisation and the projector, with students
trained jointly and with frozen features.
"""

from __future__ import annotations

from dataclasses import dataclass
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

NAME = "projector_spectrum"
NORMS = ("none", "L2", "batch")
NAMES = {"none": "unnormalised", "L2": "$L_2$", "batch": "batch"}
LOOK = {"none": ("#d55e00", "-"), "L2": ("#009e73", "--"), "batch": ("#0072b2", "-")}
TIMES = (0, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)
WITHOUT_DECAY = "without weight decay"
BEFORE = "normalised before"
SMALL: dict[str, Any] = {"fontsize": 7, "handlelength": 1.6, "borderaxespad": 0.2}
"""Of legends in narrow panels."""
WEAKER = (1.0, 0.1, 0.01)
"""Multiples of the weight decay at which ridge regression is compared."""


@dataclass(frozen=True, eq=False)
class ProjectorSpectrum:
    """What the figure shows; S seeds, T times, p singular values.

    Attributes
    ----------
    times
        (T,) steps of gradient descent.
    joint, frozen
        (3, S, T, p) singular values of W, descending, in the order of NORMS, four digits.
    flow
        (S, T, p) the same by the closed form of gradient flow, for frozen features without
        normalisation.
    ridge
        Effective ranks, one a seed, of ridge regression on the same features, not normalised,
        by its weight decay.
    controls
        Effective ranks at the end, one a seed: "joint none without weight decay" and so on, and
        frozen ones whose features are normalised before the projection in place of after it.
    accuracy
        On test points, by normalisation, of the students trained jointly; "alone" without
        distillation.
    settings
        Of teacher, student and training.
    """

    times: np.ndarray
    joint: np.ndarray
    frozen: np.ndarray
    flow: np.ndarray
    ridge: dict[str, list[float]]
    controls: dict[str, list[float]]
    accuracy: dict[str, list[float]]
    settings: dict[str, Any]


def effective_rank(singular: np.ndarray) -> np.ndarray:
    """Return exp of the entropy of σ/Σσ along the last axis (Roy & Vetterli 2007).

    Examples
    --------
    >>> effective_rank(np.array([[2.0, 2.0, 2.0], [1.0, 0.0, 0.0]])).round(6)
    array([3., 1.])
    """
    share = singular / singular.sum(axis=-1, keepdims=True)
    return np.exp(-np.sum(share * np.log(np.where(share > 0, share, 1.0)), axis=-1))


def compute(
    seeds: int = 5,
    times: tuple[int, ...] = TIMES,
    samples: int = 1000,
    teacher: tuple[int, ...] = (128, 64),
    student: tuple[int, ...] = (64, 32),
    teacher_steps: int = 1500,
    weight_decay: float = 2e-3,
    learning_rate: float = 0.2,
    batch: int = 64,
) -> ProjectorSpectrum:
    """Train teachers, students and projectors, S seeds side by side."""
    from hilbertsd.nets import network_outputs
    from hilbertsd.nets.features import network_features
    from hilbertsd.nets.supervised import one_hot
    from hilbertsd.objectives.features import batch_normalised
    from hilbertsd.objectives.normalisation import unit
    from hilbertsd.objectives.projector import projector_weights
    from paper_figures import projection

    which, width = range(seeds), teacher[-1]
    chosen = {
        "seeds": seeds, "samples": samples, "teacher": list(teacher), "student": list(student),
        "teacher_steps": teacher_steps, "weight_decay": weight_decay,
        "learning_rate": learning_rate, "batch": batch,
    }  # fmt: skip
    kept = remember(NAME, times=times, **chosen)
    control_times = tuple(t for t in times if t <= 5000)
    joint: list[np.ndarray] = []
    frozen: list[np.ndarray] = []
    controls: dict[str, list[float]] = {}
    accuracy: dict[str, list[float]] = {}
    with phases() as phase:
        phase("teachers")
        given = projection.pair(which, samples, teacher, teacher_steps)
        data = {
            "x": given.data.x_train,
            "targets": one_hot(given.data.given, 10),
            "teacher": given.teacher,
        }
        axes = {"x": None, "targets": None, "teacher": 0}
        start, state = projection.students(which, student, (width,))

        def jointly(name: str, decay: float, weight: float, at: tuple[int, ...]) -> Any:
            loss = projection.joint_loss(projection.COMPARED[name], weight, decay)
            run = list(
                projection.followed(loss, start, state, data, axes, which, at, learning_rate, batch)
            )
            model, after = run[-1]
            found = [singular_values(seen.projector) for seen, _ in run]
            return np.stack(found, axis=1), model.network, after

        def tested(network: Any, after: Any) -> list[float]:
            outputs = network_outputs(network, after, given.data.x_test)
            return projection.accuracy(outputs, given.data.y_test).tolist()

        @kept
        def trained_jointly(name: str) -> tuple[np.ndarray, list[float], list[float]]:
            """Return singular values, accuracies, and ranks without weight decay."""
            values, network, after = jointly(name, weight_decay, 1.0, times)
            bare, _, _ = jointly(name, 0.0, 1.0, control_times)
            return values, tested(network, after), ranks_at_end(bare)

        @kept
        def trained_alone() -> tuple[list[float], np.ndarray]:
            """Return accuracies, and features of mean square 1 at the training points."""
            _, network, after = jointly("none", weight_decay, 0.0, (times[-1],))
            features = network_features(network, after, given.data.x_train)
            features /= np.sqrt(np.mean(features**2, axis=(1, 2), keepdims=True))
            return tested(network, after), features

        for name in NORMS:
            phase(f"students trained jointly, {name}")
            values, accuracy[name], ranks = trained_jointly(name)
            joint.append(values)
            controls[f"joint {name} {WITHOUT_DECAY}"] = ranks
        phase("students alone")
        accuracy["alone"], features = trained_alone()

        @kept
        def from_frozen(compared: Any, f: Any, t: Any, decay: float, at: Any) -> np.ndarray:
            loss = projection.frozen_loss(compared, decay)
            fixed = {"student": f.astype(np.float32), "teacher": t}
            return np.stack(
                [
                    singular_values(model)
                    for model, _ in projection.followed(
                        loss, start.projector, None, fixed, {"student": 0, "teacher": 0},
                        which, at, learning_rate, batch,
                    )
                ],
                axis=1,
            )  # fmt: skip

        for name in NORMS:
            phase(f"frozen features, {name}")
            compared = projection.COMPARED[name]
            frozen.append(from_frozen(compared, features, given.teacher, weight_decay, times))
            controls[f"frozen {name} {WITHOUT_DECAY}"] = ranks_at_end(
                from_frozen(compared, features, given.teacher, 0.0, control_times)
            )
        first = {
            "L2": lambda rows: np.asarray(unit(rows, 1)) * np.sqrt(rows.shape[1]),
            "batch": lambda rows: np.asarray(batch_normalised(rows)),
        }
        for name, normalise in first.items():
            phase(f"frozen features, {name} before the projection")
            both = [
                np.stack([normalise(rows) for rows in part.astype(np.float32)])
                for part in (features, given.teacher)
            ]
            controls[f"frozen {name} {BEFORE}"] = ranks_at_end(
                from_frozen(projection.mean_square, both[0], both[1], weight_decay, times)
            )
        phase("the closed form")
        entries = samples * width  # the loss is a mean over so many
        starts = np.asarray(start.projector.weights[0], dtype=float)
        flow = np.stack([
            [
                np.linalg.svd(
                    projector_weights(
                        f, t, weight_decay * entries, time=learning_rate * steps / entries, start=w
                    ),
                    compute_uv=False,
                )
                for steps in times
            ]
            for f, t, w in zip(features, given.teacher.astype(float), starts, strict=True)
        ])  # fmt: skip
        ridge = {
            f"{decay:g}": [
                float(effective_rank(np.linalg.svd(projector_weights(f, t, decay * entries))[1]))
                for f, t in zip(features, given.teacher.astype(float), strict=True)
            ]
            for decay in weight_decay * np.array(WEAKER)
        }
    return ProjectorSpectrum(
        times=np.array(times),
        joint=four_digits(np.stack(joint)),
        frozen=four_digits(np.stack(frozen)),
        flow=four_digits(flow),
        ridge=ridge,
        controls=controls,
        accuracy=accuracy | {"teacher": given.teacher_accuracy.tolist()},
        settings=chosen,
    )


def ranks_at_end(singular: np.ndarray) -> list[float]:
    """Return effective ranks at the last time, one a seed."""
    return effective_rank(singular[:, -1]).tolist()


def four_digits(values: np.ndarray) -> np.ndarray:
    """Return the values with four significant digits, as they are recorded."""
    return np.array([float(f"{v:.4g}") for v in values.ravel()]).reshape(values.shape)


def singular_values(projector: Any) -> np.ndarray:
    """Return those of a linear projector of each seed, (S, p) descending."""
    return np.linalg.svd(np.asarray(projector.weights[0], dtype=float), compute_uv=False)


def step_axis(axes: Any, times: np.ndarray) -> None:
    """Show steps on a logarithmic axis that is linear up to the first, so that it begins at 0."""
    from matplotlib.ticker import NullLocator

    first, last = (int(step) for step in (times[1], times[-1]))
    axes.set_xscale("symlog", linthresh=first, linscale=0.4)
    axes.set(xlabel="step", xlim=(0, 1.1 * last))
    powers = [10**n for n in range(2, len(str(last)))]
    axes.set_xticks([0, *powers], labels=["0", *(f"$10^{n + 2}$" for n in range(len(powers)))])
    axes.xaxis.set_minor_locator(NullLocator())


def plot(data: ProjectorSpectrum) -> Figure:
    """Draw singular values, a row for joint training and one for frozen features, and ranks."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.figure import Figure

    at, count = data.times, data.flow.shape[-1]
    colors = plots.round_colors(count)
    with plots.house_style():
        figure = Figure(figsize=(TEXT_WIDTH, 4.1))
        panels: Any = figure.subplots(2, 4, sharex=True, width_ratios=[1, 1, 1, 1.15])
        for row, (mode, found) in enumerate((("joint", data.joint), ("frozen", data.frozen))):
            for axes, name, values in zip(panels[row][:3], NORMS, found, strict=True):
                middle = np.median(values, axis=0)
                for k, color in enumerate(colors):
                    axes.plot(at, middle[:, k], color=color, lw=0.7)
                if mode == "frozen" and name == "none":
                    for k in range(0, count, 4):
                        (line,) = axes.plot(
                            at, np.median(data.flow, axis=0)[:, k], color=plots.INK, lw=0.9,
                            ls=(0, (1, 2)),
                        )  # fmt: skip
                    axes.legend([line], ["closed form,\nevery fourth"], loc="lower left", **SMALL)
                axes.set(yscale="log", ylim=(5e-3, 4))
                axes.tick_params(labelleft=name == "none")
            panels[row][0].set_ylabel(f"{mode}: singular values of $W$")
            last = panels[row][3]
            for name, values in zip(NORMS, found, strict=True):
                color, style = LOOK[name]
                ranks = effective_rank(values)
                last.fill_between(at, ranks.min(0), ranks.max(0), color=color, alpha=0.2, lw=0)
                last.plot(at, ranks.mean(0), color=color, ls=style, label=NAMES[name])
            last.set(
                ylim=(0, count), ylabel=f"{mode}: effective rank", yticks=range(0, count + 1, 8)
            )
            last.legend(loc="lower left", **SMALL)
        titles = (*NAMES.values(), "all three")
        for axes, letter, title in zip(panels.flat, "abcdefgh", 2 * titles, strict=True):
            axes.set_title(f"({letter}) {title}")
        for axes in panels[1]:
            step_axis(axes, data.times)
        scale = ScalarMappable(
            BoundaryNorm(np.arange(count + 1) + 0.5, count), ListedColormap(colors)
        )
        bar = figure.colorbar(
            scale, ax=panels[:, :3], location="bottom", aspect=45, pad=0.02,
            ticks=[1, *range(8, count + 1, 8)], label="singular value, from the largest",
        )  # fmt: skip
        bar.minorticks_off()
        bar.outline.set_linewidth(0.4)
        plots.settle(figure)
    return figure


def caption(data: ProjectorSpectrum) -> str:
    """Say what was found, in the numbers of the runs."""
    chosen = data.settings

    def of(ranks: list[float]) -> str:
        return f"{np.mean(ranks):.1f} ± {np.std(ranks, ddof=1):.1f}"

    def row(words: str, ranks: dict[str, list[float]]) -> tuple[str, ...]:
        return words, *(of(ranks[name]) if name in ranks else "" for name in NORMS)

    def at_end(found: np.ndarray) -> dict[str, list[float]]:
        return dict(zip(NORMS, map(ranks_at_end, found), strict=True))

    def control(mode: str, kind: str) -> dict[str, list[float]]:
        names = {name: f"{mode} {name} {kind}" for name in NORMS}
        return {name: data.controls[key] for name, key in names.items() if key in data.controls}

    early = f"without decay, after {max(t for t in data.times if t <= 5000)} steps"
    ranks = table(
        ("effective rank", "no normalisation", "L2", "batch"),
        [
            row("student trained jointly", at_end(data.joint)),
            row("frozen features", at_end(data.frozen)),
            row(f"jointly, {early}", control("joint", WITHOUT_DECAY)),
            row(f"frozen, {early}", control("frozen", WITHOUT_DECAY)),
            row("frozen, normalised before the projection", control("frozen", BEFORE)),
        ],
    )
    accuracy = ", ".join(
        f"{name} {100 * np.mean(values):.1f} %" for name, values in data.accuracy.items()
    )
    weaker = ", ".join(f"{of(ranks)} at decay {decay}" for decay, ranks in data.ridge.items())
    gap = np.abs(np.log(effective_rank(data.frozen[0]) / effective_rank(data.flow))).max()
    return f"""
**Normalisation and the spectrum of the projector** (after Miles & Mikolajczyk, AAAI 2024). Singular
values of the projector W, medians over the seeds, (a)–(c) with the student trained jointly
(cross-entropy + comparison), (e)–(g) with the features of students that were trained alone. Dotted
in (e): gradient flow in closed form, from which the minibatches differ by at most
{100 * gap:.1g} % in effective rank. (d), (h) Effective rank, mean and range over the seeds. Steps
are linear up to {data.times[1]:g}, then logarithmic. Normalisation keeps the
spectrum flatter, batch as L2 or a little more, with frozen features too.

At the end it is, of {data.flow.shape[-1]} (mean ± standard deviation):

{ranks}

It takes weight decay, training long enough to forget the start, and normalisation after the
projection: without decay the ranks are nearly the random start's. A loss normalised after the
projection does not depend on the scale of W, so decay shrinks all of W and hardly acts as a ridge.
Without normalisation it is the ridge, which cuts directions in which the student's features are
small: ridge regression on the frozen features, in closed form, has effective rank {weaker}.

Digits, {chosen["samples"]} training points; teachers and students fully connected with hidden
layers {chosen["teacher"]} and {chosen["student"]}; plain gradient descent, step
{chosen["learning_rate"]}, batches of {chosen["batch"]}, weight decay {chosen["weight_decay"]:g} on
all that is trained; both features normalised after the projection as in the published code;
{chosen["seeds"]} seeds. Test accuracy: {accuracy}.
"""


def main(folder: Path = FIGURES, *, recompute: bool = False, machine: str = MACHINE) -> list[Path]:
    """Draw the figure from its recorded data, measured again if asked."""
    data = recorded(NAME, ProjectorSpectrum, compute, recompute=recompute, machine=machine)
    return publish(plot(data), caption(data), NAME, folder)


if __name__ == "__main__":
    main()
