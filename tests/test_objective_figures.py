"""Figures of objectives and schemes: what their captions say follows from the recorded data."""

import numpy as np
import pytest

pytest.importorskip("equinox")
pytest.importorskip("optax")
stats = pytest.importorskip("scipy.stats")

from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402

from paper_figures import fkd_agreement, fkd_transfer, inheritance, objective_table  # noqa: E402

MODULES = (fkd_agreement, fkd_transfer, inheritance, objective_table)


def spread(values):
    """Mean and half width in percent, as the captions have them, by SciPy."""
    values = np.asarray(values)
    half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    return f"{100 * values.mean():+.1f} ± {100 * half:.1f}"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.NAME)
def test_texts_stay_inside_the_figure(module):
    figure = module.plot(module.compute())
    FigureCanvasAgg(figure)
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0) >= -0.01
    assert box.x1 <= width + 0.01
    assert box.y1 <= height + 0.01


def test_agreement_is_a_share_of_the_test_points():
    data = fkd_agreement.compute()
    words = fkd_agreement.caption(data)
    np.testing.assert_allclose(data.matrices.sum(axis=(2, 3)), 1)
    diagonal = np.trace(data.matrices, axis1=2, axis2=3)
    np.testing.assert_allclose(diagonal, data.agreement.mean(-1))
    gaps = " | ".join(spread(same - other) for same, other in data.agreement)
    assert f"| width | {' | '.join(map(str, data.widths))} |" in words
    assert f"| difference | {gaps} |" in words


def test_gains_by_transfer_are_paired_differences():
    data = fkd_transfer.compute()
    words = fkd_transfer.caption(data)
    for width, found in data.accuracy.items():
        alone = np.array(found["alone"])
        assert alone.shape == (len(data.sizes), len(fkd_transfer.SPLITS))
        for name in fkd_transfer.METHODS:
            gains = (spread(row - base) for row, base in zip(found[name], alone, strict=True))
            line = next(line for line in words.splitlines() if line.startswith(f"| {name} |"))
            assert f" | {' | '.join(gains)} | " in line
            tried = data.validation[width][name]
            best = max(np.mean(values) for values in tried.values())
            assert np.mean(tried[f"{data.weights[width][name]:g}"]) == best


def test_the_table_compares_seed_by_seed():
    data = objective_table.compute()
    words = objective_table.caption(data)
    alone = np.array(data.accuracy["alone"])
    for name in objective_table.SHOWN:
        gain = spread(np.array(data.accuracy[name]) - alone)
        accuracy = spread(data.accuracy[name]).removeprefix("+")
        assert f"| {name} | {data.weights[name]:g} | {accuracy} | {gain} |" in words


def test_inheritance_is_told_with_and_without_exploration():
    data = inheritance.compute()
    words = inheritance.caption(data)
    alone = np.array(data.accuracy["alone"])
    for base in inheritance.WEIGHTS:
        both = np.array(data.accuracy[f"IE-{base}"])
        assert f"IE-{base} {spread(both - alone)}" in words
        assert f"{base} {spread(both - np.array(data.accuracy[base]))}" in words
    for rows in data.losses.values():
        assert np.shape(rows) == (len(alone), len(data.noise))
        assert np.isfinite(rows).all()
