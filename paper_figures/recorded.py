"""Data of figures that take minutes to measure, kept as ``results/NAME.json``.

A figure module with such data draws from the file; ``python -m paper_figures NAME --recompute``
measures again and replaces it; what is finished of an interrupted measurement is kept until then,
see `resumed`. Its ``compute()`` returns a frozen dataclass of arrays, numbers,
texts, lists and dictionaries of these.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hilbertsd.provenance import provenance
from hilbertsd.storage import replacing
from paper_figures.resumed import forget

RESULTS = Path(__file__).parent / "results"
MACHINE = "two cores"
NAMED = ("jax", "equinox", "optax", "sklearn")
"""Libraries whose versions are recorded where they were loaded."""

Data = TypeVar("Data")


def recorded(
    name: str,
    kind: type[Data],
    compute: Callable[[], Data],
    *,
    recompute: bool = False,
    machine: str = MACHINE,
    folder: Path = RESULTS,
) -> Data:
    """Return the data of a figure: read, or measured and written if asked or if there is no file.

    Parameters
    ----------
    name
        Of the figure; the file is ``folder/name.json``.
    kind
        The dataclass that ``compute`` returns.
    machine
        Where it is measured, in words: "two cores", "one NVIDIA H200".
    """
    path = folder / f"{name}.json"
    if not recompute and path.exists():
        return read(path, kind)
    data = compute()
    write(path, data, machine)
    forget(name)
    return data


def write(path: Path, data: Any, machine: str = MACHINE) -> None:
    """Write the data with the machine and the versions; no clock, no name of a computer."""
    loaded = {name: sys.modules[name].__version__ for name in NAMED if name in sys.modules}
    document = {
        "machine": machine,
        "versions": provenance()["versions"] | loaded,
        "data": {f.name: _plain(getattr(data, f.name)) for f in dataclasses.fields(data)},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        json.dump(document, file, indent=1, ensure_ascii=False)
        file.write("\n")


def read(path: Path, kind: type[Data]) -> Data:
    """Return what ``write`` wrote, bit for bit."""
    values = json.loads(path.read_text(encoding="utf-8"))["data"]
    return kind(**{name: _array(value) for name, value in values.items()})


def machine_of(name: str, folder: Path = RESULTS) -> str:
    """Return the words for the machine on which a figure's data were measured."""
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["machine"]


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {
            "dtype": value.dtype.name,
            "shape": list(value.shape),
            "values": value.ravel().tolist(),  # shortest decimals that read back exactly
        }
    return value.item() if isinstance(value, np.generic) else value


def _array(value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {"dtype", "shape", "values"}:
        return np.array(value["values"], dtype=value["dtype"]).reshape(value["shape"])
    return value
