"""Numbers read from a table in a text file; every refusal names the file, the line and the cell."""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from hilbertsd.errors import HilbertSDError

DELIMITERS = ",;\t"
DECIMAL_COMMA = "decimal comma? write a point"


@dataclass(frozen=True, eq=False)
class Table:
    """Points and labels from a file.

    Attributes
    ----------
    x
        (K, p) features, one named by each of ``features``.
    y
        (K, Q) labels, one column named by each of ``targets``.
    features, targets
        Names of the columns; "column 3" where the file has no header.
    sha256
        Of the bytes of the file.
    name
        Of the file, without its folder; "standard input".
    """

    x: np.ndarray
    y: np.ndarray
    features: tuple[str, ...]
    targets: tuple[str, ...]
    sha256: str
    name: str


def read_table(
    path: str | PathLike[str],
    *,
    targets: Sequence[str] = (),
    drop: Sequence[str] = (),
    header: bool | None = None,
) -> Table:
    r"""Read a table of numbers separated by commas, semicolons or tabs, in UTF-8.

    Parameters
    ----------
    path
        Of the file; "-" reads standard input.
    targets
        Columns that are labels, by name or by index (0 is the first column, -1 the last one);
        without any, the last column that is not dropped.
    drop
        Columns to leave out, by name or by index; their cells need not be numbers.
    header
        Whether the first line holds names; None finds out.

    Raises
    ------
    HilbertSDError
        If the content is not such a table; the message names the line and the cell.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "data.csv"
    ...     _ = path.write_text("x,y\n0.5,1\n0.75,2\n")
    ...     table = read_table(path)
    >>> table.features, table.y.tolist()
    (('x',), [[1.0], [2.0]])
    """
    if str(path) == "-":
        name, content = "standard input", sys.stdin.buffer.read()
    else:
        name, content = Path(path).name, Path(path).read_bytes()
    rows = _rows(_decoded(content, name), name)
    names = _names(rows, header, name)
    first = 0 if names is None else 1
    labels = [f"column {i}" for i in range(len(rows[0].cells))]
    if names is not None:
        labels = [given or label for given, label in zip(names, labels, strict=True)]
    if len(rows) < first + 2:
        found = "one row of data" if len(rows) > first else "a header but no data"
        raise HilbertSDError(f"{name} has {found}; at least two rows are needed")

    if len(labels) == 1:
        raise HilbertSDError(
            f"{name}, line {rows[0].line}: the first line has one cell, {_cut(rows[0].cells[0])}, "
            "which leaves no column for the features; separate columns by commas, semicolons or "
            "tabs, and take lines of comment out"
        )
    dropped = [_column(text, labels, name, "--drop") for text in drop]
    kept = [i for i in range(len(labels)) if i not in dropped]
    chosen = [_column(text, labels, name, "--target") for text in targets] or kept[-1:]
    features = [i for i in kept if i not in chosen]
    if clash := set(chosen) & set(dropped):
        raise HilbertSDError(f"{labels[clash.pop()]!r} is both a target and dropped")
    if len(set(chosen)) < len(chosen):
        raise HilbertSDError("a column is named twice as a target")
    if not features or not chosen:
        raise HilbertSDError(
            f"{name} leaves no column for the features: of its {len(labels)} column(s), "
            f"{len(chosen)} hold the labels and {len(dropped)} are dropped"
        )

    values = np.zeros((len(rows) - first, len(labels)))
    for i, row in enumerate(rows[first:]):
        if len(row.cells) != len(labels):
            raise HilbertSDError(
                f"{name}, line {row.line}: {len(row.cells)} cell(s), but line {rows[0].line} has "
                f"{len(labels)}"
            )
        for j in kept:
            values[i, j] = _number(row, j, labels[j], name)
    return Table(
        x=values[:, features],
        y=values[:, chosen],
        features=tuple(labels[j] for j in features),
        targets=tuple(labels[j] for j in chosen),
        sha256=hashlib.sha256(content).hexdigest(),
        name=name,
    )


@dataclass(frozen=True)
class _Row:
    line: int
    cells: list[str]


def _decoded(content: bytes, name: str) -> str:
    if b"\0" in content:
        raise HilbertSDError(f"{name} is not text: it holds zero bytes; save the table as CSV")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise HilbertSDError(
            f"{name}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8 text; save the "
            "table as CSV in UTF-8"
        ) from None


def _rows(text: str, name: str) -> list[_Row]:
    start = text.lstrip().partition("\n")[0]
    delimiter = next((mark for mark in DELIMITERS if mark in start), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, line = [], 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):  # blank lines separate nothing
                rows.append(_Row(line, [cell.strip() for cell in cells]))
            line = reader.line_num + 1
    except csv.Error as error:
        raise HilbertSDError(f"{name}, line {line}: {error}") from None
    if not rows:
        raise HilbertSDError(f"{name} is empty; at least two rows of numbers are needed")
    return rows


def _names(rows: list[_Row], header: bool | None, name: str) -> list[str] | None:
    """Return the header's names, or None if the first line holds data."""
    cells = rows[0].cells
    words = [cell for cell in cells if _parsed(cell) is None]
    if header is None and 0 < len(words) < len(cells):
        number = next(cell for cell in cells if _parsed(cell) is not None)
        raise HilbertSDError(
            f"{name}, line {rows[0].line}: {words[0]!r} is no number and {number!r} is one, so "
            "this may be a header or data; say --header or --no-header"
            + (f"; {DECIMAL_COMMA}" if any(";" in word for word in words) else "")
        )
    if header is False or (header is None and not words):
        return None
    repeated = next((cell for i, cell in enumerate(cells) if cell and cell in cells[:i]), None)
    if repeated is not None:
        raise HilbertSDError(
            f"{name}, line {rows[0].line}: two columns are named {repeated!r}; rename one"
        )
    return cells


def _column(text: str, labels: list[str], name: str, option: str) -> int:
    if text in labels:
        return labels.index(text)
    try:
        index = int(text)
    except ValueError:
        parts = [part.strip() for part in text.split(",")]
        if len(parts) > 1 and all(part in labels or _parsed(part) is not None for part in parts):
            several = " ".join(f"{option} {part}" for part in parts)
            raise HilbertSDError(
                f"{option} takes one column, got {text!r}; repeat {option}: {several}"
            ) from None
        close = difflib.get_close_matches(text, labels, n=3)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else _listed(labels)
        raise HilbertSDError(f"{option}: {name} has no column {text!r}; {hint}") from None
    if not -len(labels) <= index < len(labels):
        raise HilbertSDError(
            f"{option}: {name} has no column {index}; its columns are 0 to {len(labels) - 1}"
        )
    return index % len(labels)


def _listed(labels: list[str]) -> str:
    shown = ", ".join(map(repr, labels[:10]))
    return f"it has {shown}" + (f" and {len(labels) - 10} more" if len(labels) > 10 else "")


def _parsed(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)  # Python reads 1_000, tables do not mean it
    except ValueError:
        return None


def _number(row: _Row, index: int, label: str, name: str) -> float:
    cell = row.cells[index]
    value = _parsed(cell)
    if value is not None and math.isfinite(value):
        return value
    column = label if label == f"column {index}" else f"column {label!r}"
    what = (
        "the cell is empty"
        if not cell
        else f"{_cut(cell)} is not a number"
        if value is None
        else f"{_cut(cell)} is not finite"
    )
    if re.fullmatch(r"[+-]?\d+,\d+([eE][+-]?\d+)?", cell):
        raise HilbertSDError(f"{name}, line {row.line}, {column}: {what}; {DECIMAL_COMMA}")
    raise HilbertSDError(
        f"{name}, line {row.line}, {column}: {what}; correct it, remove the row, or leave the "
        "column out with --drop"
    )


def _cut(cell: str) -> str:
    return repr(cell) if len(cell) <= 40 else repr(cell[:40]) + " and more"
