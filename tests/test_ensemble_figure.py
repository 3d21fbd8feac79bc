"""Students of E teachers on digits: committees, choice of settings, the record and its words."""

from dataclasses import asdict, replace

import numpy as np
import pytest

pytest.importorskip("equinox")
pytest.importorskip("optax")
pytest.importorskip("sklearn")
stats = pytest.importorskip("scipy.stats")
special = pytest.importorskip("scipy.special")

from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402

from hilbertsd import nets  # noqa: E402
from hilbertsd.nets import Activations  # noqa: E402
from paper_figures import fkd_ensembles as figure  # noqa: E402
from paper_figures.publish import FIGURES  # noqa: E402

FLOAT32 = 1e-5
"""Sums of some ten terms in float32, relative to the largest."""


def spread(values):
    """Mean and half width in percent, as the captions have them, by SciPy."""
    half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    return f"{100 * np.mean(values):+.1f} ± {100 * half:.1f}"


def drawn(seed, networks, points=30, width=4, classes=3):
    rng = np.random.default_rng(seed)
    shape = (networks, points)
    return Activations((), rng.normal(size=(*shape, width)), rng.normal(size=(*shape, classes)))


def test_committees_are_means_of_kernels_and_of_predictions():
    said = drawn(0, 4)
    found = figure.committees(said, (1, 2, 4), temperature=3.0)
    assert found.features.shape == (3, 30, 16)
    for i, size in enumerate((1, 2, 4)):
        kernel = np.mean([F @ F.T for F in said.features[:size]], axis=0)
        scale = np.abs(kernel).max()
        np.testing.assert_allclose(
            found.features[i] @ found.features[i].T, kernel, atol=FLOAT32 * scale
        )
        mean = special.softmax(said.outputs[:size] / 3, axis=-1).mean(0)
        np.testing.assert_allclose(
            special.softmax(found.outputs[i] / 3, axis=-1), mean, rtol=FLOAT32
        )


def test_students_are_compared_with_their_own_committee():
    student, committee = drawn(1, 2), drawn(2, 2)
    labels = np.arange(30) % 3
    found = figure.compared(student, committee, labels)
    for i in (0, 1):
        F, G = (one.features[i] - one.features[i].mean(0) for one in (student, committee))
        norms = np.linalg.norm(F.T @ F) * np.linalg.norm(G.T @ G)
        assert found["cka"][i] == pytest.approx(np.linalg.norm(F.T @ G) ** 2 / norms, rel=1e-12)
        first, aim = (one.outputs[i].argmax(-1) for one in (student, committee))
        assert found["agreement"][i] == pytest.approx((first == aim).mean())
        assert found["accuracy"][i] == pytest.approx((first == labels).mean())
    one = Activations((), student.features[:1], student.outputs[:1])
    several = figure.compared(one, committee, labels)
    assert several["cka"][0] == found["cka"][0]
    assert several["accuracy"] == [found["accuracy"][0]] * 2
    assert figure.compared(committee, committee, labels)["agreement"] == [1, 1]


def test_the_regulariser_is_beside_the_weight_of_fkd():
    objective = figure.Method("fkd", 30.0, regulariser=1e-3).term
    assert objective.weight * dict(objective.settings)["norm_weight"] == pytest.approx(1e-3)
    assert dict(figure.Method("kd", 2.0, temperature=3.0).term.settings) == {"temperature": 3.0}


def test_the_best_candidate_of_other_repetitions_is_taken(tmp_path, monkeypatch):
    asked = []

    def planted(setting, repetition, methods, sizes, **common):
        asked.append((repetition, set(methods)))
        best = {"KD": 2, "FKD": 5, "FKD without regulariser": 1}

        def value(name):
            kind, _, number = name.rpartition(" ")
            return 0.9 if best.get(kind) == (int(number) if number.isdigit() else None) else 0.5

        names = {"alone", "committee"} | set(methods)
        return {
            name: dict.fromkeys(("accuracy", "cka", "agreement"), [value(name)] * len(sizes))
            for name in names
        }

    monkeypatch.setattr(figure, "run", planted)
    data = figure.measure(repetitions=(0, 1), validation=(7, 8), folder=tmp_path)
    for chosen in data.chosen.values():
        assert chosen["KD"] == asdict(figure.CANDIDATES["KD"][2])
        assert chosen["FKD"] == asdict(figure.CANDIDATES["FKD"][5])
    assert [r for r, _ in asked] == [7, 8, 7, 8, 0, 1, 0, 1]
    assert asked[-1][1] == set(figure.METHODS) - {"alone", "committee"}
    assert data.accuracy.shape == (2, len(figure.METHODS), 2, 4)


def test_an_interrupted_run_goes_on(tmp_path, monkeypatch):
    asked = []

    def interrupted(setting, repetition, methods, sizes, **common):
        asked.append(repetition)
        if len(asked) == 4:
            raise KeyboardInterrupt
        names = {"alone", "committee"} | set(methods)
        fields = ("accuracy", "cka", "agreement")
        return {
            name: {field: [float(repetition)] * len(sizes) for field in fields} for name in names
        }

    monkeypatch.setattr(figure, "run", interrupted)
    some = dict(list(figure.SETTINGS.items())[:1])
    with pytest.raises(KeyboardInterrupt):
        figure.measure(some, (0, 1, 2), (7, 8), folder=tmp_path)
    data = figure.measure(some, (0, 1, 2), (7, 8), folder=tmp_path)
    assert asked == [7, 8, 0, 1, 1, 2]
    assert data.accuracy[0, 0, :, 0].tolist() == [0, 1, 2]


def test_a_small_run(monkeypatch):
    monkeypatch.setattr(
        figure, "_network", lambda channels: lambda key: nets.mlp((1, 8, 8), 10, (6,), key=key)
    )
    fkd = asdict(figure.Method("fkd", 10.0))
    methods = {"FKD": fkd, "FKD, untrained teachers": fkd | {"trained": False}}
    pace = asdict(replace(figure.TRAINING, steps=20, check_every=20))
    setting = {"train": 40, "rate": 0.2, "learning_rate": 0.01}
    found = figure.run(setting, 5, methods, (1, 2), pace, (4, 8))
    assert set(found) == {"alone", "committee", *methods}
    for values in found.values():
        assert np.shape(list(values.values())) == (3, 2)
        assert np.isfinite(list(values.values())).all()
    assert found["alone"]["accuracy"][0] == found["alone"]["accuracy"][1]
    assert min(found["committee"]["cka"]) > 1 - FLOAT32
    close, far = (np.array(found[name]["cka"]) for name in methods)
    assert (close > far).all()  # students come near the committee that they were shown
    assert (close > found["alone"]["cka"]).all()


@pytest.fixture(scope="module")
def data():
    return figure.compute()


def test_the_record_is_of_the_settings_in_the_code(data):
    assert data.settings == figure.SETTINGS
    assert data.training == asdict(figure.TRAINING)
    assert (data.sizes, data.channels) == (list(figure.SIZES), list(figure.CHANNELS))
    assert data.methods == list(figure.METHODS)
    assert data.repetitions == list(figure.REPETITIONS)
    assert not set(figure.REPETITIONS) & set(figure.VALIDATION)
    for setting, tried in data.validation.items():
        for name, rows in tried.items():
            assert np.shape(rows) == (len(figure.CANDIDATES[name]), len(figure.VALIDATION))
            best = figure.CANDIDATES[name][int(np.argmax(np.mean(rows, axis=1)))]
            assert data.chosen[setting][name] == asdict(best)


def test_gains_are_paired_differences(data):
    words = figure.caption(data)
    for letter, setting in zip("ab", data.settings, strict=True):
        found = figure.of(data, setting)
        for name in ("committee", "KD", "FKD", figure.RANDOM, figure.REGULARISED):
            gain = found[name] - found["alone"]
            row = " | ".join(spread(column) for column in gain.T)
            assert f"| ({letter}) {name} | {row} |" in words
        less = " | ".join(spread(column) for column in (found["FKD"] - found["KD"]).T)
        assert f"| ({letter}) FKD less KD | {less} |" in words
    assert "| published FKD | +1.65 | +2.50 | +2.85 | +3.05 | +1.40 |" in words
    assert "| published KD | +1.10 | +2.15 | +2.60 | +2.85 | +1.75 |" in words
    written = (FIGURES / f"{figure.NAME}.md").read_text(encoding="utf-8")
    assert written.split() == words.split()


def test_verdicts_follow_the_intervals(data):
    blank = np.random.default_rng(0).normal(0.5, 0.01, size=data.accuracy.shape)
    fkd, kd = (figure.METHODS.index(name) for name in ("FKD", "KD"))
    shifted = blank.copy()
    shifted[0, fkd, :, 1] = shifted[0, kd, :, 1] + np.linspace(0.1, 0.2, blank.shape[2])
    shifted[0, fkd, :, 3] = shifted[0, kd, :, 3] - np.linspace(0.1, 0.2, blank.shape[2])
    shifted[0, fkd, :, ::2] = shifted[0, kd, :, ::2]
    words = figure.verdict(replace(data, accuracy=shifted), next(iter(data.settings)), "a")
    assert "FKD is clearly above KD for E = 2, clearly below it for E = 8." in words


def test_texts_stay_inside_the_figure(data):
    made = figure.plot(data)
    FigureCanvasAgg(made)
    box, (width, height) = made.get_tightbbox(), made.get_size_inches()
    assert min(box.x0, box.y0) >= -0.01
    assert box.x1 <= width + 0.01
    assert box.y1 <= height + 0.01
