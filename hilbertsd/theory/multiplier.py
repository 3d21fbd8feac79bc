"""The multiplier of one fit (section 2) and of every round (section 3.1): where it must lie."""

from __future__ import annotations

import itertools

from hilbertsd.theory.chain import Chain
from hilbertsd.theory.hypotheses import a_fit, constant_tolerance, two_fits
from hilbertsd.theory.statement import Check, statement

SETUP = "2.2 Bounds on the multiplier"
ROUNDS = "3.1 Unrolling self-distillation"


@statement(
    "Proposition 2",
    kind="identity",
    source="Mobahi et al. 2020, Proposition 2 (20), (113)-(124)",
    section=SETUP,
    about="rounds",
    requires=(a_fit,),
    tight="an identity",
    depends="own round",
)
def training_residual(chain: Chain) -> Check:
    r"""(1/K) Σ_k (f(x_k) − y_k)² = (1/K) Σ_k (c z_k/(c + d_k))² for every fit.

    y − G (cI + G)⁻¹ y = c (cI + G)⁻¹ y = Vᵀ c (cI + D)⁻¹ z, and V keeps norms. The left side is
    taken from the predictions, ‖z_{t+1} − z_t‖².
    """
    xp, z, c = chain.xp, chain.z[:-1], chain.c[:, None]
    actual = xp.sum((chain.z[1:] - z) ** 2, axis=1)
    formula = xp.sum((c * z / (c + chain.d)) ** 2, axis=1)
    return Check(formula, actual, formula, chain.norms[:-1] ** 2)


@statement(
    "The constraint is active",
    kind="identity",
    source="Mobahi et al. 2020, (9)-(10), (20)",
    section=SETUP,
    about="rounds",
    requires=(a_fit,),
    tight="an identity",
    depends="own round",
)
def active_constraint(chain: Chain) -> Check:
    r"""‖y_t − y_{t+1}‖² = K ε_t in every non-trivial round; on the range, K (ε − ε_floor) first.

    The solution f is not 0, as r_t > 1. Were its residual smaller than allowed, (1 − δ) f would
    be feasible for a small δ > 0, because the residual is continuous in δ, and its
    R((1 − δ) f) = (1 − δ)² R(f) smaller. On a singular G the residual of round 0 is the sum of
    two orthogonal parts: that in the null space, which no f changes, has the square K ε_floor.
    """
    actual = chain.xp.sum((chain.z[:-1] - chain.z[1:]) ** 2, axis=1)
    allowed = chain.s[:-1] ** 2
    return Check(allowed, actual, allowed, chain.norms[:-1] ** 2)


@statement(
    "The residual increases with the multiplier",
    kind="monotone",
    source="Mobahi et al. 2020, after (20)",
    section=SETUP,
    about="rounds",
    requires=(a_fit,),
    depends="own round",
    axes=("round", "step"),
)
def residual_increases(chain: Chain) -> Check:
    r"""Σ (c z_k/(c + d_k))² is larger at 2^{j+1} c_t than at 2^j c_t, j = −3 .. 2.

    d/dc (c/(c + d))² = 2 c d/(c + d)³ > 0 wherever d > 0. The sum increases from 0 at c = 0 to
    ‖z‖² as c → ∞, so the secular equation has one solution wherever ‖z‖² exceeds K ε.
    """
    xp, z = chain.xp, chain.z[:-1]
    trials = [chain.c[:, None] * 2.0**j for j in range(-3, 4)]
    values = [xp.sum((c * z / (c + chain.d)) ** 2, axis=1) for c in trials]
    differences = xp.stack([b - a for a, b in itertools.pairwise(values)], axis=1)
    return Check(0.0, differences, float("inf"), xp.stack(values[1:], axis=1))


@statement(
    "Bracket of the first multiplier",
    kind="two-sided",
    source="Mobahi et al. 2020, (21)-(24)",
    section=SETUP,
    about="rounds",
    requires=(a_fit,),
    tight="κ = 1; from below, labels in the direction of d_min; from above, of d_max",
    depends="first round",
)
def first_multiplier_bracket(chain: Chain) -> Check:
    r"""d_min √(Kε)/(‖z‖ − √(Kε)) <= c_0 <= d_max √(Kε)/(‖z‖ − √(Kε)).

    c/(c + d_max) <= c/(c + d_k) <= c/(c + d_min), so the secular equation (20) gives
    ‖z‖ c/(c + d_max) <= √(Kε) <= ‖z‖ c/(c + d_min); solve each for c. On a singular G, ‖Py‖ and
    ε − ε_floor take the places of ‖z‖ and ε.
    """
    norm, s = chain.norms[0], chain.s[0]
    gap = norm - s
    return Check(
        chain.d[0] * s / gap,
        chain.c[0],
        chain.d[-1] * s / gap,
        chain.c[0] * norm / gap,
        trivial_lower=0.0,
    )


@statement(
    "Unrolled labels",
    kind="identity",
    source="Mobahi et al. 2020, (31), (35), (44)-(45)",
    section=ROUNDS,
    about="rounds",
    requires=(a_fit,),
    tight="an identity",
    depends="rounds so far",
)
def unrolled_labels(chain: Chain) -> Check:
    r"""y_{t+1} = Vᵀ B_t V y_0 with B_t = A_t .. A_0, A_i = D (c_i I + D)⁻¹.

    y_{i+1} = G (c_i I + G)⁻¹ y_i, that is z_{i+1} = A_i z_i in coordinates, for i = 0 .. t. Of a
    result, y_{t+1} are the labels it hands out, and the B_t are made of its multipliers; in a
    certificate the labels are made of the multipliers too.
    """
    predicted = chain.B * chain.z[0]
    actual = chain.z[1:] if chain.labels is None else chain.labels[1:]
    return Check(predicted, actual, predicted, chain.norms[1:, None])


@statement(
    "Bracket of every multiplier",
    kind="two-sided",
    source="Mobahi et al. 2020, (36)",
    section=ROUNDS,
    about="rounds",
    requires=(a_fit,),
    tight="κ = 1; labels in the direction of d_min or d_max",
    depends="own round",
)
def multiplier_bracket(chain: Chain) -> Check:
    r"""d_min/(r_t − 1) <= c_t <= d_max/(r_t − 1).

    Round t is a first round on the labels y_t: :func:`first_multiplier_bracket` with
    ‖z_t‖ = r_t √(K ε_t).
    """
    return Check(
        chain.d[0] / chain.excess,
        chain.c,
        chain.d[-1] / chain.excess,
        chain.c * chain.stiffness,
        trivial_lower=0.0,
    )


@statement(
    "Multiplier below the labels' mean eigenvalue",
    kind="upper",
    source="hilbertsd; sharper than Mobahi et al. 2020, (36)",
    section=ROUNDS,
    about="rounds",
    requires=(a_fit,),
    tight="labels in one eigenspace; any labels as r_t → 1",
    depends="own round",
)
def multiplier_mean_bound(chain: Chain) -> Check:
    r"""c_t <= d̄_t/(r_t − 1) with d̄_t = z_tᵀ D z_t / z_tᵀ z_t <= d_max.

    In u = 1/c, ‖z‖/‖(I + uD)⁻¹ z‖ is the power mean of order −2 of the numbers 1 + u d_k with
    weights z_k²/‖z‖². It equals r_t at the root, and is at most the arithmetic mean 1 + u d̄_t,
    because means increase with their order: r_t − 1 <= d̄_t/c_t.
    """
    xp, squares = chain.xp, chain.z[:-1] ** 2
    mean = xp.sum(squares * chain.d, axis=1) / xp.sum(squares, axis=1)
    upper = mean / chain.excess
    return Check(
        float("-inf"),
        chain.c,
        upper,
        upper * chain.stiffness,
        trivial_upper=chain.d[-1] / chain.excess,
    )


@statement(
    "Multiplier above the labels' reduced eigenvalue",
    kind="lower",
    source="hilbertsd; sharper than Mobahi et al. 2020, (36)",
    section=ROUNDS,
    about="rounds",
    requires=(a_fit,),
    tight="labels in one eigenspace; any labels as ε → 0 on the range",
    depends="own round",
)
def multiplier_reduced_bound(chain: Chain) -> Check:
    r"""c_t >= d̲_t/(r_t − 1) with d̲_t = ‖z_t‖/‖D⁻¹ z_t‖ >= d_min.

    M(x) = (Σ z_k² x_k⁻²/‖z‖²)^{−1/2}, the power mean of order −2, is homogeneous and concave on
    positive vectors, hence superadditive: M(1 + u d) >= M(1) + u M(d). At the root of the secular
    equation the left side is r_t, M(1) = 1 and M(d) = d̲_t, so r_t − 1 >= d̲_t/c_t.
    """
    xp, z = chain.xp, chain.z[:-1]
    reduced = chain.norms[:-1] / xp.sqrt(xp.sum((z / chain.d) ** 2, axis=1))
    lower = reduced / chain.excess
    return Check(
        lower,
        chain.c,
        float("inf"),
        chain.c * chain.stiffness,
        trivial_lower=chain.d[0] / chain.excess,
    )


@statement(
    "The α_t that realises the recurrence",
    kind="two-sided",
    source="Mobahi et al. 2020, (37)",
    section=ROUNDS,
    about="rounds",
    requires=(a_fit,),
    tight="κ = 1; labels in the direction of d_min or d_max",
    depends="own round",
)
def realised_alpha(chain: Chain) -> Check:
    r"""z_{t+1} = D (α_t/(r_t − 1) I + D)⁻¹ z_t for one α_t in [d_min, d_max].

    z_{t+1} = D (c_t I + D)⁻¹ z_t, so α_t = c_t (r_t − 1) is one, and (36) puts it between d_min
    and d_max; there is no other, as z_{t+1} is not 0 and its entries decrease with α_t. Here it is
    solved for from two consecutive label vectors alone: the claim is
    α_t z_{t+1} = (r_t − 1) D (z_t − z_{t+1}), so α_t is the coefficient of the right side on
    z_{t+1}.
    """
    xp, before, after = chain.xp, chain.z[:-1], chain.z[1:]
    power = xp.sum(after**2, axis=1)
    alpha = chain.excess * xp.sum(after * chain.d * (before - after), axis=1) / power
    size = chain.excess * xp.sum(abs(after * chain.d * before), axis=1) / power
    return Check(chain.d[0], alpha, chain.d[-1], size + alpha * chain.stiffness, trivial_lower=0.0)


@statement(
    "The recurrence with the realised α_t",
    kind="identity",
    source="Mobahi et al. 2020, (37)",
    section=ROUNDS,
    about="rounds",
    requires=(a_fit,),
    tight="an identity",
    depends="own round",
)
def realised_recurrence(chain: Chain) -> Check:
    r"""z_{t+1} = D (α_t/(r_t − 1) I + D)⁻¹ z_t with α_t = c_t (r_t − 1), the α_t of (37).

    y_{t+1} = G (c_t I + G)⁻¹ y_t in coordinates, and α_t/(r_t − 1) = c_t.
    """
    alpha = chain.c * chain.excess
    predicted = chain.d / ((alpha / chain.excess)[:, None] + chain.d) * chain.z[:-1]
    return Check(predicted, chain.z[1:], predicted, chain.norms[1:, None])


@statement(
    "The multipliers increase",
    kind="monotone",
    source="Mobahi et al. 2020, section 3.2",
    section="3.2 Guaranteed number of rounds",
    requires=(constant_tolerance, two_fits),
    depends="rounds so far",
)
def multipliers_increase(chain: Chain) -> Check:
    r"""c_{t+1} > c_t for constant ε.

    |z_{t+1,k}| < |z_{t,k}| in every coordinate the labels have, so at the old multiplier the new
    residual is below √(Kε); it increases with the multiplier, which therefore has to grow.
    """
    difference = chain.c[1:] - chain.c[:-1]
    return Check(0.0, difference, float("inf"), chain.c[1:] * chain.stiffness[1:])
