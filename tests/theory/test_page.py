"""The page of statements is fresh, complete, and names proofs that exist."""

import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest

import hilbertsd as hsd
from hilbertsd.theory import REGISTRY
from hilbertsd.theory.__main__ import written
from hilbertsd.theory.confirmation import confirm
from hilbertsd.theory.instances import decided
from hilbertsd.theory.page import BY_CONSTRUCTION, COMMAND, SYMPY, page

ROOT = Path(hsd.__file__).parents[1]
SAME = 1e-6
"""A slack against the recorded one, from the floats of its chain."""


def test_the_page_is_fresh():
    pytest.importorskip("flint", reason="certificates need python-flint, the extra 'certify'")
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
    assert set(REGISTRY) > BY_CONSTRUCTION


def test_every_statement_is_proved_and_certified():
    pytest.importorskip("flint", reason="certificates need python-flint, the extra 'certify'")
    found = decided()
    assert set(found) == set(REGISTRY)
    for name, statement in REGISTRY.items():
        claim, *proof = inspect.cleandoc(statement.__doc__).split("\n\n")
        assert claim
        assert proof, f"{name} has no proof"
        applicable = {v.verdict for v in found[name]} - {"not applicable"}
        assert applicable == {"proved"}, name
    assert ":func:" not in page(decided=found)
    assert "**refuted**" not in page(decided=found)
    refuted = found["norm_drop"][0]._replace(verdict="refuted")
    assert "**refuted**" in page(decided=found | {"norm_drop": [refuted]})


def test_the_record_of_the_adversary_is_not_stale():
    """On the nearest chain that it recorded every statement has the slack that it recorded."""
    with open(ROOT / "docs" / "attack" / "attack.json", encoding="utf-8") as file:
        record = json.load(file)
    run = f"run: {COMMAND}"
    found = record["statements"]
    assert list(found) == list(REGISTRY), run
    for name, statement in REGISTRY.items():
        entry = found[name]
        assert (entry["title"], entry["kind"]) == (statement.title, statement.kind), run
        s = np.sqrt(entry["eps"] * len(entry["eigenvalues"]))
        verdict = confirm(statement, entry["eigenvalues"], entry["last"], entry["fits"], s)
        assert abs(verdict.slack - entry["slack"]) <= SAME * (1 + entry["slack"]), f"{name}; {run}"


def test_the_proofs_that_the_page_names_exist():
    proofs = Path(__file__).with_name("test_proofs.py").read_text(encoding="utf-8")
    defined = set(re.findall(r"^def (test_\w+)", proofs, re.MULTILINE))
    assert set(SYMPY) <= set(REGISTRY)
    assert {name for names in SYMPY.values() for name in names} <= defined
