"""Self-distillation sparsifies: how far the weights B of the basis functions drift apart (3.3).

Everything is in logarithms: with many rounds the weights underflow, and in powers the bounds
cancel until Theorem 6 looks violated where it is not. The minima over k of the paper's indices
(49)-(51) are not taken: each inequality holds pair by pair, which is more, and taking the minimum
of both sides gives the paper's. :func:`sparsity_indices` takes them, for reports.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

from hilbertsd.theory.chain import Chain
from hilbertsd.theory.hypotheses import (
    a_fit,
    constant_tolerance,
    distinct_eigenvalues,
    guarantee_used,
)
from hilbertsd.theory.statement import Check, statement

SECTION = "3.3 Sparsification"
OURS = "hilbertsd"
INF = float("inf")
LADDER = 7
"""Tolerances ε, ε/4, .., ε/4⁶ on which statements about ε → 0 are evaluated."""


def _log_base(chain: Chain, d_reference: Any, excess: Any) -> Any:
    """Logarithm of (x + q_j)/(x + q_k), q = d_ref/d, x = r − 1, without cancellation."""
    low, high = chain.neighbours
    gap = (high - low) / high * (d_reference / low)  # q_j − q_k
    return chain.xp.log1p(gap / (excess + d_reference / high))


def _ladder(chain: Chain) -> list[Any]:
    """r_0 − 1 with the tolerances of the ladder."""
    return [2.0**i * chain.r[0] - 1 if i else chain.excess[0] for i in range(LADDER)]


def _log_index(chain: Chain, excess: Any) -> Any:
    """Logarithm of (51) over neighbours, with r_0 − 1 = excess."""
    return excess / chain.kappa * _log_base(chain, chain.d[0], excess)


def _rounds(chain: Chain) -> np.ndarray:
    """Counts 1 .. n as a column."""
    return np.arange(1.0, chain.fits + 1)[:, None]


def _actual(chain: Chain) -> tuple[Any, Any]:
    """Logarithm of B_{t−1}[k]/B_{t−1}[j] for t = 1 .. n over neighbours, and its scale."""
    steps = chain.log_steps
    return (
        chain.xp.cumsum(steps, axis=0),
        chain.xp.cumsum(steps * chain.stiffness[:, None], axis=0),
    )


@statement(
    "Theorem 5",
    kind="lower",
    source="Mobahi et al. 2020, Theorem 5 (46), (147)-(154)",
    section=SECTION,
    requires=(constant_tolerance, a_fit, distinct_eigenvalues),
    tight="t = 1 with labels in the direction of d_min",
    depends="rounds so far",
    axes=("round", "pair"),
)
def weight_ratio(chain: Chain) -> Check:
    r"""Log B_{t−1}[k]/B_{t−1}[j] >= t log ((r_0 − 1 + d_min/d_j)/(r_0 − 1 + d_min/d_k)).

    For d_k > d_j, t = 1 .. n; here d_j is the smallest eigenvalue and d_k any other, as the
    bounds over neighbours (:func:`sparsity_index`) add up.

    B_{t−1}[k]/B_{t−1}[j] = Π_{i<t} (1 + c_i/d_j)/(1 + c_i/d_k), and each factor increases with c_i,
    which is at least d_min/(r_i − 1) (:func:`~hilbertsd.theory.multiplier.multiplier_bracket`),
    hence at least d_min/(r_0 − 1) (:func:`~hilbertsd.theory.collapse.label_norm_decreases`). At
    that value the factor is the base of the claim. The paper asks for t <= t̲, only to know that t
    fits exist: the proof holds for every t up to collapse.
    """
    actual, scale = (chain.xp.cumsum(v, axis=1) for v in _actual(chain))
    base = chain.xp.cumsum(_log_base(chain, chain.d[0], chain.excess[0]))
    return Check(_rounds(chain) * base, actual, INF, scale, trivial_lower=0.0)


@statement(
    "Theorem 5, a posteriori",
    kind="lower",
    source="Mobahi et al. 2020, (147)-(152) in the proof of Theorem 5",
    section=SECTION,
    about="rounds",
    requires=(a_fit, distinct_eigenvalues),
    tight="labels in the direction of d_min",
    depends="rounds so far",
    axes=("round", "pair"),
)
def weight_ratio_a_posteriori(chain: Chain) -> Check:
    r"""Log B_{t−1}[k]/B_{t−1}[j] >= Σ_{i<t} log ((r_i − 1 + d_min/d_j)/(r_i − 1 + d_min/d_k)).

    For consecutive distinct eigenvalues d_k > d_j, t = 1 .. n, as c_i >= d_min/(r_i − 1) in every
    round. With r_i <= r_0 it gives Theorem 5.
    """
    actual, scale = _actual(chain)
    steps = _log_base(chain, chain.d[0], chain.excess[:, None])
    return Check(chain.xp.cumsum(steps, axis=0), actual, INF, scale, trivial_lower=0.0)


@statement(
    "Weights from the labels' reduced eigenvalue",
    kind="lower",
    source=f"{OURS}; sharper than Mobahi et al. 2020, Theorem 5",
    section=SECTION,
    about="rounds",
    requires=(a_fit, distinct_eigenvalues),
    tight="labels in one eigenspace",
    depends="rounds so far",
    axes=("round", "pair"),
)
def weight_ratio_reduced(chain: Chain) -> Check:
    r"""Theorem 5 a posteriori with d̲_i = ‖z_i‖/‖D⁻¹ z_i‖ >= d_min for d_min.

    A_i[k]/A_i[j] = (1 + c_i/d_j)/(1 + c_i/d_k) increases with c_i, and
    c_i >= d̲_i/(r_i − 1) (:func:`~hilbertsd.theory.multiplier.multiplier_reduced_bound`).
    """
    xp, z = chain.xp, chain.z[:-1]
    actual, scale = _actual(chain)
    reduced = chain.norms[:-1] / xp.sqrt(xp.sum((z / chain.d) ** 2, axis=1))
    excess = chain.excess[:, None]
    lower = xp.cumsum(_log_base(chain, reduced[:, None], excess), axis=0)
    known = xp.cumsum(_log_base(chain, chain.d[0], excess), axis=0)
    return Check(lower, actual, INF, scale, trivial_lower=known)


@statement(
    "Sparsity index of B",
    kind="lower",
    source="Mobahi et al. 2020, (49)-(50)",
    section=SECTION,
    requires=(constant_tolerance, a_fit, distinct_eigenvalues),
    tight="t = 1 with labels in the direction of d_min",
    depends="rounds so far",
    axes=("round", "pair"),
)
def sparsity_index(chain: Chain) -> Check:
    r"""Log B_{t−1}[k+1]/B_{t−1}[k] >= t log ((r_0 − 1 + d_min/d_k)/(r_0 − 1 + d_min/d_{k+1})).

    For consecutive distinct eigenvalues, t = 1 .. n, by :func:`weight_ratio` for each pair. The
    minimum over k of the left side is the index of the actual B_{t−1}, that of the right side is
    the paper's S_{B_{t−1}}, both as logarithms.
    """
    actual, scale = _actual(chain)
    base = _log_base(chain, chain.d[0], chain.excess[0])
    return Check(_rounds(chain) * base, actual, INF, scale, trivial_lower=0.0)


@statement(
    "Sparsity index after the guaranteed rounds",
    kind="lower",
    source="Mobahi et al. 2020, (51)",
    section=SECTION,
    requires=(constant_tolerance, guarantee_used, a_fit, distinct_eigenvalues),
    depends="all rounds",
    axes=("pair",),
)
def sparsity_index_guaranteed(chain: Chain) -> Check:
    r"""Log B_{t−1}[k+1]/B_{t−1}[k] >= log of (51), the bound at t̲ = (r_0 − 1)/κ, for t = ⌈t̲⌉.

    Over neighbours. t̲ is no whole number; the actual weights are those after the
    fits i < t̲, of which there are ⌈t̲⌉, and Proposition 4 grants as many to every chain run to its
    collapse. The bound of :func:`sparsity_index` increases with t, being t times the logarithm of
    a number above 1. Below t̲ = 1 it says less than Theorem 5 at t = 1, which needs no guarantee.
    """
    xp = chain.xp
    guaranteed = np.arange(chain.fits)[:, None] < chain.excess[0] / chain.kappa
    steps = xp.where(guaranteed, chain.log_steps, 0.0)
    scale = xp.sum(steps * chain.stiffness[:, None], axis=0)
    lower = _log_index(chain, chain.excess[0])
    once = _log_base(chain, chain.d[0], chain.excess[0])
    return Check(lower, xp.sum(steps, axis=0), INF, scale, trivial_lower=once)


@statement(
    "Theorem 6: monotone",
    kind="monotone",
    source="Mobahi et al. 2020, Theorem 6 (52), (156)-(174)",
    section=SECTION,
    requires=(a_fit, distinct_eigenvalues),
    depends="first round",
    axes=("tolerance", "pair"),
)
def index_decreases_in_tolerance(chain: Chain) -> Check:
    r"""The log of (51) increases as ε falls to ε/4, ε/16, ..

    It is (x/κ) log ((x + q_j)/(x + q_k)) with x = r_0 − 1 and q_j = d_min/d_j, and increases with
    x: its derivative is 1/κ times log(1 + w) − x Δ/((x + q_j)(x + q_k)), w = Δ/(x + q_k),
    Δ = q_j − q_k > 0; log(1 + w) >= w/(1 + w) = Δ/(x + q_j), which is larger.
    """
    values = [_log_index(chain, excess) for excess in _ladder(chain)]
    rises = chain.xp.stack([b - a for a, b in itertools.pairwise(values)])
    return Check(0.0, rises, INF, chain.xp.stack(values[1:]) * chain.stiffness[0])


@statement(
    "Theorem 6: limit",
    kind="limit",
    source="Mobahi et al. 2020, Theorem 6 (53), (155), (175)-(181)",
    section=SECTION,
    requires=(a_fit, distinct_eigenvalues),
    tight="ε → 0",
    depends="first round",
    axes=("tolerance", "pair"),
)
def index_limit(chain: Chain) -> Check:
    r"""The log of (51) → (d_min/κ) (1/d_k − 1/d_{k+1}) as ε → 0, from below, with the rate.

    With q_j = d_min/d_j, x/(x + q_j) times the limit <= log of (51) <= the limit, x = r_0 − 1, on
    ε, ε/4, .., from w/(1 + w) <= log(1 + w) <= w as in :func:`index_decreases_in_tolerance`. It is
    the limit of the bound, not of the index of B.
    """
    xp = chain.xp
    low, high = chain.neighbours
    limit = (high - low) / high * (chain.d[0] / low) / chain.kappa
    ladder = _ladder(chain)
    actual = xp.stack([_log_index(chain, x) for x in ladder])
    lower = xp.stack([x / (x + chain.d[0] / low) * limit for x in ladder])
    return Check(lower, actual, limit, limit * chain.stiffness[0], trivial_lower=0.0)


class SparsityIndices(NamedTuple):
    """Two numbers that are easily confused, for t = 1 .. n: both (n,), at least 1."""

    actual: np.ndarray
    """min_k B_{t−1}[k+1]/B_{t−1}[k], of the weights themselves."""
    bound: np.ndarray
    """S_{B_{t−1}} of (49)-(50), of the lower bound of Theorem 5."""


def sparsity_indices(chain: Chain) -> SparsityIndices:
    """Both indices of a chain of floats; raises ``NotApplicable`` where they are undefined."""
    check = sparsity_index(chain)
    with np.errstate(over="ignore"):  # an infinite ratio is infinite sparsity
        return SparsityIndices(*(np.exp(v.min(axis=1)) for v in (check.actual, check.lower)))
