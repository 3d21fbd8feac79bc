"""The projector of feature distillation, ½‖F_s W − F_t‖² + ½η‖W‖²: ridge regression.

F_s (K, p) and F_t (K, q) hold the student's and the teacher's features, one sample a row, and
K_s = F_s F_sᵀ, K_t = F_t F_tᵀ. With G = K_s/K and c = η/K, (2/K) times the loss is
(1/K) ‖F_s W − F_t‖² + c ‖W‖²: the projector is the kernel regression of this package, with the
student's features as its Hilbert space and the teacher's as its labels. So

* its predictions are a filter on the student's kernel, ``filters.ridge(d, c)`` at the end of
  training and ``filters.gradient_flow(d, K τ, c)`` after a time τ of gradient flow,
* distilling it, F_t ← F_s W, is ``self_distill(K_s / K, F_t, eps, joint=True)``, and
  ``primal_coef(F_s, result.dual_coef[t])`` is the projector of round t.

`hilbertsd.alpha_to_multiplier` converts η into c. Losses are JAX functions for training; what they
lead to is computed in NumPy, in float64.

Miles & Mikolajczyk, "Understanding the role of the projector in knowledge distillation", AAAI 2024.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from hilbertsd import inputs
from hilbertsd.errors import HilbertSDError
from hilbertsd.objectives.arguments import batches, floating, objective, setting, squares

Array = Any


@objective
def projector_loss(
    student: Array, teacher: Array, weights: Array, *, weight_decay: float = 0.0
) -> Array:
    """Return ½ ‖F_s W − F_t‖² + ½ η ‖W‖², sums over samples and features: the paper's (1).

    Parameters
    ----------
    student, teacher : (K, p) and (K, q) arrays
        F_s and F_t. The teacher gets no gradient.
    weights : (p, q) array
        W.
    weight_decay : float
        η >= 0; gradient flow on the loss is dW/dτ = C_st − C_s W − η W, with C_s = F_sᵀ F_s and
        C_st = F_sᵀ F_t (the paper's (3), which has η = 0).

    Raises
    ------
    HilbertSDError
        If the shapes do not fit.

    Examples
    --------
    >>> student, teacher = np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[3.0], [4.0]])
    >>> float(projector_loss(student, teacher, np.array([[1.0], [1.0]]), weight_decay=1.0))
    5.0
    """
    s, t = batches(student, teacher, axes=2)
    w = floating("weights", weights)
    if w.shape != (s.shape[1], t.shape[1]):
        raise HilbertSDError(
            f"weights must have shape {(s.shape[1], t.shape[1])}, student features by teacher "
            f"features, got {w.shape}"
        )
    weight_decay = setting(inputs.nonnegative, "weight_decay", weight_decay)
    return 0.5 * jnp.sum((s @ w - t) ** 2) + 0.5 * weight_decay * jnp.sum(w**2)


@objective
def fitted_projector(K_s: Array, K_t: Array, *, weight_decay: float = 1.0) -> Array:
    """Return the least value of `projector_loss` over W, ½ η tr((K_s + η I)⁻¹ K_t).

    A function of the two Gram matrices alone: what a projector that is always fitted asks of the
    student. Its gradient −½ η (K_s + η I)⁻¹ K_t (K_s + η I)⁻¹ is negative semidefinite: no
    eigenvalue of K_s shrinks under it.

    Parameters
    ----------
    K_s, K_t : (K, K) arrays
        Without a 1/K. The teacher gets no gradient.
    weight_decay : float
        η > 0, in the units of K_s: the ``alpha`` of scikit-learn's ``Ridge``, and with its default.
        `projector_minimum` has the limit η = 0.

    Raises
    ------
    HilbertSDError
        If η is not positive, or the matrices are not square and of one size.

    Notes
    -----
    By eigenvalues of K_s; those up to B · 2.2e-16 (float32: 1.2e-7) of the largest count as 0, so
    that a small η leads to `projector_minimum` without. The gradient grows as 1/η in directions
    that the student's features lack.

    Examples
    --------
    >>> K_s, K_t = np.diag([1.0, 3.0]), np.diag([4.0, 4.0])
    >>> round(float(fitted_projector(K_s, K_t)), 12)
    1.5
    """
    s, t = squares(K_s, K_t)
    decay = setting(inputs.positive, "weight_decay", weight_decay)
    return 0.5 * jnp.sum(_left(s, jnp.asarray(decay, s.dtype)) * t)


@jax.custom_jvp
def _left(K: Array, shift: Array) -> Array:
    """Return η (K + η I)⁻¹; eigenvectors have no derivative where eigenvalues meet, this has."""
    eigenvalues, vectors = jnp.linalg.eigh(K)
    rounding = len(K) * np.finfo(K.dtype).eps * jnp.abs(eigenvalues).max()
    kept = jnp.where(eigenvalues > rounding, eigenvalues, 0)
    return (vectors * (shift / (kept + shift))) @ vectors.T


@_left.defjvp
def _left_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    K, shift = primals
    left = _left(K, shift)
    moved = tangents[0] + tangents[1] * jnp.eye(len(K), dtype=K.dtype)
    return left, (left * tangents[1] - left @ moved @ left) / shift


def projector_weights(
    student: Array,
    teacher: Array,
    weight_decay: float = 0.0,
    *,
    time: float = np.inf,
    start: Array | None = None,
) -> Float[np.ndarray, "p q"]:
    """Return the projector after gradient flow on `projector_loss` for a time τ.

    With F_s = P diag(s) Uᵀ and ρ = s² + η, in closed form and without forming C_s,

        Uᵀ W(τ) = e^{−ρτ} Uᵀ W_0 + s (1 − e^{−ρτ})/ρ Pᵀ F_t,

    and what of W_0 is orthogonal to U decays as e^{−ητ}. At τ = ∞ from W_0 = 0 it is ridge
    regression, W = (C_s + η I)⁻¹ C_st, and for η = 0 the least squares solution of least norm.

    Parameters
    ----------
    student, teacher : (K, p) and (K, q) arrays
        F_s and F_t.
    weight_decay : float
        η >= 0.
    time : float
        τ >= 0, infinite for the end of training. On the mean (1/K) in place of the sum of the loss,
        take τ/K and Kη.
    start : (p, q) array, optional
        W_0; zero without.

    Raises
    ------
    HilbertSDError
        If shapes do not fit, a number is not finite, or η or τ is negative.

    Notes
    -----
    Singular values at or below max(K, p) · 2.2e-16 · s_max count as zero: F_s then says nothing
    about that direction, and for η = 0 W keeps its start there.

    Examples
    --------
    >>> student, teacher = np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[3.0], [4.0]])
    >>> projector_weights(student, teacher).ravel()
    array([3., 2.])
    >>> projector_weights(student, teacher, weight_decay=1.0).ravel()
    array([1.5, 1.6])
    >>> projector_weights(student, teacher, time=np.log(2.0), start=[[1.0], [1.0]]).ravel()
    array([2.    , 1.9375])
    """
    student, teacher, decay = _problem(student, teacher, weight_decay)
    time = np.inf if np.array_equal(time, np.inf) else inputs.nonnegative("time", time)
    outer, singular, inner = _svd(student)
    rate = singular**2 + decay
    passed = _over(rate, time)
    with np.errstate(divide="ignore", invalid="ignore"):
        reached = np.where(singular > 0, -np.expm1(-passed) * singular / rate, 0.0)
    weights = inner.T @ (reached[:, None] * (outer.T @ teacher))
    if start is None:
        return weights
    first = inputs.real_array("start", start)
    if first.shape != weights.shape:
        raise HilbertSDError(f"start must have shape {weights.shape}, got {first.shape}")
    inside = inner @ first
    outside = first - inner.T @ inside
    kept = np.exp(-_over(np.array([decay]), time))
    return weights + inner.T @ (np.exp(-passed)[:, None] * inside) + kept * outside


def projector_minimum(student: Array, teacher: Array, weight_decay: float = 0.0) -> float:
    """Return the least value of `projector_loss` over W, from the features.

    ½ Σ_i η/(s_i² + η) ‖p_iᵀ F_t‖² + ½ ‖F_t − P Pᵀ F_t‖² with F_s = P diag(s) Uᵀ, which is
    ½ η tr((K_s + η I)⁻¹ K_t) for η > 0 and what of the teacher lies outside the student's span for
    η = 0.

    Parameters
    ----------
    student, teacher : (K, p) and (K, q) arrays
        F_s and F_t.
    weight_decay : float
        η >= 0.

    Raises
    ------
    HilbertSDError
        As for `projector_weights`.

    Examples
    --------
    >>> student, teacher = np.array([[1.0], [0.0]]), np.array([[3.0], [4.0]])
    >>> projector_minimum(student, teacher), projector_minimum(student, teacher, weight_decay=1.0)
    (8.0, 10.25)
    """
    student, teacher, decay = _problem(student, teacher, weight_decay)
    outer, singular, _ = _svd(student)
    outer = outer[:, singular > 0]
    inside = outer.T @ teacher
    left = decay / (singular[singular > 0] ** 2 + decay)
    outside = teacher - outer @ inside
    return float(0.5 * (left @ np.sum(inside**2, axis=1) + np.sum(outside**2)))


def _problem(
    student: Array, teacher: Array, weight_decay: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return features in float64 and η, checked."""
    features = []
    for name, value in (("student", student), ("teacher", teacher)):
        array = inputs.real_array(name, value)
        if array.ndim != 2:
            raise HilbertSDError(
                f"{name} has shape {array.shape}; pass features, one sample a row: (K, p)"
            )
        features.append(array)
    rows = [len(array) for array in features]
    if rows[0] != rows[1]:
        raise HilbertSDError(
            f"student has {rows[0]} samples and teacher {rows[1]}; pass the features of both at "
            "the same points, in the same order"
        )
    decay = inputs.real_array("weight_decay", weight_decay)
    if decay.ndim != 0 or decay < 0:
        raise HilbertSDError(f"weight_decay must be a non-negative number, got {weight_decay!r}")
    return features[0], features[1], float(decay)


def _svd(features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return P, s and Uᵀ of F = P diag(s) Uᵀ, with the s that rounding cannot tell from 0 as 0."""
    outer, singular, inner = np.linalg.svd(features, full_matrices=False)
    rounding = max(features.shape) * float(np.finfo(float).eps) * singular[0]
    return outer, np.where(singular > rounding, singular, 0.0), inner


def _over(rate: np.ndarray, time: float) -> np.ndarray:
    """Return ρ τ, 0 where ρ is, also at τ = ∞."""
    return np.multiply(rate, time, out=np.zeros_like(rate), where=rate > 0)
