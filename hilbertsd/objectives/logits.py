"""Objectives on logits: the softened Kullback-Leibler divergence and the regression of logits."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hilbertsd import inputs
from hilbertsd.errors import HilbertSDError
from hilbertsd.objectives.arguments import (
    alike,
    class_numbers,
    floating,
    objective,
    setting,
    traced,
)

Array = Any


@objective
def kd(
    student: Array,
    teacher: Array,
    labels: Array | None = None,
    *,
    temperature: float = 4.0,
    imitation_weight: float = 1.0,
) -> Array:
    r"""Return Hinton's loss (1 − w) CE(y, softmax z_s) + w ρ² KL(softmax(z_t/ρ) ‖ softmax(z_s/ρ)).

    Both terms are sums over the classes and means over the batch. ρ² stays for w = 1 too: with it
    the gradient keeps its size as ρ grows.

    Parameters
    ----------
    student, teacher
        (B, C) logits.
    labels
        (B,) class numbers or (B, C) probabilities. For w = 1, the default, they have no weight.
    temperature
        ρ > 0.
    imitation_weight
        w in [0, 1], the literature's α; the cross-entropy has temperature 1.

    Notes
    -----
    Hinton, Vinyals & Dean 2015, § 2. As ρ → ∞ the divergence becomes
    (1/(2BC)) Σ (z_s − z_t)² with every row's mean removed: half of :func:`logit_regression`.

    Examples
    --------
    >>> import numpy as np
    >>> z_s, z_t = np.array([[0.0, 0.0]]), np.array([[4.0, 0.0]])
    >>> round(float(kd(z_s, z_t, temperature=1.0)), 6), round(float(kd(z_s, z_t)), 6)
    (0.603052, 1.775105)
    >>> round(float(kd(z_s, z_t, np.array([1]), imitation_weight=0.0)), 6)
    0.693147
    """
    s, t = alike(student, teacher)
    if s.ndim != 2:
        raise HilbertSDError(f"student must have shape (B, C), got {s.shape}")
    temperature = setting(inputs.positive, "temperature", temperature)
    imitation_weight = setting(inputs.rate, "imitation_weight", imitation_weight)
    target = jax.nn.log_softmax(t / temperature)
    gap = target - jax.nn.log_softmax(s / temperature)
    imitation = temperature**2 * jnp.mean(jnp.sum(jnp.exp(target) * gap, axis=1))
    if labels is None:
        if not traced(imitation_weight) and imitation_weight == 1:
            return imitation
        raise HilbertSDError(
            f"imitation_weight = {imitation_weight} leaves a weight for the labels; pass labels, "
            "or imitation_weight=1"
        )
    given = (1 - imitation_weight) * cross_entropy(s, labels)
    return given + imitation_weight * imitation


@objective
def cross_entropy(student: Array, labels: Array) -> Array:
    """Return −(1/B) Σ_i Σ_c y_ic log softmax(z_i)_c.

    Parameters
    ----------
    student
        (B, C) logits.
    labels
        (B,) class numbers, whole from 0 to C − 1 (where they are traced, JAX neither checks nor
        refuses others), or (B, C) probabilities, which are constants.
    """
    s, shape = floating("student", student), np.shape(labels)
    if s.ndim != 2:
        raise HilbertSDError(f"student must have shape (B, C), got {s.shape}")
    if shape not in (s.shape[:1], s.shape):
        raise HilbertSDError(f"labels must have shape {s.shape[:1]} or {s.shape}, got {shape}")
    log_p = jax.nn.log_softmax(s)
    if len(shape) == 2:
        return -jnp.mean(jnp.sum(jax.lax.stop_gradient(jnp.asarray(labels)) * log_p, axis=1))
    numbers = class_numbers(labels, s.shape[1])
    return -jnp.mean(jnp.take_along_axis(log_p, numbers[:, None], axis=1))


@objective
def logit_regression(student: Array, teacher: Array) -> Array:
    """Return the mean over B·C of (z_s − z_t)².

    Parameters
    ----------
    student, teacher
        (B, C) logits, before the softmax.

    Notes
    -----
    Ba & Caruana 2014, (1), which has half the sum over the classes: C/2 times this.

    Examples
    --------
    >>> import numpy as np
    >>> float(logit_regression(np.zeros((2, 2)), np.array([[1.0, 0.0], [0.0, 1.0]])))
    0.5
    """
    s, t = alike(student, teacher)
    return jnp.mean((s - t) ** 2)
