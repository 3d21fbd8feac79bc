"""Figures of trained networks: what is recorded, drawn and said, and small measurements."""

import dataclasses
import importlib
import json

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from hilbertsd.nets.checkpoint import digest
from paper_figures import network_chains, network_figure, tangent_spectrum
from paper_figures.__main__ import CHAINS
from paper_figures.network_chains import MEASURED, Curves, recorded_as, settings
from paper_figures.publish import FIGURES
from paper_figures.recorded import RESULTS, read

FIGURE = {name: importlib.import_module(f"paper_figures.{name}").FIGURE for name in CHAINS}


@pytest.fixture
def small():
    """The first setting of figure 4, made small."""
    setting = settings()["squared"]
    return dataclasses.replace(
        setting,
        data=lambda: setting.data.func(80, **setting.data.keywords),
        make=lambda shape, classes, key: network_chains.nets.mlp(shape, classes, (8,), key=key),
        training=setting.training | {"steps": 12, "batch": None},
        rounds=1,
        seeds=2,
    )


def curves(test_accuracy, **changed):
    """Made-up curves of ten seeds that differ a little."""
    wobble = 1e-3 * np.random.default_rng(0).standard_normal((len(test_accuracy), 10))
    tested = np.asarray(test_accuracy, dtype=float)[:, None] + wobble
    values = dict.fromkeys(MEASURED, tested) | changed
    return Curves(**values, network="", data={}, settings={})


# --- what is recorded, and what the captions say of it


@pytest.mark.parametrize("name", settings())
def test_what_is_recorded_is_the_setting(name):
    found = read(RESULTS / f"{recorded_as(name)}.json", Curves)
    setting = settings()[name]
    shape = (setting.rounds + 1, setting.seeds)
    assert setting.seeds == 10
    assert setting.rounds >= 10
    for curve in MEASURED:
        assert getattr(found, curve).shape == shape
        assert np.isfinite(getattr(found, curve)).all()
    assert found.settings["labels"] == setting.labels
    assert setting.training.items() <= found.settings["training"].items()
    data = setting.data()
    arrays = (data.x_train, data.given, data.true, data.x_test, data.y_test)
    assert found.data == data.settings | {"digest": digest(*arrays)}
    assert (found.controls is not None) == setting.controls


@pytest.mark.parametrize("name", CHAINS)
def test_the_captions_are_current_and_their_numbers_are_the_record_s(name):
    figure = FIGURE[name]
    caption = figure.caption(figure.compute())
    published = (FIGURES / f"{name}.md").read_text(encoding="utf-8")
    assert published.split() == caption.split()
    rows = [line.strip("| ").split(" | ") for line in caption.splitlines() if line[:1] == "|"]
    said = {name: values for name, *values in rows}
    for i, part in enumerate(figure.parts):
        text = (RESULTS / f"{recorded_as(part)}.json").read_text(encoding="utf-8")
        record = json.loads(text)["data"]["test_accuracy"]
        tested = np.reshape(record["values"], record["shape"])
        best = max(range(len(tested)), key=lambda t: sum(tested[t]))
        shown = [
            f"{np.mean(tested[t]):.3f} ± {np.std(tested[t]) * np.sqrt(10 / 9):.3f}"
            for t in (0, best)
        ]
        assert said["test accuracy, round 0"][i] == shown[0]
        assert said["at its best"][i] == f"{shown[1]} in round {best}"


@pytest.mark.parametrize("name", CHAINS)
def test_every_figure_has_four_panels_and_its_texts_stay_inside(name):
    figure = FIGURE[name].plot(FIGURE[name].compute())
    FigureCanvasAgg(figure)
    assert len(figure.axes) == 4
    inside(figure)


def inside(figure):
    box = figure.get_tightbbox()  # in inches
    width, height = figure.get_size_inches()
    assert min(box.x0, box.y0) >= -0.01
    assert box.x1 <= width + 0.01
    assert box.y1 <= height + 0.01


def test_power_of_the_verdicts():
    rising, falling = np.linspace(0.7, 0.8, 5), np.linspace(0.79, 0.6, 5)
    verdict = network_figure.verdict
    assert verdict(curves([*rising, *falling])).startswith("Both of the paper's regimes")
    assert "later fall is not seen" in verdict(curves(rising))
    assert "a clear rise before that is not seen" in verdict(curves(falling))
    assert network_figure.clear(np.full(10, 0.1) + 1e-3 * np.arange(10))
    assert not network_figure.clear(np.tile([0.1, -0.1], 5))


def test_power_of_the_comparison_with_early_stopping():
    chain = curves([0.7, 0.8, 0.7])
    for stopped, said in (
        ([0.6, 0.7, 0.6], "above that of early stopping in 3 of 3 rounds, clearly below in 0"),
        ([0.8, 0.7, 0.7], "neither is always better"),
        ([0.7, 0.8, 0.7], "is not seen here"),
    ):
        assert said in network_figure.against(chain, curves(stopped))


def test_the_round_of_the_least_loss():
    falls_first, rises = np.array([[3.0], [1.0], [2.0]]), np.array([[1.0], [2.0], [3.0]])
    found = curves([0.5] * 3, train_loss=rises, true_loss=falls_first, test_loss=falls_first)
    words = network_figure.losses(found)
    assert "round 0 at the training points on the given labels, in round 1 there" in words
    assert "is least at the start, on those before noise it falls first." in words
    assert "In the paper" not in network_figure.losses(curves([0.5] * 3, train_loss=falls_first))


# --- measured again, small


def test_a_small_measurement_is_the_library_s_chain(small, tmp_path, monkeypatch):
    from hilbertsd import nets

    monkeypatch.setattr(network_chains, "settings", lambda archives: {"squared": small})
    found = network_chains.curves.__wrapped__("squared", recompute=True, folder=tmp_path)
    data = small.data()
    chain = nets.train_chain(
        lambda key: small.make((1, 8, 8), 10, key),
        data,
        nets.ChainSettings(nets.Training(**small.training)),
        rounds=1,
        seeds=(0, 1),
    )
    again = read(tmp_path / f"{recorded_as('squared')}.json", Curves)
    for name in MEASURED:
        np.testing.assert_array_equal(getattr(found, name), getattr(chain.curves, name))
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
        assert getattr(again.controls, name).shape == (2, 2)


def test_cifar_takes_the_place_of_the_small_sets(tmp_path):
    (tmp_path / "cifar-100-binary").mkdir()
    rng = np.random.default_rng(0)
    for name in ("train.bin", "test.bin"):
        records = rng.integers(0, 20, (6, 2 + 3072), dtype=np.uint8)
        (tmp_path / "cifar-100-binary" / name).write_bytes(records.tobytes())
    found = settings(tmp_path)
    assert found.keys() == settings().keys()
    data = found["vgg"].data()
    assert (data.x_train.shape, data.classes) == ((6, 3, 32, 32), 100)
    assert recorded_as("vgg", tmp_path) != recorded_as("vgg")


# --- the spectrum of the tangent kernel


def problem(shrink):
    """G with eigenvalues 10^-3 .. 1, and labels y_t of which each round leaves ``shrink(d)``."""
    rng = np.random.default_rng(0)
    vectors, _ = np.linalg.qr(rng.standard_normal((48, 48)))
    d = np.geomspace(1e-3, 1, 48)
    sizes = [rng.standard_normal((48, 3))]
    for t in range(3):
        sizes.append(shrink(d, t)[:, None] * sizes[-1])
    return (vectors * d) @ vectors.T, np.stack([vectors @ z for z in sizes])


def test_kernel_regression_is_predicted_exactly():
    multipliers = [0.02, 0.05, 0.3]
    found = tangent_spectrum.decomposed(*problem(lambda d, t: d / (multipliers[t] + d)))
    np.testing.assert_allclose(found.multipliers, multipliers, rtol=1e-8)
    np.testing.assert_allclose(found.predicted, found.measured, rtol=1e-8)
    np.testing.assert_allclose(found.correlation, 1, rtol=1e-12)
    np.testing.assert_allclose(found.later, 1, rtol=1e-12)
    assert (np.diff(found.measured[1:]) > 0).all()


def test_a_fit_that_is_worse_than_none_is_a_collapse():
    gram, labels = problem(lambda d, t: -0.5 - 0.1 * d)
    found = tangent_spectrum.decomposed(gram, labels)
    assert np.isinf(found.multipliers).all()
    assert not found.predicted[1:].any()


def test_power_other_shrinkage_is_not_taken_for_it():
    rng = np.random.default_rng(1)
    backwards = tangent_spectrum.decomposed(*problem(lambda d, t: 0.1 / (0.1 + d)))
    np.testing.assert_allclose(backwards.correlation, -1, rtol=1e-12)
    chance = tangent_spectrum.decomposed(*problem(lambda d, t: rng.uniform(0.1, 1, 48)))
    assert np.abs(chance.correlation).max() < 0.5


def test_the_interval_is_student_s():
    from scipy.stats import ttest_1samp

    values = np.array([0.80, 0.85, 0.90, 0.83])
    low, high = ttest_1samp(values, 0).confidence_interval()
    assert tangent_spectrum.interval(values) == f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def test_a_small_spectrum(small, tmp_path):
    found = tangent_spectrum.compute(small, tmp_path)
    assert found.correlation.shape == (2, 2, 2)
    assert found.later.shape == (2, 2, 1)
    assert found.measured.shape == found.predicted.shape == (2, 2, 3, tangent_spectrum.GROUPS)
    np.testing.assert_allclose(found.measured[:, :, 0], 1, rtol=1e-12)
    assert (found.multipliers > 0).all()


def test_the_recorded_spectrum_and_its_caption():
    data = read(RESULTS / "tangent_spectrum.json", tangent_spectrum.TangentSpectrum)
    caption = tangent_spectrum.caption(data)
    published = (FIGURES / "tangent_spectrum.md").read_text(encoding="utf-8")
    assert published.split() == caption.split()
    assert data.correlation.shape[1] == 10
    for row in (0, 1):
        last = data.correlation[row, :, -1]
        line = next(
            line for line in caption.splitlines() if f"| {tangent_spectrum.KERNELS[row]} |" in line
        )
        assert f"| {last.mean():.3f} [" in line
        assert f"] | {last.min():.3f} | " in line
    figure = tangent_spectrum.plot(data)
    FigureCanvasAgg(figure)
    inside(figure)
