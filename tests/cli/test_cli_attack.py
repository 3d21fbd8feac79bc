"""hilbertsd attack: what it says, what it writes, and the exit codes."""

import json
import os
import re

import numpy as np
import pytest
from command import plant_a_mistake, refused

import hilbertsd as hsd
from hilbertsd import theory
from hilbertsd.cli import attack, main
from hilbertsd.cli.exits import BAD_FILE, BAD_INPUT, DONE, FAILED, INTERRUPTED
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
    for symbol, first in (("κ", 1), ("m", 2), ("n", 1)):
        assert re.search(rf"^slack by {symbol} +\S+ at {symbol} = {first}, ", out, re.MULTILINE)
    assert re.search("^eigenvalues +[0-9.]+, ", out, re.MULTILINE)
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
    [
        (["Proposition 17"], "did you mean "),
        (["guarranteed_rounds"], "did you mean guaranteed_rounds"),
        (["collapse"], "collapse_criterion, rounds_at_least"),
        (["zzz"], "'hilbertsd verify -v' lists all"),
        ([""], "no statement ''"),
        (["--budget", "endless"], "'endless' is not one of"),
        (["--seed", "-1"], "see 'hilbertsd attack --help'"),
    ],
)
def test_what_is_refused(capsys, arguments, message):
    code, said = refused(capsys, "attack", *arguments)
    assert code == BAD_INPUT
    assert message in said


@pytest.mark.parametrize("text", ["norm_drop", "norm drop", "Theorem_5"])
def test_a_statement_is_found_by_its_name_or_its_title(text):
    assert attack.named(text).name == ("weight_ratio" if "5" in text else "norm_drop")
    for claim in theory.REGISTRY.values():
        assert attack.named(claim.name) is claim
        assert attack.named(claim.title.upper()) is claim


@pytest.fixture
def _interrupted_at_the_third(monkeypatch):
    from hilbertsd.theory import attack as adversary

    true, calls = adversary.attack, []

    def search(claim, *arguments, **keywords):
        calls.append(claim)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return true(claim, *arguments, **keywords)

    monkeypatch.setattr(adversary, "attack", search)


@pytest.mark.usefixtures("_glance", "_interrupted_at_the_third")
def test_an_interrupt_prints_and_saves_what_is_finished(capsys):
    assert main(["attack", "--output", "found"]) == INTERRUPTED
    captured = capsys.readouterr()
    assert "2 statements attacked: " in captured.out
    assert "stopped after 2 of " in captured.err
    with open("found/attack.json", encoding="utf-8") as file:
        assert list(json.load(file)["statements"]) == list(theory.REGISTRY)[:2]


@pytest.mark.usefixtures("_glance")
def test_an_interrupt_before_anything_is_finished_leaves_nothing(capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("hilbertsd.theory.attack.attack", interrupted)
    assert main(["attack", "--output", "found"]) == INTERRUPTED
    assert capsys.readouterr().out == ""
    assert os.listdir() == []


@pytest.mark.usefixtures("_glance")
def test_the_table_is_printed_even_where_it_cannot_be_saved(capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "attack.json")

    monkeypatch.setattr(attack, "write_texts", full)
    assert main(["attack", "norm_drop", "--output", "found"]) == BAD_FILE
    captured = capsys.readouterr()
    assert "1 statement attacked" in captured.out
    assert "attack.json: No space left on device" in captured.err
