"""Splits, label noise and the sets made of them: laws that hold for every seed."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hilbertsd as hsd
from hilbertsd.datasets import (
    Classification,
    confusion_matrix,
    digit_images,
    from_arrays,
    noisy_labels,
    split,
)
from hilbertsd.datasets.noise import KINDS
from hilbertsd.datasets.seeds import generator

SEEDS = st.integers(0, 2**32)
DEVIATIONS = 5.0
"""Standard deviations that a count may be from its expectation: two in a million beyond."""


def random_labels(seed: int) -> tuple[np.ndarray, int]:
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 12))
    return rng.integers(0, classes, size=int(rng.integers(1, 300))), classes


def random_matrix(seed: int, classes: int) -> np.ndarray:
    """A confusion matrix in which about a third of the entries are 0."""
    rng = np.random.default_rng(seed)
    matrix = rng.random((classes, classes)) * (rng.random((classes, classes)) > 0.35)
    matrix[np.arange(classes), rng.integers(0, classes, classes)] += 0.1
    return matrix / matrix.sum(axis=1, keepdims=True)


@given(SEEDS, st.sampled_from(KINDS))
def test_rate_zero_is_the_identity(seed, noise):
    labels, classes = random_labels(seed)
    for rate in (0.0, None):
        assert (noisy_labels(labels, classes, noise=noise, rate=rate, seed=seed) == labels).all()


@given(SEEDS, st.sampled_from(("symmetric", "pair")), st.floats(0, 1))
def test_exactly_the_stated_share_is_changed(seed, noise, rate):
    labels, classes = random_labels(seed)
    noisy = noisy_labels(labels, classes, noise=noise, rate=rate, seed=seed)
    changed = noisy != labels
    assert changed.sum() == round(rate * len(labels))
    assert ((noisy >= 0) & (noisy < classes)).all()
    if noise == "pair":
        assert (noisy[changed] == (labels[changed] + 1) % classes).all()


@given(SEEDS, st.floats(0, 1), st.floats(0, 1))
def test_more_noise_changes_further_labels_and_none_of_those_changed(seed, low, high):
    labels, classes = random_labels(seed)
    low, high = sorted((low, high))
    for noise in (*KINDS, random_matrix(seed, classes)):
        few = noisy_labels(labels, classes, noise=noise, rate=low, seed=seed)
        many = noisy_labels(labels, classes, noise=noise, rate=high, seed=seed)
        changed = few != labels
        assert (many[changed] == few[changed]).all()


@given(SEEDS)
def test_what_the_matrix_rules_out_never_happens(seed):
    labels, classes = random_labels(seed)
    matrix = random_matrix(seed, classes)
    noisy = noisy_labels(labels, classes, noise=matrix, seed=seed)
    assert (matrix[labels, noisy] > 0).all()


@given(SEEDS)
def test_named_kinds_are_their_matrices(seed):
    labels, classes = random_labels(seed)
    for kind in KINDS:
        matrix = confusion_matrix(kind, classes)
        np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-14)
        by_name = noisy_labels(labels, classes, noise=kind, rate=1.0, seed=seed)
        assert (by_name == noisy_labels(labels, classes, noise=matrix, seed=seed)).all()


@pytest.mark.parametrize("kind", [*KINDS, "own"])
def test_counts_follow_the_confusion_matrix(kind):
    classes, each = 5, 4000
    labels = np.repeat(np.arange(classes), each)
    own = random_matrix(3, classes)
    noise = own if kind == "own" else kind
    expected = own if kind == "own" else confusion_matrix(kind, classes)
    rate = 0.4
    expected = (1 - rate) * np.eye(classes) + rate * expected
    noisy = noisy_labels(labels, classes, noise=noise, rate=rate, seed=7)
    found = np.zeros((classes, classes))
    np.add.at(found, (labels, noisy), 1)
    # who is chosen and what is drawn both vary: no more than a binomial each
    spread = np.sqrt(each * expected * (1 - expected)) + np.sqrt(each * rate * (1 - rate))
    assert (np.abs(found - each * expected) <= DEVIATIONS * spread).all()
    wrong = np.roll(expected, 1, axis=1)
    assert (np.abs(found - each * wrong) > DEVIATIONS * spread).any(), "no power"


@given(SEEDS, st.booleans())
def test_splits_are_disjoint_and_complete(seed, stratify):
    labels, _ = random_labels(seed)
    train = int(np.random.default_rng(seed + 1).integers(0, len(labels) + 1))
    chosen, rest = split(labels, train, seed=seed, stratify=stratify)
    assert len(chosen) == train
    assert sorted([*chosen, *rest]) == list(range(len(labels)))
    again = split(labels, train, seed=seed, stratify=stratify)
    assert (again[0] == chosen).all()
    assert (again[1] == rest).all()
    none, all_others = split(labels, None, len(rest), seed=seed, stratify=stratify)
    assert len(none) == train
    assert len(all_others) == len(rest)


@given(SEEDS, st.booleans())
def test_smaller_test_sets_are_disjoint_too(seed, stratify):
    labels, _ = random_labels(seed)
    rng = np.random.default_rng(seed + 1)
    train = int(rng.integers(0, len(labels) + 1))
    test = int(rng.integers(0, len(labels) - train + 1))
    chosen, tested = split(labels, train, test, seed=seed, stratify=stratify)
    assert (len(chosen), len(tested)) == (train, test)
    assert len({*chosen, *tested}) == train + test


@given(SEEDS)
def test_stratified_splits_keep_every_share(seed):
    labels, classes = random_labels(seed)
    train = int(np.random.default_rng(seed + 1).integers(0, len(labels) + 1))
    chosen, _ = split(labels, train, seed=seed)
    sizes = np.bincount(labels, minlength=classes)
    exact = sizes * train / len(labels)
    assert (np.abs(np.bincount(labels[chosen], minlength=classes) - exact) < 1).all()


def test_plain_splits_do_not_keep_every_share():
    labels = np.arange(1000) % 10
    found = [np.bincount(labels[split(labels, 500, seed=s, stratify=False)[0]]) for s in range(20)]
    assert np.abs(np.array(found) - 50).max() >= 1, "the plain split looks stratified"
    # hypergeometric counts of the classes over the seeds
    deviation = np.sqrt(500 * 0.1 * 0.9 * 500 / 999 / 20)
    assert np.abs(np.mean(found, axis=0) - 50).max() < DEVIATIONS * deviation


def test_streams_are_independent():
    quiet, noisy = digit_images(300, rate=0.0, seed=5), digit_images(300, rate=0.4, seed=5)
    assert (quiet.x_train == noisy.x_train).all()
    assert (quiet.x_test == noisy.x_test).all()
    assert (quiet.true == noisy.true).all()
    assert (quiet.y_test == noisy.y_test).all()
    other = digit_images(300, rate=0.4, seed=6)
    assert (other.x_train != noisy.x_train).any()
    draws = np.array([generator(0, name).random(2000) for name in ("split", "noise", "x y", "x")])
    correlation = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlation).max() < DEVIATIONS / np.sqrt(2000)


def test_digit_images_are_the_digits():
    x, y = hsd.datasets.digits()
    data = digit_images(1000, seed=2, rate=0.3)
    assert data.x_train.dtype == np.float32
    assert data.given.dtype == data.true.dtype == data.y_test.dtype == np.int64
    everything = np.concatenate([data.x_train, data.x_test])
    labels = np.concatenate([data.true, data.y_test])
    # sixteenths are exact in float32: the two sets have the same rows
    order, other = (
        np.lexsort([*rows.T, of]) for rows, of in ((everything, labels), (x, y.argmax(1)))
    )
    assert (everything[order] == x[other]).all()
    assert (labels[order] == y.argmax(axis=1)[other]).all()
    assert everything.min() == 0
    assert everything.max() == 1
    images = digit_images(1000, seed=2, rate=0.3, flat=False)
    assert images.x_train.shape == (1000, 1, 8, 8)
    assert (images.x_train.reshape(1000, 64) == data.x_train).all()
    assert data.changed.sum() == 300


def test_settings_state_what_was_done():
    data = digit_images(200, test=100, seed=1, noise=np.full((10, 10), 0.1), rate=0.5)
    again = json.loads(json.dumps(data.settings))
    assert again == data.settings
    assert (again["train"], again["test"], again["seed"], again["rate"]) == (200, 100, 1, 0.5)
    assert again["changed"] == data.changed.sum()
    assert again["class_counts"] == np.bincount(data.true).tolist()
    same = digit_images(
        again["train"], test=again["test"], seed=again["seed"], noise=again["noise"],
        rate=again["rate"], flat=again["flat"], stratify=again["stratify"],
    )  # fmt: skip
    assert (same.given == data.given).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 1.5}, "rate must be a number from 0 to 1, got 1.5"),
        ({"rate": float("nan")}, "rate must be a number from 0 to 1, got nan"),
        ({"noise": "asymmetric"}, "noise must be one of 'symmetric', 'uniform', 'pair'"),
        ({"noise": np.eye(3)}, r"shape \(10, 10\) for 10 classes, got shape \(3, 3\)"),
        ({"noise": 2 * np.eye(10)}, "row 0 of the confusion matrix sums to 2"),
        ({"noise": np.eye(10) - np.eye(10, k=1) + np.eye(10, k=2)}, "no negative entries"),
        ({"train": 1798}, "train must be at most 1797"),
        ({"train": 1000, "test": 798}, "test must be at most 797"),
        ({"train": 0}, "train must be a whole number, 1 or more"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"flat": "no"}, "flat must be True or False"),
        ({"stratify": 1}, "stratify must be True or False"),
    ],
)
def test_bad_settings(arguments, message):
    with pytest.raises(hsd.HilbertSDError, match=message):
        digit_images(**({"train": 100} | arguments))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 3], r"labels\[2\] is 3; classes go from 0 to 2"),
        ([0, -1, 2], r"labels\[1\] is -1"),
        ([0.0, 1.0, 2.0], "whole numbers"),
        ([[0, 1]], "one class a point"),
    ],
)
def test_bad_labels(labels, message):
    with pytest.raises(hsd.HilbertSDError, match=message):
        noisy_labels(labels, 3)


def test_sets_that_do_not_fit_together():
    x, y = np.zeros((4, 2), np.float32), np.zeros(4, np.int64)
    Classification("ok", x, y, y, x, y, 2, {})
    with pytest.raises(hsd.HilbertSDError, match="x_train has 3 points and given 4"):
        Classification("bad", x[:3], y, y[:3], x, y, 2, {})
    with pytest.raises(hsd.HilbertSDError, match=r"y_test\[0\] is 5"):
        Classification("bad", x, y, y, x, y + 5, 2, {})
    with pytest.raises(hsd.HilbertSDError, match="both sets need the same"):
        Classification("bad", x, y, y, x[:, :1], y, 2, {})
    for wrong in (np.nan, -np.inf):
        off = x.copy()
        off[1, 0] = wrong
        for points in ((off, x), (x, off)):
            with pytest.raises(hsd.HilbertSDError, match=r"x_.* not finite"):
                Classification("bad", points[0], y, y, points[1], y, 2, {})
    Classification("no test points", x, y, y, x[:0], y[:0], 2, {})
    with pytest.raises(hsd.HilbertSDError, match="not finite"):  # in float32
        from_arrays([[1e300], [0.0]], [0, 1], train=2)
    with pytest.raises(hsd.HilbertSDError, match="to match the labels"):
        from_arrays(x, y[:3], train=2)
    for labels in (["a", "b", "a", "b"], [0.0, 1.0, np.nan, 1.0]):
        with pytest.raises(hsd.HilbertSDError, match="whole numbers"):
            from_arrays(x, labels, train=2)
    with pytest.raises(hsd.HilbertSDError, match="labels go up to 1000000 with 4 points"):
        from_arrays(x, [0, 1, 10**6, 1], train=2)


@settings(max_examples=10)
@given(SEEDS)
def test_own_arrays_keep_points_and_labels_together(seed):
    labels, classes = random_labels(seed)
    x = np.stack([labels, np.arange(len(labels))], axis=1)
    data = from_arrays(x, labels, train=max(1, len(labels) // 2), classes=classes, seed=seed)
    assert (data.x_train[:, 0] == data.true).all()
    assert (data.x_test[:, 0] == data.y_test).all()
    assert (data.given == data.true).all()


def test_data_sets_load_nothing_heavy():
    code = (
        "import sys, hilbertsd as hsd; hsd.datasets.teacher_student(5, 5); "
        "heavy = {'jax', 'sklearn', 'matplotlib', 'sympy', 'tarfile', 'pickletools'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
