"""Negative controls: without its hypotheses a statement fails, or is shown not to need them.

Every pair of a statement and one of its hypotheses is here, by construction: the pairs come from
the registry, and one without a control is an error.

Hypotheses that the paper has and the statements do not, as they are not needed:

* Theorem 5 and (49)-(50) ask for t <= t̲. That only makes sure of t non-trivial fits; c_i >=
  d_min/(r_i − 1) >= d_min/(r_0 − 1) holds in each of them. The statements are evaluated up to
  collapse, far beyond t̲, by the tests of the statements.
* Proposition 3 asks for r_t > 1 too. The last step of its recurrence is the round t − 1, for
  which r_{t−1} > 1 is enough; it is evaluated at the collapsed y_n as well.
* The tangent lemmas and Theorem 6 are about numbers r > 1, d and κ alone: neither a constant
  tolerance nor a further round is used.
* G of full rank: single rounds are read on the range of G, with ε − ε_floor, and the dates of
  collapse hold for ‖y‖ and ε whatever G is.
"""

import functools
from dataclasses import replace

import numpy as np
import pytest
from chains import distill, named, unconditional
from hypothesis import given
from hypothesis import strategies as st
from problems import ROUNDING, assert_close, problem

import hilbertsd as hsd
from hilbertsd.theory import REGISTRY, Chain, Hypothesis, examples, hypotheses, judge, views
from hilbertsd.theory.hypotheses import (
    a_fit,
    constant_tolerance,
    distinct_eigenvalues,
    guarantee_used,
    joint_tolerance,
    positive_eigenvalue,
    run_to_collapse,
    same_tolerance,
    told_from_one,
    two_fits,
)

FALSE_BY = 1e-3
"""The claim has to fail by more than this, relative to its check's scale."""

CASES = [
    pytest.param(statement, hypothesis, id=f"{statement.name}: {hypothesis.name}")
    for statement in REGISTRY.values()
    for hypothesis in statement.requires
]


def rising():
    """The tolerance trebles from round to round: the labels are used up sooner."""
    return distill([1.0, 1.2], [1.0, 1.0], 1e-3 * 3.0 ** np.arange(12)[:, None], 11)


def falling():
    """The tolerance falls to an eighth from round to round: the chain goes on and on."""
    return distill([1.0, 1.2], [1.0, 0.0], 0.1 * 8.0 ** -np.arange(12.0)[:, None], 11)


def unfinished():
    """One fit, of the many that these labels allow."""
    return distill([1.0, 5.0], [1.0, 0.0], 1e-4, 0)


def separate():
    """Two outputs, each with the whole tolerance, taken for one problem."""
    each = [views(distill([0.5, 1.0], z, 0.1, 0))["rounds"] for z in ([1.0, 2.0], [2.0, 1.0])]
    z = np.sqrt(sum(chain.z**2 for chain in each))
    return replace(each[0], z=z, columns=np.stack([chain.z for chain in each], axis=2))


def blurred():
    """Labels of which r_1 = 0.99 is known to 2% only: who says that they have not collapsed?"""
    z = np.array([[1.99], [0.99]])
    one = np.ones(2)
    return Chain(np, 1, one[:1], z, np.array([0.99]), one, collapsed=False, decided=False)


def forced(multipliers, norm):
    """Fits with any multipliers of labels with r_0 < 1, for which there is no fit."""
    d, z = np.array([0.5, 1.0]), [norm * np.array([0.6, 0.8])]
    for c in multipliers:
        z.append(d / (c + d) * z[-1])
    z, c = np.array(z), np.array(multipliers)
    columns = np.stack([0.6 * z, 0.8 * z], axis=2)
    return Chain(np, 2, d, z, c, np.ones(len(z)), collapsed=True, columns=columns)


FORCED = [
    forced(multipliers, norm)
    for norm in (0.3, 0.6, 0.95)
    for multipliers in ([0.01], [1.0], [100.0], [1.0, 0.01], [0.01, 1.0], [100.0, 50.0])
]
TRUE_OF_ANY_MULTIPLIER = {
    # Algebra that holds for every c > 0: the hypothesis only says that there is one.
    a_fit.name: {
        "stationarity",
        "training_residual",
        "residual_increases",
        "realised_recurrence",
        "unrolled_labels",
        "label_norm_decreases",
        "equivalent_kernel",
        "equivalent_kernel_function",
        "early_stopping_ratio",
        "self_distillation_ratio",
        "local_rademacher_bound",
        # 1 - 1/r_0 is what it is, for r_0 < 1 too.
        "guaranteed_rounds_near_interpolation",
        # All norms are below √(Kε), and so are their differences.
        "norm_drop",
        # The residuals of the competitors are no longer than that of the fit, whatever ε is. The
        # zero function is not among them: for r_0 <= 1 it is feasible, and best.
        "no_better_competitor",
        # φ(r) < 0 for r < 1, and d̲/(r - 1) < 0: no bounds.
        "label_norm_lower_bound",
        "multiplier_reduced_bound",
        # φ is convex for r > 1 - κ already.
        "tangent_below",
    },
    # The same for a second fit.
    two_fits.name: {
        "equivalent_spectrum_decreases",
        "rademacher_decreases",
        "local_rademacher_decreases",
        "matched_early_stopping",
    },
}

BROKEN_BY = {
    (constant_tolerance.name, "one_round_ratio"): rising,
    (constant_tolerance.name, "label_norm_lower_bound"): rising,
    (same_tolerance.name, "guaranteed_rounds"): rising,
    (same_tolerance.name, "rounds_at_least"): rising,
    (constant_tolerance.name, "multipliers_increase"): falling,
    (constant_tolerance.name, "label_norm_upper_bound"): falling,
    (same_tolerance.name, "rounds_at_most"): falling,
    (constant_tolerance.name, "rounds_at_most_dated"): falling,
    (constant_tolerance.name, "label_ratio_iterated"): falling,
    (constant_tolerance.name, "weight_ratio"): falling,
    (constant_tolerance.name, "sparsity_index"): falling,
    (run_to_collapse.name, "guaranteed_rounds"): unfinished,
    (run_to_collapse.name, "rounds_at_least"): unfinished,
    (guarantee_used.name, "sparsity_index_guaranteed"): unfinished,
    (constant_tolerance.name, "sparsity_index_guaranteed"): lambda: distill(
        [1.0, 1.2], [1.0, 0.0], 0.05 * 64.0 ** -np.arange(4.0)[:, None], 3
    ),
    (joint_tolerance.name, "joint_outputs"): separate,
    (told_from_one.name, "collapse_criterion"): blurred,
}

NO_PAIRS = "one scale"
"""With one eigenvalue there is no pair d_k > d_j: the arrays of the claim are empty."""


def broken(statement, chain) -> bool:
    """Whether a side is violated beyond doubt, or is no number."""
    with np.errstate(all="ignore"):
        sides = np.broadcast_arrays(*(np.asarray(v, float) for v in statement.sides(chain)[:3]))
    assert sides[0].size, "nothing is claimed"
    lower, actual, upper = sides
    with np.errstate(invalid="ignore"):
        room = FALSE_BY * (abs(actual) + np.where(np.isfinite(lower), abs(lower), abs(upper)))
    fine = (lower <= actual + room) & (actual <= upper + room)
    return not fine.all()


@pytest.mark.parametrize(("statement", "hypothesis"), CASES)
def test_dropping_the_hypothesis(statement, hypothesis):
    if hypothesis == distinct_eigenvalues:
        chain = views(named()[NO_PAIRS])[statement.about]
        assert not hypothesis.holds(chain)
        sides = statement.sides(chain)
        assert np.broadcast(*(np.asarray(side) for side in sides)).size == 0
    elif hypothesis == positive_eigenvalue:
        chain = views(distill([0.0, 0.0], [0.1, 0.2], 0.5, 1))[statement.about]
        assert not hypothesis.holds(chain)
        assert chain.d.size == 0  # κ would be the ratio of no numbers
    elif hypothesis in (a_fit, two_fits):
        fits = 1 if hypothesis == a_fit else 2
        found = {broken(statement, chain) for chain in FORCED if chain.fits >= fits}
        assert (True in found) != (statement.name in TRUE_OF_ANY_MULTIPLIER[hypothesis.name])
    else:
        made = BROKEN_BY[hypothesis.name, statement.name]()
        chain = made if isinstance(made, Chain) else views(made)[statement.about]
        assert hypothesis == joint_tolerance or not hypothesis.holds(chain)
        rest = [h for h in statement.requires if h != hypothesis]
        assert [h.name for h in rest if not h.holds(chain)] in ([], [run_to_collapse.name])
        assert broken(statement, chain)


def test_every_exception_is_a_statement_with_that_hypothesis():
    pairs = {(h.name, s.name) for s in REGISTRY.values() for h in s.requires}
    listed = {(h, name) for h, names in TRUE_OF_ANY_MULTIPLIER.items() for name in names}
    assert listed <= pairs
    assert set(BROKEN_BY) <= pairs


@pytest.mark.parametrize(
    ("hypothesis", "least"),
    [
        (a_fit, lambda: distill([1.0, 5.0], [1.0, 0.0], 0.2, 0)),
        (two_fits, lambda: distill([1.0, 5.0], [1.0, 0.0], 0.01, 1)),
        (distinct_eigenvalues, lambda: distill([1.0, 1.0001], [1.0, 0.0], 0.01, 1)),
        (positive_eigenvalue, lambda: distill([0.0, 1.0], [0.0, 0.1], 1.0, 1)),
        (same_tolerance, lambda: distill([0.0, 1.0], [0.1, 2.0], 0.05, 1)),
        (constant_tolerance, lambda: distill([0.0, 1.0], [0.0, 2.0], 0.05, 1)),
        (run_to_collapse, lambda: distill([1.0, 5.0], [1.0, 0.0], 0.2, 3)),
        (joint_tolerance, lambda: distill([1.0, 5.0], np.ones((2, 2)), 0.2, 3, joint=True)),
        # r_0 = 6, κ = 2.5: t̲ = 2 fits, and no more were asked for
        (guarantee_used, lambda: distill([1.0, 2.5], [6.0, 0.0], 0.5, 1)),
        (told_from_one, lambda: distill([1.0, 5.0], [1.0, 0.0], 0.2, 0)),
    ],
    ids=lambda value: value.name if isinstance(value, Hypothesis) else "",
)
def test_a_hypothesis_asks_for_no_more_than_it_says(hypothesis, least):
    """At its edge it holds: one fit, two fits, two eigenvalues, t̲ = n."""
    assert hypothesis.holds(views(least())["rounds"])


@given(st.integers(0, 2**32 - 1), st.floats(-12, 12))
def test_without_a_fit_there_is_no_multiplier(seed, exponent):
    """For r_0 <= 1 every finite c leaves a residual below ‖z‖ <= √(Kε): (20) has no root."""
    base = problem(seed, 5)
    d, z = base.eigenvalues, base.coordinates
    c = 10.0**exponent
    taken = -np.expm1(-2 * np.log1p(d / c))  # 1 − (c/(c + d))², which rounding makes 0
    assert np.sum(z**2 * taken) > 0


@functools.cache
def singular_chains():
    bases = [problem(seed, 5, decades=1.0, zeros=2, share=0.05) for seed in range(200)]
    return [(base, distill(base.eigenvalues, base.coordinates, base.eps, 20)) for base in bases]


@pytest.mark.parametrize("name", ["one_round_ratio", "label_norm_lower_bound"])
def test_several_rounds_need_labels_in_the_range(name):
    """With ‖Py‖ and ε − ε_floor the chain from y_0 has no constant tolerance: the claims break."""
    statement = unconditional(REGISTRY[name])
    broken = 0
    for _, result in singular_chains():
        chains = views(result)
        assert not constant_tolerance.holds(chains["rounds"])
        assert chains["chain"].start == 1
        broken += judge(statement, chains["rounds"]).status == "fails"
        assert judge(REGISTRY[name], chains["chain"]).status != "fails"
    assert broken >= 5


DATES = ("guaranteed_rounds", "rounds_at_least", "rounds_at_most")


def test_the_collapse_round_is_dated_from_the_labels_as_they_are():
    """(r_0 - 1)/κ <= r_0 - 1 <= collapse_round <= ⌈r_0² - 1⌉ with ‖y‖ and ε, on singular G too.

    With ‖Py‖ and ε - ε_floor in their places the first two break.
    """
    mixed = dict.fromkeys(DATES, 0)
    for base, result in singular_chains():
        chain = views(result)["rounds"]
        assert base.floor > 0
        kappa, ratio, n = chain.kappa, base.label_ratio, result.collapse_round
        found = [REGISTRY[name](chain) for name in DATES]
        assert [float(check.actual) for check in found] == [n, n, n]
        assert_close(found[0].lower, (ratio - 1) / kappa, rtol=ROUNDING, atol=ROUNDING)
        assert_close(found[1].lower, ratio - 1, rtol=ROUNDING, atol=ROUNDING)
        assert_close(found[2].upper, ratio**2, rtol=ROUNDING)
        assert ratio - 1 <= n <= np.ceil(ratio**2 - 1)
        for name in DATES:
            mixed[name] += broken(REGISTRY[name], replace(chain, null=0.0))
    assert mixed["guaranteed_rounds"] >= 5
    assert mixed["rounds_at_least"] >= 5


@pytest.mark.parametrize(
    "name", ["first_multiplier_bracket", "multiplier_bracket", "kantorovich_drop", "weight_ratio"]
)
def test_single_rounds_need_the_tolerance_on_the_range(name):
    """With ‖y‖ and ε instead, c_0, the weights and the drop of the first fit break their bounds."""
    statement = unconditional(REGISTRY[name])
    broken = 0
    for base, result in singular_chains():
        chain = views(result)["rounds"]
        null = np.linalg.norm(base.coordinates[base.eigenvalues == 0])
        outside = np.where(np.arange(len(chain.z)) == 0, null, 0.0)
        whole = replace(
            chain,
            z=np.column_stack([outside, chain.z]),
            d=np.append(chain.d[0], chain.d),  # the null direction, as if it were one of d_min
            s=np.full_like(chain.s, chain.s[-1]),
            distinct=None,
        )
        broken += judge(statement, whole).status == "fails"
    assert broken >= 5


def test_the_controls_are_about_what_they_say():
    assert not views(rising())["chain"].constant
    assert not views(falling())["chain"].constant
    assert not views(unfinished())["chain"].collapsed
    result = hsd.self_distill(*examples.headline())
    assert hypotheses.guarantee_used.holds(views(result)["chain"])
