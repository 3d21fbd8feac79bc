"""What a claim of the theory is, as data: both sides, its kind, its hypotheses, its source.

A statement is a pure function of a :class:`~hilbertsd.theory.chain.Chain` that returns a
:class:`Check`. It is written in the chain's own array namespace, so that the same formula serves
floats, balls (certificates) and traced JAX arrays (the search for counterexamples).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from hilbertsd.errors import HilbertSDError
from hilbertsd.theory.chain import Chain

Kind = Literal["identity", "lower", "upper", "two-sided", "monotone", "limit", "rate"]
Reach = Literal["own round", "rounds so far", "first round", "number of fits", "all rounds"]
"""Which rounds an entry of a check depends on, hence whose errors it is judged with.

In the first two the check's first axis counts rounds, and its last entry belongs to the last one.
``"number of fits"`` is the first round, and how many there are.
"""


class Check(NamedTuple):
    """Both sides of a claim: lower <= actual <= upper, arrays that broadcast together."""

    lower: Any
    """-inf where the claim has no lower side; equal to ``upper`` for an identity."""
    actual: Any
    """Computed without the formula under test."""
    upper: Any
    """+inf where the claim has no upper side."""
    scale: Any
    """What rounding is relative to."""
    trivial_lower: Any = float("-inf")
    """What is known without the claim: a bound that says no more is vacuous.

    Known are the claim's hypotheses and what they say in one step: norms, multipliers and weight
    ratios' logarithms are not negative, r_t > 1 where there is a fit, labels shrink. A claim that
    sharpens another one, or follows from it at t = 1, is compared with that one.
    """
    trivial_upper: Any = float("inf")


class Hypothesis(NamedTuple):
    """A named condition, decided on a chain of floats."""

    name: str
    holds: Callable[[Chain], bool]
    counts: bool = False
    """Whether it depends on how many fits there are: then a chain that is cut, because r_t cannot
    be told from 1, leaves open what it does not fulfil."""


class NotApplicable(HilbertSDError):
    """A statement was evaluated on a chain that breaks one of its hypotheses."""


@dataclass(frozen=True)
class Statement:
    """One claim. Calling it evaluates both sides, after its hypotheses have been checked."""

    name: str
    title: str
    kind: Kind
    source: str
    section: str
    about: Literal["rounds", "chain"]
    """Single rounds, also of singular problems and varying ε, and the user's own y_0 and ε; or
    the chain of constant ε that starts in the range of G."""
    requires: tuple[Hypothesis, ...]
    sides: Callable[[Chain], Check] = field(repr=False)
    tight: str = ""
    """Where it is attained, or that no such problem is known."""
    depends: Reach = "all rounds"
    axes: tuple[str, ...] = ()
    """What the axes of its check count; by default rounds, then eigenvalues of the range."""

    def axes_of(self, count: int) -> tuple[str, ...]:
        """Names of so many axes."""
        by_round = self.depends in ("own round", "rounds so far")
        names = self.axes or (("round", "eigenvalue") if by_round else ())
        return (*names, *("entry",) * count)[:count]

    def missing(self, chain: Chain) -> Hypothesis | None:
        """The first hypothesis that fails on the chain, or None."""
        return next((h for h in self.requires if not h.holds(chain)), None)

    def __call__(self, chain: Chain) -> Check:
        """Evaluate both sides; raises :class:`NotApplicable` naming the hypothesis that fails."""
        if (hypothesis := self.missing(chain)) is not None:
            raise NotApplicable(f"{self.title} is not applicable: it needs {hypothesis.name}")
        return self.sides(chain)


MOST_NEAR = 6
"""Up to so many statements are named where the one that was asked for does not exist."""


class UnknownStatementError(HilbertSDError, KeyError):
    """There is no statement of that name or title."""

    __str__ = HilbertSDError.__str__


class Registry(dict[str, Statement]):
    """Statements by their names, in the order of the paper; looked up by their titles as well.

    Raises
    ------
    UnknownStatementError
        If there is none of that name or title, with those that come near.

    Examples
    --------
    >>> from hilbertsd.theory import REGISTRY
    >>> REGISTRY["Proposition 4"].name, REGISTRY["theorem_5"].name
    ('guaranteed_rounds', 'weight_ratio')
    >>> REGISTRY["Propositon 4"]
    Traceback (most recent call last):
    hilbertsd...UnknownStatementError: there is no statement 'Propositon 4'; did you mean ...
    """

    def __missing__(self, text: str) -> Statement:
        spellings: dict[str, Statement] = {}
        for claim in self.values():
            for words in (claim.name, claim.title):
                spellings.setdefault(_plain(words), claim)
        asked = _plain(str(text))
        if asked in spellings:
            return spellings[asked]
        near = [words for words in spellings if asked and asked in words]
        near = near or difflib.get_close_matches(asked, spellings)
        names = list(dict.fromkeys(spellings[words].name for words in near))[:MOST_NEAR]
        meant = f"did you mean {', '.join(names)}?" if names else "REGISTRY has their names."
        raise UnknownStatementError(f"there is no statement {text!r}; {meant}")


def _plain(words: str) -> str:
    """Small letters, and spaces for underscores."""
    return " ".join(words.replace("_", " ").lower().split())


REGISTRY = Registry()


def statement(
    title: str,
    *,
    kind: Kind,
    source: str,
    section: str,
    about: Literal["rounds", "chain"] = "chain",
    requires: tuple[Hypothesis, ...] = (),
    tight: str = "",
    depends: Reach = "all rounds",
    axes: tuple[str, ...] = (),
) -> Callable[[Callable[[Chain], Check]], Statement]:
    """Register a function of a chain as a statement under the function's own name."""

    def register(sides: Callable[[Chain], Check]) -> Statement:
        name = sides.__name__
        result = Statement(
            name, title, kind, source, section, about, requires, sides, tight, depends, axes
        )
        result.__dict__["__doc__"] = sides.__doc__
        REGISTRY[result.name] = result
        return result

    return register
