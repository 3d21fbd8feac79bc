"""Every statement holds: on named chains, on drawn ones, and in 50 digits; planted mistakes do not.

The registry drives the tests: a statement that is added is tested.
"""

import itertools
import math
import warnings
from collections import Counter
from dataclasses import replace

import mpmath as mp
import numpy as np
import pytest
from chains import (
    DIGITS,
    NAMES,
    distill,
    drawn,
    law,
    multiprecision,
    named,
    random_chain,
    verdict,
)
from hypothesis import HealthCheck, Phase, given, settings
from planted import PLANTED
from problems import ROUNDING, assert_close, assert_identical, orthogonal, symmetric

import hilbertsd as hsd
from hilbertsd import theory
from hilbertsd.theory import REGISTRY, Check, Hypothesis, NotApplicable, Statement, views
from hilbertsd.theory.generalization import (
    equivalent_spectrum,
    local_rademacher_bounds,
    rademacher_bounds,
)
from hilbertsd.theory.judge import judge
from hilbertsd.theory.sparsification import sparsity_indices

EXACT = mp.mpf(10) ** (12 - DIGITS)
"""Rounding in 50 digits, relative to a check's scale: the reference's roots have 48 digits."""
FALSE_BY = 1e-3
"""A planted mistake is false by more than this, relative to its check's scale."""


def of(name):
    return REGISTRY[name]


@pytest.mark.parametrize("name", NAMES)
def test_holds_on_named_chains_and_says_something_on_one(name):
    found = {key: verdict(of(name), result) for key, result in named().items()}
    assert not [key for key, v in found.items() if v.status == "fails"]
    assert [key for key, v in found.items() if v.status == "holds"]


@given(drawn())
def test_holds_on_drawn_chains(result):
    chains = views(result)
    for statement in REGISTRY.values():
        law(statement, chains)


def test_drawn_chains_are_of_all_kinds():
    """The property test is worth what is drawn: shares of 250 chains, with room."""
    seen = Counter()
    for seed in range(250):
        result = random_chain(seed)
        chains = views(result)
        chain = chains["rounds"]
        seen["one scale"] += chain.d[0] == chain.d[-1]
        seen["singular"] += bool(chain.null > 0)
        seen["collapsed at the start"] += chain.fits == 0
        seen["undecided"] += not chain.decided
        seen["run to collapse"] += chain.collapsed
        seen["long"] += chain.fits > 50
        seen["steep"] += bool(chain.kappa > 1e6)
        seen["not constant"] += not chain.constant
        for name in ("guaranteed_rounds", "label_norm_lower_bound", "weight_ratio"):
            seen[name] += judge(of(name), chains[of(name).about]).status == "holds"
    share = {kind: count / 250 for kind, count in seen.items()}
    assert 0.02 < share["one scale"] < 0.2
    assert 0.02 < share["collapsed at the start"] < 0.15
    assert 0.02 < share["undecided"] < 0.15
    assert share["run to collapse"] > 0.6
    assert min(share["singular"], share["guaranteed_rounds"]) > 0.15
    assert min(share["steep"], share["long"], share["not constant"]) > 0.05
    assert min(share["label_norm_lower_bound"], share["weight_ratio"]) > 0.3


@pytest.mark.parametrize("name", NAMES)
def test_holds_in_fifty_digits(name):
    applicable = 0
    with mp.workdps(DIGITS):
        for key, chains in multiprecision().items():
            chain = chains[of(name).about]
            if of(name).missing(chain) is not None:
                continue
            applicable += 1
            check = of(name)(chain)
            sides = [np.asarray(side, dtype=object) for side in check[:4]]
            for lower, actual, upper, scale in np.nditer(
                np.broadcast_arrays(*sides), flags=["refs_ok", "zerosize_ok"]
            ):
                low, value, high, unit = (v.item() for v in (lower, actual, upper, scale))
                assert mp.isfinite(value), key
                assert unit > 0, key
                assert value - low >= -EXACT * unit, (key, low, value)
                assert high - value >= -EXACT * unit, (key, value, high)
    assert applicable


@pytest.mark.parametrize("name", NAMES)
def test_is_written_in_the_chains_array_namespace(name):
    """The formulas trace under JAX: they neither branch on values nor leave the namespace."""
    jax = pytest.importorskip("jax")
    statement = of(name)
    key = "joint" if name == "joint_outputs" else "spread"
    chain = views(named()[key])[statement.about]

    def sides(d, z, c, s):
        traced = replace(chain, xp=jax.numpy, d=d, z=z, c=c, s=s)
        return [jax.numpy.asarray(side) for side in statement.sides(traced)]

    with jax.enable_x64(True):
        jax.make_jaxpr(sides)(chain.d, chain.z, chain.c, chain.s)
        values = sides(*(jax.numpy.asarray(v) for v in (chain.d, chain.z, chain.c, chain.s)))
    check = statement.sides(chain)
    for own, other in zip(check, values, strict=True):
        own, other = np.broadcast_arrays(own, np.asarray(other))
        finite = np.isfinite(own)
        assert (own[~finite] == other[~finite]).all()
        unit = np.abs(own[finite]) + np.max(check.scale)
        assert (np.abs(other[finite] - own[finite]) <= ROUNDING * unit).all()


@pytest.mark.parametrize("name", NAMES)
def test_documents_itself(name):
    statement = of(name)
    assert statement.__doc__
    assert statement.source
    assert statement.section
    lower, _, upper = statement.sides(views(named()["joint"])[statement.about])[:3]
    assert (statement.kind == "identity") == (lower is upper)


# ------------------------------------------------------------------ planted mistakes


def variants():
    return [pytest.param(v, id=v.title) for planted in PLANTED.values() for v in planted]


def test_every_statement_has_two_planted_mistakes():
    assert set(PLANTED) == set(REGISTRY)
    assert min(len(planted) for planted in PLANTED.values()) >= 2


@pytest.mark.parametrize("variant", variants())
def test_planted_mistake_is_false(variant):
    found = [verdict(variant, result) for result in named().values()]
    assert min(v.slack for v in found if v.slack is not None) < -FALSE_BY


@pytest.mark.parametrize("variant", variants())
def test_planted_mistake_is_caught_by_the_property_test(variant):
    @settings(
        max_examples=200,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(drawn())
    def attempt(result):
        law(variant, views(result))

    with pytest.raises(AssertionError):
        attempt()


# ------------------------------------------------------------------ verdicts


def test_proposition_4_is_vacuous_on_the_papers_example():
    found = verdict(of("guaranteed_rounds"), named()["paper"])
    assert found.status == "vacuous"
    assert "no more than is known" in found.why


def test_proposition_3_is_vacuous_where_it_does_not_promise_a_fit():
    """κ = 10⁸: r_1 >= 1e-4, where r_1 > 1 is among its hypotheses."""
    result = distill([1e-8, 1.0], [1.0, 100.0], 0.5, 200)
    found = {v.statement: v for v in theory.check(result)}
    assert found["label_norm_lower_bound"].status == "vacuous"
    assert found["label_norm_lower_bound"].tightness == 0.0
    assert verdict(of("label_norm_lower_bound"), named()["headline"]).status == "holds"


def test_the_guaranteed_index_is_compared_with_one_fit():
    """(51) below t̲ = 1 is weaker than Theorem 5 at t = 1; above, it is about the fits i < t̲."""
    found = verdict(of("sparsity_index_guaranteed"), named()["spread"])
    assert views(named()["spread"])["chain"].kappa > 100
    assert found.status == "vacuous"
    chain = views(named()["headline"])["chain"]
    check = of("sparsity_index_guaranteed")(chain)
    assert 3 < chain.excess[0] / chain.kappa < 4
    assert_close(check.actual, np.sum(chain.log_steps[:4], axis=0), rtol=ROUNDING)
    assert (check.lower > 3 * check.trivial_lower).all()
    assert verdict(of("sparsity_index_guaranteed"), named()["headline"]).status == "holds"


def test_headline_example_has_bounds_that_say_something():
    result = named()["headline"]
    chain = views(result)["chain"]
    assert 25 < chain.kappa < 35
    assert 90 < chain.r[0] < 110
    check = of("guaranteed_rounds")(chain)
    assert 3 <= check.lower < of("rounds_at_least")(chain).lower <= check.actual
    assert {v.status for v in theory.check(result)} == {"holds", "not applicable"}


def test_check_is_the_whole_registry_for_every_output():
    y = np.stack([np.arange(4.0), [5.0, 1.0, 2.0, 1.0]], axis=1)
    G = symmetric(np.array([0.1, 0.2, 0.7, 1.0]), orthogonal(4, 1))
    found = theory.check(hsd.self_distill(G, y, 0.1, 20))
    assert [v.output for v in found] == [0] * len(NAMES) + [1] * len(NAMES)
    assert [v.statement for v in found] == 2 * list(NAMES)
    joint = theory.check(hsd.self_distill(G, y, 0.1, 20, joint=True))
    assert [v.statement for v in joint] == list(NAMES)
    assert {v.statement: v.status for v in joint}["joint_outputs"] == "holds"
    assert not [v for v in (*found, *joint) if v.status == "fails"]


def test_separate_outputs_are_separate_chains():
    """Section 3.6: each column has its own multiplier and collapse, as if it were alone."""
    G = symmetric(np.array([0.1, 0.2, 0.7, 1.0]), orthogonal(4, 2))
    y = np.stack([np.arange(4.0), [0.5, 1.0, 0.2, 0.1]], axis=1)
    together = hsd.self_distill(G, y, 0.05, 20)
    for q in range(2):
        alone = hsd.self_distill(G, y[:, q], 0.05, 20)
        assert together.collapse_round[q] == alone.collapse_round
        n = alone.collapse_round
        assert_close(together.multipliers[:n, q], alone.multipliers[:n], rtol=ROUNDING)


def test_calling_a_statement_outside_its_hypotheses_names_the_one_that_fails():
    chain = views(named()["one scale"])["chain"]
    with pytest.raises(NotApplicable, match="two distinct eigenvalues"):
        of("weight_ratio")(chain)
    assert verdict(of("weight_ratio"), named()["one scale"]).status == "not applicable"


def test_whole_label_ratios_are_undecided_where_they_cannot_be_told_from_a_fit():
    """r_0 = 5 on one scale: r_4 = 1 exactly, and rounding makes a fit of it or none."""
    undecided = 0
    for ratio in range(2, 21):
        for scale in (0.5, 1.0, 3.0):
            result = distill([scale, scale], [3.0, 4.0], 12.5 / ratio**2, ratio + 2)
            chain = views(result)["chain"]
            found = {v.statement: v for v in theory.check(result)}
            assert not [v for v in found.values() if v.status == "fails"]
            assert not [v for v in found.values() if v.tolerance and v.tolerance > 1e-6]
            if chain.decided:
                assert chain.fits == result.collapse_round
                continue
            undecided += 1
            assert chain.fits == ratio - 1 <= result.collapse_round
            for name in ("rounds_at_least", "guaranteed_rounds", "collapse_criterion"):
                assert found[name].status == "undecided"
                assert f"r_{ratio - 1} equals 1 within its rounding error" in found[name].why
            assert found["rounds_at_most"].status == "holds"
    assert undecided > 30


def test_a_chain_cut_before_its_first_fit_is_undecided():
    found = {v.statement: v.status for v in theory.check(distill([1.0, 2.0], [1.0, 1.0], 1.0, 3))}
    assert found["multiplier_bracket"] == found["collapse_criterion"] == "undecided"


def test_no_chain_in_the_range_is_not_applicable():
    result = distill([0.0, 1.0], [1.0, 1.0], 3.0, 1)
    assert verdict(of("label_norm_lower_bound"), result).status == "not applicable"
    assert verdict(of("guaranteed_rounds"), result).status == "vacuous"
    assert verdict(of("collapse_criterion"), result).status == "holds"


@pytest.mark.parametrize("field", ["lower", "actual", "upper", "scale"])
def test_what_is_not_finite_fails(field):
    def sides(chain):
        good = Check(0.0, np.array([1.0, 2.0]), 3.0, 1.0)
        return good._replace(**{field: np.array([1.0, np.nan])})

    statement = Statement("x", "x", "two-sided", "", "", "chain", (), sides)
    found = verdict(statement, named()["spread"])
    assert found.status == "fails"
    assert "not finite" in found.why


def test_an_infinite_bound_on_the_wrong_side_fails():
    def sides(chain):
        return Check(np.inf, 1.0, np.inf, 1.0)

    statement = Statement("x", "x", "lower", "", "", "chain", (), sides)
    assert verdict(statement, named()["spread"]).status == "fails"


def test_slack_where_and_tightness():
    def sides(chain):
        return Check(np.array([1.0, 3.0]), np.array([3.0, 4.0]), np.inf, 2.0, trivial_lower=0.0)

    statement = Statement("x", "x", "lower", "", "", "chain", (), sides)
    found = verdict(statement, named()["spread"])
    assert (found.status, found.slack, found.where, found.tightness) == ("holds", 0.5, (1,), 0.75)


def _off_by(depends, size=1e-9):
    """A statement that is violated by so much in its first round, and nowhere else."""

    def sides(chain):
        actual = np.ones(chain.fits) if depends in ("own round", "rounds so far") else 1.0
        where = np.arange(chain.fits) == 0 if np.ndim(actual) else True
        return Check(1.0, actual - size * where, np.inf, 1.0)

    return Statement("x", "x", "lower", "", "", "chain", (), sides, depends=depends)


REACHES = ("own round", "rounds so far", "first round", "number of fits", "all rounds")


@pytest.mark.parametrize("depends", REACHES)
def test_a_violation_below_the_error_estimate_of_its_round_is_no_failure(depends):
    chain = views(named()["spread"])["chain"]
    n = chain.fits
    statement = _off_by(depends)
    assert judge(statement, replace(chain, errors=None)).status == "fails"
    assert judge(statement, replace(chain, errors=np.full(n + 1, 1e-8))).status == "holds"
    first, last = 1e-8 * np.eye(n + 1)[[0, n - 1]]
    assert judge(statement, replace(chain, errors=first)).status == "holds"
    found = judge(statement, replace(chain, errors=last))
    assert found.status == ("holds" if depends == "all rounds" else "fails")
    assert found.tolerance == pytest.approx(1e-8, abs=1e-11) or found.status == "fails"
    undecided = judge(statement, replace(chain, errors=last, decided=False))
    assert undecided.status == ("holds" if depends in ("all rounds", "number of fits") else "fails")


@pytest.mark.parametrize("name", NAMES)
def test_depends_on_no_other_rounds(name):
    """With every other round's numbers gone, an entry is the same to the last bit."""
    statement, seen = of(name), 0
    for key in ("headline", "spread", "varying", "joint", "singular"):
        chain = views(named()[key])[statement.about]
        if statement.missing(chain) is not None or statement.depends == "all rounds":
            continue
        n, whole = chain.fits, _together(statement.sides(chain))
        rows = {"first round": [0], "number of fits": [0]}.get(statement.depends, range(n))
        for t in sorted({rows[0], rows[len(rows) // 2], rows[-1]}):
            since = t if statement.depends == "own round" else 0
            shape = whole.shape[1:]
            axis = len(shape) > 0 and statement.depends in ("own round", "rounds so far")
            if axis and not 0 <= (entry := t - max(n - shape[0], 0)) < shape[0]:
                continue
            other = _together(statement.sides(_without(chain, since, t)))
            part = np.s_[:, entry] if axis else np.s_[...]
            assert_identical(other[part], whole[part])
            seen += 1
    assert seen or statement.depends == "all rounds"


def _without(chain, first, last):
    """The chain with nothing but the fits ``first`` to ``last``, their labels and predictions."""

    def kept(values, until):
        inside = (np.arange(len(values)) >= first) & (np.arange(len(values)) <= until)
        return np.where(inside.reshape(-1, *(1,) * (values.ndim - 1)), values, np.nan)

    columns = None if chain.columns is None else kept(chain.columns, last + 1)
    z, c, s = kept(chain.z, last + 1), kept(chain.c, last), kept(chain.s, last + 1)
    return replace(chain, z=z, c=c, s=s, columns=columns)


def _together(check):
    """(4, ...) both sides, the actual values and their scale."""
    return np.stack(np.broadcast_arrays(*(np.asarray(v, float) for v in check[:4])))


def _ends_ill_conditioned():
    """A chain whose last fit is that of labels within 1e-12 of the tolerance."""
    d, z = 10.0 ** np.linspace(-3, 0, 6), np.random.default_rng(0).standard_normal(6)
    before = distill(d, z, 0.01, 4)
    eps = np.full(5, 0.01)
    eps[-1] = np.mean(before.labels[4] ** 2) * (1 - 2e-12)
    return distill(d, z, eps[:, None], 4)


EARLY = [
    name
    for name in sorted(PLANTED)
    if of(name).about == "rounds" and of(name).depends not in ("number of fits", "all rounds")
]


@pytest.mark.parametrize("name", [n for n in EARLY if n != "joint_outputs"])
def test_a_mistake_in_an_early_round_is_caught_though_the_last_is_ill_conditioned(name):
    """With one tolerance for the whole chain it passed; that the last round is open is said."""
    chain = views(_ends_ill_conditioned())["rounds"]
    assert chain.fits == 5
    assert chain.errors[-2] > 1e-4 > 1e8 * chain.errors[:-2].max()
    true = of(name)

    def slipped(chain):
        """Wrong by 1e-7 of its scale in the first entry."""
        check = Check(*np.broadcast_arrays(*(np.asarray(v, float) for v in true.sides(chain))))
        first = np.ravel_multi_index((0,) * check.scale.ndim, check.scale.shape)
        lower = check.lower.copy()
        lower.flat[first] = (check.actual + 1e-7 * check.scale).flat[first]
        return check._replace(lower=lower)

    false = replace(true, sides=slipped)
    by_round = true.depends in ("own round", "rounds so far")
    assert judge(true, chain).status in (("undecided",) if by_round else ("holds", "vacuous"))
    if by_round:
        assert "from round 4" in judge(true, chain).why
    assert judge(replace(false, depends="all rounds"), chain).status != "fails"
    found = judge(false, chain)
    assert found.status == "fails"
    assert found.slack == pytest.approx(-1e-7, rel=1e-3)


def test_results_without_a_spectrum_are_refused():
    with pytest.raises(hsd.HilbertSDError, match="dense"):
        theory.check(replace(named()["spread"], spectrum=None))


def test_hypotheses_are_named():
    for statement in REGISTRY.values():
        for hypothesis in statement.requires:
            assert isinstance(hypothesis, Hypothesis)
            assert hypothesis.name


# ------------------------------------------------------------------ where they are attained

ATTAINED = [
    ("guaranteed_rounds", "nearly whole", 0.99999),
    ("rounds_at_least", "nearly whole", 0.99999),
    ("label_norm_lower_bound", "one scale", 1.0),
    ("label_norm_upper_bound", "one scale", 1.0),
    ("label_ratio_iterated", "one scale", 1.0),
    ("one_round_ratio", "one scale", 1.0),
    ("norm_drop", "one scale", 1.0),
    ("power_drop", "one scale", 1.0),
    ("kantorovich_drop", "one scale", 1.0),
    ("kantorovich_drop", "kantorovich", 1.0),
    ("label_ratio_iterated", "kantorovich", 1.0),
    ("rounds_at_most_dated", "one scale", 0.99),
    ("rounds_at_most", "staircase", 0.9),
    ("first_multiplier_bracket", "labels at d_min", 1.0),
    ("multiplier_bracket", "labels at d_max", 1.0),
    ("multiplier_mean_bound", "labels at d_min", 1.0),
    ("multiplier_reduced_bound", "labels at d_max", 1.0),
    ("weight_ratio_a_posteriori", "labels at d_min", 1.0),
    ("sparsity_index", "labels at d_min", 1.0),
    ("weight_ratio", "labels at d_min", 1.0),
    ("weight_ratio_reduced", "labels at d_max", 1.0),
    ("no_better_competitor", "spread", 1.0),
    ("index_limit", "spread", 0.98),
    ("matched_early_stopping", "labels at d_max", 1.0),
    ("early_stopping_ratio", "near collapse", 0.99),
]


@pytest.mark.parametrize(("name", "where", "share"), ATTAINED)
def test_attained(name, where, share):
    result = (
        hsd.self_distill(*theory.examples.one_scale(8 - 1e-6))
        if where == "nearly whole"
        else named()[where]
    )
    assert verdict(of(name), result).tightness >= share * (1 - ROUNDING)


def test_rounds_at_most_is_attained_in_the_limit():
    """n/r_0² comes as near to 1 as one likes: label energies Kε on separated eigenvalues."""
    shares = []
    for levels, separation, below in [(2, 1e2, 0.2), (3, 1e4, 0.05), (3, 1e6, 0.01)]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", hsd.PrecisionWarning)
            result = hsd.self_distill(*theory.examples.staircase(levels, separation, below))
        assert result.collapse_round == math.ceil(result.label_ratios[0] ** 2 - 1) == levels
        shares.append(result.collapse_round / result.label_ratios[0] ** 2)
    assert shares == sorted(shares)
    assert shares[-1] > 0.98


def test_self_distillation_passes_early_stoppings_ceiling():
    """Section 3.4: the ratio of weights exceeds d_k/d_j, which no single fit reaches."""
    chain = views(named()["headline"])["rounds"]
    low, high = chain.neighbours
    assert (np.sum(chain.log_steps, axis=0) > 2 * np.log(high / low)).all()


# ------------------------------------------------------------------ the other side of the checks


def test_weight_ratios_are_those_of_the_result():
    result = named()["spread"]
    n = result.collapse_round
    chain = views(result)["rounds"]
    weights = result.spectrum.basis_weights[:n]
    expected = np.log(weights[:, 1:] / weights[:, :-1])
    assert_close(np.cumsum(chain.log_steps, axis=0), expected, rtol=1e-10)
    actual, bound = sparsity_indices(chain)
    assert_close(actual, result.spectrum.sparsity_index[:n], rtol=1e-10)
    d, r = chain.d, result.label_ratios[0]
    paper = [
        min(((r - 1 + d[0] / d[k]) / (r - 1 + d[0] / d[k + 1])) ** t for k in range(len(d) - 1))
        for t in range(1, n + 1)
    ]
    assert_close(bound, paper, rtol=1e-10)
    assert (actual > bound).all()


def test_random_feasible_functions_are_never_smoother():
    """Proposition 1 without its own algebra: R = βᵀGβ over random feasible β."""
    rng = np.random.default_rng(3)
    G = symmetric(np.array([0.05, 0.1, 0.5, 1.0, 2.0]), orthogonal(5, 3))
    y = rng.standard_normal(5)
    result = hsd.self_distill(G, y, 0.1, 0)
    beta = result.dual_coef[0]
    best = beta @ G @ beta
    directions = rng.standard_normal((2000, 5))
    residual = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    fitted = y - G @ beta
    for share in (1.0, 0.1, 1e-3):
        mixed = (1 - share) * fitted + share * np.linalg.norm(fitted) * residual
        assert (np.linalg.norm(mixed, axis=1) <= np.sqrt(0.5) * (1 + ROUNDING)).all()
        others = np.linalg.solve(G, (y - mixed).T)
        values = np.sum(others * (G @ others), axis=0)
        assert (values >= best * (1 - ROUNDING)).all()


def test_equivalent_kernel_predicts_the_same_at_new_points():
    """Ridge regression in the equivalent kernel itself, solved as a linear system."""
    x, y = hsd.datasets.example()
    kernel = hsd.kernels.matern(0.5, 0.3)
    G, cross = hsd.gram(kernel, x), hsd.cross_gram(kernel, np.linspace(-0.2, 1.3, 7), x)
    result = hsd.self_distill(G, y, 0.05, 20, keep_eigenvectors=True)
    chain = views(result)["rounds"]
    Q = result.spectrum.eigenvectors
    for t, weights in enumerate(equivalent_spectrum(chain)):
        gram = (Q * weights) @ Q.T
        new = cross @ (Q * (weights / chain.d)) @ Q.T
        predicted = new @ np.linalg.solve(chain.c[0] * np.eye(len(y)) + gram, y)
        assert_close(predicted, result.predict(cross, t), rtol=1e-9, atol=1e-11)
        formula = chain.c[0] / (np.prod(1 + chain.c[: t + 1, None] / chain.d, axis=0) - 1)
        assert_close(weights, formula, rtol=1e-9)


def test_rademacher_bound_against_all_signs():
    """Lemma 22 bounds the mean over all 2^K sign vectors, and by no more than √2."""
    G = symmetric(np.array([0.01, 0.1, 0.2, 0.5, 0.8, 1.0, 3.0]), orthogonal(7, 5))
    y = np.random.default_rng(5).standard_normal(7)
    result = hsd.self_distill(G, y, 0.1, 20, keep_eigenvectors=True)
    chain = views(result)["rounds"]
    Q, K = result.spectrum.eigenvectors, chain.size
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=K)))
    for weights, bound in zip(equivalent_spectrum(chain), rademacher_bounds(chain), strict=True):
        kernel = K * (Q * weights) @ Q.T
        actual = 2 / K * np.mean(np.sqrt(np.sum((signs @ kernel) * signs, axis=1)))
        assert bound / math.sqrt(2) <= actual <= bound * (1 + ROUNDING)


def test_local_rademacher_bound_against_the_fixed_point():
    chain = views(named()["spread"])["rounds"]
    for weights, bounds in zip(
        equivalent_spectrum(chain), local_rademacher_bounds(chain), strict=True
    ):
        low, high = 0.0, 10.0
        for _ in range(200):
            r = (low + high) / 2
            inside = np.sqrt(np.mean(np.minimum(r, weights))) > r
            low, high = (r, high) if inside else (low, r)
        assert low > 0
        assert (bounds >= low * (1 - ROUNDING)).all()
        assert bounds.min() < 3 * low


def test_matched_early_stopping_with_the_matched_fit():
    """The comparison as it is meant: a single fit run to the same training error."""
    G = symmetric(np.geomspace(1e-3, 1, 8), orthogonal(8, 7))
    y = np.random.default_rng(7).standard_normal(8)
    result = hsd.self_distill(G, y, 0.02, 30)
    for t in range(1, result.collapse_round):
        single = hsd.self_distill(G, y, result.residuals[t], 0)
        own, other = result.spectrum.basis_weights[t], single.spectrum.basis_weights[0]
        assert own[0] < other[0]
        assert own[-1] > other[-1]
        assert own[-1] / own[0] > other[-1] / other[0]


def test_collapse_bounds_are_ordered():
    """The chain of bounds in the module's docstring, in both regimes of κ."""
    for kappa, ratio in itertools.product((1.0, 1.5, 10.0, 1e6), (1.1, 3.3, 50.5)):
        d = np.array([1.0, kappa])
        result = distill(d, [1.0, 1.0], 1 / ratio**2, 3000)
        chain = views(result)["chain"]
        n = result.collapse_round
        lower = [float(of(s)(chain).lower) for s in ("guaranteed_rounds", "rounds_at_least")]
        upper = [float(of(s)(chain).upper) for s in ("rounds_at_most_dated", "rounds_at_most")]
        assert lower[0] <= lower[1] <= n < upper[0] < upper[1]
