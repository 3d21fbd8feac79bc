"""Negative controls: without its hypotheses a statement fails, or there is nothing it could say.

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
* G of full rank: single rounds are read on the range of G, with ε − ε_floor.
"""

import functools
from dataclasses import replace

import numpy as np
import pytest
from chains import distill, named, unconditional
from hypothesis import given
from hypothesis import strategies as st
from problems import problem

import hilbertsd as hsd
from hilbertsd.theory import REGISTRY, examples, hypotheses, judge, views
from hilbertsd.theory.hypotheses import (
    a_fit,
    constant_tolerance,
    distinct_eigenvalues,
    guarantee_used,
    joint_tolerance,
    run_to_collapse,
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


BROKEN_BY = {
    (constant_tolerance.name, "one_round_ratio"): rising,
    (constant_tolerance.name, "label_norm_lower_bound"): rising,
    (constant_tolerance.name, "guaranteed_rounds"): rising,
    (constant_tolerance.name, "rounds_at_least"): rising,
    (constant_tolerance.name, "multipliers_increase"): falling,
    (constant_tolerance.name, "label_norm_upper_bound"): falling,
    (constant_tolerance.name, "rounds_at_most"): falling,
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
}

EMPTY = {
    # Without a fit, r_0 <= 1, no finite multiplier meets the tolerance (shown below): c, A, B and
    # the r_t that the claim compares do not exist.
    a_fit.name: lambda: distill([0.5, 1.0], [1.0, 1.0], 10.0, 3),
    # One fit gives nothing to compare with.
    two_fits.name: lambda: distill([0.5, 1.0], [1.0, 1.0], 0.01, 0),
    # With one eigenvalue there is no pair d_k > d_j.
    distinct_eigenvalues.name: lambda: named()["one scale"],
    # One output has no columns to add up; what is left of the claim is `active_constraint`.
    joint_tolerance.name: lambda: named()["spread"],
}


@pytest.mark.parametrize(("statement", "hypothesis"), CASES)
def test_dropping_the_hypothesis(statement, hypothesis):
    empty = hypothesis.name in EMPTY
    broken_by = EMPTY[hypothesis.name] if empty else BROKEN_BY[hypothesis.name, statement.name]
    chain = views(broken_by())[statement.about]
    assert not hypothesis.holds(chain)
    if empty:
        assert _nothing_to_say(unconditional(statement), chain)
        return
    rest = tuple(h for h in statement.requires if h.name != hypothesis.name)
    found = judge(replace(statement, requires=rest), chain)
    assert found.status == "fails", found.why
    assert found.slack < -FALSE_BY


def _nothing_to_say(statement, chain) -> bool:
    """Whether the sides do not exist, are empty, or are algebra that stays true."""
    try:
        check = statement.sides(chain)
    except (IndexError, ValueError, TypeError):
        return True
    empty = np.broadcast(*(np.asarray(side) for side in check)).size == 0
    return empty or judge(statement, chain).status in ("holds", "vacuous")


@given(st.integers(0, 2**32 - 1), st.floats(-12, 12))
def test_without_a_fit_there_is_no_multiplier(seed, exponent):
    """For r_0 <= 1 every finite c leaves a residual below ‖z‖ <= √(Kε): (20) has no root."""
    base = problem(seed, 5)
    d, z = base.eigenvalues, base.coordinates
    c = 10.0**exponent
    residual = np.sqrt(np.sum((z / (1 + d / c)) ** 2))
    assert residual < np.linalg.norm(z)


@functools.cache
def singular_chains():
    bases = [problem(seed, 5, decades=1.0, zeros=2, share=0.05) for seed in range(200)]
    return [(base, distill(base.eigenvalues, base.coordinates, base.eps, 20)) for base in bases]


@pytest.mark.parametrize(
    "name", ["one_round_ratio", "label_norm_lower_bound", "guaranteed_rounds", "rounds_at_least"]
)
def test_several_rounds_need_labels_in_the_range(name):
    """With ‖Py‖ and ε − ε_floor the chain from y_0 has no constant tolerance: the claims break."""
    statement = unconditional(REGISTRY[name])
    broken = 0
    for _, result in singular_chains():
        chains = views(result)
        assert not chains["rounds"].constant
        assert chains["chain"].start == 1
        broken += judge(statement, chains["rounds"]).status == "fails"
        assert judge(REGISTRY[name], chains["chain"]).status != "fails"
    assert broken >= 5


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
    assert not views(unfinished())["chain"].collapsed
    result = hsd.self_distill(*examples.headline())
    assert hypotheses.guarantee_used.holds(views(result)["chain"])
