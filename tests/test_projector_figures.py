"""Figures of feature kernels and projectors: what their recorded data say, and their drawing."""

import doctest
import importlib

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from problems import assert_norm_close

from paper_figures.publish import FIGURES
from paper_figures.recorded import RESULTS, read

pytest.importorskip("equinox")

from paper_figures import (
    first_order,
    last_layer,
    projection,
    projector_recipe,
    projector_spectrum,
)

KINDS = {
    first_order: first_order.FirstOrderView,
    last_layer: last_layer.LastLayer,
    projector_recipe: projector_recipe.ProjectorRecipe,
    projector_spectrum: projector_spectrum.ProjectorSpectrum,
}
EULER = 2e-3
"""Gradient steps against gradient flow, in norm: the step is 1/100 of the fastest time."""


def name_of(module):
    return module.__name__.rpartition(".")[2]


def data_of(module):
    return read(RESULTS / f"{name_of(module)}.json", KINDS[module])


@pytest.mark.parametrize("module", KINDS, ids=name_of)
def test_figures_and_captions_are_those_of_the_recorded_data(module):
    data = data_of(module)
    figure = module.plot(data)
    FigureCanvasAgg(figure)
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert min(box.x0, box.y0) >= -0.01
    assert box.x1 <= width + 0.01
    assert box.y1 <= height + 0.01
    written = (FIGURES / f"{name_of(module)}.md").read_text(encoding="utf-8")
    assert written.split() == module.caption(data).split()


@pytest.mark.parametrize("module", [*KINDS, projection], ids=name_of)
def test_examples_in_figure_modules(module):
    assert doctest.testmod(importlib.import_module(module.__name__)).failed == 0


def test_normalisation_keeps_the_spectrum_flatter():
    data = data_of(projector_spectrum)
    for found in (data.joint, data.frozen):
        none, unit, batch = projector_spectrum.effective_rank(found[:, :, -1])
        assert (unit > 1.2 * none).all()
        assert (batch > 1.2 * none).all()
    flow = projector_spectrum.effective_rank(data.flow)
    np.testing.assert_allclose(projector_spectrum.effective_rank(data.frozen[0]), flow, rtol=0.01)
    at_decay, weaker, *_ = data.ridge.values()  # hardly a ridge is left
    assert min(weaker) > 1.2 * max(at_decay)


def test_trained_layers_hand_on_the_labels_of_the_theory():
    data = data_of(last_layer)
    assert data.gap[0].max() < 1e-10
    assert data.gap[1].max() < 1e-3
    assert np.isfinite(data.multipliers).all()
    assert (data.label_ratios[:, :-1] > 1).all()


def test_what_ignores_norms_moves_none():
    data = data_of(first_order)
    ignoring = [first_order.NAMES.index(name) for name in ("FKD", "CC", "PKT")]
    assert data.norms[:, ignoring].max() < 1e-8
    assert data.norms[:, first_order.NAMES.index("HSIC")].min() > 0.1
    assert data.growing[:, first_order.NAMES.index("projector")].min() > 1 - 1e-12


def test_training_follows_the_flow_in_closed_form():
    """The training core on frozen features, in full batches, against `projector_weights`."""
    from hilbertsd.objectives.projector import projector_weights

    rng = np.random.default_rng(0)
    features, aims = (rng.normal(size=(2, 40, n)).astype(np.float32) for n in (5, 3))
    start = projection.students((0, 1), (5,), (3,))[0].projector
    loss = projection.frozen_loss(projection.mean_square, 0.1)
    times, rate = (0, 20, 100), 0.01
    run = projection.followed(
        loss, start, None, {"student": features, "teacher": aims}, {"student": 0, "teacher": 0},
        (0, 1), times, rate, 40,
    )  # fmt: skip
    first = np.float64(start.weights[0])
    for steps, (model, _) in zip(times, run, strict=True):
        for s in range(2):
            exact = projector_weights(
                features[s], aims[s], 0.1 * 120, time=rate * steps / 120, start=first[s]
            )
            assert_norm_close(model.weights[0][s], exact, rtol=EULER)
