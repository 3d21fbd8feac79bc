"""The benchmarks' command, records and figures; what they measure is measured by running them."""

import itertools
import json

import numpy as np
import pytest
from problems import assert_close
from typer.testing import CliRunner

import hilbertsd as hsd
from benchmarks import __main__ as command
from benchmarks import nystroem, record, scaling
from benchmarks.measure import Comparison, PeerAbsent, Sweep, peer
from benchmarks.search import chain_by_search

SEARCH = 1e-7
"""brentq ends at 1e-9 in log c, and errors of a round are passed on to the next."""


def comparison(limit: float = 2.0, **changes) -> Comparison:
    given = {"our_seconds": [1.0, 2.0, 1.0], "their_seconds": [3.0, 4.0, 8.0]} | changes
    settings = {"K": 3}
    return Comparison("a name", "ours", "theirs", "K = 3", settings, limit=limit, **given)


def sweep_of(looks, quantities) -> dict:
    rng = np.random.default_rng(0)
    curves = {
        name: [{q: float(10 ** rng.uniform(-3, 0)) for q in quantities} for _ in range(3)]
        for name in looks
    }
    for points in curves.values():
        for size, point in zip((100, 1000, 10_000), points, strict=True):
            point |= {"K": size, "seconds": 1e-6 * size * (1 + 0.01 * len(curves))}
    settings = {"estimate": {"c_0": 1e-13, "c": 1e-13, "y": 1e-13}}
    return {"settings": settings, "curves": curves, "skipped": {}}


def test_a_speed_up_is_theirs_over_ours_pair_by_pair():
    assert comparison(speed_up=True).ratios == [3.0, 2.0, 8.0]
    assert comparison(speed_up=True).verdict == "met"
    assert comparison(limit=3.5, speed_up=True).verdict == "MISSED"
    assert comparison(limit=0.5).median == pytest.approx(1 / 3)
    assert comparison(limit=0.5).verdict == "met"
    assert comparison(limit=0.2).verdict == "MISSED"
    assert comparison(limit=0.2, judged=False).verdict == "not judged"


def test_records_are_replaced_one_by_one(tmp_path):
    record.store("here", "first", comparison(), quick=False, folder=tmp_path)
    record.store("here", "second", Sweep("s", {}, {"a": [{"K": 1}]}), quick=True, folder=tmp_path)
    slower = comparison(our_seconds=[4.0, 4.0, 4.0])
    record.store("here", "first", slower, quick=True, folder=tmp_path)
    document = json.loads((tmp_path / "here.json").read_text())
    assert document == record.load("here", tmp_path)
    assert document["machine"]["name"] == "here"
    assert document["comparisons"]["first"]["our_seconds"] == [4.0, 4.0, 4.0]
    assert document["comparisons"]["first"]["versions"]["numpy"] == np.__version__
    assert document["sweeps"]["second"]["curves"] == {"a": [{"K": 1}]}
    assert record.machines(tmp_path) == ["here"]


def one_met(quick):
    """Meet the claim."""
    return comparison(limit=1.0)


def one_missed(quick):
    """Miss it."""
    return comparison(limit=0.1)


def one_absent(quick):
    """Need what is not here."""
    raise PeerAbsent("no such thing; get it there")


def one_wrong(quick):
    """Find that the sides disagree."""
    raise AssertionError("the two sides disagree by 1")


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setattr(command, "COMPARISONS", (one_met, one_missed, one_absent, one_wrong))
    monkeypatch.setattr(command, "SWEEPS", ())
    options = ["--results", str(tmp_path)]
    return lambda *words: CliRunner().invoke(command.app, [*words, *options])


def test_comparisons_are_chosen_by_name_and_recorded(run, tmp_path):
    answer = run("one-met", "one-absent", "--machine", "here")
    assert answer.exit_code == 0
    assert "one-absent: left out: no such thing; get it there" in answer.stdout
    assert "median ratio 0.333 [0.125, 0.5] over 3 pairs" in answer.stdout
    assert list(record.load("here", tmp_path)["comparisons"]) == ["one-met"]


@pytest.mark.parametrize("name", ["one-missed", "one-wrong"])
def test_a_missed_claim_and_a_disagreement_are_failures(run, name):
    answer = run("one-met", name)
    assert answer.exit_code == 1
    assert "met" in answer.stdout
    assert ("MISSED" in answer.stdout) or ("FAILED: the two sides disagree" in answer.stdout)


def test_the_list_and_what_is_not_on_it(run):
    listed = run("--list")
    assert listed.exit_code == 0
    assert "one-missed" in listed.stdout
    assert "Miss it." in listed.stdout
    unknown = run("one-mat")
    assert unknown.exit_code == 2
    assert "there are one-met" in " ".join(unknown.stderr.replace("│", " ").split())


def test_every_comparison_has_a_sentence_and_every_sweep_a_figure():
    for function in (*command.COMPARISONS, *command.SWEEPS):
        assert command._about(function).endswith(".")
    assert {function.__name__ for function in command.SWEEPS} == set(command.DRAWN)
    assert set(scaling.LOOKS) == set(scaling.CURVES)


def test_a_peer_that_is_absent_comes_with_the_way_to_get_it():
    with pytest.raises(PeerAbsent, match=r"no_such_peer.*pip install"):
        peer("no_such_peer")


def test_a_search_round_by_round_finds_the_chain():
    rng = np.random.default_rng(1)
    x = np.sort(rng.random(40))
    G = hsd.gram(hsd.kernels.laplace(length_scale=0.2), x)
    y = np.sin(6 * x) + 0.3 * rng.standard_normal(40)
    eps = 0.1 * float(np.mean(y**2))

    def fitted(c, labels):
        return G @ np.linalg.solve(c * np.eye(40) + G, labels)

    found = chain_by_search(fitted, y, eps, rounds=10, largest=float(np.linalg.norm(G, 2)))
    chain = hsd.self_distill(G, y, eps, rounds=10)
    fits = chain.collapse_round
    assert 1 < fits < 11
    assert_close(found.multipliers, chain.multipliers[:fits], rtol=SEARCH)
    assert_close(found.labels, chain.labels[: fits + 1], rtol=SEARCH, atol=SEARCH)


def test_a_sweep_measures_what_it_can_and_compares_the_labels():
    points = scaling._curve(scaling.CURVES["tridiagonal"], (60, 120), budget=60.0)
    assert [point["K"] for point in points] == [60, 120]
    assert all(0 < point["seconds"] <= point["worst"] for point in points)
    assert all(point["difference"] < 1e-9 for point in points)
    assert len(scaling._curve(scaling.CURVES["dense"], (60, 90, 120), budget=0.0)) == 2


def test_names_beside_the_curves_do_not_overlap():
    figure = scaling.draw_scaling(sweep_of(scaling.LOOKS, []))
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == len(scaling.LOOKS)
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)


def test_sweeps_are_drawn_from_their_records(run, tmp_path):
    drawn = {
        "scaling": sweep_of(scaling.LOOKS, []),
        "nystroem": sweep_of(nystroem.LOOKS, ["c", "y"]),
    }
    (tmp_path / "here.json").write_text(json.dumps({"sweeps": drawn}))
    answer = run("--figures", "--folder", str(tmp_path))
    assert answer.exit_code == 0, answer.output
    for name in drawn:
        assert (tmp_path / f"{name}-here.png").stat().st_size > 10_000
        assert (tmp_path / f"{name}-here.pdf").read_bytes().startswith(b"%PDF")
