"""Students of E teachers on multi-view data: which share of the single-view samples they miss."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hilbertsd import plots
from paper_figures.multi_view import (
    Setting,
    by_feature,
    changed,
    committee_kernels,
    committee_outputs,
    fit,
    measure,
    member,
    objective,
    problem,
    recognition,
    start,
)
from paper_figures.publish import FIGURES, TEXT_WIDTH, publish, table
from paper_figures.recorded import MACHINE, machine_of, recorded
from paper_figures.resumed import each

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "fkd_multi_view"
SEEDS = tuple(range(1, 11))
"""Data sets with nine networks each; seed 0 was used to choose the settings."""
SIZES = (1, 2, 4, 8)
"""E, teachers in a committee."""
STEPS = (200, 800)
"""Steps of a student after which it is measured; momentum starts again in between."""
STUDENT = {"momentum": 0.95}
"""What is changed for students: the objectives have slow directions."""


@dataclass(frozen=True)
class Method:
    """How a student is trained, see `objective`."""

    kind: str
    weight: float = 0.0
    norm_weight: float = 0.0
    trained_start: bool = True
    """Whether it goes on from the network trained alone, or begins where that one began."""


METHODS = {
    "FKD": Method("correlation", 30.0),
    "KD": Method("kd", 4.0),
    "alone": Method("alone"),
}
"""On all data sets."""
REGULARISER = 1e-4
VARIANTS = {
    "FKD, untrained": replace(METHODS["FKD"], trained_start=False),
    "KD, untrained": replace(METHODS["KD"], trained_start=False),
    "FKD, linear kernel": Method("linear", 5e-4),
    "FKD, regularised": replace(METHODS["FKD"], norm_weight=REGULARISER),
    "alone, regularised": replace(METHODS["alone"], norm_weight=REGULARISER),
}
"""On the first few data sets."""
VARIED = 5
MEASURED: dict[str, Callable[[Any], Any]] = {
    "miss_rate": lambda found: found.miss_rate,
    "missed": lambda found: found.missed.mean((1, 2)),
    "multi_view_error": lambda found: found.multi_view_error,
    "fitted": lambda found: found.fitted,
}
"""Of students, from what `measure` returns."""


@dataclass(frozen=True, eq=False)
class Students:
    """What n data sets gave; M methods, T times, four sizes E, k classes.

    Attributes
    ----------
    miss_rate, missed, multi_view_error, fitted
        (n, M, T, 4) of the students: error on single-view test samples, share of features whose
        samples are mostly wrong, error on multi-view test samples, training accuracy. "alone" has
        no teacher and the same number for every E.
    variant_miss_rate, variant_multi_view_error
        (n', V, T, 4) of the variants, on the first n' data sets.
    committee
        (n, 4) error of the committees' mean logits on single-view test samples.
    alone_errors
        (n, 9, k, 2) errors of the eight teachers and, last, of the student's own network, trained
        alone, on the single-view samples of each feature.
    student_errors
        (n, 4, k, 2) the same of the FKD students at the last time.
    recognition_alone, recognition_committee, recognition_student
        (n, 9, k, 2), (n, 4, k, 2) and (n, 4, k, 2), see `recognition`: of the networks' kernels, of
        the committees' mean kernels, and of the FKD students' at the last time.
    setting, student, methods, variants
        Of the networks alone, what is changed for students, and how these are trained.
    steps, sizes, seeds
        T, E and the data sets.
    """

    miss_rate: np.ndarray
    missed: np.ndarray
    multi_view_error: np.ndarray
    fitted: np.ndarray
    variant_miss_rate: np.ndarray
    variant_multi_view_error: np.ndarray
    committee: np.ndarray
    alone_errors: np.ndarray
    student_errors: np.ndarray
    recognition_alone: np.ndarray
    recognition_committee: np.ndarray
    recognition_student: np.ndarray
    setting: dict[str, Any]
    student: dict[str, Any]
    methods: dict[str, Any]
    variants: dict[str, Any]
    steps: list[int]
    sizes: list[int]
    seeds: list[int]


def run(
    seed: int,
    setting: dict[str, Any],
    student: dict[str, Any],
    methods: dict[str, Any],
    steps: list[int],
    sizes: list[int],
    test: int = 800,
) -> dict[str, Any]:
    """Train the networks alone and all students of one data set, and measure them."""
    base = Setting(**setting)
    data = problem(base, seed, test)
    count = max(sizes)
    untrained = start(base, count + 1, seed)
    trained = fit(base, untrained, data, objective("alone"), seed=seed)
    alone = measure(trained, data)
    kernels = committee_kernels(trained, data.x, tuple(sizes))
    targets = {
        "kd": committee_outputs(trained, data.x, tuple(sizes)),
        "correlation": kernels,
        "linear": kernels,
    }
    votes = committee_outputs(trained, data.x_single, tuple(sizes)).argmax(-1)

    def recognised(networks: Any, groups: list[tuple[int, ...]]) -> list[Any]:
        return [
            recognition(
                committee_kernels(member(networks, g), data.x_single, (len(g),))[0], data
            ).tolist()
            for g in groups
        ]

    found: dict[str, Any] = {}
    for name, values in methods.items():
        method = Method(**values)
        loss = objective(method.kind, method.weight, method.norm_weight)
        target = targets.get(method.kind)
        copies = 1 if target is None else len(sizes)
        networks = member(trained if method.trained_start else untrained, [count] * copies)
        rows, done = [], 0
        for step in steps:
            pace = changed(base, **student, steps=step - done)
            networks = fit(pace, networks, data, loss, target, seed)
            rows.append(measure(networks, data))
            done = step
        found[name] = {
            field: [np.broadcast_to(value(row), len(sizes)).tolist() for row in rows]
            for field, value in MEASURED.items()
        }
        if name == "FKD":
            found["student_errors"] = rows[-1].errors.tolist()
            found["recognition_student"] = recognised(networks, [(i,) for i in range(len(sizes))])
    return found | {
        "committee": by_feature(votes != data.y_single, data).mean((1, 2)).tolist(),
        "alone_errors": alone.errors.tolist(),
        "recognition_alone": recognised(trained, [(i,) for i in range(count + 1)]),
        "recognition_committee": recognised(trained, [tuple(range(size)) for size in sizes]),
    }


def compute(
    seeds: tuple[int, ...] = SEEDS,
    varied: int = VARIED,
    setting: Setting | None = None,
    steps: tuple[int, ...] = STEPS,
    sizes: tuple[int, ...] = SIZES,
    test: int = 800,
    folder: Path | None = None,
) -> Students:
    """Run all data sets, and the variants on the first ``varied`` of them."""
    common = {
        "setting": dataclasses.asdict(setting or Setting()),
        "student": STUDENT,
        "steps": list(steps),
        "sizes": list(sizes),
    }
    plain = [
        {name: dataclasses.asdict(m) for name, m in methods.items()}
        for methods in (METHODS, VARIANTS)
    ]
    parts = [
        {"seed": seed, "methods": methods, **common, "test": test}
        for methods, some in zip(plain, (seeds, seeds[:varied]), strict=True)
        for seed in some
    ]
    measured = each(NAME, parts, run, *([] if folder is None else [folder]))
    rows, variants = measured[: len(seeds)], measured[len(seeds) :]

    def of_students(field: str, rows: list[dict[str, Any]], methods: Any) -> np.ndarray:
        return np.array([[row[name][field] for name in methods] for row in rows])

    numbers = {field: of_students(field, rows, METHODS) for field in MEASURED} | {
        f"variant_{field}": of_students(field, variants, VARIANTS)
        for field in ("miss_rate", "multi_view_error")
    }
    others = {
        f.name: np.array([row[f.name] for row in rows])
        for f in dataclasses.fields(Students)
        if f.name in rows[0]
    }
    named = {"methods": plain[0], "variants": plain[1], "seeds": list(seeds)}
    fields_of: dict[str, Any] = {**numbers, **others, **common, **named}
    return Students(**fields_of)


# --- what the figure and its caption say


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and half-width of the 95 % interval (Student's t) over the first axis."""
    from scipy.stats import t

    n = len(values)
    width = t.ppf(0.975, n - 1) * values.std(0, ddof=1) / np.sqrt(n) if n > 1 else 0 * values[0]
    return values.mean(0), width


def unseen(data: Students) -> np.ndarray:
    """Return (n, 4) the share of features that all E teachers and the own network miss."""
    missed = data.alone_errors > 0.5
    own = missed[:, -1]
    return np.stack([(own & missed[:, :size].all(1)).mean((1, 2)) for size in data.sizes], axis=1)


def unions(data: Students) -> dict[str, np.ndarray]:
    """Return mean recognition (4,) by committees and members of what some member knows or none.

    "known": the committee's, of features that one of its members classifies by; "best": its best
    member's of these; "average": its members' mean of these; "unknown": the committee's, of
    features that all members miss (NaN where there is none).
    """
    found: dict[str, list[float]] = {"known": [], "best": [], "average": [], "unknown": []}
    for e, size in enumerate(data.sizes):
        known = (data.alone_errors[:, :size] <= 0.5).any(1)
        committee, members = data.recognition_committee[:, e], data.recognition_alone[:, :size]
        found["known"].append(committee[known].mean())
        found["best"].append(members.max(1)[known].mean())
        found["average"].append(members.mean(1)[known].mean())
        found["unknown"].append(committee[~known].mean() if (~known).any() else np.nan)
    return {name: np.array(values) for name, values in found.items()}


def transfer(data: Students) -> dict[str, np.ndarray]:
    """Return shares (4,) of features that FKD students know after all, NaN where there are none.

    "learned": of those that the student's own network misses and a teacher knows; "kept": of those
    that the own network knows and every teacher misses; "shared": that own network and a teacher
    know.
    """
    known, student = data.alone_errors <= 0.5, data.student_errors <= 0.5
    own = known[:, -1]
    found: dict[str, list[float]] = {"learned": [], "kept": [], "shared": []}
    for e, size in enumerate(data.sizes):
        taught = known[:, :size].any(1)
        for name, chosen in {
            "learned": ~own & taught,
            "kept": own & ~taught,
            "shared": own & taught,
        }.items():
            found[name].append(student[:, e][chosen].mean() if chosen.any() else np.nan)
    return {name: np.array(values) for name, values in found.items()}


FKD, KD, THEORY = "#0b7a75", "#d55e00", "#882255"
LOOKS: dict[str, dict[str, Any]] = {
    "FKD, untrained": {"color": FKD, "marker": "o", "ls": "--"},
    "KD, untrained": {"color": KD, "marker": "o", "ls": "--"},
    "FKD, linear kernel": {"color": "#e69f00", "marker": "s"},
    "FKD, regularised": {"color": FKD, "marker": "v"},
    "alone, regularised": {"color": plots.INK, "marker": "v", "ls": ":"},
}
RECOGNISED: dict[str, tuple[str, dict[str, Any]]] = {
    "known": ("committee", {"color": plots.INK, "marker": "s"}),
    "best": ("best member", {"color": FKD, "marker": "x", "ls": ""}),
    "average": ("mean of members", {"color": THEORY, "marker": "o", "ls": ":"}),
    "unknown": ("committee, of what\nno member knows", {"color": KD, "marker": "v", "ls": "--"}),
}


def plot(data: Students) -> Figure:
    """Draw miss rates over E, the variants, and what kernels recognise."""
    from matplotlib.figure import Figure

    E = np.array(data.sizes)
    with plots.house_style():
        figure = Figure(figsize=(TEXT_WIDTH, 4.6))
        a, b, c, d = figure.subplots(2, 2).flat

        def line(axes: Any, values: np.ndarray, shift: float, **look: Any) -> None:
            mean, width = interval(values)
            look = {"lw": 1.1, "ms": 3.5, "capsize": 1.5, "elinewidth": 0.7} | look
            axes.errorbar(E * 2**shift, mean, width, **look)

        last = dict(zip(data.methods, np.moveaxis(data.miss_rate[:, :, -1], 1, 0), strict=True))
        line(a, last["alone"], -0.06, color=plots.INK, marker="o", ls=":", label="student alone")
        line(a, data.committee, 0.06, color=plots.GREY, marker="^", label="committee")
        line(a, last["FKD"], -0.18, color=FKD, marker="s", label="FKD student")
        line(a, last["KD"], 0.18, color=KD, marker="D", label="KD student")
        a.plot(E, unseen(data).mean(0), "x", ms=4, color=THEORY, label="known to no network")
        a.plot(E, 0.5 ** (E + 1), color=THEORY, lw=0.9, ls=(0, (4, 2)), label="$2^{-(E+1)}$")
        a.set_title("(a) students of all data sets")
        variants = zip(
            data.variants, np.moveaxis(data.variant_miss_rate[:, :, -1], 1, 0), strict=True
        )
        panels = {True: c, False: b}
        for name, values in variants:
            axes = panels[data.variants[name]["trained_start"]]
            shift = 0.12 * (len(axes.containers) - (1 if axes is c else 0.5))
            line(axes, values, shift, label=name, mfc="white", **LOOKS[name])
        b.set_title("(b) from an untrained start")
        c.set_title("(c) other kernel, and regulariser")
        seen = unions(data)
        for name, (text, look) in RECOGNISED.items():
            d.plot(E, seen[name], ms=3.5, lw=1, label=text, mfc="white", **look)
        d.set(title="(d) recognition by kernels", ylim=(0.35, 1.03))
        for axes in (a, b, c):
            axes.set(ylim=(-0.02, 0.6), yticks=(0, 0.1, 0.2, 0.3, 0.4, 0.5))
        for axes in (a, c):
            axes.set_ylabel("single-view error")
        for axes in (a, b, c, d):
            axes.set(xscale="log", xticks=E, xticklabels=E, xlabel="teachers $E$")
            axes.minorticks_off()
            axes.legend(
                loc="lower right" if axes is d else "upper right",
                ncols=2 if axes is a else 1,
                fontsize=7,
                handlelength=1.8,
            )
        plots.settle(figure)
    return figure


def _numbers(values: np.ndarray) -> list[str]:
    mean, width = interval(values)
    return [f"{m:.3f} ± {w:.3f}" for m, w in zip(mean, width, strict=True)]


def _plain(values: np.ndarray, digits: int = 3) -> list[str]:
    return [f"{value:.{digits}f}" if np.isfinite(value) else "" for value in values]


def caption(data: Students) -> str:
    """Say what the panels show, in the numbers of the record."""
    first, last = (
        dict(zip(data.methods, np.moveaxis(data.miss_rate[:, :, t], 1, 0), strict=True))
        for t in (0, -1)
    )
    known, moved = unions(data), transfer(data)
    early, late = data.steps
    alone = _numbers(data.alone_errors[:, -1].mean((1, 2))[:, None])[0]
    rates = table(
        ("teachers E", *map(str, data.sizes)),
        [
            (f"alone, {late} more steps", *_numbers(last["alone"])),
            ("committee, by its mean logits", *_numbers(data.committee)),
            ("FKD", *_numbers(last["FKD"])),
            (f"FKD after {early} of the {late} steps", *_numbers(first["FKD"])),
            ("KD", *_numbers(last["KD"])),
            (f"KD after {early} steps", *_numbers(first["KD"])),
            ("2^(−(E+1))", *_plain(0.5 ** (np.array(data.sizes) + 1))),
            ("known to no network", *_plain(unseen(data).mean(0))),
            ("FKD learned", *_plain(moved["learned"], 2)),
            ("FKD kept", *_plain(moved["kept"][:2], 2), *("" for _ in data.sizes[2:])),
            ("committee's kernel recognises", *_plain(known["known"])),
            ("best member's", *_plain(known["best"])),
            ("members' on average", *_plain(known["average"])),
        ],
    )
    return f"""
**Students of E teachers on multi-view data.** Error on single-view test samples: networks alone
have {alone}. (a) Students of more teachers miss fewer features, by FKD and by KD, near the theory's
2^(−(E+1)); crosses are the share of features that neither a teacher nor the student's own network
knows. (b) The same students from an untrained start, where FKD does not help. (c) FKD with the
linear kernel, and with a feature regulariser beside the regulariser alone. (d) Probability that two
samples which share a feature correlate more than two of different classes do, over the features
that some member classifies by: the committee's mean kernel has what its best member has.

{rates}

"FKD learned": of the features that the students had missed and a teacher knew, the share that they
know after all; "kept": of those that they had known and no teacher did, which are few from
E = {data.sizes[2]} on. Means over
{len(data.seeds)} data sets with 95 % intervals, all features alike; (b) and (c) on the first
{len(data.variant_miss_rate)}. Measured on {machine_of(NAME)}.
"""


def main(folder: Path = FIGURES, *, recompute: bool = False, machine: str = MACHINE) -> list[Path]:
    """Read or measure, draw and write the figure."""
    data = recorded(NAME, Students, compute, recompute=recompute, machine=machine)
    return publish(plot(data), caption(data), NAME, folder)


if __name__ == "__main__":
    main()
