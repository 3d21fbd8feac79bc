"""The adversary: it finds what is false, acquits what is true, and knows where bounds are tight."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from planted import PLANTED
from problems import ROUNDING, SEEDS, assert_close

import hilbertsd as hsd
from hilbertsd import batch
from hilbertsd.theory import REGISTRY, Chain, Check, Hypothesis, Statement
from hilbertsd.theory.attack import ELSEWHERE, Effort, attack, search, slacks
from hilbertsd.theory.backward import chain_to, longest_chain, smallest_ratio
from hilbertsd.theory.confirmation import confirm
from hilbertsd.theory.hypotheses import constant_tolerance, same_tolerance
from hilbertsd.theory.space import SCALE, Space

INF = float("inf")
GLANCE = Effort(points=64, population=16, generations=6, steps=0)
"""Enough for nearly all that is planted, and nothing is compiled."""
HARD_TO_SEE = Effort(points=256, population=32, generations=60, steps=0)
SHORT = Effort(points=64, population=16, generations=10, steps=60)
TINY = Effort(points=16, population=8, generations=2, steps=4)
TWO_NODES = Space(nodes=2, fits=2, kappa=(100.0, 100.0), label_decades=4)
FORWARDS = 1e-9
"""A chain from its end and the same from its start: the forward multipliers lose 1/(r − 1) times
the condition of the secular equation; ratios here are at least 1e-2 above 1."""
OPTIMUM = 1e-6
"""A local search against the known optimum, relative."""


def _statement(sides, requires: tuple[Hypothesis, ...] = ()) -> Statement:
    return Statement("own", "Own", "upper", "here", "here", "chain", requires, sides)


def _one_by_one(d: np.ndarray, last: np.ndarray, fits: int, collapsed: bool) -> Chain:
    return chain_to(last, d, fits, collapsed, SCALE)


# Chains from their end


@given(SEEDS, st.integers(1, 6), st.integers(1, 6), st.floats(0, 3), st.floats(0.02, 50.0))
def test_a_chain_from_its_end_is_the_chain_from_its_start(seed, nodes, fits, decades, ratio):
    rng = np.random.default_rng(seed)
    d = np.sort(10 ** rng.uniform(-decades, 0, nodes))
    last = np.abs(rng.standard_normal(nodes)) + 1e-3
    last *= SCALE * (ratio if ratio < 0.98 or ratio > 1.02 else 1.02) / np.linalg.norm(last)
    collapsed = bool(np.linalg.norm(last) <= SCALE)
    chain = _one_by_one(d, last, fits, collapsed)
    eps = SCALE**2 / nodes
    assume((chain.r[:-1] > 1.01).all())  # forwards it is ill-conditioned there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of lost digits, which the tolerance allows for
        result = hsd.self_distill(np.diag(d), chain.z[0], eps, rounds=fits)
    assert_close(chain.c, result.multipliers[:fits], rtol=FORWARDS)
    assert_close(chain.r, result.label_ratios[: fits + 1], rtol=FORWARDS)
    assert_close(chain.z, result.labels[: fits + 1], rtol=FORWARDS * 1e2, atol=FORWARDS)
    assert collapsed == (result.collapse_round == fits)


@given(SEEDS, st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_a_tolerance_a_round_and_a_null_space_from_the_end_and_from_the_start(
    seed, nodes, fits, null
):
    rng = np.random.default_rng(seed)
    d = np.sort(10 ** rng.uniform(-2, 0, nodes))
    s = 10 ** rng.uniform(-1, 0, fits + 1)
    if null:
        s[1:] = 1.0  # ε throughout, and ε − ε_floor for the first round
    last = s[-1] * (np.abs(rng.standard_normal(nodes)) + 0.1)
    chain = chain_to(last, d, fits, bool(np.linalg.norm(last) <= s[-1]), s)
    assert not chain.constant
    assume((abs(chain.r - 1) > 0.05).all())
    spectrum, z, eps = d, chain.z[0], (s**2 / nodes)[:, None]
    if null:
        spectrum = np.append(0.0, d)
        z = np.append(np.sqrt(1 - s[0] ** 2), z)
        eps = 1 / (nodes + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = hsd.self_distill(np.diag(spectrum), z, eps, rounds=fits)
    assert_close(chain.c, result.multipliers[:fits], rtol=FORWARDS)
    assert_close(chain.z[1:], result.labels[1 : fits + 1, -nodes:], rtol=1e2 * FORWARDS, atol=1e-9)


def test_both_outputs_of_a_backward_chain_share_its_tolerance():
    chain = _one_by_one(np.array([0.2, 1.0]), np.array([0.1, 0.7]), 3, collapsed=False)
    power = np.sum((chain.columns[1:] - chain.columns[:-1]) ** 2, axis=(1, 2))
    assert_close(power, np.full(3, SCALE**2), rtol=ROUNDING)


@given(SEEDS, st.integers(2, 8), st.floats(0, 8))
def test_a_round_takes_as_much_as_kantorovich_demands(seed, nodes, decades):
    rng = np.random.default_rng(seed)
    d = np.sort(10 ** rng.uniform(-decades, 0, nodes))
    last = 10 ** rng.uniform(-6, 2, nodes)
    r = chain_to(last, d, 5, collapsed=False).r
    kappa = d[-1] / d[0]
    gamma = 2 * np.sqrt(kappa) / (1 + kappa)
    assert (r[:-1] ** 2 >= (r[1:] ** 2 + 2 * gamma * r[1:] + 1) * (1 - ROUNDING)).all()
    survivors = np.flatnonzero(r[:-1] > 1)
    assert r[0] >= smallest_ratio(len(survivors), kappa) * (1 - ROUNDING)


@pytest.mark.parametrize("kappa", [1.0, 2.0, 1e4])
def test_two_fits_attain_kantorovichs_bound_at_every_condition_number(kappa):
    found = longest_chain(2, kappa, starts=3)
    assert_close(found.ratio, found.bound, rtol=OPTIMUM)
    # y_1 ∝ (√d_min, √d_max): the case of equality, by hand
    ends = np.sqrt([1 / kappa, 1.0])
    hand = chain_to(ends / np.linalg.norm(ends), np.array([1 / kappa, 1.0]), 1, collapsed=False)
    assert_close(hand.r[0], smallest_ratio(2, kappa), rtol=ROUNDING)


def test_the_age_of_small_labels_approaches_its_bound_as_scales_separate():
    found = [longest_chain(3, kappa, starts=4) for kappa in (1.0, 1e4, 1e8)]
    attained = [f.attained for f in found]
    assert attained == sorted(attained)
    assert attained[0] == pytest.approx(1 / 3)
    assert attained[-1] > 0.97
    for f in found:
        assert f.bound <= f.ratio * (1 + ROUNDING)
        assert np.sqrt(3) < f.ratio <= 3
    # r_0² − n falls like κ^(−1/(2(n−1))), a tenth in four decades
    excess = [f.ratio**2 - 3 for f in found[1:]]
    assert 9 < excess[0] / excess[1] < 11
    # and forwards the chain is as long as that: a hair above r_0 there are three fits
    G, z = np.diag(found[1].eigenvalues), found[1].coordinates
    assert hsd.self_distill(G, 1.001 * z, 1 / len(z), rounds=3).collapse_round == 3
    assert hsd.self_distill(G, 0.999 * z, 1 / len(z), rounds=3).collapse_round == 2


@pytest.mark.parametrize(("fits", "kappa"), [(0, 2.0), (3, 0.5), (3, np.nan)])
def test_impossible_searches_for_long_chains_are_refused(fits, kappa):
    with pytest.raises(hsd.HilbertSDError, match=r"must be >= 1"):
        longest_chain(fits, kappa)


# What is false is found


@pytest.mark.parametrize(
    "false",
    [pytest.param(v, id=f"{name}-{i}") for name, vs in PLANTED.items() for i, v in enumerate(vs)],
)
def test_planted_mistakes_are_found_and_confirmed(false):
    found = search(false, Space(), effort=GLANCE)
    if found.violated is not True:
        found = search(false, Space(nodes=3, kappa=(1.0, 1e8)), effort=HARD_TO_SEE)
    assert found.violated is True
    assert "ball arithmetic" in found.confirmed_by
    assert found.slack < 0


def test_without_ball_arithmetic_a_hundred_digits_convict(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "flint", None)
    false = PLANTED["norm_drop"][1]
    found = search(false, Space(), effort=GLANCE)
    assert found.violated is True
    assert found.confirmed_by == "100 digits"


# What is true is acquitted


@pytest.mark.parametrize("name", REGISTRY)
def test_no_statement_is_violated(name):
    found = search(REGISTRY[name], Space(), effort=GLANCE, seed=1)
    assert found.violated is False
    assert found.slack >= 0
    assert np.isfinite(found.slack)


ROUNDS = [name for name, statement in REGISTRY.items() if statement.about == "rounds"]


@pytest.mark.parametrize("name", ROUNDS)
def test_single_rounds_keep_their_word_with_a_null_space_and_with_varying_tolerances(name):
    for tolerances in ELSEWHERE:
        found = search(REGISTRY[name], Space(tolerances=tolerances), effort=GLANCE, seed=2)
        assert found.violated is False
        silent = tolerances == "every round" and same_tolerance in REGISTRY[name].requires
        assert (found.slack == INF) == silent
        assert found.slack >= 0


CONSTANT = [
    name
    for name, statement in REGISTRY.items()
    if {constant_tolerance, same_tolerance} & set(statement.requires)
]


@pytest.mark.parametrize("name", CONSTANT)
def test_what_needs_a_constant_tolerance_is_broken_where_it_varies(name):
    """The search is not blind there: the hypothesis dropped, it finds what it forbids."""
    true = REGISTRY[name]
    rest = tuple(h for h in true.requires if h not in (constant_tolerance, same_tolerance))
    dropped = dataclasses.replace(true, requires=rest)
    space = Space(tolerances="every round")
    found = search(dropped, space, effort=GLANCE)
    if found.violated is not True:
        found = search(dropped, space, effort=HARD_TO_SEE)
    assert found.violated is True
    assert "ball arithmetic" in found.confirmed_by
    assert search(true, space, effort=TINY).slack == INF


def test_a_slip_that_only_a_null_space_shows_is_found():
    """ε for ε − ε_floor in round 0: true of every chain in the range."""
    active = REGISTRY["active_constraint"]

    def sides(chain: Chain) -> Check:
        check = active.sides(chain)
        allowed = chain.xp.stack([chain.s[-1]] * chain.fits) ** 2
        return check._replace(lower=allowed, upper=allowed)

    false = dataclasses.replace(active, sides=sides)
    assert search(false, Space(), effort=GLANCE).violated is False
    found = search(false, Space(tolerances="null space"), effort=GLANCE)
    assert found.violated is True
    assert found.eigenvalues[0] == 0 < found.eigenvalues[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # extreme chains are what it looks for
        G = np.diag(found.eigenvalues)
        result = hsd.self_distill(G, found.coordinates, found.eps, rounds=found.fits - 1)
    assert_close(result.round_residuals[0], found.eps, rtol=FORWARDS)


def _powers(chain: Chain) -> Check:
    """Theorem 6 in powers, where r_0 − 1 loses every digit: (51) below its limit."""
    x, q = chain.r[0] - 1, chain.d[0] / chain.d
    index = ((x + q[:-1]) / (x + q[1:])) ** (x / chain.kappa)
    return Check(-INF, index, chain.xp.exp((q[:-1] - q[1:]) / chain.kappa), index)


def test_theorem_6_in_powers_looks_violated_and_is_acquitted():
    statement = _statement(_powers)
    rng = np.random.default_rng(0)
    apparent = 0
    for _ in range(30):
        d = np.sort(10 ** rng.uniform(-3, 0, 4))
        last = np.abs(rng.standard_normal(4)) * 10 ** rng.uniform(4, 10)
        gap = np.min(slacks(statement.sides(chain_to(last, d, 1, collapsed=False)), np))
        if gap < 0:
            apparent += 1
            verdict = confirm(statement, d, last, 1)
            assert verdict.violated is False
            assert verdict.slack >= 0
    assert apparent >= 5, "the trap is not set"
    found = search(statement, Space(label_ratio=1e10), effort=GLANCE)
    assert found.violated is False
    assert found.slack >= 0


def test_confirmation_agrees_with_exact_arithmetic_at_equality():
    """At κ = 1 the drop is √(Kε) exactly: neither side of equality is a violation."""
    equal = _statement(lambda chain: Check(-INF, chain.r[:-1] - chain.r[1:], 1.0, 1.0))
    below = _statement(lambda chain: Check(-INF, chain.r[:-1] - chain.r[1:], 1 - 2.0**-52, 1.0))
    d, last = np.array([0.3, 0.3]), np.array([1.3, 0.4])
    assert confirm(equal, d, last, 4) == (False, 0.0, "100 digits")
    assert confirm(below, d, last, 4).violated is True


def test_where_a_hypothesis_fails_nothing_is_violated():
    never = Hypothesis("the impossible", lambda chain: False)
    false = _statement(lambda chain: Check(-INF, chain.r, 0.0, 1.0), (never,))
    assert confirm(false, np.ones(2), np.ones(2), 2).violated is False
    found = search(false, Space(), effort=GLANCE)
    assert (found.violated, found.slack, found.eigenvalues) == (False, INF, None)
    assert np.isnan(found.condition_number)


def test_chains_too_short_for_a_statement_are_not_evaluated():
    found = search(REGISTRY["multipliers_increase"], Space(fits=1), effort=TINY)
    assert (found.violated, found.slack, found.evaluations) == (False, INF, 0)


def test_a_pole_leaves_the_verdict_open():
    pole = _statement(lambda chain: Check(-INF, 1 / (chain.kappa - 1), 0.0, 1.0))
    assert confirm(pole, np.ones(2), np.ones(2), 1).violated is None


# Slack and search


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (Check(-INF, 3.0, 4.0, 1.0, 0.0, 7.0), 0.25),  # 1 of the 4 that are true beyond 7
        (Check(2.0, 3.0, INF, 1.0, 1.0), 0.5),
        (Check(1.0, 3.0, INF, 1.0, 1.0), 1.0),  # says no more than is known
        (Check(0.5, 3.0, INF, 1.0, 1.0), 1.25),
        (Check(2.0, 6.0, INF, 1.0), 0.5),  # nothing known: over the sum of both sides
        (Check(0.0, 3.0, INF, 12.0), 0.25),  # a bound of 0: over the scale
        (Check(4.0, 3.0, INF, 8.0, 1.0), -0.125),  # a violation: over the scale
        (Check(1.0, 1.0, INF, 8.0, 1.0), 1.0),
    ],
)
def test_slack_is_what_the_claim_leaves_open(check, expected):
    sides = Check(*(np.array([value]) for value in check))
    assert np.min(slacks(sides, np)) == expected
    with jax.enable_x64(True):
        assert float(jnp.min(slacks(sides, jnp))) == expected
    digits = confirm(_statement(lambda chain: sides), np.ones(1), np.ones(1), 1)
    assert digits.slack == expected


def test_the_search_descends_to_a_known_minimum():
    """r_0² − n is least on separate scales: the search meets the dedicated one."""
    found = search(REGISTRY["rounds_at_most"], TWO_NODES, effort=SHORT)
    ratio = smallest_ratio(2, 100.0)  # of y_0 when r_1 = 1, which the box nearly reaches
    assert found.by_gradient
    assert_close(found.label_ratio, ratio, rtol=1e-2)
    assert found.collapsed
    assert_close(found.condition_number, 100.0, rtol=ROUNDING)


def test_what_is_found_runs_forward():
    found = search(REGISTRY["multiplier_bracket"], Space(), effort=GLANCE, seed=3)
    with jax.enable_x64(True):
        runs = batch.chains(found.eigenvalues, found.coordinates, found.eps, found.fits)
        assert int(runs.fits) >= found.fits
        assert bool(runs.label_ratios[found.fits] <= 1 + 1e-9) == found.collapsed


def test_a_formula_that_cannot_be_traced_is_searched_without_derivatives():
    def branching(chain: Chain) -> Check:
        if chain.kappa > 2:
            return Check(-INF, chain.r[1:], chain.r[:-1] - 1, 1.0)  # false
        return Check(-INF, chain.r[1:], chain.r[:-1], 1.0)

    found = search(_statement(branching), Space(), effort=dataclasses.replace(GLANCE, steps=3))
    assert not found.by_gradient
    assert found.violated is True
    assert found.condition_number > 2


def test_the_same_seed_gives_the_same_chain():
    few = dataclasses.replace(SHORT, generations=2, steps=4)  # compiled for the descent above
    runs = [search(REGISTRY["rounds_at_most"], TWO_NODES, effort=few, seed=s) for s in (5, 5, 6)]
    assert runs[0].slack == runs[1].slack
    assert runs[0].evaluations == runs[1].evaluations
    assert_close(runs[0].last, runs[1].last)
    assert not np.array_equal(runs[0].last, runs[2].last)


def test_attack_follows_slack_along_the_lines():
    attacks = [attack(REGISTRY[name], effort=GLANCE) for name in ("one_round_ratio", "norm_drop")]
    first = attacks[0]
    assert not first.violated
    assert {where: f.violated for where, f in first.elsewhere.items()} == dict.fromkeys(
        ELSEWHERE, False
    )
    assert [f.slack == INF for f in first.elsewhere.values()] == [True, True]
    assert [f.slack < 1 for f in attacks[1].elsewhere.values()] == [True, True]
    assert [value for value, _ in first.by["kappa"]] == [1.0, 10.0, 1e2, 1e4]
    slack = [s for _, s in first.by["kappa"]]
    assert slack[0] == 0  # κ = 1 is equality
    assert slack[1] > 0
    assert first.nearest.slack <= min(s for line in first.by.values() for _, s in line)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (Space(nodes=0), "nodes"),
        (Space(fits=0), "fits"),
        (Space(kappa=(0.5, 2.0)), "kappa"),
        (Space(nodes=()), r"nodes must be a whole number, 0 or more, got \(\)"),
        (Space(fits=1.5), "fits must be a whole number"),
        (Space(kappa=()), r"kappa is empty"),
        (Space(kappa=3.0), "for kappa a pair"),
    ],
)
def test_an_empty_space_is_refused(space, message):
    with pytest.raises(hsd.HilbertSDError, match=message):
        attack("norm_drop", space)


@pytest.mark.parametrize("line", ["kappas", "nodes", "fits"])
def test_a_line_is_a_sequence_of_values(line):
    with pytest.raises(
        hsd.HilbertSDError, match="must be a sequence of values, empty for none; got 3"
    ):
        attack("norm_drop", effort=TINY, **{"kappas": (), "nodes": (), "fits": (), line: 3})
    with pytest.raises(hsd.HilbertSDError):
        attack("norm_drop", effort=TINY, **{"kappas": (), "nodes": (), "fits": (), line: (0.5,)})


def test_an_unknown_statement_is_refused_with_those_that_come_near():
    with pytest.raises(hsd.HilbertSDError, match=r"no statement 'norm_dorp'.*norm_drop"):
        attack("norm_dorp")
    with mp.workdps(15):  # and the working precision of the caller is left alone
        confirm(REGISTRY["norm_drop"], np.ones(2), np.ones(2), 2)
        assert mp.mp.dps == 15
