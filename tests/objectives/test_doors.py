"""What objectives refuse, and what they take: settings, labels, shapes, Gram matrices."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import BANKS, HEADS, LABELS, NEGATIVES, B, features
from evaluation import QUICK
from problems import assert_close

from hilbertsd import HilbertSDError
from hilbertsd import objectives as o
from hilbertsd.objectives import dependence, first_order, grams

S, T = features((B, 4)), features((B, 4), 1)
K, L = S @ S.T, T @ T.T
BFLOAT = jnp.asarray(S, "bfloat16")
HEAD, MEMORY, SELF = o.Heads(*HEADS), o.Memory(*BANKS), np.arange(B)
CRD = (S, features((B, 5)), HEAD, MEMORY)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (partial(o.kd, S, T, temperature=0.0), "temperature must be a number above 0, got 0.0"),
        (partial(o.kd, S, T, temperature=-1), "temperature"),
        (partial(o.kd, S, T, LABELS, imitation_weight=1.5), "imitation_weight must be a number fr"),
        (partial(o.kd, S, T, imitation_weight=jnp.asarray(0.5)), "pass labels"),
        (partial(o.info_nce, S, T, temperature=0), "temperature"),
        (partial(o.crd, *CRD, SELF, NEGATIVES, temperature=0), "temperature"),
        (partial(o.crd, *CRD, SELF, NEGATIVES, normalisers=(0.0, 1.0)), "normalisers"),
        (partial(o.crd_normalisers, *CRD, SELF, NEGATIVES, temperature=0), "temperature"),
        (partial(o.refresh, MEMORY, *CRD[:3], SELF, momentum=2), "momentum"),
        (partial(o.cka, S, T, kernel="gaussian", bandwidth=0), "bandwidth"),
        (partial(o.ab, S, T, margin=-0.5), "margin"),
        (partial(grams.taylor, K, gamma=0), "gamma"),
        (partial(o.fkd, S, T, norm_weight=-1), "norm_weight"),
        (partial(grams.fkd, K, L, norm_weight=-1), "norm_weight"),
        (partial(o.pkt, S, T, epsilon=0), "epsilon"),
        (partial(o.logsum, S, T, epsilon=-1), "epsilon"),
        (partial(o.logsum, S, T, exponent="4"), "exponent"),
        (partial(o.projector_loss, S, T, np.eye(4), weight_decay=-1), "weight_decay"),
        (partial(o.fitted_projector, S, T, weight_decay=jnp.zeros(())), "weight_decay"),
        (partial(o.vid_raw_variance, np.array([1.0, 1e-6])), "above 1e-05"),
        (partial(o.vid_raw_variance, np.nan), "above 1e-05"),
    ],
)
def test_settings_out_of_range(call, words):
    with pytest.raises(HilbertSDError, match=words):
        call()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (partial(o.cross_entropy, S, np.full(B, 4)), "labels has 4; class numbers are whole, from"),
        (partial(o.cross_entropy, S, np.full(B, -1)), "labels has -1"),
        (partial(o.cross_entropy, S, jnp.full(B, 0.5)), "labels has 0.5"),
        (partial(o.cross_entropy, S, [0, 1, 2, 3, 4, 5]), "labels has 4"),
        (partial(o.cross_entropy, S[0], np.zeros(4)), r"\(B, C\)"),
        (partial(o.kd, S, T, np.full(B, 4), imitation_weight=0.5), "labels has 4"),
        (partial(o.crd, *CRD, SELF + 6, NEGATIVES), "positives has 11; .* from 0 to 10"),
        (partial(o.crd, *CRD, SELF, NEGATIVES - 11), "negatives has"),
        (partial(o.refresh, MEMORY, *CRD[:3], SELF + 6), "positives has 11"),
    ],
)
def test_numbers_of_classes_and_of_samples(call, words):
    with pytest.raises(HilbertSDError, match=words):
        call()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (partial(o.fkd, S[:, 0], T[:, 0]), "one sample a row"),
        (partial(o.fitnet, S[:, 0], T[:, 0]), "one sample a row"),
        (partial(grams.linear, S[0]), "one sample a row"),
        (partial(o.fkd, S.astype(np.longdouble), T), "dtype (float128|longdouble)"),
        (partial(o.fkd, BFLOAT, BFLOAT), "bfloat16"),
        (partial(o.fkd, "features", T), "student is no array of numbers"),
        (partial(o.fsp, features((2, 3, 2, 2)), features((2, 3, 2, 2))), "a pair"),
        (partial(grams.fkd, features((B, B)), L), "K_s is not symmetric"),
        (partial(dependence.hsic, K, features((B, B))), "K_t is not symmetric"),
        (partial(grams.correlation, features((B, B))), "K is not symmetric"),
        (partial(grams.gaussian, S), r"\(B, B\)"),
        (partial(first_order.first_order, o.fkd, K, L), "objectives.fkd takes features"),
        (
            partial(first_order.first_order, partial(o.fkd, norm_weight=1.0), K, L),
            "objectives.fkd takes features",
        ),
    ],
)
def test_what_is_no_features_and_no_gram_matrix(call, words):
    with pytest.raises(HilbertSDError, match=words):
        call()


def test_rounding_is_no_asymmetry():
    single = np.float32(K)
    single[0, 1] *= 1 + np.float32(4e-7)
    assert single[0, 1] != single[1, 0]
    assert np.isfinite(grams.correlation(single)).all()


def test_a_weight_of_one_asks_for_no_labels():
    expected = o.kd(S, T)
    for one in (1, np.float32(1), jnp.asarray(1.0)):
        assert_close(o.kd(S, T, imitation_weight=one), expected, rtol=1e-12)


def test_traced_settings_and_labels():
    """They are not checked, and give what the same numbers give."""
    with jax.enable_x64(True):
        cc = jax.jit(lambda gamma: o.cc(S, T, gamma=gamma), compiler_options=QUICK)(0.7)
        logsum = jax.jit(
            lambda a, e: o.logsum(S, T, exponent=a, epsilon=e), compiler_options=QUICK
        )(3.0, 1e-3)
        kd = jax.jit(
            lambda w, r, y: o.kd(S, T, y, imitation_weight=w, temperature=r),
            compiler_options=QUICK,
        )(0.3, 2.0, LABELS)
    assert_close(cc, o.cc(S, T, gamma=0.7), rtol=1e-12)
    assert_close(logsum, o.logsum(S, T, exponent=3, epsilon=1e-3), rtol=1e-12)
    assert_close(kd, o.kd(S, T, LABELS, imitation_weight=0.3, temperature=2), rtol=1e-12)


def test_maps_are_flattened_to_features():
    maps, rows = features((B, 2, 3, 2)), features((B, 2, 3, 2)).reshape(B, -1)
    assert_close(grams.linear(maps), rows @ rows.T, rtol=1e-12)
    assert o.fkd(maps, maps) == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_variances_of_any_size_come_back(dtype):
    variance = np.array([2e-5, 0.5, 5.0, 100.0, 1000.0], dtype)
    rho = np.asarray(o.vid_raw_variance(variance), np.float64)
    tolerance = 1e-11 if dtype == "float64" else 1e-5
    assert_close(np.logaddexp(0, rho) + 1e-5, variance.astype(float), rtol=tolerance)
