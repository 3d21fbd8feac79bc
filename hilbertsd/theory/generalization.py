"""The equivalent kernel of a chain, and generalisation bounds read off its spectrum (3.7, B)."""

from __future__ import annotations

from typing import Any

import numpy as np

from hilbertsd.theory.chain import Chain
from hilbertsd.theory.hypotheses import a_fit, two_fits
from hilbertsd.theory.statement import Check, statement

SECTION = "3.7 Generalization bounds"
APPENDIX = "B Equivalent kernel regression problem"
INF = float("inf")
NEGLIGIBLE = 1e-290
"""Weights below it are not compared: a float next to the end of its range has few digits left."""


def equivalent_spectrum(chain: Chain) -> Any:
    r"""(n, m) eigenvalues d†_k = c_0/(Π_{i<=t} (1 + c_i/d_k) − 1), t = 0 .. n − 1.

    Zero outside the range of G. Evaluated round by round, which neither cancels nor overflows:
    d†_0 = d and, with x = c_t/d, d†_t = d†_{t−1}/(1 + x + x d†_{t−1}/c_0).

    Mobahi et al. 2020, (54), (111).
    """
    current, rows = chain.d, [chain.d]
    for t in range(1, chain.fits):
        x = chain.c[t] / chain.d
        current = current / (1 + x + x * (current / chain.c[0]))
        rows.append(current)
    return chain.xp.stack(rows)


def rademacher_bounds(chain: Chain) -> Any:
    r"""(n,) bounds of the empirical Rademacher complexity of the unit ball of the kernel g†_t.

    E_σ sup_{‖f‖ <= 1} |(2/K) Σ_k σ_k f(x_k)| <= (2/K) √(Σ_k g†(x_k, x_k)) = (2/√K) √(tr G†),
    G† with its 1/K; not more than √2 too large. Bartlett & Mendelson 2002, Lemma 22.
    """
    trace = chain.xp.sum(equivalent_spectrum(chain), axis=1)
    return 2 * chain.xp.sqrt(trace / chain.size)


def local_rademacher_bounds(chain: Chain) -> Any:
    r"""(n, m) bounds h/K + √((1/K) Σ_{j>h} d†_j), h = 0 .. m − 1, of the fixed point r*.

    d†_1 >= d†_2 >= .. in this formula. The smallest of a row is the bound; larger h add nothing
    but h/K. Bartlett, Bousquet & Mendelson 2005, Corollary 6.7.
    """
    xp, size = chain.xp, chain.size
    tails = xp.cumsum(equivalent_spectrum(chain), axis=1)[:, ::-1]
    heads = xp.stack([chain.d[0] * 0 + h / size for h in range(len(chain.d))])
    return heads + xp.sqrt(tails / size)


@statement(
    "Equivalent kernel: the same labels",
    kind="identity",
    source="Mobahi et al. 2020, (54), (95), (109)-(111)",
    section=APPENDIX,
    about="rounds",
    requires=(a_fit,),
    tight="an identity",
    depends="rounds so far",
)
def equivalent_kernel(chain: Chain) -> Check:
    r"""Ridge regression of y_0 with spectrum d† and multiplier c_0 predicts y_{t+1}.

    With P = Π_{i<=t} (1 + c_i/d_k) and d†_k = c_0/(P − 1), d†_k/(c_0 + d†_k) = 1/P, which is
    Π_{i<=t} d_k/(c_i + d_k) = B_t[k], the product of the A_i; and z_{t+1} = B_t z_0.
    """
    weights = equivalent_spectrum(chain)
    predicted = weights / (chain.c[0] + weights)
    return Check(predicted, chain.B, predicted, predicted + NEGLIGIBLE)


@statement(
    "Equivalent kernel: the same function",
    kind="identity",
    source="Mobahi et al. 2020, (93)-(94), (104)-(111)",
    section=APPENDIX,
    about="rounds",
    requires=(a_fit,),
    tight="an identity",
    depends="rounds so far",
)
def equivalent_kernel_function(chain: Chain) -> Check:
    r"""It is the same function at every x: the coefficients of the eigenfunctions agree.

    g and g† share eigenfunctions, e_k(x) = (V g_x)_k/d_k at the points of the sample and, by
    Nyström's formula, everywhere. f_t has the coefficient d_k z_{t,k}/(c_t + d_k) on e_k, from
    its own last fit, which is z_{t+1,k}; ridge regression on g† has d†_k z_{0,k}/(c_0 + d†_k),
    which is B_t[k] z_{0,k} (:func:`equivalent_kernel`).
    """
    own = chain.d * (chain.z[:-1] / (chain.c[:, None] + chain.d))
    weights = equivalent_spectrum(chain)
    other = weights * (chain.z[0] / (chain.c[0] + weights))
    return Check(other, own, other, chain.norms[1:, None])


@statement(
    "Equivalent kernel: decreasing",
    kind="monotone",
    source="Mobahi et al. 2020, section 3.7, after (54)",
    section=SECTION,
    about="rounds",
    requires=(two_fits,),
    depends="rounds so far",
)
def equivalent_spectrum_decreases(chain: Chain) -> Check:
    r"""d†_k decreases from round to round: every factor 1 + c_i/d_k is above 1.

    d†_k = c_0/(Π_{i<=t} (1 + c_i/d_k) − 1), and each round adds a factor to the product.
    """
    weights = equivalent_spectrum(chain)
    return Check(0.0, weights[:-1] - weights[1:], INF, weights[:-1])


@statement(
    "Rademacher bound decreases",
    kind="monotone",
    source="Mobahi et al. 2020, section 3.7; Bartlett & Mendelson 2002, Lemma 22",
    section=SECTION,
    about="rounds",
    requires=(two_fits,),
    depends="rounds so far",
)
def rademacher_decreases(chain: Chain) -> Check:
    r"""(2/√K) √(tr G†_t) decreases from round to round.

    The trace is the sum of the d†_k, each of which does (:func:`equivalent_spectrum_decreases`).
    """
    bounds = rademacher_bounds(chain)
    return Check(0.0, bounds[:-1] - bounds[1:], INF, bounds[:-1])


@statement(
    "Local Rademacher bound",
    kind="upper",
    source="Bartlett, Bousquet & Mendelson 2005, Corollary 6.7; Mobahi et al. 2020, section 3.7",
    section=SECTION,
    about="rounds",
    requires=(a_fit,),
    tight="h eigenvalues far above the bound, the others far below",
    depends="rounds so far",
    axes=("round", "head"),
)
def local_rademacher_bound(chain: Chain) -> Check:
    r"""r* <= U_h = h/K + √((1/K) Σ_{j>h} d†_j) for every h: (1/K) Σ_j min(U_h, d†_j) <= U_h².

    r* is the fixed point of ψ(r) = √((1/K) Σ_j min(r, d†_j)); as ψ(r)/√r does not increase,
    ψ(U) <= U says U >= r*. Bounding h of the minima by U and the others by d† makes it a
    quadratic inequality, (h/K) U + (1/K) Σ_{j>h} d† <= U². Evaluated at h = 0, 1, 2, 4, 8, ..
    """
    xp, size, count = chain.xp, chain.size, len(chain.d)
    heads = np.array([0, *(2**i for i in range(count.bit_length()) if 2**i < count)])
    weights = equivalent_spectrum(chain)[:, None, :]
    radius = local_rademacher_bounds(chain)[:, heads]
    smaller = (radius[:, :, None] + weights - abs(radius[:, :, None] - weights)) / 2
    value = xp.sum(smaller, axis=2) / size
    return Check(-INF, value, radius**2, radius**2 + radius)


@statement(
    "Local Rademacher bound decreases",
    kind="monotone",
    source="Mobahi et al. 2020, section 3.7; Bartlett, Bousquet & Mendelson 2005, Corollary 6.7",
    section=SECTION,
    about="rounds",
    requires=(two_fits,),
    depends="rounds so far",
    axes=("round", "head"),
)
def local_rademacher_decreases(chain: Chain) -> Check:
    r"""h/K + √((1/K) Σ_{j>h} d†_j) decreases from round to round for every h < m, so its minimum.

    d†_k increases with d_k, so the tail Σ_{j>h} d†_j is over the same k in every round, and each of
    its terms decreases (:func:`equivalent_spectrum_decreases`). h = m, without a tail, does not
    depend on the round.
    """
    bounds = local_rademacher_bounds(chain)
    return Check(0.0, bounds[:-1] - bounds[1:], INF, bounds[:-1])
