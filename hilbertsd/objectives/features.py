"""Objectives that compare features entry by entry, after a learned map of the student's.

Student and teacher have one shape: the caller maps the student's features by a regressor of its
own, trained with the student. The teacher is a constant.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hilbertsd import inputs
from hilbertsd.errors import HilbertSDError
from hilbertsd.objectives.arguments import (
    alike,
    batch,
    batches,
    floating,
    objective,
    setting,
    traced,
)
from hilbertsd.objectives.normalisation import least

Array = Any

VARIANCE_FLOOR = 1e-5
"""Least variance in VID, as in its authors' code."""
BATCH_NORM_EPSILON = 1e-4
"""Added to variances by the batch normalisation of the LogSum loss."""


@objective
def fitnet(student: Array, teacher: Array) -> Array:
    """Return the hint loss, the mean over all entries of (s − t)².

    Parameters
    ----------
    student, teacher
        (B, ...), the student's after a learned regressor.

    Notes
    -----
    Romero et al. 2015, (3), which has half the sum over the entries of a sample.

    Examples
    --------
    >>> import numpy as np
    >>> float(fitnet(np.array([[1.0, 2.0]]), np.array([[1.0, 0.0]])))
    2.0
    """
    s, t = alike(student, teacher)
    return jnp.mean((s - t) ** 2)


@objective
def vid(student: Array, teacher: Array, raw_variance: Array) -> Array:
    r"""Return the variational information loss, the mean of ½[(μ − t)²/σ² + log σ²].

    The mean is over all entries; σ² = log(1 + e^ρ) + 1e-5, one a channel.

    Parameters
    ----------
    student, teacher
        (B, C, ...): μ, the student's features after a learned regressor, and t.
    raw_variance
        (C,) ρ, learned; :func:`vid_raw_variance` gives a start.

    Notes
    -----
    Ahn et al. 2019, without the constant ½ log 2π. May be negative.

    Examples
    --------
    >>> import numpy as np
    >>> round(float(vid(np.ones((1, 2)), np.zeros((1, 2)), vid_raw_variance(np.ones(2)))), 6)
    0.5
    """
    s, t = alike(student, teacher)
    rho = floating("raw_variance", raw_variance)
    if rho.shape != s.shape[1:2]:
        raise HilbertSDError(
            f"raw_variance must have one entry a channel, shape {s.shape[1:2]}, got {rho.shape}"
        )
    variance = jax.nn.softplus(rho) + VARIANCE_FLOOR
    variance = variance.reshape(-1, *(1,) * (s.ndim - 2))
    return jnp.mean((s - t) ** 2 / variance + jnp.log(variance)) / 2


@objective
def vid_raw_variance(variance: Array) -> Array:
    """Return ρ with log(1 + e^ρ) + 1e-5 = σ²; the authors start at σ² = 5 in each channel.

    Raises
    ------
    HilbertSDError
        If a variance is not above 1e-5.

    Examples
    --------
    >>> import numpy as np
    >>> vid_raw_variance(np.array([5.0, 1000.0])).round(4).tolist()
    [4.9932, 1000.0]
    """
    if not traced(variance) and not (np.asarray(variance) > VARIANCE_FLOOR).all():
        raise HilbertSDError(f"variance must be above {VARIANCE_FLOOR}, got {variance}")
    above = jnp.asarray(variance) - VARIANCE_FLOOR
    return above + jnp.log(-jnp.expm1(-above))


@objective
def ab(student: Array, teacher: Array, *, margin: float = 1.0, reduction: str = "sum") -> Array:
    r"""Return the activation boundary loss, a squared hinge on the side of zero that t is on.

    Σ [(s + m)² 1(s > −m, t ≤ 0) + (s − m)² 1(s ≤ m, t > 0)] over all entries.

    Parameters
    ----------
    student, teacher
        (B, ...), values **before** the activation, the student's after a learned connector.
    margin
        m >= 0.
    reduction
        "sum" over samples and entries, as the authors' criterion; "batch": that sum over B, which
        does not grow with the batch. Their training multiplies the latter by 3/1000.

    Notes
    -----
    Heo et al. 2019. It jumps where the teacher crosses zero, and is not zero for a student
    equal to its teacher but with entries within the margin.

    Examples
    --------
    >>> import numpy as np
    >>> float(ab(np.array([[0.5, 0.5, 3.0]]), np.array([[1.0, -1.0, 1.0]])))
    2.5
    """
    s, t = alike(student, teacher)
    margin = setting(inputs.nonnegative, "margin", margin)
    active = t > 0
    below, above = ~(s <= -margin) & ~active, ~(s > margin) & active  # NaN in either
    total = jnp.sum((s + margin) ** 2 * below + (s - margin) ** 2 * above)
    whole = inputs.one_of("reduction", reduction, ("sum", "batch")) == "sum"
    return total if whole else total / len(s)


@objective
def logsum(
    student: Array,
    teacher: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    exponent: float = 4.0,
    epsilon: float = BATCH_NORM_EPSILON,
) -> Array:
    r"""Return the projector's loss log Σ |BN(F_s W + b) − BN(F_t)|^exponent.

    The sum is over all B·q entries, so the loss grows by log B with the batch. BN is batch
    normalisation without scale and shift: less the mean, over √(variance + ε), with mean and
    biased variance of **this** batch, in both networks.

    Parameters
    ----------
    student, teacher
        (B, p), (B, q) features.
    weight, bias
        (p, q) and (q,), learned. Without weight p must be q. BN removes the bias: it changes
        nothing, and has no gradient.
    exponent
        The paper's α, at least 1.
    epsilon
        ε >= 0 of BN.

    Notes
    -----
    Miles & Mikolajczyk 2024, and the authors' code. The sum is clamped at the smallest
    normal number: equal features give −708 (float32: −87), with gradient zero.

    Examples
    --------
    >>> import numpy as np
    >>> F = np.array([[-1.0], [1.0]])
    >>> round(float(logsum(F, -F, epsilon=0.0)), 6)      # log(2⁴ + 2⁴)
    3.465736
    """
    s, t = batches(student, teacher, axes=2)
    if weight is not None:
        W = floating("weight", weight)
        if W.shape != (s.shape[1], t.shape[1]):
            raise HilbertSDError(
                f"weight must have shape {(s.shape[1], t.shape[1])}, got {W.shape}"
            )
        s = s @ W
    if bias is not None:
        b = floating("bias", bias)
        if b.shape != (s.shape[1],):
            raise HilbertSDError(f"bias must have shape ({s.shape[1]},), got {b.shape}")
        s = s + b
    exponent = setting(inputs.positive, "exponent", exponent)
    if not traced(exponent) and exponent < 1:
        raise HilbertSDError(
            f"exponent must be at least 1, got {exponent}: below, the gradient is infinite at zero"
        )
    s, t = alike(s, t)
    gap = batch_normalised(s, epsilon) - batch_normalised(t, epsilon)
    total = jnp.sum(jnp.abs(gap) ** exponent)
    return jnp.log(jnp.maximum(total, np.finfo(s.dtype).tiny))


@objective
def batch_normalised(features: Array, epsilon: float = BATCH_NORM_EPSILON) -> Array:
    """Return (F − mean)/√(variance + ε) over the batch, the variance biased (a mean over B)."""
    F, epsilon = batch("features", features), setting(inputs.nonnegative, "epsilon", epsilon)
    F = F - F.mean(axis=0)
    return F * jax.lax.rsqrt(jnp.mean(F**2, axis=0) + jnp.maximum(epsilon, least(F)))
