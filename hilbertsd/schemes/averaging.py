"""Mean teacher: a student taught by the moving average of its own weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from hilbertsd import inputs as check
from hilbertsd.errors import HilbertSDError
from hilbertsd.nets.protocol import Make
from hilbertsd.nets.supervised import schedule
from hilbertsd.nets.training import keys, train
from hilbertsd.schemes.distillation import (
    BESIDE,
    Pupil,
    Recipe,
    Student,
    activated,
    begun,
    beside_all,
    own_loss,
    points,
    student_shape,
    with_terms,
)
from hilbertsd.schemes.teachers import batch_activations
from hilbertsd.schemes.terms import teacher_part

if TYPE_CHECKING:
    from hilbertsd.datasets import Classification

Array = Any


class Averaged(NamedTuple):
    """Students, and the teachers that are their averages.

    Attributes
    ----------
    student
        The networks that were trained.
    teacher
        The same with averaged weights as its ``model``; everything else is the student's, running
        statistics in ``state`` too.
    """

    student: Student
    teacher: Student


def mean_teacher(
    make: Make,
    data: Classification,
    recipe: Recipe,
    *,
    decay: float = 0.99,
    seeds: Sequence[int],
    stream: int = 0,
    seeds_in: str | None = None,
    devices: Sequence[Any] | None = None,
    report: Callable[[int, Array], None] | None = None,
) -> Averaged:
    """Train students whose teacher is the moving average of their weights.

    θ̄_t = d θ̄_{t−1} + (1 − d) θ_t, with θ̄_{−1} = θ_0 the start; step t + 1 compares the student
    θ_t with the teacher θ̄_t. So θ̄_T = d^{T+1} θ_0 + (1 − d) Σ_{t≤T} d^{T−t} θ_t: the average lags
    about 1/(1 − d) steps behind, and still has the share d^{T+1} of its start.

    Parameters
    ----------
    make, data, recipe, seeds, stream, seeds_in, devices, report
        As for `distill`; the terms compare the student with its average, which is a constant in
        inference mode and shares the student's running statistics. Cost and noise of the paper:
        squared error of predictions between two augmented views; here any objective, at one view.
    decay : float
        d in [0, 1). With 0.99 and 200 steps 13 % of the average are the start.

    Returns
    -------
    Averaged

    Raises
    ------
    HilbertSDError
        As for `distill`, or if d is out of range.

    Notes
    -----
    Tarvainen & Valpola 2017.

    Examples
    --------
    >>> from hilbertsd import datasets
    >>> from hilbertsd.nets import Training, mlp
    >>> from hilbertsd.schemes import accuracy, term
    >>> data = datasets.digit_images(50)
    >>> recipe = Recipe(term("kd", temperature=1.0), Training(loss="cross-entropy", steps=5))
    >>> found = mean_teacher(lambda key: mlp(64, 10, (4,), key=key), data, recipe, decay=0.5,
    ...                      seeds=[0, 1])
    >>> accuracy(found.teacher.model, found.teacher.state, data).shape
    (2,)
    """
    if check.rate("decay", decay) == 1:
        raise HilbertSDError("decay must be below 1: with 1 the average stays at the start.")
    for_start, for_order = jax.vmap(jax.random.split, out_axes=1)(keys(seeds, stream))
    model, state, shape = begun(make, data, recipe, for_start)
    shapes = [
        (student_shape(one, shape), jax.tree.map(lambda a: a.shape, teacher_part(one, shape)))
        for one in recipe.terms
    ]
    own, past = beside_all(recipe.terms, shapes, len(data.given), keys(seeds, stream, BESIDE))
    mean = jax.tree.map(jnp.copy, eqx.filter(model, eqx.is_inexact_array))
    done = train(
        _Loss(recipe, decay),
        Pupil(model, own),
        (state, past, mean),
        points(data),
        for_order,
        **schedule(recipe.training),
        seeds_in=seeds_in,
        devices=devices,
        report=report,
    )
    network, (state, _, mean) = done.model.network, done.state
    student = Student(network, state, done.model.beside, done.losses)
    return Averaged(student, student._replace(model=_averaged(decay, mean, network)[1]))


class _Loss(NamedTuple):
    recipe: Recipe
    decay: float

    def __call__(self, model: Pupil, state: Any, batch: Any, key: Array) -> tuple[Array, Any]:
        network_state, past, mean = state
        mean, teacher = _averaged(self.decay, mean, model.network)
        said = batch_activations(teacher, network_state, batch["x"])
        parts = [teacher_part(one, said) for one in self.recipe.terms]
        seen, network_state = activated(model.network, network_state, batch["x"])
        value = own_loss(self.recipe, model.network, seen, batch["targets"])
        value, past = with_terms(
            value, self.recipe, model.beside, past, seen, parts, batch["index"], key
        )
        return value, (network_state, past, mean)


def _averaged(decay: float, mean: Any, network: Any) -> tuple[Any, Any]:
    """Return the next average, and the network with it as its weights."""
    weights, rest = eqx.partition(network, eqx.is_inexact_array)
    weights = lax.stop_gradient(weights)
    mean = jax.tree.map(lambda m, w: decay * m + (1 - decay) * w, mean, weights)
    return mean, eqx.combine(mean, rest)
