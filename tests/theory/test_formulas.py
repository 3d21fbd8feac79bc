"""The statements themselves on SymPy's symbols: what is evaluated is what was proved.

Statements are written in their chain's array namespace, so that the same code that judges floats
returns expressions here. Each is compared with its derivation, made in this file or proved in
``test_proofs.py``; a slip in the code, also one that only weakens a bound, is then no identity.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from problems import assert_close

from hilbertsd.theory import REGISTRY, Chain, Statement, examples, views
from hilbertsd.theory.generalization import (
    equivalent_spectrum,
    local_rademacher_bounds,
    rademacher_bounds,
)

sp = pytest.importorskip("sympy")
from test_proofs import R as R_of_index  # noqa: E402
from test_proofs import gap as gap_of_index  # noqa: E402
from test_proofs import is_positive, is_zero, log_index, q_k  # noqa: E402


def _elementwise(function: Callable) -> Callable:
    return np.frompyfunc(function, 1, 1)


SYMBOLIC: Any = SimpleNamespace(
    sqrt=_elementwise(sp.sqrt),
    log=_elementwise(sp.log),
    log1p=_elementwise(lambda x: sp.log(1 + x)),
    sum=np.sum,
    stack=np.stack,
    concatenate=np.concatenate,
    cumsum=np.cumsum,
)


def symbols(name: str, count: int) -> np.ndarray:
    return np.array(sp.symbols(f"{name}_0:{count}", positive=True), dtype=object)


class Ratios(Chain):
    """A chain whose label norms are symbols of their own, in units of √(Kε)."""

    @property
    def norms(self) -> np.ndarray:
        return 1 + symbols("R", len(self.z))

    @property
    def excess(self) -> np.ndarray:
        return _elementwise(sp.cancel)(super().excess)


def spectrum(size: int) -> np.ndarray:
    """Positive, ascending and distinct, as sums of positive symbols."""
    return np.cumsum(symbols("g", size))


def rounds(size: int, fits: int, d: np.ndarray | None = None) -> Chain:
    """A chain of any multipliers; its tolerances are what these leave."""
    d = spectrum(size) if d is None else d
    c, z = symbols("c", fits), [symbols("z", size)]
    for multiplier in c:
        z.append(d / (multiplier + d) * z[-1])
    z = np.stack(z)
    left = SYMBOLIC.sqrt(np.sum((z[1:] - z[:-1]) ** 2, axis=1))
    return Chain(SYMBOLIC, size, d, z, c, np.append(left, left[-1:]), collapsed=True)


def ratios(fits: int, size: int = 2, d: np.ndarray | None = None) -> Chain:
    """A chain of any label ratios r_t = 1 + R_t, in units of √(Kε)."""
    chain = rounds(size, fits, d)
    one = np.array([sp.Integer(1)] * (fits + 1), dtype=object)
    return Ratios(SYMBOLIC, size, chain.d, chain.z, chain.c, one, collapsed=True)


R = symbols("R", 3)
r = 1 + R
"""The label ratios of :func:`ratios`."""


def exact(values: Any) -> np.ndarray:
    """Floats in the code, such as 2.0, as the rationals they are."""
    rational = _elementwise(lambda v: sp.nsimplify(v, rational=True))
    return np.asarray(rational(np.asarray(values, dtype=object)), dtype=object)


def same(found: Any, expected: Any) -> None:
    found, expected = np.broadcast_arrays(exact(found), np.asarray(expected, dtype=object))
    assert found.size
    for a, b in zip(found.flat, expected.flat, strict=True):
        at = {s: sp.Rational(7 + 3 * i, 5) for i, s in enumerate(sorted(_free(a - b), key=str))}
        assert abs(sp.N((a - b).subs(at), 40)) < 1e-30, (a, b)  # a difference is found out fast
        top, _ = sp.fraction(sp.together(a - b))
        assert sp.expand(top) == 0 or is_zero(a - b), (a, b)


def _free(expression: Any) -> set:
    return sp.sympify(expression).free_symbols


def same_log(found: Any, expected: Any) -> None:
    """Logarithms of rational functions are equal where the functions are."""
    same(_elementwise(lambda v: sp.powsimp(sp.exp(sp.expand_log(v))))(exact(found)), expected)


def positive(values: Any) -> None:
    for value in exact(values).flat:
        assert is_positive(value), value


# ------------------------------------------------------------------ one derivation a statement


def training_residual(statement: Statement) -> None:
    for size in range(1, 5):
        chain = rounds(size, 2)
        check = statement.sides(chain)
        same(check.lower, check.actual)
        same(check.actual, np.sum((chain.z[1:] - chain.z[:-1]) ** 2, axis=1))
        same(check.actual, chain.s[:-1] ** 2)


def stationarity(statement: Statement) -> None:
    chain = rounds(3, 2)
    check = statement.sides(chain)
    same(check.actual, chain.z[:-1])
    same(check.lower, chain.z[:-1])
    b = symbols("b", 6).reshape(2, 3)
    handed_out = statement.sides(replace(chain, coefficients=b))
    same(handed_out.actual, chain.c[:, None] * b + chain.d * b)
    same(handed_out.lower, chain.z[:-1])


def optimality(statement: Statement) -> None:
    chain = rounds(2, 1)
    check = statement.sides(chain)
    same(check.lower, check.actual)
    same(check.actual, np.sum(chain.z[1:] ** 2 / chain.d, axis=1))


def no_better_competitor(statement: Statement) -> None:
    """Turned, reversed and rolled residuals attain it; half of it and none exceed it."""
    check = statement.sides(rounds(2, 1))
    same(check.lower[:, :3], check.actual[:, :3])
    positive(check.actual[:, 3:] - check.lower[:, 3:])


def residual_increases(statement: Statement) -> None:
    positive(statement.sides(rounds(1, 1)).actual)


def bracket(statement: Statement) -> None:
    """1 + d/c at the bound is r; and 1 + d_min/c <= r <= 1 + d_max/c, as r is a mean of all."""
    chain = ratios(1)
    check = statement.sides(chain)
    for bound, d in ((check.lower, chain.d[0]), (check.upper, chain.d[-1])):
        same(1 + d / exact(bound), r[0])
    same(check.actual, chain.c[0])
    low, high = (1 + d / chain.c[0] for d in chain.d)
    positive(high**2 - low**2)


def triangle(statement: Statement) -> tuple[Chain, Any, Any, Any]:
    """Labels (3, 4) w, of norm 5 w, so that no root is left but one."""
    w, s = sp.symbols("w s", positive=True)
    chain = rounds(2, 1)
    z = np.stack([np.array([3 * w, 4 * w], dtype=object), chain.z[1]])
    chain = replace(chain, z=z, s=np.array([s, s], dtype=object))
    return chain, statement.sides(chain), 5 * w / s, z[0]


def multiplier_mean_bound(statement: Statement) -> None:
    chain, check, ratio, z = triangle(statement)
    mean = np.sum(z**2 * chain.d) / np.sum(z**2)
    same(1 + mean / exact(check.upper), ratio)
    same(check.actual, chain.c)


def multiplier_reduced_bound(statement: Statement) -> None:
    chain, check, ratio, z = triangle(statement)
    reduced = sp.sqrt(np.sum(z**2)) / sp.sqrt(np.sum((z / chain.d) ** 2))
    same(1 + reduced / exact(check.lower), ratio)
    same(check.actual, chain.c)


def realised_alpha(statement: Statement) -> None:
    chain = ratios(1)
    check = statement.sides(chain)
    same(check.actual, chain.c * R[:1])
    same(check.lower, chain.d[0])
    same(check.upper, chain.d[-1])


def unrolled_labels(statement: Statement) -> None:
    """Against the recurrence itself, A_t = (1 + c_t/d)⁻¹; handed-out labels are the actual ones."""
    chain = rounds(2, 2)
    check = statement.sides(chain)
    labels = chain.z[:1]
    for c in chain.c:
        labels = np.concatenate([labels, [labels[-1] / (1 + c / chain.d)]])
    same(check.lower, labels[1:])
    same(check.actual, chain.z[1:])
    handed_out = replace(chain, labels=symbols("l", chain.z.size).reshape(chain.z.shape))
    same(statement.sides(handed_out).actual, handed_out.labels[1:])


def realised_recurrence(statement: Statement) -> None:
    chain = ratios(2)
    check = statement.sides(chain)
    same(check.lower, chain.z[1:])
    same(check.actual, chain.z[1:])


def label_norm_decreases(statement: Statement) -> None:
    chain = rounds(2, 1)
    check = statement.sides(chain)
    same(check.actual, chain.norms[:-1] - chain.norms[1:])
    positive(chain.norms[:-1] ** 2 - chain.norms[1:] ** 2)


def entry(alpha: Any, d: Any, excess: Any) -> Any:
    """Entry of A at the multiplier α/(r − 1)."""
    return d / (alpha / excess + d)


def extremes(chain: Chain, x: Any) -> tuple[Any, Any]:
    """φ and ψ: r times the least and the largest entry of A that (36) allows."""
    low, high = chain.d[0], chain.d[-1]
    return (1 + x) * entry(high, low, x), (1 + x) * entry(low, high, x)


def one_round_ratio(statement: Statement) -> None:
    chain = ratios(1)
    check = statement.sides(chain)
    least, largest = extremes(chain, R[0])
    same(check.lower, least)
    same(check.upper, largest)
    same(check.actual, r[1])


def _tangent(chain: Chain, side: int, at: Any) -> Any:
    """The tangent at r_0 of φ (0) or ψ (1)."""
    value = extremes(chain, R[0])[side]
    return value + sp.diff(value, R[0]) * (at - R[0])


def tangent(side: int) -> Callable[[Statement], None]:
    def prove(statement: Statement) -> None:
        chain = ratios(2)
        check = statement.sides(chain)
        bound = (check.lower, check.upper)[side]
        for t in range(2):
            same(bound[t], _tangent(chain, side, R[t]))
            same(check.actual[t], extremes(chain, R[t])[side])

    return prove


def iterated_tangent(side: int) -> Callable[[Statement], None]:
    def prove(statement: Statement) -> None:
        chain = ratios(2)
        check = statement.sides(chain)
        bound = exact((check.lower, check.upper)[side])
        same(bound[0], extremes(chain, R[0])[side])
        same(bound[1], _tangent(chain, side, bound[0] - 1))
        same(check.actual, r[1:])

    return prove


def label_chain() -> tuple[Chain, Any, Any]:
    """Labels with a part in the null space: ‖y‖ = N and √(Kε) = S with it."""
    N, S, outside = sp.symbols("N S outside", positive=True)
    chain = rounds(2, 1)
    part = np.array([sp.sqrt(N**2 - outside) / 5])
    z = np.stack([np.array([3 * part[0], 4 * part[0]], dtype=object), chain.z[1]])
    s = np.array([sp.sqrt(S**2 - outside), S], dtype=object)
    return replace(chain, z=z, s=s, null=outside), N, S


def guaranteed_rounds(statement: Statement) -> None:
    chain, N, S = label_chain()
    check = statement.sides(chain)
    same(check.lower, (N / S - 1) * chain.d[0] / chain.d[-1])
    same(check.actual, 1)


def rounds_at_least(statement: Statement) -> None:
    chain, N, S = label_chain()
    check = statement.sides(chain)
    same(check.lower, N / S - 1)
    same(check.actual, 1)


def rounds_at_most(statement: Statement) -> None:
    chain, N, S = label_chain()
    check = statement.sides(chain)
    same(check.upper, (N / S) ** 2)
    same(check.actual, 1)


def guaranteed_rounds_near_interpolation(statement: Statement) -> None:
    check = statement.sides(ratios(1))
    expected = [1 - 1 / (r[0] * 10**i) for i in range(5)]
    same(check.actual, expected)
    same(check.lower, expected)
    same(check.upper, 1)


def norm_drop(statement: Statement) -> None:
    """(‖u‖ + ‖y'‖)² − ‖y‖² = 2 (‖u‖ ‖y'‖ − ⟨u, y'⟩), and Cauchy's inequality."""
    chain = rounds(2, 1)
    check = statement.sides(chain)
    same(check.upper, chain.s[:-1])
    same(check.actual, chain.norms[:-1] - chain.norms[1:])
    u, y = chain.z[0] - chain.z[1], chain.z[1]
    same(np.sum(chain.z[0] ** 2) - u @ u - y @ y, 2 * u @ y)
    same((u @ u) * (y @ y) - (u @ y) ** 2, (u[0] * y[1] - u[1] * y[0]) ** 2)


def power_drop(statement: Statement) -> None:
    check = statement.sides(rounds(2, 1))
    positive(check.actual - check.lower)
    positive(check.upper - check.actual)
    chain = rounds(2, 1)
    same(check.actual, [np.sum(chain.z[0] ** 2 - chain.z[1] ** 2)])
    for side, d in (("lower", chain.d[0]), ("upper", chain.d[1])):
        at_end = replace(chain, d=np.array([d, d]), z=np.stack([chain.z[0], chain.z[0]]))
        z = d / (chain.c[0] + d) * chain.z[0]
        left = SYMBOLIC.sqrt(np.sum((z - chain.z[0]) ** 2))
        ends = replace(at_end, z=np.stack([chain.z[0], z]), s=np.array([left, left]))
        found = statement.sides(ends)
        same(getattr(found, side), found.actual)


def squares() -> tuple[np.ndarray, Any]:
    """Eigenvalues that are squares, and γ: the cosine between (√d_min, √d_max) and its D⁻¹."""
    low, high = np.cumsum(symbols("root", 2))
    z = np.array([low, high], dtype=object)
    d = z**2
    dual = z / d
    gamma = sp.simplify((z @ dual) / sp.sqrt((z @ z) * (dual @ dual)))
    return d, gamma


def kantorovich_drop(statement: Statement) -> None:
    """In units of c_0, with the residual u instead of the labels, z = u (1 + d)."""
    d, gamma = squares()
    u, one = symbols("u", 2), np.array([sp.Integer(1)], dtype=object)
    left = sp.sqrt(u @ u)
    z, s = np.stack([u * (1 + d), u * d]), np.array([left, left], dtype=object)
    chain = Chain(SYMBOLIC, 2, d, z, one, s, collapsed=True)
    check = statement.sides(chain)
    power = np.sum(chain.z**2, axis=1)
    same(check.actual, power[:1] - power[1:])
    left = power[0] - power[1] - chain.s[0] ** 2
    claimed = check.lower[0] - chain.s[0] ** 2
    same(claimed**2, 4 * gamma**2 * chain.s[0] ** 2 * power[1])
    top, below = sp.fraction(sp.together(left**2 - sp.expand(claimed**2)))
    assert all(e % 2 == 0 or is_positive(f) for f, e in sp.factor_list(top)[1])
    assert sp.factor_list(top)[0] > 0
    assert is_positive(below)


def rounds_at_most_dated(statement: Statement) -> None:
    d, gamma = squares()
    check = statement.sides(ratios(1, d=d))
    same(check.upper, r[0] * (r[0] + gamma) / (1 + gamma * r[0]))
    same(check.actual, 1)


def label_ratio_iterated(statement: Statement) -> None:
    d, gamma = squares()
    check = statement.sides(ratios(1, d=d))
    p = exact(check.upper)[0]
    same((p + gamma) ** 2, r[0] ** 2 - 1 + gamma**2)
    assert p.subs(dict.fromkeys(p.free_symbols, 1)) > 0  # the root that is above −γ
    same(check.actual, r[1])


def base(chain: Chain, reference: Any, x: Any, k: int = 0) -> Any:
    """The ratio of A's entries for d_{k+1} and d_k at the multiplier reference/x."""
    c, (low, high) = reference / x, chain.d[k : k + 2]
    return (1 + c / low) / (1 + c / high)


def _actual_ratio(chain: Chain, t: int) -> Any:
    low, high = chain.d[:2]
    return sp.prod([(1 + c / low) / (1 + c / high) for c in chain.c[: t + 1]])


def weight_ratio(statement: Statement) -> None:
    chain = ratios(2)
    check = statement.sides(chain)
    for t in range(2):
        same_log(check.lower[t], base(chain, chain.d[0], R[0]) ** (t + 1))
        same_log(check.actual[t], _actual_ratio(chain, t))


def weight_ratio_of_all_pairs(statement: Statement) -> None:
    """Theorem 5 is about d_min and any other: bounds and ratios of neighbours, multiplied up."""
    weight_ratio(statement)
    chain = ratios(1, size=3)
    check = statement.sides(chain)
    c = chain.d[0] / R[0]
    same_log(check.lower[0, 1], (1 + c / chain.d[0]) / (1 + c / chain.d[2]))


def weight_ratio_a_posteriori(statement: Statement) -> None:
    chain = ratios(2)
    check = statement.sides(chain)
    for t in range(2):
        steps = [base(chain, chain.d[0], x) for x in R[: t + 1]]
        same_log(check.lower[t], sp.prod(steps))
        same_log(check.actual[t], _actual_ratio(chain, t))


def weight_ratio_reduced(statement: Statement) -> None:
    chain, check, ratio, z = triangle(statement)
    reduced = sp.sqrt(np.sum(z**2)) / sp.sqrt(np.sum((z / chain.d) ** 2))
    same_log(check.lower[0], base(chain, reduced, ratio - 1))
    same_log(check.actual[0], _actual_ratio(chain, 0))


def _index(chain: Chain, x: Any) -> Any:
    """(51) in logarithms, from the expression that test_proofs is about."""
    low, high = chain.d[0] / chain.d
    kappa = chain.d[-1] / chain.d[0]
    return log_index.subs({q_k: high, gap_of_index: low - high, R_of_index: x}) / kappa


def _same_index(found: Any, expected: Any) -> None:
    """Linear in logarithms of rational functions: compared at rational points, to 40 digits."""
    difference = exact(found).item() - expected
    for seed in range(3):
        rng = np.random.default_rng(seed)
        at = {s: sp.Rational(int(rng.integers(1, 90)), 7) for s in difference.free_symbols}
        assert abs(sp.N(difference.subs(at), 50)) < 1e-40


def index_decreases_in_tolerance(statement: Statement) -> None:
    chain = ratios(1)
    check = statement.sides(chain)
    for i in range(2):
        x = [2**j * r[0] - 1 for j in (i, i + 1)]
        _same_index(check.actual[i], _index(chain, x[1]) - _index(chain, x[0]))


def index_limit(statement: Statement) -> None:
    """The upper side is the limit of what is bounded, the lower one x/(x + q_j) of it."""
    chain = ratios(1)
    check = statement.sides(chain)
    limit = gap_of_index.subs(gap_of_index, chain.d[0] / chain.d[0] - chain.d[0] / chain.d[1])
    limit = limit * chain.d[0] / chain.d[-1]
    same(check.upper, limit)
    for i in range(2):
        x = 2**i * r[0] - 1
        _same_index(check.actual[i], _index(chain, x))
        same(check.lower[i], x / (x + 1) * limit)  # q_j = d_min/d_1 = 1


def early_stopping_ratio(statement: Statement) -> None:
    chain = ratios(1)
    check = statement.sides(chain)
    same_log(check.upper, chain.d[1] / chain.d[0])
    same_log(check.actual, _actual_ratio(chain, 0))


def self_distillation_ratio(statement: Statement) -> None:
    chain = ratios(2)
    check = statement.sides(chain)
    for t in range(2):
        same_log(check.upper[t], (chain.d[1] / chain.d[0]) ** (t + 1))
        same_log(check.actual[t], _actual_ratio(chain, t))


def matched_early_stopping(statement: Statement) -> None:
    """Training errors of the single fits that agree with f_1 at d_max and at d_min.

    Sums over coordinates: one at a time.
    """
    whole = rounds(2, 2)
    for k in range(2):
        chain = replace(whole, z=whole.z * np.array([int(k == 0), int(k == 1)]))
        check = statement.sides(chain)
        for side, d in ((check.lower, chain.d[1]), (check.upper, chain.d[0])):
            c = (sp.prod([1 + ci / d for ci in chain.c]) - 1) * d
            same(1 / (1 + c / d), sp.prod([d / (ci + d) for ci in chain.c]))
            same(side, [np.sum((c * chain.z[0] / (c + chain.d)) ** 2)])
        same(check.actual, [np.sum((chain.z[2] - chain.z[0]) ** 2)])


def equivalent_kernel(statement: Statement) -> None:
    chain = rounds(2, 3)
    check = statement.sides(chain)
    for t in range(3):
        weights = sp.prod([chain.d / (c + chain.d) for c in chain.c[: t + 1]])
        same(check.lower[t], weights)
        same(check.actual[t], weights)


def equivalent_kernel_function(statement: Statement) -> None:
    chain = rounds(2, 3)
    check = statement.sides(chain)
    same(check.lower, chain.z[1:])
    same(check.actual, chain.z[1:])


def local_rademacher_bound(statement: Statement) -> None:
    chain = rounds(3, 1)
    check = statement.sides(chain)
    d = chain.d[::-1]
    for h in (0, 1, 2):
        radius = sp.Rational(h, 3) + sp.sqrt(sum(d[h:]) / 3)
        same(check.upper[0, h], radius**2)
        smaller = [(radius + v - sp.Abs(radius - v)) / 2 for v in d]
        at = {symbol: 0.25 * i for i, symbol in enumerate(symbols("g", 3), 1)}
        found, expected = (sp.N(v.subs(at)) for v in (check.actual[0, h], sum(smaller) / 3))
        assert abs(found - expected) < 1e-12


PROOFS: dict[str, Callable[[Statement], None]] = {
    "stationarity": stationarity,
    "optimality": optimality,
    "no_better_competitor": no_better_competitor,
    "training_residual": training_residual,
    "residual_increases": residual_increases,
    "first_multiplier_bracket": bracket,
    "unrolled_labels": unrolled_labels,
    "multiplier_bracket": bracket,
    "multiplier_mean_bound": multiplier_mean_bound,
    "multiplier_reduced_bound": multiplier_reduced_bound,
    "realised_alpha": realised_alpha,
    "realised_recurrence": realised_recurrence,
    "label_norm_decreases": label_norm_decreases,
    "one_round_ratio": one_round_ratio,
    "tangent_below": tangent(0),
    "tangent_above": tangent(1),
    "label_norm_lower_bound": iterated_tangent(0),
    "label_norm_upper_bound": iterated_tangent(1),
    "guaranteed_rounds": guaranteed_rounds,
    "guaranteed_rounds_near_interpolation": guaranteed_rounds_near_interpolation,
    "norm_drop": norm_drop,
    "power_drop": power_drop,
    "kantorovich_drop": kantorovich_drop,
    "rounds_at_least": rounds_at_least,
    "rounds_at_most": rounds_at_most,
    "rounds_at_most_dated": rounds_at_most_dated,
    "label_ratio_iterated": label_ratio_iterated,
    "weight_ratio": weight_ratio_of_all_pairs,
    "weight_ratio_a_posteriori": weight_ratio_a_posteriori,
    "weight_ratio_reduced": weight_ratio_reduced,
    "sparsity_index": weight_ratio,
    "index_decreases_in_tolerance": index_decreases_in_tolerance,
    "index_limit": index_limit,
    "early_stopping_ratio": early_stopping_ratio,
    "self_distillation_ratio": self_distillation_ratio,
    "matched_early_stopping": matched_early_stopping,
    "equivalent_kernel": equivalent_kernel,
    "equivalent_kernel_function": equivalent_kernel_function,
    "local_rademacher_bound": local_rademacher_bound,
}

NOT_ALGEBRA = {
    # the secular equation: true by the choice of s_t, whatever the symbols are
    "active_constraint",
    "joint_outputs",
    # signs that need the tolerance: proved in words
    "collapse_criterion",
    "multipliers_increase",
    # picks rounds by comparing numbers: below, on floats
    "sparsity_index_guaranteed",
    # differences of what is proved below
    "equivalent_spectrum_decreases",
    "rademacher_decreases",
    "local_rademacher_decreases",
}


def test_every_statement_is_here():
    assert set(PROOFS) | NOT_ALGEBRA == set(REGISTRY)
    assert not set(PROOFS) & NOT_ALGEBRA


@pytest.mark.parametrize("name", PROOFS)
def test_formula(name):
    PROOFS[name](REGISTRY[name])


def _changed(true: Statement, field: str) -> Statement:
    """A statement with one side a tenth larger."""

    def sides(chain: Chain):
        check = true.sides(chain)
        larger = getattr(check, field) * sp.Rational(11, 10)
        if true.kind == "identity" and field != "actual":
            return check._replace(lower=larger, upper=larger)
        return check._replace(**{field: larger})

    return replace(true, sides=sides)


def _fields() -> Iterator[tuple[str, str]]:
    """Every side that is a formula: not 0 or infinite, nor a sign, which no factor changes."""
    for name in PROOFS:
        true = REGISTRY[name]
        if true.kind == "monotone":
            continue
        check = true.sides(ratios(2))
        for field in ("lower", "actual", "upper"):
            side = np.asarray(getattr(check, field))
            if side.ndim or side.item() not in (0, float("inf"), -float("inf")):
                yield name, field


@pytest.mark.parametrize(("name", "field"), list(_fields()))
def test_no_side_can_be_changed_unnoticed(name, field):
    with pytest.raises(AssertionError):
        PROOFS[name](_changed(REGISTRY[name], field))


@pytest.mark.parametrize("fits", [1, 2, 3, 4])
def test_equivalent_spectrum(fits):
    """The recursion that is evaluated is (54), and decreases; so do the bounds made of it."""
    chain = rounds(1, fits)
    weights = equivalent_spectrum(chain)
    for t in range(fits):
        product = sp.prod([1 + c / chain.d[0] for c in chain.c[: t + 1]])
        same(weights[t], [chain.c[0] / (product - 1)])
    positive(weights[:-1] - weights[1:])


def test_bounds_of_complexity():
    chain = rounds(3, 2)
    weights = equivalent_spectrum(chain)
    same(rademacher_bounds(chain) ** 2, 4 * np.sum(weights, axis=1) / 3)
    local = local_rademacher_bounds(chain)
    for h in range(3):
        tail = np.sum(weights[:, : 3 - h], axis=1)  # ascending: the h largest left out
        same((exact(local[:, h]) - sp.Rational(h, 3)) ** 2, tail / 3)


def test_the_guaranteed_index_is_the_bound_of_one_fit_to_the_power_of_the_guarantee():
    import hilbertsd as hsd

    chain = views(hsd.self_distill(*examples.headline()))["chain"]
    assert chain is not None
    check = REGISTRY["sparsity_index_guaranteed"](chain)
    low, high = chain.neighbours
    x, q = chain.excess[0], chain.d[0]
    assert_close(check.lower, x / chain.kappa * np.log((x + q / low) / (x + q / high)), rtol=1e-9)
