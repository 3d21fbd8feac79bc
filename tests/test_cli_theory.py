"""verify, certify and attack as a person runs them: files, JSON, tables, and every exit code."""

import dataclasses
import json
import os
import re
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hilbertsd.cli_theory import FAILED
from typer.testing import CliRunner

import hilbertsd as hsd
from hilbertsd import bounds, cli, cli_theory, report, theory, verdicts
from hilbertsd.cli import BAD_FILE, BAD_INPUT, DONE, INFEASIBLE, main
from hilbertsd.theory import REGISTRY, examples
from hilbertsd.theory.__main__ import written
from hilbertsd.theory.attack import Effort
from hilbertsd.theory.page import SYMPY, page

ROOT = Path(hsd.__file__).parents[1]
SINGLE = "x,y\n0.1,1\n0.4,2\n0.7,-1\n0.9,0.5\n"
STATUSES = {"holds", "vacuous", "not applicable", "fails"}
DIGIT = 5e-3
"""Three printed digits against the number itself, relative."""


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def verified(capsys, *arguments):
    assert main(["verify", *arguments, "--json"]) == DONE
    return json.loads(capsys.readouterr().out)


def by_name(document):
    return {entry["statement"]: entry for entry in document["verdicts"]}


def write(path, text):
    Path(path).write_text(text, encoding="utf-8")


def plant_a_mistake(monkeypatch):
    """A round takes at most half of √(Kε) off the label norm: false."""
    true = REGISTRY["norm_drop"]

    def sides(chain):
        return true.sides(chain)._replace(upper=0.5 * chain.s[:-1])

    monkeypatch.setitem(REGISTRY, "norm_drop", dataclasses.replace(true, sides=sides))


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


# --- verify


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


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["verify", "--eps", "0.04"], INFEASIBLE, "0.0418"),
        (["verify", "--eps", "nought"], BAD_INPUT, "--eps"),
        (["verify", "missing.csv"], BAD_FILE, "missing.csv"),
        (["verify", "a.csv", "--dataset", "digits"], BAD_INPUT, "not both"),
        (["verify", "--drop", "x"], BAD_INPUT, "is for a file"),
        (["verify", "--dataset", "nothing"], BAD_INPUT, "nothing"),
        (["certify", "--dataset", "digits"], BAD_INPUT, "one output"),
        (["certify", "--dataset", "diabetes"], BAD_INPUT, "300"),
        (["certify", "--check", "missing.json"], BAD_FILE, "missing.json"),
        (["certify", "--check", "a.json", "--output", "out"], BAD_INPUT, "--output"),
        (["attack", "Proposition 17"], BAD_INPUT, "guaranteed_rounds"),
        (["attack", "--budget", "endless"], BAD_INPUT, "endless"),
    ],
)
def test_what_is_refused(capsys, arguments, code, message):
    if arguments[0] == "certify":
        pytest.importorskip("flint")
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("hilbertsd: error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert os.listdir() == []


def test_the_application_has_the_commands_and_their_help():
    runner = CliRunner()
    for command in ("verify", "certify", "attack"):
        result = runner.invoke(cli.app, [command, "--help"])
        assert result.exit_code == DONE
        assert "Exit codes" in result.output
        assert "1 a claim fails" in " ".join(result.output.split())
    shared = runner.invoke(cli.app, ["verify", "--help"]).output
    for option in ("--kernel", "--eps", "--rounds", "--joint", "--standardize", "--dataset"):
        assert option in shared


# --- the table and the figure


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("verbose", [False, True])
def test_the_table_fits_eighty_columns_and_cuts_nothing(name, verbose):
    result = chain(name)
    found = verdicts.readings(result)
    text = verdicts.text(result, found, {"data": name}, verbose=verbose)
    assert max(map(len, text.splitlines())) <= report.WIDTH
    assert "…" not in text
    assert "nan" not in text
    for claim in {reading.statement.name: reading.statement for reading in found}.values():
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
    found = {reading.statement.name: reading for reading in verdicts.readings(result)}
    text = verdicts.text(result, list(found.values()))
    (line,) = re.findall(r"^Proposition 4 +([\d.]+) +([\d.]+) +", text, re.MULTILINE)
    assert float(line[0]) == pytest.approx(found["guaranteed_rounds"].lower, rel=DIGIT)
    assert float(line[1]) == result.collapse_round
    for reading in found.values():
        if np.isfinite(reading.actual) and reading.verdict.slack is not None:
            room = reading.verdict.tolerance * max(abs(reading.actual), 1)
            assert reading.lower - room <= reading.actual <= reading.upper + room


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


# --- certify


@pytest.fixture
def certificate(capsys):
    pytest.importorskip("flint")
    assert main(["certify", "--output", "out"]) == DONE
    capsys.readouterr()
    return Path("out/certificate.json")


def test_the_example_is_certified_and_accepted(capsys, certificate):
    assert main(["certify", "--output", "again"]) == DONE
    out = capsys.readouterr().out
    assert "9 of 11, proved" in out
    assert "proved: collapse at round 4" in out
    assert " 0 refuted, 0 undecided" in out
    assert max(map(len, out.splitlines())) <= report.WIDTH
    assert main(["certify", "--check", str(certificate)]) == DONE
    out = capsys.readouterr().out
    assert out.startswith("accepted: ")
    assert "collapse at round 4" in out


def test_an_altered_certificate_is_rejected_with_the_reason(capsys, certificate, monkeypatch):
    text = certificate.read_text(encoding="utf-8")
    write("altered.json", text.replace('"nullity": 2', '"nullity": 1'))
    Path("binary.json").write_bytes(b"\xff\xfe\x00")
    for name, reason in (("altered.json", "digest"), ("binary.json", "UTF-8")):
        assert main(["certify", "--check", name]) == FAILED
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith(f"hilbertsd: rejected: {name}: ")
        assert reason in captured.err
        assert captured.err.count("\n") == 1
    monkeypatch.setattr("hilbertsd.theory.certificate.MOST_BYTES", 100)
    assert main(["certify", "--check", str(certificate)]) == FAILED
    assert "at most 100 bytes" in capsys.readouterr().err


def test_kernels_that_are_not_rational_are_certified_on_their_floats(capsys):
    pytest.importorskip("flint")
    write("one.csv", SINGLE)
    assert main(["certify", "one.csv", "--rounds", "1"]) == DONE
    out = capsys.readouterr().out
    assert "as floats, exactly" in out
    assert os.listdir("hilbertsd-out") == ["certificate.json"]


def test_without_ball_arithmetic_one_line_says_how_to_install_it(capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "flint", None)
    for arguments in (["certify"], ["certify", "--check", "a.json"]):
        assert main(arguments) == BAD_INPUT
        err = capsys.readouterr().err
        assert "pip install 'hilbertsd[certify]'" in err
        assert err.count("\n") == 1


# --- attack

GLANCE = Effort(points=32, population=8, generations=2, steps=0)


@pytest.fixture
def _glance(monkeypatch):
    """Searches as short as they can be; what they find is for the tests of the adversary."""
    monkeypatch.setattr(cli_theory, "efforts", lambda: dict.fromkeys(cli_theory.Budget, GLANCE))


@pytest.mark.usefixtures("_glance")
def test_attack_says_how_nearly_where_and_how_it_grows(capsys):
    assert main(["attack", "norm_drop", "--output", "found"]) == DONE
    out = capsys.readouterr().out
    assert "1 statement attacked: 0 violated, 0 undecided." in out
    assert "condition number: 1: " in " ".join(out.split())
    assert "eigenvalues" in out
    assert max(map(len, out.splitlines())) <= report.WIDTH
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


# --- the page


def test_the_page_is_fresh():
    path = ROOT / "docs" / "statements.md"
    with open(path, encoding="utf-8") as file:
        assert file.read() == written(path), "run: python -m hilbertsd.theory --write " + str(path)


def test_the_page_has_a_row_and_an_entry_for_every_statement():
    text = " ".join(page().split())
    for name, statement in REGISTRY.items():
        assert text.count(f"](#{name})") == text.count(f'<a id="{name}">') == 1
        assert statement.source.replace("*", "\\*").replace("_", "\\_") in text
        assert all(hypothesis.name.replace("_", "\\_") in text for hypothesis in statement.requires)
    assert "hilbertsd attack --" in text


def test_the_proofs_that_the_page_names_exist():
    proofs = (Path(__file__).parent / "theory" / "test_proofs.py").read_text(encoding="utf-8")
    defined = set(re.findall(r"^def (test_\w+)", proofs, re.MULTILINE))
    assert set(SYMPY) <= set(REGISTRY)
    assert {name for names in SYMPY.values() for name in names} <= defined
