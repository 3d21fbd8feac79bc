"""Every reported error against 60 digits: valid, sharp, and honest about collapse.

``HILBERTSD_ACCURACY_PROBLEMS=5000 pytest tests/test_accuracy.py`` draws more problems.
"""

from __future__ import annotations

import os
import warnings

import mpmath as mp
import numpy as np
import pytest
import reference

import hilbertsd as hsd
from hilbertsd.routes import perturbation

PROBLEMS = int(os.environ.get("HILBERTSD_ACCURACY_PROBLEMS", "240"))
SHARPNESS = 100.0
"""Largest allowed median of estimate / error."""
UNDECIDED_SHARE = 0.01
UNKNOWN_SHARE = 0.05
"""Share of problems so near the residual floor (down to 1e-13 of it) that no digit is claimed
(an estimate of inf) or that the floor cannot be told from the tolerance."""
ROUNDING = 1e-17
"""Errors below this count as this: the estimate cannot be asked to be smaller than rounding."""


@pytest.fixture(autouse=True)
def _digits():
    with mp.workdps(reference.DIGITS):
        yield


def measured(problem: reference.Problem, method: str = "dense"):
    """Rows (multiplier error, estimate, label error, estimate), and each chain's outcome."""
    size = len(problem.y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hsd.PrecisionWarning)
        result = hsd.self_distill(
            problem.G,
            problem.y,
            problem.eps,
            rounds=problem.rounds,
            joint=problem.joint,
            method=method,
        )
    z = problem.V @ reference.multiprecision(problem.y)
    rows, outcomes = [], []
    for group, eps in zip(problem.groups, np.atleast_1d(problem.eps), strict=True):
        multipliers, coordinates = reference.chain(
            problem.eigenvalues, z[:, group], float(eps), problem.rounds
        )
        q = group.start
        power = np.sum(coordinates[-1] ** 2)
        collapsed = power <= size * mp.mpf(float(eps))
        truth = len(multipliers) if collapsed else None
        outcomes.append((result.collapse_round[q], truth, result.collapse_decided[q]))
        for t, c in enumerate(multipliers):
            if not np.isfinite(result.multipliers[t, q]):
                break  # collapsed early: the outcome says whether that is an error
            c_error = abs(mp.mpf(result.multipliers[t, q]) / c - 1)
            labels = problem.V.T @ coordinates[t + 1]
            for column, output in enumerate(range(group.start, group.stop)):
                norm = mp.sqrt(np.sum(labels[:, column] ** 2))
                gap = reference.multiprecision(result.labels[t + 1, :, output]) - labels[:, column]
                rows.append(
                    (
                        float(c_error),
                        result.multiplier_error[t, output],
                        float(mp.sqrt(np.sum(gap**2)) / norm),
                        result.label_error[t + 1, output],
                    )
                )
    return np.array(rows), outcomes


def unresolvable(problem: reference.Problem) -> bool:
    """Whether some eps is nearer to its floor than rounding lets anyone know the floor.

    Rounding turns the null space by about u·d_max/d_min(range), which moves the residual outside
    the range by as much of the labels' norm.
    """
    d = problem.eigenvalues
    positive = d[d > 0]
    turn = perturbation.SAFETY * perturbation.BACKWARD_ERROR * np.finfo(float).eps
    turn *= float(positive[-1] / positive[0])
    z = problem.V @ reference.multiprecision(problem.y)
    for group, eps in zip(problem.groups, np.atleast_1d(problem.eps), strict=True):
        floor = float(np.sum(z[d == 0][:, group] ** 2)) / len(d)
        power = float(np.sum(z[:, group] ** 2)) / len(d)
        if 0 <= eps - floor <= 2 * turn * np.sqrt(floor * power):
            return True
    return False


def test_errors_hold_and_are_sharp():
    rows, outcomes, infeasible = [], [], 0
    for seed in range(PROBLEMS):
        problem = reference.problem(seed)
        try:
            errors, ends = measured(problem)
        except hsd.InfeasibleToleranceError:
            assert unresolvable(problem), (seed, problem.name)
            infeasible += 1
            continue
        assert np.isfinite(errors[:, [0, 2]]).all(), (seed, problem.name)
        assert (errors[:, 0] <= errors[:, 1]).all(), (seed, problem.name, "multiplier")
        assert (errors[:, 2] <= errors[:, 3]).all(), (seed, problem.name, "labels")
        for found, truth, decided in ends:
            assert found == truth or not decided, (seed, problem.name, found, truth)
        rows.append(errors)
        outcomes += ends
    table = np.concatenate(rows)
    assert infeasible <= UNKNOWN_SHARE * PROBLEMS
    assert np.isinf(table[:, [1, 3]]).any(axis=1).sum() <= UNKNOWN_SHARE * len(table)
    assert sum(not decided for *_, decided in outcomes) <= UNDECIDED_SHARE * len(outcomes)
    for error, estimate in ((0, 1), (2, 3)):
        ratio = table[:, estimate] / np.maximum(table[:, error], ROUNDING)
        print(
            f"{'multipliers' if error == 0 else 'labels'}: {len(table)} rounds, estimate/error "
            f"min {ratio.min():.3g}, median {np.median(ratio):.3g}, "
            f"without a digit {np.isinf(ratio).sum()}"
        )
        assert np.median(ratio) <= SHARPNESS


@pytest.mark.parametrize("seed", range(4))
def test_undecided_only_at_one(seed):
    """G = I: r_t = r_0 − t meets 1 exactly when r_0 is whole, and only then may it be undecided."""
    rng = np.random.default_rng(seed)
    y = rng.standard_normal(9)
    whole = float(y @ y) / 9 / 3.0**2
    with pytest.warns(hsd.PrecisionWarning, match="undecided"):
        result = hsd.self_distill(np.eye(9), y, whole)
    assert not result.collapse_decided
    assert hsd.self_distill(np.eye(9), y, whole * (1 + 1e-9)).collapse_decided


@pytest.mark.parametrize("seed", range(6))
def test_without_eigenvalues(seed):
    """The float matrix taken as exact: multipliers by Cholesky solves in 60 digits."""
    rng = np.random.default_rng(seed)
    size = 8
    Q, _ = np.linalg.qr(rng.standard_normal((size, size)))
    G = (Q * 10 ** rng.uniform(-4, 0, size)) @ Q.T
    G = (G + G.T) / 2
    y = rng.standard_normal(size)
    eps = float(y @ y) / size / rng.uniform(2, 20) ** 2
    result = hsd.self_distill(G, y, eps, rounds=2)
    labels = mp.matrix(y.tolist())
    for t in range(3):
        if not np.isfinite(result.multipliers[t]):
            break

        def residual(log_c, labels=labels):
            c = mp.exp(log_c)
            solved = mp.cholesky_solve(mp.matrix(G.tolist()) + c * mp.eye(size), labels)
            return c * solved

        def gap(log_c, residual=residual):
            return mp.log(mp.norm(residual(log_c)) ** 2 / (size * mp.mpf(eps)))

        log_c = mp.findroot(gap, mp.log(mp.mpf(float(result.multipliers[t]))))
        error = abs(mp.mpf(float(result.multipliers[t])) / mp.exp(log_c) - 1)
        assert error <= result.multiplier_error[t]
        labels = labels - residual(log_c)
        distance = mp.norm(mp.matrix(result.labels[t + 1].tolist()) - labels)
        assert distance / mp.norm(labels) <= result.label_error[t + 1]


def test_an_estimate_without_the_matrix_perturbation_is_caught(monkeypatch):
    """Power: forgetting that the eigensystem itself is rounded breaks the estimate."""
    monkeypatch.setattr(perturbation, "BACKWARD_ERROR", 0.0)
    caught = 0
    for seed in range(20):
        try:
            errors, _ = measured(reference.problem(seed))
        except hsd.InfeasibleToleranceError:
            continue
        caught += bool((errors[:, [0, 2]] > errors[:, [1, 3]]).any())
    assert caught >= 5


def below_the_threshold():
    """G = diag(d), half of it between the rounding of an eigensolver and K·u·d_max."""
    size = 200
    d = np.concatenate([np.full(size // 2, 2e-14), np.logspace(-3, 0, size // 2)])
    return d, np.ones(size), 0.5 + 1e-5


def test_eigenvalues_that_count_as_zero_are_in_the_errors():
    d, y, eps = below_the_threshold()
    with pytest.warns(hsd.PrecisionWarning):
        result = hsd.self_distill(np.diag(d), y, eps, rounds=2)
    assert result.spectrum.rank == 100
    exact = [reference.multiprecision(v) for v in (d, y[:, None])]
    multipliers, labels = reference.chain(*exact, eps, 2)
    for t, c in enumerate(multipliers):
        error = float(abs(mp.mpf(result.multipliers[t]) / c - 1))
        assert error <= result.multiplier_error[t]
        gap = reference.multiprecision(result.labels[t + 1]) - labels[t + 1][:, 0]
        norm = mp.sqrt(np.sum(labels[t + 1] ** 2))
        assert float(mp.sqrt(np.sum(gap**2)) / norm) <= result.label_error[t + 1]
    assert result.multiplier_error[0] <= 100 * abs(result.multipliers[0] / multipliers[0] - 1)


def test_forgetting_what_counts_as_zero_is_caught():
    """Power: without the dropped eigenvalues the estimate is short by orders of magnitude."""
    d, y, eps = below_the_threshold()
    spectrum = hsd.decompose(np.diag(d))
    bare = hsd.Decomposition(
        spectrum.eigenvalues, spectrum.eigenvectors, spectrum.threshold, spectrum.unit
    )
    result = hsd.self_distill(bare, y, eps, rounds=0)
    exact = [reference.multiprecision(v) for v in (d, y[:, None])]
    multipliers, _ = reference.chain(*exact, eps, 0)
    assert abs(result.multipliers[0] / multipliers[0] - 1) > 10 * result.multiplier_error[0]
