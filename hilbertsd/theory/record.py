"""The adversary's findings as plain data: what a run found, and the command that repeats it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from hilbertsd.version import __version__

if TYPE_CHECKING:
    from hilbertsd.theory.attack import Attack, Nearest

FORMAT, VERSION = "hilbertsd-attack", 3


def to_record(attacks: Iterable[Attack], command: str) -> dict[str, Any]:
    """Return the attacks as what JSON can hold; slacks where nothing was found become None.

    Parameters
    ----------
    attacks
        From :func:`hilbertsd.theory.attack.attack`, one a statement.
    command
        The command line that repeats them.
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        "hilbertsd": __version__,
        "command": command,
        "statements": {found.name: _entry(found) for found in attacks},
    }


def _entry(found: Attack) -> dict[str, Any]:
    return {
        "title": found.title,
        "kind": found.kind,
        **_nearest(found.nearest),
        "by": {
            name: [[value, _finite(slack)] for value, slack in line]
            for name, line in found.by.items()
        },
        "elsewhere": {name: _nearest(nearest) for name, nearest in found.elsewhere.items()},
    }


def _nearest(nearest: Nearest) -> dict[str, Any]:
    return {
        "slack": _finite(nearest.slack),
        "violated": nearest.violated,
        "confirmed_by": nearest.confirmed_by,
        "condition_number": _finite(nearest.condition_number),
        "label_ratio": _finite(nearest.label_ratio),
        "fits": nearest.fits,
        "collapsed": nearest.collapsed,
        "eigenvalues": _listed(nearest.eigenvalues),
        "coordinates": _listed(nearest.coordinates),
        "last": _listed(nearest.last),
        "eps": _listed(nearest.eps) if isinstance(nearest.eps, np.ndarray) else nearest.eps,
        "evaluations": nearest.evaluations,
        "seed": nearest.seed,
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _listed(values: np.ndarray | None) -> list[float] | None:
    return None if values is None else [float(value) for value in values]
