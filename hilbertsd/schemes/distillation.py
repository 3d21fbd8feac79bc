"""A student trained on its own loss and any objectives of a constant teacher: the small trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from hilbertsd import inputs as check
from hilbertsd.datasets.classification import Classification, classification_set
from hilbertsd.errors import HilbertSDError
from hilbertsd.nets.blocks import AXIS, Activations
from hilbertsd.nets.losses import LOSSES, squared_norm
from hilbertsd.nets.protocol import Make, activation_shapes, made
from hilbertsd.nets.supervised import Training, network_outputs, one_hot, schedule
from hilbertsd.nets.training import initialise, keys, train
from hilbertsd.objectives import objective
from hilbertsd.schemes import beside as besides
from hilbertsd.schemes.beside import Beside, Kept
from hilbertsd.schemes.teachers import Noise, constant, noisy
from hilbertsd.schemes.terms import Term, checked_terms, student_part, teacher_part

Array = Any

BESIDE = 1_000_033
"""Folded into the keys of what is learned beside a student, so that its own start stays."""


def _training() -> Training:
    return Training(loss="cross-entropy")


@dataclass(frozen=True)
class Recipe:
    """What a student learns from: own_weight · its own loss + Σ weight · objective + decay.

    Attributes
    ----------
    terms
        What is learned from the teacher, each made by `term`; one may come alone. Those of weight
        0 are left out.
    training
        Own loss (by default cross-entropy), optimiser, steps, weight decay of the network.
    own_weight
        0 or more.
    noise
        On the teacher's logits; by default none.
    """

    terms: tuple[Term, ...] = ()
    training: Training = field(default_factory=_training)
    own_weight: float = 1.0
    noise: Noise | None = None

    def __post_init__(self) -> None:
        terms = checked_terms(self.terms)
        object.__setattr__(self, "terms", terms)
        check.nonnegative("own_weight", self.own_weight)
        if self.own_weight == 0 and not terms:
            raise HilbertSDError("own_weight=0 and no term of positive weight leave nothing.")
        for name, kind in (("training", Training), ("noise", Noise | None)):
            if not isinstance(given := getattr(self, name), kind):
                raise HilbertSDError(
                    f"{name} must be a {name.capitalize()}, got {type(given).__name__}."
                )
        if self.training.stop_at is not None:
            raise HilbertSDError("students are trained for their steps; leave stop_at out.")


class Student(NamedTuple):
    """Trained networks, stacked over the seeds, and what was learned beside them.

    Attributes
    ----------
    model, state
        The networks: every array has the S seeds as first axis. `accuracy` and `observe` take the
        two; `hilbertsd.nets.member` picks one network.
    beside
        What each term of positive weight learned.
    losses
        (S, steps) of each step's minibatch, all terms and the decay.
    """

    model: Any
    state: Any
    beside: tuple[Beside, ...]
    losses: np.ndarray


class Pupil(eqx.Module):
    """What is trained: a network, and what its terms learn beside it."""

    network: Any
    beside: tuple[Beside, ...]


def distill(
    make: Make,
    data: Classification,
    teacher: Activations | None,
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    stream: int = 0,
    seeds_in: str | None = None,
    devices: Sequence[Any] | None = None,
    report: Callable[[int, Array], None] | None = None,
) -> Student:
    """Train a student a seed on its own loss and on what a teacher says.

    a · (1/B) Σ_b loss(f(x_b), y_b) + Σ_i w_i objective_i(student, teacher) + decay · Σ θ²

    Without terms, or with weights 0, this is `hilbertsd.nets.fit` on the given labels with
    ``keys(seeds, stream)``, bit for bit.

    Parameters
    ----------
    make : callable
        ``make(key) -> (model, state)`` of the student, a network of `hilbertsd.nets` or your own
        (`hilbertsd.nets.Activations`).
    data : Classification
        The student's points and given labels.
    teacher : Activations, optional
        At ``data.x_train``, as `observe` or `ensemble` returns it: arrays (S, K, ...), one teacher
        for each student, or (1, K, ...), one for all.
    recipe : Recipe
        Terms, weights and training.
    seeds : sequence of int
        One student each.
    stream : int
        Folded into the seeds' keys: another number, other starts and orders.
    seeds_in, devices, report
        As for `hilbertsd.nets.train`.

    Returns
    -------
    Student

    Raises
    ------
    HilbertSDError
        If student, teacher, data and an objective do not go together, or a loss is not finite.

    Examples
    --------
    >>> from hilbertsd import datasets
    >>> from hilbertsd.nets import mlp
    >>> from hilbertsd.schemes import observe, term
    >>> data = datasets.digit_images(50)
    >>> training = Training(loss="cross-entropy", steps=5)
    >>> teacher = distill(lambda key: mlp(64, 10, (9,), key=key), data, None, Recipe((), training),
    ...                   seeds=[0, 1])
    >>> said = observe(teacher.model, teacher.state, data.x_train)
    >>> recipe = Recipe(term("fkd", 3.0), training)
    >>> student = distill(lambda key: mlp(64, 10, (4,), key=key), data, said, recipe, seeds=[0, 1])
    >>> student.losses.shape, accuracy(student.model, student.state, data).shape
    ((2, 5), (2,))
    """
    for_start, for_order = jax.vmap(jax.random.split, out_axes=1)(keys(seeds, stream))
    model, state, seen = begun(make, data, recipe, for_start)
    parts, axis = _teacher_data(teacher, recipe.terms, len(data.given), len(for_start))
    terms = tuple(zip(recipe.terms, parts, strict=True))
    lead = 1 if axis is None else 2
    shapes = [
        (student_shape(one, seen), jax.tree.map(lambda a: a.shape[lead:], part))
        for one, part in terms
    ]

    own, past = beside_all(recipe.terms, shapes, len(data.given), keys(seeds, stream, BESIDE))
    done = train(
        _Loss(recipe),
        Pupil(model, own),
        (state, past),
        points(data) | {"teacher": parts},
        for_order,
        **schedule(recipe.training),
        seed_axes={"x": None, "targets": None, "index": None, "teacher": axis},
        seeds_in=seeds_in,
        devices=devices,
        report=report,
    )
    return Student(done.model.network, done.state[0], done.model.beside, done.losses)


def accuracy(model: Any, state: Any, data: Classification) -> np.ndarray:
    """Return the share of test points whose largest output is at the label, (S,).

    Parameters
    ----------
    model, state : pytrees
        S networks, such as ``student.model`` and ``student.state``.
    data : Classification
        Whose test points are taken.

    Raises
    ------
    HilbertSDError
        If the networks cannot be called with the test points.

    Examples
    --------
    >>> from hilbertsd import datasets
    >>> from hilbertsd.nets import mlp
    >>> networks = initialise(lambda key: mlp(64, 10, (4,), key=key), keys([0, 1, 2]))
    >>> accuracy(*networks, datasets.digit_images(50)).shape
    (3,)
    """
    classification_set(data)
    outputs = network_outputs(model, state, data.x_test)
    return np.mean(outputs.argmax(axis=-1) == data.y_test, axis=-1)


class _Loss(NamedTuple):
    """(model, state, batch, key) -> (loss, state); equal for equal recipes: compiled once."""

    recipe: Recipe

    def __call__(self, model: Pupil, state: Any, batch: Any, key: Array) -> tuple[Array, Any]:
        network_state, past = state
        seen, network_state = activated(model.network, network_state, batch["x"])
        value = own_loss(self.recipe, model.network, seen, batch["targets"])
        value, past = with_terms(
            value, self.recipe, model.beside, past, seen, batch["teacher"], batch["index"], key
        )
        return value, (network_state, past)


# --- the beginning of a scheme, shared by all


def begun(
    make: Make, data: Classification, recipe: Recipe, keys: Array
) -> tuple[Any, Any, Activations]:
    """Return networks of every key, their states, and the shapes of what they compute."""
    require_task(data, recipe)
    model, state = made(make, keys)
    seen = activation_shapes(model, state, data.x_train)
    if seen.outputs.shape != (data.classes,):
        raise HilbertSDError(
            f"the network has {seen.outputs.shape[0]} outputs and data {data.classes} classes; "
            f"make it with {data.classes} outputs."
        )
    return model, state, seen


def require_task(data: Any, recipe: Any) -> None:
    """Raise if what is learned, and from what, is something else."""
    classification_set(data)
    if not isinstance(recipe, Recipe):
        raise HilbertSDError(
            f"recipe must be a Recipe, got {type(recipe).__name__}; it is made of terms and a "
            "training by Recipe(terms, training)."
        )


def several(makes: Any) -> Sequence[Make]:
    """Return functions that make networks, if they come in a list."""
    if not isinstance(makes, list | tuple):
        raise HilbertSDError(
            f"makes must be a list of functions of a key, such as [large, small], got "
            f"{type(makes).__name__}."
        )
    return makes


# --- the parts of a loss, shared by the schemes


def points(data: Classification) -> dict[str, Array]:
    """Return what a step draws its batch from."""
    return {
        "x": jnp.asarray(data.x_train),
        "targets": jnp.asarray(one_hot(data.given, data.classes)),
        "index": jnp.arange(len(data.given)),
    }


def activated(network: Any, state: Any, x: Array) -> tuple[Activations, Any]:
    """Return what a network in training computes at a batch, and the state after it."""
    of_one = jax.vmap(
        lambda point, state: network.activations(point, state),
        in_axes=(0, None),
        out_axes=(0, None),
        axis_name=AXIS,
    )
    return of_one(x, state)


def own_loss(recipe: Recipe, network: Any, seen: Activations, targets: Array) -> Array:
    """Return own_weight · mean loss + decay · Σ θ² of the network."""
    training = recipe.training
    value = jnp.mean(LOSSES[training.loss].error(seen.outputs, targets))
    if recipe.own_weight != 1:
        value = recipe.own_weight * value
    if training.weight_decay:
        value = value + training.weight_decay * squared_norm(network, training.decayed)
    return value


def with_terms(
    value: Array,
    recipe: Recipe,
    own: Sequence[Beside],
    past: Sequence[Kept | None],
    seen: Activations,
    parts: Sequence[Any],
    index: Array,
    key: Array,
    share: float = 1.0,
) -> tuple[Array, tuple[Kept | None, ...]]:
    """Return value + share · Σ weight · objective, and what the terms remember."""
    after = []
    for i, (one, extra, before, part) in enumerate(
        zip(recipe.terms, own, past, parts, strict=True)
    ):
        for_noise, for_term = jax.random.split(jax.random.fold_in(key, i))
        if recipe.noise is not None and objective(one.objective).takes == "logits":
            part = noisy(part, recipe.noise, for_noise)
        found, kept = besides.value(
            one, extra, before, student_part(one, seen), part, index, for_term
        )
        value = value + share * one.weight * found
        after.append(kept)
    return value, tuple(after)


def started(
    terms: Sequence[Term], shapes: Sequence[tuple[Any, Any]], samples: int, key: Array
) -> tuple[tuple[Beside, ...], tuple[Kept | None, ...]]:
    """Return the start of what terms learn and remember; shapes of (student, teacher) parts."""
    own, past = [], []
    for i, (one, (student, teacher)) in enumerate(zip(terms, shapes, strict=True)):
        for_beside, for_kept = jax.random.split(jax.random.fold_in(key, i))
        own.append(besides.beside(one, student, teacher, for_beside))
        past.append(besides.kept(one, samples, for_kept))
    return tuple(own), tuple(past)


class _Start(NamedTuple):
    """``started`` as a function of the key; equal for equal shapes: compiled once."""

    terms: tuple[Term, ...]
    shapes: tuple[tuple[Any, Any], ...]
    samples: int

    def __call__(self, key: Array) -> tuple[tuple[Beside, ...], tuple[Kept | None, ...]]:
        return started(self.terms, self.shapes, self.samples, key)


def unweighted(terms: Sequence[Term]) -> tuple[Term, ...]:
    """Return terms of weight 1: what stands beside them is one program for all weights."""
    return tuple(one._replace(weight=1.0) for one in terms)


def beside_all(
    terms: Sequence[Term], shapes: Sequence[tuple[Any, Any]], samples: int, keys: Array
) -> tuple[tuple[Beside, ...], tuple[Kept | None, ...]]:
    """Return ``started`` of every key, stacked."""
    start = _Start(unweighted(terms), tuple(shapes), samples)
    found = eqx.filter_eval_shape(start, jax.random.key(0))
    return initialise(start, keys) if jax.tree.leaves(found) else found


def student_shape(one: Term, seen: Activations) -> Any:
    """Return the shape of the student's part, without the batch."""
    batch = jax.tree.map(lambda a: jax.ShapeDtypeStruct((1, *a.shape), a.dtype), seen)
    if one.objective in ("inheritance", "exploration"):
        maps = teacher_part(one._replace(teacher_stage=one.student_stage), batch)
        channels = maps.shape[1]
        half = channels // 2 if one.objective == "inheritance" else channels - channels // 2
        return (half, *maps.shape[2:])
    return jax.tree.map(lambda a: a.shape[1:], student_part(one, batch))


def _teacher_data(
    teacher: Activations | None, terms: Sequence[Term], samples: int, count: int
) -> tuple[tuple[Any, ...], int | None]:
    """Return each term's part of the teacher, and its seed axis for `train`."""
    if not terms:
        return (), None
    if teacher is None:
        raise HilbertSDError("the recipe has terms, and there is no teacher: pass observe(...).")
    found = jax.tree.map(jnp.asarray, constant("teacher", teacher))
    lead = found.outputs.shape[:2]
    if lead not in ((count, samples), (1, samples)):
        raise HilbertSDError(
            f"the teacher's arrays begin with {lead}; with {count} seeds and {samples} points they "
            f"need ({count}, {samples}) or (1, {samples}), as observe(model, state, data.x_train) "
            "returns them."
        )
    if lead[0] == 1:
        found = jax.tree.map(lambda a: a[0], found)
    return tuple(teacher_part(one, found) for one in terms), (None if lead[0] == 1 else 0)
