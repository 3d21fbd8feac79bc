"""What a certificate proves, as text for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from hilbertsd.report.layout import grid, plain
from hilbertsd.report.numbers import short, span

if TYPE_CHECKING:
    from hilbertsd.theory.certificate import Certificate

KINDS = ("proved", "refuted", "undecided", "not applicable")


def text(certificate: Certificate, heading: Mapping[str, str], seconds: float) -> str:
    """Return what a certificate decides as text: counts, then what is not simply proved.

    Parameters
    ----------
    heading
        Lines to put first; a line "ε" says in words what the tolerance is.
    seconds
        The time it took.
    """
    from rich.console import Group
    from rich.text import Text

    given = certificate.problem
    fits = len(certificate.multipliers)
    ended = {
        "collapsed": f"proved: collapse at round {fits}",
        "running": f"proved: no collapse up to round {fits}",
        "undecided": f"{fits} fits are proved; whether another follows is undecided",
    }[certificate.outcome]
    lines = dict(heading)
    words = lines.pop("ε", "")
    lines |= {
        "ε": span(np.ravel(np.asarray(given.eps, dtype=float)), 6) + (f" = {words}" if words else ""),
        "Gram": "in rationals, from the kernel" if given.gram is None else "as floats, exactly",
        "rank": f"{certificate.rank} of {given.size}, proved; residual floor "
        f"{short(float(certificate.residual_floor), '.6g')}, exact",
        "chain": ended,
        "bits": f"{certificate.bits}, {seconds:.2g} seconds",
    }
    groups: dict[str, list[str]] = {}
    for verdict in certificate.verdicts:
        decision, note = verdict.verdict, verdict.holds_to or verdict.reason or ""
        if decision != "proved" or note:
            said = {"proved": f" to {note} of its scale", "not applicable": f", it needs {note}"}
            what = decision + said.get(decision, f", {note}" if note else "")
            groups.setdefault(what, []).append(verdict.title)
    count = len(certificate.verdicts)
    remarks = [f"{count} statements: {counted(v.verdict for v in certificate.verdicts)}."]
    remarks += [f"{what.capitalize()}: {'; '.join(titles)}." for what, titles in groups.items()]
    return plain(Group(grid(lines), Text(), *(Text(remark) for remark in remarks)))


def counted(decisions: Iterable[str]) -> str:
    """How many statements are decided in which way.

    Examples
    --------
    >>> counted(["proved", "undecided", "proved"])
    '2 proved, 0 refuted, 1 undecided, 0 not applicable'
    """
    seen = Counter(decisions)
    return ", ".join(f"{seen[kind]} {kind}" for kind in KINDS)
