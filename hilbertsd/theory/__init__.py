"""The theory as executable statements, in the order of the paper.

>>> from hilbertsd import theory
>>> theory.REGISTRY["guaranteed_rounds"].title
'Proposition 4'
"""

from __future__ import annotations

# The order of import is the order of the registry, which is that of the paper.
# isort: off
from hilbertsd.theory import variational
from hilbertsd.theory import multiplier
from hilbertsd.theory import collapse
from hilbertsd.theory import sparsification
from hilbertsd.theory import early_stopping
from hilbertsd.theory import generalization

# isort: on
from hilbertsd.theory import examples
from hilbertsd.theory.chain import Chain, views
from hilbertsd.theory.judge import check, judge
from hilbertsd.theory.statement import (
    REGISTRY,
    Check,
    Hypothesis,
    NotApplicable,
    Statement,
    UnknownStatementError,
)
from hilbertsd.theory.verdicts import Verdict, Verdicts

__all__ = [
    "REGISTRY",
    "Chain",
    "Check",
    "Hypothesis",
    "NotApplicable",
    "Statement",
    "UnknownStatementError",
    "Verdict",
    "Verdicts",
    "check",
    "collapse",
    "early_stopping",
    "examples",
    "generalization",
    "judge",
    "multiplier",
    "sparsification",
    "variational",
    "views",
]
