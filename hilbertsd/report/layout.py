"""How a report is set: lines of facts, and text of a fixed width without colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

WIDTH = 80
"""Columns of the plain text; every table fits."""


def plain(content: RenderableType, *, width: int = WIDTH, terminal: bool = False) -> str:
    """Return what rich would print as text, without trailing blanks."""
    import io

    from rich.console import Console

    file = io.StringIO()
    Console(file=file, width=width, force_terminal=terminal, highlight=False).print(content)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def grid(lines: Mapping[str, str]) -> Table:
    """Return named facts, one a line."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines.items():
        table.add_row(name, Text(value))
    return table
