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

import numpy as np

from hilbertsd import inputs as check
from hilbertsd.errors import HilbertSDError
from hilbertsd.nets.checkpoint import digest, made_by
from hilbertsd.nets.supervised import Training
from hilbertsd.nets.training import initialise, keys
from hilbertsd.progress import counted
from hilbertsd.schemes.distillation import Make, Recipe, Student, accuracy, distill
from hilbertsd.schemes.teachers import observe
from hilbertsd.schemes.terms import Term, term
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
of their own; not chosen for anything else. Others have 1."""


def suggested(name: str, weight: float | None = None) -> Term:
    """Return an objective's term with the package's weight for digits, or with another one.

    Examples
    --------
    >>> suggested("fkd").weight, suggested("fkd", 2.0).weight
    (10.0, 2.0)
    """
    return term(name, WEIGHTS.get(name, 1.0) if weight is None else weight)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Test accuracy of students by objective, on the same S seeds."""

    accuracy: dict[str, np.ndarray]
    """(S,) by name: "teacher", "alone", then the objectives in the order asked for."""
    terms: dict[str, tuple[Term, ...]]
    """What each objective's students had added to their own loss."""
    training: Training
    seeds: tuple[int, ...]
    provenance: dict[str, Any]


def compare_objectives(
    make_teacher: Make,
    make_student: Make,
    data: Classification,
    terms: Mapping[str, Sequence[Term]],
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
    terms : mapping
        Name to the terms added to the students' own loss.
    training : Training, optional
        Of teachers and students; by default cross-entropy.
    own_weight : float
        Of the students' own loss beside terms.
    seeds : sequence of int
        Of teachers and students.
    folder : path, optional
        Where each objective's accuracies are written as they are finished; the same call goes on
        from there. More objectives may be asked for, or other weights; other data, networks,
        training or seeds are refused.
    seeds_in, progress
        As for `hilbertsd.nets.train_chain`.

    Returns
    -------
    Comparison

    Raises
    ------
    HilbertSDError
        As for `distill`, or if the folder holds another comparison.

    Examples
    --------
    See the page on schemes of the documentation.
    """
    training = Training(loss="cross-entropy") if training is None else training
    seeds = check.whole_numbers("seeds", seeds, distinct=True)
    if wrong := {ALONE, TEACHER} & set(terms):
        raise HilbertSDError(f"an objective cannot be called {sorted(wrong)[0]!r}.")
    recipes = {ALONE: Recipe((), training)} | {
        name: Recipe(tuple(found), training, own_weight) for name, found in terms.items()
    }
    kept = None if folder is None else _Folder(Path(folder))
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


def _measured(student: Student, data: Classification) -> np.ndarray:
    return accuracy(student.model, student.state, data)


class _Folder:
    """Accuracies on disk: one file an objective, beside what makes the comparison the same."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def claim(self, identity: dict[str, Any]) -> None:
        """Write the identity, or compare it with the one that is there."""
        manifest = self.path / MANIFEST
        if not manifest.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            self._put(manifest, identity)
            return
        before = self._get(manifest)
        if wrong := sorted(k for k in identity if before.get(k) != identity[k]):
            raise HilbertSDError(
                f"{str(self.path)!r} holds a comparison with another {wrong[0]}; take another "
                "folder."
            )

    def read(self, name: str, recipe: Recipe) -> np.ndarray | None:
        """Return what was measured with this recipe, if it was."""
        path = self._file(name)
        if not path.exists():
            return None
        document = self._get(path)
        if document.get("recipe") != _plain(recipe):
            return None
        return np.array(document["test_accuracy"])

    def write(self, name: str, recipe: Recipe, values: np.ndarray) -> None:
        """Write what was measured."""
        self._put(self._file(name), {"recipe": _plain(recipe), "test_accuracy": values.tolist()})

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


def _plain(recipe: Recipe) -> Any:
    """Return the recipe as JSON gives it back."""
    return json.loads(json.dumps(dataclasses.asdict(recipe)))


def _identity(
    teacher: Make, student: Make, data: Classification, training: Training, seeds: Sequence[int]
) -> dict[str, Any]:
    import equinox as eqx

    def shapes(make: Make) -> list[str]:
        made = eqx.filter_eval_shape(lambda: initialise(make, keys(seeds[:1], 0)))
        return [f"{a.shape}" for a in _leaves(made)]

    arrays = (data.x_train, data.given, data.x_test, data.y_test)
    return {
        "data": {"name": data.name, "digest": digest(*arrays)},
        "training": dataclasses.asdict(training),
        "seeds": list(seeds),
        "teacher": shapes(teacher),
        "student": shapes(student),
    }


def _leaves(tree: Any) -> list[Any]:
    import jax

    return [leaf for leaf in jax.tree.leaves(tree) if hasattr(leaf, "shape")]


@contextlib.contextmanager
def _progress(shown: bool, steps: int, names: Sequence[str]) -> Iterator[Any]:
    """Return what makes each name's report from the progress of all."""
    if not shown or not names:
        yield lambda name: None
        return
    with counted(len(names) * steps) as advance:

        def of(name: str) -> Callable[[int, Any], None]:
            before = names.index(name) * steps
            return lambda step, losses: advance(before + step, f"{name}, step {step} of {steps}")

        yield of
