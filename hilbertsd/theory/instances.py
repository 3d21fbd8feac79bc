"""The problems on which the documentation's certificates are made: every statement applies to one.

>>> sorted(problems())
['joint outputs', 'one scale', 'ramp', 'staircase', 'the 11 points']
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from hilbertsd import datasets
from hilbertsd.theory.certificate import Verdict


class Instance(NamedTuple):
    """The arguments of :func:`hilbertsd.certify`."""

    arguments: tuple[Any, ...]
    joint: bool = False


def problems() -> dict[str, Instance]:
    """Return the problems by name.

    The illustrative example on exact tenths, of rank 9 of 11; κ = 1; eigenvalues close to each
    other, with t̲ above 1; label energies a little above K ε on separate scales; two outputs.
    """
    from hilbertsd.kernels import cubic_spline

    tenths = [Fraction(k, 10) for k in range(11)]
    _, y = datasets.example()
    levels = 10.0 ** np.arange(-8, 1, 2)
    outputs = np.array([[1.0, 2.0], [0.0, 1.0], [3.0, 1.0]])
    return {
        "the 11 points": Instance((cubic_spline(), tenths, y, "0.045", 10)),
        "one scale": Instance((np.eye(4) / 4, np.ones(4), 1 / 8.5**2, 10)),
        "ramp": Instance((np.diag([1.0, 1.05, 1.1, 1.2]), np.ones(4), 0.03, 30)),
        "staircase": Instance((np.diag(levels), np.ones(5), 0.9 / 5, 20)),
        "joint outputs": Instance((np.diag([0.1, 0.5, 1.0]), outputs, 0.2), joint=True),
    }


def decided() -> dict[str, list[Verdict]]:
    """Certify all problems; return for each statement what was decided, one verdict a problem."""
    from hilbertsd.theory.certify import certify

    found: dict[str, list[Verdict]] = {}
    for arguments, joint in problems().values():
        for verdict in certify(*arguments, joint=joint).verdicts:
            found.setdefault(verdict.name, []).append(verdict)
    return found


def summary(verdicts: Iterable[Verdict]) -> str:
    """Say what ball arithmetic decided about one statement.

    Examples
    --------
    >>> proved = Verdict("", "", "", "proved", None, None)
    >>> summary([proved, proved._replace(holds_to="1e-30"), proved._replace(verdict="undecided")])
    'proved on 2 of 3, of them on 1 to 1e-30'
    """
    applicable = [v for v in verdicts if v.verdict != "not applicable"]
    if not applicable:
        return "applicable to none"
    if any(v.verdict == "refuted" for v in applicable):
        return "**refuted**"
    proved = [v for v in applicable if v.verdict == "proved"]
    rounded = [v.holds_to for v in proved if v.holds_to is not None]
    text = f"proved on {len(proved)} of {len(applicable)}"
    if not rounded:
        return text
    where = "" if len(rounded) == len(proved) else f"of them on {len(rounded)} "
    return f"{text}, {where}to {rounded[0]}"
