"""Running the command line, for its tests."""

import dataclasses
import json
import os

import hilbertsd as hsd
from hilbertsd.cli import main
from hilbertsd.cli.exits import DONE
from hilbertsd.theory import REGISTRY

GOOD = "x,y\n0.1,1\n0.4,2\n0.7,-1\n0.9,0.5\n"


def write(name, content):
    with open(name, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())
    return name


def run_json(capsys, *arguments):
    assert main(["distill", *arguments, "--json"]) == DONE
    return hsd.Distillation.from_json(capsys.readouterr().out)


def refused(capsys, *arguments):
    """Return the exit code and the message of a run that must fail, with nothing left behind."""
    before = sorted(os.listdir())
    code = main(list(arguments))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("hilbertsd: error: ")
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    assert sorted(os.listdir()) == before
    return code, captured.err


def verified(capsys, *arguments):
    assert main(["verify", *arguments, "--json"]) == DONE
    return json.loads(capsys.readouterr().out)


def by_name(document):
    return {entry["statement"]: entry for entry in document["verdicts"]}


def plant_a_mistake(monkeypatch):
    """A round takes at most half of √(Kε) off the label norm: false."""
    true = REGISTRY["norm_drop"]

    def sides(chain):
        return true.sides(chain)._replace(upper=0.5 * chain.s[:-1])

    monkeypatch.setitem(REGISTRY, "norm_drop", dataclasses.replace(true, sides=sides))
