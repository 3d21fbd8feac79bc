"""The multi-view experiment on planted networks and kernels, and its figures from small runs."""

import json
from dataclasses import asdict, fields

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("equinox")
jnp = jax.numpy

from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402

from hilbertsd.nets import patch_network  # noqa: E402
from paper_figures import fkd_multi_view, multi_view_regimes  # noqa: E402
from paper_figures.multi_view import (  # noqa: E402
    Setting,
    activations,
    by_feature,
    changed,
    committee_kernels,
    committee_outputs,
    fit,
    measure,
    member,
    objective,
    problem,
    recognition,
    start,
)
from paper_figures.resumed import each, forget  # noqa: E402

FLOAT32 = 1e-5
"""Sums of some hundred terms in float32, relative."""
PLANTED = Setting(classes=4, dimension=24, samples=40, distractors=0.3, threshold=1.0)
SMALL = Setting(classes=3, dimension=12, samples=24, width=2, scale=0.3, steps=4)


def planted(features, strength=6.0):
    """A network with one unit a row of features (k, m, d)."""
    k, m, d = features.shape
    model, state = patch_network(d, k, m, threshold=1.0, key=jax.random.key(0))
    weights = jnp.asarray(strength * features, jnp.float32)[None]
    return type(model)(weights, model.q, model.threshold), state


@pytest.fixture(scope="module")
def data():
    return problem(PLANTED, seed=3, test=400)


def test_detectors_of_all_features_make_no_error(data):
    found = measure(planted(data.features), data)
    assert not found.errors.any()
    assert not found.multi_view_error.any()
    assert found.fitted.tolist() == [1.0]
    np.testing.assert_allclose(found.scores[0], 6.0, rtol=FLOAT32)


@pytest.mark.parametrize("view", [0, 1])
def test_detectors_of_one_feature_err_on_the_other(view):
    data = problem(changed(PLANTED, weak=0.0, classes=8), seed=4, test=800)
    found = measure(planted(data.features[:, [view]]), data)
    assert not found.multi_view_error.any()
    assert not found.errors[0, :, view].any()
    # a sample without its class's feature is right by chance, where no distractor speaks
    assert (found.errors[0, :, 1 - view] > 0.75).all()
    assert found.missed[0].tolist() == [[view == 1, view == 0]] * 8
    assert found.miss_rate[0] == pytest.approx(found.errors.mean())


def test_test_samples_show_what_they_should(data):
    strength = np.einsum("npd,kld->nkl", data.x_single, data.features)
    own = strength[np.arange(len(data.y_single)), data.y_single]
    rows = np.arange(len(own))
    assert own[rows, data.view].min() > 0.4
    assert own[rows, 1 - data.view].mean() == pytest.approx(PLANTED.weak, abs=0.05)
    per_feature = by_feature(np.ones((1, len(own))), data)
    assert per_feature.shape == (1, 4, 2)
    assert (per_feature == 1).all()


def test_a_committees_kernel_and_outputs_are_means(data):
    networks = start(PLANTED, 3, seed=0)
    h, z = (np.asarray(a) for a in activations(networks, data.x))
    kernels = committee_kernels(networks, data.x, (1, 3))
    np.testing.assert_allclose(kernels[0], h[0] @ h[0].T, rtol=FLOAT32, atol=1e-7)
    side_by_side = np.concatenate(list(h), axis=1) / np.sqrt(3)
    scale = np.abs(kernels[1]).max()
    np.testing.assert_allclose(kernels[1], side_by_side @ side_by_side.T, atol=FLOAT32 * scale)
    outputs = committee_outputs(networks, data.x, (1, 3))
    np.testing.assert_allclose(outputs[1], z.mean(0), rtol=FLOAT32)


def test_a_committee_of_one_feature_each_recognises_both(data):
    one, other = (planted(data.features[:, [view]]) for view in (0, 1))
    committee = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), one[0], other[0]), one[1]
    kernels = committee_kernels(committee, data.x_single, (1, 2))
    first, union = (recognition(kernel, data) for kernel in kernels)
    assert (first[:, 0] > 0.95).all()
    assert (first[:, 1] < 0.9).all()
    assert (union > 0.95).all()


def test_recognition_of_planted_kernels(data):
    n = len(data.y_single)
    feature = 2 * data.y_single + data.view
    knows = (feature[:, None] == feature).astype(float) + 1e-3 * np.eye(n)
    assert (recognition(knows, data) == 1).all()
    np.testing.assert_allclose(recognition(np.ones((n, n)), data), 0.5)
    rng = np.random.default_rng(0)
    h = rng.normal(size=(n, 200))
    assert np.abs(recognition(h @ h.T, data) - 0.5).max() < 0.1


def test_networks_of_a_seed_are_the_same_however_many():
    networks = start(SMALL, 3, seed=1)
    two, three = start(SMALL, 2, seed=1)[0].weights, np.asarray(networks[0].weights)
    np.testing.assert_array_equal(two, three[:2])
    assert not (three[1] == three[2]).any()
    np.testing.assert_array_equal(member(networks, [2, 2])[0].weights, three[[2, 2]])


def test_one_step_of_descent_is_the_gradient_of_the_loss():
    step = changed(SMALL, steps=1, momentum=0.0, learning_rate=0.5)
    data, networks = problem(step, 0, 6), start(step, 2, 0)
    teacher = committee_kernels(start(step, 1, 9), data.x, (1, 1))
    done = fit(step, networks, data, objective("correlation", 2.0, 0.1), teacher)

    @jax.jit
    @jax.grad
    def gradient(weights):  # written out, without the objectives' functions
        z = data.x @ weights.reshape(-1, step.dimension).T
        units = jnp.where(z < 2, jnp.maximum(z, 0) ** 4 / 32, z - 1.5)
        h = units.sum(1)
        outputs = h.reshape(len(h), step.classes, -1).sum(2)
        rows = jnp.arange(len(h))
        entropy = -jax.nn.log_softmax(outputs)[rows, data.y].mean()
        unit, target = h / jnp.linalg.norm(h, axis=1)[:, None], teacher[0]
        norms = np.sqrt(np.diag(target))
        gap = unit @ unit.T - target / norms / norms[:, None]
        pairs = len(h) * (len(h) - 1)
        return entropy + 2 * (gap**2).sum() / pairs + 0.1 * (h**2).sum(1).mean()

    for before, after in zip(networks[0].weights, done[0].weights, strict=True):
        moved = -0.5 * gradient(before)
        assert jnp.isfinite(moved).all()
        error = jnp.abs(after - before - moved).max()
        assert float(error) < 1e-3 * float(jnp.abs(moved).max())


def test_label_noise_changes_training_labels_alone():
    clean, noisy = (problem(changed(SMALL, label_noise=rate), 1, 12) for rate in (0.0, 0.5))
    assert (clean.x == noisy.x).all()
    assert (clean.y != noisy.y).any()
    assert (clean.y_single == noisy.y_single).all()


def test_finished_parts_survive_an_interruption(tmp_path):
    asked = []

    def measured(number):
        asked.append(number)
        if number == 3 and asked.count(3) == 1:
            raise KeyboardInterrupt
        return {"square": number**2}

    parts = [{"number": n} for n in (1, 2, 3)]
    with pytest.raises(KeyboardInterrupt):
        each("squares", parts, measured, tmp_path)
    assert [row["square"] for row in each("squares", parts, measured, tmp_path)] == [1, 4, 9]
    assert asked == [1, 2, 3, 3]
    forget("squares", tmp_path)
    assert each("squares", parts[:1], measured, tmp_path) == [{"square": 1}]
    assert asked == [1, 2, 3, 3, 1]


def inside(figure):
    FigureCanvasAgg(figure)
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    return min(box.x0, box.y0) >= -0.01 and box.x1 <= width + 0.01 and box.y1 <= height + 0.01


def test_the_search_over_regimes_small(tmp_path, monkeypatch):
    monkeypatch.setattr(multi_view_regimes, "Setting", lambda: SMALL)
    asked = [
        {"factor": "weak", "value": 0.1, "changes": {}},
        {"factor": "weak", "value": 0.4, "changes": {"weak": 0.4}},
        {"factor": "other", "value": "same as before", "changes": {"weak": 0.4}},
    ]
    data = multi_view_regimes.compute(asked, seeds=(1,), networks=2, folder=tmp_path)
    assert data.errors.shape == data.scores.shape == data.start_scores.shape == (2, 3, 2)
    assert data.regimes[1]["miss_rate"] == data.regimes[2]["miss_rate"]
    assert len(list(tmp_path.rglob("output.pkl"))) == 2
    np.testing.assert_allclose(data.regimes[0]["miss_rate"], data.errors.mean((1, 2)))
    json.dumps(data.regimes)


def test_students_small(tmp_path, monkeypatch):
    variants = {"alone, regularised": fkd_multi_view.VARIANTS["alone, regularised"]}
    methods = {name: fkd_multi_view.METHODS[name] for name in ("FKD", "alone")}
    monkeypatch.setattr(fkd_multi_view, "VARIANTS", variants)
    monkeypatch.setattr(fkd_multi_view, "METHODS", methods)
    data = fkd_multi_view.compute(
        (1,), 1, SMALL, steps=(2, 4), sizes=(1, 2), test=48, folder=tmp_path
    )
    assert data.miss_rate.shape == (1, 2, 2, 2)
    assert data.variant_miss_rate.shape == (1, 1, 2, 2)
    assert data.alone_errors.shape == (1, 3, 3, 2)
    alone = data.miss_rate[:, 1]
    assert (alone[..., 0] == alone[..., 1]).all()  # without a teacher E does not matter
    np.testing.assert_allclose(data.student_errors.mean((2, 3)), data.miss_rate[:, 0, -1])
    np.testing.assert_allclose(  # a committee of one is its member
        data.committee[:, 0], data.alone_errors[:, 0].mean((1, 2))
    )
    np.testing.assert_allclose(data.recognition_committee[:, 0], data.recognition_alone[:, 0])
    assert (np.diff(fkd_multi_view.unseen(data), axis=1) <= 0).all()
    assert data.setting == asdict(SMALL)


def test_what_students_learn_and_keep():
    own, teacher, student = [[0.0, 1.0]] * 2, [[1.0, 0.0]] * 2, [[0.9, 0.1], [0.2, 0.7]]
    errors = np.array([[teacher, own]])
    zeros = np.zeros((1, 1))
    blank = dict.fromkeys((f.name for f in fields(fkd_multi_view.Students)), zeros)
    data = fkd_multi_view.Students(
        **blank | {"alone_errors": errors, "student_errors": np.array([[student]]), "sizes": [1]}
    )
    moved = fkd_multi_view.transfer(data)
    assert moved["learned"] == [0.5]  # the second feature of the first class, of two
    assert moved["kept"] == [0.5]
    assert np.isnan(moved["shared"]).all()
    assert fkd_multi_view.unseen(data).tolist() == [[0.0]]


def test_intervals_are_students():
    values = np.array([1.0, 2.0, 4.0])[:, None]
    mean, width = fkd_multi_view.interval(values)
    assert mean[0] == pytest.approx(7 / 3)
    assert width[0] == pytest.approx(4.302653 * values.std(ddof=1) / np.sqrt(3), rel=1e-6)


@pytest.mark.parametrize("module", [multi_view_regimes, fkd_multi_view])
def test_the_recorded_figures(module):
    kind = {"multi_view_regimes": "Regimes", "fkd_multi_view": "Students"}[module.NAME]
    from paper_figures.recorded import RESULTS, read

    path = RESULTS / f"{module.NAME}.json"
    if not path.exists():
        pytest.skip("nothing is recorded here")
    data = read(path, getattr(module, kind))
    assert inside(module.plot(data))
    assert data.setting == asdict(Setting()), "the record is of another default setting"
