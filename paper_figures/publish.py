"""How a figure and its caption get on disk, the same bytes in every run."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hilbertsd import plots
from hilbertsd.storage import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = Path(__file__).parent / "figures"
TEXT_WIDTH = 5.5
"""Inches of a page's text; a figure of this width is printed without being scaled."""


def publish(figure: Figure, caption: str, name: str, folder: Path) -> list[Path]:
    """Write ``name.pdf``, ``name.svg``, ``name.png`` and the caption ``name.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = plots.save(figure, folder / name, ("pdf", "svg", "png"))
    with replacing(folder / f"{name}.md") as file:
        file.write(filled(caption))
    return [*paths, folder / f"{name}.md"]


def filled(caption: str) -> str:
    """Return a caption's paragraphs in lines of 100 characters; tables stay as they are."""
    parts = [part.strip() for part in caption.split("\n\n")]
    return (
        "\n\n".join(
            part
            if part.startswith("|")
            else textwrap.fill(" ".join(part.split()), 100, break_on_hyphens=False)
            for part in parts
        )
        + "\n"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, its first column to the left and all others to the right.

    >>> print(table(("weight", "gain"), [("0.1", "+2.4 ± 0.9")]))
    | weight | gain |
    | :-- | --: |
    | 0.1 | +2.4 ± 0.9 |
    """
    line = (":--", *["--:"] * (len(head) - 1))
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, line, *rows))
