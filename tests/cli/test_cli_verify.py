"""hilbertsd verify: every statement judged, its numbers, and the exit codes."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from command import by_name, plant_a_mistake, verified, write

import hilbertsd as hsd
from hilbertsd.cli import main
from hilbertsd.cli.exits import DONE, FAILED
from hilbertsd.theory import REGISTRY, examples

DOCS = Path(Path(hsd.__file__).parents[1], "docs", "checking-the-theory.md")
STATUSES = {"holds", "vacuous", "undecided", "not applicable", "fails"}


def test_the_example_holds_and_all_the_files_are_there(capsys):
    assert main(["verify"]) == DONE
    out = capsys.readouterr().out
    assert f"{len(REGISTRY)} statements: " in out
    assert " 0 fail.\n" in out
    names = ["bounds.pdf", "bounds.png", "verdicts.json", "verdicts.txt"]
    assert sorted(os.listdir("hilbertsd-out/verify")) == names
    with open("hilbertsd-out/verify/verdicts.txt", encoding="utf-8") as file:
        assert out.startswith(file.read())


def test_one_line_says_from_which_round_statements_speak(capsys):
    x, y = hsd.datasets.example()
    result = hsd.self_distill(hsd.gram(hsd.kernels.cubic_spline(), x), y, 0.045, 10)
    ratio, left = result.label_ratios[1], result.collapse_round - 1
    assert main(["verify"]) == DONE
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "Rank 9 < 11: statements about a chain of labels in the range of G start at round 1" in said
    )
    assert f"with r_1 = {ratio:.3g} and {left} fits from there on, because round 0" in said
    document = verified(capsys)
    starts = {name: entry["from_round"] for name, entry in by_name(document).items()}
    assert starts["multiplier_bracket"] == 0
    assert starts["label_norm_lower_bound"] == 1


def test_json_holds_the_numbers_that_the_verdicts_are_about(capsys):
    x, y = hsd.datasets.example()
    result = hsd.self_distill(hsd.gram(hsd.kernels.cubic_spline(), x), y, 0.045, 10)
    chain = verified(capsys)["chain"]
    assert chain["eps"] == [0.045]
    assert chain["r_0"] == pytest.approx([result.label_ratios[0]])
    assert chain["residual_floor"] == pytest.approx([float(result.spectrum.residual_floor)])
    assert (chain["collapse_round"], chain["rank"], chain["points"]) == ([4], 9, 11)


def test_where_all_has_collapsed_at_the_start_little_is_said_and_nothing_drawn(capsys):
    assert main(["verify"]) == DONE
    capsys.readouterr()
    assert main(["verify", "--eps", "100"]) == DONE
    out = capsys.readouterr().out
    assert "Everything has collapsed at the start" in out
    assert "1 hold, 3 vacuous" in out
    assert "n/a" not in out
    assert out.endswith("; removed its bounds.pdf and bounds.png\n")
    assert sorted(os.listdir("hilbertsd-out/verify")) == ["verdicts.json", "verdicts.txt"]


def test_details_give_the_name_by_which_a_statement_is_attacked(capsys):
    assert main(["verify", "-v"]) == DONE
    out = " ".join(capsys.readouterr().out.split())
    for name, statement in REGISTRY.items():
        assert f"{statement.title} ({name}): " in out
    assert "of the chain from round 1 on, which it calls round 0" in out


@pytest.mark.skipif(not DOCS.exists(), reason="the documentation is not here")
def test_the_documented_tables_are_what_is_printed(capsys):
    blocks = re.findall(r"```text\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert main(["verify", "--dataset", "headline"]) == DONE
    headline = capsys.readouterr().out.splitlines()
    assert not any("start at round" in line for line in headline)  # of full rank
    assert main(["verify"]) == DONE
    example = capsys.readouterr().out
    assert blocks[0].startswith("$ hilbertsd verify --dataset headline\n")
    assert set(blocks[0].splitlines()[1:]) <= set(headline)
    assert blocks[1] in example


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
    result = hsd.self_distill(*examples.headline(), keep_eigenvectors=True)
    known = hsd.theory.check(result)
    assert [entry["actual"] for entry in document["verdicts"]] == pytest.approx(
        [verdict.actual if np.isfinite(verdict.actual) else None for verdict in known]
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
    count = len(REGISTRY)
    assert f"{count} statements on 2 outputs, {2 * count} verdicts: " in " ".join(out.split())
    # the line shows the output that has the least slack
    of = {e["output"]: e for e in document["verdicts"] if e["statement"] == "weight_ratio"}
    nearest = min(of, key=lambda output: of[output]["slack"])
    assert len(re.findall(rf"^Theorem 5 .* {nearest} holds$", out, re.MULTILINE)) == 1


def test_a_failing_statement_ends_with_exit_code_1(capsys, monkeypatch):
    plant_a_mistake(monkeypatch)
    assert main(["verify"]) == FAILED
    out = capsys.readouterr().out
    assert "FAILS" in out
    assert "1 fail.\n" in out
    assert "Fails, violated at" in out
    assert main(["verify", "--json"]) == FAILED
    assert by_name(json.loads(capsys.readouterr().out))["norm_drop"]["status"] == "fails"
