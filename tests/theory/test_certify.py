"""Certificates: enclosures and verdicts against other routes, and the balls they are made of."""

from __future__ import annotations

import functools
import itertools
import re
import sys
from dataclasses import replace
from fractions import Fraction

import mpmath as mp
import numpy as np
import problems
import pytest
import reference
from hypothesis import example, given, settings
from hypothesis import strategies as st

import hilbertsd as hsd
from hilbertsd.theory import REGISTRY, Check, examples
from hilbertsd.theory.exact import exact_gram, rational
from hilbertsd.theory.hypotheses import constant_tolerance, same_tolerance

pytest.importorskip("flint", reason="certificates need python-flint, the extra 'certify'")

from certified import (
    ACTIVE,
    OWN,
    outputs_certificate,
    own_statement,
    rational_gram,
    small_certificate,
)

from hilbertsd.theory import balls, enclosures
from hilbertsd.theory.balls import Ball, Undecided, flint
from hilbertsd.theory.certificate import Enclosure
from hilbertsd.theory.certify import certify
from hilbertsd.theory.verifier import check_certificate

TENTHS = [Fraction(k, 10) for k in range(11)]
SPLINE = hsd.kernels.cubic_spline()
REFERENCE_DIGITS = 1e-50
"""60-digit reference against multipliers of 192 bits, relative."""
CONDITIONED = 1e-9
"""Float64 against a certificate, relative: 1e-12 lost by a chain of a few rounds, and room."""


@functools.cache
def example_certificate():
    _, y = hsd.datasets.example()
    return certify(SPLINE, TENTHS, y, "0.045", 10)


def null_power(d: list, seed: int, y: list) -> Fraction:
    """‖y − Py‖², from the known eigenvectors."""
    coordinates = rational_gram(d, seed)[1].T @ np.array(y, dtype=object)
    return sum((z**2 for v, z in zip(d, coordinates, strict=True) if Fraction(v) == 0), Fraction(0))


def inside(enclosure: Enclosure, value: Fraction) -> bool:
    return enclosure.lower <= value <= enclosure.upper


# ---- the chain


def test_the_example_is_certified_whole():
    found = example_certificate()
    assert found.rank == 9
    assert found.collapse_round == 4
    assert float(found.residual_floor) == pytest.approx(0.0418613, abs=5e-6)
    problems.assert_close(
        [float(c) for c in found.multipliers],
        [2.70525e-6, 8.76276e-5, 2.73755e-4, 7.90018e-4],
        rtol=2e-6,
    )
    verdicts = {v.name: v.verdict for v in found.verdicts}
    assert list(verdicts) == list(REGISTRY)
    assert set(verdicts.values()) == {"proved", "not applicable"}
    inapplicable = {name for name, verdict in verdicts.items() if verdict == "not applicable"}
    assert inapplicable == {"joint_outputs"}
    assert check_certificate(found.to_json()) == found.verdicts


def test_the_example_against_sixty_digits():
    found = example_certificate()
    with mp.workdps(reference.DIGITS + 20):
        exact = exact_gram(SPLINE, TENTHS)
        G = mp.matrix([[mp.mpf(v.numerator) / v.denominator for v in row] for row in exact])
        d, vectors = mp.eigsy(G)
        order = sorted(range(11), key=lambda k: d[k])
        y = mp.matrix([mp.mpf(v.numerator) / v.denominator for v in found.problem.y])
        z = np.array([[(vectors[:, k].T * y)[0]] for k in order])
        values = np.array([mp.mpf(0) if abs(d[k]) < mp.mpf(10) ** -60 else d[k] for k in order])
        c, _ = reference.chain(values, z, mp.mpf(45) / 1000, 10)
        assert len(c) == 4
        for claimed, expected in zip(found.multipliers, c, strict=True):
            assert abs(mp.mpf(claimed.mantissa) * mp.mpf(2) ** claimed.exponent / expected - 1) < (
                REFERENCE_DIGITS
            )


def test_floats_of_a_singular_gram_matrix():
    x, y = hsd.datasets.example()
    written = problems.spline_gram(x, x)  # (59) as it stands: x = 1 leaves rounding behind
    with pytest.raises(hsd.HilbertSDError, match=r"not positive semidefinite.*rank 10 of 11"):
        certify(written, y, 0.045)
    # ordered factors vanish exactly at both ends, so these floats happen to keep the rank
    assert certify(hsd.gram(SPLINE, x), y, 0.045).rank == 9
    on_floats = certify(SPLINE, x, y, "0.045")
    assert (on_floats.rank, on_floats.collapse_round) == (9, 4)
    assert on_floats.multipliers != example_certificate().multipliers  # 0.1 is not 1/10


@pytest.mark.parametrize("length_scale", [0.3, 0.5])
def test_a_singular_gaussian_gram_matrix_is_certified_as_its_error_says(length_scale):
    x = np.linspace(0, 1, 40)
    y, kernel = np.sin(6 * x), hsd.kernels.gaussian(length_scale)
    G = hsd.gram(kernel, x)
    with pytest.raises(hsd.HilbertSDError, match=r"hilbertsd\.gram\(kernel, x\).*what to add"):
        certify(kernel, x, y, 0.01)
    with pytest.raises(hsd.HilbertSDError, match="no null space") as refused:
        certify(G, y, 0.01)
    (lift,) = re.findall(r"certify\(G \+ (\S+) \* np\.eye\(40\)", str(refused.value))
    assert float(lift) < 1e-13
    found = certify(G + float(lift) * np.eye(40), y, 0.01, 3, statements=OWN)
    result = hsd.self_distill(G, y, 0.01, 3)
    assert found.rank == 40 > result.spectrum.rank
    problems.assert_close(
        [float(c) for c in found.multipliers], result.multipliers, rtol=CONDITIONED
    )
    check_certificate(found.to_json(), OWN)


def test_a_matrix_that_is_negative_beyond_rounding_is_no_gram_matrix():
    with pytest.raises(hsd.HilbertSDError, match=r"beyond rounding.*positive definite"):
        certify(np.diag([-1e-12, 1.0]), [1.0, 2.0], 0.1)


def test_repeated_and_zero_eigenvalues_are_exact():
    found = small_certificate()
    assert found.nullity == 1
    assert found.multiplicities == (2, 1)
    assert found.residual_floor == Fraction(1, 20) ** 2 / 4
    assert inside(found.eigenvalues[0], Fraction(1))
    assert inside(found.eigenvalues[1], Fraction(5, 2))
    (weights,) = found.weights
    assert inside(weights[0], Fraction(5))
    assert inside(weights[1], Fraction(9))


def test_eigenvalues_that_nearly_repeat_are_told_apart():
    gap = Fraction(1, 10**100)  # beyond the published bits that are tried first
    gram, q = rational_gram([1, 1 + gap, 3], seed=5)
    found = certify(gram, q @ np.array([1, 1, 1]), "1/10", 2, statements=OWN)
    assert found.multiplicities == (1, 1, 1)
    assert found.eigenvalues[0].upper < found.eigenvalues[1].lower
    assert found.bits > 256
    check_certificate(found.to_json(), OWN)


def test_diagonals_that_differ_in_the_last_bit():
    # eigenvalues that are floats: polynomials vanish exactly at the midpoint of an enclosure
    found = certify(np.diag([1.0, np.nextafter(1.0, 2)]), [1.0, 2.0], 0.1, statements=OWN)
    assert found.multiplicities == (1, 1)
    check_certificate(found.to_json(), OWN)


def test_many_rounds():
    found = certify(*examples.headline(), statements=OWN)
    assert found.collapse_round is not None
    assert found.collapse_round > 100
    assert found.collapse_round == hsd.self_distill(*examples.headline()).collapse_round
    check_certificate(found.to_json(), OWN)


def test_sixty_points():
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(size=60))
    y = np.sin(6 * x) + 0.3 * rng.standard_normal(60)
    G = hsd.gram(hsd.kernels.laplace(0.3), x)
    found = certify(G, y, 0.05)
    assert found.collapse_round == hsd.self_distill(G, y, 0.05).collapse_round == 4
    assert {v.verdict for v in found.verdicts} == {"proved", "not applicable"}
    check_certificate(found.to_json())


def test_against_the_library():
    case = problems.problem(seed=4, size=7, decades=3)
    found = certify(case.gram, case.y, case.eps, 6, statements=OWN)
    result = hsd.self_distill(case.gram, case.y, case.eps, 6)
    fits = len(found.multipliers)
    problems.assert_close(
        [float(c) for c in found.multipliers], result.multipliers[:fits], rtol=CONDITIONED
    )
    problems.assert_close(
        np.array([[float(b) for b in row] for row in found.basis_weights]),
        result.spectrum.basis_weights[:fits],
        rtol=CONDITIONED,
    )
    problems.assert_close(
        [float(r) for r in found.label_ratios], result.label_ratios[: fits + 1], rtol=CONDITIONED
    )


@given(
    values=st.lists(st.sampled_from(["0", "1", "1", "3/2", "1/1000", "7"]), min_size=1, max_size=5),
    labels=st.lists(st.integers(-9, 9), min_size=5, max_size=5),
    eps=st.fractions("1/50", "20", max_denominator=100),
    rounds=st.integers(0, 5),
    seed=st.integers(0, 100),
)
@example(["1"], [1, 0, 0, 0, 0], Fraction(1, 4), 0, 0)  # r_1 = 1, and c_0 = 1 with it
@settings(max_examples=25)
def test_what_is_made_is_re_established(values, labels, eps, rounds, seed):
    gram, _ = rational_gram(values, seed)
    y = [Fraction(v) for v in labels[: len(values)]]
    power, floor = sum(v**2 for v in y), null_power(values, seed, y)
    if power > len(y) * eps and len(y) * eps <= floor:
        with pytest.raises(hsd.InfeasibleToleranceError):
            certify(gram, y, eps, rounds, statements=OWN)
        return
    found = certify(gram, y, eps, rounds, statements=OWN)
    if found.multipliers:
        assert found.residual_floor == floor / len(y)
    assert found.rank == sum(Fraction(v) > 0 for v in values)
    assert {v.verdict for v in found.verdicts} <= {"proved", "not applicable"}
    assert check_certificate(found.to_json(), OWN) == found.verdicts


def test_a_label_ratio_of_exactly_one_is_not_decided():
    # G = I: r_0 = 5 falls by one a round, and r_4 = 1 is neither above nor below
    found = certify(np.eye(2), [3.0, 4.0], 0.5, 8, max_bits=256, statements=OWN)
    assert found.outcome == "undecided"
    assert found.collapse_round is None
    assert [float(r) for r in found.label_ratios] == [5, 4, 3, 2]
    check_certificate(found.to_json(), OWN)


# ---- several outputs, and a tolerance a fit


def numbers(chain) -> tuple:
    return (
        chain.residual_floor,
        chain.multipliers,
        chain.label_ratios,
        chain.basis_weights,
        chain.outcome,
        chain.verdicts,
    )


def test_separate_outputs_are_certified_as_if_they_were_alone():
    gram, q = rational_gram([0, "1/10", "1/10", 1], seed=4)
    Y = q @ np.array([[Fraction(1, 20), 0], [1, 2], [2, -1], [3, 5]])
    found = certify(gram, Y, ["1/5", "1/2"], 9)
    alone = [certify(gram, Y[:, k], eps, 9) for k, eps in enumerate(("1/5", "1/2"))]
    assert [numbers(c) for c in found.chains] == [numbers(c.chains[0]) for c in alone]
    assert found.collapse_round == tuple(c.collapse_round for c in alone)
    assert found.verdicts == alone[0].verdicts + alone[1].verdicts
    assert check_certificate(found.to_json()) == found.verdicts
    with pytest.raises(hsd.HilbertSDError, match="2 chains"):
        _ = found.multipliers


def test_joint_outputs_are_certified_as_their_row_norms_are():
    """The spectral measure is summed over the outputs: (3, 4), (5, 12), (8, 15) as 5, 13, 17."""
    d = [Fraction(1, 10), Fraction(1, 2), Fraction(1)]
    gram = np.diag(d) + Fraction(0)
    together = certify(gram, [[3, 4], [5, 12], [8, 15]], "3/2", 20, joint=True)
    alone = certify(gram, [5, 13, 17], "3/2", 20)
    (chain,) = together.chains
    assert numbers(chain)[:5] == numbers(alone.chains[0])[:5]
    assert together.collapse_round == (alone.collapse_round,) * 2
    verdicts = {v.name: v for v in chain.verdicts}
    assert (verdicts["joint_outputs"].verdict, verdicts["joint_outputs"].holds_to) == (
        "proved",
        "1e-30",
    )
    assert {v.verdict for v in chain.verdicts} == {"proved"}
    assert check_certificate(together.to_json()) == together.verdicts


@pytest.mark.parametrize("joint", [False, True])
def test_outputs_and_a_tolerance_a_fit_against_the_library(joint):
    case = problems.problem(seed=4, size=5, decades=2)
    Y = np.stack([case.y, case.y[::-1], np.roll(case.y, 2)], axis=1)
    eps = case.eps * np.linspace(1, 2, 6)[:, None] * (1 if joint else np.array([1, 0.7, 1.5]))
    found = certify(case.gram, Y, eps, 5, joint=joint)
    result = hsd.self_distill(case.gram, Y, eps, 5, joint=joint)
    assert found.collapse_round == result.collapse_round
    assert {v.verdict for v in found.verdicts} <= {"proved", "not applicable"}
    for outputs, chain in zip(found.problem.outputs, found.chains, strict=True):
        fits = len(chain.multipliers)
        for q in outputs:
            for own, other in (
                (chain.multipliers, result.multipliers[:fits, q]),
                (chain.label_ratios, result.label_ratios[: fits + 1, q]),
            ):
                problems.assert_close([float(v) for v in own], other, rtol=CONDITIONED)
    assert check_certificate(found.to_json()) == found.verdicts


def test_a_tolerance_a_fit_leaves_only_statements_about_single_rounds():
    found = certify(np.diag([0.5, 1.0]), [1.0, 2.0], [0.3, 0.2, 0.1], 2)
    for verdict in found.verdicts:
        if verdict.reason is not None and "same tolerance" in verdict.reason:
            assert {same_tolerance, constant_tolerance} & set(REGISTRY[verdict.name].requires)
            assert verdict.verdict == "not applicable"
    assert {v.verdict for v in found.verdicts} == {"proved", "not applicable"}


def test_the_floors_of_joint_outputs_add_up():
    found, joint = outputs_certificate(), outputs_certificate(joint=True)
    floors = [Fraction(1, 20) ** 2 / 4, Fraction(1, 30) ** 2 / 4]
    assert [chain.residual_floor for chain in found.chains] == floors
    assert [chain.residual_floor for chain in joint.chains] == [sum(floors)]


def test_an_infeasible_tolerance_of_one_output_is_refused():
    G, Y = np.diag([0.0, 1.0]), [[0.1, 1.0], [2.0, 2.0]]
    assert certify(G, Y, [0.1, 0.9], statements={}).collapse_round
    with pytest.raises(hsd.InfeasibleToleranceError):
        certify(G, Y, [0.1, 0.4])
    with pytest.raises(hsd.InfeasibleToleranceError):
        certify(G, Y, 0.5, joint=True)
    assert certify(G, Y, 0.6, joint=True, statements={}).collapse_round


@pytest.mark.parametrize(
    ("G", "y", "eps"),
    [
        (np.eye(2), [0.3, 0.4], 0.125),  # r_0 = 1, which rationals decide
        (np.eye(2), [0.0, 0.0], 0.5),
        (np.zeros((2, 2)), [0.1, 0.2], 0.5),
    ],
)
def test_collapse_at_the_start(G, y, eps):
    y = [rational("y", str(v)) for v in y]
    found = certify(G, y, eps)
    assert found.collapse_round == 0
    check_certificate(found.to_json())


# ---- verdicts

UNDECIDABLE = own_statement(
    "tie", "lower", lambda k: Check(0.0, k.c * 0 + float(k.norms[0] > k.r[0] * k.s[0]), 1, 1)
)


@pytest.mark.parametrize(
    ("name", "kind", "sides", "expected"),
    [
        (
            "rise",
            "monotone",
            lambda k: Check(0.0, k.norms[1:] - k.norms[:-1], np.inf, 1.0),
            "refuted",
        ),
        (
            "off",
            "identity",
            lambda k: Check(k.s**2, k.s**2 + k.s**2 * 2.0**-90, k.s**2, 1.0),
            "refuted",
        ),
        ("above", "upper", lambda k: Check(-np.inf, k.kappa, k.kappa - 2.0**-90, 1.0), "refuted"),
        ("strict", "upper", lambda k: Check(-np.inf, k.kappa, k.kappa + 2.0**-90, 1.0), "proved"),
        ("nan", "lower", lambda k: Check(0.0, k.c * 0 / (k.c * 0), np.inf, 1.0), "undecided"),
        ("tie", "lower", UNDECIDABLE.sides, "undecided"),
    ],
)
def test_verdicts(name, kind, sides, expected):
    own = {name: own_statement(name, kind, sides)}
    gram, q = rational_gram([1, 2, 4], seed=1)
    found = certify(gram, q @ np.array([1, 2, 3]), "1/3", 3, max_bits=256, statements=own)
    assert [v.verdict for v in found.verdicts] == [expected]
    assert found.verdicts[0].holds_to is None
    assert check_certificate(found.to_json(), own) == found.verdicts


def test_equality_is_proved_to_a_stated_digit():
    ties = {
        "identity": own_statement("identity", "identity", ACTIVE.sides),
        "attained": own_statement(
            "attained", "upper", lambda k: ACTIVE.sides(k)._replace(lower=-np.inf)
        ),
    }
    gram, q = rational_gram([1, 2, 4], seed=1)
    found = certify(gram, q @ np.array([1, 2, 3]), "1/3", 3, statements=ties)
    assert [(v.verdict, v.holds_to) for v in found.verdicts] == [("proved", "1e-30")] * 2


def test_planted_mistakes_are_refuted():
    from planted import PLANTED

    planted = {
        f"{name} {k}": replace(false, name=f"{name} {k}")
        for name, variants in PLANTED.items()
        for k, false in enumerate(variants)
    }
    ramp = (np.diag([1.0, 1.05, 1.1, 1.2]), np.ones(4), 0.03, 30)
    one_scale = (np.eye(4) / 4, np.ones(4), 1 / 8.5**2, 10)
    staircase = (np.diag(10.0 ** np.arange(-8, 1, 2)), np.ones(5), 0.9 / 5, 20)
    _, y = hsd.datasets.example()
    cases = [(SPLINE, TENTHS, y, "0.045", 10), one_scale, staircase, ramp]
    outputs = (np.diag([0.1, 0.5, 1.0]), np.array([[1.0, 2.0], [0.0, 1.0], [3.0, 1.0]]), 0.2)
    assert len(planted) > 90
    refuted = set()
    for case, joint in [*((case, False) for case in cases), (outputs, True)]:
        false = certify(*case, joint=joint, max_bits=256, statements=planted)
        refuted |= {v.name for v in false.verdicts if v.verdict == "refuted"}
        true = certify(*case, joint=joint)
        assert {v.verdict for v in true.verdicts} <= {"proved", "not applicable"}
    assert refuted == set(planted)


# ---- input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.eye(2), [1.0, 2.0], 0), "positive"),
        ((np.eye(2), [1.0, 2.0], "x"), "not a finite rational"),
        ((np.eye(2), [1.0, 2.0], "1e999999999"), "not a finite rational"),
        ((np.eye(2), [1.0, 2.0, 3.0], 1), "shape"),
        ((np.eye(2), np.ones((2, 2, 1)), 1), "shape"),
        ((np.eye(2), np.ones((3, 2)), 1), "shape"),
        ((np.eye(2), np.ones((2, 101)), 1), "100 outputs"),
        ((np.eye(2), np.ones((2, 2)), [1, 2, 3]), "one an output"),
        ((np.eye(2), [1.0, 2.0], [0.1, 0.2], 2), r"one a fit .*3"),
        ((np.eye(2), [1.0, 2.0], [0.1, 0], 1), "positive"),
        ((np.eye(2), [1.0, float("nan")], 1), r"y\[1\]"),
        ((np.eye(2), [1.0, 2.0]), "'eps'"),
        ((np.eye(2), [1.0, 2.0], 0.1, -1), "rounds"),
        (([["1", "2"], ["1", "1"]], [1, 2], 0.1), "not symmetric"),
        ((-np.eye(2), [1.0, 2.0], 0.1), "not positive semidefinite"),
        ((np.diag([0.0, 1.0]), [1.0, 2.0], 0.1), "cannot be reached"),
        ((hsd.kernels.gaussian(), [0, 1], [1, 2], 0.1), "rational"),
        ((SPLINE, [0, 2], [1, 2], 0.1), "outside the domain"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(hsd.HilbertSDError, match=message):
        certify(*arguments)


def test_arguments_by_name():
    G, y, x = np.eye(2), [1.0, 2.0], ["1/3", "2/3"]
    named = certify(G, y, eps=0.1, rounds=2, statements={})
    assert named.problem.rounds == 2
    for other in (
        certify(G, y, 0.1, 2, statements={}),
        certify(G=G, y=y, eps=0.1, rounds=2, statements={}),
    ):
        assert named.to_json() == other.to_json()
    kernel = hsd.kernels.brownian_bridge()
    points = certify(kernel, x, y, eps="1/10", statements={})
    assert points.problem.rounds == 10
    assert points.to_json() == certify(kernel=kernel, x=x, y=y, eps="1/10", statements={}).to_json()
    for wrong in ({"ep": 1}, {"x": x, "eps": 1}, {"y": y, "eps": 1}, {}):
        with pytest.raises(hsd.HilbertSDError, match="by position or by name"):
            certify(G, y, **wrong)


def test_without_flint_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "flint", None)
    for module in [name for name in sys.modules if name.startswith("hilbertsd.theory.")]:
        if module.rpartition(".")[2] in ("balls", "certify", "enclosures", "verifier", "claims"):
            monkeypatch.delitem(sys.modules, module)
    for name in ("certify", "check_certificate"):
        monkeypatch.delitem(vars(hsd), name, raising=False)
        with pytest.raises(hsd.HilbertSDError, match=r"pip install 'hilbertsd\[certify\]'"):
            getattr(hsd, name)


def test_the_exact_floor_speaks_of_the_exact_rank():
    with pytest.raises(hsd.InfeasibleToleranceError, match="exact rank 1 of 2") as refused:
        certify(np.diag([0.0, 1.0]), [1.0, 2.0], 0.1)
    assert "count as zero" not in str(refused.value)


def test_a_float_gram_matrix_is_symmetrised_exactly():
    G = np.array([[2.0, 1.0], [np.nextafter(1.0, 2), 2.0]])
    found = certify(G, [1.0, 2.0], 0.5, statements={})
    assert found.problem.matrix[0, 1] == 1 + Fraction(1, 2**53)


def test_plain_functions_are_kernels_too():
    found = certify(lambda x, s: x * s + 1, ["1/3", "2"], [1, 2], "1/7", 2, statements={})
    named = certify(hsd.kernels.polynomial(1), ["1/3", "2"], [1, 2], "1/7", 2, statements={})
    assert found.multipliers == named.multipliers
    assert named.problem.kernel == "polynomial(degree=1, offset=1.0)"
    check_certificate(found.to_json(), {})
    check_certificate(named.to_json(), {})


@pytest.mark.parametrize(
    "kernel",
    [
        hsd.kernels.cubic_spline(),
        hsd.kernels.clamped_beam(),
        hsd.kernels.cantilever_beam(),
        hsd.kernels.brownian_bridge(),
        2.5 * hsd.kernels.brownian_motion() + hsd.kernels.polynomial(3, 0.5),
        hsd.kernels.brownian_motion() * hsd.kernels.polynomial(2),
        hsd.kernels.cubic_spline().rescaled(-1, 2),
    ],
)
def test_exact_gram_matrices_agree_with_floats(kernel):
    x = np.array([0.0, 0.15, 0.4, 0.75, 1.0])
    exact = exact_gram(kernel, x)
    problems.assert_close(
        exact.astype(float), hsd.gram(kernel, x), rtol=problems.ROUNDING, atol=problems.UNIT
    )


# ---- balls

MEMBERS = st.fractions("-8", "8", max_denominator=64)


@given(MEMBERS, MEMBERS, st.integers(0, 6), st.integers(-3, 5))
def test_operations_enclose(a, b, radius, power):
    width = flint.arb(0, flint.arb(2) ** -radius)
    x, y = Ball(Ball(a).arb + width), Ball(Ball(b).arb + width)

    def holds(ball: Ball, value: Fraction) -> bool:
        return bool(ball.arb.contains(flint.arb(flint.fmpq(value.numerator, value.denominator))))

    with flint.ctx.workprec(80):
        assert holds(x + y, a + b)
        assert holds(x - y, a - b)
        assert holds(x * y, a * b)
        assert holds(abs(x), abs(a))
        assert holds(balls.maximum(x, y), max(a, b))
        assert holds(balls.min(np.array([x, y]), axis=0), min(a, b))
        if a or power >= 0:
            assert holds(x**power, a**power) or not (x**power).arb.is_finite()
        assert holds(x - x, Fraction(0))


def test_comparisons_do_not_guess():
    third = Ball(1) / 3
    wide = Ball(flint.arb(1, 0.5))
    assert third < wide
    assert third == third
    assert not third > third
    for undecided in (
        lambda: third * 3 == 1,
        lambda: wide > 1,
        lambda: np.max(np.array([wide, 1 + wide])),
    ):
        with pytest.raises(Undecided):
            undecided()
    assert balls.max(np.array([wide, Ball(1)])).arb.contains(flint.arb(1.25))
    with pytest.raises(TypeError):
        float(third)


def test_enclosures_round_to_one_spelling():
    with flint.ctx.workprec(200):
        for value, bits in itertools.product(
            (Fraction(1, 3), Fraction(2**64 - 1), Fraction(5)), (32, 64)
        ):
            found = enclosures.published(Ball(value).arb, bits)
            assert inside(found, value)
            assert found.mantissa.bit_length() == bits
            assert not inside(found._replace(mantissa=found.mantissa + 1), value)
        with pytest.raises(enclosures.MorePrecision):
            enclosures.published(flint.arb(1, 0.5), 32)


@pytest.mark.parametrize("side", ["lower", "upper"])
@pytest.mark.parametrize("judged", ["maker", "checker"])
def test_a_side_that_the_balls_leave_open_is_undecided(side, judged):
    """Overlapping by more than 1e-30 of the scale: neither proved nor refuted, on either side."""
    wide = Ball(flint.arb(1, 1e-9))

    def sides(chain):
        bounds = {"lower": 0.0, "upper": 2.0} | {side: wide}
        return Check(bounds["lower"], Ball(flint.arb(1, 1e-9)), bounds["upper"], 1.0)

    statement = own_statement("open", "two-sided", sides)
    made = certify(np.diag([0.5, 1.0]), [1.0, 2.0], 0.1, 5, statements={"open": statement})
    if judged == "maker":
        assert [v.verdict for v in made.verdicts] == ["undecided"]
    else:
        found = check_certificate(made.to_json(), {"open": statement})
        assert [v.verdict for v in found] == ["undecided"]
