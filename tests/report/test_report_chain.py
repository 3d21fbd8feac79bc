"""The table of a chain: it fits, cuts nothing, and says what happened."""

import re
from functools import cache

import numpy as np
import pytest

import hilbertsd as hsd
from hilbertsd.report import chain


def widths(text):
    return max(map(len, text.splitlines()))


@cache
def chains():
    x, y = hsd.datasets.example()
    G = hsd.gram(hsd.kernels.cubic_spline(), x)
    outputs = np.stack([y, 2 * y, np.sin(9 * x) - y], axis=1)
    many = np.random.default_rng(0).standard_normal((40, 30))
    return {
        "one": hsd.self_distill(G, y, 0.045, 10),
        "no collapse": hsd.self_distill(G, y, 0.045, 1),
        "one round": hsd.self_distill(G, y, 0.045, 0),
        "three": hsd.self_distill(G, outputs, 0.2, 10),
        "joint": hsd.self_distill(G, outputs, 1.0, 10, joint=True),
        "one column": hsd.self_distill(G, y[:, None], 0.045, 10),
        "many": hsd.self_distill(np.diag(np.logspace(-8, 0, 40)), many * 100, 1e-1, 150),
    }


@pytest.mark.parametrize("name", chains())
def test_reports_fit_eighty_columns_and_cut_nothing(name):
    result = chains()[name]
    text = chain.text(result, {"kernel": "k" * 200, "data": "d"})
    assert widths(text) <= 80
    assert "…" not in text
    assert "k" * 60 in text
    narrow = chain.text(result, {"kernel": "k"}, width=60)
    assert widths(narrow) <= 60
    assert "…" not in narrow


def test_a_report_says_what_happened():
    reports = {name: chain.text(result) for name, result in chains().items()}
    assert re.search(r"^4 +∞ +0\.8325 +0\.5735 +collapsed$", reports["one"], re.MULTILINE)
    assert "No collapse up to round 1: r_2 = 2.6734" in reports["no collapse"]
    assert chains()["three"].collapse_round == (1, 4, 1)
    assert "Collapse: outputs 0, 2 at 1; output 1 at 4." in reports["three"]
    assert "3/3 min" in reports["three"]
    assert "K = 11 points, Q = 3 outputs with one tolerance" in reports["joint"]
    named = chain.text(chains()["three"], outputs=["yield", "purity", "x"])
    assert "Collapse: outputs yield, x at 1; output purity at 4." in named
    assert reports["one column"] == reports["one"]
    assert "30 outputs" in reports["many"]


def test_a_report_says_what_is_undecided():
    with pytest.warns(hsd.PrecisionWarning):
        result = hsd.self_distill(np.eye(4), np.full(4, 2.0), eps=1.0, rounds=3)
    text = chain.text(result)
    assert "undecided" in text
    assert "Undecided: an r_t equals 1" in text
