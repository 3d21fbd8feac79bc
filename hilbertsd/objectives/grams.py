r"""Gram matrices of features, and distillation objectives as distances between two of them.

F is (B, p), one row a sample; K = F Fᵀ is (B, B), **without** the 1/K of :func:`hilbertsd.gram`;
H = I − 11ᵀ/B. Every objective here takes the student's K_s and the teacher's K_t on the same batch
and returns a number; :mod:`hilbertsd.objectives.relational` gives the same of features, which may
have different widths. The teacher is a constant: its gradient is zero.

Semantics of a batch. All are means over pairs (angles: triples) of one batch, do not depend on its
order, and see no other batch: the expected loss of a batch depends on B where rows or means of
distances are normalised within it (SP, PKT, RKD, CKA). A batch of one gives 0, up to rounding, but
FKD's regulariser; CKA is 0 there too, and its loss 1. NaN gives NaN.

Gradients are finite everywhere. Features of norm zero correlate with nothing, not with themselves,
and get no gradient from what divides by their norm; nor do pairs that coincide, d² at or below the
rounding of K_ii + K_jj − 2 K_ij, from what divides by their distance. A Gram matrix of features
with a large mean has lost the digits of their distances for good: centre the features first, as the
forms on features do.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from hilbertsd import inputs
from hilbertsd.errors import HilbertSDError
from hilbertsd.objectives.arguments import batch, floating, objective, setting, square, squares
from hilbertsd.objectives.normalisation import inverse_root, least, root, scaled, unit

Array = Any

PKT_EPSILON = 1e-7
"""Added to norms and to probabilities by PKT's authors."""
CLAMP = 1e-12
"""Least squared distance of two points in RKD, as in its authors' code."""
_ULPS = 8
"""Differences of this many units of rounding of what they are made of count as zero."""


# Kernels on a batch


@objective
def linear(features: Array) -> Array:
    """Return K = F Fᵀ, the feature kernel's Gram matrix.

    Parameters
    ----------
    features
        (B, p), or (B, ...): more axes are flattened.

    Examples
    --------
    >>> import numpy as np
    >>> linear(np.array([[1.0, 0.0], [1.0, 2.0]])).tolist()
    [[1.0, 1.0], [1.0, 5.0]]
    """
    rows = batch("features", features)
    rows = rows.reshape(len(rows), -1)
    return rows @ rows.T


@objective
def correlation(K: Array) -> Array:
    """Return the correlation kernel R_ij = K_ij/√(K_ii K_jj); zero for samples with K_ii = 0.

    Examples
    --------
    >>> import numpy as np
    >>> correlation(np.array([[4.0, 3.0], [3.0, 9.0]])).tolist()
    [[1.0, 0.5], [0.5, 1.0]]
    """
    K = scaled(square("K", K))
    inverse = inverse_root(jnp.diagonal(K))
    return inverse[:, None] * K * inverse


@objective
def squared_distances(K: Array) -> Array:
    """Return d²_ij = K_ii + K_jj − 2 K_ij; exactly zero where it is no more than rounding.

    That is 8 units of rounding of K_ii + K_jj: in float32 points closer than 1/1000 of their norms
    coincide. Centred features (subtract their mean) have the same distances and smaller norms.
    """
    K = square("K", K)
    norms = jnp.diagonal(K)
    both = norms[:, None] + norms
    d2 = both - 2 * K
    same = (d2 <= _ULPS * np.finfo(K.dtype).eps * both) | np.eye(len(K), dtype=bool)
    return jnp.where(same, 0, d2)


@objective
def gaussian(K: Array, bandwidth: float = 1.0, median: str = "entries") -> Array:
    """Return exp(−d²_ij/(2 bandwidth² m)), m the median squared distance.

    Parameters
    ----------
    K
        (B, B).
    bandwidth
        σ > 0 as a fraction of the median distance.
    median
        Of all B² "entries", the zeros of the diagonal too (the code of Kornblith et al.), or of
        the "pairs" i ≠ j; "distances": the square of the median of all B² distances. It is
        differentiated. A median of zero (half of the batch coincides) gives the constant kernel 1.
    """
    bandwidth = setting(inputs.positive, "bandwidth", bandwidth)
    d2 = squared_distances(scaled(square("K", K)))
    chosen = inputs.one_of("median", median, ("entries", "pairs", "distances"))
    if chosen == "distances":
        middle = jnp.median(root(d2)) ** 2
    elif chosen == "pairs" and len(d2) > 1:
        middle = jnp.median(d2[np.triu_indices(len(d2), 1)])
    else:
        middle = jnp.median(d2)
    some = middle > least(d2)
    inverse = jnp.where(some, 1 / jnp.where(some, middle, 1), 0)
    return jnp.exp(-d2 * inverse / (2 * bandwidth**2))


@objective
def taylor(R: Array, gamma: float = 0.4, order: float = 2) -> Array:
    r"""Return the Gaussian kernel exp(−γ‖x̂ − x̂'‖²) of unit features, or its Taylor sum.

    k = e^{−2γ} Σ_{p≤P} (2γ)^p/p! R^p; positive semidefinite for every P, as powers of R are.

    Parameters
    ----------
    R
        (B, B) correlations x̂·x̂'.
    gamma
        γ > 0.
    order
        P >= 0; ``inf`` is the Gaussian itself.

    Notes
    -----
    Peng et al. 2019.
    """
    R, gamma = floating("R", R), setting(inputs.positive, "gamma", gamma)
    if order == np.inf:
        return jnp.exp(2 * gamma * (R - 1))
    last = inputs.whole_number("order", order)
    total = jnp.ones_like(R)
    for p in range(last, 0, -1):  # Horner
        total = 1 + 2 * gamma / p * R * total
    return jnp.exp(-2 * gamma) * total


@objective
def centred(K: Array) -> Array:
    """Return H K H, the Gram matrix of features less their mean over the batch."""
    K = square("K", K)
    K = K - K.mean(axis=0)
    K = K - K.mean(axis=1, keepdims=True)
    return (K + K.T) / 2


# Objectives


@objective
def fkd(
    K_s: Array, K_t: Array, *, kernel: str = "correlation", norm_weight: float = 0.0, power: int = 2
) -> Array:
    r"""Return the feature kernel distillation loss.

    Σ_{i,j} (R_s − R_t)²_ij/(B(B − 1)) + w (1/B) Σ_i ‖h_i‖^power, h the student's features.

    Parameters
    ----------
    K_s, K_t
        (B, B).
    kernel
        "correlation" (the paper's choice), or "linear": K itself in place of R. The sum is over
        all i, j. The diagonal of R_s − R_t is zero; that of K_s − K_t counts, and is divided by
        B(B − 1) with the rest.
    norm_weight
        w >= 0 of the feature regulariser; 0 leaves it out. R does not depend on the norms of
        features, so with it the regulariser alone governs them.
    power
        2 (the paper): mean ‖h‖²; 1, seen in use: mean ‖h‖.

    Notes
    -----
    He & Ozay 2022, (2) and Algorithm 1. In a batch of one the divisor is 1.

    Examples
    --------
    >>> import numpy as np
    >>> K_s, K_t = np.array([[1.0, 0.5], [0.5, 1.0]]), np.array([[4.0, 0.0], [0.0, 1.0]])
    >>> float(fkd(K_s, K_t))
    0.25
    >>> float(fkd(K_s, K_t, norm_weight=0.1))
    0.35
    """
    norm_weight = setting(inputs.nonnegative, "norm_weight", norm_weight)
    if power not in (1, 2):
        raise HilbertSDError(f"power must be 1 or 2, got {power!r}")
    s, t = squares(K_s, K_t)
    if inputs.one_of("kernel", kernel, ("correlation", "linear")) == "linear":
        gap = s - t
    else:
        gap = correlation(s) - correlation(t)
    loss = jnp.sum(gap**2) / _pairs(len(s))
    lengths = jnp.diagonal(s)
    return loss + norm_weight * jnp.mean(lengths if power == 2 else root(lengths))


@objective
def sp(K_s: Array, K_t: Array, *, norm: str = "L2") -> Array:
    """Return the similarity-preserving loss ‖N(K_s) − N(K_t)‖²_F/B², N: rows to unit norm.

    Parameters
    ----------
    K_s, K_t
        (B, B).
    norm
        Of the rows: "L2" (the paper), or "L1", as one library has it.

    Notes
    -----
    Tung & Mori 2019. One factor for all features changes nothing, a factor for each does.

    Examples
    --------
    >>> import numpy as np
    >>> float(sp(np.eye(2), np.ones((2, 2)), norm="L1"))
    0.25
    """
    s, t = (scaled(K) for K in squares(K_s, K_t))
    if inputs.one_of("norm", norm, ("L2", "L1")) == "L2":
        s, t = unit(s, 1), unit(t, 1)
    else:
        s, t = _shares(s), _shares(t)
    return jnp.sum((s - t) ** 2) / len(s) ** 2


@objective
def cc(K_s: Array, K_t: Array, *, gamma: float = 0.4, order: float = 2) -> Array:
    r"""Return the correlation congruence loss, the mean over B² of (k_s − k_t)².

    k is :func:`taylor` of the correlations: a Gaussian of unit features, to order P in R.

    Parameters
    ----------
    K_s, K_t
        (B, B).
    gamma, order
        γ > 0 and P; ``inf`` is the exact Gaussian.

    Notes
    -----
    Peng et al. 2019. Other published code differs from the paper: one library sums to
    p < P. The authors' own code takes the mean of |f_s − f_t|_i · |f_s − f_t|_{i+1} over
    neighbours in the batch. That depends on the batch's order, needs features of equal width and
    vanishes for a student that errs in every second sample alone: it is no distance of kernels,
    and is not offered.

    Examples
    --------
    >>> import numpy as np
    >>> float(cc(np.eye(2), 9 * np.eye(2)))
    0.0
    """
    s, t = squares(K_s, K_t)
    return jnp.mean(
        (taylor(correlation(s), gamma, order) - taylor(correlation(t), gamma, order)) ** 2
    )


@objective
def pkt(K_s: Array, K_t: Array, *, epsilon: float = PKT_EPSILON) -> Array:
    r"""Return the probabilistic knowledge transfer loss (1/B²) Σ p_t log((p_t + ε)/(p_s + ε)).

    p = (1 + R)/2 with rows divided by their sums, the diagonal kept; in R norms are ‖f‖ + ε.

    Parameters
    ----------
    K_s, K_t
        (B, B).
    epsilon
        ε, 1e-7 in the authors' code, three times: in each norm and in both arguments of the
        logarithm. The loss may then be below zero by as much. Positive.

    Notes
    -----
    Passalis & Tefas 2018. The paper sums over pairs, the code takes the mean over B².

    Examples
    --------
    >>> import numpy as np
    >>> float(pkt(np.eye(3), np.eye(3)))
    0.0
    """
    epsilon = setting(inputs.positive, "epsilon", epsilon)
    s, t = (_transition(K, epsilon) for K in squares(K_s, K_t))
    return jnp.mean(t * (jnp.log(t + epsilon) - jnp.log(s + epsilon)))


@objective
def rkd_distance(K_s: Array, K_t: Array) -> Array:
    r"""Return the relational loss of distances, the mean over B² of huber(d_s/μ_s − d_t/μ_t).

    huber(x) = x²/2 for |x| < 1, |x| − 1/2 above (smooth L1 with β = 1). d_ij is the distance of
    samples i ≠ j, its square clamped at 1e-12, as published; d_ii = 0. μ is the mean of the
    B(B − 1) positive entries, and is differentiated. One scale of all features changes nothing as
    long as distances stay above 1e-6; where all are below, all count as equal.

    Parameters
    ----------
    K_s, K_t
        (B, B).

    Notes
    -----
    Park et al. 2019. The paper's weight for it is 25.

    Examples
    --------
    >>> import numpy as np
    >>> round(float(rkd_distance(np.eye(3), 4 * np.eye(3))), 12)
    0.0
    """
    s, t = (_relative_distances(K) for K in squares(K_s, K_t))
    return jnp.mean(huber(s - t))


@objective
def rkd_angle(K_s: Array, K_t: Array) -> Array:
    r"""Return the relational loss of angles, the mean over B³ of huber(cos_s − cos_t).

    cos_ijk = (x_j − x_i)·(x_k − x_i)/(d_ij d_ik), the cosine at vertex i; its numerator is
    K_jk − K_ij − K_ik + K_ii. It is 0 where i = j, i = k, or two of the points coincide (d² no
    more than rounding). The authors' code has a least length of 1e-12 there; here one scale of all
    features changes nothing.

    Parameters
    ----------
    K_s, K_t
        (B, B). Takes B³ numbers of memory.

    Notes
    -----
    Park et al. 2019. The paper's weight for it is 50.

    Examples
    --------
    >>> import numpy as np
    >>> round(float(rkd_angle(np.eye(3), 4 * np.eye(3))), 12)
    0.0
    """
    s, t = (_cosines(K) for K in squares(K_s, K_t))
    return jnp.mean(huber(s - t))


@objective
def rkd(
    K_s: Array, K_t: Array, *, distance_weight: float = 25.0, angle_weight: float = 50.0
) -> Array:
    """Return 25 :func:`rkd_distance` + 50 :func:`rkd_angle`, the usual sum (Park et al. 2019)."""
    return distance_weight * rkd_distance(K_s, K_t) + angle_weight * rkd_angle(K_s, K_t)


def huber(x: Array) -> Array:
    """Return x²/2 for |x| < 1 and |x| − 1/2 above."""
    size = jnp.abs(x)
    return jnp.where(size < 1, x**2 / 2, size - 0.5)


def _pairs(samples: int) -> int:
    return max(samples * (samples - 1), 1)


def _shares(K: Array) -> Array:
    """Return rows over their L1 norms, zero where a row is."""
    total = jnp.sum(jnp.abs(K), axis=1, keepdims=True)
    some = ~(total <= least(K))
    return jnp.where(some, K / jnp.where(some, total, 1), 0)


def _transition(K: Array, epsilon: float) -> Array:
    inverse = 1 / (root(jnp.diagonal(K)) + epsilon)
    p = (1 + inverse[:, None] * K * inverse) / 2
    return p / jnp.sum(p, axis=1, keepdims=True)


def _relative_distances(K: Array) -> Array:
    distances = jnp.sqrt(jnp.maximum(squared_distances(K), CLAMP)) * (
        1 - np.eye(len(K), dtype=K.dtype)
    )
    if len(K) == 1:
        return distances
    return distances / (jnp.sum(distances) / _pairs(len(K)))


def _cosines(K: Array) -> Array:
    K = scaled(K)
    inverse = inverse_root(squared_distances(K))
    numerator = K[None, :, :] - K[:, :, None] - K[:, None, :] + jnp.diagonal(K)[:, None, None]
    return numerator * inverse[:, :, None] * inverse[:, None, :]
