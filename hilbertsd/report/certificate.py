"""What a certificate proves, as text for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from hilbertsd.report.layout import grid, plain

if TYPE_CHECKING:
    from hilbertsd.theory.certificate import Certificate

KINDS = ("proved", "refuted", "undecided", "not applicable")


def text(certificate: Certificate, heading: Mapping[str, str], seconds: float) -> str:
    """Return what a certificate decides as text: counts, then what is not simply proved.

    Parameters
    ----------
    heading
        Lines to put first.
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
    lines = {
        **heading,
        "Gram": "in rationals, from the kernel" if given.gram is None else "as floats, exactly",
        "rank": f"{certificate.rank} of {given.size}, proved; residual floor "
        f"{float(certificate.residual_floor):.6g}, exact",
        "chain": ended,
        "bits": f"{certificate.bits}, {seconds:.2g} seconds",
    }
    groups: dict[str, list[str]] = {}
    for verdict in certificate.verdicts:
        decision, note = verdict.verdict, verdict.holds_to or verdict.reason or ""
        if decision != "proved" or note:
            what = f"to {note} of its scale" if decision == "proved" else note
            groups.setdefault(" ".join(f"{decision} {what}".split()), []).append(verdict.title)
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
