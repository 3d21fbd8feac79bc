"""Teacher-student and multi-view data against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hilbertsd as hsd
from hilbertsd.datasets import multi_view, teacher_student, teacher_targets

SEEDS = st.integers(0, 2**32)
DEVIATIONS = 5.0
"""Standard deviations that a mean may be from its expectation."""
SINGLE = 1e-5
"""Coefficients in float32, relative to 1."""


def test_the_teacher_labels_the_points_alike_whatever_their_number():
    small, large = (teacher_student(n, 10, seed=3, rate=0.2) for n in (50, 200))
    assert (small.x_train == large.x_train[:50]).all()
    assert (small.true == large.true[:50]).all()
    assert (small.x_test == large.x_test).all()
    assert small.changed.sum() == 10
    assert (large.x_train[:10] != large.x_test).all()


def test_the_class_is_the_largest_of_the_teachers_outputs():
    data = teacher_student(300, 5, dimension=6, classes=4, width=30, seed=1)
    x, y = teacher_targets(300, dimension=6, width=30, outputs=4, seed=1)
    assert (x.astype(np.float32) == data.x_train).all()
    assert (y.argmax(axis=1) == data.true).all()
    assert data.settings["class_counts"] == np.bincount(data.true, minlength=4).tolist()


def test_targets_have_the_stated_mean_variance_and_noise():
    quiet, noisy = (teacher_targets(4000, outputs=300, width=40, noise=s) for s in (0.0, 0.5))
    assert (quiet.x == noisy.x).all()
    noise = noisy.y - quiet.y
    assert abs(noise.std() - 0.5) < 0.5 * DEVIATIONS / np.sqrt(2 * noise.size)
    spread = quiet.y.std(axis=0)
    assert (np.abs(quiet.y.mean(axis=0)) < DEVIATIONS * spread / np.sqrt(4000)).all()
    # over 300 outputs of one teacher, up to its 40 first-layer norms
    assert quiet.y.var() == pytest.approx(0.5 - 1 / (2 * np.pi), rel=0.25)
    assert teacher_targets(5).y.shape == (5,)


def test_the_teacher_is_not_linear():
    x, y = teacher_targets(2000, dimension=5, width=200, seed=2)
    linear = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), y, rcond=None)
    assert linear[1][0] / len(x) > 0.1 * y.var()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dimension": 0}, "dimension must be a whole number, 1 or more"),
        ({"width": 0}, "width must be a whole number, 1 or more"),
        ({"classes": 1}, "classes must be a whole number, 2 or more"),
        ({"train": 0}, "train must be a whole number, 1 or more"),
        ({"test": -1}, "test must be a whole number, 0 or more"),
        ({"rate": 2}, "rate must be a number from 0 to 1"),
    ],
)
def test_bad_teachers(arguments, message):
    with pytest.raises(hsd.HilbertSDError, match=message):
        teacher_student(**arguments)
    if "noise" not in arguments:
        with pytest.raises(hsd.HilbertSDError, match="noise must be a number, 0 or more"):
            teacher_targets(noise=-1.0)


def coefficients(data, x):
    """(n, P, Q, 2): every patch along every feature."""
    return np.einsum("npd,qld->npql", x, data.features)


def silent(seed: int, **arguments):
    """Multi-view data without either noise, so that coefficients are z."""
    rng = np.random.default_rng(seed)
    classes, patches_per_feature = int(rng.integers(2, 6)), int(rng.integers(1, 4))
    return multi_view(
        **{
            "train": 60,
            "test": 40,
            "classes": classes,
            "dimension": 2 * classes + int(rng.integers(0, 5)),
            "patches_per_feature": patches_per_feature,
            "patches": patches_per_feature * int(rng.integers(2, 2 * classes + 2)) + 1,
            "single_view_fraction": float(rng.random()),
            "distractor_probability": float(rng.random()) * 0.7,
            "feature_noise": 0.0,
            "noise": 0.0,
            "seed": seed,
        }
        | arguments
    )


@given(SEEDS)
def test_every_point_is_made_as_stated(seed):
    data = silent(seed)
    stated = data.settings
    np.testing.assert_allclose(
        np.einsum("qld,rmd->qlrm", data.features, data.features).reshape((2 * data.classes,) * 2),
        np.eye(2 * data.classes),
        atol=1e-13,
    )
    for x, labels, single, view in (
        (data.x_train, data.true, data.single_train, data.view_train),
        (data.x_test, data.y_test, data.single_test, data.view_test),
    ):
        n = len(x)
        assert single.sum() == round(stated["single_view_fraction"] * n)
        assert ((view >= 0) == single).all()
        counts = np.bincount(labels, minlength=data.classes)
        assert counts.max() - counts.min() <= 1
        z = coefficients(data, x)
        filled = z > SINGLE
        assert (filled.sum(axis=(2, 3)) <= 1).all(), "a patch holds two features"
        assert np.isin(filled.sum(axis=1), (0, stated["patches_per_feature"])).all()
        total = z.sum(axis=1)
        own = total[np.arange(n), labels]
        assert ((own[~single] > 1 - SINGLE) & (own[~single] < 2 + SINGLE)).all()
        strong = own[single, view[single]]
        assert ((strong > 1 - SINGLE) & (strong < 2 + SINGLE)).all()
        np.testing.assert_allclose(
            own[single, 1 - view[single]], stated["weak_strength"], atol=SINGLE
        )
        others = total[~np.eye(data.classes, dtype=bool)[labels]]
        there, most = others[np.abs(others) > SINGLE], stated["distractor_strength"]
        assert ((there > most / 2 - SINGLE) & (there < most + SINGLE)).all()


def test_distractors_views_and_places_are_as_frequent_as_stated():
    p, n = 0.3, 3000
    data = multi_view(
        n, 10, classes=4, dimension=8, patches=20, single_view_fraction=0.5, feature_noise=0,
        noise=0, distractor_probability=p,
    )  # fmt: skip
    assert data.settings["no_room"] == 0
    z = coefficients(data, data.x_train)
    present = np.abs(z.sum(axis=1)) > SINGLE
    present[np.arange(n), data.true] = False
    share, each = present.sum(axis=0) / (n * 3 / 4), n * 3 / 4
    assert np.abs(share - p).max() < DEVIATIONS * np.sqrt(p * (1 - p) / each)
    pairs = present.reshape(n, -1)
    together = (pairs[:, 0] & pairs[:, 2]).sum() / (n / 2)  # features of classes 0 and 1
    assert abs(together - p**2) < DEVIATIONS * np.sqrt(p**2 / (n / 2))
    second = data.view_train[data.single_train].mean()
    assert abs(second - 0.5) < DEVIATIONS * 0.5 / np.sqrt(n / 2)
    taken = (np.abs(z).max(axis=(2, 3)) > SINGLE).mean(axis=0)
    assert np.abs(taken - taken.mean()).max() < DEVIATIONS * 0.5 / np.sqrt(n)


def test_no_room_is_the_law_given_that_there_is_room():
    p = 0.4
    data = multi_view(
        4000, 1, classes=3, dimension=6, patches=4, patches_per_feature=1, weak_strength=0.1,
        feature_noise=0, noise=0, distractor_probability=p,
    )  # fmt: skip
    binomial = np.array([(1 - p) ** 4, 4 * p * (1 - p) ** 3, 6 * p**2 * (1 - p) ** 2])
    assert data.settings["no_room"] == pytest.approx(1 - binomial.sum(), rel=1e-12)
    number = (np.abs(coefficients(data, data.x_train).sum(axis=1)) > SINGLE).sum(axis=(1, 2)) - 2
    share = np.bincount(number, minlength=3) / 4000
    assert np.abs(share - binomial / binomial.sum()).max() < DEVIATIONS * 0.5 / np.sqrt(4000)


def test_noises_are_as_strong_as_stated_and_move_nothing_else():
    arguments = {"train": 400, "test": 5, "classes": 3, "dimension": 12, "seed": 4}
    clean = multi_view(**arguments, feature_noise=0, noise=0)
    featured = multi_view(**arguments, feature_noise=0.3, noise=0)
    alpha = coefficients(clean, featured.x_train - clean.x_train)
    assert alpha.min() > -SINGLE
    assert alpha.max() < 0.3 + SINGLE
    assert abs(alpha.mean() - 0.15) < DEVIATIONS * 0.3 / np.sqrt(12 * alpha.size)
    noisy = multi_view(**arguments, feature_noise=0.3, noise=0.2)
    xi = noisy.x_train - featured.x_train
    assert abs(xi.std() - 0.2) < 0.2 * DEVIATIONS / np.sqrt(2 * xi.size)
    weak = multi_view(**arguments, feature_noise=0, noise=0, weak_strength=0.0)
    assert (weak.x_train[~clean.single_train] == clean.x_train[~clean.single_train]).all()
    for other in (featured, noisy, weak):
        assert (other.true == clean.true).all()
        assert (other.view_train == clean.view_train).all()
        assert (other.features == clean.features).all()


@settings(max_examples=5)
@given(SEEDS)
def test_multi_view_data_are_reproducible(seed):
    one, two = silent(seed, noise=0.1), silent(seed, noise=0.1)
    assert (one.x_train == two.x_train).all()
    assert one.settings == two.settings
    assert (silent(seed, noise=0.1, train=30).x_test == one.x_test).all()


def test_both_features_tell_the_class():
    """The larger of the two features of each class decides, where the distractors are weak."""
    data = multi_view(200, 100, single_view_fraction=0.5, distractor_strength=0.3)
    total = coefficients(data, data.x_test).sum(axis=1)
    assert (total.max(axis=2).argmax(axis=1) == data.y_test).all()
    # one feature alone fails on about half of the single-view points
    one = total[:, :, 0].argmax(axis=1) == data.y_test
    assert one[(data.view_test != 1)].all()
    assert one[data.view_test == 1].mean() < 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dimension": 19}, "dimension must be at least 2 · classes = 20"),
        ({"patches": 3}, "patches must be at least 2 · patches_per_feature = 4"),
        ({"patches": 4, "distractor_probability": 1.0}, "leave room for 0 features"),
        ({"single_view_fraction": 1.1}, "single_view_fraction must be a number from 0 to 1"),
        ({"weak_strength": -0.1}, "weak_strength must be a number, 0 or more"),
        ({"noise": -0.1}, "noise must be a number, 0 or more"),
        ({"feature_noise": float("inf")}, "feature_noise must be .* got inf"),
        ({"patches_per_feature": 0}, "patches_per_feature must be a whole number, 1 or more"),
        ({"classes": 1}, "classes must be a whole number, 2 or more"),
    ],
)
def test_bad_multi_view_settings(arguments, message):
    with pytest.raises(hsd.HilbertSDError, match=message):
        multi_view(**arguments)


def test_many_classes_need_no_large_binomials():
    data = multi_view(5, 5, classes=600, dimension=1200, patches=16, distractor_probability=0.001)
    assert 0 < data.settings["no_room"] < 1
