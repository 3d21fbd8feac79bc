"""How long a chain lasts: collapse, label norms, guaranteed rounds (section 3.2), and beyond.

In units of √(Kε), with R = r_0 − 1, the number n of non-trivial fits obeys

    R/κ <= R <= n < min(r_0², 1 + κR, 1 + 2R + κR²/(κ + R)).

The first is the paper's Proposition 4. All of it says the same at κ = 1: n = ⌈R⌉.
"""

from __future__ import annotations

from typing import Any

from hilbertsd.theory.chain import Chain
from hilbertsd.theory.hypotheses import a_fit, constant_tolerance, run_to_collapse
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
    tight="r_t → 1",
)
def collapse_criterion(chain: Chain) -> Check:
    r"""Round t has a non-trivial solution if and only if r_t > 1: ±(r_t − 1) >= 0.

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
)
def label_norm_decreases(chain: Chain) -> Check:
    r"""‖y_{t+1}‖ < ‖y_t‖: every entry of A_t is below 1."""
    norms = chain.norms
    return Check(0.0, norms[:-1] - norms[1:], INF, norms[:-1])


@statement(
    "One round of the label ratio",
    kind="two-sided",
    source="Mobahi et al. 2020, (129)-(135)",
    section=ROUNDS,
    requires=(constant_tolerance, a_fit),
    tight="κ = 1",
)
def one_round_ratio(chain: Chain) -> Check:
    r"""r_t (r_t − 1)/(r_t − 1 + κ) <= r_{t+1} <= r_t (r_t − 1)/(r_t − 1 + 1/κ).

    The entries of A_t are d_k/(α_t/(r_t − 1) + d_k), with α_t and d_k between d_min and d_max.
    """
    r = chain.r
    lower = _shrink(r[:-1], chain.excess, chain.kappa)
    upper = _shrink(r[:-1], chain.excess, 1 / chain.kappa)
    return Check(lower, r[1:], upper, r[1:] * chain.stiffness, trivial_lower=0.0)


@statement(
    "Tangent lemma, lower",
    kind="lower",
    source="Mobahi et al. 2020, footnote 14 (137)-(140)",
    section=ROUNDS,
    about="rounds",
    requires=(a_fit,),
    tight="t = 0, and every t at κ = 1",
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
)
def label_norm_lower_bound(chain: Chain) -> Check:
    r"""r_t >= aᵗ r_0 − b (aᵗ − 1)/(a − 1) if r_i > 1 for all i < t, t = 1 .. n.

    a = ((r_0 − 1)² + κ (2 r_0 − 1))/(r_0 − 1 + κ)² and b = r_0² κ/(r_0 − 1 + κ)²; at κ = 1, a = 1
    and the quotient is t. In units of √(Kε). The paper asks for r_t > 1 as well, which its proof
    does not use. A bound at or below 0 says nothing.
    """
    powers, totals, _ = _recurrence(chain, chain.kappa)
    return Check(powers - totals, chain.r[1:], INF, powers + totals, trivial_lower=0.0)


@statement(
    "Proposition 3, upper companion",
    kind="upper",
    source="Mobahi et al. 2020, (140)-(141)",
    section=ROUNDS,
    requires=(constant_tolerance, a_fit),
    tight="κ = 1",
)
def label_norm_upper_bound(chain: Chain) -> Check:
    r"""r_t <= a'ᵗ r_0 − b' (a'ᵗ − 1)/(a' − 1), a' and b' those of Proposition 3 with 1/κ for κ.

    What is known without it: r_t < r_0.
    """
    powers, totals, a = _recurrence(chain, 1 / chain.kappa)
    size = (powers + totals) * chain.stiffness[0] * (1 + a)
    return Check(-INF, chain.r[1:], powers - totals, size, trivial_upper=chain.r[0])


@statement(
    "Proposition 4",
    kind="lower",
    source="Mobahi et al. 2020, Proposition 4 (41), (142)-(146)",
    section=ROUNDS,
    requires=(constant_tolerance, run_to_collapse, a_fit),
    tight="κ = 1 with a whole r_0",
)
def guaranteed_rounds(chain: Chain) -> Check:
    r"""collapse_round >= t̲ = (r_0 − 1)/κ; one fit is known from r_0 > 1."""
    lower = chain.excess[0] / chain.kappa
    return Check(lower, float(chain.fits), INF, lower * chain.stiffness[0] + 1, trivial_lower=1.0)


@statement(
    "Proposition 4 near interpolation",
    kind="limit",
    source="Mobahi et al. 2020, (42)",
    section=ROUNDS,
    requires=(a_fit,),
    tight="the rate is exact",
)
def guaranteed_rounds_near_interpolation(chain: Chain) -> Check:
    r"""t̲/(‖y‖/(κ√(Kε))) → 1 as ε → 0: it lies between 1 − 1/r_0 and 1.

    On the same labels with tolerances ε, ε/100, .., ε/10⁸, hence r_0, 10 r_0, .., 10⁴ r_0.
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
)
def power_drop(chain: Chain) -> Check:
    r"""s_t² (1 + 2 d_min/c_t) <= ‖y_t‖² − ‖y_{t+1}‖² <= s_t² (1 + 2 d_max/c_t), s_t² = K ε_t.

    With the residual u = y_t − y_{t+1}, (c_t I + G) u = c_t y_t gives y_{t+1} = G u/c_t, so
    ‖y_t‖² − ‖y_{t+1}‖² = ‖u‖² + 2 uᵀ y_{t+1} = ‖u‖² + 2 uᵀ G u/c_t, and ‖u‖ = s_t.
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
    "Rounds before collapse, without the condition number",
    kind="lower",
    source=f"{OURS}; sharper than Mobahi et al. 2020, Proposition 4",
    section=BEYOND,
    requires=(constant_tolerance, run_to_collapse, a_fit),
    tight="labels in one eigenspace with a whole r_0",
)
def rounds_at_least(chain: Chain) -> Check:
    r"""collapse_round >= r_0 − 1.

    r_{t+1} >= r_t − 1 (:func:`norm_drop`) n times: 1 >= r_n >= r_0 − n.
    """
    lower = chain.excess[0]
    return Check(lower, float(chain.fits), INF, chain.r[0] + 1, trivial_lower=1.0)


@statement(
    "Collapse is inevitable, and dated",
    kind="upper",
    source=OURS,
    section=BEYOND,
    requires=(constant_tolerance, a_fit),
    tight="label energies K ε on widely separated eigenvalues: each round kills one",
)
def rounds_at_most(chain: Chain) -> Check:
    r"""The number n of non-trivial fits is below r_0²: collapse_round <= ⌈r_0² − 1⌉.

    r_{t+1}² <= r_t² − 1 (:func:`power_drop`) n − 1 times: 1 < r_{n−1}² <= r_0² − (n − 1). For a
    whole number n < x and n <= ⌈x − 1⌉ are the same.
    """
    return Check(-INF, float(chain.fits), chain.r[0] ** 2, chain.r[0] ** 2)


@statement(
    "Collapse dated by the condition number, near 1",
    kind="upper",
    source=OURS,
    section=BEYOND,
    requires=(constant_tolerance, a_fit),
    tight="κ = 1",
)
def rounds_at_most_linear(chain: Chain) -> Check:
    r"""The number n of fits is below 1 + κ (r_0 − 1), itself below r_0² for κ < r_0 + 1.

    :func:`power_drop` and c_t <= d_max/(r_t − 1) give

        r_{t+1}² <= r_t² − 1 − 2 (r_t − 1)/κ = (r_t − 1) (r_t + 1 − 2/κ) <= (r_t − 1/κ)²,

    the last by the means of the two factors. So 1 < r_{n−1} <= r_0 − (n − 1)/κ.
    """
    upper = 1 + chain.kappa * chain.excess[0]
    size = upper * chain.stiffness[0]
    return Check(-INF, float(chain.fits), upper, size, trivial_upper=chain.r[0] ** 2)


@statement(
    "Collapse dated by the condition number",
    kind="upper",
    source=OURS,
    section=BEYOND,
    requires=(constant_tolerance, a_fit),
    tight="κ → ∞, with label energies K ε on widely separated eigenvalues",
)
def rounds_at_most_dated(chain: Chain) -> Check:
    r"""The number n of fits is below 1 + 2R + κR²/(κ + R) <= r_0², R = r_0 − 1.

    With x_t = r_t², a round takes w(x) = 1 + 2 (√x − 1)/κ off x_t (:func:`power_drop` and
    c_t <= d_max/(r_t − 1)). Φ(x) = ∫_1^x dx'/w(x') is concave, as w increases, so
    Φ(x_{t+1}) <= Φ(x_t) + Φ'(x_t) (x_{t+1} − x_t) <= Φ(x_t) − 1, while x_t >= 1. Hence
    0 < Φ(x_{n−1}) <= Φ(r_0²) − (n − 1). With v = √x − 1 and q = 2/κ,

        Φ(r_0²) = ∫_0^R 2 (1 + v)/(1 + q v) dv
                = 2 log(1 + qR)/q + 2 (qR − log(1 + qR))/q² <= 2R + 2R²/(2 + qR),

    since log(1 + x) <= x and x − log(1 + x) <= x²/(2 + x), that is log(1 + x) >= 2x/(2 + x).
    """
    excess, kappa = chain.excess[0], chain.kappa
    upper = 1 + 2 * excess + excess**2 * (kappa / (kappa + excess))
    return Check(-INF, float(chain.fits), upper, upper, trivial_upper=chain.r[0] ** 2)


@statement(
    "Label ratio, iterated upper bound",
    kind="upper",
    source=OURS,
    section=BEYOND,
    requires=(constant_tolerance, a_fit),
    tight="κ = 1; κ → ∞, with label energies K ε on widely separated eigenvalues",
)
def label_ratio_iterated(chain: Chain) -> Check:
    r"""r_t <= h(h(..h(r_0))), t times, h(r) = √((r − 1) (r + 1 − 2/κ)), t = 1 .. n.

    The one-round form of :func:`rounds_at_most_linear`; h increases for r >= 1, so bounds may be
    put in for r. What is known without it: r_t < r_0.
    """
    xp, kappa = chain.xp, chain.kappa
    excess = chain.excess[0]
    bounds = []
    for t in range(chain.fits):
        bound = xp.sqrt(abs(excess * (excess + 2 - 2 / kappa)))  # abs: rounding at 0
        bounds.append(bound)
        excess = bound - 1 if t + 1 < chain.fits else bound
    upper = xp.stack(bounds)
    size = upper * chain.stiffness[-1] * chain.stiffness[0]
    return Check(-INF, chain.r[1:], upper, size, trivial_upper=chain.r[0])
