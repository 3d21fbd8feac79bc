"""False variants of every statement: what a slip of the pen makes of a formula.

Each is a :class:`Statement` under the name of the true one. They are shown false on a named chain
before anything is asked to find them out.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from hilbertsd.theory import REGISTRY, Chain, Check, Statement
from hilbertsd.theory.collapse import _recurrence, _shrink, _tangent, least_cosine
from hilbertsd.theory.generalization import equivalent_spectrum
from hilbertsd.theory.sparsification import _ladder, _log_base, _log_index, _rounds

INF = float("inf")
Mistake = Callable[[Chain, Check], Check]


def _flip(chain: Chain, true: Check) -> Check:
    """The inequality the other way round."""
    if isinstance(true.lower, float) and true.lower == -INF:
        return Check(true.upper, true.actual, INF, true.scale)
    if isinstance(true.upper, float) and true.upper == INF:
        return Check(-INF, true.actual, true.lower, true.scale)
    return Check(true.upper, true.actual, true.lower, true.scale)


def _identity(formula: Callable[[Chain], Any]) -> Mistake:
    """Another formula on both sides of an identity."""

    def mistake(chain: Chain, true: Check) -> Check:
        value = formula(chain)
        return Check(value, true.actual, value, true.scale)

    return mistake


def _actual(formula: Callable[[Chain, Any], Any]) -> Mistake:
    """Another number claimed to meet the same bounds."""
    return lambda chain, true: true._replace(actual=formula(chain, true.actual))


def _lower(formula: Callable[[Chain, Any], Any]) -> Mistake:
    return lambda chain, true: Check(formula(chain, true.lower), true.actual, INF, true.scale)


def _upper(formula: Callable[[Chain, Any], Any]) -> Mistake:
    return lambda chain, true: Check(-INF, true.actual, formula(chain, true.upper), true.scale)


def _half_of_scale(chain: Chain, true: Check) -> Check:
    """A decrease (or increase) claimed to be by half at least."""
    return Check(true.scale / 2, true.actual, INF, true.scale)


def _mean(chain: Chain) -> Any:
    squares = chain.z[:-1] ** 2
    return chain.xp.sum(squares * chain.d, axis=1) / chain.xp.sum(squares, axis=1)


def _reduced(chain: Chain) -> Any:
    squares = chain.xp.sum((chain.z[:-1] / chain.d) ** 2, axis=1)
    return chain.norms[:-1] / chain.xp.sqrt(squares)


def _c(chain: Chain) -> Any:
    return chain.c[:, None]


def _once(chain: Chain) -> Any:
    """A_0ᵗ in the place of B_{t−1}."""
    return chain.xp.stack([chain.A[0] ** (t + 1) for t in range(chain.fits)])


def _damped(chain: Chain) -> Any:
    return _c(chain) * chain.z[:-1] / (_c(chain) + chain.d)


def _tangent_again(chain: Chain, upper: Any) -> Any:
    a, b = _tangent(chain.r[0], chain.excess[0], 1 / chain.kappa)
    return a * upper - b


def _slope(chain: Chain, kappa: Any) -> Any:
    return _tangent(chain.r[0], chain.excess[0], kappa)[0]


def _drop(chain: Chain, cosine: Any) -> Any:
    """‖u‖² + 2 ⟨u, y_{t+1}⟩ at a given cosine."""
    return chain.s[:-1] * (chain.s[:-1] + 2 * cosine * chain.norms[1:])


def _shifted(chain: Chain, bound: Any) -> Any:
    """The bound of round t − 1 at t."""
    return chain.xp.concatenate([chain.r[:1], bound[:-1]])


def _log_rises(chain: Chain, true: Check) -> Check:
    low = [_log_base(chain, chain.d[0], x) for x in _ladder(chain)]
    rises = chain.xp.stack([b - a for a, b in itertools.pairwise(low)])
    return Check(0.0, rises, INF, chain.xp.stack(low[:-1]))


def _bound_with(reference: Callable[[Chain], Any]) -> Mistake:
    """Theorem 5's sum with another eigenvalue for d_min."""

    def mistake(chain: Chain, true: Check) -> Check:
        steps = _log_base(chain, reference(chain), chain.excess[:, None])
        return true._replace(lower=chain.xp.cumsum(steps, axis=0))

    return mistake


def _prediction(weights: Callable[[Chain], Any], c: Callable[[Chain], Any]) -> Callable:
    return lambda chain: weights(chain) / (c(chain) + weights(chain))


def _without_minus_one(chain: Chain) -> Any:
    """c_0/Π(1 + c_i/d) for d†."""
    return chain.c[0] * chain.B


_MISTAKES: dict[str, list[tuple[str, Mistake]]] = {
    "stationarity": [
        ("c² for c", _actual(lambda k, a: (_c(k) ** 2 + k.d) * k.z[1:] / k.d)),
        ("sign of c", _actual(lambda k, a: (k.d - _c(k)) * k.z[1:] / k.d)),
    ],
    "unrolled_labels": [
        ("one round less", _identity(lambda k: k.B / k.A * k.z[0])),
        ("c_0 in every round", _identity(lambda k: _once(k) * k.z[0])),
    ],
    "optimality": [
        ("sign", _identity(lambda k: k.xp.sum(k.z[1:] ** 2 / k.d, axis=1) + k.s[:-1] ** 2 / k.c)),
        (
            "square dropped",
            _identity(lambda k: k.xp.sum(k.z[:-1] ** 2 / (_c(k) + k.d), axis=1) - k.s[:-1] / k.c),
        ),
    ],
    "no_better_competitor": [
        ("flipped", _flip),
        ("growth doubled", _lower(lambda k, lower: 2 * lower)),
    ],
    "joint_outputs": [
        ("square dropped", _identity(lambda k: k.s[:-1])),
        (
            "each output has all",
            _actual(lambda k, a: k.xp.sum((k.columns[1:] - k.columns[:-1])[..., 0] ** 2, axis=1)),
        ),
    ],
    "training_residual": [
        ("square dropped", _identity(lambda k: k.xp.sum(abs(_damped(k)), axis=1))),
        (
            "d for c",
            _identity(lambda k: k.xp.sum((k.d * k.z[:-1] / (_c(k) + k.d)) ** 2, axis=1)),
        ),
    ],
    "active_constraint": [
        ("square dropped", _identity(lambda k: k.s[:-1])),
        ("1/K twice", _identity(lambda k: k.s[:-1] ** 2 / k.size)),
    ],
    "residual_increases": [("flipped", _flip), ("doubles", _half_of_scale)],
    "first_multiplier_bracket": [
        ("flipped", _flip),
        ("‖z‖ for s", _lower(lambda k, lower: lower * k.r[0])),
        ("s² for s", _upper(lambda k, upper: upper / k.r[0])),
    ],
    "multiplier_bracket": [
        ("flipped", _flip),
        ("r for r − 1", _upper(lambda k, upper: k.d[-1] / k.r[:-1])),
        ("d_max below", _lower(lambda k, lower: k.d[-1] / k.excess)),
    ],
    "multiplier_mean_bound": [
        ("flipped", _flip),
        ("another mean", _upper(lambda k, upper: _reduced(k) / k.excess)),
    ],
    "multiplier_reduced_bound": [
        ("flipped", _flip),
        ("another mean", _lower(lambda k, lower: _mean(k) / k.excess)),
    ],
    "realised_alpha": [
        ("flipped", _flip),
        ("r for r − 1", _actual(lambda k, alpha: alpha * k.stiffness)),
    ],
    "realised_recurrence": [
        ("c for α", _identity(lambda k: k.d / (_c(k) / k.excess[:, None] + k.d) * k.z[:-1])),
        ("c for d", _identity(lambda k: _damped(k))),
    ],
    "multipliers_increase": [("flipped", _flip), ("doubles", _half_of_scale)],
    "collapse_criterion": [
        ("flipped", _flip),
        ("2 for 1", _lower(lambda k, lower: lower + 1)),
    ],
    "label_norm_decreases": [("flipped", _flip), ("halves", _half_of_scale)],
    "one_round_ratio": [
        ("flipped", _flip),
        ("κ − 1", _lower(lambda k, lower: _shrink(k.r[:-1], k.excess, k.kappa - 1))),
        ("κ for 1/κ", _upper(lambda k, upper: _shrink(k.r[:-1], k.excess, k.kappa))),
    ],
    "tangent_below": [
        ("flipped", _flip),
        ("offset dropped", _lower(lambda k, lower: _slope(k, k.kappa) * k.r[:-1])),
    ],
    "tangent_above": [
        ("flipped", _flip),
        ("κ for 1/κ", _upper(lambda k, upper: upper * _slope(k, k.kappa) / _slope(k, 1 / k.kappa))),
    ],
    "label_norm_lower_bound": [
        ("flipped", _flip),
        ("exponent t − 1", _lower(_shifted)),
        ("1/κ for κ", _lower(lambda k, lower: np.subtract(*_recurrence(k, 1 / k.kappa)[:2]))),
    ],
    "label_norm_upper_bound": [("flipped", _flip), ("exponent t + 1", _upper(_tangent_again))],
    "guaranteed_rounds": [
        ("flipped", _flip),
        ("κ − ½ for κ", _lower(lambda k, lower: k.label_excess / (k.kappa - 0.5))),
        ("square", _lower(lambda k, lower: lower * (k.r[0] + 1))),
    ],
    "guaranteed_rounds_near_interpolation": [
        ("flipped", _flip),
        ("exponent", _lower(lambda k, lower: 1 - (1 - lower) ** 2)),
    ],
    "norm_drop": [("flipped", _flip), ("half", _upper(lambda k, upper: upper / 2))],
    "power_drop": [
        ("flipped", _flip),
        (
            "4 for 2",
            _lower(lambda k, lower: k.s[:-1] ** 2 * (1 + 4 * k.d[0] / k.c)),
        ),
        ("2 dropped", _upper(lambda k, upper: k.s[:-1] ** 2 * (1 + k.d[-1] / k.c))),
    ],
    "kantorovich_drop": [
        ("flipped", _flip),
        ("square root dropped", _lower(lambda k, lower: _drop(k, 2 * k.kappa / (1 + k.kappa)))),
        ("y_t for y_{t+1}", _lower(lambda k, lower: lower + 2 * k.s[:-1] ** 2)),
    ],
    "rounds_at_least": [("flipped", _flip), ("r_0 for r_0 − 1", _lower(lambda k, lower: k.r[0]))],
    "rounds_at_most": [("flipped", _flip), ("square dropped", _upper(lambda k, upper: k.r[0]))],
    "rounds_at_most_dated": [
        ("flipped", _flip),
        ("one less", _upper(lambda k, upper: upper - 1)),
        ("1 for γ", _upper(lambda k, upper: k.r[0])),
    ],
    "label_ratio_iterated": [
        ("flipped", _flip),
        ("exponent t + 1", _upper(lambda k, upper: upper - least_cosine(k.xp, k.kappa))),
        ("1 for γ", _upper(lambda k, upper: k.r[0] - _rounds(k)[:, 0])),
    ],
    "weight_ratio": [
        ("flipped", _flip),
        ("exponent t + 1", _lower(lambda k, lower: lower * (1 + 1 / _rounds(k)))),
    ],
    "weight_ratio_a_posteriori": [
        ("flipped", _flip),
        ("d_max for d_min", _bound_with(lambda k: k.d[-1])),
    ],
    "weight_ratio_reduced": [
        ("flipped", _flip),
        ("another mean", _bound_with(lambda k: _mean(k)[:, None])),
    ],
    "sparsity_index": [
        ("flipped", _flip),
        ("exponent t + 1", _lower(lambda k, lower: lower * (1 + 1 / _rounds(k)))),
    ],
    "sparsity_index_guaranteed": [
        ("flipped", _flip),
        ("κ for 1/κ", _lower(lambda k, lower: lower * k.kappa**2)),
    ],
    "index_decreases_in_tolerance": [("flipped", _flip), ("exponent dropped", _log_rises)],
    "index_limit": [
        ("flipped", _flip),
        ("κ dropped", _lower(lambda k, lower: lower * k.kappa)),
        ("at ε, not 0", _upper(lambda k, upper: _log_index(k, k.excess[0]))),
    ],
    "equivalent_kernel": [
        ("c_t for c_0", _identity(_prediction(equivalent_spectrum, lambda k: k.c[-1]))),
        ("− 1 dropped", _identity(_prediction(_without_minus_one, lambda k: k.c[0]))),
    ],
    "equivalent_kernel_function": [
        ("d for d†", _identity(lambda k: k.d * k.z[0] / (k.c[0] + equivalent_spectrum(k)))),
        (
            "− 1 dropped",
            _identity(lambda k: k.z[0] * _prediction(_without_minus_one, lambda q: q.c[0])(k)),
        ),
    ],
    "equivalent_spectrum_decreases": [("flipped", _flip), ("halves", _half_of_scale)],
    "rademacher_decreases": [("flipped", _flip), ("halves", _half_of_scale)],
    "local_rademacher_bound": [
        ("flipped", _flip),
        ("half", _upper(lambda k, upper: upper / 2)),
    ],
    "local_rademacher_decreases": [("flipped", _flip), ("halves", _half_of_scale)],
    "early_stopping_ratio": [("flipped", _flip), ("root", _upper(lambda k, upper: upper / 2))],
    "self_distillation_ratio": [
        ("flipped", _flip),
        ("exponent t", _upper(lambda k, upper: upper * (1 - 1 / _rounds(k)))),
    ],
    "matched_early_stopping": [
        ("flipped", _flip),
        ("one round's error", _upper(lambda k, upper: k.s[1:-1] ** 2)),
    ],
}


def _plant(true: Statement, what: str, mistake: Mistake) -> Statement:
    def sides(chain: Chain) -> Check:
        return mistake(chain, true.sides(chain))

    return replace(true, title=f"{true.title} ({what})", sides=sides)


PLANTED: dict[str, list[Statement]] = {
    name: [_plant(REGISTRY[name], what, mistake) for what, mistake in mistakes]
    for name, mistakes in _MISTAKES.items()
}
