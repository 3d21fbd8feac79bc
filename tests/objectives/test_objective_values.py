"""Values: the published definitions' numbers, a second implementation, Gram forms, variants."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial

import definitions
import jax
import numpy as np
import pytest
from cases import BANKS, CASES, HEADS, NEGATIVES, RHO, B, W, batch, features
from evaluation import QUICK, evaluated
from problems import ROUNDING, assert_close

from hilbertsd import HilbertSDError, objectives
from hilbertsd.objectives import dependence, grams

PRINTED = 1e-10
"""Reference numbers are printed with ten to twelve digits."""
SECOND_ROUTE = 1e-10
"""Two float64 implementations; cancellation in d² and in centring costs some digits."""

i, j = np.mgrid[:6, :4]
F_S = np.sin(0.7 * i + 1.3 * j + 0.1 + 0.37 * i * j)
F_T = np.cos(0.9 * i - 0.5 * j + 0.2 + 0.23 * i * j)
b, c, h, w = np.mgrid[:3, :4, :2, :2]
A_S = np.sin(0.3 * b + 0.7 * c + 1.1 * h + 1.7 * w)
A_T = np.cos(0.5 * b + 0.2 * c + 0.9 * h - 0.4 * w)

NUMBERS = {
    "kd": 0.255739791022,
    "sp": 0.13281487523,
    "rkd_distance": 0.0752243794181,
    "cc": 0.0538024686084,
    "pkt": 0.054763556971,
    "cka_loss": 1 - 0.665515940024,
    "fkd": 0.544959908533,
    "at": 0.0953193272839,
}
"""From an implementation in another framework."""


CRD = (objectives.Heads(*HEADS), objectives.Memory(*BANKS), np.arange(B), NEGATIVES)


@pytest.mark.parametrize("name", NUMBERS)
def test_published_definitions_give_these_numbers(name):
    entry = objectives.objective(name)
    pair = (A_S, A_T) if entry.takes == "maps" else (F_S, F_T)
    with jax.enable_x64(True):
        found = [jax.jit(entry.function, compiler_options=QUICK)(*pair)]
        if entry.gram is not None:
            gram = jax.jit(entry.gram, compiler_options=QUICK)
            found.append(gram(F_S @ F_S.T, F_T @ F_T.T))
    for value in found:
        assert_close(value, NUMBERS[name], atol=PRINTED)


def test_gaussian_cka_with_the_median_of_distances():
    found = objectives.cka(F_S, F_T, kernel="gaussian", median="distances")
    assert_close(found, 0.711424051870, atol=PRINTED)


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_the_definition(name):
    outcomes = evaluated(name, "float64")
    for seed, label in enumerate(("first", "second")):
        expected = CASES[name].definition(*batch(CASES[name], seed))
        assert_close(outcomes[label].value, expected, rtol=SECOND_ROUTE, atol=SECOND_ROUTE)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.gram])
def test_gram_form_equals_feature_form(name):
    case = CASES[name]
    s, t = batch(case)
    value = evaluated(name, "float64")["first"].value
    assert_close(case.gram(s @ s.T, t @ t.T), value, rtol=SECOND_ROUTE, atol=ROUNDING)


def test_every_objective_has_a_case():
    assert set(objectives.OBJECTIVES) <= {name.split(",")[0] for name in CASES}


def test_linear_cka_is_a_cosine_of_covariances():
    s, t = features((9, 4), 1), features((9, 3), 2)
    assert_close(objectives.cka(s, t), definitions.linear_cka(s, t), rtol=ROUNDING)
    assert_close(objectives.cka(s + 3, t), definitions.linear_cka(s, t), rtol=1e-11)
    assert abs(objectives.alignment(s + 3, t) - objectives.alignment(s, t)) > 0.01


def test_unbiased_hsic_has_no_bias():
    """Independent normal features: HSIC is 0, its biased estimate is not."""
    s, t = features((1000, 5, 2), 1), features((1000, 5, 2), 2)
    for estimator, biased in (("unbiased", False), ("biased", True)):
        with jax.enable_x64(True):
            estimate = jax.vmap(lambda s, t, e=estimator: objectives.hsic(s, t, estimator=e))
            values = np.asarray(jax.jit(estimate, compiler_options=QUICK)(s, t))
        error = np.std(values) / len(values) ** 0.5
        assert np.mean(values) > 10 * error if biased else abs(np.mean(values)) < 4 * error


def test_high_temperature_matches_logits():
    s, t = features((5, 3), 1), features((5, 3), 2)
    centred = [z - z.mean(axis=1, keepdims=True) for z in (s, t)]
    expected = objectives.logit_regression(*centred) / 2
    assert_close(objectives.kd(s, t, temperature=1e5), expected, rtol=1e-4)


def test_soft_labels_and_class_numbers_agree():
    s = features((4, 3))
    soft = np.eye(3)[[0, 2, 1, 1]]
    hard = objectives.cross_entropy(s, np.array([0, 2, 1, 1]))
    assert_close(objectives.cross_entropy(s, soft), hard, rtol=ROUNDING)


def test_larger_maps_are_pooled():
    small, large = features((2, 3, 2, 3)), features((2, 3, 5, 6), 1)
    pooled = np.zeros((2, 3, 2, 3))
    for row, block in enumerate((slice(0, 3), slice(2, 5))):
        for column in range(3):
            pooled[:, :, row, column] = large[:, :, block, 2 * column : 2 * column + 2].mean(
                axis=(2, 3)
            )
    assert_close(objectives.average_pool(large, 2, 3), pooled, rtol=ROUNDING, atol=ROUNDING)
    value = objectives.at(small, large)
    assert_close(value, definitions.at(small, pooled), rtol=1e-11)
    value = objectives.ft(small, large)
    assert_close(value, definitions.ft(small, pooled), rtol=1e-11)
    flow = objectives.fsp((small, large), (pooled, small))
    assert_close(flow, definitions.fsp((small, pooled), (pooled, small)), rtol=1e-11)


def test_normalisers_and_memory_of_crd():
    s, t = features((B, 4)), features((B, 5))
    heads, memory = objectives.Heads(*HEADS), objectives.Memory(*BANKS)
    numbers = np.array([3, 0, 7, 8, 10, 1])
    with jax.enable_x64(True):
        normalisers = jax.jit(objectives.crd_normalisers, compiler_options=QUICK)
        refresh = jax.jit(partial(objectives.refresh, momentum=0.25), compiler_options=QUICK)
        Z = normalisers(s, t, heads, memory, numbers, NEGATIVES)
        new = refresh(memory, s, t, heads, numbers)
    pairs = np.concatenate([numbers[:, None], NEGATIVES], axis=1)
    for k, (x, bank) in enumerate(((s, BANKS[1]), (t, BANKS[0]))):
        u = x @ HEADS[2 * k] + HEADS[2 * k + 1]
        u /= np.linalg.norm(u, axis=1, keepdims=True)
        scores = np.exp(np.einsum("bd,bmd->bm", u, bank[pairs]) / 0.07)
        assert_close(Z[k], len(bank) * scores.mean(), rtol=SECOND_ROUTE)
        row = 0.25 * BANKS[k][7] + 0.75 * u[2]
        assert_close(new[k][7], row / np.linalg.norm(row), rtol=SECOND_ROUTE)
        assert_close(new[k][2], BANKS[k][2])
    drawn = objectives.contrastive_memory(2000, key=jax.random.key(0), width=16)
    assert_close(np.mean(np.sum(drawn.student**2, axis=1)), 1.0, rtol=0.02)
    drawn = objectives.contrastive_heads(4, 5, key=jax.random.key(0))
    assert [x.shape for x in drawn] == [(4, 128), (128,), (5, 128), (128,)]
    for x, width in zip(drawn, (4, 4, 5, 5), strict=True):
        assert 0.9 < np.abs(x).max() * width**0.5 <= 1


def test_inheritance_and_exploration_are_opposite_and_split_channels():
    A, t = features((2, 5, 2, 2)), features((2, 2, 2, 2), 1)
    first, rest = objectives.halves(A)
    assert first.shape == (2, 2, 2, 2)
    assert_close(np.concatenate([first, rest], axis=1), A)
    total = objectives.inheritance_exploration(
        first, t, t, base="OD", inheritance_weight=2.0, exploration_weight=3.0
    )
    assert_close(total, 2 * definitions.inheritance(A[:, :2], t, "OD"), rtol=ROUNDING)
    moved = objectives.inheritance_exploration(t, first, t, base="OD", exploration_weight=3.0)
    assert_close(moved, -3 * definitions.inheritance(A[:, :2], t, "OD"), rtol=ROUNDING)
    assert_close(objectives.reconstruction(A, A + 0.5), 0.5, rtol=ROUNDING)


@pytest.mark.parametrize("base", ["AT", "FT", "OD"])
def test_codes_of_unit_norm_bound_exploration(base):
    """A code that grows leaves the teacher's for ever under OD; at unit norm no code can."""
    code, t = features((4, 3, 2, 2)), features((4, 3, 2, 2), 1)
    grown = [objectives.exploration(f * code, t, base=base) for f in (1e2, 1e4)]
    kept = [objectives.exploration(f * code, t, base=base, unit_norm=True) for f in (1e2, 1e4)]
    assert_close(kept[0], kept[1], rtol=1e-9)
    flat = (a / np.linalg.norm(a.reshape(4, -1), axis=1).reshape(4, 1, 1, 1) for a in (code, t))
    assert_close(kept[0], -definitions.inheritance(*flat, base), rtol=1e-9)
    if base == "OD":
        positive = np.linalg.norm(np.maximum(code, 0).reshape(4, -1), axis=1).mean()
        assert_close(grown[1] - grown[0], -9900 * positive, rtol=1e-2)
        far = np.array([[1.0, 0.0], [0.0, 1.0]])
        assert_close(objectives.od(far, far[::-1], unit_norm=True), np.sqrt(2), rtol=ROUNDING)
    else:
        assert_close(grown[0], kept[0], rtol=1e-9)


def test_a_teacher_at_the_boundary_is_inactive():
    s = np.array([[0.5, -2.0, 3.0]])
    assert_close(objectives.ab(s, 0 * s), 1.5**2 + 4.0**2)


def test_equal_features_give_logsum_its_least_number():
    assert_close(objectives.logsum(F_S, F_S), np.log(np.finfo(float).tiny), rtol=ROUNDING)


def test_coincident_samples_have_the_published_distance():
    s, t = F_S.copy(), F_T
    s[1] = s[0]
    expected = definitions.rkd_distance(s, t)
    assert_close(objectives.rkd_distance(s, t), expected, rtol=1e-12)
    assert_close(grams.rkd_distance(s @ s.T, t @ t.T), expected, rtol=1e-12)


def test_rounding_is_no_distance_and_no_dependence():
    unit = np.finfo(float).eps
    for units, apart in ((2, False), (100, True)):
        d2 = grams.squared_distances(np.array([[1, 1 - units * unit], [1 - units * unit, 1]]))
        assert (d2[0, 1] > 0) == apart
    noise = np.random.default_rng(0).integers(-4, 5, (6, 6)) * unit
    constant = 1 + noise + noise.T
    assert np.abs(grams.centred(constant)).max() > unit
    assert dependence.cka(constant, F_T @ F_T.T) == 0
    assert dependence.cka(constant, constant) == 0


@pytest.mark.parametrize("entry", objectives.OBJECTIVES.values(), ids=lambda entry: entry.name)
def test_objectives_of_one_shape_refuse_two(entry):
    """Widths, or numbers of channels, that differ: just where the registry says so."""
    s, t = ((B, 4, 2, 3), (B, 5, 2, 3)) if entry.takes in ("maps", "codes") else ((B, 4), (B, 5))
    more: tuple = ()
    if entry.needs:
        more = {"vid": (RHO,), "projector": (W,), "crd": CRD}[entry.name]
    if entry.takes == "two maps":
        s, t = ((B, 4, 2, 3),) * 2, ((B, 5, 2, 3),) * 2
    shaped = jax.tree.map(
        lambda shape: jax.ShapeDtypeStruct(shape, "float32"),
        (s, t),
        is_leaf=lambda x: isinstance(x[0], int),
    )
    with pytest.raises(HilbertSDError) if entry.same_shape else nullcontext():
        jax.eval_shape(lambda s, t: entry.function(s, t, *more), *shaped)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: objectives.sp(F_S, F_T[:5]), "6 samples and teacher 5"),
        (lambda: objectives.fitnet(F_S, F_T[:, :3]), "learned layer"),
        (lambda: objectives.sp(F_S.astype(int), F_T), "dtype"),
        (lambda: objectives.at(F_S, F_T), r"\(B, C, H, W\)"),
        (lambda: objectives.flow(F_S, F_T), r"\(B, C, H, W\)"),
        (lambda: objectives.kd(F_S, F_T, imitation_weight=0.5), "pass labels"),
        (lambda: objectives.kd(A_S, A_T), r"\(B, C\)"),
        (lambda: objectives.cross_entropy(F_S, np.zeros(5)), "labels must have shape"),
        (lambda: objectives.hsic(F_S[:3], F_T[:3], estimator="unbiased"), "at least 4"),
        (lambda: objectives.fkd(F_S, F_T, kernel="cubic"), "'linear'"),
        (lambda: objectives.fkd(F_S, F_T, power=3), "1 or 2"),
        (lambda: objectives.cc(F_S, F_T, order=1.5), "whole number"),
        (lambda: objectives.logsum(F_S, F_T[:, :3], np.eye(4)), r"\(4, 3\)"),
        (lambda: objectives.logsum(F_S, F_T, exponent=0.5), "at least 1"),
        (lambda: objectives.vid(F_S, F_T, np.ones(3)), "one entry a channel"),
        (lambda: objectives.info_nce(F_S, F_T[:, :3]), "one space"),
        (lambda: objectives.halves(F_S[:, :1]), "two channels"),
        (lambda: grams.sp(F_S, F_T), r"\(B, B\)"),
        (lambda: grams.sp(np.eye(2), np.eye(3)), "same batch"),
        (lambda: grams.linear(np.float64(1)), "at least one sample"),
        (lambda: dependence.hsic(np.eye(4), np.eye(4), estimator="best"), "'unbiased'"),
        (lambda: objectives.objective("nothing"), "choose one of kd"),
        (
            lambda: objectives.crd_normalisers(
                F_S, F_T, None, objectives.Memory(F_S, F_T), np.arange(5), NEGATIVES
            ),
            r"\(6,\)",
        ),
    ],
)
def test_errors_name_the_way_out(call, words):
    with pytest.raises(HilbertSDError, match=words):
        call()
