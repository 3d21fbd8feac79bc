"""Both sides of every formula are pinned: a weaker one is noticed, though it is true.

A planted mistake makes a statement false; a formula that is too weak is never violated. So each
side is compared with the actual value where it is attained, to rounding or to a named share. What
is attained at κ = 1 alone is tied to its derivation by a proof as well: those of
``test_proofs.py`` evaluate the statements themselves, on symbols.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from chains import distill, named
from problems import ROUNDING

import hilbertsd as hsd
from hilbertsd.theory import REGISTRY, Chain, Check, Statement, examples, judge, views
from hilbertsd.theory.collapse import _recurrence, _shrink, least_cosine
from hilbertsd.theory.generalization import equivalent_spectrum
from hilbertsd.theory.sparsification import _ladder, _log_base, _rounds

INF = float("inf")
EQUAL = 1 - ROUNDING
"""The share of a bound that is attained."""


def _near_one():
    """Each round starts with r_t = 1.001, by its own tolerance: multipliers far above d_max."""
    d, z = np.array([1.0, 5.0]), np.array([1.0, 1.0])
    eps = []
    for _ in range(3):
        eps.append(np.mean(z**2) / 1.001**2)
        result = distill(d, [1.0, 1.0], np.array(eps)[:, None], len(eps) - 1)
        z = result.labels[len(eps)]
    return result


EXTREME = {
    "nearly whole": lambda: hsd.self_distill(*examples.one_scale(8 - 1e-6)),
    "over whole": lambda: hsd.self_distill(*examples.one_scale(8 + 1e-6)),
    "near one": _near_one,
    "at d_min, interpolating": lambda: distill([1.0, 5.0], [1e3, 0.0], 0.5, 2),
    "at d_min, narrow": lambda: distill([1.0, 1.02], [1e3, 0.0], 0.5, 2000),
    "cluster": lambda: distill([1.0, 1.001], [2.0, 2.0], 1.0, 3),
    "interpolating": lambda: distill([1.0, 5.0], [1.0, 2.0], 1e-8, 1),
    "one large": lambda: distill([1e-12, 10.0], [0.0, 1.0], 0.1, 0),
}


class Pin(NamedTuple):
    """A side is at least this share of what is true, or the other way round for an upper one."""

    side: str
    where: str
    share: float
    entry: tuple[int, ...] | None = None
    """Of the check's arrays; by default the nearest one."""


PINS = {
    "no_better_competitor": [Pin("lower", "spread", EQUAL)],
    "first_multiplier_bracket": [
        Pin("lower", "labels at d_min", EQUAL),
        Pin("upper", "labels at d_max", EQUAL),
    ],
    "multiplier_bracket": [
        Pin("lower", "labels at d_min", EQUAL),
        Pin("upper", "labels at d_max", EQUAL),
    ],
    "multiplier_mean_bound": [Pin("upper", "labels at d_min", EQUAL)],
    "multiplier_reduced_bound": [Pin("lower", "labels at d_max", EQUAL)],
    "realised_alpha": [
        Pin("lower", "labels at d_min", EQUAL),
        Pin("upper", "labels at d_max", EQUAL),
    ],
    "tangent_below": [Pin("lower", "spread", EQUAL, (0,))],
    "tangent_above": [Pin("upper", "spread", EQUAL, (0,))],
    "one_round_ratio": [Pin("lower", "one scale", EQUAL), Pin("upper", "one scale", EQUAL)],
    "label_norm_lower_bound": [Pin("lower", "one scale", EQUAL, (t,)) for t in (0, 6)],
    "label_norm_upper_bound": [Pin("upper", "one scale", EQUAL, (t,)) for t in (0, 6)],
    "guaranteed_rounds": [Pin("lower", "nearly whole", 0.99999)],
    "guaranteed_rounds_near_interpolation": [
        Pin("lower", "spread", EQUAL, (0,)),
        Pin("upper", "spread", 0.9999),
    ],
    "norm_drop": [Pin("upper", "labels at d_max", EQUAL)],
    "power_drop": [Pin("lower", "labels at d_min", EQUAL), Pin("upper", "labels at d_max", EQUAL)],
    "kantorovich_drop": [Pin("lower", "kantorovich", EQUAL)],
    "rounds_at_least": [Pin("lower", "nearly whole", 0.99999)],
    "rounds_at_most": [Pin("upper", "staircase", 0.899)],
    "rounds_at_most_dated": [Pin("upper", "over whole", 0.99999)],
    "label_ratio_iterated": [
        Pin("upper", "kantorovich", EQUAL, (0,)),
        Pin("upper", "one scale", EQUAL, (6,)),
    ],
    "weight_ratio": [
        Pin("lower", "labels at d_min", EQUAL, (0, 0)),
        Pin("lower", "at d_min, interpolating", 0.99, (2, 0)),
    ],
    "weight_ratio_a_posteriori": [Pin("lower", "at d_min, interpolating", EQUAL, (2, 0))],
    "weight_ratio_reduced": [Pin("lower", "labels at d_max", EQUAL)],
    "sparsity_index": [
        Pin("lower", "labels at d_min", EQUAL, (0, 0)),
        Pin("lower", "at d_min, interpolating", 0.99, (2, 0)),
    ],
    "sparsity_index_guaranteed": [Pin("lower", "at d_min, narrow", 0.2)],
    "index_limit": [Pin("lower", "cluster", 0.999, (0, 0)), Pin("upper", "spread", 0.98)],
    "local_rademacher_bound": [
        Pin("upper", "one scale", EQUAL, (0, 0)),
        Pin("upper", "one large", 0.99, (0, 1)),
    ],
    "early_stopping_ratio": [Pin("upper", "near collapse", 0.99)],
    "self_distillation_ratio": [Pin("upper", "near one", 0.99, (t, 0)) for t in (0, 2)],
    "matched_early_stopping": [
        Pin("lower", "labels at d_max", EQUAL),
        Pin("upper", "at d_min, interpolating", EQUAL),
    ],
}

ZERO = {
    # kind "monotone", and what is not negative: a bound of 0 is its own formula
    "collapse_criterion",
    "early_stopping_ratio",
}


def chain(where: str, about: str) -> Chain:
    result = EXTREME[where]() if where in EXTREME else named()[where]
    return views(result)[about]


def assert_pinned(statement: Statement) -> None:
    """Every pin of the statement of that name."""
    for side, where, share, entry in PINS[statement.name]:
        check = statement.sides(chain(where, statement.about))
        bound, actual = np.broadcast_arrays(np.asarray(getattr(check, side)), check.actual)
        low, high = (bound, actual) if side == "lower" else (actual, bound)
        part = low / high
        found = part.max() if entry is None else part[entry]
        assert share <= found <= 2 - EQUAL, (statement.name, side, where, float(found))


def of(name: str) -> Statement:
    return REGISTRY[name]


@pytest.mark.parametrize("name", PINS)
def test_pinned(name):
    assert_pinned(of(name))


@pytest.mark.parametrize("name", [n for n, s in REGISTRY.items() if s.kind != "identity"])
def test_every_side_is_pinned(name):
    statement = of(name)
    key = "joint" if name == "joint_outputs" else "spread"
    check = statement.sides(chain(key, statement.about))
    for side in ("lower", "upper"):
        bound = np.asarray(getattr(check, side))
        if np.isinf(bound).all():
            continue
        if statement.kind == "monotone" or (name in ZERO and side == "lower"):
            assert (bound == 0).all()
        else:
            assert side in {pin.side for pin in PINS[name]}


# ------------------------------------------------------------------ true, and too weak


def _lower(formula):
    return lambda k, check: check._replace(lower=formula(k, check.lower))


def _upper(formula):
    return lambda k, check: check._replace(upper=formula(k, check.upper))


def _rademacher(head, share):
    """The local bound with another share of h and of the tail, and what it then bounds."""

    def sides(k, check):
        size, count = k.size, len(k.d)
        heads = np.array([0, *(2**i for i in range(count.bit_length()) if 2**i < count)])
        weights = equivalent_spectrum(k)
        tails = np.cumsum(weights, axis=1)[:, ::-1][:, heads]
        radius = head * heads / size + np.sqrt(tails / size**share)
        value = np.sum(np.minimum(radius[:, :, None], weights[:, None, :]), axis=2) / size
        return check._replace(actual=value, upper=radius**2)

    return sides


def _rate(factor):
    def sides(k, check):
        shares = [x / (x + factor * k.d[0] / k.neighbours[0]) for x in _ladder(k)]
        return check._replace(lower=np.stack(shares) * check.upper)

    return sides


WEAKER = {
    "no_better_competitor": [("half of the growth", _lower(lambda k, v: v / 2))],
    "first_multiplier_bracket": [
        ("d_min/κ", _lower(lambda k, v: v / k.kappa)),
        ("κ d_max", _upper(lambda k, v: v * k.kappa)),
    ],
    "multiplier_bracket": [
        ("d_min/r", _lower(lambda k, v: k.d[0] / k.r[:-1])),
        ("d_max/(√r − 1)", _upper(lambda k, v: k.d[-1] / (np.sqrt(k.r[:-1]) - 1))),
    ],
    "multiplier_mean_bound": [("d_max", _upper(lambda k, v: k.d[-1] / k.excess))],
    "multiplier_reduced_bound": [("d_min", _lower(lambda k, v: k.d[0] / k.excess))],
    "realised_alpha": [
        ("d_min/κ", _lower(lambda k, v: v / k.kappa)),
        ("κ d_max", _upper(lambda k, v: v * k.kappa)),
    ],
    "tangent_below": [("offset", _lower(lambda k, v: v - 0.1))],
    "tangent_above": [("offset", _upper(lambda k, v: v + 0.1))],
    "label_norm_lower_bound": [
        ("κ + 1 for κ", _lower(lambda k, v: np.subtract(*_recurrence(k, k.kappa + 1)[:2]))),
    ],
    "label_norm_upper_bound": [
        ("1/(κ + 1)", _upper(lambda k, v: np.subtract(*_recurrence(k, 1 / (k.kappa + 1))[:2]))),
    ],
    "one_round_ratio": [
        ("κ + 1 for κ", _lower(lambda k, v: _shrink(k.r[:-1], k.excess, k.kappa + 1))),
        ("1/(κ + 1)", _upper(lambda k, v: _shrink(k.r[:-1], k.excess, 1 / (k.kappa + 1)))),
    ],
    "guaranteed_rounds": [("r − 2", _lower(lambda k, v: v - 1 / k.kappa))],
    "guaranteed_rounds_near_interpolation": [
        ("rate 2", _lower(lambda k, v: 2 * v - 1)),
        ("2 for 1", _upper(lambda k, v: 2.0)),
    ],
    "norm_drop": [("twice", _upper(lambda k, v: 2 * v))],
    "power_drop": [
        ("1 for 2", _lower(lambda k, v: k.s[:-1] ** 2 * (1 + k.d[0] / k.c))),
        ("0 for 2", _lower(lambda k, v: k.s[:-1] ** 2)),
        ("4 for 2", _upper(lambda k, v: k.s[:-1] ** 2 * (1 + 4 * k.d[-1] / k.c))),
    ],
    "kantorovich_drop": [
        ("γ²", _lower(lambda k, v: k.s[:-1] ** 2 + (v - k.s[:-1] ** 2) * least_cosine(np, k.kappa)))
    ],
    "rounds_at_least": [("r − 2", _lower(lambda k, v: v - 1))],
    "rounds_at_most": [("cube", _upper(lambda k, v: v**1.5))],
    "rounds_at_most_dated": [("one more", _upper(lambda k, v: v + 1))],
    "label_ratio_iterated": [
        ("r²", _upper(lambda k, v: np.sqrt(k.r[0] ** 2 - _rounds(k)[:, 0]))),
    ],
    "weight_ratio": [
        ("exponent t − 1", _lower(lambda k, v: v * (1 - 1 / _rounds(k)))),
        ("exponent 1", _lower(lambda k, v: v / _rounds(k))),
    ],
    "weight_ratio_a_posteriori": [
        (
            "r_0 for r_i",
            _lower(lambda k, v: _rounds(k) * _log_base(k, k.d[0], k.excess[0])),
        )
    ],
    "weight_ratio_reduced": [
        (
            "d_min",
            _lower(lambda k, v: np.cumsum(_log_base(k, k.d[0], k.excess[:, None]), axis=0)),
        )
    ],
    "sparsity_index": [
        ("exponent t − 1", _lower(lambda k, v: v * (1 - 1 / _rounds(k)))),
        ("exponent 1", _lower(lambda k, v: v / _rounds(k))),
    ],
    "sparsity_index_guaranteed": [("1/κ twice", _lower(lambda k, v: v / k.kappa**20))],
    "index_limit": [
        ("rate 9 q", _rate(9.0)),
        ("twice", _upper(lambda k, v: 2 * v)),
    ],
    "local_rademacher_bound": [
        ("2 h/K", _rademacher(2, 1)),
        ("tail without 1/K", _rademacher(1, 0)),
    ],
    "early_stopping_ratio": [("twice", _upper(lambda k, v: 2 * v))],
    "self_distillation_ratio": [("t + 2", _upper(lambda k, v: v * (1 + 1 / _rounds(k))))],
    "matched_early_stopping": [
        ("half", _lower(lambda k, v: v / 2)),
        ("twice", _upper(lambda k, v: 2 * v)),
    ],
}


def weaker(name, change):
    true = of(name)

    def sides(k: Chain) -> Check:
        return change(k, true.sides(k))

    return replace(true, sides=sides)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        pytest.param(name, change, id=f"{name}: {title}")
        for name, variants in WEAKER.items()
        for title, change in variants
    ],
)
def test_a_weaker_side_is_noticed(name, change):
    variant = weaker(name, change)
    for result in named().values():
        assert judge(variant, views(result)[variant.about]).status != "fails"
    with pytest.raises(AssertionError):
        assert_pinned(variant)


def test_every_pinned_statement_has_a_weaker_form():
    assert set(PINS) == set(WEAKER)
