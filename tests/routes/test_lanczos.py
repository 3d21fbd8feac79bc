"""Lanczos: its relation, its backward error in extended precision, where it ends and lives."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import (
    ROUNDING,
    SEEDS,
    UNIT,
    assert_close,
    assert_identical,
    assert_norm_close,
    orthogonal,
    problem,
    spectrum,
    symmetric,
)
from scipy.sparse.linalg import LinearOperator, aslinearoperator

import hilbertsd as hsd
from hilbertsd.routes.lanczos import DeviceBasis, HostBasis, Lanczos, extend, products
from hilbertsd.routes.ritz import backward_error

ORTHOGONAL = 20 * UNIT
"""‖QᵀQ − I‖ of two Gram-Schmidt passes (observed: 3 units)."""


def run(G, y, steps):
    multiply, to_basis = products(G)
    process = Lanczos(y, to_basis)
    extend(multiply, [process], steps)
    return process


def jacobi(process):
    beta = process.off_diagonal[:-1]
    return np.diag(process.diagonal) + np.diag(beta, 1) + np.diag(beta, -1)


def basis(process):
    return process.lift(np.eye(process.steps))


def gram(seed, size, decades=6.0, **kwargs):
    return symmetric(spectrum(seed, size, decades, **kwargs), orthogonal(size, seed))


@given(SEEDS, st.integers(1, 40), st.floats(0, 12), st.integers(0, 10), st.integers(1, 40))
def test_the_relation_of_lanczos(seed, size, decades, repeated, steps):
    """GQ − QT has its last column alone, of length β_m, at right angles to Q."""
    G = gram(seed, size, decades, zeros=size // 3, repeated=repeated)
    y = np.random.default_rng(seed).standard_normal(size)
    process = run(G, y, min(steps, size))
    Q, T = basis(process), jacobi(process)
    assert np.linalg.norm(Q.T @ Q - np.eye(process.steps), 2) <= ORTHOGONAL
    assert_norm_close(process.norm * Q[:, 0], y, rtol=ROUNDING)
    rest = G @ Q - Q @ T
    scale = np.linalg.norm(G, 2)
    assert np.linalg.norm(rest[:, :-1]) <= 100 * UNIT * scale
    assert abs(np.linalg.norm(rest[:, -1]) - process.off_diagonal[-1]) <= 100 * UNIT * scale
    assert np.linalg.norm(Q.T @ rest[:, -1]) <= 100 * UNIT * scale


def least_perturbation(G, process):
    """‖E‖₂ over ‖G‖₂ of the smallest E for which the relation is exact, in extended precision."""
    steps = process.steps
    wide = process._basis._rows[: steps + (not process.exhausted)].T.astype(np.longdouble)
    wide = wide @ (3 * np.eye(wide.shape[1]) - wide.T @ wide) / 2  # its polar factor
    Q = wide[:, :steps]
    rest = G.astype(np.longdouble) @ Q - Q @ jacobi(process).astype(np.longdouble)
    if not process.exhausted:
        rest[:, -1] -= process.off_diagonal[-1] * wide[:, -1]
    inside = Q.T @ rest
    outside = np.linalg.qr((rest - Q @ inside).astype(float))[1]
    inside = ((inside + inside.T) / 2).astype(float)
    E = np.block([[inside, outside.T], [outside, np.zeros((len(outside), len(outside)))]])
    return np.linalg.norm(E, 2) / np.linalg.norm(G, 2)


@pytest.mark.skipif(np.finfo(np.longdouble).eps > 1e-18, reason="long double is double")
def test_the_backward_error_is_half_of_what_is_allowed_for():
    worst = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        size = int(rng.integers(2, 100))
        G = gram(seed, size, rng.uniform(0, 14), zeros=size // 4, repeated=size // 4)
        process = run(G, rng.standard_normal(size), size)
        rest = process.off_diagonal[-1] if process.exhausted else 0.0
        allowed = backward_error(size) + 2 * rest / np.linalg.norm(G, 2)
        worst.append(least_perturbation(G, process) / allowed)
    x = np.linspace(0, 1, 700)
    for kernel in (hsd.kernels.matern(1.5, 0.2), hsd.kernels.gaussian(0.2)):
        G = hsd.gram(kernel, x)
        process = run(G, np.sin(6 * x) + np.cos(500 * x), 20)
        worst.append(least_perturbation(G, process) / backward_error(700))
    assert 0.05 <= max(worst) <= 0.6, max(worst)


def test_extended_is_the_same_as_at_once():
    p = problem(1, size=40)
    once, by_and_by = run(p.gram, p.y, 30), run(p.gram, p.y, 7)
    multiply, _ = products(p.gram)
    extend(multiply, [by_and_by], 30)
    assert once.diagonal == by_and_by.diagonal
    assert once.off_diagonal == by_and_by.off_diagonal
    assert_identical(basis(once), basis(by_and_by))


@pytest.mark.parametrize("kinds", [1, 2, 5])
def test_an_invariant_space_ends_it(kinds):
    """Labels that see ``kinds`` eigenvalues are through after as many products.

    The coupling that is left is rounding, which every step amplifies: whether the process takes it
    for nothing is sure for few.
    """
    d = np.repeat(np.arange(1.0, kinds + 1), 4)
    G = symmetric(d, orthogonal(len(d), 3))
    process = run(G, np.random.default_rng(0).standard_normal(len(d)), kinds)
    assert process.steps == kinds
    assert process.off_diagonal[-1] <= ROUNDING
    assert process.exhausted or kinds > 2
    assert_close(np.linalg.eigvalsh(jacobi(process)), np.arange(1.0, kinds + 1), rtol=ROUNDING)


def test_nothing_to_see():
    zero = run(np.eye(3), np.zeros(3), 3)
    assert zero.exhausted
    assert zero.steps == 0
    assert_identical(zero.lift(np.zeros((0, 2))), np.zeros((3, 2)))
    vanishing = run(np.zeros((3, 3)), np.ones(3), 3)
    assert vanishing.exhausted
    assert (vanishing.diagonal, vanishing.off_diagonal) == ([0.0], [0.0])


class Bare:
    """An operator with the least that one can have."""

    def __init__(self, matrix):
        self.shape, self._matrix = matrix.shape, matrix

    def matvec(self, v):
        return self._matrix @ v


class OnDevice(Bare):
    """An operator that takes JAX vectors, and nothing else."""

    device_vectors = True

    def matvec(self, v):
        assert isinstance(v, jax.Array)
        with jax.enable_x64(True):
            return jnp.asarray(self._matrix) @ v

    matmat = matvec


@pytest.mark.parametrize("form", ["array", "operator", "bare", "jax", "device"])
def test_it_lives_where_the_products_are(form):
    p = problem(2, size=40, decades=3)
    G = p.gram
    with jax.enable_x64(True):
        forms = {
            "array": G,
            "operator": aslinearoperator(G),
            "bare": Bare(G),
            "jax": jnp.asarray(G),
            "device": OnDevice(G),
        }
    multiply, to_basis = products(forms[form])
    assert to_basis is (DeviceBasis if form in ("jax", "device") else HostBasis)
    starts = [p.y, p.y[::-1].copy(), np.zeros(40)]
    together = [Lanczos(y, to_basis) for y in starts]
    extend(multiply, together, 20)  # more than the first capacity
    for y, process in zip(starts, together, strict=True):
        alone = run(G, y, 20)
        assert process.steps == alone.steps
        assert_close(process.diagonal, alone.diagonal, rtol=1e-9, atol=1e-9)
        assert_close(process.off_diagonal, alone.off_diagonal, rtol=1e-9, atol=1e-9)
        coordinates = np.ones((process.steps, 2))
        lifted = process.lift(coordinates)
        assert type(lifted) is np.ndarray
        assert lifted.dtype == np.float64
        assert_norm_close(lifted, alone.lift(coordinates), rtol=1e-8, scale=1.0)


def test_several_at_once_take_one_product_of_a_matrix():
    calls = []
    G = np.diag(np.arange(1.0, 9.0))

    def matmat(V):
        calls.append(V.shape)
        return G @ V

    operator = LinearOperator(G.shape, matvec=lambda v: G @ v, matmat=matmat, dtype=float)
    multiply, to_basis = products(operator)
    rng = np.random.default_rng(0)
    # one of the two is through after a single product
    processes = [Lanczos(y, to_basis) for y in (rng.standard_normal(8), np.eye(8)[0])]
    extend(multiply, processes, 3)
    assert calls == [(8, 2)]
    assert [process.steps for process in processes] == [3, 1]


def test_products_that_are_not_finite():
    multiply, to_basis = products(Bare(np.full((2, 2), np.nan)))
    with pytest.raises(hsd.HilbertSDError, match="nan"):
        extend(multiply, [Lanczos(np.ones(2), to_basis)], 1)
    multiply, to_basis = products(OnDevice(np.full((2, 2), np.nan)))
    with pytest.raises(hsd.HilbertSDError, match="not finite"):
        extend(multiply, [Lanczos(np.ones(2), to_basis)], 1)
