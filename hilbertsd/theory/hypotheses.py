"""Conditions that statements ask of a chain, as named predicates on a chain of floats.

Each is decided by counting, or by comparing floats as they are: a chain on which rounding could
turn the comparison is one on which the bound itself is within rounding of saying nothing. Whoever
evaluates a statement in balls or on traced arrays decides its hypotheses on the floats.
"""

from __future__ import annotations

from typing import Any

from hilbertsd.theory.chain import Chain
from hilbertsd.theory.statement import Hypothesis


def _guarantee(chain: Chain) -> Any:
    """t̲ = (r_0 − 1)/κ, the number of fits that Proposition 4 guarantees."""
    return chain.excess[0] / chain.kappa


def _distinct(chain: Chain) -> int:
    return len(chain.d) if chain.distinct is None else len(chain.distinct)


a_fit = Hypothesis("a non-trivial fit, r_0 > 1", lambda chain: chain.fits >= 1, counts=True)
"""Counted: the recurrence has stopped at the first r_t <= 1."""

two_fits = Hypothesis(
    "two non-trivial fits, r_0 > 1 and r_1 > 1", lambda chain: chain.fits >= 2, counts=True
)
"""Counted, as above."""

same_tolerance = Hypothesis("the same tolerance in every round", lambda chain: chain.constant)
"""Compared as floats."""

constant_tolerance = Hypothesis(
    "the same tolerance in every round, from labels in the range of G",
    lambda chain: chain.constant and bool(chain.null == 0),
)
"""Compared as floats; on a singular G round 0 has the tolerance ε − ε_floor, hence is left out."""

run_to_collapse = Hypothesis(
    "a chain run to its collapse", lambda chain: chain.collapsed, counts=True
)
"""Compared as floats: the last label ratio is at most 1."""

positive_eigenvalue = Hypothesis("a positive eigenvalue of G", lambda chain: len(chain.d) > 0)
"""Counted: eigenvalues at or below the rank's threshold are 0. Without one there is no κ."""

told_from_one = Hypothesis("every r_t to be told from 1", lambda chain: chain.decided, counts=True)
"""By more than the estimated error of r_t."""

distinct_eigenvalues = Hypothesis(
    "two distinct eigenvalues in the range of G", lambda chain: _distinct(chain) >= 2
)
"""Eigenvalues within the share ``TIE_TOLERANCE`` of each other count as one."""

guarantee_used = Hypothesis(
    "t̲ = (r_0 − 1)/κ non-trivial fits",
    lambda chain: chain.fits >= 1 and chain.fits >= _guarantee(chain),
    counts=True,
)
"""Compared as floats. True of every chain that was run to its collapse, by Proposition 4."""

joint_tolerance = Hypothesis(
    "several outputs with a joint tolerance", lambda chain: chain.columns is not None
)
"""Whether the chain was run with ``joint=True`` on labels of shape (K, Q)."""
