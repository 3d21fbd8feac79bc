"""Problems on which the theory's bounds say something, and problems that attain them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hilbertsd import datasets


class Example(NamedTuple):
    """The arguments of :func:`hilbertsd.self_distill`."""

    G: np.ndarray
    y: np.ndarray
    eps: float
    rounds: int


def headline() -> Example:
    r"""The paper's 11 points and labels, near interpolation, with a kernel of modest condition.

    Kernel exp(−\|x − s\|/0.3), ε = 5.7e-5: κ = 27.2 and r_0 = 100.3, so Proposition 4 guarantees
    t̲ = 3.6 fits. r_0 − 1 guarantees 100 of them, and 114 are made.

    Examples
    --------
    >>> import hilbertsd as hsd
    >>> from hilbertsd.theory.examples import headline
    >>> result = hsd.self_distill(*headline())
    >>> kappa, r = result.spectrum.condition_number, result.label_ratios[0]
    >>> print(f"{(r - 1) / kappa:.2f} <= {r - 1:.1f} <= {result.collapse_round}")
    3.65 <= 99.3 <= 114
    """
    from hilbertsd.kernels import matern
    from hilbertsd.operators.gram import gram

    x, y = datasets.example()
    return Example(np.asarray(gram(matern(0.5, 0.3), x)), y, 5.7e-5, 200)


def one_scale(ratio: float = 8.0, size: int = 4) -> Example:
    """G a multiple of the identity: r_{t+1} = r_t − 1, so all bounds meet, κ = 1.

    With a whole ``ratio`` r_0 the collapse round is r_0 − 1, as Proposition 4 has it.

    Examples
    --------
    >>> import hilbertsd as hsd
    >>> from hilbertsd.theory.examples import one_scale
    >>> hsd.self_distill(*one_scale(ratio=8.5)).collapse_round
    8
    """
    y = np.full(size, 1.0)
    return Example(0.25 * np.eye(size), y, 1 / ratio**2, int(np.ceil(ratio)) + 1)


def staircase(levels: int = 3, separation: float = 1e3, below: float = 0.1) -> Example:
    r"""Equal label energies, a little above K ε, on widely separated eigenvalues.

    Each round kills the smallest one that is left and hardly touches the others, so nearly
    r_0² rounds are made: r_0² = levels/(1 − below), and collapse_round = levels where
    ``separation`` is large for ``below``. This is the other extreme of :func:`one_scale`. Its
    condition number, ``separation`` to the power levels − 1, costs digits.

    Examples
    --------
    >>> import hilbertsd as hsd
    >>> from hilbertsd.theory.examples import staircase
    >>> result = hsd.self_distill(*staircase())
    >>> print(result.collapse_round, f"{result.label_ratios[0] ** 2:.2f}")
    3 3.33
    """
    d = separation ** -np.arange(levels - 1.0, -1.0, -1.0)
    return Example(np.diag(d), np.ones(levels), (1 - below) / levels, 3 * levels)
