r"""Gauss quadrature for the rounds of a chain, with a remainder that is bounded on both sides.

What round t asks of G at given multipliers is the norm of the residual

    u_t = x_t Π_{s<t} (1 − x_s) y,   x_s = c_s (c_s + G)⁻¹,   φ_t = ‖u_t‖²;

with c_t = ∞ that is the norm of the labels y_t. Lanczos' T in place of G gives the Gauss rule
a_tᵀa_t. What is left of φ_t follows from one identity: with w in the coordinates of Q,

    x_s Q w = Q x_s(T) w − γ x_s q,   γ = β e_mᵀ (c_s + T)⁻¹ w,

q = q_{m+1} the first vector that the rule does not know. Through the product once,

    u_t = Q a_t + Σ_{s<t} γ_s Π_{s<j<t}(1 − x_j) x_s x_t q − γ_t x_t q,

and, q being orthogonal to Q, through it back again for the scalar product with Q a_t. That leaves

    φ_t = a_tᵀa_t + 2 Σ_{s<=k} ± γ_s γ'_k ⟨q, x_s Π_{s<j<k}(1 − x_j) x_k q⟩ + ‖u_t − Q a_t‖².

Every factor lies between 0 and 1 for G ⪰ 0, so every scalar product is at least 0. It is at most

    ξ_s = 1/(1 + β² e_mᵀ(T⁻¹ − (c_s + T)⁻¹)e_m) >= ⟨q, x_s q⟩,

the Gauss-Radau rule with a node at 0 (Golub & Meurant, Matrices, Moments and Quadrature, 2010,
ch. 6), and at most ξ_k sup x_s (1 − x_j), which is ξ_k/(1 + √(c_j/c_s))². In round 0 this encloses
φ_0 between the Gauss rule and, nearly, the Gauss-Radau rule. Later f_t = x_t² Π(1 − x_s)² is not
completely monotone and neither rule is a bound. As a difference of completely monotone functions
it can be bounded by both, at a factor like 4^t; this costs none, and cancels nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class GaussRule(NamedTuple):
    """The spectral measure of a label vector as m steps of Lanczos know it."""

    nodes: Float[np.ndarray, "m"]
    """Ritz values, ascending."""
    first: Float[np.ndarray, "m"]
    """‖y‖ e_1ᵀS, with T = S diag(nodes) Sᵀ: their squares are the weights."""
    last: Float[np.ndarray, "m"]
    """β_m e_mᵀS, the coupling to what the rule does not know."""
    vectors: Float[np.ndarray, "m m"]
    """S."""


def gauss_rule(
    diagonal: Float[np.ndarray, "m"], off_diagonal: Float[np.ndarray, "m"], norm: float
) -> GaussRule:
    """Rule of a Jacobi matrix; the last of the off-diagonal couples to what is not known.

    Examples
    --------
    >>> rule = gauss_rule(np.array([1.0, 3.0]), np.array([1.0, 0.5]), norm=2.0)
    >>> rule.nodes, rule.first**2
    (array([0.58578644, 3.41421356]), array([3.41421356, 0.58578644]))
    """
    from scipy.linalg import eigh_tridiagonal

    nodes, vectors = eigh_tridiagonal(diagonal, off_diagonal[:-1])
    return GaussRule(nodes, norm * vectors[0], off_diagonal[-1] * vectors[-1], vectors)


class Norm(NamedTuple):
    """φ_t at given multipliers, c_0 .. c_t."""

    gauss: float
    """The rule's value."""
    lower: float
    upper: float
    decay: float
    """−d log √φ_t/d(1/c_t) of the rule."""
    remainder: Float[np.ndarray, "Q"]
    """Bounds of ‖u_t − Q a_t‖, one a rule."""


def norm(rules: list[GaussRule], c: Float[np.ndarray, "t"]) -> Norm:
    """Bound φ_t, summed over the rules of the outputs that share their multipliers.

    Parameters
    ----------
    rules
        One an output, with positive nodes.
    c
        c_0 .. c_t. The last may be inf: the norm of the labels y_t. An earlier 0 leaves the
        labels as they are, an earlier inf makes them zero.
    """
    damping = damped(c)
    t = len(c) - 1
    # x_j Q w and (1 − x_j) Q w err by the same, with opposite signs; the ends of each path are x
    sign = np.triu(np.ones((t + 1, t + 1)))
    sign[:t, t] = -1
    np.fill_diagonal(sign[:t, :t], -1)
    gauss = lower = upper = decay = 0.0
    remainder = []
    for rule in rules:
        resolvent = 1 / (c[:, None] + rule.nodes)
        residual = np.ones_like(resolvent)
        np.multiply(c[:, None], resolvent, out=residual, where=np.isfinite(c)[:, None])
        kept = rule.nodes * resolvent
        labels = rule.first * _products_before(kept)
        a = residual[t] * labels[t]
        back = np.vstack([residual[t] * a * _products_before(kept[:t][::-1])[::-1], a])
        there = (labels * resolvent) @ rule.last
        again = (back * resolvent) @ rule.last
        with np.errstate(divide="ignore"):
            xi = np.where(c > 0, 1 / (1 + resolvent @ (rule.last**2 / rule.nodes)), 0.0)
        cross = sign * there[:, None] * again * np.minimum(xi[:, None], damping * xi)
        value = float(a @ a)
        rest = float(np.abs(there) @ np.sqrt(np.minimum(xi, damping[:, t] ** 2 * xi[t])))
        gauss += value
        lower += value + 2 * float(np.minimum(cross, 0).sum())
        upper += value + 2 * float(np.maximum(cross, 0).sum()) + rest**2
        decay += float(a**2 @ (rule.nodes * residual[t]))
        remainder.append(rest)
    return Norm(gauss, lower, upper, decay / gauss if gauss > 0 else 0.0, np.array(remainder))


def damped(c: Float[np.ndarray, "t"]) -> Float[np.ndarray, "t t"]:
    """Return sup_λ of x_s Π_{s<j<k}(1 − x_j), bounded by its largest c_j: 1/(1 + √(c_j/c_s))².

    Row s and column k; 1 where there is no such j.
    """
    count = len(c)
    between = np.zeros((count, count))
    between[:, 1:] = np.maximum.accumulate(np.triu(np.broadcast_to(c, (count, count)), 1), axis=1)[
        :, :-1
    ]
    ratio = np.zeros((count, count))
    np.divide(between, c[:, None], out=ratio, where=((c > 0) & np.isfinite(c))[:, None])
    return 1 / (1 + np.sqrt(ratio)) ** 2


def _products_before(factors: Float[np.ndarray, "t m"]) -> Float[np.ndarray, "t m"]:
    """Return, for each row, the product of those before it: 1 for the first."""
    ones = np.ones((1, factors.shape[1]))
    return np.cumprod(np.vstack([ones, factors]), axis=0)[:-1]
