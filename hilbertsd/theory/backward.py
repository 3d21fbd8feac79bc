r"""Chains from their end: forwards every multiplier is implicit, backwards nothing is.

The residual of a non-trivial fit is y_t − y_{t+1} = c_t G⁻¹ y_{t+1}, and its norm is s = √(Kε).
So, with D the eigenvalues and labels in eigen-coordinates,

    c_t = s/‖D⁻¹ z_{t+1}‖,   z_t = z_{t+1} + c_t D⁻¹ z_{t+1}.

Any labels z_n and any number n give a chain of n non-trivial fits that ends in z_n, because
r_t > 1 for t < n; and every chain that starts in the range arises so. Signs may be taken positive:
then nothing cancels, and the chain is accurate to rounding in every coordinate. With another s_t
in every round nothing changes, and a smaller s_0 alone is a null space: on the range, round 0 of
a singular problem has K (ε − ε_floor) for K ε.

Each step back adds s e to z_{t+1}, e a unit vector with ⟨z, e⟩ = zᵀD⁻¹z/‖D⁻¹z‖, which
Kantorovich's inequality bounds from below by γ ‖z‖, γ = 2√κ/(1 + κ). Hence

    r_t² >= r_{t+1}² + 2 γ r_{t+1} + 1,

the statement ``kantorovich_drop``, and a bound for the age that labels of a given size can reach:
:func:`smallest_ratio`.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from hilbertsd.errors import HilbertSDError
from hilbertsd.theory.chain import Chain
from hilbertsd.theory.collapse import least_cosine

MOST_NODES = 8
"""More eigenvalues than this were not seen to help :func:`longest_chain`."""


def chain_to(
    last: Any,
    d: Any,
    fits: int,
    collapsed: bool,
    s: Any = 1.0,
    *,
    xp: ModuleType | Any = np,
    size: int | None = None,
) -> Chain:
    """Return the chain of ``fits`` non-trivial fits that ends in the labels ``last``.

    Parameters
    ----------
    last
        (m,) coordinates of y_n, not all zero.
    d
        (m,) positive eigenvalues, ascending.
    collapsed
        Whether ‖last‖ <= s; not computed, because it may be traced.
    s
        √(Kε), or n + 1 of them, one a round; the last one judges y_n.
    xp
        The array namespace of ``last`` and ``d``.
    size
        K, if not m. A larger one says that G has a null space: of several √(Kε) the first is then
        smaller by what of y_0 lies there, and all others are equal.

    Returns
    -------
    Chain
        Its ``columns`` are two outputs, 3/5 and 4/5 of the labels, with a joint tolerance.

    Examples
    --------
    >>> chain = chain_to(np.array([0.0, 0.5]), np.array([1.0, 2.0]), fits=3, collapsed=True)
    >>> chain.r, chain.c
    (array([3.5, 2.5, 1.5, 0.5]), array([0.8  , 1.333..., 4.   ]))
    """
    zero = last[0] * 0  # of the namespace's own number type
    constant = np.ndim(s) == 0
    bounds = [zero + s] * (fits + 1) if constant else [zero + bound for bound in s]
    states, multipliers, z = [last], [], last
    for bound in bounds[-2::-1]:
        dual = z / d
        c = bound / xp.sqrt(xp.sum(dual**2))
        z = z + c * dual
        states.append(z)
        multipliers.append(c)
    labels = xp.stack(states[::-1])
    singular = not constant and size is not None and size > len(d)
    return Chain(
        xp=xp,
        size=len(d) if size is None else size,
        d=d,
        z=labels,
        c=xp.stack(multipliers[::-1]),
        s=xp.stack(bounds),
        collapsed=collapsed,
        constant=constant or singular,
        null=bounds[1] ** 2 - bounds[0] ** 2 if singular else 0.0,
        columns=xp.stack([labels * 3 / 5, labels * 4 / 5], axis=2),
    )


def smallest_ratio(fits: int, kappa: float) -> float:
    """Bound r_0 from below for chains of n non-trivial fits on a spectrum of condition κ.

    R_{n−1} of R_0 = 1, R_{j+1}² = R_j² + 2 γ R_j + 1, γ = 2√κ/(1 + κ): r_0 > R_{n−1}. It is n at
    κ = 1 and tends to √n as κ → ∞, the two bounds r_0 − 1 <= collapse_round <= ⌈r_0² − 1⌉. Turned
    round it is the statement ``label_ratio_iterated`` at t = n − 1, and ``rounds_at_most_dated`` is
    what it says of n in closed form.

    Examples
    --------
    >>> smallest_ratio(9, kappa=1.0), smallest_ratio(9, kappa=1e12)
    (9.0, 3.00001...)
    """
    gamma = least_cosine(np, kappa)
    ratio = 1.0
    for _ in range(fits - 1):
        ratio = float(np.sqrt(ratio * (ratio + 2 * gamma) + 1))
    return ratio


@dataclass(frozen=True, eq=False)
class LongestChain:
    """Labels that survive ``fits`` fits at the smallest r_0 found, on condition κ.

    Attributes
    ----------
    ratio
        The smallest r_0 found; the labels end with r_{n−1} = 1.
    bound
        :func:`smallest_ratio`, which no chain can pass.
    eigenvalues, coordinates
        (m,) d with d_max = 1, and z_0 in units of √(Kε).
    """

    fits: int
    kappa: float
    ratio: float
    bound: float
    eigenvalues: np.ndarray
    coordinates: np.ndarray

    @property
    def attained(self) -> float:
        """How near ⌈r_0² − 1⌉ is attained: n/r_0², 1/n at κ = 1 and at most 1."""
        return self.fits / self.ratio**2


def longest_chain(
    fits: int, kappa: float, nodes: int | None = None, *, starts: int = 12, seed: int = 0
) -> LongestChain:
    """Find the smallest labels that survive n fits: min r_0 subject to r_{n−1} = 1.

    With κ → ∞ each round kills one of n equal energies on widely separated scales, and
    r_0² → n; at κ = 1 every round takes 1 from r, and r_0 = n.

    Parameters
    ----------
    fits
        n, the number of non-trivial fits.
    kappa
        Largest condition number of the spectrum.
    nodes
        Number m of eigenvalues, min(n, 8) unless told.
    starts, seed
        Random starts of the local search (L-BFGS-B on the explicit backward chain).
    """
    if fits < 1 or not kappa >= 1:
        raise HilbertSDError(f"fits must be >= 1 and kappa >= 1, got {fits} and {kappa!r}")
    if fits == 1 or kappa == 1:
        d = np.array([1 / kappa, 1.0])
        return LongestChain(fits, kappa, float(fits), float(fits), d, np.array([0.0, fits]))

    import jax
    import jax.numpy as jnp
    from scipy.optimize import minimize

    from hilbertsd import batch

    m = max(2, min(fits, MOST_NODES)) if nodes is None else nodes
    width = float(np.log(kappa))
    depth = 0.5 * fits * width + 12  # what a round takes from the lowest coordinates, n times

    def problem(theta: Any) -> tuple[Any, Any]:
        position = jnp.concatenate([jnp.zeros(1), jnp.sort(theta[: m - 2]), jnp.ones(1)])
        last = jnp.exp(-depth * theta[m - 2 :])
        return jnp.exp(width * (position - 1)), last / jnp.sqrt(jnp.sum(last**2))

    def ratio(theta: Any) -> Any:
        d, last = problem(theta)
        return chain_to(last, d, fits - 1, collapsed=False, xp=jnp).r[0]

    def scales_apart(rng: np.random.Generator) -> np.ndarray:
        """Equal energies on even scales, aged by fits − 1 rounds, and shaken."""
        even = np.linspace(0, 1, m)
        z0 = rng.uniform(np.sqrt(fits), fits) * np.ones(m) / np.sqrt(m)
        runs = batch.chains(np.exp(width * (even - 1)), z0, 1.0, fits - 2, size=1)
        alive = np.flatnonzero(np.asarray(runs.label_ratios) > 1)[-1]
        aged = np.log(np.asarray(runs.labels)[alive])
        start = np.concatenate([even[1:-1], (aged.max() - aged) / depth])
        return np.clip(start + 0.02 * rng.standard_normal(len(start)), 0, 1)

    with jax.enable_x64(True):
        objective = jax.jit(jax.value_and_grad(ratio))

        def both(theta: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = objective(theta)
            return float(value), np.asarray(gradient, dtype=float)

        rng = np.random.default_rng(seed)
        found = [
            minimize(
                both,
                rng.random(2 * m - 2) if start % 2 else scales_apart(rng),
                jac=True,
                method="L-BFGS-B",
                bounds=[(0, 1)] * (2 * m - 2),
                options={"maxiter": 3000, "maxfun": 5000, "ftol": 1e-13, "gtol": 1e-10},
            )
            for start in range(starts)
        ]
        best = min(found, key=lambda f: f.fun)
        d, last = (np.asarray(array) for array in problem(jnp.asarray(best.x)))
    chain = chain_to(last, d, fits - 1, collapsed=False)
    return LongestChain(
        fits, kappa, float(chain.r[0]), smallest_ratio(fits, kappa), d, np.asarray(chain.z[0])
    )
