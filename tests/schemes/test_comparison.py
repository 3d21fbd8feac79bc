"""Objectives compared: seed by seed on the same starts, kept as they are finished."""

import dataclasses

import numpy as np
import pytest

jax = pytest.importorskip("jax")
eqx = pytest.importorskip("equinox")
pytest.importorskip("optax")

from small import DATA, TRAINING, images, large, small  # noqa: E402

from hilbertsd import schemes  # noqa: E402
from hilbertsd.errors import HilbertSDError  # noqa: E402
from hilbertsd.nets import mlp  # noqa: E402
from hilbertsd.report.objectives import ACCENT, figure, gains, interval, text  # noqa: E402
from hilbertsd.schemes import compare_objectives, comparison, suggested, term  # noqa: E402

TERMS = {"kd": (term("kd", 1.0),), "nothing": (term("sp", 0.0),)}


def fewer(key):
    return mlp((1, 8, 8), 9, (6,), key=key)


def otherwise(key):
    return mlp((1, 8, 8), 10, (6,), parametrization="ntk", key=key)


def compared(folder=None, terms=TERMS, training=TRAINING):
    return compare_objectives(large, small, DATA, terms, training, seeds=[0, 1], folder=folder)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparison")
    return folder, compared(folder)


def test_students_differ_by_their_terms_alone(finished):
    _, found = finished
    assert list(found.accuracy) == ["teacher", "alone", "kd", "nothing"]
    assert all(v.shape == (2,) for v in found.accuracy.values())
    np.testing.assert_array_equal(found.accuracy["nothing"], found.accuracy["alone"])
    teacher = schemes.distill(
        large, DATA, None, schemes.Recipe((), TRAINING), seeds=[0, 1], stream=comparison.TEACHERS
    )
    said = schemes.observe(teacher.model, teacher.state, DATA.x_train)
    student = schemes.distill(
        small, DATA, said, schemes.Recipe(TERMS["kd"], TRAINING), seeds=[0, 1]
    )
    expected = schemes.accuracy(student.model, student.state, DATA)
    np.testing.assert_array_equal(found.accuracy["kd"], expected)


def test_what_is_finished_is_not_trained_again(finished, monkeypatch):
    folder, found = finished
    trained = []
    real = comparison.distill

    def counted(make, data, teacher, recipe, **settings):
        trained.append([one.objective for one in recipe.terms])
        return real(make, data, teacher, recipe, **settings)

    monkeypatch.setattr(comparison, "distill", counted)
    again = compared(folder)
    assert trained == []
    for name, values in found.accuracy.items():
        np.testing.assert_array_equal(again.accuracy[name], values)
    compared(folder, TERMS | {"kd": (term("kd", 2.0),)})  # another weight
    assert trained == [[], ["kd"]]  # the teacher, and what is new
    with pytest.raises(HilbertSDError, match=r"training\.steps was 7, now 8.*Take another folder"):
        compared(folder, training=dataclasses.replace(TRAINING, steps=8))
    with pytest.raises(HilbertSDError, match="the student's networks start otherwise"):
        compare_objectives(large, otherwise, DATA, TERMS, TRAINING, seeds=[0, 1], folder=folder)
    (folder / "nothing.json").write_text("{", encoding="utf-8")
    with pytest.raises(HilbertSDError, match="damaged"):
        compared(folder)


@pytest.mark.parametrize("name", ["../out", "/absolute", "a/b", "a\\b", "x\0y", "", "..", 3])
def test_names_that_are_no_files_are_refused(name, tmp_path):
    with pytest.raises(HilbertSDError, match="cannot be a name of terms"):
        compared(tmp_path / "kept", {name: (term("kd"),)})
    assert not any(tmp_path.iterdir())


def test_wrong_comparisons_are_refused(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(HilbertSDError, match="cannot be the folder"):
        compared(tmp_path / "file", {})
    with pytest.raises(HilbertSDError, match="differ by more than case"):
        compared(terms={"kd": (), "KD": ()})
    with pytest.raises(HilbertSDError, match="cannot be called 'comparison'"):
        compared(terms={"Comparison": ()})
    with pytest.raises(HilbertSDError, match="cannot be called 'alone'"):
        compared(terms={"alone": ()})
    with pytest.raises(HilbertSDError, match="seeds must be different"):
        compare_objectives(large, small, DATA, {}, seeds=[1, 1])


def test_what_the_shapes_forbid_is_refused_before_training(monkeypatch, tmp_path):
    def trained(*_, **__):
        raise AssertionError("nothing may be trained")

    monkeypatch.setattr(comparison, "distill", trained)
    folder = tmp_path / "kept"
    for teacher, student, one, words in (
        (large, small, term("at"), "at compares maps"),
        (images, images, term("vid", teacher_stage=0), r"teacher \(8, 4, 4, 4\)"),  # in the loss
        (images, images, term("sp", student_stage=5), "stage 5 of a network with 2 maps"),
        (fewer, small, term("kd"), "has 9 outputs and data 10 classes"),
    ):
        with pytest.raises(HilbertSDError, match=words):
            compare_objectives(
                teacher, student, DATA, TERMS | {"one": (one,)}, TRAINING, folder=folder
            )
        assert not folder.exists()


def test_names_stand_for_their_suggested_terms(monkeypatch):
    made = []

    def trained(make, data, teacher, recipe, **settings):
        made.append(recipe.terms)
        raise KeyboardInterrupt

    monkeypatch.setattr(comparison, "distill", trained)
    monkeypatch.setattr(comparison, "_require_fitting", lambda *found: made.append(found[-1]))
    with pytest.raises(KeyboardInterrupt):
        compare_objectives(large, small, DATA, ["fkd", "kd"], TRAINING)
    recipes = made[0]
    assert list(recipes) == ["alone", "fkd", "kd"]
    assert recipes["fkd"].terms == (suggested("fkd"),)
    for wrong in ("kd", ["kd", "kd"], [], [term("kd")], 3):
        with pytest.raises(HilbertSDError, match="terms must be a mapping"):
            compare_objectives(large, small, DATA, wrong, TRAINING)


def test_the_result_has_its_gains(finished):
    _, found = finished
    assert list(found.gains) == ["kd", "nothing"]
    assert found.gains["nothing"] == (0, 0)
    assert not found.gains["nothing"].clear
    assert found.gains["kd"] == gains(found.accuracy)["kd"]


def test_suggested_terms_are_known_ones():
    assert suggested("kd", 7.0).weight == 7.0
    for name in comparison.WEIGHTS:
        assert suggested(name).weight == comparison.WEIGHTS[name] > 0
    with pytest.raises(HilbertSDError, match="no weight was ever chosen for 'at'"):
        suggested("at")
    with pytest.raises(HilbertSDError, match="there is no objective 'fdk'"):
        suggested("fdk")


def test_intervals_are_students():
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(0).normal(size=9)
    found = interval(values)
    low, high = stats.t.interval(0.95, 8, values.mean(), stats.sem(values))
    assert found.mean - found.half == pytest.approx(low, rel=1e-10)
    assert found.mean + found.half == pytest.approx(high, rel=1e-10)
    assert np.isnan(interval([0.5]).half)
    assert not interval([0.5]).clear  # one seed shows nothing


def test_gains_are_taken_seed_by_seed():
    alone = np.array([0.5, 0.7, 0.9])
    accuracy = {"teacher": alone, "alone": alone, "fkd": alone + np.array([0.01, 0.012, 0.011])}
    gain = gains(accuracy)["fkd"]
    assert gain.clear  # though accuracies overlap widely
    assert gain.mean == pytest.approx(0.011)
    shown = text(accuracy, {"fkd": "3 fkd"}, {"data": "digits"})
    assert "+1.1 ± 0.2" in shown
    assert "3 of 3" in shown
    assert "above: fkd. Below: none." in " ".join(shown.split())


def test_the_figure_says_what_its_marks_are():
    alone = np.array([0.5, 0.7, 0.9])
    accuracy = {"teacher": alone, "alone": alone, "sp": alone[::-1]}
    for extra, known in (({}, 2), ({"fkd": alone + np.array([0.01, 0.012, 0.011])}, 3)):
        drawn = figure(accuracy | extra, title="digits")
        (legend,) = drawn.legends
        said = [words.get_text() for words in legend.get_texts()]
        assert said[:2] == ["a seed", "mean and 95 % interval"]
        assert len(said) == known
        colors = [line.get_color() for line in drawn.axes[1].lines]
        assert (ACCENT in colors) == ("zero outside the interval" in said) == (known == 3)
