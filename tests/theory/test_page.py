"""The page of statements is fresh, complete, and names proofs that exist."""

import re
from pathlib import Path

import hilbertsd as hsd
from hilbertsd.theory import REGISTRY
from hilbertsd.theory.__main__ import written
from hilbertsd.theory.page import SYMPY, page

ROOT = Path(hsd.__file__).parents[1]


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
    proofs = Path(__file__).with_name("test_proofs.py").read_text(encoding="utf-8")
    defined = set(re.findall(r"^def (test_\w+)", proofs, re.MULTILINE))
    assert set(SYMPY) <= set(REGISTRY)
    assert {name for names in SYMPY.values() for name in names} <= defined
