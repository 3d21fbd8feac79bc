r"""Contrastive objectives: CRD with its memory of negatives, and InfoNCE within the batch.

They are two losses. **CRD** (Tian, Krishnan & Isola 2020) is noise-contrastive estimation: each
pair of a sample with itself or with one of M negatives, drawn from a memory of the whole training
set, is classified on its own. **InfoNCE** (van den Oord et al. 2018) asks which of the batch's
samples is the right one; it needs no memory, and is the small form.

Embeddings are linear and of unit norm, of the student's features and of the teacher's. Both maps
are learned; the teacher's **features** are constants, and so is the memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hilbertsd import inputs
from hilbertsd.errors import HilbertSDError
from hilbertsd.objectives.arguments import batches, objective, places, setting
from hilbertsd.objectives.normalisation import unit

Array = Any

NCE_EPSILON = 1e-7
"""Added to the noise's share in the denominators by CRD's authors."""


class Heads(NamedTuple):
    """Linear embeddings of student and teacher, learned with the student."""

    student_weight: Array
    """(p, d)."""
    student_bias: Array
    """(d,)."""
    teacher_weight: Array
    """(q, d)."""
    teacher_bias: Array
    """(d,)."""


class Memory(NamedTuple):
    """The latest embeddings of all N samples of the training set, rows of about unit norm."""

    student: Array
    """(N, d)."""
    teacher: Array
    """(N, d)."""


def contrastive_heads(
    student_width: int, teacher_width: int, *, key: Array, width: int = 128, dtype: Any = "float32"
) -> Heads:
    """Return embeddings into d = width dimensions, entries uniform within ±1/√p and ±1/√q."""
    keys = jax.random.split(key, 4)
    draw = [
        jax.random.uniform(k, shape, dtype, -(entering**-0.5), entering**-0.5)
        for k, shape, entering in zip(
            keys,
            ((student_width, width), (width,), (teacher_width, width), (width,)),
            (student_width, student_width, teacher_width, teacher_width),
            strict=True,
        )
    ]
    return Heads(*draw)


def contrastive_memory(
    samples: int, *, key: Array, width: int = 128, dtype: Any = "float32"
) -> Memory:
    """Return a memory of N samples, entries uniform within ±√(3/d): rows of norm about 1."""
    bound = (3 / width) ** 0.5
    draw = [
        jax.random.uniform(k, (samples, width), dtype, -bound, bound) for k in jax.random.split(key)
    ]
    return Memory(*draw)


def embeddings(student: Array, teacher: Array, heads: Heads | None) -> tuple[Array, Array]:
    """Return unit embeddings (B, d) of both, the teacher's features constant."""
    s, t = batches(student, teacher, axes=2)
    if heads is not None:
        s = s @ jnp.asarray(heads.student_weight) + jnp.asarray(heads.student_bias)
        t = t @ jnp.asarray(heads.teacher_weight) + jnp.asarray(heads.teacher_bias)
    if s.shape != t.shape:
        raise HilbertSDError(
            f"student and teacher are embedded in {s.shape[1]} and {t.shape[1]} dimensions; pass "
            "heads (contrastive_heads makes some) that lead to one space"
        )
    return unit(s, 1), unit(t, 1)


@objective
def crd(
    student: Array,
    teacher: Array,
    heads: Heads,
    memory: Memory,
    positives: Array,
    negatives: Array,
    *,
    temperature: float = 0.07,
    normalisers: tuple[float, float] = (1.0, 1.0),
) -> Array:
    r"""Return the contrastive representation loss, noise-contrastive with a memory of negatives.

    −(1/B) Σ_i [log h_ii + Σ_j log(1 − h_ij)], j over the M negatives of i, with
    h = P/(P + M/N + ε) and P = e^{u·v/τ}/Z, once with the student's embedding u against the
    teacher's in memory, once the other way round, added.

    Parameters
    ----------
    student, teacher
        (B, p), (B, q) features.
    heads
        Learned embeddings into d dimensions (the paper: 128).
    memory
        Of all N samples; constant. :func:`refresh` brings it up to date after each step.
    positives
        (B,) the samples' numbers in the training set.
    negatives
        (B, M) numbers of others, drawn uniformly from all N; `hilbertsd.schemes` draws
        M = min(256, N // 2).
    temperature
        τ > 0.
    normalisers
        (Z_s, Z_t), the first for anchors in the student. Pass :func:`crd_normalisers` of the first
        batch in the whole run, as the authors' code does and `hilbertsd.schemes` too: with the
        default, (1, 1), the formula in print, P is up to e^{1/τ} = 1.6e6, the loss large, and
        samples are turned from their own pairs too.

    Notes
    -----
    Tian, Krishnan & Isola 2020, (18)-(19), and its code: ε = 1e-7, and log(1 − h) is the log of
    (M/N)/(P + M/N + ε). Means over the batch, sums over the negatives.

    Examples
    --------
    >>> import jax
    >>> F = jax.random.normal(jax.random.key(0), (4, 6))
    >>> heads = contrastive_heads(6, 6, key=jax.random.key(1), width=8)
    >>> memory = contrastive_memory(10, key=jax.random.key(2), width=8)
    >>> numbers = jax.numpy.arange(4)
    >>> others = jax.random.randint(jax.random.key(3), (4, 5), 0, 10)
    >>> crd(F, F, heads, memory, numbers, others).shape
    ()
    """
    temperature = setting(inputs.positive, "temperature", temperature)
    constants = [setting(inputs.positive, "normalisers", Z) for Z in normalisers]
    samples = len(memory.teacher)
    entries = _entries(positives, negatives, len(student), samples)
    anchors = embeddings(student, teacher, heads)
    return sum(
        _noise_contrastive(_log_scores(anchor, bank, entries, temperature) - jnp.log(Z), samples)
        for anchor, bank, Z in zip(
            anchors, (memory.teacher, memory.student), constants, strict=True
        )
    )


@objective
def crd_normalisers(
    student: Array,
    teacher: Array,
    heads: Heads,
    memory: Memory,
    positives: Array,
    negatives: Array,
    *,
    temperature: float = 0.07,
) -> tuple[Array, Array]:
    """Return (Z_s, Z_t) = N times the mean of e^{u·v/τ} over a batch's pairs, as constants."""
    temperature = setting(inputs.positive, "temperature", temperature)
    entries = _entries(positives, negatives, len(student), len(memory.teacher))
    pairs = zip(embeddings(student, teacher, heads), (memory.teacher, memory.student), strict=True)
    scores = (jnp.exp(_log_scores(anchor, bank, entries, temperature)) for anchor, bank in pairs)
    Z_s, Z_t = (jax.lax.stop_gradient(len(memory.teacher) * jnp.mean(score)) for score in scores)
    return Z_s, Z_t


@objective
def refresh(
    memory: Memory,
    student: Array,
    teacher: Array,
    heads: Heads,
    positives: Array,
    *,
    momentum: float = 0.5,
) -> Memory:
    """Return the memory with rows ``positives`` moved towards this batch's embeddings.

    A row becomes momentum · row + (1 − momentum) · embedding, to unit norm.
    """
    memory, momentum = Memory(*map(jnp.asarray, memory)), setting(inputs.rate, "momentum", momentum)
    where = places("positives", positives, len(memory.student))
    news = embeddings(student, teacher, heads)
    rows = (
        old.at[where].set(unit(momentum * old[where] + (1 - momentum) * new, 1))
        for old, new in zip(memory, news, strict=True)
    )
    return Memory(*(jax.lax.stop_gradient(row) for row in rows))


@objective
def info_nce(
    student: Array,
    teacher: Array,
    heads: Heads | None = None,
    *,
    temperature: float = 0.07,
    symmetric: bool = False,
) -> Array:
    r"""Return −(1/B) Σ_i log(e^{u_i·v_i/τ}/Σ_j e^{u_i·v_j/τ}), the batch its own negatives.

    Parameters
    ----------
    student, teacher
        (B, p), (B, q) features; u and v are their unit embeddings.
    heads
        Learned embeddings; without, the features themselves, and p must be q.
    temperature
        τ > 0.
    symmetric
        The mean of this and of the same with student and teacher exchanged.

    Notes
    -----
    van den Oord et al. 2018, (4); log B − loss bounds the mutual information from below. A batch
    of one gives 0; a student equal to its teacher does not give 0.

    Examples
    --------
    >>> import numpy as np
    >>> round(float(info_nce(np.eye(2), np.eye(2), temperature=1.0)), 6)     # log(1 + 1/e)
    0.313262
    """
    temperature = setting(inputs.positive, "temperature", temperature)
    u, v = embeddings(student, teacher, heads)
    scores = u @ v.T / temperature
    forward = -jnp.mean(jnp.diagonal(jax.nn.log_softmax(scores, axis=1)))
    if not symmetric:
        return forward
    return (forward - jnp.mean(jnp.diagonal(jax.nn.log_softmax(scores, axis=0)))) / 2


def _entries(positives: Array, negatives: Array, batch: int, samples: int) -> Array:
    """Return (B, 1 + M) numbers of memory's N rows, the positive first."""
    shapes = np.shape(positives), np.shape(negatives)
    if shapes[0] != (batch,) or len(shapes[1]) != 2 or shapes[1][0] != batch:
        raise HilbertSDError(
            f"positives must have shape ({batch},) and negatives ({batch}, M), got "
            f"{shapes[0]} and {shapes[1]}"
        )
    first, others = places("positives", positives, samples), places("negatives", negatives, samples)
    return jnp.concatenate([first[:, None], others], axis=1)


def _log_scores(anchor: Array, bank: Array, entries: Array, temperature: float) -> Array:
    """Return u·v/τ, (B, 1 + M)."""
    rows = jax.lax.stop_gradient(jnp.asarray(bank))[entries]
    return jnp.einsum("bd,bmd->bm", anchor, rows) / temperature


def _noise_contrastive(log_scores: Array, samples: int) -> Array:
    """Return −(1/B) Σ [log h of the positive + Σ log(1 − h) of the negatives]."""
    noise = (log_scores.shape[1] - 1) / samples
    both = jnp.logaddexp(log_scores, jnp.log(noise + NCE_EPSILON))
    positive = log_scores[:, 0] - both[:, 0]
    negative = jnp.sum(jnp.log(noise) - both[:, 1:], axis=1)
    return -jnp.mean(positive + negative)
