"""hilbertsd verify: every statement judged, its numbers, and the exit codes."""

import json
import os
import re

import numpy as np
import pytest
from command import by_name, plant_a_mistake, verified, write

import hilbertsd as hsd
from hilbertsd.cli import main
from hilbertsd.cli.exits import DONE, FAILED
from hilbertsd.report import verdicts
from hilbertsd.theory import REGISTRY, examples

STATUSES = {"holds", "vacuous", "not applicable", "fails"}


def test_the_example_holds_and_all_the_files_are_there(capsys):
    assert main(["verify"]) == DONE
    out = capsys.readouterr().out
    assert f"{len(REGISTRY)} statements: " in out
    assert " 0 fail.\n" in out
    names = ["bounds.pdf", "bounds.png", "chain.json", "table.txt", "verdicts.json"]
    assert sorted(os.listdir("hilbertsd-out")) == names
    with open("hilbertsd-out/table.txt", encoding="utf-8") as file:
        assert out.startswith(file.read())
    with open("hilbertsd-out/chain.json", encoding="utf-8") as file:
        assert hsd.Distillation.from_json(file.read()).collapse_round == 4


def test_json_has_every_statement_with_its_numbers(capsys):
    document = verified(capsys)
    assert os.listdir() == []
    assert [entry["statement"] for entry in document["verdicts"]] == list(REGISTRY)
    assert {entry["status"] for entry in document["verdicts"]} <= STATUSES - {"fails"}
    assert sum(document["summary"].values()) == len(REGISTRY)
    assert document["problem"]["kernel"] == "cubic_spline()"
    entry = by_name(document)["multiplier_bracket"]
    assert entry["lower"] < entry["actual"] < entry["upper"]
    assert entry["slack"] > 0
    vacuous = by_name(document)["guaranteed_rounds"]
    assert vacuous["status"] == "vacuous"
    assert vacuous["lower"] < 1
    assert vacuous["upper"] is None


def test_the_headline_says_something(capsys):
    document = verified(capsys, "--dataset", "headline")
    entries = by_name(document)
    assert entries["guaranteed_rounds"]["status"] == "holds"
    assert entries["guaranteed_rounds"]["lower"] >= 3
    assert document["summary"]["vacuous"] == document["summary"]["fails"] == 0
    result = hsd.self_distill(*examples.headline())
    known = verdicts.readings(result)
    assert [entry["actual"] for entry in document["verdicts"]] == pytest.approx(
        [reading.actual if np.isfinite(reading.actual) else None for reading in known]
    )


def test_a_singular_gaussian_gram_holds(capsys):
    rng = np.random.default_rng(5)
    x = np.sort(rng.random(60))
    y = np.sin(7 * x) + 0.3 * rng.standard_normal(60)
    write("sixty.csv", "x,y\n" + "".join(f"{a},{b}\n" for a, b in zip(x, y, strict=True)))
    document = verified(capsys, "sixty.csv", "--kernel", "gaussian(1)")
    assert document["summary"]["fails"] == 0
    assert document["summary"]["holds"] > len(REGISTRY) / 2
    assert main(["verify", "sixty.csv", "--kernel", "gaussian(1)"]) == DONE
    (rank,) = re.findall(r"rank +(\d+) of 60", capsys.readouterr().out)
    assert int(rank) < 60


def test_several_outputs_are_one_line_a_statement(capsys):
    write("two.csv", "x,a,b\n0.1,1,3\n0.4,2,-1\n0.7,-1,1\n0.9,0.5,2\n")
    targets = ["--target", "a", "--target", "b", "--kernel", "matern(0.5, 0.3)"]
    document = verified(capsys, "two.csv", *targets)
    assert len(document["verdicts"]) == 2 * len(REGISTRY)
    assert {entry["output"] for entry in document["verdicts"]} == {0, 1}
    assert main(["verify", "two.csv", *targets]) == DONE
    out = capsys.readouterr().out
    assert f"{len(REGISTRY)} statements on 2 outputs" in out
    assert len(re.findall(r"^Theorem 5 .* holds$", out, re.MULTILINE)) == 1


def test_a_failing_statement_ends_with_exit_code_1(capsys, monkeypatch):
    plant_a_mistake(monkeypatch)
    assert main(["verify"]) == FAILED
    out = capsys.readouterr().out
    assert "FAILS" in out
    assert "1 fail.\n" in out
    assert "Fails, violated at" in out
    assert main(["verify", "--json"]) == FAILED
    assert by_name(json.loads(capsys.readouterr().out))["norm_drop"]["status"] == "fails"
