"""Mutual learning: students trained together, each the others' teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from hilbertsd import inputs as check
from hilbertsd.errors import HilbertSDError
from hilbertsd.nets.blocks import Activations
from hilbertsd.nets.protocol import Make
from hilbertsd.nets.supervised import schedule
from hilbertsd.nets.training import initialise, keys, train
from hilbertsd.objectives import objective, reconstruction
from hilbertsd.schemes.beside import Beside
from hilbertsd.schemes.coders import Coder
from hilbertsd.schemes.distillation import (
    BESIDE,
    Recipe,
    Student,
    activated,
    begun,
    own_loss,
    points,
    several,
    started,
    student_shape,
    unweighted,
    with_terms,
)
from hilbertsd.schemes.teachers import batch_activations
from hilbertsd.schemes.terms import Term, teacher_part

if TYPE_CHECKING:
    from hilbertsd.datasets import Classification

Array = Any


class Cohort(eqx.Module):
    """What is trained: networks, what each learns beside it for each peer, and auto-encoders."""

    networks: tuple[Any, ...]
    beside: tuple[tuple[tuple[Beside, ...], ...], ...]
    """[student][peer][term]."""
    coders: tuple[Coder, ...]
    """One a student where a term compares codes, otherwise none."""


def mutual(
    makes: Sequence[Make],
    data: Classification,
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    stream: int = 0,
    code: int | None = None,
    reconstruction_weight: float = 1.0,
    seeds_in: str | None = None,
    devices: Sequence[Any] | None = None,
    report: Callable[[int, Array], None] | None = None,
) -> list[Student]:
    """Train N students at once, each on its own loss and on what its peers say.

    Σ_n [own loss of n + 1/(N − 1) Σ_{m≠n} Σ_i w_i objective_i(n, m)]

    With ``term("kd", temperature=1.0)`` this is deep mutual learning (DML): KL both ways. A peer is
    a constant in inference mode at the same step; all students take their steps together, where
    the paper lets them take turns. With terms "inheritance" and "exploration" it is IE-DML: the
    peer's maps are seen through an auto-encoder of its own, trained jointly on γ · mean |x − x̂|.

    Parameters
    ----------
    makes : sequence of callables
        One a student, at least 2.
    data : Classification
        For all.
    recipe : Recipe
        Of each student.
    seeds : sequence of int
        One cohort each; student n starts from ``keys(seeds, stream, n)``.
    stream : int
        Folded into the seeds' keys.
    code : int, optional
        Channels of the codes; by default half of the first student's.
    reconstruction_weight : float
        γ.
    seeds_in, devices, report
        As for `hilbertsd.nets.train`.

    Returns
    -------
    list of Student
        Without what is learned beside them; ``losses`` are the cohort's.

    Raises
    ------
    HilbertSDError
        As for `distill`.

    Notes
    -----
    Zhang, Xiang, Hospedales & Lu 2018 (DML); Huang et al. 2021 (IE-DML).

    Examples
    --------
    >>> from hilbertsd import datasets
    >>> from hilbertsd.nets import Training, mlp
    >>> from hilbertsd.schemes import term
    >>> data = datasets.digit_images(50)
    >>> recipe = Recipe(term("kd", temperature=1.0), Training(loss="cross-entropy", steps=5))
    >>> cohort = mutual([lambda key: mlp(64, 10, (4,), key=key)] * 2, data, recipe, seeds=[0, 1])
    >>> [student.model.dense.weight.shape for student in cohort]
    [(2, 10, 4), (2, 10, 4)]
    """
    count = len(several(makes))
    if count < 2:
        raise HilbertSDError(f"mutual learning needs at least 2 students, got {count}.")
    check.nonnegative("reconstruction_weight", reconstruction_weight)
    starts = [begun(make, data, recipe, keys(seeds, stream, n)) for n, make in enumerate(makes)]
    shapes = [shape for _, _, shape in starts]
    codes = _code_channels(recipe.terms, shapes, code)

    extras = _Extras(unweighted(recipe.terms), tuple(shapes), len(data.given), codes)
    beside, past, coders = initialise(extras, keys(seeds, stream, BESIDE))
    done = train(
        _Loss(recipe, reconstruction_weight),
        Cohort(tuple(model for model, _, _ in starts), beside, coders),
        (tuple(state for _, state, _ in starts), past),
        points(data),
        keys(seeds, stream, count),
        **schedule(recipe.training),
        seeds_in=seeds_in,
        devices=devices,
        report=report,
    )
    networks = zip(done.model.networks, done.state[0], strict=True)
    return [Student(model, state, (), done.losses) for model, state in networks]


class _Extras(NamedTuple):
    """What stands beside a cohort as a function of the key; equal for equal shapes."""

    terms: tuple[Term, ...]
    shapes: tuple[Activations, ...]
    samples: int
    codes: int | None

    def __call__(self, key: Array) -> tuple[Any, Any, Any]:
        found = [self._of(n, jax.random.fold_in(key, n)) for n in range(len(self.shapes))]
        beside, past, coders = zip(*found, strict=True)
        return beside, past, () if self.codes is None else coders

    def _of(self, n: int, key: Array) -> tuple[Any, Any, Coder | None]:
        mine, coder = self.shapes[n], None
        pairs = [
            started(
                self.terms,
                [(student_shape(t, mine), _said_shape(t, peer, self.codes)) for t in self.terms],
                self.samples,
                jax.random.fold_in(key, m),
            )
            for m, peer in enumerate(self.shapes)
            if m != n
        ]
        beside, past = zip(*pairs, strict=True)
        if self.codes is not None:
            channels = _maps(self.terms, mine).shape[0]
            coder = Coder.start(channels, self.codes, jax.random.fold_in(key, len(self.shapes)))
        return beside, past, coder


class _Loss(NamedTuple):
    recipe: Recipe
    reconstruction_weight: float

    def __call__(self, model: Cohort, state: Any, batch: Any, key: Array) -> tuple[Array, Any]:
        states, past = state
        terms = self.recipe.terms
        said = [
            batch_activations(network, before, batch["x"])
            for network, before in zip(model.networks, states, strict=True)
        ]
        total, coded = _reconstructed(terms, model.coders, said)
        total = self.reconstruction_weight * total
        after, remembered = [], []
        for n, (network, before) in enumerate(zip(model.networks, states, strict=True)):
            seen, changed = activated(network, before, batch["x"])
            value = own_loss(self.recipe, network, seen, batch["targets"])
            peers = [m for m in range(len(states)) if m != n]
            kept = []
            for i, m in enumerate(peers):
                parts = [_said(t, said[m], coded[m]) for t in terms]
                mine = jax.random.fold_in(jax.random.fold_in(key, n), m)
                value, now = with_terms(
                    value, self.recipe, model.beside[n][i], past[n][i], seen, parts,
                    batch["index"], mine, 1 / len(peers),
                )  # fmt: skip
                kept.append(now)
            total = total + value
            after.append(changed)
            remembered.append(tuple(kept))
        return total, (tuple(after), tuple(remembered))


def _reconstructed(
    terms: Sequence[Term], coders: Sequence[Coder], said: Sequence[Activations]
) -> tuple[Array, list[Any]]:
    """Return Σ_n mean |x − x̂| and the codes of each student's maps, as constants."""
    if not coders:
        return jnp.zeros(()), [None] * len(said)
    total, codes = jnp.zeros(()), []
    for coder, found in zip(coders, said, strict=True):
        maps = _maps(terms, found)
        code = coder.encode(maps)
        total = total + reconstruction(maps, coder.decode(code))
        codes.append(lax.stop_gradient(code))
    return total, codes


def _coded(terms: Sequence[Term]) -> list[Term]:
    return [t for t in terms if objective(t.objective).takes == "codes"]


def _maps(terms: Sequence[Term], found: Activations) -> Any:
    """Return the maps that are seen through an auto-encoder."""
    return teacher_part(_coded(terms)[0], found)


def _said(one: Term, found: Activations, code: Any) -> Any:
    return code if objective(one.objective).takes == "codes" else teacher_part(one, found)


def _said_shape(one: Term, peer: Activations, codes: int | None) -> Any:
    if objective(one.objective).takes == "codes":
        return (codes, *teacher_part(one, peer).shape[1:])
    return jax.tree.map(lambda a: a.shape, teacher_part(one, peer))


def _code_channels(
    terms: Sequence[Term], shapes: Sequence[Activations], code: int | None
) -> int | None:
    """Return the channels of the codes, or None where no term compares codes."""
    coded = _coded(terms)
    if not coded:
        return None
    if len({t.teacher_stage for t in coded}) > 1:
        raise HilbertSDError("inheritance and exploration need the same teacher_stage.")
    maps = teacher_part(coded[0], shapes[0])
    if len(maps.shape) != 3:
        raise HilbertSDError(
            f"codes are made of maps (C, H, W), and the networks have {maps.shape}: take "
            "convolutional networks."
        )
    return max(maps.shape[0] // 2, 1) if code is None else code
