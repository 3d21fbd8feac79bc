"""hilbertsd attack: what it says, what it writes, and the exit codes."""

import json
import os

import numpy as np
import pytest
from command import plant_a_mistake, refused

import hilbertsd as hsd
from hilbertsd import theory
from hilbertsd.cli import attack, main
from hilbertsd.cli.exits import BAD_INPUT, DONE, FAILED
from hilbertsd.report.layout import WIDTH
from hilbertsd.theory.attack import Effort
from hilbertsd.theory.page import page

GLANCE = Effort(points=32, population=8, generations=2, steps=0)


@pytest.fixture
def _glance(monkeypatch):
    """Searches as short as they can be; what they find is for the tests of the adversary."""
    monkeypatch.setattr(attack, "efforts", lambda: dict.fromkeys(attack.Budget, GLANCE))


@pytest.mark.usefixtures("_glance")
def test_attack_says_how_nearly_where_and_how_it_grows(capsys):
    assert main(["attack", "norm_drop", "--output", "found"]) == DONE
    out = capsys.readouterr().out
    assert "1 statement attacked: 0 violated, 0 undecided." in out
    assert "condition number: 1: " in " ".join(out.split())
    assert "eigenvalues" in out
    assert max(map(len, out.splitlines())) <= WIDTH
    names = ["attack.json", "tightness.pdf", "tightness.png"]
    assert sorted(os.listdir("found")) == names
    with open("found/attack.json", encoding="utf-8") as file:
        record = json.load(file)
    assert record["command"] == "hilbertsd attack norm_drop --budget standard --seed 0"
    entry = record["statements"]["norm_drop"]
    assert entry["violated"] is False
    assert 0 <= entry["slack"] < 1
    assert set(entry["by"]) == {"kappa", "nodes", "fits"}
    # the chain that it found is one that can be run
    result = hsd.self_distill(
        np.diag(entry["eigenvalues"]), np.array(entry["coordinates"]), entry["eps"], entry["fits"]
    )
    assert theory.check(result)


@pytest.mark.usefixtures("_glance")
def test_a_confirmed_violation_ends_with_exit_code_1(capsys, monkeypatch):
    pytest.importorskip("flint")
    plant_a_mistake(monkeypatch)
    assert main(["attack", "norm_drop"]) == FAILED
    assert "VIOLATED" in capsys.readouterr().out
    assert main(["attack", "norm_drop", "--json"]) == FAILED
    record = json.loads(capsys.readouterr().out)
    assert record["statements"]["norm_drop"]["violated"] is True
    assert "**violated**" in page(record)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["Proposition 17"], "guaranteed_rounds"), (["--budget", "endless"], "endless")],
)
def test_what_is_refused(capsys, arguments, message):
    code, said = refused(capsys, "attack", *arguments)
    assert code == BAD_INPUT
    assert message in said
