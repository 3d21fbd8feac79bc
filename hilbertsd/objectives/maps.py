"""Objectives on feature maps (B, C, H, W): attention, flow between layers, factors, selectivity.

Where student and teacher differ in height or width, the larger is average-pooled to the smaller;
channels may differ in number where an objective does not say otherwise. All are means over the
batch, of what each sample gives alone. The teacher is a constant.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hilbertsd import inputs
from hilbertsd.errors import HilbertSDError
from hilbertsd.objectives.arguments import alike, batches, floating, objective
from hilbertsd.objectives.normalisation import norm, unit

Array = Any


@objective
def at(student: Array, teacher: Array) -> Array:
    """Return the attention transfer loss, the mean over B·H·W of (Q_s − Q_t)².

    Q is a sample's :func:`attention_map`, (H, W) and of unit L2 norm.

    Parameters
    ----------
    student, teacher
        (B, C, H, W).

    Notes
    -----
    Zagoruyko & Komodakis 2017, (2), in the form of the authors' code: the paper writes the norm of
    Q_s − Q_t, not its mean square.

    Examples
    --------
    >>> import numpy as np
    >>> A = np.array([[[[1.0, 0.0]]]])
    >>> float(at(A, A[..., ::-1])), float(at(A, 3 * A))
    (1.0, 0.0)
    """
    s, t = _one_size(*batches(student, teacher, axes=4))
    return jnp.mean((attention_map(s) - attention_map(t)) ** 2)


@objective
def attention_map(maps: Array) -> Array:
    """Return (B, H, W): the mean over channels of A², each sample to unit L2 norm (0 if A = 0)."""
    return unit(jnp.mean(floating("maps", maps) ** 2, axis=1), (1, 2))


@objective
def fsp(student: tuple[Array, Array], teacher: tuple[Array, Array]) -> Array:
    r"""Return the flow loss, the mean over B·C_1·C_2 of (G_s − G_t)².

    G = (1/(HW)) A_1 A_2ᵀ, (C_1, C_2) for each sample, between the maps of two layers.

    Parameters
    ----------
    student, teacher
        Two layers' maps, (B, C_1, H_1, W_1) and (B, C_2, H_2, W_2); the larger is average-pooled.
        C_1 and C_2 must be the teacher's, H and W need not.

    Notes
    -----
    Yim et al. 2017, (1)-(2). The paper sums over the entries of G and weighs pairs of layers; some
    published code sums norms of columns. The mean is RepDistiller's.

    Examples
    --------
    >>> import numpy as np
    >>> A = np.ones((1, 1, 2, 2))
    >>> float(fsp((A, 2 * A), (A, A)))
    1.0
    """
    for name, pair in (("student", student), ("teacher", teacher)):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise HilbertSDError(f"{name} must be a pair, the maps of two layers")
    s, t = alike(flow(*student), flow(*teacher))
    return jnp.mean((s - t) ** 2)


@objective
def flow(first: Array, second: Array) -> Array:
    """Return G = (1/(HW)) A_1 A_2ᵀ, (B, C_1, C_2), of two layers' maps (larger one pooled)."""
    pair = floating("first", first), floating("second", second)
    for name, A in zip(("first", "second"), pair, strict=True):
        if A.ndim != 4:
            raise HilbertSDError(f"{name} must have shape (B, C, H, W), got {A.shape}")
    A, B = _one_size(*pair)
    return jnp.einsum("bchw,bdhw->bcd", A, B) / (A.shape[2] * A.shape[3])


@objective
def ft(student: Array, teacher: Array, *, factor: str = "full") -> Array:
    """Return the factor transfer loss, the mean of |f_s − f_t| over samples and entries.

    f is a sample's factor, flattened and of unit L2 norm.

    Parameters
    ----------
    student, teacher
        Factors (B, C, H, W): the translator's of the student, the paraphraser's of the teacher.
        "full" factors may have any one shape (B, ...).
    factor
        "full": all C·H·W entries (the paper; C must be equal); "channel mean": of H·W entries, the
        mean over channels of A², without paraphraser and translator, as RepDistiller has it.

    Notes
    -----
    Kim, Park & Kwak 2018, with p = 1.

    Examples
    --------
    >>> import numpy as np
    >>> A = np.array([[[[3.0, 4.0]]]])
    >>> round(float(ft(A, A[..., ::-1])), 12), round(float(ft(A, A**0, factor="channel mean")), 6)
    (0.2, 0.190657)
    """
    if inputs.one_of("factor", factor, ("full", "channel mean")) == "full":
        s, t = batches(student, teacher)
        if s.ndim == t.ndim == 4:
            s, t = _one_size(s, t)
        s, t = alike(s, t)
        return jnp.mean(jnp.abs(_rows(s) - _rows(t)))
    s, t = _one_size(*batches(student, teacher, axes=4))
    return jnp.mean(jnp.abs(attention_map(s) - attention_map(t)))


@objective
def nst(student: Array, teacher: Array) -> Array:
    r"""Return the neuron selectivity loss, the mean over samples of an MMD² between channels.

    MMD² = mean_{cc'} k(t_c, t_c') + mean_{cc'} k(s_c, s_c') − 2 mean_{cc'} k(s_c, t_c'), means over
    all pairs of channels, c = c' too; k(u, v) = (u·v)², channels' maps flattened, unit L2 norm.

    Parameters
    ----------
    student, teacher
        (B, C_s, H, W), (B, C_t, H, W).

    Notes
    -----
    Huang & Wang 2017, with the polynomial kernel of degree 2 and offset 0. The constant
    first term is kept, so that the loss is a distance: 0 for equal maps.

    Examples
    --------
    >>> import numpy as np
    >>> A = np.eye(2).reshape(1, 2, 1, 2)
    >>> float(nst(A, A[:, ::-1])), float(nst(A, A[:, :1]))
    (0.0, 0.5)
    """
    s, t = _one_size(*batches(student, teacher, axes=4))
    s, t = (unit(A.reshape(*A.shape[:2], -1), 2) for A in (s, t))
    between = jnp.mean((s @ jnp.swapaxes(t, 1, 2)) ** 2)
    within = (jnp.mean((A @ jnp.swapaxes(A, 1, 2)) ** 2) for A in (s, t))
    return sum(within) - 2 * between


@objective
def od(student: Array, teacher: Array, *, unit_norm: bool = False) -> Array:
    """Return the distance of positive parts, the mean over samples of ‖max(s, 0) − max(t, 0)‖₂.

    Parameters
    ----------
    student, teacher
        (B, ...) of one shape; larger maps are average-pooled.
    unit_norm
        Whether each sample, flattened, is first taken to unit L2 norm: the distance is then at
        most √2, and its negative, as :func:`exploration` has it, bounded below. Not of the papers.

    Notes
    -----
    Overhaul distillation (Heo, Kim et al. 2019) in the form of Huang et al. 2021. The original has
    a margin for each channel, squares, and leaves entries out where s ≤ t ≤ 0. The derivative at
    equal positive parts is 0.

    Examples
    --------
    >>> import numpy as np
    >>> a, b = np.array([[3.0, -9.0]]), np.array([[-1.0, 4.0]])
    >>> float(od(a, b)), round(float(od(100 * a, b, unit_norm=True)), 6)
    (5.0, 1.020381)
    """
    s, t = batches(student, teacher)
    if s.ndim == t.ndim == 4:
        s, t = _one_size(s, t)
    s, t = (A.reshape(len(A), -1) for A in alike(s, t))
    if unit_norm:
        s, t = unit(s, 1), unit(t, 1)
    return jnp.mean(norm(jax.nn.relu(s) - jax.nn.relu(t), 1))


@objective
def average_pool(maps: Array, height: int, width: int) -> Array:
    """Return maps of a smaller size, each entry the mean of its block.

    Block i of m over n rows runs from ⌊i n/m⌋ to ⌈(i + 1) n/m⌉: blocks overlap where m does not
    divide n, as adaptive average pooling has it elsewhere.

    Examples
    --------
    >>> import numpy as np
    >>> average_pool(np.arange(5.0).reshape(1, 1, 1, 5), 1, 2).tolist()
    [[[[1.0, 3.0]]]]
    """
    A = floating("maps", maps)
    check = partial(inputs.whole_number, least=1)
    height, width = check("height", height), check("width", width)
    rows, columns = (_blocks(n, m) for n, m in ((A.shape[2], height), (A.shape[3], width)))
    return jnp.einsum("ih,bchw,jw->bcij", rows.astype(A.dtype), A, columns.astype(A.dtype))


def _blocks(n: int, m: int) -> np.ndarray:
    """Return the (m, n) matrix of means over blocks."""
    weights = np.zeros((m, n))
    for i in range(m):
        block = slice(i * n // m, -(-(i + 1) * n // m))
        weights[i, block] = 1 / (block.stop - block.start)
    return weights


def _one_size(a: Array, b: Array) -> tuple[Array, Array]:
    size = tuple(min(pair) for pair in zip(a.shape[2:], b.shape[2:], strict=True))
    return tuple(A if A.shape[2:] == size else average_pool(A, *size) for A in (a, b))  # type: ignore


def _rows(x: Array) -> Array:
    """Return samples flattened to unit L2 norm."""
    return unit(x.reshape(len(x), -1), 1)
