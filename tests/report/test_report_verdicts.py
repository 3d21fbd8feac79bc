"""The table of verdicts and the figure of bounds: nothing is cut, and the numbers agree."""

import re
import warnings
from functools import cache

import numpy as np
import pytest

import hilbertsd as hsd
from hilbertsd.report import bounds, verdicts
from hilbertsd.report.layout import WIDTH
from hilbertsd.theory import REGISTRY, check, examples

DIGIT = 5e-3
"""Three printed digits against the number itself, relative."""


@cache
def chain(name):
    G, y = hsd.gram(hsd.kernels.gaussian(0.3), hsd.datasets.example().x), hsd.datasets.example().y
    outputs = np.stack([y, y**2 - 1, -y], axis=1)
    with warnings.catch_warnings():
        for category in (hsd.CollapseWarning, hsd.PrecisionWarning):
            warnings.simplefilter("ignore", category)
        return {
            "headline": lambda: hsd.self_distill(*examples.headline()),
            "one scale": lambda: hsd.self_distill(*examples.one_scale()),
            "one fit": lambda: hsd.self_distill(G, y, 0.1, 0),
            "collapsed at 0": lambda: hsd.self_distill(G, y, 10.0, 2),
            "one point": lambda: hsd.self_distill(np.eye(1), np.array([3.0]), 1.0, 4),
            "rising tolerance": lambda: hsd.self_distill(G, y, np.array([[0.05], [0.1]]), 1),
            "outputs": lambda: hsd.self_distill(G, outputs, np.array([0.05, 0.1, 9.0]), 6),
            "joint": lambda: hsd.self_distill(G, outputs, 0.2, 6, joint=True),
        }[name]()


CHAINS = [
    *("headline", "one scale", "one fit", "collapsed at 0", "one point"),
    *("rising tolerance", "outputs", "joint"),
]


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("verbose", [False, True])
def test_the_table_fits_eighty_columns_and_cuts_nothing(name, verbose):
    result = chain(name)
    found = check(result)
    text = verdicts.text(result, found, {"data": name}, verbose=verbose)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "…" not in text
    assert "nan" not in text
    fitted = np.isfinite(result.multipliers).any()
    shown = [v for v in found if fitted or v.status != "not applicable"]
    for name_of in dict.fromkeys(v.statement for v in shown):
        claim = REGISTRY[name_of]
        title = claim.title if verbose else verdicts.SHORT.get(claim.name, claim.title)
        assert all(word in text for word in title.split())
        if not verbose and name != "outputs":  # there "holds 2/3" takes some of a title's room
            assert re.search(rf"^{re.escape(title)}", text, re.MULTILINE)
    assert f"{len(REGISTRY)} statements" in text


def test_short_titles_are_of_statements_that_exist():
    assert set(verdicts.SHORT) <= set(REGISTRY)
    assert set(bounds.DATES) <= set(REGISTRY)


def test_the_numbers_of_the_table_are_those_of_the_verdicts():
    result = chain("headline")
    found = check(result)
    text = verdicts.text(result, found)
    (line,) = re.findall(r"^Proposition 4 +([\d.]+) +([\d.]+) +", text, re.MULTILINE)
    assert float(line[0]) == pytest.approx(found["guaranteed_rounds"].lower, rel=DIGIT)
    assert float(line[1]) == result.collapse_round
    for verdict in found:
        if np.isfinite(verdict.actual) and verdict.slack is not None:
            room = verdict.tolerance * max(abs(verdict.actual), 1)
            assert verdict.lower - room <= verdict.actual <= verdict.upper + room


@pytest.mark.parametrize("name", CHAINS)
def test_the_figure_is_finite(name, tmp_path):
    figure = bounds.figure(chain(name), title=name)
    assert len(figure.axes) == 4
    for axes in figure.axes:
        assert np.isfinite([*axes.get_xlim(), *axes.get_ylim()]).all()
        for line in axes.get_lines():
            values = np.asarray(line.get_ydata(), dtype=float)
            assert not np.isinf(values).any()
            assert len(values) == 0 or np.isfinite(values).any()
    (path,) = hsd.plots.save(figure, tmp_path / "figure", ["png"])
    assert path.stat().st_size > 10_000


def test_what_the_figure_shows_is_between_what_it_shows():
    axes = bounds.figure(chain("headline")).axes[1]
    lines = {line.get_label(): np.asarray(line.get_ydata()) for line in axes.get_lines()}
    actual = lines["$r_t$"]
    assert len(actual) == chain("headline").collapse_round + 1
    for label, sign in (("Prop. 3", 1), ("$r_0 - t$", 1), ("iterated", -1), ("Prop. 3, upper", -1)):
        assert (sign * (actual - lines[label]) >= -1e-9 * actual[0]).all(), label
