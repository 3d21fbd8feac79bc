"""The variational problem behind one fit (section 2, section 3.6 and appendix A), in coordinates.

A function of the span of the g(., x_k) is f(x) = g_xᵀ Vᵀ b with predictions p = D b in the
eigenbasis of G, and R(f) = (1/K) Σ b_k² d_k = (1/K) Σ p_k²/d_k. In the inner product of R,
⟨g(., x_k), h⟩ = h(x_k): what is orthogonal to the span changes no prediction and only adds to R,
so the solution lies in the span. Below R stands for K R.
"""

from __future__ import annotations

from typing import Any

from hilbertsd.theory.chain import Chain
from hilbertsd.theory.hypotheses import a_fit, joint_tolerance
from hilbertsd.theory.statement import Check, statement

SECTION = "2 Problem setup"


@statement(
    "Stationarity of the fit",
    kind="identity",
    source="Mobahi et al. 2020, Appendix A (79), (89)-(92)",
    section="A Solving the variational problem",
    about="rounds",
    requires=(a_fit,),
    tight="an identity",
    depends="own round",
)
def stationarity(chain: Chain) -> Check:
    r"""The coefficients of every fit solve (c_t I + G) β_t = y_t.

    Setting the derivative of R(f) + λ Σ_k (f(x_k) − y_k)² in f to zero, with u g = δ, leaves
    this linear system, c = 1/λ: in coordinates, Σ p²/d + (1/c) Σ (p − z)² has the derivative zero
    where p/d = (z − p)/c, and with p = d b that is (c + d) b = z. The sum is strictly convex in
    p, so this is its minimum. Of a result the coefficients are its dual coefficients; where there
    are none, in a certificate, they are read off the predictions, b = p/d with p = z_{t+1}.
    """
    z, b = chain.z[:-1], chain.coefficients
    scale = chain.norms[:-1, None]
    if b is None:
        b = chain.z[1:] / chain.d
    else:  # a rounding of b is seen c + d times as large
        scale = scale + (chain.c[:, None] + chain.d) * chain.xp.sqrt(
            chain.xp.sum(b**2, axis=1)[:, None]
        )
    return Check(z, (chain.c[:, None] + chain.d) * b, z, scale)


@statement(
    "Proposition 1: optimality",
    kind="identity",
    source="Mobahi et al. 2020, Proposition 1 (17)",
    section=SECTION,
    about="rounds",
    requires=(a_fit,),
    tight="an identity",
    depends="own round",
)
def optimality(chain: Chain) -> Check:
    r"""R of every fit equals the value of the dual problem, so no feasible f has a smaller R.

    For any multiplier 1/c > 0 and any feasible p, ‖p − z‖ <= s,

        Σ p²/d >= Σ p²/d + (‖p − z‖² − s²)/c >= Σ z²/(c + d) − s²/c,

    the last since p²/d + (p − z)²/c is smallest at p = d z/(c + d), with the value z²/(c + d).
    The right side does not depend on p: where it is attained by a feasible p, p is optimal. This
    is the KKT system in one number: dual feasibility c > 0, complementary slackness ‖p − z‖ = s
    and stationarity p = d z/(c + d), (17), make all three terms equal, and each alone leaves a
    gap. There is such a c wherever r_t > 1, and only one
    (:func:`~hilbertsd.theory.multiplier.residual_increases`); the first inequality is strict for
    p' that is feasible and not active, the second for any other p, so there is one solution.
    """
    xp, z, s = chain.xp, chain.z[:-1], chain.s[:-1]
    primal = xp.sum(chain.z[1:] ** 2 / chain.d, axis=1)
    allowance = s**2 / chain.c
    attained = xp.sum(z**2 / (chain.c[:, None] + chain.d), axis=1)
    dual = attained - allowance
    return Check(dual, primal, dual, attained + allowance)


@statement(
    "Proposition 1: no feasible competitor has a smaller R",
    kind="lower",
    source="Mobahi et al. 2020, Proposition 1 (17), with the growth that strong convexity adds",
    section=SECTION,
    about="rounds",
    requires=(a_fit,),
    tight="every competitor whose residual has norm s",
    depends="own round",
    axes=("round", "competitor"),
)
def no_better_competitor(chain: Chain) -> Check:
    r"""R(p') >= R(p) + Σ (1/d_k + 1/c) (p'_k − p_k)² for feasible competitors p'.

    p/d = (z − p)/c gives R(p') − R(p) = Σ (p' − p)²/d + (2/c) (z − p)·(p' − p), and

        2 (z − p)·(p' − p) = ‖p − z‖² − ‖p' − z‖² + ‖p' − p‖² >= ‖p' − p‖²

    as the constraint is active at p. The competitors have the residual of the fit with its sign
    turned, its entries reversed or rolled by one, halved, and zero (the interpolant): those of
    norm s attain the bound.
    """
    xp, z, s = chain.xp, chain.z[:-1], chain.s[:-1]
    residual = z - chain.z[1:]
    rolled = xp.concatenate([residual[:, 1:], residual[:, :1]], axis=1)
    others = [-residual, residual[:, ::-1], rolled, residual / 2, residual * 0]
    curvature = 1 / chain.d + 1 / chain.c[:, None]

    def smoothness(p: Any) -> Any:
        return xp.sum(p**2 / chain.d, axis=1)

    best = smoothness(chain.z[1:])[:, None]
    actual = xp.stack([smoothness(z - other) for other in others], axis=1)
    growth = xp.stack([xp.sum(curvature * (residual - o) ** 2, axis=1) for o in others], axis=1)
    sizes = xp.stack([smoothness(z) + smoothness(other) for other in others], axis=1)
    scale = sizes + (s**2 / chain.c)[:, None]
    return Check(best + growth, actual, float("inf"), scale, trivial_lower=best)


@statement(
    "One multiplier for several outputs",
    kind="identity",
    source="Mobahi et al. 2020, section 3.6, with a tolerance joint to all outputs",
    section="3.6 Several outputs",
    about="rounds",
    requires=(a_fit, joint_tolerance),
    tight="an identity",
    depends="own round",
)
def joint_outputs(chain: Chain) -> Check:
    r"""With a joint tolerance the squared residuals of all outputs add up to K ε in every round.

    (1/K) ‖F − Y‖_F² <= ε is one constraint, hence one multiplier: Σ_q R(f_q) + λ ‖F − Y‖_F² falls
    apart into one ridge regression an output, all with c = 1/λ, so that the residual of output q
    is c z_kq/(c + d_k), and Σ_q its squares see the labels through the row norms √(Σ_q z_kq²)
    alone, which is what all other statements speak about here. The constraint is active, as
    otherwise (1 − δ) F were feasible for a small δ > 0, with (1 − δ)² Σ_q R(f_q). On a
    singular G the residual floors of all outputs are taken off ε in round 0. Separate
    tolerances need no statement of their own: they are separate chains.
    """
    residual = chain.columns[1:] - chain.columns[:-1]
    actual = chain.xp.sum(chain.xp.sum(residual**2, axis=2), axis=1)
    expected = chain.s[:-1] ** 2
    return Check(expected, actual, expected, chain.norms[:-1] ** 2)
