"""Students of E teachers on multi-view data: which share of the single-view samples they miss.

The figure `fkd_multi_view` draws what is measured here, in the default regime and in the clearest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from paper_figures.multi_view import (
    TOWARDS_THEORY,
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
from paper_figures.resumed import each

NAME = "fkd_multi_view"
"""Of the figure and of its record of the default regime."""
CLEAREST = f"{NAME}-clearest"
"""The record of the regime in which networks alone miss most."""
LONGER = f"{CLEAREST}-longer"
"""The record of students there that are trained longer."""
SEEDS = tuple(range(1, 11))
"""Data sets with nine networks each; seed 0 was used to choose the settings."""
SIZES = (1, 2, 4, 8)
"""E, teachers in a committee."""
STEPS = (200, 800)
"""Steps of a student after which it is measured; momentum starts again in between."""
STUDENT = {"momentum": 0.95}
"""What is changed for students: the objectives have slow directions."""
CLEAREST_STUDENT = STUDENT | {"learning_rate": 16.0}
CLEAREST_STEPS = (400, 1600)
"""Twice the threshold makes slopes below it 2³ times smaller: 4 times the rate, twice as long."""
LONGER_STEPS = (1600, 6400)


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
    student: dict[str, Any] = STUDENT,
    steps: tuple[int, ...] = STEPS,
    sizes: tuple[int, ...] = SIZES,
    test: int = 800,
    folder: Path | None = None,
    record: str = NAME,
) -> Students:
    """Run all data sets, and the variants on the first ``varied`` of them."""
    common = {
        "setting": dataclasses.asdict(setting or Setting()),
        "student": student,
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
    measured = each(record, parts, run, *([] if folder is None else [folder]))
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


def compute_clearest(
    record: str = CLEAREST,
    seeds: tuple[int, ...] = SEEDS,
    steps: tuple[int, ...] = CLEAREST_STEPS,
) -> Students:
    """Run all data sets in the regime in which networks alone miss most, without variants."""
    return compute(
        seeds=seeds,
        varied=0,
        setting=changed(Setting(), **TOWARDS_THEORY),
        student=CLEAREST_STUDENT,
        steps=steps,
        record=record,
    )


def compute_longer() -> Students:
    """Run the first few of these data sets again, with students trained four times as long."""
    return compute_clearest(LONGER, SEEDS[:VARIED], LONGER_STEPS)


# --- what the record says


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


def learned(data: Students) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return, for each E, by how many members know a feature that the student's own network misses.

    Two arrays (E + 1,): the number of such features, and the share of them that the FKD student
    knows after all (NaN where there are none).
    """
    known, student = data.alone_errors <= 0.5, data.student_errors <= 0.5
    found = []
    for e, size in enumerate(data.sizes):
        knowing = known[:, :size].sum(1)[~known[:, -1]]
        after = student[:, e][~known[:, -1]]
        count, taught = (np.bincount(knowing, w, size + 1) for w in (None, after))
        found.append((count, np.where(count > 0, taught / np.maximum(count, 1), np.nan)))
    return found
