"""Terms of a student's loss: an objective by name, its weight, its settings, and where it looks."""

from __future__ import annotations

import inspect
from numbers import Real
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hilbertsd import inputs as check
from hilbertsd.errors import HilbertSDError
from hilbertsd.nets.blocks import Activations
from hilbertsd.objectives import contrastive_heads, contrastive_memory, halves, objective

Array = Any


class Term(NamedTuple):
    """weight · objective(student, teacher), at one place of each; made by `term`.

    Attributes
    ----------
    objective
        Its name.
    weight
        0 or more.
    settings
        The objective's own arguments, (name, value) sorted by name.
    student_stage, teacher_stage
        Which of a network's maps is compared; None: the features, or the last maps.
    """

    objective: str
    weight: float
    settings: tuple[tuple[str, Any], ...]
    student_stage: int | None
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
        Keyword arguments of the objective, such as ``temperature=2.0``. "kd" compares predictions
        alone: its loss on labels is the student's own, `Recipe`'s ``own_weight``.

    Raises
    ------
    HilbertSDError
        If there is no such objective or setting, the weight is below 0 or not finite, or the
        objective refuses a setting.

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
        if not isinstance(value, Real | str):
            raise HilbertSDError(f"{key} must be a number or a word, got {value!r}.")
    if name == "kd" and settings.get("imitation_weight", 1) != 1:
        raise HilbertSDError(
            "a term sees no labels, so imitation_weight of kd stays 1; (1 - w) · cross-entropy + "
            "w · kd is Recipe((term('kd', w),), own_weight=1 - w)."
        )
    if settings:
        _tried(name, settings)
    for label, stage in (("student_stage", student_stage), ("teacher_stage", teacher_stage)):
        if stage is not None and entry.takes in ("logits", "two maps"):
            raise HilbertSDError(f"{name} takes {entry.takes}; leave {label} out.")
        if stage is not None and (isinstance(stage, bool) or not isinstance(stage, int)):
            raise HilbertSDError(f"{label} must be a whole number, got {stage!r}.")
    return Term(name, float(weight), tuple(sorted(settings.items())), student_stage, teacher_stage)


def _tried(name: str, settings: dict[str, Any]) -> None:
    """Let the objective refuse settings at once: ask for its shape on a batch of four."""
    entry, key = objective(name), jax.random.key(0)

    def value() -> Array:
        rows, maps = jnp.ones((4, 3)), jnp.ones((4, 2, 2, 2))
        seen = {"logits": rows, "features": rows, "two maps": (maps, maps)}.get(entry.takes, maps)
        needed = {
            "weights": jnp.ones((3, 3)),
            "raw_variance": jnp.ones(3),
            "heads": contrastive_heads(3, 3, key=key, width=2),
            "memory": contrastive_memory(4, key=key, width=2),
            "positives": jnp.arange(4),
            "negatives": jnp.zeros((4, 2), int),
        }
        return entry.function(seen, seen, *(needed[part] for part in entry.needs), **settings)

    try:
        jax.eval_shape(value)
    except HilbertSDError:
        raise
    except (TypeError, ValueError) as error:
        said = ", ".join(f"{key}={one!r}" for key, one in settings.items())
        raise HilbertSDError(f"{name} cannot be computed with {said}: {error}") from error


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
    """Return the terms that count, those of positive weight; one term may come alone."""
    if isinstance(terms, Term):
        terms = (terms,)
    if not isinstance(terms, list | tuple):
        raise HilbertSDError(
            f"terms must be a tuple of terms, such as (term('fkd', 3.0),), got "
            f"{type(terms).__name__}."
        )
    for one in terms:
        if not isinstance(one, Term):
            raise HilbertSDError(f"a term is made by term(name, weight), got {one!r}.")
    return tuple(one for one in terms if one.weight > 0)
