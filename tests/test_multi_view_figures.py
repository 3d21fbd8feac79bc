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
from paper_figures import fkd_multi_view, multi_view_regimes, multi_view_students  # noqa: E402
from paper_figures.multi_view import (  # noqa: E402
    TOWARDS_THEORY,
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
from paper_figures.recorded import RESULTS, read  # noqa: E402
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
    variants = {"alone, regularised": multi_view_students.VARIANTS["alone, regularised"]}
    methods = {name: multi_view_students.METHODS[name] for name in ("FKD", "alone")}
    monkeypatch.setattr(multi_view_students, "VARIANTS", variants)
    monkeypatch.setattr(multi_view_students, "METHODS", methods)
    data = multi_view_students.compute(
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
    assert (np.diff(multi_view_students.unseen(data), axis=1) <= 0).all()
    assert data.setting == asdict(SMALL)


def test_what_students_learn_and_keep():
    own, teacher, student = [[0.0, 1.0]] * 2, [[1.0, 0.0]] * 2, [[0.9, 0.1], [0.2, 0.7]]
    errors = np.array([[teacher, own]])
    zeros = np.zeros((1, 1))
    blank = dict.fromkeys((f.name for f in fields(multi_view_students.Students)), zeros)
    data = multi_view_students.Students(
        **blank | {"alone_errors": errors, "student_errors": np.array([[student]]), "sizes": [1]}
    )
    moved = multi_view_students.transfer(data)
    assert moved["learned"] == [0.5]  # the second feature of the first class, of two
    assert moved["kept"] == [0.5]
    assert np.isnan(moved["shared"]).all()
    assert multi_view_students.unseen(data).tolist() == [[0.0]]


def test_what_is_learned_of_what_how_many_know():
    know = np.array([[1, 1], [1, 0], [0, 0]], dtype=bool)  # by class and feature: two teachers,
    other, own = np.array([[1, 0], [1, 0], [0, 0]], dtype=bool), np.zeros((3, 2), dtype=bool)
    student = np.array([[[1, 0], [0, 0], [0, 0]], [[1, 1], [0, 0], [0, 1]]], dtype=bool)
    zeros = np.zeros((1, 1))
    blank = dict.fromkeys((f.name for f in fields(multi_view_students.Students)), zeros)
    errors = 1.0 - np.array([[know, other, own]])
    data = multi_view_students.Students(
        **blank | {"alone_errors": errors, "student_errors": 1.0 - student[None], "sizes": [1, 2]}
    )
    (one, after_one), (two, after_two) = multi_view_students.learned(data)
    assert one.tolist() == [3, 3]
    np.testing.assert_allclose(after_one, [0, 1 / 3])
    assert two.tolist() == [3, 1, 2]
    np.testing.assert_allclose(after_two, [1 / 3, 1, 1 / 2])


def test_intervals_are_students():
    values = np.array([1.0, 2.0, 4.0])[:, None]
    mean, width = multi_view_students.interval(values)
    assert mean[0] == pytest.approx(7 / 3)
    assert width[0] == pytest.approx(4.302653 * values.std(ddof=1) / np.sqrt(3), rel=1e-6)


def test_the_clearest_regime_is_the_searchs(monkeypatch):
    asked = []
    monkeypatch.setattr(multi_view_students, "compute", lambda **given: asked.append(given))
    multi_view_students.compute_clearest()
    search = read(RESULTS / "multi_view_regimes.json", multi_view_regimes.Regimes)
    tried = [r for r in search.regimes if min(r["fitted"]) >= multi_view_regimes.FITTED]
    most = max(tried, key=lambda regime: np.mean(regime["miss_rate"]))
    multi_view_students.compute_longer()
    assert [one["setting"] for one in asked] == [changed(Setting(), **most["changes"])] * 2
    assert [one["record"] for one in asked] == [fkd_multi_view.CLEAREST, fkd_multi_view.LONGER]


def test_the_recorded_search():
    data = read(RESULTS / "multi_view_regimes.json", multi_view_regimes.Regimes)
    assert inside(multi_view_regimes.plot(data))
    assert data.setting == asdict(Setting()), "the record is of another default setting"


@pytest.fixture(scope="module")
def recorded_students():
    names = (fkd_multi_view.NAME, fkd_multi_view.CLEAREST, fkd_multi_view.LONGER)
    return [read(RESULTS / f"{name}.json", multi_view_students.Students) for name in names]


def test_the_recorded_students(recorded_students):
    data, clearest, longer = recorded_students
    assert inside(fkd_multi_view.plot(*recorded_students))
    assert data.setting == asdict(Setting()), "the record is of another default setting"
    assert clearest.setting == asdict(changed(Setting(), **TOWARDS_THEORY))
    assert data.methods == clearest.methods == longer.methods
    assert data.sizes == clearest.sizes == longer.sizes
    assert data.seeds == clearest.seeds
    assert clearest.setting == longer.setting
    assert (longer.alone_errors == clearest.alone_errors[: len(longer.seeds)]).all()
    for of in recorded_students:
        assert of.multi_view_error.max() <= 1 / 400, "the page says: at most one sample of 400"
        last = of.miss_rate[:, list(of.methods).index("FKD"), -1]
        np.testing.assert_allclose(of.student_errors.mean((2, 3)), last)


def test_students_of_one_size_are_drawn_beside_each_other(recorded_students):
    figure = fkd_multi_view.plot(*recorded_students)
    for axes in figure.axes[:2]:
        drawn = [line for line in axes.get_lines() if line.get_marker() in ("^", "s", "D", "x")]
        lines = [line for line in drawn if line.get_markerfacecolor() != "white"]
        at = np.log2([np.asarray(line.get_xdata())[0] for line in lines])
        assert len(lines) == 4
        assert np.diff(np.sort(at)).min() > 0.1


def test_the_captions_tables_hold_the_records_rates(recorded_students):
    caption = fkd_multi_view.caption(*recorded_students)
    tables = [part for part in caption.split("\n\n") if part.startswith("| teachers")]
    data, clearest, longer = recorded_students
    for of, text, name in (
        (data, tables[0], "FKD"),
        (clearest, tables[1], "FKD"),
        (longer, tables[1], f"FKD after {longer.steps[-1]} steps"),
    ):
        row = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
        found = [float(cell.split(" ± ")[0]) for cell in row.split("|")[2:-1]]
        np.testing.assert_allclose(found, of.student_errors.mean((0, 2, 3)), atol=6e-4)
