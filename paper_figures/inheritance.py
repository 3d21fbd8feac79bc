"""Inheritance and exploration (Huang et al., CVPR 2021) on digits, with its mutual form.

Three claims: the two halves of a student differ (CKA), its loss rises less under Gaussian noise at
the middle layer, and its accuracy is above that of the base objectives on the whole student. Every
weight is chosen on splits of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from hilbertsd import datasets, nets, objectives, plots, schemes
from hilbertsd.nets.losses import cross_entropy
from hilbertsd.nets.supervised import one_hot
from hilbertsd.report.objectives import ACCENT, Interval, interval, percent
from hilbertsd.schemes import Recipe, term
from paper_figures.publish import FIGURES, TEXT_WIDTH, publish, table
from paper_figures.recorded import MACHINE, RESULTS, machine_of, recorded
from paper_figures.resumed import PARTS, each

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "inheritance"
POINTS, NOISY, TEACHER_POINTS = 100, 0.2, 600
"""Of the student, with this share of wrong labels; the teacher has points of its own, as noisy."""
SPLITS, VALIDATION = tuple(range(12)), tuple(range(100, 106))
"""Each is a split, a teacher and a student's seed."""
TEACHER, STUDENT, CODE = (16, 32), (8, 16), 8
TRAINING = nets.Training(
    loss="cross-entropy", steps=300, batch=32, learning_rate=3e-3, weight_decay=1e-4,
    check_every=300,
)  # fmt: skip
CODER_STEPS = 300
UNIT = "OD (unit norm)"
BASES: dict[str, dict[str, Any]] = {
    "AT": {"base": "AT"},
    "FT": {"base": "FT"},
    "OD": {"base": "OD"},
    UNIT: {"base": "OD", "unit_norm": True},
}
"""Settings of inheritance and exploration; the last is bounded, and not of the paper."""
WHOLE: dict[str, tuple[str, dict[str, Any]]] = {
    "KD": ("kd", {}),
    "AT": ("at", {}),
    "FT": ("ft", {}),
    "OD": ("od", {}),
    UNIT: ("od", {"unit_norm": True}),
}
"""The base objectives by themselves, on the whole student; KD beside them."""
WHOLE_WEIGHTS = {
    "KD": (0.3, 1.0, 3.0, 10.0),
    "AT": (3.0, 10.0, 30.0, 100.0),
    "FT": (1.0, 3.0, 10.0, 30.0),
    "OD": (0.1, 0.3, 1.0, 3.0),
    UNIT: (1.0, 3.0, 10.0, 30.0),
}
INHERITANCE = {
    "AT": (0.1, 0.3, 1.0, 3.0),
    "FT": (0.1, 0.3, 1.0, 3.0),
    "OD": (0.1, 0.3, 1.0, 3.0),
    UNIT: (1.0, 3.0, 10.0, 30.0),
}
EXPLORATION = {"AT": (0.1, 1.0), "FT": (0.1, 1.0), "OD": (1e-5, 1e-4), UNIT: (0.1, 1.0)}
"""As shares of the weight of inheritance."""
MUTUAL = "FT"
"""The base of IE-DML."""
NOISE = (0.0, 0.1, 0.2, 0.4, 0.8)
"""Standard deviation over that of the maps."""
DRAWS = 4
ALONE = "alone"
KINDS = {"": "base objective, whole student", "I-": "inheritance alone", "IE-": "with exploration"}
"""What stands before the name of a base objective."""
PAIR = "mutual"
"""The row of DML and IE-DML, which have no inheritance alone."""


@dataclass(frozen=True)
class Inheritance:
    """What was measured of each student, by name: lists over the splits."""

    teacher: list[float]
    """Test accuracy."""
    accuracy: dict[str, list[float]]
    halves: dict[str, list[float]]
    """CKA of the two halves of the last maps at the test points."""
    to_teacher: dict[str, list[list[float]]]
    """CKA of the first and of the second half with the teacher's maps."""
    losses: dict[str, list[list[float]]]
    """(splits, noises) mean cross-entropy at the test points under noise after the first stage."""
    noise: list[float]
    weights: dict[str, list[float]]
    """The chosen ones: of the objective, or of inheritance and of exploration."""
    validation: dict[str, dict[str, list[float]]]
    """By name and weights, test accuracy on the splits on which weights were chosen."""


def candidates() -> dict[str, list[list[float]]]:
    """Return the weights that are tried for each student."""
    found: dict[str, list[list[float]]] = {
        name: [[w] for w in weights] for name, weights in WHOLE_WEIGHTS.items()
    }
    for base, weights in INHERITANCE.items():
        found[f"I-{base}"] = [[a] for a in weights]
        found[f"IE-{base}"] = [[a, share * a] for a in weights for share in EXPLORATION[base]]
    found["DML"] = [[w] for w in (1.0, 3.0, 10.0)]
    found["IE-DML"] = [
        [a, share * a] for a in INHERITANCE[MUTUAL][:3] for share in EXPLORATION[MUTUAL]
    ]
    return found


def measure(folder: Path = PARTS) -> Inheritance:
    """Choose weights and train everything: minutes on one core, resumed where interrupted."""
    tried = [(name, weights) for name, found in candidates().items() for weights in found]
    parts = [{"name": n, "weights": w, "splits": list(VALIDATION)} for n, w in tried]
    accuracies = [found["accuracy"] for found in each(NAME, parts, students, folder)]
    validation: dict[str, dict[str, list[float]]] = {}
    weights: dict[str, list[float]] = {ALONE: []}
    for (name, used), values in zip(tried, accuracies, strict=True):
        found = validation.setdefault(name, {})
        if not found or np.mean(values) > max(np.mean(other) for other in found.values()):
            weights[name] = used
        found[" and ".join(f"{w:g}" for w in used)] = values
    parts = [{"name": n, "weights": w, "splits": list(SPLITS)} for n, w in weights.items()]
    measured = dict(zip(weights, each(NAME, parts, students, folder), strict=True))

    def by_name(what: str) -> dict[str, Any]:
        return {name: found[what] for name, found in measured.items()}

    return Inheritance(
        teacher=measured[ALONE]["teacher"],
        **{what: by_name(what) for what in ("accuracy", "halves", "to_teacher", "losses")},
        noise=list(NOISE),
        weights=weights,
        validation=validation,
    )


def students(name: str, weights: list[float], splits: list[int]) -> dict[str, list[Any]]:
    """Train a student on each split and measure it; lists over the splits."""
    found = [_measured(_student_of(name, weights, split), _taught(split)) for split in splits]
    return {what: [one[what] for one in found] for what in found[0]}


class Taught(NamedTuple):
    """One split: the student's data, what the teacher says of them, and its codes."""

    data: datasets.Classification
    said: nets.Activations
    factors: nets.Activations
    """Of FT's paraphraser, by squared error."""
    codes: nets.Activations
    """For inheritance and exploration, by absolute error."""
    at_test: Any
    """The teacher's last maps at the test points."""
    accuracy: float


@cache
def _taught(split: int) -> Taught:
    both = datasets.digit_images(POINTS + TEACHER_POINTS, seed=split, flat=False, rate=NOISY)
    data, others = (_points(both, part) for part in (slice(POINTS), slice(POINTS, None)))
    recipe = Recipe((), TRAINING)
    teacher = schemes.distill(_teacher, others, None, recipe, seeds=[split], stream=1)
    network = (teacher.model, teacher.state)
    said = schemes.observe(*network, data.x_train)
    factors, codes = (
        schemes.coded(
            said,
            schemes.autoencoder(
                said.maps[-1], code=CODE, seeds=[split], error=error, steps=CODER_STEPS, batch=32
            ).model,
        )
        for error in ("squared", "absolute")
    )
    at_test = schemes.observe(*network, data.x_test).maps[-1][0]
    return Taught(data, said, factors, codes, at_test, float(schemes.accuracy(*network, data)[0]))


def _points(data: datasets.Classification, part: slice) -> datasets.Classification:
    return replace(data, x_train=data.x_train[part], given=data.given[part], true=data.true[part])


def _student_of(name: str, weights: list[float], split: int) -> schemes.Student:
    taught = _taught(split)
    recipe = Recipe(_terms(name, *weights), TRAINING)
    if name.endswith("DML"):
        pair = [_student, _student]
        return schemes.mutual(pair, taught.data, recipe, seeds=[split], code=CODE)[0]
    said = taught.codes if "-" in name else taught.factors if name == "FT" else taught.said
    return schemes.distill(_student, taught.data, said, recipe, seeds=[split])


def _terms(name: str, *weights: float) -> tuple[schemes.Term, ...]:
    if name == ALONE:
        return ()
    if name == "DML":
        return (term("kd", *weights, temperature=1.0),)
    if name in WHOLE:
        objective, settings = WHOLE[name]
        return (term(objective, *weights, **settings),)
    base = MUTUAL if name == "IE-DML" else name.split("-", 1)[1]
    a, b = weights if len(weights) == 2 else (*weights, 0.0)
    return schemes.inheritance_terms(**BASES[base], inheritance_weight=a, exploration_weight=b)


def _teacher(key: Any) -> tuple[Any, Any]:
    return nets.convnet((1, 8, 8), 10, TEACHER, stride=2, key=key)


def _student(key: Any) -> tuple[Any, Any]:
    return nets.convnet((1, 8, 8), 10, STUDENT, stride=2, key=key)


def _measured(student: schemes.Student, taught: Taught) -> dict[str, Any]:
    network = (student.model, student.state)
    maps = np.asarray(schemes.observe(*network, taught.data.x_test).maps[-1][0], float)
    pair = objectives.halves(maps)
    return {
        "teacher": taught.accuracy,
        "accuracy": float(schemes.accuracy(*network, taught.data)[0]),
        "halves": _cka(*pair),
        "to_teacher": [_cka(half, taught.at_test) for half in pair],
        "losses": _under_noise(*network, taught.data),
    }


def _cka(one: Any, other: Any) -> float:
    rows = (np.asarray(a, float).reshape(len(a), -1) for a in (one, other))
    return float(objectives.cka(*rows))


def _under_noise(model: Any, state: Any, data: datasets.Classification) -> list[float]:
    """Return the test loss of the first network with noise on the maps after its first stage."""
    x, targets = jnp.asarray(data.x_test), jnp.asarray(one_hot(data.y_test, data.classes))
    one = (nets.member(model, 0), nets.member(state, 0))
    return np.asarray(_noisy_losses(*one, x, targets), float).tolist()


@eqx.filter_jit
def _noisy_losses(model: Any, state: Any, x: Any, targets: Any) -> Any:
    rest = eqx.tree_at(lambda m: m.stages, model, model.stages[1:])
    maps = jax.vmap(lambda point: model.activations(point, state)[0].maps[0])(x)
    noise = jax.random.normal(jax.random.key(0), (DRAWS, *maps.shape)) * jnp.std(maps)

    def loss(size: Any) -> Any:
        outputs = jax.vmap(jax.vmap(lambda h: rest(h, state)[0]))(maps + size * noise)
        return jnp.mean(cross_entropy(outputs, targets))

    return jax.lax.map(loss, jnp.asarray(NOISE))


def compute(recompute: bool = False, machine: str = MACHINE, folder: Path = RESULTS) -> Inheritance:
    """Return the data as recorded, or measured."""
    return recorded(NAME, Inheritance, measure, recompute=recompute, machine=machine, folder=folder)


def rows() -> dict[str, dict[str, str]]:
    """Return the students of each row by kind."""
    found = {base: {kind: f"{kind}{base}" for kind in KINDS} for base in BASES}
    return {"KD": {"": "KD"}, **found, PAIR: {"": "DML", "IE-": "IE-DML"}}


def changes(data: Inheritance) -> dict[str, dict[str, np.ndarray]]:
    """Return each student's quantities less those of the student alone, split by split."""
    quantities = {
        "halves": data.halves,
        "rise": {name: [row[-1] - row[0] for row in found] for name, found in data.losses.items()},
        "accuracy": data.accuracy,
    }
    return {
        what: {name: np.array(v) - np.array(found[ALONE]) for name, v in found.items()}
        for what, found in quantities.items()
    }


def plot(data: Inheritance) -> Figure:
    """Draw the changes of CKA, of the rise under noise and of accuracy, row by row."""
    from matplotlib.figure import Figure

    found = changes(data)
    titles = {
        "halves": ("(a) likeness of the halves", "change of CKA", 1),
        "rise": ("(b) rise under noise", "change of the loss's rise", 1),
        "accuracy": ("(c) test accuracy", "gain (points)", 100),
    }
    with plots.house_style():
        figure = Figure(figsize=(TEXT_WIDTH, 3.0))
        panels = figure.subplots(1, len(titles), sharey=True)
        for axes, (what, (title, label, factor)) in zip(panels, titles.items(), strict=True):
            aside = {"KD"} if what == "accuracy" else set()
            _panel(axes, {name: factor * values for name, values in found[what].items()}, aside)
            axes.set(xlabel=label)
            axes.set_title(title, fontsize=8)
        handles, labels = panels[0].get_legend_handles_labels()
        named = dict(zip(labels, handles, strict=True))
        figure.legend(
            named.values(), named.keys(), loc="outside lower center", ncols=3, frameon=False,
            fontsize=7,
        )  # fmt: skip
        plots.settle(figure)
    return figure


def _panel(axes: Any, found: dict[str, np.ndarray], aside: set[str]) -> None:
    """Draw one quantity; what is set aside and outside the others' range stands at the edge."""
    shown = {name: interval(values) for name, values in found.items()}
    near = [v for name, v in shown.items() if name not in aside]
    low, high = min(v.mean - v.half for v in near), max(v.mean + v.half for v in near)
    low, high = low - 0.08 * (high - low), high + 0.08 * (high - low)
    axes.axvline(0, color=plots.GREY, lw=0.6)
    looks = {"": ("o", plots.INK, -0.25), "I-": ("s", plots.GREY, 0.0), "IE-": ("D", ACCENT, 0.25)}
    for y, names in enumerate(rows().values()):
        for kind, name in names.items():
            marker, color, shift = looks[kind]
            one, style = shown[name], {"color": color, "ms": 3, "label": KINDS[kind]}
            if low <= one.mean <= high:
                axes.errorbar(
                    one.mean, y + shift, xerr=one.half, fmt=marker, lw=1, capsize=2, **style
                )
                continue
            right = one.mean > high
            axes.plot(high if right else low, y + shift, ">" if right else "<", **style,
                      clip_on=False)  # fmt: skip
            axes.annotate(
                f"{one.mean:+.3g}", (high if right else low, y + shift), fontsize=6, color=color,
                xytext=(-4 if right else 4, 0), textcoords="offset points",
                ha="right" if right else "left", va="center",
            )  # fmt: skip
    axes.set(xlim=(low, high), yticks=range(len(rows())), yticklabels=list(rows()))
    axes.set_ylim(len(rows()) - 0.5, -0.5)


def caption(data: Inheritance) -> str:
    """Say which claims these numbers bear out; then the numbers, and the setting."""
    tried = sorted({len(values) for values in data.validation.values()})
    rise = interval([row[-1] - row[0] for row in data.losses[ALONE]])
    return f"""**Inheritance and exploration on digits** (Huang et al. 2021), each student
against the student alone, split by split; mean and 95 % interval. (a) CKA of the two halves of the
last maps: with exploration clearly {_against(data, "halves", None, "lower", "higher")}. (b) The
rise of the test loss under Gaussian noise of {data.noise[-1]:g} deviations after the first stage:
with exploration clearly {_against(data, "rise", None, "less than alone", "more")};
{_against(data, "rise", "", "less than by the base objective on the whole student", "more")}. (c)
Test accuracy: with exploration clearly
{_against(data, "accuracy", "", "below the base objective", "above")};
{_against(data, "accuracy", "I-", "below inheritance alone", "above")}.

{_numbers(data)}

Alone: accuracy {percent(interval(data.accuracy[ALONE]))} %, CKA
{_plain(interval(data.halves[ALONE]))}, rise {_plain(rise)}; the others' numbers are changes of
these. {POINTS} training points, {100 * NOISY:.0f} % of the labels wrong; a convolutional teacher of
{TEACHER} channels with {TEACHER_POINTS} other points as noisy (test accuracy
{percent(interval(data.teacher))} %), a student of {STUDENT}; {len(data.teacher)} splits, each with
seeds of its own. The setting was chosen for the teacher's lead, before any inheritance. Weights are
the best of {tried[0]} to {tried[-1]} on {len(VALIDATION)} other splits; the record has what each of
them gave. OD is not bounded below; "{UNIT}", by codes at unit norm, is, and is not of the paper.
IE-DML is by {MUTUAL}. Measured on {machine_of(NAME)}."""


def _numbers(data: Inheritance) -> str:
    found = changes(data)
    lines = []
    for names in rows().values():
        for kind, name in names.items():
            explored = "—"
            if kind != "IE-" and "IE-" in names:
                gap = found["accuracy"][names["IE-"]] - found["accuracy"][name]
                explored = percent(interval(gap), signed=True)
            lines.append(
                (
                    name,
                    " and ".join(f"{w:.2g}" for w in data.weights[name]),
                    percent(interval(found["accuracy"][name]), signed=True),
                    explored,
                    _plain(interval(found["halves"][name]), signed=True),
                    _plain(interval(found["rise"][name]), signed=True),
                )
            )
    head = ("student", "weights", "accuracy (points)", "IE less this", "CKA of the halves", "rise")
    return table(head, lines)


def _plain(found: Interval, signed: bool = False) -> str:
    return f"{found.mean:{'+' if signed else ''}.2f} ± {found.half:.2f}"


def _against(data: Inheritance, what: str, kind: str | None, below: str, above: str) -> str:
    """Say where IE is clearly below and above alone (None) or the row's student of a kind."""
    found = changes(data)[what]
    gaps = {
        row: interval(found[names["IE-"]] - (0 if kind is None else found[names[kind]]))
        for row, names in rows().items()
        if "IE-" in names and (kind is None or kind in names)
    }
    return f"{below} for {_signed(gaps, -1)}, {above} for {_signed(gaps, 1)}"


def _signed(found: dict[str, Interval], sign: int) -> str:
    named = [row for row, v in found.items() if v.clear and v.mean * sign > 0]
    return ", ".join(named) if named else "none"


def main(folder: Path = FIGURES, *, recompute: bool = False, machine: str = MACHINE) -> list[Path]:
    """Read or measure, draw and write the figure."""
    data = compute(recompute, machine)
    return publish(plot(data), caption(data), NAME, folder)
