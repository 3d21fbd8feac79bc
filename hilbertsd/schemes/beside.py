"""What stands beside a student: learned maps to the teacher's shape, embeddings, a memory."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp

from hilbertsd.errors import HilbertSDError
from hilbertsd.objectives import (
    Heads,
    Memory,
    contrastive_heads,
    contrastive_memory,
    crd_normalisers,
    objective,
    refresh,
    vid_raw_variance,
)
from hilbertsd.schemes.coders import Encoder
from hilbertsd.schemes.terms import Term

Array = Any

VID_VARIANCE = 5.0
"""σ² of each channel at the start of VID, as its authors have it."""
NEGATIVES = 256
"""M of CRD; half of the training points where these are fewer than 2M."""
WIDTH = 128
"""d of CRD's and InfoNCE's embeddings."""


class Regressor(eqx.Module):
    """a ↦ W a + b over the channels: of (B, p), or as a 1 × 1 convolution of (B, p, H, W)."""

    weight: Array
    bias: Array

    @classmethod
    def start(cls, inputs: int, outputs: int, key: Array) -> Regressor:
        """Return entries uniform within ±1/√p."""
        bound = inputs**-0.5
        return cls(
            jax.random.uniform(key, (outputs, inputs), minval=-bound, maxval=bound),
            jnp.zeros(outputs),
        )

    def __call__(self, a: Array) -> Array:
        """Return (B, q, ...)."""
        mapped = jnp.einsum("qp,bp...->bq...", self.weight, a)
        return mapped + self.bias.reshape(-1, *(1,) * (a.ndim - 2))


class Beside(eqx.Module):
    """What one term learns beside the student; None where it needs nothing.

    A linear map of the student's channels to the teacher's number of them for objectives that
    compare entry with entry (two for "fsp"); for "vid" also a variance for each channel; for "crd"
    and "info_nce" linear embeddings; for "projector" its weights; for "inheritance" and
    "exploration" an encoder; for "ft" one as the translator, unless its factors are channel means.
    """

    maps: Any = None
    raw_variance: Array | None = None
    heads: Heads | None = None
    weights: Array | None = None


class Kept(NamedTuple):
    """What CRD remembers from step to step."""

    memory: Memory
    normalisers: Array
    """(2,), fixed by the first batch as in the authors' code; 0 before."""


def beside(one: Term, student: Any, teacher: Any, key: Array) -> Beside:
    """Return the start of what a term needs; student and teacher are shapes without the batch."""
    entry = objective(one.objective)
    if entry.takes in ("maps", "codes"):
        for whose, shape in (("student", student), ("teacher", teacher)):
            if len(shape) != 3:
                raise HilbertSDError(
                    f"{one.objective} compares maps (C, H, W), and the {whose} has {shape}: take "
                    "convolutional networks."
                )
    if one.objective in ("crd", "info_nce"):
        sizes = math.prod(student), math.prod(teacher)
        return Beside(heads=contrastive_heads(*sizes, key=key, width=WIDTH))
    if one.objective == "projector":
        sizes = math.prod(student), math.prod(teacher)
        return Beside(weights=Regressor.start(*sizes, key).weight.T)
    if one.objective == "ft" and dict(one.settings).get("factor") == "channel mean":
        return Beside()
    if entry.takes == "codes" or one.objective == "ft":
        return Beside(maps=Encoder.start(student[0], teacher[0], key))
    if not entry.same_shape:
        return Beside()
    if entry.takes == "logits":
        if student != teacher:
            raise HilbertSDError(
                f"{one.objective} compares outputs, and the student has {student[0]} of them, the "
                f"teacher {teacher[0]}: take an objective on features."
            )
        return Beside()
    if entry.takes == "two maps":
        pairs = zip(student, teacher, jax.random.split(key), strict=True)
        return Beside(maps=tuple(Regressor.start(s[0], t[0], k) for s, t, k in pairs))
    variance = None
    if "raw_variance" in entry.needs:
        variance = vid_raw_variance(jnp.full(teacher[0], VID_VARIANCE))
    return Beside(Regressor.start(student[0], teacher[0], key), variance)


def kept(one: Term, samples: int, key: Array) -> Kept | None:
    """Return the start of what a term remembers."""
    if one.objective != "crd":
        return None
    return Kept(contrastive_memory(samples, key=key, width=WIDTH), jnp.zeros(2))


def value(
    one: Term, own: Beside, past: Kept | None, student: Any, teacher: Any, index: Array, key: Array
) -> tuple[Array, Kept | None]:
    """Return the objective on a batch, without its weight, and what is remembered after it.

    ``index`` (B,) are the samples' numbers in the training set.
    """
    function, settings = objective(one.objective).function, dict(one.settings)
    if past is not None:
        return _contrasted(one, own, past, student, teacher, index, key)
    if (learned := own.heads if own.weights is None else own.weights) is not None:
        rows = (a.reshape(len(a), -1) for a in (student, teacher))
        return function(*rows, learned, **settings), None
    if isinstance(own.maps, tuple):
        student = tuple(each(a) for each, a in zip(own.maps, student, strict=True))
    elif own.maps is not None:
        student = own.maps(student)
    if own.raw_variance is not None:
        return function(student, teacher, own.raw_variance, **settings), None
    return function(student, teacher, **settings), None


def _contrasted(
    one: Term, own: Beside, past: Kept, student: Any, teacher: Any, index: Array, key: Array
) -> tuple[Array, Kept]:
    s, t = (a.reshape(len(a), -1) for a in (student, teacher))
    settings, heads = dict(one.settings), cast(Heads, own.heads)
    samples = len(past.memory.student)
    count = max(min(NEGATIVES, samples // 2), 1)
    negatives = jax.random.randint(key, (len(index), count), 0, samples)
    measured = crd_normalisers(s, t, heads, past.memory, index, negatives, **settings)
    fixed = jnp.where(past.normalisers > 0, past.normalisers, jnp.stack(measured))
    found = objective("crd").function(
        s, t, heads, past.memory, index, negatives,
        normalisers=(fixed[0], fixed[1]), **settings,
    )  # fmt: skip
    return found, Kept(refresh(past.memory, s, t, heads, index), fixed)
