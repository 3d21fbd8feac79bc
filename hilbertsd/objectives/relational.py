"""Objectives on the relations between the samples of a batch, as functions of features.

Each is the objective of the same name on Gram matrices (:mod:`hilbertsd.objectives.grams`,
:mod:`hilbertsd.objectives.dependence`, :mod:`hilbertsd.objectives.projector`) at K = F Fᵀ, where
formulas, normalisations, variants and sources stand. F_s is (B, p) and F_t (B, q): the widths may
differ. Longer shapes, such as maps (B, C, H, W), are flattened to rows. None depends on the order
of the batch, nor on an orthogonal map of the features.

What an objective does not depend on is taken out of the features before K is formed, where it
would cost digits: the norm of each row (FKD and CC), one scale of all (SP, RKD's angles, CKA,
alignment), a shift of all rows (RKD, CKA, HSIC). It is a constant factor or shift, so derivatives
stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp

from hilbertsd import inputs
from hilbertsd.objectives import dependence, grams, projector
from hilbertsd.objectives.arguments import batches, objective, setting, traced
from hilbertsd.objectives.normalisation import bounded, norm, scaled, shifted, unit

Array = Any

_directions = partial(unit, axis=1)


@objective
def fkd(
    student: Array,
    teacher: Array,
    *,
    kernel: str = "correlation",
    norm_weight: float = 0.0,
    power: int = 2,
) -> Array:
    """Return the feature kernel distillation loss (He & Ozay 2022): see :func:`grams.fkd`.

    Parameters
    ----------
    student, teacher
        (B, p), (B, q).
    kernel
        "correlation", the cosines of features, or "linear", their products.
    norm_weight
        Of the regulariser, the mean of ‖h‖^power over the student's features h; 0: none.
    power
        2 or 1.

    Examples
    --------
    >>> import numpy as np
    >>> F_s, F_t = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0], [2.0]])
    >>> float(fkd(F_s, F_t)), float(fkd(F_s, F_t, norm_weight=0.5))
    (1.0, 1.5)
    """
    if kernel != "correlation":
        plain = _grams(student, teacher)
        return grams.fkd(*plain, kernel=kernel, norm_weight=norm_weight, power=power)
    norm_weight = setting(inputs.nonnegative, "norm_weight", norm_weight)
    loss = grams.fkd(*_grams(student, teacher, _directions), power=power)
    if not traced(norm_weight) and norm_weight == 0:
        return loss
    return loss + norm_weight * jnp.mean(norm(_rows(batches(student, teacher)[0]), 1) ** power)


@objective
def sp(student: Array, teacher: Array, *, norm: str = "L2") -> Array:
    """Return the similarity-preserving loss (Tung & Mori 2019): see :func:`grams.sp`.

    Parameters
    ----------
    student, teacher
        (B, p), (B, q).
    norm
        Of the rows of K: "L2" or "L1".
    """
    return grams.sp(*_grams(student, teacher, scaled), norm=norm)


@objective
def cc(student: Array, teacher: Array, *, gamma: float = 0.4, order: float = 2) -> Array:
    """Return the correlation congruence loss (Peng et al. 2019): see :func:`grams.cc`.

    Parameters
    ----------
    student, teacher
        (B, p), (B, q).
    gamma
        γ > 0 of the Gaussian kernel exp(−γ‖x̂ − x̂'‖²) of features of unit norm.
    order
        Of its Taylor sum in x̂·x̂'; ``inf``: the Gaussian itself.
    """
    return grams.cc(*_grams(student, teacher, _directions), gamma=gamma, order=order)


@objective
def pkt(student: Array, teacher: Array, *, epsilon: float = grams.PKT_EPSILON) -> Array:
    """Return the probabilistic transfer loss (Passalis & Tefas 2018): see :func:`grams.pkt`.

    Parameters
    ----------
    student, teacher
        (B, p), (B, q).
    epsilon
        Added to the norms of features and to probabilities.
    """
    return grams.pkt(*_grams(student, teacher, partial(bounded, axis=1)), epsilon=epsilon)


@objective
def rkd_distance(student: Array, teacher: Array) -> Array:
    """Return the relational loss of distances (Park et al. 2019): see :func:`grams.rkd_distance`.

    Parameters
    ----------
    student, teacher
        (B, p), (B, q).

    Examples
    --------
    >>> import numpy as np
    >>> F = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    >>> round(float(rkd_distance(F, 7 * F + 1)), 12)
    0.0
    """
    return grams.rkd_distance(*_grams(student, teacher, shifted, bounded))


@objective
def rkd_angle(student: Array, teacher: Array) -> Array:
    """Return the relational loss of angles (Park et al. 2019): see :func:`grams.rkd_angle`.

    Parameters
    ----------
    student, teacher
        (B, p), (B, q).
    """
    return grams.rkd_angle(*_grams(student, teacher, shifted, scaled))


@objective
def rkd(
    student: Array, teacher: Array, *, distance_weight: float = 25.0, angle_weight: float = 50.0
) -> Array:
    """Return 25 of distances and 50 of angles (Park et al. 2019): see :func:`grams.rkd`.

    Parameters
    ----------
    student, teacher
        (B, p), (B, q).
    distance_weight, angle_weight
        Of :func:`rkd_distance` and of :func:`rkd_angle`.
    """
    for name, weight in {"distance_weight": distance_weight, "angle_weight": angle_weight}.items():
        setting(inputs.nonnegative, name, weight)
    distances, angles = rkd_distance(student, teacher), rkd_angle(student, teacher)
    return distance_weight * distances + angle_weight * angles


@objective
def cka(
    student: Array,
    teacher: Array,
    *,
    kernel: str = "linear",
    bandwidth: float = 1.0,
    median: str = "entries",
    unbiased: bool = False,
) -> Array:
    """Return centred kernel alignment in [0, 1] (Kornblith et al. 2019): :func:`dependence.cka`.

    Parameters
    ----------
    student, teacher
        (B, p), (B, q).
    kernel
        "linear", or "gaussian": :func:`grams.gaussian` with ``bandwidth`` and ``median``.
    unbiased
        Needs B >= 4.

    Examples
    --------
    >>> import numpy as np
    >>> F = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    >>> round(float(cka(F, 7 * F + 1)), 12)
    1.0
    """
    pair = _grams(student, teacher, shifted, scaled)
    return dependence.cka(*_chosen(pair, kernel, bandwidth, median), unbiased=unbiased)


@objective
def hsic(
    student: Array,
    teacher: Array,
    *,
    kernel: str = "linear",
    bandwidth: float = 1.0,
    median: str = "entries",
    estimator: str = "biased",
) -> Array:
    """Return the Hilbert-Schmidt independence criterion: see :func:`dependence.hsic`.

    Parameters
    ----------
    student, teacher
        (B, p), (B, q).
    kernel, bandwidth, median
        As for :func:`cka`.
    estimator
        "biased", "v-statistic" or "unbiased", which needs B >= 4.
    """
    steps = (shifted,) if kernel == "linear" else (shifted, scaled)
    pair = _grams(student, teacher, *steps)
    return dependence.hsic(*_chosen(pair, kernel, bandwidth, median), estimator=estimator)


@objective
def alignment(student: Array, teacher: Array) -> Array:
    """Return kernel alignment, CKA without centring: see :func:`dependence.alignment`."""
    return dependence.alignment(*_grams(student, teacher, scaled))


@objective
def cka_loss(student: Array, teacher: Array, **settings: Any) -> Array:
    """Return 1 − :func:`cka`, with its settings."""
    return 1 - cka(student, teacher, **settings)


@objective
def hsic_loss(student: Array, teacher: Array, **settings: Any) -> Array:
    """Return −:func:`hsic`, with its settings: unbounded below as linear features grow."""
    return -hsic(student, teacher, **settings)


@objective
def alignment_loss(student: Array, teacher: Array) -> Array:
    """Return 1 − :func:`alignment`."""
    return 1 - alignment(student, teacher)


@objective
def fitted_projector(student: Array, teacher: Array, *, weight_decay: float = 1.0) -> Array:
    """Return what the best projector leaves (Miles & Mikolajczyk 2024).

    min over W of ½‖F_s W − F_t‖² + ½ η ‖W‖²: see :func:`projector.fitted_projector`.

    Examples
    --------
    >>> import numpy as np
    >>> F_s, F_t = np.array([[1.0], [0.0]]), np.array([[3.0], [4.0]])
    >>> round(float(fitted_projector(F_s, F_t)), 12)
    10.25
    """
    return projector.fitted_projector(*_grams(student, teacher), weight_decay=weight_decay)


def _rows(features: Array) -> Array:
    return features.reshape(len(features), -1)


def _grams(
    student: Array, teacher: Array, *simplified: Callable[[Array], Array]
) -> tuple[Array, Array]:
    """Return K_s and K_t of features less what an objective does not see."""
    rows = [_rows(features) for features in batches(student, teacher)]
    for simplify in simplified:
        rows = [simplify(features) for features in rows]
    return grams.linear(rows[0]), grams.linear(rows[1])


def _chosen(
    pair: tuple[Array, Array], kernel: str, bandwidth: float, median: str
) -> tuple[Array, Array]:
    if inputs.one_of("kernel", kernel, ("linear", "gaussian")) == "linear":
        return pair
    return grams.gaussian(pair[0], bandwidth, median), grams.gaussian(pair[1], bandwidth, median)
