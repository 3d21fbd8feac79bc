"""A student trained on its own loss and any objectives of a constant teacher: the small trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from hilbertsd import inputs as check
from hilbertsd.errors import HilbertSDError
from hilbertsd.nets.blocks import AXIS, Activations
from hilbertsd.nets.losses import LOSSES, squared_norm
from hilbertsd.nets.supervised import Training, chosen_optimizer, network_outputs, one_hot
from hilbertsd.nets.training import initialise, keys, train
from hilbertsd.objectives import objective
from hilbertsd.schemes import beside as besides
from hilbertsd.schemes.beside import Beside, Kept
from hilbertsd.schemes.teachers import Noise, noisy
from hilbertsd.schemes.terms import Term, checked_terms, student_part, teacher_part

if TYPE_CHECKING:
    from hilbertsd.datasets import Classification

Array = Any
Make = Callable[[Array], tuple[Any, Any]]

BESIDE = 1_000_033
"""Folded into the keys of what is learned beside a student, so that its own start stays."""


def _training() -> Training:
    return Training(loss="cross-entropy")


@dataclass(frozen=True)
class Recipe:
    """What a student learns from: own_weight · its own loss + Σ weight · objective + decay."""

    terms: tuple[Term, ...] = ()
    training: Training = field(default_factory=_training)
    """Own loss (by default cross-entropy), optimiser, steps, weight decay of the network."""
    own_weight: float = 1.0
    noise: Noise | None = None
    """On the teacher's logits."""

    def __post_init__(self) -> None:
        terms = checked_terms(self.terms)
        object.__setattr__(self, "terms", terms)
        check.nonnegative("own_weight", self.own_weight)
        if self.own_weight == 0 and not terms:
            raise HilbertSDError("own_weight=0 and no term of positive weight leave nothing.")
        if self.training.stop_at is not None:
            raise HilbertSDError("students are trained for their steps; leave stop_at out.")
        if self.noise is not None:
            object.__setattr__(self, "noise", Noise(*self.noise).checked())


class Student(NamedTuple):
    """Trained networks, stacked over the seeds, and what was learned beside them."""

    model: Any
    state: Any
    beside: tuple[Beside, ...]
    """One a term of positive weight."""
    losses: np.ndarray
    """(S, steps) of each step's minibatch, all terms and the decay."""


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
        ``make(key) -> (model, state)`` of the student.
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
        If student, teacher and an objective do not go together, or a loss is not finite.

    Examples
    --------
    See the page on schemes of the documentation.
    """
    for_start, for_order = jax.vmap(jax.random.split, out_axes=1)(keys(seeds, stream))
    model, state = initialise(make, for_start)
    seen = activation_shapes(model, state, data.x_train)
    parts, axis = _teacher_data(teacher, recipe.terms, len(data.given), len(for_start))
    terms = tuple(zip(recipe.terms, parts, strict=True))
    lead = 1 if axis is None else 2
    shapes = [
        (student_shape(one, seen), jax.tree.map(lambda a: a.shape[lead:], part))
        for one, part in terms
    ]

    own, past = beside_all(recipe.terms, shapes, len(data.given), keys(seeds, stream, BESIDE))
    inputs = {
        "x": jnp.asarray(data.x_train),
        "targets": jnp.asarray(one_hot(data.given, data.classes)),
        "index": jnp.arange(len(data.given)),
        "teacher": parts,
    }
    done = train(
        _Loss(recipe),
        Pupil(model, own),
        (state, past),
        inputs,
        for_order,
        optimizer=chosen_optimizer(recipe.training),
        steps=recipe.training.steps,
        batch=recipe.training.batch,
        seed_axes={"x": None, "targets": None, "index": None, "teacher": axis},
        every=recipe.training.check_every,
        seeds_in=seeds_in,
        devices=devices,
        report=report,
    )
    return Student(done.model.network, done.state[0], done.model.beside, done.losses)


def accuracy(model: Any, state: Any, data: Classification) -> np.ndarray:
    """Return the share of test points whose largest output is at the label, (S,)."""
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


# --- the parts of a loss, shared by the schemes


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


def beside_all(
    terms: Sequence[Term], shapes: Sequence[tuple[Any, Any]], samples: int, keys: Array
) -> tuple[tuple[Beside, ...], tuple[Kept | None, ...]]:
    """Return ``started`` of every key, stacked."""
    same = tuple(one._replace(weight=1.0) for one in terms)  # another weight, the same program
    start = _Start(same, tuple(shapes), samples)
    found = eqx.filter_eval_shape(start, jax.random.key(0))
    return initialise(start, keys) if jax.tree.leaves(found) else found


def activation_shapes(model: Any, state: Any, x: Any) -> Activations:
    """Return shapes of what stacked networks compute at one point, as `jax.ShapeDtypeStruct`s."""

    def of_one(model: Any, state: Any, point: Array) -> Activations:
        return eqx.nn.inference_mode(model).activations(point, state)[0]

    stacked = eqx.filter_eval_shape(
        eqx.filter_vmap(of_one, in_axes=(eqx.if_array(0), eqx.if_array(0), None)),
        model,
        state,
        jnp.asarray(x[0]),
    )
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), stacked)


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
    found = jax.tree.map(jnp.asarray, teacher)
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
