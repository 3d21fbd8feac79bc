"""Terms of a student's loss: an objective by name, its weight, its settings, and where it looks."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

from hilbertsd import inputs as check
from hilbertsd.errors import HilbertSDError
from hilbertsd.nets.blocks import Activations
from hilbertsd.objectives import halves, objective

Array = Any


class Term(NamedTuple):
    """weight · objective(student, teacher), at one place of each."""

    objective: str
    weight: float
    settings: tuple[tuple[str, Any], ...]
    """The objective's own arguments, sorted by name."""
    student_stage: int | None
    """Which of the network's maps; None: the features, or the last maps."""
    teacher_stage: int | None


def term(
    name: str,
    weight: float = 1.0,
    *,
    student_stage: int | None = None,
    teacher_stage: int | None = None,
    **settings: Any,
) -> Term:
    """Return weight · objective(student, teacher; settings), one part of a student's loss.

    What is learned beside the student, where the objective needs it, is made by the trainer: see
    `Beside`.

    Parameters
    ----------
    name : str
        One of `hilbertsd.objectives.OBJECTIVES`.
    weight : float
        0 or more; with 0 the term is left out.
    student_stage, teacher_stage : int, optional
        Which of ``Activations.maps`` is compared. By default an objective on features takes the
        features, one on maps the last maps. "fsp" takes the first and the last maps, and objectives
        on logits the outputs, always.
    **settings
        Keyword arguments of the objective, such as ``temperature=2.0``.

    Raises
    ------
    HilbertSDError
        If there is no such objective or setting, or the weight is below 0 or not finite.

    Examples
    --------
    >>> term("fkd", 2.0, norm_weight=1e-3).settings
    (('norm_weight', 0.001),)
    """
    entry = objective(name)
    check.nonnegative("weight", weight)
    known = inspect.signature(entry.function).parameters.values()
    names = {p.name for p in known if p.kind is p.KEYWORD_ONLY} - {"normalisers"}  # CRD's are found
    if any(p.kind is p.VAR_KEYWORD for p in known):
        names |= set(settings)
    for key, value in settings.items():
        if key not in names:
            raise HilbertSDError(
                f"{name} has no setting {key!r}; it has {', '.join(sorted(names)) or 'none'}."
            )
        if not isinstance(value, float | int | str | bool):
            raise HilbertSDError(f"{key} must be a number or a word, got {value!r}.")
    for label, stage in (("student_stage", student_stage), ("teacher_stage", teacher_stage)):
        if stage is not None and entry.takes in ("logits", "two maps"):
            raise HilbertSDError(f"{name} takes {entry.takes}; leave {label} out.")
        if stage is not None and (isinstance(stage, bool) or not isinstance(stage, int)):
            raise HilbertSDError(f"{label} must be a whole number, got {stage!r}.")
    return Term(name, float(weight), tuple(sorted(settings.items())), student_stage, teacher_stage)


def student_part(one: Term, found: Activations) -> Any:
    """Return what the objective sees of the student, before anything learned."""
    part = _part(one, found, one.student_stage)
    if objective(one.objective).takes != "codes":
        return part
    first, second = halves(part)
    return second if one.objective == "exploration" else first


def teacher_part(one: Term, found: Activations) -> Any:
    """Return what the objective sees of the teacher."""
    return _part(one, found, one.teacher_stage)


def _part(one: Term, found: Activations, stage: int | None) -> Any:
    takes = objective(one.objective).takes
    if takes == "logits":
        return found.outputs
    if takes == "two maps":
        if len(found.maps) < 2:
            raise HilbertSDError(
                f"{one.objective} compares two stages, and the network has {len(found.maps)}."
            )
        return found.maps[0], found.maps[-1]
    if takes == "features" and stage is None:
        return found.features
    where = -1 if stage is None else stage
    if not -len(found.maps) <= where < len(found.maps):
        raise HilbertSDError(
            f"{one.objective} looks at stage {where} of a network with {len(found.maps)} maps."
        )
    return found.maps[where]


def checked_terms(terms: Any) -> tuple[Term, ...]:
    """Return the terms that count, those of positive weight."""
    found = tuple(terms)
    for one in found:
        if not isinstance(one, Term):
            raise HilbertSDError(f"a term is made by term(name, weight), got {one!r}.")
    check.whole_number("number of terms", len(found))
    return tuple(one for one in found if one.weight > 0)
