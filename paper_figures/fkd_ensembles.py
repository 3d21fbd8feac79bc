"""Students of E teachers on digits: test accuracy by FKD and by KD, beside the committee's.

He & Ozay (ICLR 2022), Fig. 4, on small data: teachers and students of one architecture. Controls
are the student alone, with the feature regulariser alone, and with teachers never trained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from hilbertsd import datasets, nets, objectives, plots, schemes
from hilbertsd.nets import Activations
from hilbertsd.report.objectives import Interval, interval, percent
from hilbertsd.schemes import Recipe, term
from paper_figures.publish import FIGURES, TEXT_WIDTH, publish, table
from paper_figures.recorded import MACHINE, RESULTS, recorded
from paper_figures.resumed import PARTS, each

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "fkd_ensembles"
SIZES = (1, 2, 4, 8)
"""E, teachers in a committee."""
SETTINGS: dict[str, dict[str, Any]] = {
    "100 points": {"train": 100, "rate": None, "learning_rate": 1e-2},
    "200 points, 30 % wrong labels": {"train": 200, "rate": 0.3, "learning_rate": 3e-3},
}
"""Training points, share of wrong labels, and the learning rate.

That is the best of 0.001, 0.003, 0.01 and 0.03 for networks alone, on `VALIDATION`: they have test
accuracies of 81.2, 85.6, 86.4, 86.2 % and of 73.3, 75.7, 62.9, 56.1 %.
"""
CHANNELS = (4, 8)
"""Of the convolutions, with stride 2: 32 features.

Where a committee of eight gains most over its members in both settings, here 5.2 and 8.3 points on
three of `VALIDATION`: 8 and 16 averaged channels have 2.8 and 5.3, fully connected networks of
widths 16 1.6 and 4.5, of 16 and 16 3.8 and 8.0, of 32 and 32 1.7 and 4.9.
"""
TRAINING = nets.Training(
    loss="cross-entropy", steps=400, batch=32, weight_decay=1e-4, check_every=400
)
REPETITIONS, VALIDATION = tuple(range(20)), tuple(range(100, 104))
"""Seeds of split, label noise, teachers and student; the latter where settings were chosen."""
TEACHERS, UNTRAINED = 1, 7
"""Streams of the teachers; the students have stream 0."""
COMPARED = 400
"""Test points on which kernels are compared."""
NO_KERNEL = 1e-6
"""Weight of FKD that leaves only its regulariser."""
PUBLISHED = {"KD": (71.65, 72.7, 73.15, 73.4), "FKD": (72.2, 73.05, 73.4, 73.6)}
"""He & Ozay's Fig. 4, CIFAR-100 and VGG8, accuracies (%) read off the plot within 0.1."""
PUBLISHED_ALONE = 70.55


@dataclass(frozen=True)
class Method:
    """How a student is trained: cross-entropy + weight · objective + regulariser · mean ‖h‖²."""

    objective: str
    weight: float
    temperature: float = 1.0
    """Of KD, and of the committee's mean prediction for it."""
    regulariser: float = 0.0
    """Of FKD."""
    trained: bool = True
    """Whether the teachers are."""

    @property
    def term(self) -> schemes.Term:
        """The same as a term of a recipe."""
        if self.objective == "kd":
            return term("kd", self.weight, temperature=self.temperature)
        return term("fkd", self.weight, norm_weight=self.regulariser / self.weight)

    @property
    def words(self) -> str:
        """Its settings, for a caption."""
        kd = f"weight {self.weight:g}, temperature {self.temperature:g}"
        fkd = f"weight {self.weight:g}, regulariser {self.regulariser:g}"
        return kd if self.objective == "kd" else fkd


FKD_WEIGHTS = (10.0, 30.0, 100.0, 300.0)
CANDIDATES: dict[str, list[Method]] = {
    "KD": [Method("kd", w, temperature=t) for t in (1.0, 4.0) for w in (1.0, 3.0, 10.0, 30.0)],
    "FKD": [Method("fkd", w, regulariser=r) for r in (1e-3, 1e-2) for w in FKD_WEIGHTS],
    "FKD without regulariser": [Method("fkd", w) for w in FKD_WEIGHTS],
}
"""The best mean accuracy over all E on `VALIDATION` is taken, of each in each setting."""
RANDOM, REGULARISED = "FKD, untrained teachers", "regulariser alone"
METHODS = ("alone", "committee", *CANDIDATES, RANDOM, REGULARISED)


@dataclass(frozen=True, eq=False)
class Ensembles:
    """What S settings gave; M methods, R repetitions, four sizes E.

    Attributes
    ----------
    accuracy
        (S, M, R, 4) at test points; what has no teacher has the same number for every E.
    cka, agreement
        (S, M, R, 4) of the student with the committee of E trained teachers: CKA of the feature
        kernel with the mean of its members', and share of test points with the same prediction.
    validation
        By setting and method: of each candidate the accuracies (V,), means over E.
    chosen
        By setting and method: the candidate taken.
    settings, methods, sizes, repetitions
        S, M, E and R.
    training, channels
        Of all networks.
    """

    accuracy: np.ndarray
    cka: np.ndarray
    agreement: np.ndarray
    validation: dict[str, dict[str, list[list[float]]]]
    chosen: dict[str, dict[str, dict[str, Any]]]
    settings: dict[str, dict[str, Any]]
    methods: list[str]
    sizes: list[int]
    repetitions: list[int]
    training: dict[str, Any]
    channels: list[int]


# --- the experiment


@lru_cache
def _network(channels: tuple[int, ...]) -> Callable[[Any], Any]:
    """Return the same function for the same channels: its start is compiled once."""

    def make(key: Any) -> tuple[Any, Any]:
        return nets.convnet(
            (1, 8, 8), 10, channels, stride=2, readout="flatten", key=key
        )  # fmt: skip

    return make


def committees(said: Activations, sizes: Sequence[int], temperature: float = 1.0) -> Activations:
    """Return the committees of the first E networks, one a size, stacked.

    Features are filled up with zeros to one width, which leaves their kernels as they are.
    """
    members = [
        Activations((), np.asarray(said.features)[i : i + 1], np.asarray(said.outputs)[i : i + 1])
        for i in range(max(sizes))
    ]
    made = [schemes.ensemble(members[:size], temperature=temperature) for size in sizes]
    width = max(one.features.shape[-1] for one in made)
    features = [
        np.pad(one.features, ((0, 0), (0, 0), (0, width - one.features.shape[-1]))) for one in made
    ]
    outputs = [np.asarray(one.outputs) for one in made]
    return Activations((), np.concatenate(features), np.concatenate(outputs))


def run(
    setting: dict[str, Any],
    repetition: int,
    methods: dict[str, dict[str, Any]],
    sizes: Sequence[int],
    training: dict[str, Any],
    channels: Sequence[int],
) -> dict[str, Any]:
    """Train the teachers, the student alone and students by each method; measure them."""
    data = datasets.digit_images(
        setting["train"], rate=setting["rate"], seed=repetition, flat=False
    )
    pace = nets.Training(**training | {"learning_rate": setting["learning_rate"]})
    alone, make = Recipe((), pace), _network(tuple(channels))
    count = max(sizes)
    numbers = range(count * repetition, count * (repetition + 1))
    teachers = schemes.distill(make, data, None, alone, seeds=numbers, stream=TEACHERS)
    networks: dict[bool, tuple[Any, Any]] = {
        True: (teachers.model, teachers.state),
        False: nets.initialise(make, nets.keys(numbers, UNTRAINED)),
    }
    taught = {kind: schemes.observe(*net, data.x_train) for kind, net in networks.items()}
    committee = committees(schemes.observe(*networks[True], data.x_test), sizes)

    def measured(student: Any) -> dict[str, list[float]]:
        said = schemes.observe(student.model, student.state, data.x_test)
        return compared(said, committee, data.y_test)

    student = schemes.distill(make, data, None, alone, seeds=[repetition])
    found = {"alone": measured(student), "committee": compared(committee, committee, data.y_test)}
    for name, values in methods.items():
        method = Method(**values)
        said = committees(taught[method.trained], sizes, method.temperature)
        recipe = Recipe((method.term,), pace)
        student = schemes.distill(make, data, said, recipe, seeds=[repetition] * len(sizes))
        found[name] = measured(student)
    return found


def compared(
    said: Activations, committee: Activations, labels: np.ndarray
) -> dict[str, list[float]]:
    """Return accuracy, and what students (one, or one a size) have in common with committees."""
    first, aim = (np.asarray(one.outputs).argmax(-1) for one in (said, committee))
    first = np.broadcast_to(first, aim.shape)
    F, G = (np.asarray(one.features, float)[:, :COMPARED] for one in (said, committee))
    with jax.enable_x64(True):
        cka = [float(objectives.cka(F[i % len(F)], one)) for i, one in enumerate(G)]
    return {
        "accuracy": (first == labels).mean(-1).tolist(),
        "cka": cka,
        "agreement": (first == aim).mean(-1).tolist(),
    }


def measure(
    settings: dict[str, dict[str, Any]] = SETTINGS,
    repetitions: Sequence[int] = REPETITIONS,
    validation: Sequence[int] = VALIDATION,
    sizes: Sequence[int] = SIZES,
    training: nets.Training = TRAINING,
    folder: Path = PARTS,
) -> Ensembles:
    """Choose each method's settings on repetitions of their own, then measure: minutes."""
    common = {"sizes": list(sizes), "training": asdict(training), "channels": list(CHANNELS)}
    tried = {
        f"{name} {i}": asdict(one)
        for name, several in CANDIDATES.items()
        for i, one in enumerate(several)
    }
    asked = [
        {"setting": setting, "repetition": r, "methods": tried, **common}
        for setting in settings.values()
        for r in validation
    ]
    rows = iter(each(NAME, asked, run, folder))
    found: dict[str, dict[str, list[list[float]]]] = {}
    chosen: dict[str, dict[str, dict[str, Any]]] = {}
    for label in settings:
        some = [next(rows) for _ in validation]
        found[label] = {
            name: [
                [float(np.mean(row[f"{name} {i}"]["accuracy"])) for row in some]
                for i in range(len(several))
            ]
            for name, several in CANDIDATES.items()
        }
        chosen[label] = {
            name: asdict(several[int(np.argmax(np.mean(found[label][name], axis=1)))])
            for name, several in CANDIDATES.items()
        }
    parts = [
        {"setting": setting, "repetition": r, "methods": _asked(chosen[label]), **common}
        for label, setting in settings.items()
        for r in repetitions
    ]
    rows = each(NAME, parts, run, folder)

    def array(field: str) -> np.ndarray:
        values = np.array([[row[name][field] for name in METHODS] for row in rows])
        by_setting = values.reshape(len(settings), len(repetitions), *values.shape[1:])
        return by_setting.swapaxes(1, 2)

    return Ensembles(
        array("accuracy"), array("cka"), array("agreement"), found, chosen, settings,
        list(METHODS), list(sizes), list(repetitions), common["training"], common["channels"],
    )  # fmt: skip


def _asked(chosen: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the methods of the comparison: those chosen, and FKD's controls."""
    fkd = chosen["FKD"]
    return chosen | {
        RANDOM: fkd | {"trained": False},
        REGULARISED: asdict(Method("fkd", NO_KERNEL, regulariser=fkd["regulariser"])),
    }


def compute(recompute: bool = False, machine: str = MACHINE, folder: Path = RESULTS) -> Ensembles:
    """Return the data as recorded, or measured."""
    return recorded(NAME, Ensembles, measure, recompute=recompute, machine=machine, folder=folder)


# --- what the figure and its caption say


def of(data: Ensembles, setting: str, field: str = "accuracy") -> dict[str, np.ndarray]:
    """Return (R, 4) by method in one setting."""
    values = getattr(data, field)[list(data.settings).index(setting)]
    return dict(zip(data.methods, values, strict=True))


def intervals(values: np.ndarray) -> list[Interval]:
    """Return the interval over R for each of the sizes, (R, 4)."""
    return [interval(column) for column in np.transpose(values)]


INK, TEAL, ORANGE, WINE = plots.INK, "#0b7a75", "#d55e00", "#882255"
LOOKS: dict[str, dict[str, Any]] = {
    "alone": {"color": INK, "ls": ":"},
    "committee": {"color": plots.GREY, "marker": "^"},
    "KD": {"color": ORANGE, "marker": "D"},
    "FKD": {"color": TEAL, "marker": "s"},
    "FKD without regulariser": {"color": TEAL, "marker": "s", "mfc": "white", "ls": "--"},
    RANDOM: {"color": WINE, "marker": "v", "mfc": "white", "ls": ":"},
    REGULARISED: {"color": INK, "ls": (0, (5, 2))},
}
SHIFT = 0.06
"""Between methods, in factors of two of E: intervals stay apart."""


def plot(data: Ensembles) -> Figure:
    """Draw gains over the student alone, and how alike kernels are to the committee's."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MultipleLocator

    E = np.array(data.sizes)
    moved = [name for name in LOOKS if name not in ("alone", REGULARISED)]
    with plots.house_style():
        figure = Figure(figsize=(TEXT_WIDTH, 5))
        panels = figure.subplots(
            2, len(data.settings), sharex=True, squeeze=False, height_ratios=(1.3, 1)
        )
        for column, setting in enumerate(data.settings):
            top, bottom = panels[:, column]
            found, alike = of(data, setting), of(data, setting, "cka")
            for name, look in LOOKS.items():
                style = {"lw": 1.1, "ms": 3.5, "capsize": 1.5, "elinewidth": 0.7} | look
                gain = intervals(100 * (found[name] - found["alone"]))
                if name in moved:
                    where = E * 2 ** (SHIFT * (moved.index(name) - (len(moved) - 1) / 2))
                    _line(top, where, gain, label=name, **style)
                else:
                    label = "student alone" if name == "alone" else name
                    top.plot(E, [one.mean for one in gain], label=label, lw=1.1, **look)
                    where = E
                if name not in ("committee", REGULARISED):
                    _line(bottom, where, intervals(alike[name]), **style)
            top.set_title(f"({'ab'[column]}) {setting}")
            top.yaxis.set_major_locator(MultipleLocator(2))
            bottom.set_title(f"({'cd'[column]}) kernels of ({'ab'[column]})")
            bottom.set(ylim=(0.45, 1), xscale="log", xticks=E, xticklabels=E, xlabel="teachers $E$")
            bottom.minorticks_off()
        panels[0, 0].set_ylabel("gain in accuracy (points)")
        panels[1, 0].set_ylabel("CKA with the committee")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, handlelength=2.6)
        plots.settle(figure)
    return figure


def _line(axes: Any, where: Any, found: Sequence[Interval], **style: Any) -> None:
    mean, half = ([getattr(one, part) for one in found] for part in ("mean", "half"))
    axes.errorbar(where, mean, half, **style)


def caption(data: Ensembles) -> str:
    """Say what came out, then the numbers of the record, then how they were measured."""
    sizes = [f"E = {size}" for size in data.sizes]
    gains = table(
        ("gain (points)", *sizes, f"{data.sizes[-1]} less {data.sizes[0]}"),
        [row for i, setting in enumerate(data.settings) for row in _gains(data, setting, "ab"[i])]
        + _published(data),
    )
    kernels = table(
        ("CKA, same prediction (%)", *sizes),
        [row for i, setting in enumerate(data.settings) for row in _alike(data, setting, "cd"[i])],
    )
    seen = " ".join(verdict(data, s, "ab"[i]) for i, s in enumerate(data.settings))
    chosen = "; ".join(
        f"({'ab'[i]}) learning rate {data.settings[s]['learning_rate']:g}, "
        + ", ".join(f"{name} {Method(**one).words}" for name, one in data.chosen[s].items())
        for i, s in enumerate(data.settings)
    )
    several = "the best of " + ", ".join(f"{len(v)} ({k})" for k, v in CANDIDATES.items())
    first = next(iter(data.validation.values()))
    return f"""
**Students of E teachers on digits** (He & Ozay 2022, Fig. 4, on small data). {seen}

{gains}

Test accuracy less that of the student alone, repetition by repetition: means and 95 % intervals
(Student's t) over {len(data.repetitions)} repetitions, each with its own split, wrong labels,
teachers and student. The committee predicts by its mean probabilities, and its kernel is the mean
of its members'. The last rows are the paper's, CIFAR-100 and VGG8 ({PUBLISHED_ALONE} % alone),
read off a plot (± 0.1).

{kernels}

Students and committees of trained teachers at test points: CKA of the feature kernels ({COMPARED}
points), and share of equal predictions. Teachers and students are convolutional networks with
{data.channels[0]} and {data.channels[1]} channels, {data.training["steps"]} steps of Adam with
batches of {data.training["batch"]}. All choices were made on other splits and seeds: the network,
of five, for the largest gain of a committee of eight; the learning rate for networks alone; weights
for the mean accuracy over all E on {len(first["KD"][0])} repetitions, {several}. Chosen: {chosen}.
"""


def verdict(data: Ensembles, setting: str, letter: str) -> str:
    """Say what the largest committee gives, and where FKD and KD clearly differ."""
    found = of(data, setting)
    gained = (
        f"{words} {percent(interval(found[name][:, -1] - found['alone'][:, -1]), signed=True)}"
        for name, words in {"committee": "the committee", "KD": "KD", "FKD": "FKD"}.items()
    )
    less = dict(zip(data.sizes, intervals(found["FKD"] - found["KD"]), strict=True))
    above = [str(e) for e, one in less.items() if one.clear and one.mean > 0]
    below = [str(e) for e, one in less.items() if one.clear and one.mean < 0]
    above, below = (f"E = {', '.join(es)}" if es else "no E" for es in (above, below))
    return (
        f"({letter}) {setting}: the student alone has {percent(interval(found['alone'][:, 0]))} %; "
        f"of {data.sizes[-1]} teachers {', '.join(gained)} points more. FKD is clearly above KD "
        f"for {above}, clearly below it for {below}."
    )


def _gains(data: Ensembles, setting: str, letter: str) -> list[tuple[str, ...]]:
    found = of(data, setting)
    rows = {name: found[name] - found["alone"] for name in LOOKS if name != "alone"}
    for other in ("committee", "KD", RANDOM):
        rows[f"FKD less {other}"] = found["FKD"] - found[other]
    return [
        (
            f"({letter}) {name}",
            *(percent(one, signed=True) for one in intervals(values)),
            "" if name == REGULARISED else percent(interval(values[:, -1] - values[:, 0]), True),
        )
        for name, values in rows.items()
    ]


def _published(data: Ensembles) -> list[tuple[str, ...]]:
    return [
        (
            f"published {name}",
            *(f"{value - PUBLISHED_ALONE:+.2f}" for value in values),
            f"{values[-1] - values[0]:+.2f}",
        )
        for name, values in PUBLISHED.items()
        if data.sizes == list(SIZES)
    ]


def _alike(data: Ensembles, setting: str, letter: str) -> list[tuple[str, ...]]:
    cka, same = of(data, setting, "cka"), of(data, setting, "agreement")
    return [
        (
            f"({letter}) {name}",
            *(
                f"{one.mean:.3f} ± {one.half:.3f}, {percent(other)}"
                for one, other in zip(intervals(cka[name]), intervals(same[name]), strict=True)
            ),
        )
        for name in ("alone", "KD", "FKD", "FKD without regulariser", RANDOM)
    ]


def main(folder: Path = FIGURES, *, recompute: bool = False, machine: str = MACHINE) -> list[Path]:
    """Read or measure, draw and write the figure."""
    data = compute(recompute, machine)
    return publish(plot(data), caption(data), NAME, folder)
