"""Measurements on disk: one JSON file a machine, whose entries are replaced one by one."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from benchmarks.measure import Bound, Comparison, Sweep
from hilbertsd.provenance import provenance
from hilbertsd.storage import replacing

RESULTS = Path(__file__).parent / "results"
NAMED = ("jax", "sklearn", "torch", "gpytorch", "pykeops")
"""Peers whose versions are recorded where they were loaded."""


def load(machine: str, folder: Path = RESULTS) -> dict[str, Any]:
    """Return what a machine's file holds; an empty document where there is none."""
    path = folder / f"{machine}.json"
    if not path.exists():
        return {"machine": {"name": machine}, "comparisons": {}, "sweeps": {}}
    return json.loads(path.read_text())


def machines(folder: Path = RESULTS) -> list[str]:
    """Names of the machines that have a file."""
    return sorted(path.stem for path in folder.glob("*.json"))


def store(
    machine: str,
    key: str,
    result: Comparison | Bound | Sweep,
    quick: bool,
    folder: Path = RESULTS,
) -> Path:
    """Put one result in the machine's file, in place of an earlier one of the same name."""
    document = load(machine, folder)
    document["machine"] = _machine(machine)
    kind = "sweeps" if isinstance(result, Sweep) else "comparisons"
    document[kind][key] = {"quick": quick, "versions": _versions(), **result.record()}
    path = folder / f"{machine}.json"
    with replacing(path) as file:
        json.dump(document, file, indent=1)
        file.write("\n")
    return path


def _machine(name: str) -> dict[str, Any]:
    from threadpoolctl import threadpool_info

    affinity = getattr(os, "sched_getaffinity", None)  # a container may have fewer than there are
    return {
        "name": name,
        "processor": platform.machine(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "blas_threads": sorted({pool["num_threads"] for pool in threadpool_info()}),
    }


def _versions() -> dict[str, str]:
    loaded = {name: sys.modules[name].__version__ for name in NAMED if name in sys.modules}
    return provenance()["versions"] | loaded
