"""Chains of teachers: each network is distilled from the one before it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hilbertsd.errors import HilbertSDError
from hilbertsd.nets.protocol import Make
from hilbertsd.schemes.distillation import Recipe, Student, distill, require_task, several
from hilbertsd.schemes.teachers import observe

if TYPE_CHECKING:
    from hilbertsd.datasets import Classification

Array = Any


def generations(
    makes: Sequence[Make],
    data: Classification,
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    seeds_in: str | None = None,
    devices: Sequence[Any] | None = None,
    report: Callable[[int], Callable[[int, Array], None]] | None = None,
) -> list[Student]:
    """Train a network on its own loss alone, then each next one on what the last one says.

    Networks of falling size are a chain of teacher **assistants**; networks of one size are
    **born-again** networks, whose outputs `ensemble` may average.

    With ``term("kd", 1 − a, temperature=1.0)`` and ``own_weight=a`` generation t minimises the
    cross-entropy against a · y + (1 − a) · (predictions of generation t − 1), up to a constant:
    that is `hilbertsd.nets.train_chain` with ``ground_truth_weight=a`` and the cross-entropy,
    the same networks up to rounding. Chains on hard labels are ``train_chain`` with
    ``ChainSettings(labels="hard")``.

    Parameters
    ----------
    makes : sequence of callables
        One a generation, the first the teacher.
    data, seeds, seeds_in, devices
        As for `distill`; generation t has ``stream`` t.
    recipe : Recipe
        Of all but the first, which is trained with its training alone.
    report : callable, optional
        ``report(t)`` returns the report of generation t.

    Returns
    -------
    list of Student

    Raises
    ------
    HilbertSDError
        As for `distill`.

    Notes
    -----
    Mirzadeh et al. 2020 (assistants); Furlanello et al. 2018 (born-again).

    Examples
    --------
    >>> from hilbertsd import datasets
    >>> from hilbertsd.nets import Training, mlp
    >>> from hilbertsd.schemes import term
    >>> data = datasets.digit_images(50)
    >>> recipe = Recipe(term("kd", 0.5), Training(loss="cross-entropy", steps=5), own_weight=0.5)
    >>> found = generations([lambda key: mlp(64, 10, (4,), key=key)] * 2, data, recipe, seeds=[0])
    >>> [student.losses.shape for student in found]
    [(1, 5), (1, 5)]
    """
    if not several(makes):
        raise HilbertSDError("a chain needs at least one network.")
    require_task(data, recipe)
    alone = dataclasses.replace(recipe, terms=(), own_weight=1.0, noise=None)
    where: dict[str, Any] = {"seeds_in": seeds_in, "devices": devices}
    found: list[Student] = []
    for t, make in enumerate(makes):
        teacher = None
        if found:
            teacher = observe(found[-1].model, found[-1].state, data.x_train, **where)
        found.append(
            distill(
                make,
                data,
                teacher,
                recipe if t else alone,
                seeds=seeds,
                stream=t,
                report=None if report is None else report(t),
                **where,
            )
        )
    return found
