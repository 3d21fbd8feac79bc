"""Problems in rationals with a known spectrum, and two statements to certify on them.

Q diag(d) Qᵀ with Q a product of Householder reflections along whole numbers: repeated eigenvalues
and zeros are exact.
"""

from __future__ import annotations

import functools
from fractions import Fraction

import numpy as np

from hilbertsd.theory import Check, Statement
from hilbertsd.theory.certify import certify
from hilbertsd.theory.hypotheses import a_fit


def own_statement(name: str, kind: str, sides) -> Statement:
    return Statement(name, name.title(), kind, "the tests", "none", "rounds", (a_fit,), sides)


NORMS_FALL = own_statement(
    "norms_fall", "monotone", lambda k: Check(0.0, k.norms[:-1] - k.norms[1:], np.inf, k.norms[:-1])
)
ACTIVE = own_statement(
    "active",
    "identity",
    lambda k: Check(
        k.s[:-1] ** 2, k.xp.sum((k.z[1:] - k.z[:-1]) ** 2, axis=1), k.s[:-1] ** 2, k.norms[0] ** 2
    ),
)
OWN = {"norms_fall": NORMS_FALL, "active": ACTIVE}


def rational_gram(d: list, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Q diag(d) Qᵀ and Q, in Fractions."""
    rng = np.random.default_rng(seed)
    size = len(d)
    q = np.vectorize(Fraction)(np.eye(size, dtype=int))
    for _ in range(2):
        v = np.vectorize(Fraction, otypes=[object])(rng.integers(-5, 6, size))
        v[0] += 6
        q = q - np.outer(v, (v @ q) * (Fraction(2) / (v @ v)))
    return (q * np.array([Fraction(v) for v in d], dtype=object)) @ q.T, q


@functools.cache
def small_certificate():
    """Repeated and zero eigenvalues, with the two statements of this file."""
    gram, q = rational_gram([0, 1, 1, "5/2"], seed=3)
    y = q @ np.array([Fraction(1, 20), 1, 2, 3], dtype=object)
    return certify(gram, y, "3/10", 6, statements=OWN)


@functools.cache
def outputs_certificate(joint: bool = False):
    """Two outputs; a tolerance an output and fit, or one a fit for both of them."""
    gram, q = rational_gram([0, 1, 1, "5/2"], seed=3)
    labels = [[Fraction(1, 20), Fraction(1, 30)], [1, 2], [2, -1], [3, 5]]
    eps = [["1/2"], ["1/3"], ["1/4"]] if joint else [["1/2", "1/3"], ["1/3", "1/4"]]
    return certify(gram, q @ np.array(labels), eps, len(eps) - 1, joint=joint, statements=OWN)
