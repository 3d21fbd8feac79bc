"""How much a projector decorrelates, by its depth, and what the exponent of the LogSum loss does.

Two further experiments of Miles & Mikolajczyk (AAAI 2024), on digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hilbertsd import plots
from hilbertsd.progress import phases
from hilbertsd.schemes.intervals import interval
from paper_figures.projector_spectrum import step_axis
from paper_figures.publish import FIGURES, TEXT_WIDTH, publish, table
from paper_figures.recorded import MACHINE, recorded
from paper_figures.resumed import remember

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "projector_recipe"
TIMES = (0, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
DEPTHS = (1, 2, 3)
EXPONENTS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
LOOK = ((plots.INK, "-"), ("#d55e00", "--"), ("#cc79a7", ":"))


@dataclass(frozen=True, eq=False)
class ProjectorRecipe:
    """What the figure shows; S seeds, T times, N depths, M exponents.

    Attributes
    ----------
    times
        (T,) steps.
    alignment, raw_alignment
        (N, S, T) linear CKA of the student's features and the projected ones, batch-normalised as
        the loss sees them, and as they leave the projector.
    correlation
        (N, S, T) mean size of the correlation of a feature with a projected feature.
    fit
        (N, S, T) linear CKA of the projected features and the teacher's, both batch-normalised.
    exponents
        (M,) of the LogSum loss.
    accuracy
        (M, S) test accuracy of small students by exponent.
    undistilled, mean_squares, teachers
        One a seed: test accuracy of the same students without distillation, and with the mean
        square of the same normalised gaps; of their teachers.
    settings
        Of both experiments.
    """

    times: np.ndarray
    alignment: np.ndarray
    raw_alignment: np.ndarray
    correlation: np.ndarray
    fit: np.ndarray
    exponents: np.ndarray
    accuracy: np.ndarray
    undistilled: np.ndarray
    mean_squares: np.ndarray
    teachers: np.ndarray
    settings: dict[str, Any]


def cross_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean |correlation| of the columns of (K, p) and (K, q); constant ones left out.

    Examples
    --------
    >>> a = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 0.0]])
    >>> round(cross_correlation(a, -a[:, :1]), 6)            # of |1| and |1/√5|
    0.723607
    """

    def standard(rows: np.ndarray) -> np.ndarray:
        rows = rows - rows.mean(axis=0)
        spread = rows.std(axis=0)
        return rows[:, spread > 0] / spread[spread > 0]

    return float(np.abs(standard(a).T @ standard(b) / len(a)).mean())


def compute(
    seeds: int = 5,
    times: tuple[int, ...] = TIMES,
    samples: int = 1000,
    few_seeds: int = 10,
    few_samples: int = 200,
    few_steps: int = 3000,
    teacher_steps: int = 1500,
) -> ProjectorRecipe:
    """Train students with the recipe: batch normalisation and LogSum."""
    from hilbertsd.nets import network_outputs
    from hilbertsd.nets.supervised import one_hot
    from paper_figures import projection

    teacher, student, small = (128, 64), (64, 32), (16, 16)
    weight_decay, depth_rate, exponent_rate, batch = 5e-4, 0.2, 0.1, 64
    axes = {"x": None, "targets": None, "teacher": 0}
    chosen = {
        "seeds": seeds, "samples": samples, "few_seeds": few_seeds, "few_samples": few_samples,
        "few_steps": few_steps, "teacher_steps": teacher_steps, "teacher": list(teacher),
        "student": list(student), "small": list(small), "weight_decay": weight_decay,
        "learning_rates": [depth_rate, exponent_rate], "batch": batch,
    }  # fmt: skip
    kept = remember(NAME, times=times, **chosen)

    def prepared(which: Any, size: int) -> tuple[Any, dict[str, Any]]:
        given = projection.pair(which, size, teacher, teacher_steps)
        targets = one_hot(given.data.given, 10)
        return given, {"x": given.data.x_train, "targets": targets, "teacher": given.teacher}

    with phases() as phase:
        phase("teachers")
        which = range(seeds)
        given, data = prepared(which, samples)

        @kept
        def of_depth(depth: int) -> list[list[list[float]]]:
            start, state = projection.students(which, student, (teacher[-1],) * depth)
            loss = projection.joint_loss(projection.log_sum(4.0), 1.0, weight_decay)
            run = projection.followed(
                loss, start, state, data, axes, which, times, depth_rate, batch
            )
            return [_relations(model, after, given) for model, after in run]

        measured = []
        for depth in DEPTHS:
            phase(f"projectors of {depth} layers")
            measured.append(of_depth(depth))
        relations = np.moveaxis(np.array(measured), (1, 2, 3), (3, 0, 2))  # (4, N, S, T)
        phase("teachers of few samples")
        which = range(few_seeds)
        given, data = prepared(which, few_samples)
        start, state = projection.students(which, small, (teacher[-1],))

        @kept
        def accuracy(compared: Any, weight: float = 1.0) -> np.ndarray:
            loss = projection.joint_loss(compared, weight, weight_decay)
            run = projection.followed(
                loss, start, state, data, axes, which, (few_steps,), exponent_rate, batch
            )
            model, after = next(run)
            outputs = network_outputs(model.network, after, given.data.x_test)
            return projection.accuracy(outputs, given.data.y_test)

        by_exponent = []
        for exponent in EXPONENTS:
            phase(f"exponent {exponent:g}")
            by_exponent.append(accuracy(projection.log_sum(exponent)))
        phase("without distillation, and with mean squares")
        undistilled = accuracy(projection.mean_square, 0.0)
        mean_squares = accuracy(projection.batch_square)
    return ProjectorRecipe(
        times=np.array(times),
        alignment=relations[0],
        raw_alignment=relations[3],
        correlation=relations[1],
        fit=relations[2],
        exponents=np.array(EXPONENTS),
        accuracy=np.stack(by_exponent),
        undistilled=undistilled,
        mean_squares=mean_squares,
        teachers=given.teacher_accuracy,
        settings=chosen,
    )


def _relations(model: Any, state: Any, given: Any) -> list[list[float]]:
    """Return alignment, correlation, fit and raw alignment, each with one number a seed."""
    import equinox as eqx

    from hilbertsd.nets.features import network_features
    from hilbertsd.objectives.dependence import cka
    from hilbertsd.objectives.features import batch_normalised
    from hilbertsd.objectives.grams import linear

    features = network_features(model.network, state, given.data.x_train)
    projected = np.asarray(
        eqx.filter_vmap(lambda p, f: p(f))(model.projector, features), dtype=float
    )
    found = []
    for f, out, aim in zip(features, projected, given.teacher.astype(float), strict=True):
        seen = np.asarray(batch_normalised(out)), np.asarray(batch_normalised(aim))
        own, sent, wanted, raw = (np.asarray(linear(rows)) for rows in (f, *seen, out))
        aligned, fitted, as_is = (
            float(cka(*pair)) for pair in ((own, sent), (sent, wanted), (own, raw))
        )
        found.append([aligned, cross_correlation(f, out), fitted, as_is])
    return np.transpose(found).tolist()


def plot(data: ProjectorRecipe) -> Figure:
    """Draw the decorrelation over training, and accuracy over the exponent."""
    from matplotlib.figure import Figure

    with plots.house_style():
        figure = Figure(figsize=(TEXT_WIDTH, 2.3))
        a, b, c = figure.subplots(1, 3)
        for axes, values, title in (
            (a, data.alignment, "(a) normalised"),
            (b, data.raw_alignment, "(b) not normalised"),
        ):
            for depth, rows, (color, style) in zip(DEPTHS, values, LOOK, strict=True):
                axes.fill_between(
                    data.times, rows.min(0), rows.max(0), color=color, alpha=0.12, lw=0
                )
                words = "linear" if depth == 1 else f"{depth} layers"
                axes.plot(data.times, rows.mean(0), color=color, ls=style, label=words)
            step_axis(axes, data.times)
            axes.set_title(title)
        low = min(data.alignment.min(), data.raw_alignment.min())
        for axes in (a, b):
            axes.set_ylim(low - 0.03, 1.01)
        a.set_ylabel("CKA in and out")
        a.legend(loc="lower center")
        means, halves = np.array([interval(rows) for rows in 100 * data.accuracy]).T
        c.errorbar(data.exponents, means, halves, fmt="o-", color=plots.INK, ms=3, capsize=2)
        for values, color, style, words in (
            (data.undistilled, plots.GREY, "--", "alone"),
            (data.mean_squares, "#d55e00", ":", "mean squares"),
        ):
            mean, half = interval(100 * values)
            c.axhspan(mean - half, mean + half, color=color, alpha=0.12, lw=0)
            c.axhline(mean, color=color, ls=style, label=words)
        c.set(xlabel="exponent of LogSum", ylabel="test accuracy (%)", title="(c) loss")
        c.set_xticks(data.exponents)
        c.legend(loc="lower left")
        plots.settle(figure)
    return figure


def caption(data: ProjectorRecipe) -> str:
    """Say what was found, in the numbers of the runs."""
    chosen = data.settings

    def span(values: np.ndarray) -> str:
        peak = values.mean(axis=0).argmax()
        top, last = values[:, peak], values[:, -1]
        return f"{top.mean():.2f} to {last.mean():.2f} ± {last.std(ddof=1):.2f}"

    def course(rows: np.ndarray) -> str:
        return f"{rows[:, 0].mean():.2f} to {rows[:, -1].mean():.2f}"

    depths = zip(
        ("one", "two", "three"),
        data.alignment,
        data.raw_alignment,
        data.correlation,
        data.fit,
        strict=True,
    )
    by_depth = table(
        ("layers", "(a) peak to end", "(b) peak to end", "correlations", "CKA with teacher"),
        [
            (layers, span(aligned), span(raw), course(correlated), f"{fit[:, -1].mean():.2f}")
            for layers, aligned, raw, correlated, fit in depths
        ],
    )
    gains = [interval(100 * (rows - data.undistilled)) for rows in data.accuracy]
    gains.append(interval(100 * (data.mean_squares - data.undistilled)))
    by_exponent = table(
        ("exponent", *(f"{exponent:g}" for exponent in data.exponents), "mean squares"),
        [("gain", *(f"{mean:+.1f} ± {half:.1f}" for mean, half in gains))],
    )
    alone, alone_half = interval(100 * data.undistilled)
    return f"""
**The projector's depth and the exponent of its loss** (after Miles & Mikolajczyk, AAAI 2024).
(a) Linear CKA of the student's features and the projected ones, batch-normalised as the loss sees
them: projectors of all depths decorrelate the two a little as training goes on. (b) The same of
what leaves the projector, whose scales the loss does not see: most of the decorrelation is there.
The mean size of the correlations between single features does not fall (start to end). (c) Test
accuracy over the exponent of LogSum.

{by_depth}

Gain over the same student alone, in points:

{by_exponent}

Digits, batch normalisation after the projection. (a), (b) {chosen["samples"]} training points,
LogSum with exponent 4, {chosen["seeds"]} seeds, mean and range, steps linear up to
{data.times[1]:g}, then logarithmic; table: ± standard deviation. (c)
Hidden layers {chosen["small"]}, {chosen["few_samples"]} points, {chosen["few_seeds"]} seeds, mean
and 95 % interval; alone {alone:.1f} ± {alone_half:.1f} %, teachers
{100 * data.teachers.mean():.1f} %.
"""


def main(folder: Path = FIGURES, *, recompute: bool = False, machine: str = MACHINE) -> list[Path]:
    """Draw the figure from its recorded data, measured again if asked."""
    data = recorded(NAME, ProjectorRecipe, compute, recompute=recompute, machine=machine)
    return publish(plot(data), caption(data), NAME, folder)


if __name__ == "__main__":
    main()
