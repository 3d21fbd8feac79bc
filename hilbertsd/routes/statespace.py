"""The state-space route: kernels on the line, every evaluation of the residual in O(K).

A Kalman filter and a disturbance smoother solve (I + uG)⁻¹ y with G never formed, at any u: where
Krylov spaces would need as many steps as there are points, the cost is the same. Points on one
site are one observation, the mean of their labels with their number as its weight; what they
deviate from it, and labels where the kernel vanishes, is the residual floor, known exactly.

Errors. The recursions carry a few numbers from site to site, and what rounds these is the error.
So the chain is computed again some times with everything carried, and every label, multiplied by
1 ± u at random (Monte Carlo arithmetic: Parker 1997; Vignes 1993), round after round, each with
labels of its own. The multiplier is brought back to the constraint to first order. Reported is
the usual multiple of the root mean square of what this moves.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from hilbertsd.errors import InfeasibleToleranceError
from hilbertsd.multiplier import Residual
from hilbertsd.operators.semiseparable import Semiseparable, Sites
from hilbertsd.recurrence import RoundErrors, run
from hilbertsd.routes.group import Chain, Group, RouteError, Solution
from hilbertsd.routes.perturbation import SAFETY, SEED, round_errors

REPETITIONS = 8
"""Chains computed again, rounded otherwise."""

_GAINS, _STATES = (1, 3, 6), (2, 4, 6)
"""How many numbers the loops carry, for one to three components of the state."""

_UNIT = float(np.finfo(float).eps)


class Model(NamedTuple):
    """The operator on distinct sites, as the loops take it: G̃ = W Ĝ W with W² the counts."""

    way: Any
    diagonal: Any
    lower: Any
    weights: Any


class Fit(NamedTuple):
    """A solve at one multiplier, for (D, Q) labels."""

    residual: Float[np.ndarray, "D Q"]
    """x = (I + uG)⁻¹ y."""
    image: Float[np.ndarray, "D Q"]
    """G x."""

    def predictions(self, labels: Float[np.ndarray, "D Q"], u: float) -> Float[np.ndarray, "D Q"]:
        """uG(I + uG)⁻¹ y, by the one of two ways that cancels less."""
        fitted = u * self.image
        small = np.linalg.norm(self.residual) < np.linalg.norm(fitted)
        return labels - self.residual if small else fitted


class Reduced(NamedTuple):
    """Labels on distinct sites, scaled so that norms are kept, and what is left over."""

    labels: Float[np.ndarray, "D Q"]
    floor: float
    """‖·‖² outside the range of G."""


def reduced(sites: Sites, y: Float[np.ndarray, "K Q"]) -> Reduced:
    """Split labels into their part in the range of G and the rest."""
    size = len(sites.positions)
    first = np.zeros((size + 1, y.shape[1]))
    first[sites.index[::-1]] = y[::-1]
    first[size] = 0.0
    # deviations from one of the labels: equal labels have none, to the last bit
    apart = y - first[sites.index]
    mean = np.stack([sites.sums(column) for column in apart.T], axis=1) / sites.counts[:, None]
    left = apart - np.append(mean, np.zeros((1, y.shape[1])), axis=0)[sites.index]
    left = left[left != 0]
    floor = math.fsum(left**2)
    return Reduced(np.sqrt(sites.counts)[:, None] * (first[:-1] + mean), floor)


class StateSpaceRoute:
    """One chain on the distinct sites; its columns share their multiplier.

    Parameters
    ----------
    model
        The operator on the distinct sites.
    start
        y_0, reduced to the sites.
    power
        ‖y_0‖², summed exactly from the labels themselves.
    size
        K, the number of points.
    """

    def __init__(self, model: Model | None, start: Reduced, power: float, size: int) -> None:
        self.size, self.outputs = size, start.labels.shape[1]
        self._model = model
        self._power, self._floor = power, start.floor
        self._rng = np.random.default_rng(SEED)
        self._repeated = [start.labels] * REPETITIONS
        self.history = [start.labels]
        self.dual: list[np.ndarray] = []

    def power(self) -> float:
        """‖y_t‖²."""
        return self._power

    def floor(self) -> float:
        """‖y_t‖² outside the range of G."""
        return self._floor

    def residual(self, u: float) -> Residual:
        """Norm and decay of (I + uG)⁻¹ y_t."""
        gains = self._gains(u)
        return self._measure(self._solve(gains, u, self.history[-1]), gains, u)[0]

    def _measure(self, fit: Fit, gains: Any, u: float) -> tuple[Residual, Fit]:
        square = float(np.sum(fit.residual**2))
        again = self._solve(gains, u, fit.residual)
        decay = float(np.sum(fit.residual * again.image)) / square
        return Residual(math.sqrt(square), decay), again

    def _gains(self, u: float, wobble: Any = None) -> Any:
        from hilbertsd.operators import kalman

        return kalman.gains(*self._model, u, wobble)

    def _solve(self, gains: Any, u: float, y: np.ndarray, wobble: Any = None) -> Fit:
        import jax.numpy as jnp

        from hilbertsd.operators import kalman

        way, _, _, weights = self._model
        solved = [
            kalman.smooth(way, weights, gains, u, jnp.asarray(column), wobble) for column in y.T
        ]
        x, image = (np.stack([np.asarray(c) for c in part], axis=1) for part in zip(*solved, strict=True))
        return Fit(x, image)

    def advance(self, c: float) -> RoundErrors:
        """Make the predictions of the fit with multiplier c the next labels."""
        u, labels = 1 / c, self.history[-1]
        gains = self._gains(u)
        fit = self._solve(gains, u, labels)
        after = fit.predictions(labels, u)
        errors = self._follow(u, fit, self._measure(fit, gains, u), after)
        self.history.append(after)
        self.dual.append(u * fit.residual)
        self._power, self._floor = math.fsum((after**2).ravel()), 0.0
        return errors

    def _follow(
        self, u: float, fit: Fit, measured: tuple[Residual, Fit], after: np.ndarray
    ) -> RoundErrors:
        """Repeat the round with other rounding."""
        (norm, decay), again = measured
        # the last bit of ε, of the floor and of their difference, as it moves the target
        target = _UNIT * (1 + 2 * self._floor / norm**2)
        log_c, radial = np.zeros(REPETITIONS), np.zeros(REPETITIONS)
        moved = np.zeros((self.outputs, REPETITIONS))
        for i in range(REPETITIONS):
            labels = self._repeated[i] * self._factors(after.shape)
            other = self._solve(self._gains(u, self._wobble(_GAINS)), u, labels, self._wobble(_STATES))
            gap = math.log(float(np.linalg.norm(other.residual)) / norm)
            gap += target * self._rng.standard_normal()
            log_c[i] = -gap / (decay * u)
            # what it is at the multiplier at which this residual meets the constraint
            self._repeated[i] = other.predictions(labels, u) + again.image * (gap / decay)
            change = self._repeated[i] - after
            moved[:, i] = np.linalg.norm(change, axis=0)
            radial[i] = np.sum(change * after)
        return round_errors(log_c, moved, radial, np.linalg.norm(after, axis=0))

    def _wobble(self, carried: tuple[int, int, int]) -> Any:
        """A factor 1 ± u for each number that a loop carries past each site."""
        import jax.numpy as jnp

        components = len(self._model.diagonal)
        count, size = carried[components - 1], len(self.history[0])
        return tuple(jnp.asarray(row) for row in self._factors((count, size)))

    def _factors(self, shape: tuple[int, ...]) -> np.ndarray:
        return (1 - _UNIT) + (2 * _UNIT) * self._rng.integers(0, 2, shape, dtype=np.int8)


def solve(operator: Any, groups: list[Group]) -> Solution:
    """Run the chains of all groups on an operator of the line.

    Raises
    ------
    RouteError
        If the operator has no state-space form.
    InfeasibleToleranceError
        If a tolerance is at or below the residual floor of its labels.
    """
    if not isinstance(operator, Semiseparable):
        raise RouteError(
            "method 'statespace' is for kernels on the line: pass "
            "hilbertsd.operators.semiseparable(kernel, x) as G, or choose another method"
        )
    import jax

    with jax.enable_x64(True):
        model = _model(operator)
        chains = [_chain(operator, model, group) for group in groups]
    settings = {"error_repetitions": REPETITIONS, "error_seed": SEED, "error_safety": SAFETY}
    return Solution(chains, "statespace", settings | {"sites": len(operator.sites.positions)})


def _model(operator: Semiseparable) -> Model | None:
    import jax
    import jax.numpy as jnp

    from hilbertsd.operators import kalman

    sites = operator.sites
    if len(sites.positions) == 0:
        return None
    path, noise = operator.path, operator.form.noise(sites.positions)
    weights = path.observation * np.sqrt(sites.counts / operator.shape[0])
    return jax.tree.map(
        jnp.asarray,
        Model(kalman.Transitions(path.decay, path.step), noise.diagonal, noise.lower, weights),
    )


def _chain(operator: Semiseparable, model: Model | None, group: Group) -> Chain:
    size, sites = operator.shape[0], operator.sites
    start = reduced(sites, group.labels)
    if group.power > size * group.eps[0] and size * group.eps[0] <= start.floor:
        raise InfeasibleToleranceError(
            float(group.eps[0]) * group.scale**2,
            start.floor / size * group.scale**2,
            len(sites.positions),
            0.0,
            size,
            group.columns.start,
        )
    route = StateSpaceRoute(model, start, group.power, size)
    rounds = run(route, group.eps, label_norm_error=SAFETY * _UNIT)
    fits, shape = len(group.eps), group.labels.shape
    labels, dual = np.zeros((fits + 1, *shape)), np.zeros((fits, *shape))
    labels[0] = group.labels
    share = 1 / np.sqrt(sites.counts)
    for t, found in enumerate(route.dual):
        for q in range(shape[1]):
            labels[t + 1, :, q] = sites.spread(route.history[t + 1][:, q] * share)
            dual[t, :, q] = sites.spread(found[:, q] * share)
    return Chain(rounds, labels, dual, start.floor / size)
