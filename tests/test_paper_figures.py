"""The paper's figures: their captions carry the numbers of the illustrative example."""

import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

import hilbertsd as hsd
from paper_figures import bridge, fig2, fig3
from paper_figures.__main__ import NAMES, main
from paper_figures.publish import filled, table
from paper_figures.recorded import RESULTS, machine_of, read, recorded


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    main(["all", "--output", str(folder)])
    return folder


def test_everything_is_written(figures):
    expected = [f"{name}.{kind}" for name in NAMES for kind in ("md", "pdf", "png", "svg")]
    assert sorted(path.name for path in figures.iterdir()) == sorted(expected)


def test_the_numbers_of_figure_2(figures):
    caption = (figures / "fig2.md").read_text(encoding="utf-8")
    caption = " ".join(caption.split())
    assert "c_t = 2.70525·10⁻⁶, 8.76276·10⁻⁵, 2.7375" in caption
    assert "·10⁻⁴, 7.90018·10⁻⁴" in caption
    assert "0.15275, 0.06821, 0.12029, 0.30439" in caption
    assert "ε = 0.045; round 4 collapses" in caption
    assert "rank 9 of 11" in caption
    assert "0.0418611" in caption
    assert "smallest at t = 1" in caption


def test_what_figure_2_draws():
    data = fig2.compute()
    np.testing.assert_allclose(
        data.multipliers, [2.70525e-6, 8.76276e-5, 2.73755e-4, 7.90018e-4], rtol=5e-6
    )
    np.testing.assert_allclose(data.errors, [0.15275, 0.06821, 0.12029, 0.30439], atol=5e-6)
    x, s = np.meshgrid(data.grid, data.grid, indexing="ij")
    published = np.maximum(x - s, 0) ** 3 / 6 - x * (1 - s) * (x**2 - 2 * s + s**2) / 6  # (59)
    np.testing.assert_allclose(data.greens, published, rtol=0, atol=1e-16)
    assert data.fits.shape == (4, 101)
    assert data.greens.max() == pytest.approx(1 / 48)


def test_the_numbers_of_figure_3(figures):
    caption = " ".join((figures / "fig3.md").read_text(encoding="utf-8").split())
    assert "the 9 eigenvalues in the range" in caption
    assert "the other 2 of the 11 are zero" in caption
    assert "round 4 collapses" in caption
    data = fig3.compute()
    assert data.index.tolist() == list(range(3, 12))
    assert (np.diff(data.weights, axis=1) > 0).all()  # smaller weights shrink faster:
    ratios = data.weights[1:] / data.weights[:-1]
    assert (np.diff(ratios, axis=1) > 0).all()
    assert (np.diff(data.sparsity) > 0).all()


def kept(name, kind):
    return read(RESULTS / f"{name}.json", kind)


def bridges():
    return {coding: kept(f"bridge-{coding}", bridge.BridgeData) for coding in bridge.CODINGS}


@pytest.mark.parametrize("coding", bridge.CODINGS)
def test_the_numbers_of_the_bridge(coding, figures):
    data = bridges()[coding]
    assert len(data.seeds) >= 3
    assert data.widths[0] == 64
    assert data.widths[-1] >= 2048
    assert (data.remaining < 0.2 * data.test).all()  # the training's own error
    assert (data.remaining < 0.05 * data.test)[:, :, 0].all()
    parts = data.kernel + data.nonlinearity
    assert (data.test <= parts * (1 + 1e-9)).all()
    x, y, _ = bridge.problem(coding)
    chain = hsd.self_distill(hsd.gram(hsd.kernels.parse_kernel(data.settings["kernel"]), x), y,
                             data.settings["eps"], rounds=2)  # fmt: skip
    np.testing.assert_allclose(data.multipliers, chain.multipliers, rtol=1e-9)
    caption = " ".join((figures / "bridge.md").read_text(encoding="utf-8").split())
    place = data.widths.tolist().index(1024)
    mean, deviation = data.test[place, :, 0].mean(), data.test[place, :, 0].std(ddof=1)
    others = r"[^|]*\| " if coding == "signs" else ""
    said = rf"width 1024 \| {others}{mean:.3f} ± {deviation:.3f} \|"
    assert re.search(said, caption)
    assert f"Measured on {machine_of('bridge-one-hot')}." in caption


def test_captions_are_filled_and_their_tables_kept():
    rows = table(("", "E = 1"), [("KD", "0.2"), ("FKD", "")])
    assert filled(f"\nOne  sentence\nof two.\n\n{rows}\n\n{'word ' * 30}\n") == (
        "One sentence of two.\n\n|  | E = 1 |\n| :-- | --: |\n| KD | 0.2 |\n| FKD |  |\n\n"
        f"{'word ' * 19}word\n{'word ' * 9}word\n"
    )


def test_archives_that_are_not_there_are_one_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["fig4", "--recompute", "--folder", str(tmp_path / "none"), "--output", str(tmp_path)])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "is no folder" in said
    assert said.count("\n") == 1


def test_recorded_data_are_measured_once_and_again_when_asked(tmp_path):
    asked = {"kind": bridge.BridgeData, "folder": tmp_path, "machine": "a test"}
    small = bridge.compute(widths=(16, 32), seeds=(0, 1))
    first = recorded("small", compute=lambda: small, **asked)
    assert first is small
    again = recorded("small", compute=lambda: pytest.fail("measured twice"), **asked)
    for name in ("widths", "test", "multipliers"):
        one, other = getattr(again, name), getattr(small, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert again.settings == small.settings
    assert machine_of("small", tmp_path) == "a test"
    calls = []
    recorded("small", compute=lambda: calls.append(0) or small, recompute=True, **asked)
    assert calls == [0]
    assert small.test.shape == (2, 2, 3)
    assert np.isfinite(small.test).all()
    assert 0 < small.test[:, :, 0].max() < 2


FIGURES_TO_DRAW = {
    "fig2": lambda: fig2.plot(fig2.compute()),
    "fig3": lambda: fig3.plot(fig3.compute()),
    "bridge": lambda: bridge.plot(bridges()),
}


@pytest.mark.parametrize("name", FIGURES_TO_DRAW)
def test_texts_stay_inside_the_figure(name):
    figure = FIGURES_TO_DRAW[name]()
    FigureCanvasAgg(figure)
    box = figure.get_tightbbox()  # in inches
    width, height = figure.get_size_inches()
    assert min(box.x0, box.y0) >= -0.01
    assert box.x1 <= width + 0.01
    assert box.y1 <= height + 0.01


def test_a_second_run_writes_the_same_bytes(figures, tmp_path):
    fig3.main(tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (figures / path.name).read_bytes()


def test_the_figures_in_the_repository_are_current(figures):
    from paper_figures.publish import FIGURES

    if not FIGURES.exists():
        pytest.skip("the figures are not drawn here")
    for path in sorted(figures.glob("*.md")):
        assert path.read_bytes() == (FIGURES / path.name).read_bytes()
