"""Figures of objectives and schemes: what their captions say follows from the recorded data."""

import numpy as np
import pytest

pytest.importorskip("equinox")
pytest.importorskip("optax")
stats = pytest.importorskip("scipy.stats")

from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402

from paper_figures import fkd_agreement, fkd_transfer, inheritance, objective_table  # noqa: E402

MODULES = (fkd_agreement, fkd_transfer, inheritance, objective_table)


def spread(values, form="+.1f", factor=100):
    """Mean and half width, in percent, as the captions have them, by SciPy."""
    values = factor * np.asarray(values)
    half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    return f"{values.mean():{form}} ± {half:{form[1:]}}"


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
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in inheritance.caption(data).splitlines()
        if line.startswith("|")
    ]
    told = {line[0]: line for line in lines[2:]}
    alone = {name: np.array(getattr(data, name)["alone"]) for name in ("accuracy", "halves")}
    assert set(told) == set(data.accuracy) - {"alone"}
    for name, line in told.items():
        assert line[2] == spread(np.array(data.accuracy[name]) - alone["accuracy"])
        assert line[4] == spread(np.array(data.halves[name]) - alone["halves"], "+.2f", 1)
    for base in inheritance.BASES:
        both = np.array(data.accuracy[f"IE-{base}"])
        for kind in ("", "I-"):
            line = told[f"{kind}{base}"]
            assert line[3] == spread(both - np.array(data.accuracy[f"{kind}{base}"]))
    for found in data.losses.values():
        assert np.shape(found) == (len(inheritance.SPLITS), len(data.noise))
        assert np.isfinite(found).all()


def test_weights_of_inheritance_are_the_best_on_splits_of_their_own():
    data = inheritance.compute()
    assert not set(inheritance.SPLITS) & set(inheritance.VALIDATION)
    for name, asked in inheritance.candidates().items():
        tried = data.validation[name]
        texts = [" and ".join(f"{w:g}" for w in weights) for weights in asked]
        assert list(tried) == texts
        chosen = tried[" and ".join(f"{w:g}" for w in data.weights[name])]
        assert np.mean(chosen) == max(np.mean(values) for values in tried.values())
        assert len(chosen) == len(inheritance.VALIDATION)
