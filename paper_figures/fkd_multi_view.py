"""Students of E teachers on multi-view data, in the default regime and in the clearest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hilbertsd import plots
from paper_figures.multi_view_students import (
    CLEAREST,
    LONGER,
    NAME,
    Students,
    compute,
    compute_clearest,
    compute_longer,
    interval,
    learned,
    transfer,
    unions,
    unseen,
)
from paper_figures.publish import FIGURES, TEXT_WIDTH, publish, table
from paper_figures.recorded import MACHINE, machine_of, recorded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEPT = 2
"""Sizes E for which enough features are known to the student's own network alone."""
ENOUGH = 5
"""Features of a share that is drawn."""
FKD, KD, THEORY = "#0b7a75", "#d55e00", "#882255"
LOOKS: dict[str, dict[str, Any]] = {
    "FKD, untrained": {"color": FKD, "marker": "o", "ls": "--"},
    "KD, untrained": {"color": KD, "marker": "o", "ls": "--"},
    "FKD, linear kernel": {"color": "#e69f00", "marker": "s"},
    "FKD, regularised": {"color": FKD, "marker": "v"},
    "alone, regularised": {"color": plots.INK, "marker": "v", "ls": ":"},
}
TAUGHT: tuple[dict[str, Any], ...] = (
    {"color": plots.INK, "marker": "x", "ms": 6, "ls": "", "zorder": 3},
    {"color": THEORY, "marker": "D", "ms": 3.5, "mfc": "white"},
    {"color": "#e69f00", "marker": "^", "ms": 3.5, "mfc": "white"},
    {"color": FKD, "marker": "s", "ms": 3.5},
)
"""Of 1, 2, 4 and 8 teachers."""
BESIDE = {"committee": -0.24, "FKD": -0.08, "KD": 0.08, "unseen": 0.24}
"""Octaves by which points of the same E are set apart."""
RECOGNISED: dict[str, tuple[str, dict[str, Any]]] = {
    "known": ("committee", {"color": plots.INK, "marker": "s"}),
    "best": ("best member", {"color": FKD, "marker": "x", "ls": ""}),
    "average": ("mean of members", {"color": THEORY, "marker": "o", "ls": ":"}),
    "unknown": ("committee, of what\nno member knows", {"color": KD, "marker": "v", "ls": "--"}),
}


def plot(data: Students, clearest: Students, longer: Students) -> Figure:
    """Draw miss rates over E in both regimes, the variants, and what is recognised and learned."""
    from matplotlib.figure import Figure

    E = np.array(data.sizes)
    with plots.house_style():
        figure = Figure(figsize=(TEXT_WIDTH, 6.8))
        a, b, c, d, e, f = figure.subplots(3, 2).ravel()
        _students(a, data)
        _students(b, clearest)
        for name, color, marker in (("FKD", FKD, "s"), ("KD", KD, "D")):
            look = {
                "color": color,
                "marker": marker,
                "ls": "--",
                "mfc": "white",
                "ms": 3,
                "lw": 0.8,
            }
            text = f"{name}, {longer.steps[-1]} steps"
            b.plot(E * 2 ** BESIDE[name], _rates(longer, -1)[name].mean(0), label=text, **look)
        a.set_title("(a) default regime")
        b.set_title("(b) clearest regime")
        variants = np.moveaxis(data.variant_miss_rate[:, :, -1], 1, 0)
        for name, values in zip(data.variants, variants, strict=True):
            axes = {True: d, False: c}[data.variants[name]["trained_start"]]
            shift = 0.12 * (len(axes.containers) - (1 if axes is d else 0.5))
            _line(axes, E * 2**shift, values, label=name, mfc="white", **LOOKS[name])
        c.set_title("(c) from an untrained start")
        d.set_title("(d) other kernel, and regulariser")
        seen = unions(data)
        for name, (text, look) in RECOGNISED.items():
            e.plot(E, seen[name], ms=3.5, lw=1, label=text, mfc="white", **look)
        e.set(title="(e) recognition by kernels", ylim=(0.35, 1.03))
        for size, (count, share), look in zip(E, learned(clearest), TAUGHT, strict=True):
            members = np.flatnonzero((np.arange(size + 1) > 0) & (count >= ENOUGH))
            f.plot(members / size, share[members], label=f"$E = {size}$", lw=1, **look)
        f.set(title="(f) learned, clearest regime", xlim=(0, 1.05), ylim=(-0.03, 1.05))
        f.set(xlabel="share of the teachers that know it", ylabel="share of features")
        for axes in (a, b, c, d):
            top = 0.7 if axes in (a, b) else 0.55
            axes.set(ylim=(-0.02, top), yticks=(0, 0.1, 0.2, 0.3, 0.4, 0.5))
        for axes in (a, c):
            axes.set_ylabel("single-view error")
        for axes in (a, b, c, d, e):
            axes.set(xscale="log", xticks=E, xticklabels=E, xlabel="teachers $E$")
            axes.set_xlim(0.72, 11.1)
            axes.minorticks_off()
        open_points = [line for line in b.get_lines() if line.get_markerfacecolor() == "white"]
        b.legend(handles=open_points, loc="upper right", fontsize=7, handlelength=2.6)
        for axes in (a, c, d, e, f):
            axes.legend(
                loc="lower right" if axes in (e, f) else "upper right",
                ncols=2 if axes is a else 1,
                fontsize=7,
                handlelength=1.8,
            )
        plots.settle(figure)
    return figure


def _line(axes: Any, at: np.ndarray, values: np.ndarray, **look: Any) -> None:
    mean, width = interval(values)
    look = {"lw": 1.1, "ms": 3.5, "capsize": 1.5, "elinewidth": 0.7} | look
    axes.errorbar(at, mean, width, **look)


def _students(axes: Any, data: Students) -> None:
    """Draw the students of one regime, beside each other where they would cover each other."""
    E, last = np.array(data.sizes), _rates(data, -1)
    mean, width = (values[0] for values in interval(last["alone"]))
    axes.axhspan(mean - width, mean + width, color=plots.BAND, alpha=0.6, lw=0, zorder=0)
    axes.axhline(mean, color=plots.INK, lw=1, ls=":", label="student alone")
    axes.plot(E, 0.5 ** (E + 1), color=THEORY, lw=0.9, ls=(0, (4, 2)), label="$2^{-(E+1)}$")
    at = E * 2 ** BESIDE["unseen"]
    axes.plot(at, unseen(data).mean(0), "x", ms=4, color=THEORY, label="no network knows")
    looks = (("committee", plots.GREY, "^"), ("FKD", FKD, "s"), ("KD", KD, "D"))
    for name, color, marker in looks:
        text, values = (
            (name, data.committee) if name == "committee" else (f"{name} student", last[name])
        )
        _line(
            axes,
            E * 2 ** BESIDE[name],
            values,
            color=color,
            marker=marker,
            label=text,
            ms=3,
            lw=0.9,
        )


def _rates(data: Students, time: int) -> dict[str, np.ndarray]:
    """Return the students' miss rates (n, 4) by method."""
    return dict(zip(data.methods, np.moveaxis(data.miss_rate[:, :, time], 1, 0), strict=True))


def _numbers(values: np.ndarray) -> list[str]:
    mean, width = interval(values)
    return [f"{m:.3f} ± {w:.3f}" for m, w in zip(mean, width, strict=True)]


def _plain(values: np.ndarray, digits: int = 3) -> list[str]:
    return [f"{value:.{digits}f}" if np.isfinite(value) else "" for value in values]


def rates(data: Students, longer: Students | None = None) -> str:
    """Return the table of one regime, with those students that were trained longer."""
    first, last, known, moved = _rates(data, 0), _rates(data, -1), unions(data), transfer(data)
    early, late = data.steps
    more = (
        []
        if longer is None
        else [
            (f"{name} after {longer.steps[-1]} steps", *_numbers(_rates(longer, -1)[name]))
            for name in ("FKD", "KD")
        ]
    )
    return table(
        ("teachers E", *map(str, data.sizes)),
        [
            (f"alone, {late} more steps", *_numbers(last["alone"])),
            ("committee, by its mean logits", *_numbers(data.committee)),
            ("FKD", *_numbers(last["FKD"])),
            (f"FKD after {early} of the {late} steps", *_numbers(first["FKD"])),
            ("KD", *_numbers(last["KD"])),
            (f"KD after {early} steps", *_numbers(first["KD"])),
            *more,
            ("2^(−(E+1))", *_plain(0.5 ** (np.array(data.sizes) + 1))),
            ("known to no network", *_plain(unseen(data).mean(0))),
            ("FKD learned", *_plain(moved["learned"], 2)),
            ("FKD kept", *_plain(moved["kept"][:KEPT], 2), *("" for _ in data.sizes[KEPT:])),
            ("committee's kernel recognises", *_plain(known["known"])),
            ("best member's", *_plain(known["best"])),
            ("members' on average", *_plain(known["average"])),
            ("committee's, of what no member knows", *_plain(known["unknown"])),
        ],
    )


def caption(data: Students, clearest: Students, longer: Students) -> str:
    """Say what the panels show, in the numbers of the records."""
    alone, most = (
        _numbers(of.alone_errors[:, -1].mean((1, 2))[:, None])[0] for of in (data, clearest)
    )
    E, seen = np.array(data.sizes), unions(data)["unknown"]
    of = clearest.setting
    return f"""
**Students of E teachers on multi-view data.** Error on single-view test samples. (a) Students that
go on from a network trained alone, whose error is {alone}: those of more teachers miss fewer
features, by FKD and by KD, near the theory's 2^(−(E+1)). Dotted, with its interval in grey: the
same network trained on without a teacher. Crosses: the share of features that neither a teacher nor
the student's own network knows. Points of one E are set side by side. (b) The same in the clearest
regime of the search ({of["classes"]} classes, threshold {of["threshold"]:g}, no single-view
training samples), where a network alone has {most}. Open points: students that are trained
{longer.steps[-1] // clearest.steps[-1]} times as long, on the first {len(longer.seeds)} data sets.
(c) to (e) are of the regime of (a). (c) The
same students from an untrained start, where FKD does not help. (d) FKD with the linear kernel, and
with a feature regulariser beside the regulariser alone. (e) Probability that two samples which
share a feature correlate more than two of different classes do (1/2: the kernel knows nothing of
the feature), over the features that some member classifies by: the committee's mean kernel has what
its best member has. Orange: the committee's over the features that none of its members classifies
by; it ends at E = {E[np.isfinite(seen)].max()}, as no such feature is left beyond. (f) Of the
features that the students in (b) had missed, the share that they know after FKD, by the share of
their E teachers that know it (shares of {ENOUGH} features and more).

Default regime, (a):

{rates(data)}

Clearest regime, (b):

{rates(clearest, longer)}

"FKD learned": of the features that the students had missed and a teacher knew, the share that they
know after FKD. "Kept": of those that they had known and no teacher did, which are few from
E = {E[KEPT]} on. Means over {len(data.seeds)} data sets with 95 % intervals, all features alike;
(c), (d) and {longer.steps[-1]} steps on the first {len(data.variant_miss_rate)}. FKD has
weight {data.methods["FKD"]["weight"]:g} and the correlation kernel, KD temperature
{data.methods["KD"]["weight"]:g} in both regimes; students take {data.steps[-1]} steps at the
learning rate {data.setting["learning_rate"]:g} in (a), {clearest.steps[-1]} at
{clearest.student["learning_rate"]:g} in (b). Measured on {machine_of(NAME)}.
"""


def main(folder: Path = FIGURES, *, recompute: bool = False, machine: str = MACHINE) -> list[Path]:
    """Read or measure, draw and write the figure."""
    asked: dict[str, Any] = {"recompute": recompute, "machine": machine}
    data = recorded(NAME, Students, compute, **asked)
    clearest = recorded(CLEAREST, Students, compute_clearest, **asked)
    longer = recorded(LONGER, Students, compute_longer, **asked)
    students = (data, clearest, longer)
    return publish(plot(*students), caption(*students), NAME, folder)


if __name__ == "__main__":
    main()
