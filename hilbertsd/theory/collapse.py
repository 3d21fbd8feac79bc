"""How long a chain lasts: collapse, label norms, guaranteed rounds (section 3.2), and beyond.

In units of √(Kε), the number n of non-trivial fits obeys

    (r_0 − 1)/κ <= r_0 − 1 <= n < r_0 (r_0 + γ)/(1 + γ r_0) <= r_0²,   γ = 2√κ/(1 + κ).

The first is the paper's Proposition 4. At κ = 1 all but the last say the same, n = ⌈r_0 − 1⌉; as
κ → ∞ the last two do. All but the fourth hold for the r_0 = ‖y‖/√(Kε) and the collapse round of
the user's own labels, whatever positive semidefinite G is; the fourth needs labels in its range.
"""

from __future__ import annotations

from typing import Any

from hilbertsd.theory.chain import Chain
from hilbertsd.theory.hypotheses import (
    a_fit,
    constant_tolerance,
    positive_eigenvalue,
    run_to_collapse,
    same_tolerance,
    told_from_one,
)
from hilbertsd.theory.statement import Check, statement

SETUP = "2 Problem setup"
ROUNDS = "3.2 Guaranteed number of rounds"
BEYOND = "3.2 Guaranteed number of rounds: beyond the paper"
OURS = "hilbertsd"
INF = float("inf")


def _shrink(r: Any, excess: Any, kappa: Any) -> Any:
    """φ(r) = r (r − 1)/(r − 1 + κ), the smallest r_{t+1} that (132)-(135) allow after r."""
    return r * excess / (excess + kappa)


def _tangent(r: Any, excess: Any, kappa: Any) -> tuple[Any, Any]:
    """Slope a and offset b of the tangent a r − b of φ, (126)-(128)."""
    below = (excess + kappa) ** 2
    return (excess**2 + kappa * (2 * r - 1)) / below, r**2 * kappa / below


def least_cosine(xp: Any, kappa: Any) -> Any:
    """γ = 2√κ/(1 + κ), the least cosine of the angle between v and D⁻¹ v: Kantorovich's."""
    return 2 * xp.sqrt(kappa) / (1 + kappa)


def _recurrence(chain: Chain, kappa: Any) -> tuple[Any, Any, Any]:
    """aᵗ r_0, b (aᵗ − 1)/(a − 1) and t for t = 1 .. n; the quotient as a sum, for a = 1."""
    r = chain.r[0]
    a, b = _tangent(r, chain.excess[0], kappa)
    power, total, powers, totals = 1.0, 0.0, [], []
    for _ in range(chain.fits):
        total = total + power
        power = power * a
        powers.append(power * r)
        totals.append(b * total)
    return chain.xp.stack(powers), chain.xp.stack(totals), a


@statement(
    "Collapse criterion",
    kind="lower",
    source="Mobahi et al. 2020, (9)-(10)",
    section=SETUP,
    about="rounds",
    requires=(told_from_one,),
    tight="r_t → 1",
    depends="own round",
)
def collapse_criterion(chain: Chain) -> Check:
    r"""Round t has a non-trivial solution if and only if r_t > 1: ±(r_t − 1) >= 0.

    For ‖y_t‖ <= √(K ε_t) the zero function is feasible, R(0) = 0, and R is positive elsewhere, u
    being positive definite: it is the solution. For ‖y_t‖ > √(K ε_t) it is not feasible, and a
    solution with a finite multiplier exists
    (:func:`~hilbertsd.theory.multiplier.residual_increases`).

    Plus where there is a fit, minus where the chain has collapsed. For a fit, r_t is taken as
    ‖y_t‖/‖y_t − y_{t+1}‖, from its own residual instead of ε: a fit with a finite multiplier
    leaves a residual smaller than its labels.
    """
    xp, norms = chain.xp, chain.norms
    residual = xp.sqrt(xp.sum((chain.z[:-1] - chain.z[1:]) ** 2, axis=1))
    last = norms[-1:] / chain.s[-1:] - 1
    signed = xp.concatenate([norms[:-1] / residual - 1, -last if chain.collapsed else last])
    return Check(0.0, signed, INF, norms / chain.s + 1)


@statement(
    "The label norm decreases",
    kind="monotone",
    source="Mobahi et al. 2020, (34)",
    section="3.1 Unrolling self-distillation",
    about="rounds",
    requires=(a_fit,),
    depends="own round",
)
def label_norm_decreases(chain: Chain) -> Check:
    r"""‖y_{t+1}‖ < ‖y_t‖: every entry of A_t is below 1.

    z_{t+1} = A_t z_t with entries d_k/(c_t + d_k) < 1 as c_t > 0, and z_t is not 0 as r_t > 1. On a
    singular G, y_1 leaves out the part of y_0 in the null space besides.
    """
    norms = chain.norms
    return Check(0.0, norms[:-1] - norms[1:], INF, norms[:-1])


@statement(
    "One round of the label ratio",
    kind="two-sided",
    source="Mobahi et al. 2020, (129)-(135)",
    section=ROUNDS,
    requires=(constant_tolerance, a_fit),
    tight="κ = 1",
    depends="own round",
)
def one_round_ratio(chain: Chain) -> Check:
    r"""r_t (r_t − 1)/(r_t − 1 + κ) <= r_{t+1} <= r_t (r_t − 1)/(r_t − 1 + 1/κ).

    r_{t+1} = ‖A_t z_t‖/√(Kε) lies between r_t times the smallest and the largest entry of A_t.
    These are d_k/(α_t/(r_t − 1) + d_k), with α_t and d_k between d_min and d_max
    (:func:`~hilbertsd.theory.multiplier.realised_alpha`), and decrease with α_t/d_k, which lies
    between 1/κ and κ.
    """
    r = chain.r
    lower = _shrink(r[:-1], chain.excess, chain.kappa)
    upper = _shrink(r[:-1], chain.excess, 1 / chain.kappa)
    size = r[1:] * chain.stiffness
    return Check(lower, r[1:], upper, size, trivial_lower=1.0, trivial_upper=r[:-1])


@statement(
    "Tangent lemma, lower",
    kind="lower",
    source="Mobahi et al. 2020, footnote 14 (137)-(140)",
    section=ROUNDS,
    about="rounds",
    requires=(a_fit,),
    tight="t = 0, and every t at κ = 1",
    depends="rounds so far",
)
def tangent_below(chain: Chain) -> Check:
    r"""φ(r) = r (r − 1)/(r − 1 + κ) lies above its tangent at r_0: φ(r_t) >= a r_t − b.

    φ''(r) = 2 κ (κ − 1)/(r − 1 + κ)³ >= 0 for r > 1, whatever r_t is. The tangent has the slope
    a = ((r_0 − 1)² + κ (2 r_0 − 1))/(r_0 − 1 + κ)² and the offset b = r_0² κ/(r_0 − 1 + κ)².
    """
    r = chain.r[:-1]
    a, b = _tangent(r[0], chain.excess[0], chain.kappa)
    value = _shrink(r, chain.excess, chain.kappa)
    return Check(a * r - b, value, INF, value + a * r + b, trivial_lower=0.0)


@statement(
    "Tangent lemma, upper",
    kind="upper",
    source="Mobahi et al. 2020, footnote 13 (136)-(140)",
    section=ROUNDS,
    about="rounds",
    requires=(a_fit,),
    tight="t = 0, and every t at κ = 1",
    depends="rounds so far",
)
def tangent_above(chain: Chain) -> Check:
    r"""ψ(r) = r (r − 1)/(r − 1 + 1/κ), concave for r > 1, lies below its tangent at r_0.

    ψ''(r) = 2 (1/κ) (1/κ − 1)/(r − 1 + 1/κ)³ <= 0.
    """
    r = chain.r[:-1]
    a, b = _tangent(r[0], chain.excess[0], 1 / chain.kappa)
    value = _shrink(r, chain.excess, 1 / chain.kappa)
    size = (value + a * r + b) * chain.stiffness[0]
    return Check(-INF, value, a * r - b, size, trivial_upper=r)


@statement(
    "Proposition 3",
    kind="lower",
    source="Mobahi et al. 2020, Proposition 3 (38)-(40), (125)-(141)",
    section=ROUNDS,
    requires=(constant_tolerance, a_fit),
    tight="κ = 1",
    depends="rounds so far",
)
def label_norm_lower_bound(chain: Chain) -> Check:
    r"""r_t >= aᵗ r_0 − b (aᵗ − 1)/(a − 1) if r_i > 1 for all i < t, t = 1 .. n.

    a = ((r_0 − 1)² + κ (2 r_0 − 1))/(r_0 − 1 + κ)² and b = r_0² κ/(r_0 − 1 + κ)²; at κ = 1, a = 1
    and the quotient is t. In units of √(Kε). r_{t+1} >= φ(r_t) >= a r_t − b
    (:func:`one_round_ratio`, :func:`tangent_below`). As a > 0, r_t stays above the solution of
    x_{t+1} = a x_t − b, x_0 = r_0, which is the right side. The paper asks for r_t > 1 as well,
    which its proof does not use; a bound at or below 1 says no more than that.
    """
    powers, totals, _ = _recurrence(chain, chain.kappa)
    return Check(powers - totals, chain.r[1:], INF, powers + totals, trivial_lower=1.0)


@statement(
    "Proposition 3, upper companion",
    kind="upper",
    source="Mobahi et al. 2020, (140)-(141)",
    section=ROUNDS,
    requires=(constant_tolerance, a_fit),
    tight="κ = 1",
    depends="rounds so far",
)
def label_norm_upper_bound(chain: Chain) -> Check:
    r"""r_t <= a'ᵗ r_0 − b' (a'ᵗ − 1)/(a' − 1), a' and b' those of Proposition 3 with 1/κ for κ.

    r_{t+1} <= ψ(r_t) <= a' r_t − b' (:func:`one_round_ratio`, :func:`tangent_above`), and a' > 0:
    r_t stays below the solution of x_{t+1} = a' x_t − b', x_0 = r_0. What is known without it:
    r_t < r_0.
    """
    powers, totals, a = _recurrence(chain, 1 / chain.kappa)
    size = (powers + totals) * chain.stiffness[0] * (1 + a)
    return Check(-INF, chain.r[1:], powers - totals, size, trivial_upper=chain.r[0])


@statement(
    "Proposition 4",
    kind="lower",
    source="Mobahi et al. 2020, Proposition 4 (41), (142)-(146)",
    section=ROUNDS,
    about="rounds",
    requires=(same_tolerance, run_to_collapse, positive_eigenvalue),
    tight="κ = 1 with a whole r_0",
    depends="number of fits",
)
def guaranteed_rounds(chain: Chain) -> Check:
    r"""collapse_round >= t̲ = (r_0 − 1)/κ; one fit is known from r_0 > 1.

    r_{t+1} >= r_t (r_t − 1)/(r_t − 1 + κ) (:func:`one_round_ratio`), so a round takes at most
    r_t κ/(r_t − 1 + κ) off r_t, which is at most κ because κ >= 1. Hence r_t >= r_0 − t κ, which
    exceeds 1 while t < t̲. On a singular G, κ is that of the range, and r_0 = ‖y‖/√(Kε) with the
    whole of y: the claim then follows from :func:`rounds_at_least`, as κ >= 1.
    """
    lower = chain.label_excess / chain.kappa
    norm, s = chain.label_norms
    size = norm / s / chain.kappa + 1
    return Check(lower, float(chain.fits), INF, size, trivial_lower=1.0)


@statement(
    "Proposition 4 near interpolation",
    kind="limit",
    source="Mobahi et al. 2020, (42)",
    section=ROUNDS,
    requires=(a_fit,),
    tight="the rate is exact",
    depends="first round",
    axes=("tolerance",),
)
def guaranteed_rounds_near_interpolation(chain: Chain) -> Check:
    r"""t̲/(‖y‖/(κ√(Kε))) → 1 as ε → 0: it lies between 1 − 1/r_0 and 1.

    t̲ κ √(Kε)/‖y‖ = (r_0 − 1)/r_0 = 1 − 1/r_0 exactly, and r_0 → ∞ as ε → 0. On the same labels with
    tolerances ε, ε/100, .., ε/10⁸, hence r_0, 10 r_0, .., 10⁴ r_0.
    """
    xp, kappa = chain.xp, chain.kappa
    scales = [10.0**i for i in range(5)]
    norms = [chain.norms[0] for _ in scales]
    tolerances = [chain.s[0] / scale for scale in scales]
    pairs = list(zip(norms, tolerances, strict=True))
    guaranteed = xp.stack([(norm - s) / s / kappa for norm, s in pairs])
    near = xp.stack([norm / (kappa * s) for norm, s in pairs])
    ratio = guaranteed / near
    lower = xp.stack([1 - s / norm for norm, s in pairs])
    return Check(lower, ratio, 1.0, 1.0 + 0 * ratio)


@statement(
    "A round takes at most √(Kε) off the label norm",
    kind="upper",
    source=OURS,
    section=BEYOND,
    about="rounds",
    requires=(a_fit,),
    tight="labels in one eigenspace",
    depends="own round",
)
def norm_drop(chain: Chain) -> Check:
    r"""‖y_t‖ − ‖y_{t+1}‖ <= √(K ε_t), that is r_{t+1} >= r_t − 1 for constant ε.

    The triangle inequality, as the constraint is active: ‖y_t − y_{t+1}‖ = √(K ε_t).
    """
    norms = chain.norms
    return Check(-INF, norms[:-1] - norms[1:], chain.s[:-1], norms[:-1], trivial_upper=norms[:-1])


@statement(
    "A round takes at least K ε off the label power",
    kind="two-sided",
    source=OURS,
    section=BEYOND,
    about="rounds",
    requires=(a_fit,),
    tight="κ = 1; labels in one eigenspace, on the side of its eigenvalue",
    depends="own round",
)
def power_drop(chain: Chain) -> Check:
    r"""s_t² (1 + 2 d_min/c_t) <= ‖y_t‖² − ‖y_{t+1}‖² <= s_t² (1 + 2 d_max/c_t), s_t² = K ε_t.

    With the residual u = y_t − y_{t+1}, (c_t I + G) u = c_t y_t gives y_{t+1} = G u/c_t, so
    ‖y_t‖² − ‖y_{t+1}‖² = ‖u‖² + 2 uᵀ y_{t+1} = ‖u‖² + 2 uᵀ G u/c_t, and ‖u‖ = s_t, so that uᵀ G u
    lies between d_min s_t² and d_max s_t².
    """
    power = chain.norms**2
    allowed = chain.s[:-1] ** 2
    return Check(
        allowed * (1 + 2 * chain.d[0] / chain.c),
        power[:-1] - power[1:],
        allowed * (1 + 2 * chain.d[-1] / chain.c),
        power[:-1],
        trivial_lower=0.0,
        trivial_upper=power[:-1],
    )


@statement(
    "A round takes at least K ε and a share of the label norm off the label power",
    kind="lower",
    source=f"{OURS}, by Kantorovich's inequality",
    section=BEYOND,
    about="rounds",
    requires=(a_fit,),
    tight="y_{t+1} ∝ (√d_min, √d_max) on the ends of the spectrum, at every κ",
    depends="own round",
)
def kantorovich_drop(chain: Chain) -> Check:
    r"""‖y_t‖² − ‖y_{t+1}‖² >= s_t² + 2 γ s_t ‖y_{t+1}‖, γ = 2√κ/(1 + κ), s_t² = K ε_t.

    That is r_t² >= r_{t+1}² + 2 γ r_{t+1} + 1 for constant ε. Let z be the coordinates of y_{t+1}.
    The residual u = y_t − y_{t+1} = c_t G⁻¹ y_{t+1} has the norm s_t, and the left side is
    ‖u‖² + 2 ⟨u, y_{t+1}⟩. Summed over k, (1/d_k − 1/d_max) (1/d_min − 1/d_k) z_k² >= 0 is

        (1/d_min + 1/d_max) zᵀD⁻¹z >= ‖D⁻¹z‖² + ‖z‖²/(d_min d_max) >= 2 ‖D⁻¹z‖ ‖z‖/√(d_min d_max),

    so that zᵀD⁻¹z >= γ ‖D⁻¹z‖ ‖z‖; times c_t, ⟨u, y_{t+1}⟩ >= γ s_t ‖y_{t+1}‖. Both steps are
    equalities for z = (√d_min, √d_max). At κ = 1, γ = 1, it is :func:`norm_drop` turned round.
    """
    norms, s = chain.norms, chain.s[:-1]
    power = norms**2
    lower = s * (s + 2 * least_cosine(chain.xp, chain.kappa) * norms[1:])
    return Check(lower, power[:-1] - power[1:], INF, power[:-1], trivial_lower=0.0)


@statement(
    "Rounds before collapse, without the condition number",
    kind="lower",
    source=f"{OURS}; sharper than Mobahi et al. 2020, Proposition 4",
    section=BEYOND,
    about="rounds",
    requires=(same_tolerance, run_to_collapse),
    tight="labels in one eigenspace with a whole r_0",
    depends="number of fits",
)
def rounds_at_least(chain: Chain) -> Check:
    r"""collapse_round >= r_0 − 1 with r_0 = ‖y‖/√(Kε), for any positive semidefinite G.

    The constraint is active in every fit, ‖y_t − y_{t+1}‖ = √(Kε): so
    ‖y_{t+1}‖ >= ‖y_t‖ − √(Kε) by the triangle inequality, whatever of y_t lies in the null space
    of G. That is r_{t+1} >= r_t − 1, and n times 1 >= r_n >= r_0 − n.
    """
    norm, s = chain.label_norms
    return Check(chain.label_excess, float(chain.fits), INF, norm / s + 1, trivial_lower=1.0)


@statement(
    "Collapse is inevitable, and dated",
    kind="upper",
    source=OURS,
    section=BEYOND,
    about="rounds",
    requires=(same_tolerance,),
    tight="label energies K ε on widely separated eigenvalues: each round kills one",
    depends="number of fits",
)
def rounds_at_most(chain: Chain) -> Check:
    r"""The number n of non-trivial fits is below r_0² = ‖y‖²/(Kε): collapse_round <= ⌈r_0² − 1⌉.

    For any positive semidefinite G and y ≠ 0. With the residual u = y_t − y_{t+1}, ‖u‖² = Kε, and
    y_{t+1} = G u/c_t, ‖y_t‖² − ‖y_{t+1}‖² = ‖u‖² + 2 uᵀ y_{t+1} = Kε + 2 uᵀ G u/c_t >= Kε: what
    lies in the null space of G adds to ‖u‖² and not to uᵀ G u. That is r_{t+1}² <= r_t² − 1, and
    n − 1 times 1 < r_{n−1}² <= r_0² − (n − 1). For a whole number n < x and n <= ⌈x − 1⌉ are the
    same.
    """
    norm, s = chain.label_norms
    square = norm**2 / s**2
    known = INF if chain.fits else 0.0  # r_0 <= 1 says n = 0
    return Check(-INF, float(chain.fits), square, square, trivial_upper=known)


@statement(
    "Collapse dated by the condition number",
    kind="upper",
    source=OURS,
    section=BEYOND,
    requires=(constant_tolerance, a_fit),
    tight="κ = 1; κ → ∞, with label energies K ε on widely separated eigenvalues",
    depends="number of fits",
)
def rounds_at_most_dated(chain: Chain) -> Check:
    r"""The number n of fits is below N(r_0), N(r) = r (r + γ)/(1 + γ r), γ = 2√κ/(1 + κ).

    N increases, N(1) = 1, and a round takes at least 1 off N: let p = r_{t+1} and r the positive
    root of r² = p² + 2 γ p + 1, which r_t reaches (:func:`kantorovich_drop`). As γ <= 1, that is at
    least (p + γ)², so that r >= p + γ. Now 1 + N(p) = r²/(1 + γ p), and

        (r + γ) (1 + γ p) − r (1 + γ r) = γ p (r − p − γ) >= 0

    says N(r) >= 1 + N(p). Hence N(r_0) >= n − 1 + N(r_{n−1}) > n, as r_{n−1} > 1. N lies below the
    date linear in r_0, by (r_0 − 1) (1 − γ)/(γ (1 + γ r_0)), and below :func:`rounds_at_most`:

        N(r_0) <= 1 + (r_0 − 1)/γ,   N(r_0) <= r_0².
    """
    r = chain.r[0]
    cosine = least_cosine(chain.xp, chain.kappa)
    upper = r * (r + cosine) / (1 + cosine * r)
    return Check(-INF, float(chain.fits), upper, upper, trivial_upper=r**2)


@statement(
    "Label ratio, iterated upper bound",
    kind="upper",
    source=OURS,
    section=BEYOND,
    requires=(constant_tolerance, a_fit),
    tight="t = 1 with y_1 ∝ (√d_min, √d_max), every t at κ = 1; κ → ∞, with label energies K ε "
    "on widely separated eigenvalues",
    depends="rounds so far",
)
def label_ratio_iterated(chain: Chain) -> Check:
    r"""r_t <= h(h(..h(r_0))), t times, h(r) = √(r² − 1 + γ²) − γ, γ = 2√κ/(1 + κ), t = 1 .. n.

    :func:`kantorovich_drop`, solved for r_{t+1}; h increases for r >= 1, so bounds may be put in
    for r. It lies below the upper bound of :func:`one_round_ratio`. At t = n − 1, where
    r_t > 1, it says r_0 > R_{n−1}, with R_0 = 1 and R_{j+1}² = R_j² + 2 γ R_j + 1. What is known
    without it: r_t < r_0.
    """
    xp = chain.xp
    cosine = least_cosine(xp, chain.kappa)
    excess = chain.excess[0]
    reach = chain.r[0]  # r_0 times the derivative of the bound: what rounding of r_0 does to it
    roots, reaches = [], []
    for _ in range(chain.fits):
        root = xp.sqrt(abs(excess * (excess + 2) + cosine**2))  # abs: rounding at 0
        reach = reach * abs(1 + excess) / root
        excess = root - cosine - 1
        roots.append(root)
        reaches.append(reach)
    root, size = xp.stack(roots), xp.stack(roots) + xp.stack(reaches)
    return Check(-INF, chain.r[1:], root - cosine, size, trivial_upper=chain.r[0])
