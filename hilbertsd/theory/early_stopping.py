"""Early stopping is something else (section 3.4): one fit with a larger tolerance.

Sign of the comparison: with x = 1/d, self-distillation divides the coordinates of the labels by
F(x) = Π_{i<=t} (1 + c_i x), one fit by E(x) = 1 + c x.
"""

from __future__ import annotations

import numpy as np

from hilbertsd.theory.chain import Chain
from hilbertsd.theory.generalization import equivalent_spectrum
from hilbertsd.theory.hypotheses import a_fit, distinct_eigenvalues, two_fits
from hilbertsd.theory.statement import Check, statement

SECTION = "3.4 Self-distillation versus early stopping"
INF = float("inf")


@statement(
    "Early stopping's weight ratio",
    kind="two-sided",
    source="Mobahi et al. 2020, section 3.4",
    section=SECTION,
    about="rounds",
    requires=(a_fit, distinct_eigenvalues),
    tight="c → ∞ (ε → ‖y‖²/K) from above, c → 0 from below",
    depends="own round",
    axes=("round", "pair"),
)
def early_stopping_ratio(chain: Chain) -> Check:
    r"""0 <= log A_t[k]/A_t[j] <= log d_k/d_j for d_k > d_j: one fit, whatever its tolerance.

    A[k]/A[j] = (1 + c/d_j)/(1 + c/d_k) increases with c from 1 to d_k/d_j. Each round is a single
    fit of some labels; over consecutive distinct eigenvalues.
    """
    low, high = chain.neighbours
    most = chain.xp.log1p((high - low) / low)
    return Check(0.0, chain.log_steps, most, most)


@statement(
    "Self-distillation's weight ratio",
    kind="upper",
    source="Mobahi et al. 2020, section 3.4",
    section=SECTION,
    about="rounds",
    requires=(a_fit, distinct_eigenvalues),
    tight="c_i → ∞ in every round: the supremum over problems, attained on none",
    depends="rounds so far",
    axes=("round", "pair"),
)
def self_distillation_ratio(chain: Chain) -> Check:
    r"""The ceiling of log B_t[k]/B_t[j], (t + 1) log d_k/d_j, rises with every round.

    B_t[k]/B_t[j] = Π_{i<=t} (1 + c_i/d_j)/(1 + c_i/d_k), with each of the t + 1 factors below
    d_k/d_j (:func:`early_stopping_ratio`) and as near to it as c_i is large. A single fit has one
    factor, whatever its tolerance.
    """
    low, high = chain.neighbours
    most = np.arange(1.0, chain.fits + 1)[:, None] * chain.xp.log1p((high - low) / low)
    return Check(-INF, chain.xp.cumsum(chain.log_steps, axis=0), most, most)


@statement(
    "Self-distillation against early stopping at matched training error",
    kind="two-sided",
    source="hilbertsd, on Mobahi et al. 2020, section 3.4",
    section=SECTION,
    about="rounds",
    requires=(two_fits,),
    tight="κ = 1; labels in the direction of d_min or d_max",
    depends="rounds so far",
)
def matched_early_stopping(chain: Chain) -> Check:
    r"""At equal training error self-distillation damps d_min more, and d_max less, than one fit.

    Let one fit with multiplier c have the training error of f_t on y_0, t >= 1. Then
    B_t[d_min] <= d_min/(c + d_min) and B_t[d_max] >= d_max/(c + d_max), so its ratio of largest
    to smallest weight is at least early stopping's. Proof: F is convex and F − E vanishes at 0,
    so it has at most one zero x* > 0, is negative before it and positive after it. With one sign
    on all the spectrum the errors Σ z_k² (1 − 1/F)² and Σ z_k² (1 − 1/E)² would differ; so
    1/d_max <= x* <= 1/d_min.

    Evaluated without solving for c. The two claims say c^lo <= c <= c^hi for the multipliers
    (F(x) − 1)/x = c_0 d/d† of single fits that agree with f_t at d_max and d_min; as the training
    error of one fit increases with c, they are the same as

        Σ (c^lo z_k/(c^lo + d_k))² <= ‖y_{t+1} − y_0‖² <= Σ (c^hi z_k/(c^hi + d_k))².
    """
    xp, z = chain.xp, chain.z[0]
    strength = equivalent_spectrum(chain)[1:] / chain.c[0]
    damping_low = 1 / (1 + chain.d / chain.d[-1] * strength[:, -1:])
    damping_high = 1 / (1 + chain.d / chain.d[0] * strength[:, :1])
    power = xp.sum(z**2)
    return Check(
        xp.sum((z * damping_low) ** 2, axis=1),
        xp.sum((chain.z[2:] - z) ** 2, axis=1),
        xp.sum((z * damping_high) ** 2, axis=1),
        power,
        trivial_lower=0.0,
        trivial_upper=power,
    )
