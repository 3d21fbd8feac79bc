"""``python -m hilbertsd.theory --write docs/statements.md`` writes the page of statements."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from hilbertsd.storage import replacing
from hilbertsd.theory.instances import decided
from hilbertsd.theory.page import page

RECORD = "attack/attack.json"
FIGURE = "attack/tightness.png"
"""Beside the page: what ``hilbertsd attack --output`` writes."""


def written(path: Path) -> str:
    """Return the page as it belongs at ``path``, with the recorded run beside it, if any.

    Certificates are made anew, which takes a second and the extra ``certify``.
    """
    record = path.parent / RECORD
    found = json.loads(record.read_text(encoding="utf-8")) if record.exists() else None
    figure = FIGURE if (path.parent / FIGURE).exists() else None
    return page(found, figure, decided())


def main() -> None:
    """Write the page, or print it."""
    parser = argparse.ArgumentParser(prog="python -m hilbertsd.theory", description=__doc__)
    parser.add_argument("--write", metavar="FILE", type=Path, help="the page to write")
    path = parser.parse_args().write
    if path is None:
        sys.stdout.write(page())
        return
    with replacing(path) as file:
        file.write(written(path))


if __name__ == "__main__":
    main()
