"""Figures of chains of every shape: finite, labelled, inside their frame, and reproducible."""

import dataclasses
import warnings
from functools import cache

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

import hilbertsd as hsd
from hilbertsd import plots

rng = np.random.default_rng(0)
ROTATION = np.linalg.qr(rng.standard_normal((40, 40)))[0]
SPECTRUM = np.concatenate([[0.0], np.logspace(-8, 0, 39)])
G = (ROTATION * SPECTRUM) @ ROTATION.T
X, EXAMPLE = hsd.datasets.example()
PAPER = hsd.gram(hsd.kernels.cubic_spline(), X)
Y = 3 * rng.standard_normal(40)
OUTPUTS = rng.standard_normal((40, 10)) * np.linspace(1, 6, 10)
MANY = rng.standard_normal(5000)

CHAINS = {
    "the example": (PAPER, EXAMPLE, 0.045, 10),
    "one fit": (G, Y, 1.0, 0),
    "one round": (G, Y, 1.0, 1),
    "no collapse": (G, Y, 0.5, 8),
    "30 rounds": (G, 3 * Y, 1.0, 30),
    "300 rounds": (np.eye(4), np.full(4, 200.0), 1.0, 300),
    "collapse at 0": (G, Y, 100.0, 3),
    "10 outputs": (G, OUTPUTS, np.linspace(1, 3, 10), 12),
    "10 outputs, some collapsed at 0": (G, OUTPUTS, np.linspace(5, 1, 10), 5),
    "3 outputs": (G, OUTPUTS[:, :3], np.linspace(0.5, 1, 3), 12),
    "3 outputs, all but one collapsed at 0": (G, OUTPUTS[:, :3], np.array([99.0, 99.0, 1.0]), 3),
    "10 outputs, joint": (G, OUTPUTS, 20.0, 12),
    "one column": (G, Y[:, None], 1.0, 6),
    "a tolerance for each round": (G, Y, np.linspace(1.0, 0.5, 7)[:, None], 6),
    "5000 points": (None, MANY, 0.1, 10),
    "one eigenvalue": (np.eye(1), np.array([3.0]), 1.0, 4),
}


@cache
def chain(name):
    matrix, labels, eps, rounds = CHAINS[name]
    if matrix is None:
        matrix = hsd.Decomposition(np.logspace(-12, 0, 5000), np.eye(5000), 1e-13, 2e-16)
    with warnings.catch_warnings():
        for category in (hsd.CollapseWarning, hsd.PrecisionWarning):
            warnings.simplefilter("ignore", category)
        return hsd.self_distill(matrix, labels, eps, rounds, joint="joint" in name)


def texts(figure):
    return [text for text in figure.findobj(is_text) if text.get_text() and text.get_visible()]


def is_text(artist):
    return hasattr(artist, "get_text") and hasattr(artist, "get_fontsize")


def assert_inside(figure):
    """Everything drawn, texts included, lies within the figure, a pixel spared for rounding."""
    FigureCanvasAgg(figure)
    box = figure.get_tightbbox()  # in inches
    width, height = figure.get_size_inches()
    assert min(box.x0, box.y0) >= -0.01
    assert box.x1 <= width + 0.01
    assert box.y1 <= height + 0.01


def assert_finite(figure):
    for axes in figure.axes:
        assert np.isfinite([*axes.get_xlim(), *axes.get_ylim()]).all()
        for line in axes.get_lines():
            values = np.asarray(line.get_ydata(), dtype=float)
            assert not np.isinf(values).any()
            assert np.isfinite(values).any()


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_of_any_shape_makes_a_figure(name):
    figure = plots.chain(chain(name), title=f"{name}, gaussian(length_scale=1)")
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert len(panels) == 5
    for axes in panels:
        assert axes.get_xlabel()
        assert axes.get_ylabel()
    assert_finite(figure)
    assert_inside(figure)


def panel(figure, title):
    return next(axes for axes in figure.axes if axes.get_title().startswith(title))


def test_the_panels_show_the_chain():
    result = chain("the example")
    figure = plots.chain(result)
    points = panel(figure, "multiplier").collections[-1].get_offsets()
    np.testing.assert_allclose(points[:, 1], result.multipliers[:4])
    bars = panel(figure, "multiplier").collections[0].get_segments()
    np.testing.assert_allclose(
        [bar[:, 1] for bar in bars],
        np.transpose([bound[:4] for bound in result.multiplier_brackets]),
    )
    for name in ("multiplier", "label ratio", "residual", "effective dimension"):
        assert panel(figure, name).get_xlim()[1] < 5  # nothing happens after round 4
    assert panel(figure, "label ratio").get_title() == "label ratio: collapse at $t = 4$"
    curves = panel(figure, "basis weights").get_lines()
    inside = result.spectrum.eigenvalues > 0
    np.testing.assert_array_equal(
        [curve.get_ydata() for curve in curves], result.spectrum.basis_weights[:4, inside]
    )


LINES = ("multiplier", "label ratio", "residual", "effective dimension")


def test_few_outputs_are_told_apart_by_name_and_many_have_a_median():
    few = plots.chain(chain("3 outputs"), outputs=["yield", "purity in $", "a very long name"])
    shown = [text.get_text() for text in panel(few, "residual").get_legend().get_texts()]
    assert shown == ["yield", r"purity in \$", "a very long n…"]
    colors = [color for color, _ in plots.OUTPUTS[:3]]
    for name in LINES:
        lines = [line for line in panel(few, name).get_lines() if line.get_color() in colors]
        assert {line.get_color() for line in lines} == set(colors)
        assert all(line.get_linewidth() < 1.5 for line in lines)
    numbered = plots.chain(chain("3 outputs"))
    shown = [text.get_text() for text in panel(numbered, "residual").get_legend().get_texts()]
    assert shown == ["0", "1", "2"]
    result = chain("10 outputs")
    many = plots.chain(result)
    ratios = np.where(np.isfinite(result.multipliers), result.label_ratios[:-1], np.nan)
    for name in LINES:
        thick = [line for line in panel(many, name).get_lines() if line.get_linewidth() > 1.5]
        assert len(thick) == 1
        if name == "label ratio":
            medians = thick[0].get_ydata()
            expected = [np.nanmedian(row) for row in ratios[: len(medians)]]
            np.testing.assert_allclose(medians, expected)


def test_the_tolerance_is_named_where_it_is_off_the_axis():
    for name, named in (("the example", True), ("300 rounds", False)):
        said = [text.get_text() for text in texts(panel(plots.chain(chain(name)), "residual"))]
        assert (r"$\varepsilon$" in said) == named


def test_rounds_keep_their_colours_between_panels():
    figure = plots.chain(chain("the example"))
    dots = panel(figure, "multiplier").collections[-1].get_facecolors()
    curves = [line.get_color() for line in panel(figure, "basis weights").get_lines()]
    np.testing.assert_allclose(dots, curves)


def test_round_colours_get_lighter():
    for count in (1, 2, 4, 30):
        colors = np.array(plots.round_colors(count))[:, :3]
        assert len(colors) == count
        assert (np.diff(colors @ [0.2126, 0.7152, 0.0722]) > 0).all()


@pytest.mark.parametrize("count", [0, 1, 4, 12])
@pytest.mark.parametrize("known", [True, False])
def test_fits_are_drawn_over_the_data(count, known):
    x, y = hsd.datasets.example()
    grid = np.linspace(0, 1, 51)
    curves = np.outer(1 / np.arange(1, count + 1), np.sin(9 * grid))
    truth = hsd.datasets.example_truth(grid) if known else None
    labels = ("price_$ in $", "α & β") if known else None
    figure = plots.fits(x, y, grid, curves, truth=truth, labels=labels)
    lines = figure.axes[0].get_lines()
    assert len(lines) == min(count, plots.MAX_FITS) + 1 + known
    data = next(line for line in lines if line.get_label() == "data")
    assert all(line.get_zorder() < data.get_zorder() for line in lines if line is not data)
    assert figure.axes[0].get_xlabel()
    assert_finite(figure)
    assert_inside(figure)


def test_of_many_fits_some_are_drawn_and_named():
    grid = np.linspace(0, 1, 11)
    figure = plots.fits(grid, grid, grid, np.outer(1 / np.arange(1, 37), grid))
    assert len(figure.axes) == 1
    legend = figure.axes[0].get_legend()
    assert legend.get_title().get_text() == "8 of 36 fits"
    rounds = [f"$t = {t}$" for t in (0, 5, 10, 15, 20, 25, 30, 35)]
    assert [text.get_text() for text in legend.get_texts()] == ["data", *rounds]


def test_a_fit_that_overshoots_leaves_the_frame_and_the_data_stay_large():
    grid = np.linspace(0, 1, 11)
    data = np.linspace(-1.3, 1.6, 11)
    wild = data - 43 * np.exp(-(((grid - 0.5) / 0.1) ** 2))
    low, high = plots.fits(grid, data, grid, np.array([wild, data])).axes[0].get_ylim()
    assert -3 < low < -1.3 - 1.45  # half the range of the data, and a margin
    assert 1.6 < high < 2


def test_saving_is_reproducible_and_leaves_no_trace(tmp_path):
    import matplotlib

    settings = dict(matplotlib.rcParams)
    for name in ("a", "b"):
        paths = plots.save(plots.chain(chain("one round")), tmp_path / name, ["pdf", "svg", "png"])
        assert [path.suffix for path in paths] == [".pdf", ".svg", ".png"]
    for kind in ("pdf", "svg", "png"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    assert len(list(tmp_path.iterdir())) == 6
    assert dict(matplotlib.rcParams) == settings


def test_the_users_settings_do_not_change_a_figure(tmp_path):
    import matplotlib

    plots.save(plots.chain(chain("one round")), tmp_path / "a", ["png"])
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "savefig.dpi": 10}):
        plots.save(plots.chain(chain("one round")), tmp_path / "b", ["png"])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_unknown_formats_are_refused(tmp_path):
    with pytest.raises(hsd.HilbertSDError, match="pdf, svg, png"):
        plots.save(plots.chain(chain("one fit")), tmp_path / "a", ["docx"])


def test_a_chain_without_a_full_spectrum_is_drawn_too():
    figure = plots.chain(dataclasses.replace(chain("the example"), spectrum=None))
    said = [text.get_text() for text in texts(figure)]
    assert "this route has no full spectrum" in said
