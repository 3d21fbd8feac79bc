"""What an objective on Gram matrices does to the student's kernel, to first order.

For a loss L(K_s, K_t) of the student's Gram matrix K = K_s = F Fᵀ, let M be its symmetric gradient:
dL = ⟨M, dK⟩. M acts on functions at the samples, and it is all that training sees of L:

* on the features, ∂L/∂F = 2 M F; along gradient flow Ḟ = −2 M F, K̇ = −2 (M K + K M);
* in the eigenbasis K = Σ_i λ_i v_i v_iᵀ, v_iᵀ K̇ v_j = −2 (λ_i + λ_j) v_iᵀ M v_j. The diagonal makes
  eigenvalues grow at the rates −4 v_iᵀ M v_i, the rest turns eigenvectors into each other;
* the loss falls at the rate 4 tr(M K M) = 2 Σ_ij (λ_i + λ_j) (v_iᵀ M v_j)², a sum over pairs of
  directions.

Invariances of L are identities of M: ⟨M, K⟩ = 0 where L ignores a common scale of the features,
(M K)_ii = 0 where it ignores the norm of each feature vector, M 1 = 0 where it ignores a shift of
all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from hilbertsd import inputs
from hilbertsd.errors import HilbertSDError
from hilbertsd.objectives.arguments import symmetric

Array = Any
GramObjective = Callable[[Array, Array], Array]
"""L(K_s, K_t): two (B, B) Gram matrices, without a 1/B, to a number, in JAX."""


@dataclass(frozen=True, eq=False)
class FirstOrder:
    """The gradient of an objective on Gram matrices, in the eigenbasis of the student's kernel.

    Rates are per unit of time of gradient flow on the features, Ḟ = −∂L/∂F.

    Attributes
    ----------
    value
        L(K_s, K_t).
    gram
        (B, B) K_s.
    gradient
        (B, B) M, symmetric: dL = ⟨M, dK_s⟩.
    eigenvalues
        (B,) λ of K_s, ascending.
    eigenvectors
        (B, B) v_i, one a column. In a repeated eigenvalue's space they are any basis.
    """

    value: float
    gram: Float[np.ndarray, "B B"]
    gradient: Float[np.ndarray, "B B"]
    eigenvalues: Float[np.ndarray, "B"]
    eigenvectors: Float[np.ndarray, "B B"]

    @property
    def table(self) -> np.ndarray:
        """(B, B) v_iᵀ M v_j."""
        return self.in_basis(self.eigenvectors)

    def in_basis(self, vectors: Array) -> np.ndarray:
        """(m, m) u_iᵀ M u_j in another basis, (B, m), such as the eigenvectors of K_t."""
        basis = inputs.real_array("vectors", vectors)
        if basis.ndim != 2 or len(basis) != len(self.gram):
            raise HilbertSDError(
                f"vectors has shape {basis.shape}; pass columns of length {len(self.gram)}"
            )
        return basis.T @ self.gradient @ basis

    @property
    def gram_velocity(self) -> np.ndarray:
        """(B, B) K̇ = −2 (M K + K M)."""
        product = self.gradient @ self.gram
        return -2 * (product + product.T)

    @property
    def growth(self) -> np.ndarray:
        """(B,) d log λ_i/dτ = −4 v_iᵀ M v_i; where λ_i = 0 it stays so, whatever the rate."""
        return -4 * np.diag(self.table)

    @property
    def descent(self) -> float:
        """−dL/dτ = 4 tr(M K M) = ‖∂L/∂F‖²."""
        return float(4 * np.sum((self.gradient @ self.gram) * self.gradient))

    @property
    def pair_shares(self) -> np.ndarray:
        """(B, B) share of the descent by each pair, 2 (λ_i + λ_j) (v_iᵀ M v_j)²; the sum is 1."""
        parts = np.add.outer(self.eigenvalues, self.eigenvalues) * self.table**2
        return _shares(np.maximum(parts, 0.0))

    @property
    def direction_shares(self) -> np.ndarray:
        """(B,) share of the descent by each eigen-direction, half of each of its pairs; sum 1."""
        return self.pair_shares.sum(axis=1)

    @property
    def eigenvalue_share(self) -> float:
        """Share of the descent by eigenvalues; the rest is by turning eigenvectors."""
        return float(np.trace(self.pair_shares))

    @property
    def outside_share(self) -> float:
        """Share of the descent out of the span of the student's features, ‖(I − P) M F‖²/‖M F‖².

        P projects on the range of K_s: eigenvalues above B · 2.2e-16 · λ_max. With fewer features
        than samples it is what makes new functions of the samples, in place of mixing those that
        the features are.
        """
        rounding = len(self.gram) * float(np.finfo(float).eps) * self.eigenvalues[-1]
        null = self.eigenvalues <= rounding
        return float(2 * self.pair_shares[np.ix_(null, ~null)].sum())

    @property
    def radial(self) -> float:
        """⟨M, K⟩ = dL/ds for K → (1 + s) K: 0 where a common scale does not matter."""
        return float(np.sum(self.gradient * self.gram))

    @property
    def sample_radial(self) -> np.ndarray:
        """(B,) dL/d log ‖f_i‖ = 2 (M K)_ii: 0 where the norm of each feature does not matter."""
        return 2 * np.einsum("ij,ji->i", self.gradient, self.gram)

    @property
    def radial_share(self) -> float:
        """Share of the descent by changing norms of features, Σ_i (M K)_ii²/K_ii over tr(M K M)."""
        norms = np.diag(self.gram)
        parts = np.divide(self.sample_radial**2, norms, out=np.zeros_like(norms), where=norms > 0)
        return float(parts.sum() / self.descent) if self.descent > 0 else 0.0

    @property
    def translation(self) -> np.ndarray:
        """(B,) M 1: 0 where a shift of all features by one vector does not matter."""
        return self.gradient.sum(axis=1)


def first_order(objective: GramObjective, student: Array, teacher: Array) -> FirstOrder:
    """Return the gradient of an objective at a pair of Gram matrices, as an operator.

    Parameters
    ----------
    objective : callable
        L(K_s, K_t) in JAX, such as those of `hilbertsd.objectives.grams`; options are bound by
        ``functools.partial`` or a lambda.
    student, teacher : (B, B) arrays
        K_s and K_t, without a 1/B, of the same samples in the same order.

    Returns
    -------
    FirstOrder

    Raises
    ------
    HilbertSDError
        If a matrix is not square, finite and symmetric, if the two have different sizes, if the
        objective is the form on features of one in `hilbertsd.objectives.relational`, or if the
        gradient is not finite.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> def raw(student, teacher):
    ...     return 0.5 * jnp.sum((student - teacher) ** 2)
    >>> view = first_order(raw, np.diag([1.0, 2.0]), np.diag([3.0, 1.0]))
    >>> view.growth, view.descent, view.eigenvalue_share
    (array([ 8., -4.]), 24.0, 1.0)
    """
    import jax
    import jax.numpy as jnp

    _of_grams(objective)
    pair = [_gram(name, value) for name, value in (("student", student), ("teacher", teacher))]
    if pair[0].shape != pair[1].shape:
        raise HilbertSDError(
            f"student is {pair[0].shape} and teacher {pair[1].shape}; pass the Gram matrices of "
            "both at the same samples"
        )
    with jax.enable_x64(True):
        value, slope = jax.value_and_grad(objective)(*(jnp.asarray(matrix) for matrix in pair))
        slope = np.asarray(slope, dtype=np.float64)
    if not np.isfinite(slope).all():
        i, j = (int(k) for k in np.argwhere(~np.isfinite(slope))[0])
        raise HilbertSDError(
            f"the gradient of the objective by K[{i}, {j}] is {slope[i, j]}; look for a square "
            "root, a norm or a logarithm at 0 (coincident samples, zero features)"
        )
    eigenvalues, eigenvectors = np.linalg.eigh(pair[0])
    return FirstOrder(
        value=float(value),
        gram=pair[0],
        gradient=(slope + slope.T) / 2,
        eigenvalues=eigenvalues,
        eigenvectors=eigenvectors,
    )


def agreement(views: Sequence[FirstOrder]) -> Float[np.ndarray, "n n"]:
    """Return the cosines between the ways in which objectives move the features of one student.

    ⟨∂L_a/∂F, ∂L_b/∂F⟩ over the norms, which is tr(M_a K M_b)/√(tr(M_a K M_a) tr(M_b K M_b)): 1 for
    the same direction, −1 for the opposite one, 0 where one objective does not see the other.

    Parameters
    ----------
    views : sequence of FirstOrder
        At the same student.

    Raises
    ------
    HilbertSDError
        If the students differ, or an objective is at a stationary point and has no direction.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> pair = np.diag([1.0, 2.0]), np.diag([3.0, 3.0])
    >>> first = first_order(lambda s, t: (s[0, 0] - t[0, 0]) ** 2, *pair)
    >>> both = first_order(lambda s, t: jnp.sum((s - t) ** 2), *pair)
    >>> agreement([first, both]).round(4)
    array([[1.    , 0.8165],
           [0.8165, 1.    ]])
    """
    if not views:
        raise HilbertSDError("views is empty; pass the results of first_order")
    gram = views[0].gram
    for place, view in enumerate(views):
        if not np.array_equal(view.gram, gram):
            raise HilbertSDError(f"views[{place}] is at another student than views[0]")
        if not view.descent > 0:
            raise HilbertSDError(
                f"views[{place}] does not move the student (its gradient is zero on its span), so "
                "it has no direction; leave it out"
            )
    moved = np.stack([view.gradient @ gram for view in views])
    products = np.einsum("aij,bij->ab", moved, np.stack([view.gradient for view in views]))
    norms = np.sqrt(np.diag(products))
    return products / np.outer(norms, norms)


def _of_grams(objective: GramObjective) -> None:
    """Refuse a form on features, which would take the rows of K for features."""
    inner = objective
    while isinstance(inner, partial):
        inner = inner.func
    if getattr(inner, "__module__", "") == "hilbertsd.objectives.relational":
        raise HilbertSDError(
            f"objectives.{inner.__name__} takes features; pass the function of Gram matrices of "
            "that name, from objectives.grams, objectives.dependence or objectives.projector"
        )


def _gram(name: str, value: Array) -> np.ndarray:
    matrix = inputs.real_array(name, value)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise HilbertSDError(
            f"{name} has shape {matrix.shape}; pass a Gram matrix, features @ features.T"
        )
    symmetric(name, matrix)
    return (matrix + matrix.T) / 2


def _shares(parts: np.ndarray) -> np.ndarray:
    total = parts.sum()
    return parts / total if total > 0 else parts
