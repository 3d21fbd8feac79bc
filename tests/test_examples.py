"""Every example runs, prints finite numbers."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", [str(path)])
    runpy.run_path(str(path), run_name="__main__")
    printed = capsys.readouterr().out
    assert re.search(r"\d", printed)
    assert not re.search(r"\bnan\b", printed)


def test_the_reference_row_is_reproduced(capsys):
    """Ridge 0.2 on exp(−80 (x − s)²): errors after 1..6 fits."""
    runpy.run_path(str(EXAMPLES[0].parent / "compare_filters.py"), run_name="__main__")
    row = capsys.readouterr().out.splitlines()[0]
    assert row.split()[-6:] == ["0.16477", "0.15076", "0.14915", "0.15561", "0.16735", "0.18251"]
