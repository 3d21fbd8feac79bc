"""A chain as one gets it without the recurrence: a root search over the multiplier every round."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import root_scalar


class Found(NamedTuple):
    """The non-trivial fits."""

    multipliers: np.ndarray
    """(n,) c_t"""
    labels: np.ndarray
    """(n+1, K) y_0 .. y_n"""


def chain_by_search(
    fitted: Callable[[float, np.ndarray], np.ndarray],
    y: np.ndarray,
    eps: float,
    rounds: int,
    largest: float,
) -> Found:
    """Find every multiplier by SciPy's brentq, one fit an evaluation.

    ``fitted(c, labels)`` are the predictions at the training points, ``largest`` the largest
    eigenvalue. A Gram matrix is singular at the level of rounding, so the lower end of the bracket
    (24) is taken at the largest eigenvalue shrunk by the rank threshold.
    """
    smallest = largest * len(y) * np.finfo(float).eps
    multipliers, history = [], [y]
    for _ in range(rounds + 1):
        labels = history[-1]
        ratio = float(np.linalg.norm(labels) / np.sqrt(len(y) * eps))
        if ratio <= 1:
            break

        def gap(log_c: float, labels: np.ndarray = labels) -> float:
            residual = labels - fitted(np.exp(log_c), labels)
            return float(np.log(np.mean(residual**2) / eps))

        bracket = np.log(smallest / (ratio - 1)), np.log(largest / (ratio - 1))
        c = float(np.exp(root_scalar(gap, bracket=bracket, method="brentq", xtol=1e-9).root))
        multipliers.append(c)
        history.append(fitted(c, labels))
    return Found(np.array(multipliers), np.array(history))
