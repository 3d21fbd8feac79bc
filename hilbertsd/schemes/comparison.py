"""Objectives compared: students of one teacher, from one start, with one objective each."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from hilbertsd import inputs as check
from hilbertsd.errors import HilbertSDError
from hilbertsd.nets.checkpoint import as_json, described, fingerprint, made_by, require_same
from hilbertsd.nets.protocol import Make
from hilbertsd.nets.supervised import Training
from hilbertsd.nets.training import keys
from hilbertsd.objectives import objective
from hilbertsd.progress import counted
from hilbertsd.schemes.distillation import (
    Recipe,
    Student,
    accuracy,
    activated,
    begun,
    distill,
    started,
    student_shape,
    with_terms,
)
from hilbertsd.schemes.intervals import Interval, gains
from hilbertsd.schemes.teachers import observe
from hilbertsd.schemes.terms import Term, checked_terms, teacher_part, term
from hilbertsd.storage import replacing

if TYPE_CHECKING:
    from hilbertsd.datasets import Classification
    from hilbertsd.nets.blocks import Activations

ALONE = "alone"
"""Name of the students without a teacher."""
TEACHER = "teacher"
TEACHERS = 1
"""Stream of the teachers; the students have stream 0."""
MANIFEST = "comparison.json"

WEIGHTS = {
    "kd": 0.1,
    "fkd": 10.0,
    "sp": 900.0,
    "rkd": 0.1,
    "cc": 30.0,
    "pkt": 30_000.0,
    "crd": 0.1,
}
"""Best of seven weights for a student of 8 hidden units on 200 digits, over four seeds on a split
of their own; not chosen for anything else, and other objectives have none."""


def suggested(name: str, weight: float | None = None) -> Term:
    """Return an objective's term with the package's weight for digits, or with another one.

    Raises
    ------
    HilbertSDError
        If no weight is given and none was ever chosen: the losses' scales differ by powers of ten,
        and a result at an arbitrary weight says nothing.

    Examples
    --------
    >>> suggested("fkd").weight, suggested("fkd", 2.0).weight
    (10.0, 2.0)
    """
    objective(name)
    if weight is None and name not in WEIGHTS:
        raise HilbertSDError(
            f"no weight was ever chosen for {name!r}; give it one (with hilbertsd objectives "
            f"compare: --weights). The package has weights for {', '.join(WEIGHTS)}."
        )
    return term(name, WEIGHTS[name] if weight is None else weight)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Test accuracy of students by objective, on the same S seeds.

    Attributes
    ----------
    accuracy
        (S,) shares of the test points by name: "teacher", "alone", then the objectives in the
        order asked for. Entry s of every array is of the same seed, start and teacher.
    terms
        By the same names, what the students had added to their own loss; nothing for the first two.
    training
        Of all networks.
    seeds
        The S seeds.
    provenance
        Versions and the kind of device.
    """

    accuracy: dict[str, np.ndarray]
    terms: dict[str, tuple[Term, ...]]
    training: Training
    seeds: tuple[int, ...]
    provenance: dict[str, Any]

    @property
    def gains(self) -> dict[str, Interval]:
        """Each objective's test accuracy less that of students alone: mean and 95 % interval.

        Differences are taken seed by seed, so that what seeds have in common drops out, and the
        interval is Student's t with S − 1. ``gains["fkd"].clear`` is whether zero is outside.
        """
        return gains(self.accuracy)


def compare_objectives(
    make_teacher: Make,
    make_student: Make,
    data: Classification,
    terms: Mapping[str, Sequence[Term] | Term] | Sequence[str],
    training: Training | None = None,
    *,
    own_weight: float = 1.0,
    seeds: Sequence[int] = tuple(range(5)),
    folder: str | PathLike[str] | None = None,
    seeds_in: str | None = None,
    progress: bool = False,
) -> Comparison:
    """Train teachers, students alone, and students with each set of terms; measure them.

    Student s of every objective has the same teacher s, start and order of examples, so that
    accuracies may be compared seed by seed.

    Parameters
    ----------
    make_teacher, make_student : callables
        ``make(key) -> (model, state)``.
    data : Classification
        Whose training points both see.
    terms : mapping or sequence of str
        Name to the terms added to the students' own loss, where one may come alone; or names of
        objectives, each with its `suggested` weight.
    training : Training, optional
        Of teachers and students; by default cross-entropy.
    own_weight : float
        Of the students' own loss beside terms.
    seeds : sequence of int
        Of teachers and students.
    folder : path, optional
        Where each objective's accuracies are written as they are finished; the same call goes on
        from there. A folder holds one setting: more objectives may be asked for, or other weights;
        other data, networks, training or seeds are refused.
    seeds_in, progress
        As for `hilbertsd.nets.train_chain`.

    Returns
    -------
    Comparison

    Raises
    ------
    HilbertSDError
        As for `distill`, or if the folder holds another comparison. Objectives that teacher and
        student are not made for are refused before anything is trained or written.

    Examples
    --------
    >>> from hilbertsd import datasets
    >>> from hilbertsd.nets import mlp
    >>> def make(key):
    ...     return mlp(64, 10, (4,), key=key)
    >>> found = compare_objectives(make, make, datasets.digit_images(50), {"fkd": suggested("fkd")},
    ...                            Training(loss="cross-entropy", steps=5), seeds=[0, 1])
    >>> list(found.accuracy), found.accuracy["fkd"].shape
    (['teacher', 'alone', 'fkd'], (2,))
    """
    training = Training(loss="cross-entropy") if training is None else training
    seeds = check.whole_numbers("seeds", seeds, distinct=True)
    terms = _by_name(terms)
    if wrong := {ALONE, TEACHER, Path(MANIFEST).stem} & {name.casefold() for name in terms}:
        raise HilbertSDError(f"an objective cannot be called {sorted(wrong)[0]!r}.")
    recipes = {ALONE: Recipe((), training)} | {
        name: Recipe(checked_terms(found), training, own_weight) for name, found in terms.items()
    }
    _require_fitting(make_teacher, make_student, data, recipes)
    kept = None if folder is None else Measured(Path(folder))
    if kept is not None:
        kept.claim(_identity(make_teacher, make_student, data, training, seeds))
    found: dict[str, np.ndarray] = {}
    asked = {TEACHER: Recipe((), training), **recipes}
    if kept is not None:
        for name, recipe in asked.items():
            if (before := kept.read(name, recipe)) is not None:
                found[name] = before
    where: dict[str, Any] = {"seeds": seeds, "seeds_in": seeds_in}
    missing = [name for name in asked if name not in found]
    needed = [TEACHER, *(name for name in missing if name != TEACHER)] if missing else []
    said: Activations | None = None
    with _progress(progress, training.steps, needed) as report:
        for name in needed:
            recipe = asked[name]
            if name == TEACHER:
                student = distill(
                    make_teacher, data, None, recipe, stream=TEACHERS, report=report(name), **where
                )
                said = observe(student.model, student.state, data.x_train, seeds_in=seeds_in)
            else:
                student = distill(make_student, data, said, recipe, report=report(name), **where)
            found[name] = _measured(student, data)
            if kept is not None:
                kept.write(name, recipe, found[name])
    return Comparison(
        {name: found[name] for name in asked},
        {name: recipe.terms for name, recipe in asked.items()},
        training,
        seeds,
        made_by(),
    )


def _by_name(
    terms: Mapping[str, Sequence[Term] | Term] | Sequence[str],
) -> Mapping[str, Sequence[Term] | Term]:
    if isinstance(terms, Mapping):
        for name in terms:
            if not (isinstance(name, str) and name.isprintable() and name.strip(" .")) or (
                set(name) & set(r'/\:*?"<>|')
            ):
                raise HilbertSDError(
                    f"{name!r} cannot be a name of terms: it names a file too; take letters, "
                    "digits, spaces and commas."
                )
        if len({name.casefold() for name in terms}) < len(terms):
            raise HilbertSDError(f"names must differ by more than case, got {', '.join(terms)}.")
        return terms
    names = list(terms) if isinstance(terms, list | tuple) else []
    words = all(isinstance(name, str) for name in names)
    if not words or not names or len(set(names)) < len(names):
        raise HilbertSDError(
            'terms must be a mapping of names to terms, such as {"fkd": [term("fkd", 10.0)]}, or '
            f'different names of objectives, such as ["fkd", "kd"], got {terms!r}.'
        )
    return {name: (suggested(name),) for name in names}


def _require_fitting(
    make_teacher: Make, make_student: Make, data: Classification, recipes: Mapping[str, Recipe]
) -> None:
    """Go once through every recipe's terms on the shapes of a batch, without computing any."""
    key = jax.random.key(0)
    for make in (make_teacher, make_student):
        eqx.filter_eval_shape(
            lambda keys, make=make: begun(make, data, recipes[ALONE], keys)[:2], key[None]
        )
    size = len(data.given)

    def seen(make: Make, batch: int, key: Any) -> Activations:
        return activated(*make(key), jnp.asarray(data.x_train[:batch]))[0]

    def value(recipe: Recipe, student: Activations, teacher: Activations, key: Any) -> Any:
        point = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), student)
        parts = [teacher_part(one, teacher) for one in recipe.terms]
        shapes = [
            (student_shape(one, point), jax.tree.map(lambda a: a.shape[1:], part))
            for one, part in zip(recipe.terms, parts, strict=True)
        ]
        own, past = started(recipe.terms, shapes, size, key)
        index = jnp.arange(len(student.outputs))
        return with_terms(jnp.zeros(()), recipe, own, past, student, parts, index, key)

    batch = min(recipes[ALONE].training.batch or size, size)  # all have one training
    shapes = [eqx.filter_eval_shape(seen, m, batch, key) for m in (make_student, make_teacher)]
    for recipe in recipes.values():
        if recipe.terms:
            eqx.filter_eval_shape(value, recipe, *shapes, key)


def _measured(student: Student, data: Classification) -> np.ndarray:
    return accuracy(student.model, student.state, data)


class Measured:
    """Accuracies on disk: one file an objective, beside what makes the comparison the same."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def claim(self, identity: dict[str, Any]) -> None:
        """Write the identity, or compare it with the one that is there."""
        manifest, identity = self.path / MANIFEST, as_json(identity)
        if not self.finished():  # a manifest alone holds nothing
            try:
                self.path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise HilbertSDError(f"{str(self.path)!r} cannot be the folder: {error}") from None
            self._put(manifest, identity)
            return
        if not manifest.exists():
            raise HilbertSDError(
                f"{str(self.path)!r} holds files without {MANIFEST}, which says of what comparison "
                "they are; take another folder."
            )
        require_same(self.path, "comparison", self._get(manifest), identity)

    def finished(self) -> int:
        """Return how many names are there."""
        return sum(path.name != MANIFEST for path in self.path.glob("*.json"))

    def read(self, name: str, recipe: Recipe) -> np.ndarray | None:
        """Return what was measured with this recipe, if it was."""
        path = self._file(name)
        if not path.exists():
            return None
        document = self._get(path)
        if document.get("recipe") != _recorded(recipe):
            return None
        return np.array(document["test_accuracy"])

    def write(self, name: str, recipe: Recipe, values: np.ndarray) -> None:
        """Write what was measured."""
        self._put(self._file(name), {"recipe": _recorded(recipe), "test_accuracy": values.tolist()})

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.json"

    @staticmethod
    def _put(path: Path, document: dict[str, Any]) -> None:
        with replacing(path) as file:
            json.dump(document, file, indent=1)
            file.write("\n")

    @staticmethod
    def _get(path: Path) -> dict[str, Any]:
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise HilbertSDError(
                f"{str(path)!r} is damaged ({error}); delete it to measure it again."
            ) from None
        return document if isinstance(document, dict) else {}


def _recorded(recipe: Recipe) -> Any:
    return as_json(dataclasses.asdict(recipe))


def _identity(
    teacher: Make, student: Make, data: Classification, training: Training, seeds: Sequence[int]
) -> dict[str, Any]:
    first = keys(seeds[:1], 0)
    return {
        "data": described(data),
        "training": dataclasses.asdict(training),
        "seeds": list(seeds),
        "teacher": {"start": fingerprint(teacher, first, data.x_train)},
        "student": {"start": fingerprint(student, first, data.x_train)},
    }


@contextlib.contextmanager
def _progress(shown: bool, steps: int, names: Sequence[str]) -> Iterator[Any]:
    """Return what makes each name's report from the progress of all."""
    if not shown or not names:
        yield lambda name: None
        return
    with counted(len(names) * steps) as advance:

        def of(name: str) -> Callable[[int, Any], None]:
            before = names.index(name) * steps
            advance(before, f"{name}, compiling")
            return lambda step, losses: advance(before + step, f"{name}, step {step} of {steps}")

        yield of
