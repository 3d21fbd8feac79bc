"""What made a result: versions, linear algebra library, settings. No clock, no machine name."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np

from hilbertsd.version import __version__


def provenance(**settings: Any) -> dict[str, Any]:
    """Versions of what computes, the BLAS behind it, and the settings of the run."""
    import scipy

    versions = {
        "hilbertsd": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }
    return {"versions": versions, "blas": _blas(scipy), "settings": settings}


def _blas(module: Any) -> str:
    build = module.show_config(mode="dicts") or {}
    blas = build.get("Build Dependencies", {}).get("blas", {})
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()
