"""What a certificate proves, as text for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from hilbertsd.report.layout import grid, plain
from hilbertsd.report.numbers import span

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

    given, chains = certificate.problem, certificate.chains
    lines = dict(heading)
    words = lines.pop("ε", "")
    floors = np.array([float(chain.residual_floor) for chain in chains])
    lines |= {
        "ε": span(given.eps.astype(float), 6) + (f" = {words}" if words else ""),
        "Gram": "in rationals, from the kernel" if given.gram is None else "as floats, exactly",
        "rank": f"{certificate.rank} of {given.size}, proved; residual floor {span(floors, 6)}, "
        "exact",
        "chain": ended(certificate),
        "bits": f"{certificate.bits}, {seconds:.2g} seconds",
    }
    groups: dict[str, Counter[str]] = {}
    for verdict in certificate.verdicts:
        decision, note = verdict.verdict, verdict.holds_to or verdict.reason or ""
        if decision != "proved" or note:
            said = {"proved": f" to {note} of its scale", "not applicable": f", it needs {note}"}
            what = decision + said.get(decision, f", {note}" if note else "")
            groups.setdefault(what, Counter())[verdict.title] += 1
    count, several = len(certificate.verdicts), len(chains) > 1
    on = f" on {len(chains)} outputs, {count} verdicts" if several else ""
    decisions = counted(verdict.verdict for verdict in certificate.verdicts)
    remarks = [f"{count // len(chains)} statements{on}: {decisions}."]
    for what, titles in groups.items():
        named = [
            title if seen == len(chains) else f"{title} ({seen} of {len(chains)} outputs)"
            for title, seen in titles.items()
        ]
        remarks.append(f"{what.capitalize()}: {'; '.join(named)}.")
    return plain(Group(grid(lines), Text(), *(Text(remark) for remark in remarks)))


def ended(certificate: Certificate) -> str:
    """How the chains end, by output where there are several."""
    ends: dict[str, list[str]] = {}
    for output, chain in enumerate(certificate.chains):
        fits = len(chain.multipliers)
        end = {
            "collapsed": f"proved: collapse at round {fits}",
            "running": f"proved: no collapse up to round {fits}",
            "undecided": f"{fits} fits are proved; whether another follows is undecided",
        }[chain.outcome]
        ends.setdefault(end, []).append(str(output))
    if len(ends) == 1:
        return next(iter(ends))
    return "; ".join(
        f"output{'s' * (len(which) > 1)} {', '.join(which)} {end}" for end, which in ends.items()
    )


def counted(decisions: Iterable[str]) -> str:
    """How many statements are decided in which way.

    Examples
    --------
    >>> counted(["proved", "undecided", "proved"])
    '2 proved, 0 refuted, 1 undecided, 0 not applicable'
    """
    seen = Counter(decisions)
    return ", ".join(f"{seen[kind]} {kind}" for kind in KINDS)
