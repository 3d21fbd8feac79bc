"""What became of the statements on one chain: a verdict each, and all of them together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from hilbertsd.errors import HilbertSDError
from hilbertsd.theory.statement import REGISTRY

Status = Literal["holds", "vacuous", "undecided", "not applicable", "fails"]


@dataclass(frozen=True)
class Verdict:
    """What became of one statement on one chain.

    Attributes
    ----------
    statement, title
        Its name in the registry, and its title.
    status
        ``"holds"``; ``"vacuous"``: it holds, and says nothing that was not known without it;
        ``"undecided"``: whether it applies is within rounding, or the chain's own error is too
        large a share of what the statement compares; ``"not applicable"``: a hypothesis fails;
        ``"fails"``: violated beyond rounding.
    why
        One sentence: where it is nearest to failing, the hypothesis that fails, what is known
        already, or what is violated.
    lower, actual, upper
        Both sides at the place where it is nearest to failing, among those where it says
        something; nan where not applicable, -inf and inf where the claim has no such side.
    slack
        How far that is from a violation: the distance from the actual value to the nearer bound,
        over the statement's scale, which is the size of what is compared. 0 is equality; negative
        within ``tolerance`` is rounding.
    tightness
        How nearly the bound is attained there: of the distance from what is known without the
        statement to what is true, the share that it gives, 1 at equality, 0 where it says no more
        than is known. Where nothing is known, the smaller side over the larger one. None for
        identities, where it has no meaning, for what only increases or decreases, and for a bound
        of 0 beside which nothing is known.
    tolerance
        What counts as rounding there, as a share of the scale: that of the sums, and the estimated
        errors of the rounds that the entry depends on. If undecided for its size: where it is too
        large.
    where
        Index of that place in the check's arrays.
    place
        The same in words, with rounds as the user's chain counts them: ``"round 3, pair 1"``.
    output
        The output that the chain belongs to; None where there is one chain.
    start
        The round from which the statement speaks, and which it calls round 0.
    """

    statement: str
    title: str
    status: Status
    why: str
    lower: float = np.nan
    actual: float = np.nan
    upper: float = np.nan
    slack: float | None = None
    tightness: float | None = None
    tolerance: float | None = None
    where: tuple[int, ...] | None = None
    place: str = ""
    output: int | None = None
    start: int = 0

    def __str__(self) -> str:
        """Status, title and numbers, in one line."""
        title = self.title if self.output is None else f"{self.title}, output {self.output}"
        return f"{self.status:<14} {title}: {self.why}"


class Verdicts(tuple[Verdict, ...]):
    """Verdicts in the order of the paper: a tuple, whose entries have names.

    ``verdicts["guaranteed_rounds"]`` and ``verdicts["Proposition 4"]`` are the verdict on that
    statement; of several outputs, ``verdicts["Proposition 4", 2]`` is that on output 2.

    Examples
    --------
    >>> Verdicts([Verdict("norm_drop", "A round takes at most √(Kε) off the label norm", "holds",
    ...                   "nearest at round 3: 0.69 <= 0.70")])
    1 verdict: 1 holds
    holds          A round takes at most √(Kε) off the label norm: nearest at round 3: 0.69 <= 0.70
    """

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        """One by its name or title, or with its output; else as of a tuple."""
        if isinstance(key, (int, np.integer)):
            return super().__getitem__(int(key))
        if isinstance(key, slice):
            return Verdicts(super().__getitem__(key))
        name: Any
        name, output = key if isinstance(key, tuple) and len(key) == 2 else (key, None)
        found = self._of(name)
        if output is not None:
            found = [verdict for verdict in found if verdict.output == output]
        if len(found) == 1:
            return found[0]
        if not found:
            known = ", ".join(str(v.output) for v in self._of(name))
            raise HilbertSDError(f"there is no verdict on {name!r} of output {output}, of {known}")
        raise HilbertSDError(
            f"there are {len(found)} verdicts on {name!r}, one an output: take that of the first "
            f"as verdicts[{name!r}, {found[0].output}]"
        )

    def _of(self, name: str) -> list[Verdict]:
        by_name = [verdict for verdict in self if name in (verdict.statement, verdict.title)]
        found = by_name or [v for v in self if v.statement == REGISTRY[name].name]
        if not found:
            raise HilbertSDError(f"{name!r} is not among the statements that were checked")
        return found

    @property
    def counts(self) -> dict[Status, int]:
        """How many there are of each status."""
        seen = Counter(verdict.status for verdict in self)
        return {status: seen[status] for status in get_args(Status)}

    def __repr__(self) -> str:
        """Counts, and a line for each verdict."""
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items() if count)
        head = f"{len(self)} verdict{'s' * (len(self) != 1)}: {counts or 'none'}"
        return "\n".join([head, *map(str, self)])
