"""hilbertsd certify: certificates made, accepted and rejected."""

import dataclasses
import os
import re
import sys
from pathlib import Path

import pytest
from command import GOOD, refused, write

from hilbertsd.cli import main
from hilbertsd.cli.exits import BAD_FILE, BAD_INPUT, DONE, FAILED
from hilbertsd.cli.options import Options
from hilbertsd.report.layout import WIDTH


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
    assert max(map(len, out.splitlines())) <= WIDTH
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
    write("one.csv", GOOD)
    assert main(["certify", "one.csv", "--rounds", "1"]) == DONE
    out = capsys.readouterr().out
    assert "as floats, exactly" in out
    assert os.listdir("hilbertsd-out/certify") == ["certificate.json"]


def test_a_gram_matrix_that_rounding_leaves_indefinite_is_refused_with_a_way_out(capsys):
    pytest.importorskip("flint")
    rows = "".join(f"{k / 29},{(-1) ** k + k / 7}\n" for k in range(30))
    write("smooth.csv", "x,y\n" + rows)
    code, message = refused(capsys, "certify", "smooth.csv", "--kernel", "gaussian(2)")
    assert code == BAD_INPUT
    assert "has no rational form" in message
    assert "certify(" not in message  # no Python to a person at the shell
    (kernel,) = re.findall(r"--kernel '(.*?)'", message)
    assert main(["certify", "smooth.csv", "--kernel", kernel, "--rounds", "1"]) == DONE


def test_several_outputs_are_certified_each_or_jointly(capsys):
    pytest.importorskip("flint")
    write("two.csv", "x,a,b\n0.1,1,3\n0.4,2,-1\n0.7,-1,1\n0.9,0.5,2\n")
    targets = ["--target", "a", "--target", "b", "--kernel", "matern(0.5, 0.3)", "--rounds", "2"]
    assert main(["certify", "two.csv", *targets]) == DONE
    assert " statements on 2 outputs, " in capsys.readouterr().out
    assert main(["certify", "two.csv", *targets, "--joint"]) == DONE
    assert " 0 undecided, 0 not applicable." in capsys.readouterr().out
    assert main(["certify", "--check", "hilbertsd-out/certify/certificate.json"]) == DONE


def test_without_ball_arithmetic_one_line_says_how_to_install_it(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "flint", None)
    monkeypatch.delitem(sys.modules, "hilbertsd.theory.balls", raising=False)
    for arguments in (["certify"], ["certify", "--check", "a.json"]):
        assert main(arguments) == BAD_INPUT
        err = capsys.readouterr().err
        assert "pip install 'hilbertsd[certify]'" in err
        assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--dataset", "digits"], BAD_INPUT, "300"),
        (["--dataset", "diabetes"], BAD_INPUT, "300"),
        (["--check", "missing.json"], BAD_FILE, "missing.json"),
        (["--check", "a.json", "--output", "out"], BAD_INPUT, "--output"),
    ],
)
def test_what_is_refused(capsys, arguments, code, message):
    pytest.importorskip("flint")
    found, said = refused(capsys, "certify", *arguments)
    assert found == code
    assert message in said


GIVEN = {
    "file": ["one.csv"],
    "dataset": ["--dataset", "example"],
    "kernel": ["--kernel", "laplace"],
    "operator": ["--operator", "D"],
    "boundary": ["--boundary", "f(0)=0"],
    "interval": ["--interval", "0,1"],
    "eps": ["--eps", "0.5"],
    "rounds": ["--rounds", "0"],
    "target": ["--target", "y"],
    "drop": ["--drop", "x"],
    "header": ["--no-header"],
    "standardize": ["--standardize"],
    "center": ["--no-center"],
    "joint": ["--joint"],
}


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Options)])
def test_a_check_refuses_a_problem_beside_the_certificates_own(capsys, certificate, name):
    code, message = refused(capsys, "certify", "--check", str(certificate), *GIVEN[name])
    assert code == BAD_INPUT
    spelled = "FILE.csv" if name == "file" else f"--{name}"
    assert re.search(rf"take {spelled}\S* away$", message.strip())


def test_a_check_names_all_that_is_too_much(capsys, certificate):
    arguments = [*("--eps", "1"), "--no-header", "one.csv"]
    message = refused(capsys, "certify", "--check", str(certificate), *arguments)[1]
    assert message.endswith("; take FILE.csv, --eps, --header/--no-header away\n")
