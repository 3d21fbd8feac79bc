"""Objectives on the relations between the samples of a batch, as functions of features.

Each is the objective of the same name on Gram matrices (:mod:`hilbertsd.objectives.grams`,
:mod:`hilbertsd.objectives.dependence`, :mod:`hilbertsd.objectives.projector`) at K = F Fᵀ, where
formulas, normalisations, variants and sources stand. F_s is (B, p) and F_t (B, q): the widths may
differ. Longer shapes (B, ...) are flattened to rows. None depends on the order of the batch, nor on
an orthogonal map of the features.
"""

from __future__ import annotations

from typing import Any

from hilbertsd import inputs
from hilbertsd.objectives import dependence, grams, projector
from hilbertsd.objectives.arguments import batches, objective

Array = Any


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

    Examples
    --------
    >>> import numpy as np
    >>> F_s, F_t = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0], [2.0]])
    >>> float(fkd(F_s, F_t)), float(fkd(F_s, F_t, norm_weight=0.5))
    (1.0, 1.5)
    """
    K_s, K_t = _linear(student, teacher)
    return grams.fkd(K_s, K_t, kernel=kernel, norm_weight=norm_weight, power=power)


@objective
def sp(student: Array, teacher: Array, *, norm: str = "L2") -> Array:
    """Return the similarity-preserving loss (Tung & Mori 2019): see :func:`grams.sp`."""
    return grams.sp(*_linear(student, teacher), norm=norm)


@objective
def cc(student: Array, teacher: Array, *, gamma: float = 0.4, order: float = 2) -> Array:
    """Return the correlation congruence loss (Peng et al. 2019): see :func:`grams.cc`."""
    return grams.cc(*_linear(student, teacher), gamma=gamma, order=order)


@objective
def pkt(student: Array, teacher: Array, *, epsilon: float = grams.PKT_EPSILON) -> Array:
    """Return the probabilistic transfer loss (Passalis & Tefas 2018): see :func:`grams.pkt`."""
    return grams.pkt(*_linear(student, teacher), epsilon=epsilon)


@objective
def rkd_distance(student: Array, teacher: Array) -> Array:
    """Return the relational loss of distances (Park et al. 2019): see :func:`grams.rkd_distance`.

    Examples
    --------
    >>> import numpy as np
    >>> F = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    >>> round(float(rkd_distance(F, 7 * F + 1)), 12)
    0.0
    """
    return grams.rkd_distance(*_linear(student, teacher))


@objective
def rkd_angle(student: Array, teacher: Array) -> Array:
    """Return the relational loss of angles (Park et al. 2019): see :func:`grams.rkd_angle`."""
    return grams.rkd_angle(*_linear(student, teacher))


@objective
def rkd(
    student: Array, teacher: Array, *, distance_weight: float = 25.0, angle_weight: float = 50.0
) -> Array:
    """Return 25 of distances and 50 of angles (Park et al. 2019): see :func:`grams.rkd`."""
    K_s, K_t = _linear(student, teacher)
    return grams.rkd(K_s, K_t, distance_weight=distance_weight, angle_weight=angle_weight)


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
    K_s, K_t = _chosen(student, teacher, kernel, bandwidth, median)
    return dependence.cka(K_s, K_t, unbiased=unbiased)


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
    """Return the Hilbert-Schmidt independence criterion: see :func:`dependence.hsic`."""
    K_s, K_t = _chosen(student, teacher, kernel, bandwidth, median)
    return dependence.hsic(K_s, K_t, estimator=estimator)


@objective
def alignment(student: Array, teacher: Array) -> Array:
    """Return kernel alignment, CKA without centring: see :func:`dependence.alignment`."""
    return dependence.alignment(*_linear(student, teacher))


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
    return projector.fitted_projector(*_linear(student, teacher), weight_decay=weight_decay)


def _linear(student: Array, teacher: Array) -> tuple[Array, Array]:
    s, t = batches(student, teacher)
    return grams.linear(s), grams.linear(t)


def _chosen(
    student: Array, teacher: Array, kernel: str, bandwidth: float, median: str
) -> tuple[Array, Array]:
    K_s, K_t = _linear(student, teacher)
    if inputs.one_of("kernel", kernel, ("linear", "gaussian")) == "linear":
        return K_s, K_t
    return grams.gaussian(K_s, bandwidth, median), grams.gaussian(K_t, bandwidth, median)
