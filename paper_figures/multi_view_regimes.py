"""When does a network alone miss features? One factor at a time around the default setting."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import numpy as np

from hilbertsd import plots
from hilbertsd.nets import feature_scores
from paper_figures.multi_view import (
    TOWARDS_THEORY,
    Setting,
    changed,
    fit,
    measure,
    objective,
    problem,
    start,
)
from paper_figures.publish import FIGURES, TEXT_WIDTH, publish
from paper_figures.recorded import MACHINE, machine_of, recorded
from paper_figures.resumed import each

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "multi_view_regimes"
SEEDS = (1, 2)
"""Data sets; seed 0 was used to find the default setting."""
NETWORKS = 5
"""On each data set."""
FITTED = 0.99
"""Networks that classify fewer of their training samples as given are left out."""
WANTED = 0.2
"""The miss rate from which on a regime counts as one in which features are missed."""

FACTORS: dict[str, list[Any]] = {
    "scale": [0.03, 0.06, 0.1, 0.2, 0.35],
    "threshold": [0.25, 0.5, 1.0, 2.0, 4.0],
    "q": [2, 3, 4, 5],
    "width": [2, 3, 6, 12, 24],
    "noise": [0.0, 0.05, 0.1, 0.15, 0.2],
    "dimension": [32, 64, 128, 256],
    "single_view": [0.0, 0.02, 0.05, 0.1, 0.2, 0.4],
    "samples": [100, 200, 300, 600, 1000],
    "weak": [0.0, 0.1, 0.2, 0.4],
    "distractor_strength": [0.0, 0.2, 0.4, 0.6],
    "label_noise": [0.0, 0.05, 0.1, 0.2],
    "classes": [4, 8, 12],
    "learning_rate": [0.5, 1.0, 4.0, 16.0],
    "steps": [75, 150, 300, 600, 2400],
}
LABELS = {
    "scale": r"initial scale $\sigma_0$",
    "threshold": r"threshold $\varrho$",
    "q": r"power $q$",
    "width": r"width $m$",
    "noise": r"noise $\sigma_p$",
    "dimension": r"dimension $d$",
    "single_view": r"single-view share $\mu$",
    "samples": "training samples",
    "weak": r"weak strength $\rho$",
    "distractor_strength": "distractor strength",
    "label_noise": "label noise",
    "classes": r"classes $k$",
    "learning_rate": "learning rate",
    "steps": "steps",
}
SLOW = {"scale": {0.03: 3000, 0.06: 1200}, "threshold": {4.0: 1200}, "q": {5: 1200}}
"""Steps where the default number does not suffice to leave the start."""
SMALL_TRIAL = {
    "classes": 10,
    "dimension": 64,
    "width": 8,
    "threshold": 1.0,
    "scale": 0.3,
    "single_view": 0.2,
}
SLOW_DESCENT = {"momentum": 0.0, "learning_rate": 2.0, "steps": 2400}
OTHERS: dict[str, dict[str, Any]] = {
    "gradient descent without momentum": {"momentum": 0.0, "steps": 2400},
    "SGD, batches of 32, no momentum": SLOW_DESCENT | {"batch": 32},
    "Adam, learning rate 0.001": {"optimizer": "adam", "learning_rate": 0.001, "steps": 1200},
    "Adam, learning rate 0.01": {"optimizer": "adam", "learning_rate": 0.01},
    "towards the theory: 12 classes, threshold 4, no single-view training samples": TOWARDS_THEORY,
    "small trial, Adam": SMALL_TRIAL | {"optimizer": "adam", "learning_rate": 0.01},
    "small trial, gradient descent": SMALL_TRIAL | SLOW_DESCENT,
    "small trial, gradient descent, m = 2": SMALL_TRIAL | SLOW_DESCENT | {"width": 2},
}
"""Regimes that differ in more than one number, or in the optimiser."""
OPTIMISERS = {
    "gradient descent without momentum": "GD\n",
    "SGD, batches of 32, no momentum": "SGD\n",
    "Adam, learning rate 0.001": "Adam\n0.001",
    "Adam, learning rate 0.01": "Adam\n0.01",
}
"""Short names, for the axis."""


@dataclass(frozen=True, eq=False)
class Regimes:
    """Every regime tried, and each network of the default one.

    Attributes
    ----------
    regimes
        Of each: factor and value (or a name), what is changed, and by network the miss_rate on
        single-view test samples, the share missed of features, the training accuracy fitted, the
        multi_view_error, and the median scores winner and loser of a class's two features.
    errors, scores, start_scores
        (S, k, 2) of the networks of the default setting: errors on the single-view samples of a
        feature, its score Λ after training, and before.
    setting
        The default one.
    networks, seeds
        Networks on each data set, and the data sets.
    """

    regimes: list[dict[str, Any]]
    errors: np.ndarray
    scores: np.ndarray
    start_scores: np.ndarray
    setting: dict[str, Any]
    networks: int
    seeds: list[int]


def regimes() -> list[dict[str, Any]]:
    """Name all regimes: what is varied, to which value, and all that is changed."""
    default = dataclasses.asdict(Setting())
    found = []
    for factor, values in FACTORS.items():
        for value in values:
            changes = {factor: value} if value != default[factor] else {}
            if value in SLOW.get(factor, {}):
                changes["steps"] = SLOW[factor][value]
            found.append({"factor": factor, "value": value, "changes": changes})
    found += [{"factor": "other", "value": name, "changes": c} for name, c in OTHERS.items()]
    return found


def run(changes: dict[str, Any], seed: int, networks: int) -> dict[str, Any]:
    """Train networks in one regime on one data set and measure them."""
    setting = changed(Setting(), **changes)
    data = problem(setting, seed)
    untrained = start(setting, networks, seed)
    found = measure(fit(setting, untrained, data, objective("alone"), seed=seed), data)
    before = feature_scores(untrained[0].weights, data.features)
    return {
        "miss_rate": found.miss_rate.tolist(),
        "missed": found.missed.mean((1, 2)).tolist(),
        "fitted": found.fitted.tolist(),
        "multi_view_error": found.multi_view_error.tolist(),
        "errors": found.errors.tolist(),
        "scores": found.scores.tolist(),
        "start_scores": np.asarray(before).tolist(),
    }


def compute(
    asked: list[dict[str, Any]] | None = None,
    seeds: tuple[int, ...] = SEEDS,
    networks: int = NETWORKS,
    folder: Path | None = None,
) -> Regimes:
    """Run every regime on every data set; those with the same changes once."""
    asked = regimes() if asked is None else asked
    distinct = {repr(sorted(r["changes"].items())): r["changes"] for r in [{"changes": {}}, *asked]}
    parts = [
        {"changes": changes, "seed": seed, "networks": networks}
        for changes in distinct.values()
        for seed in seeds
    ]
    measured = each(NAME, parts, run, *([] if folder is None else [folder]))
    rows = [measured[i : i + len(seeds)] for i in range(0, len(measured), len(seeds))]
    by_changes = dict(zip(distinct, rows, strict=True))

    def joined(changes: dict[str, Any], name: str) -> list[Any]:
        return [v for row in by_changes[repr(sorted(changes.items()))] for v in row[name]]

    listed = []
    for regime in asked:
        scores = np.sort(np.array(joined(regime["changes"], "scores")), axis=2)
        numbers = {
            name: joined(regime["changes"], name)
            for name in ("miss_rate", "missed", "fitted", "multi_view_error")
        }
        medians = {
            "loser": float(np.median(scores[..., 0])),
            "winner": float(np.median(scores[..., 1])),
        }
        listed.append(regime | numbers | medians)
    return Regimes(
        regimes=listed,
        errors=np.array(joined({}, "errors")),
        scores=np.array(joined({}, "scores")),
        start_scores=np.array(joined({}, "start_scores")),
        setting=dataclasses.asdict(Setting()),
        networks=networks,
        seeds=list(seeds),
    )


def miss_rates(regime: dict[str, Any]) -> np.ndarray:
    """Return the miss rates of a regime's networks that fit their training samples."""
    return np.array(regime["miss_rate"])[np.array(regime["fitted"]) >= FITTED]


def plot(data: Regimes) -> Figure:
    """Draw the miss rate over each factor, and errors over scores."""
    from matplotlib.figure import Figure

    panels_of = {
        label: [r for r in data.regimes if r["factor"] == factor]
        for factor, label in LABELS.items()
    }
    panels_of["optimiser"] = [
        {**r, "value": OPTIMISERS[r["value"]], "changes": r["changes"]}
        for r in data.regimes
        if r["value"] in OPTIMISERS
    ]
    panels_of = {label: rows for label, rows in panels_of.items() if rows}
    lines = -(-(len(panels_of) + 1) // 4)
    with plots.house_style():
        figure = Figure(figsize=(TEXT_WIDTH, 1.4 * lines + 0.3))
        panels = figure.subplots(lines, 4, squeeze=False).ravel()
        for axes, (label, rows) in zip(panels, panels_of.items(), strict=False):
            _factor(axes, rows, label)
        for letter, axes in zip(ascii_lowercase, panels[: len(panels_of) + 1], strict=False):
            axes.set_title(f"({letter})", loc="left", fontsize=8, pad=2)
        for k, axes in enumerate(panels[: len(panels_of)]):
            axes.tick_params(labelleft=k % 4 == 0)
            axes.set_ylabel("" if k % 4 else "miss rate", fontsize=8)
        _scores(panels[len(panels_of)], data)
        for axes in panels[len(panels_of) + 1 :]:
            axes.set_axis_off()
        plots.settle(figure)
    return figure


def _factor(axes: Any, rows: list[dict[str, Any]], label: str) -> None:
    """Draw one factor: every network a dot, their mean a line; violet where it does not fit."""
    for at, row in enumerate(rows):
        rates, fitted = np.array(row["miss_rate"]), np.array(row["fitted"]) >= FITTED
        for chosen, color in ((fitted, plots.INK), (~fitted, "#b9a6d6")):
            dots = np.full(chosen.sum(), at)
            axes.plot(dots, rates[chosen], ".", ms=2.5, color=color, alpha=0.6, mew=0)
        if not row["changes"]:
            axes.axvline(at, color=plots.BAND, lw=5, zorder=0)
    means = [(at, miss_rates(r).mean()) for at, r in enumerate(rows) if len(miss_rates(r))]
    if means:
        style = {"ls": "", "marker": "_", "ms": 8} if label == "optimiser" else {}
        axes.plot(*zip(*means, strict=True), color="#d55e00", lw=1, **style)
    axes.axhline(0.5, color=plots.GREY, lw=0.6, ls=(0, (4, 2)))
    texts = [r["value"] if isinstance(r["value"], str) else f"{r['value']:g}" for r in rows]
    axes.set_xticks(range(len(rows)), texts, fontsize=6.5)
    axes.set(ylim=(-0.03, 0.56), yticks=(0, 0.25, 0.5), xlim=(-0.5, len(rows) - 0.5))
    axes.set_xlabel(label, fontsize=8)
    axes.tick_params(axis="y", labelsize=7)


def _scores(axes: Any, data: Regimes) -> None:
    """Draw the error on a feature's single-view samples over its score by the other feature's."""
    ratio = data.scores / np.maximum(data.scores[..., ::-1], 1e-9)
    axes.plot(ratio.ravel(), data.errors.ravel(), ".", ms=2, color=plots.INK, alpha=0.4, mew=0)
    axes.set(xscale="log", xlim=(1e-3, 1e3), ylim=(-0.05, 1.05), yticks=(0, 0.5, 1))
    axes.set_xlabel("own score / the other's", fontsize=8)
    axes.set_ylabel("error", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.minorticks_off()


def lottery(data: Regimes) -> dict[str, float]:
    """Return how the scores before and after training go with what is missed, default setting.

    "one": share of classes of which exactly one feature is missed, "none" of which none is;
    "start": among the former, share whose missed feature had the lower score at the start;
    "after": the same after training; "loser", "winner": median scores of those classes' features.
    """
    missed = data.errors > 0.5
    one = missed.sum(-1) == 1
    lower = {
        name: ((scores[..., 0] < scores[..., 1]) == missed[..., 0])[one].mean()
        for name, scores in (("start", data.start_scores), ("after", data.scores))
    }
    return {
        "one": float(one.mean()),
        "none": float((missed.sum(-1) == 0).mean()),
        **{name: float(value) for name, value in lower.items()},
        "loser": float(np.median(data.scores[one][missed[one]])),
        "winner": float(np.median(data.scores[one][~missed[one]])),
    }


def caption(data: Regimes) -> str:
    """Say what the panels show, in the numbers of the record."""
    default = np.concatenate([miss_rates(r) for r in data.regimes if not r["changes"]][:1])
    tried = len({repr(sorted(r["changes"].items())) for r in data.regimes})
    wanted = {
        repr(sorted(r["changes"].items()))
        for r in data.regimes
        if len(miss_rates(r)) and miss_rates(r).mean() >= WANTED
    }
    adam = [r for r in data.regimes if str(r["value"]).startswith("Adam")]
    rates = ", ".join(f"{miss_rates(r).mean():.3f}" for r in adam)
    most = max(miss_rates(r).mean() for r in data.regimes if str(r["value"]).startswith("towards"))
    seen = lottery(data)
    below = {
        repr(sorted(r["changes"].items())): np.sum(np.array(r["fitted"]) < FITTED)
        for r in data.regimes
    }
    unfit = sum(below.values()) or "no"
    return f"""
**When a network alone misses features.** (a)–(o) Error on single-view test samples over one factor
at a time: dots are networks, the line their mean, the grey bar marks the default setting and the
dashed line the theory's 1/2. By default the miss rate is {default.mean():.3f} (from
{default.min():.3f} to {default.max():.3f}); it is at least {WANTED} in {len(wanted)} of the {tried}
regimes tried. With Adam (learning rates 0.001 and 0.01) it is {rates}; with 12 classes, threshold 4
and no single-view training samples {most:.3f}.

(p) Error on a feature's single-view samples over its score Λ by that of its class's other feature,
default setting. Of {seen["one"]:.0%} of the classes exactly one feature is missed;
{seen["after"]:.0%} of these have the lower score after training (median {seen["loser"]:.2f} against
{seen["winner"]:.2f}), and {seen["start"]:.0%} had it at the start.

{len(data.seeds)} data sets of {data.networks} networks each; {unfit} networks classify less than
{FITTED:.0%} of their training samples as given (violet, not in the means). Gradient descent has
momentum 0.9 except in (o). Measured on {machine_of(NAME)}.
"""


def main(folder: Path = FIGURES, *, recompute: bool = False, machine: str = MACHINE) -> list[Path]:
    """Read or measure, draw and write the figure."""
    data = recorded(NAME, Regimes, compute, recompute=recompute, machine=machine)
    return publish(plot(data), caption(data), NAME, folder)


if __name__ == "__main__":
    main()
