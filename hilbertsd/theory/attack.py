r"""The adversary: search for the chain on which a statement has the least slack.

A chain is searched by its end (:mod:`hilbertsd.theory.backward`): every point of a box is a
spectrum and last labels y_n, and the chain of n non-trivial fits before them is explicit. So there
is nothing infeasible to avoid, nothing cancels, and gradients need no implicit function.

A null space, or a tolerance that varies from round to round, is another box: statements about
single rounds claim to hold there too.

Random points and corners of the box come first, then differential evolution, then projected
gradient descent from the best, on a soft minimum over the statement's entries. What looks like a
violation has to be confirmed, see :mod:`hilbertsd.theory.confirmation`, before it is called one.

The slack of an inequality is its gap over what is true beyond the trivial: 0 is equality, 1 or
more says nothing that was not known. Where nothing trivial is known it is the gap over the sum
of both sides, or over the statement's scale where the bound is 0. A violation is negative,
relative to the scale.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from hilbertsd import inputs
from hilbertsd.errors import HilbertSDError
from hilbertsd.theory.chain import Chain
from hilbertsd.theory.confirmation import Verdict, confirm
from hilbertsd.theory.space import SCALE, Space, Tolerances
from hilbertsd.theory.statement import REGISTRY, Check, Statement

NOTHING = 1e6
"""Stands for the slack of a side that does not exist, so that derivatives stay finite."""
NEAREST = 4
"""So many of the nearest chains of a search are evaluated in high precision; more, up to
``MOST_EVALUATED``, while floats and digits disagree on them."""
MOST_EVALUATED = 12


@dataclass(frozen=True, eq=False)
class Nearest:
    """The chain with the least slack that a search found.

    Attributes
    ----------
    slack
        The least over both sides and all entries, in high precision; inf if the statement applies
        nowhere.
    violated
        True: confirmed. False: none found. None: apparent, and not decided.
    confirmed_by
        What decided.
    eigenvalues, coordinates, eps, fits, collapsed
        The chain: d, z_0, ε (an array, one a fit, where it is not constant), its non-trivial fits
        n and whether y_n has collapsed; with n − 1 rounds, or n where it has, it can be run again.
        None where no chain was found.
    last
        z_n, from which :func:`hilbertsd.theory.backward.chain_to` rebuilds it to rounding.
    by_gradient
        Whether the statement could be differentiated.
    """

    space: Space
    slack: float
    violated: bool | None
    confirmed_by: str
    eigenvalues: np.ndarray | None
    coordinates: np.ndarray | None
    last: np.ndarray | None
    eps: float | np.ndarray
    fits: int
    collapsed: bool
    by_gradient: bool
    evaluations: int
    seed: int

    @property
    def condition_number(self) -> float:
        """κ of the chain found, over the range."""
        d = self.eigenvalues
        return float("nan") if d is None else float(d[-1] / d[d > 0][0])

    @property
    def label_ratio(self) -> float:
        """r_0 of the chain found."""
        z = self.coordinates
        return float("nan") if z is None else float(np.sqrt(np.mean(z**2) / np.ravel(self.eps)[0]))


@dataclass(frozen=True, eq=False)
class Attack:
    """How nearly a statement is attained.

    Attributes
    ----------
    name, title, kind
        Of the statement.
    nearest
        Over the whole box, of chains of constant tolerance in the range.
    elsewhere
        The same with a ``"null space"``, and with another tolerance in ``"every round"``.
    by
        The least slack along three lines: ``"kappa"`` at fixed κ, ``"nodes"`` at fixed m and
        ``"fits"`` at fixed n, each a tuple of (value, least slack).
    """

    name: str
    title: str
    kind: str
    nearest: Nearest
    by: dict[str, tuple[tuple[float, float], ...]]
    elsewhere: dict[str, Nearest] = dataclasses.field(default_factory=dict)

    @property
    def violated(self) -> bool | None:
        """Whether a violation was confirmed; None if one is apparent and undecided."""
        return min([self.nearest, *self.elsewhere.values()], key=_rank).violated


@dataclass(frozen=True)
class Effort:
    """How long a search takes: random points, then a population over generations and steps.

    Without gradient steps nothing is differentiated, and nothing has to be compiled.
    """

    points: int = 512
    population: int = 48
    generations: int = 60
    steps: int = 150


KAPPAS, NODES, FITS = (1.0, 10.0, 1e2, 1e4), (2, 4, 8), (1, 3, 9)
"""The lines along which slack is followed."""
ELSEWHERE: tuple[Tolerances, ...] = ("null space", "every round")
"""Chains that only statements about single rounds claim anything of."""


def attack(
    statement: Statement | str,
    space: Space | None = None,
    *,
    effort: Effort | None = None,
    seed: int = 0,
    kappas: Sequence[float] = KAPPAS,
    nodes: Sequence[int] = NODES,
    fits: Sequence[int] = FITS,
) -> Attack:
    """Search for the least slack of a statement, over a box of chains and along κ, m and n.

    Parameters
    ----------
    statement
        A statement, or the name of a registered one.
    space
        The box; by default four nodes, three fits, κ <= 10⁶.
    effort
        How long each main search takes: over the box, with a null space, and with a tolerance that
        varies. Those along the lines take a third of its iterations.
    seed
        The result is a function of the seed and the versions of the libraries.
    kappas, nodes, fits
        The lines; empty for none.

    Raises
    ------
    HilbertSDError
        If there is no statement of that name, or the space is empty.
    """
    claim = find(statement)
    space = space or Space()
    effort = effort or Effort()
    less = dataclasses.replace(effort, generations=effort.generations // 3, steps=effort.steps // 3)
    nearest = search(claim, space, effort=effort, seed=seed)
    lines: dict[str, tuple[tuple[float, float], ...]] = {}
    for name, given in (("kappa", kappas), ("nodes", nodes), ("fits", fits)):
        values = _values(name, given)
        fixed = [(v, v) if name == "kappa" else v for v in values]
        spaces = [dataclasses.replace(space, **{name: v}) for v in fixed]
        found = [search(claim, s, effort=less, seed=seed) for s in spaces]
        lines[name] = tuple((float(v), f.slack) for v, f in zip(values, found, strict=True))
        nearest = min([nearest, *found], key=_rank)
    elsewhere = {
        where: search(claim, dataclasses.replace(space, tolerances=where), effort=effort, seed=seed)
        for where in ELSEWHERE
    }
    return Attack(claim.name, claim.title, claim.kind, nearest, lines, elsewhere)


def find(statement: Statement | str) -> Statement:
    """Return a statement, looked up where only its name or title is given."""
    return statement if isinstance(statement, Statement) else REGISTRY[statement]


def search(
    statement: Statement, space: Space, *, effort: Effort | None = None, seed: int = 0
) -> Nearest:
    """Search one box for the least slack, among chains that end in collapse and that do not."""
    inputs.whole_number("seed", seed)
    counts = [inputs.whole_number(name, getattr(space, name)) for name in ("nodes", "fits")]
    kappa = inputs.real_array("kappa", space.kappa)
    if min(counts) < 1 or kappa.shape != (2,) or not 1 <= kappa[0] <= kappa[1]:
        raise HilbertSDError(
            "a space needs nodes and fits of at least 1, and for kappa a pair of numbers, 1 <= "
            f"smallest <= largest; got {space}"
        )
    found = [
        _Hunt(statement, space, collapsed).nearest(effort or Effort(), seed)
        for collapsed in (False, True)
    ]
    best = min(found, key=_rank)
    return dataclasses.replace(best, evaluations=sum(f.evaluations for f in found))


def _values(name: str, given: Any) -> tuple[Any, ...]:
    try:
        return tuple(given)
    except TypeError:
        raise HilbertSDError(
            f"the line of {name} must be a sequence of values, empty for none; got {given!r}"
        ) from None


def _rank(nearest: Nearest) -> tuple[int, float]:
    """Violations first, then what is undecided, then by slack."""
    return ({True: 0, None: 1, False: 2}[nearest.violated], nearest.slack)


@functools.lru_cache(maxsize=8)
def _compiled(statement: Statement, space: Space, collapsed: bool) -> Any:
    """Soft minimum of the slack, its gradient and the hard minimum, for points and log κ."""

    def soft(theta: jax.Array, log_kappa: jax.Array) -> tuple[jax.Array, jax.Array]:
        gaps = slacks(statement.sides(space.chain(theta, collapsed, jnp, log_kappa)), jnp)
        least = lax.stop_gradient(jnp.min(gaps))
        sharpness = 1 / (0.05 * jnp.abs(least) + 1e-12)
        # shifted by the minimum, so that the exponentials stay within reach
        return least - jnp.log(jnp.sum(jnp.exp(sharpness * (least - gaps)))) / sharpness, least

    return jax.jit(jax.vmap(jax.value_and_grad(soft, has_aux=True), in_axes=(0, None)))


class _Hunt:
    """One search: an archive of points of the unit box, and all that is done to them."""

    def __init__(self, statement: Statement, space: Space, collapsed: bool) -> None:
        self.statement, self.space, self.collapsed = statement, space, collapsed
        self.evaluations = 0
        self.by_gradient = True
        self.archive: list[tuple[float, tuple[float, ...]]] = []

    def nearest(self, effort: Effort, seed: int) -> Nearest:
        rng = np.random.default_rng([seed, self.collapsed])
        self.by_gradient = effort.steps > 0
        with jax.enable_x64(True), np.errstate(all="ignore"):
            population, values = self._sample(effort, rng)
            if np.isfinite(values).any():
                population = self._evolve(population, values, effort, rng)
                self._descend(population, effort)
        return self._confirmed(seed)

    def _chain(self, theta: np.ndarray) -> Chain:
        return self.space.chain(theta, self.collapsed)

    def _evaluate(
        self, points: np.ndarray, chunk: int, below: np.ndarray | float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Least slacks and gradients; inf unless below the given ones and applicable.

        What is below goes on record. Hypotheses are looked at one point at a time: not for all.
        """
        values, gradients = np.full(len(points), np.inf), np.zeros(points.shape)
        for start in range(0, len(points), chunk):
            rows = slice(start, min(start + chunk, len(points)))
            values[rows], gradients[rows] = self._raw(points[rows], chunk)
        self.evaluations += len(points)
        candidate = np.isfinite(values) & (values < NOTHING) & (values < below)
        for i in np.flatnonzero(candidate):
            if self.statement.missing(self._chain(points[i])) is None:
                self.archive.append((float(values[i]), tuple(points[i])))
            else:
                candidate[i] = False
        values = np.where(candidate, values, np.inf)
        return values, np.where(np.isfinite(gradients), gradients, 0.0)

    def _raw(self, points: np.ndarray, chunk: int) -> tuple[np.ndarray, np.ndarray]:
        if self.by_gradient:
            padded = np.concatenate([points, np.repeat(points[:1], chunk - len(points), axis=0)])
            anywhere = dataclasses.replace(self.space, kappa=(1.0, 1.0))  # compiled for any κ
            compiled = _compiled(self.statement, anywhere, self.collapsed)
            try:
                (_, least), gradients = compiled(padded, np.log(self.space.kappa))
                return np.asarray(least)[: len(points)], np.asarray(gradients)[: len(points)]
            except (TypeError, IndexError, AttributeError):  # a formula that cannot be traced
                self.by_gradient = False
        least = [
            np.min(slacks(self.statement.sides(chain), np))
            if self.statement.missing(chain := self._chain(point)) is None
            else np.inf
            for point in points
        ]
        return np.array(least), np.zeros(points.shape)

    def _sample(self, effort: Effort, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Random points, a quarter of their coordinates at the box's faces; the best survive."""
        points = rng.random((effort.points, self.space.dimension))
        points = np.where(rng.random(points.shape) < 0.25, np.round(points), points)
        if all(self.statement.missing(self._chain(point)) is not None for point in points):
            return points, np.full(len(points), np.inf)  # not even evaluated: too few fits, say
        values, _ = self._evaluate(points, effort.population, np.inf)
        best = np.argsort(values, kind="stable")[: effort.population]
        return points[best], values[best]

    def _evolve(
        self,
        population: np.ndarray,
        values: np.ndarray,
        effort: Effort,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Differential evolution: half the way to the best, plus a random difference."""
        count, dimension = population.shape
        for _ in range(effort.generations):
            best = population[np.argmin(values)]
            one, two = (population[rng.integers(count, size=count)] for _ in range(2))
            trial = population + 0.5 * (best - population) + rng.uniform(0.3, 0.9) * (one - two)
            kept = rng.random(trial.shape) > 0.8
            kept[np.arange(count), rng.integers(dimension, size=count)] = False
            trial = np.where(kept, population, np.clip(trial, 0, 1))
            found, _ = self._evaluate(trial, count, values)
            better = found < values
            population = np.where(better[:, None], trial, population)
            values = np.where(better, found, values)
        return population

    def _descend(self, population: np.ndarray, effort: Effort) -> None:
        """Adam in the unit box, with steps from 0.05 down to 0.0005 of its width."""
        if not self.by_gradient:
            return
        mean, square = np.zeros(population.shape), np.zeros(population.shape)
        for step in range(1, effort.steps + 1):
            record = sorted(value for value, _ in self.archive)[:MOST_EVALUATED][-1]
            _, gradient = self._evaluate(population, len(population), record)
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.99 * square + 0.01 * gradient**2
            direction = mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.99**step)) + 1e-300)
            rate = 0.05 * 0.01 ** (step / effort.steps)
            population = np.clip(population - rate * direction, 0, 1)

    def _confirmed(self, seed: int) -> Nearest:
        """Look at the nearest chains in high precision; the least slack there is the result."""
        found, agreed = [], 0
        for value, theta in sorted(set(self.archive))[:MOST_EVALUATED]:
            d, last, s = self.space.point(np.array(theta), self.collapsed)
            space = self.space
            verdict = confirm(self.statement, d, last, space.fits, s, size=space.size)
            z = self._chain(np.array(theta)).z[0]
            found.append(self._record(verdict, d, z, last, s, seed))
            agreed += abs(verdict.slack - value) <= 1e-9 + 1e-3 * abs(value)
            if agreed == NEAREST or verdict.violated:
                break
        nothing = Verdict(False, float("inf"), "not applicable to any chain of the space")
        return min(found, key=_rank, default=self._record(nothing, None, None, None, SCALE, seed))

    def _record(self, verdict: Verdict, d: Any, z: Any, last: Any, s: Any, seed: int) -> Nearest:
        eps = np.square(s) / self.space.size
        if self.space.tolerances == "null space":
            eps = SCALE**2 / self.space.size
            if d is not None:  # what the first round cannot use is the null space's
                d, z = np.append(0.0, d), np.append(np.sqrt(SCALE**2 - s[0] ** 2), z)
        return Nearest(
            space=self.space,
            slack=verdict.slack,
            violated=verdict.violated,
            confirmed_by=verdict.by,
            eigenvalues=d,
            coordinates=z,
            last=last,
            eps=eps if np.ndim(eps) else float(eps),
            fits=self.space.fits,
            collapsed=self.collapsed,
            by_gradient=self.by_gradient,
            evaluations=self.evaluations,
            seed=seed,
        )


def slacks(check: Check, xp: Any) -> Any:
    """Slacks of both sides, flat; see the module."""
    lower, actual, upper, scale, low, high = (xp.asarray(side, dtype=float) for side in check)
    unit = xp.where(scale > 0, scale, 1.0)

    def one(bound: Any, known: Any, sign: float) -> Any:
        # every branch finite: derivatives pass through all of them
        there, compares = xp.isfinite(bound), xp.isfinite(known)
        bound = xp.where(there, bound, 0.0)
        gap = sign * (actual - bound)
        beyond = sign * (actual - xp.where(compares, known, 0.0))
        sizes = xp.where(bound == 0, scale, abs(actual) + abs(bound))
        yardstick = xp.where(compares, beyond, sizes)
        share = xp.where(yardstick > 0, gap / xp.where(yardstick > 0, yardstick, 1.0), 1.0)
        return xp.ravel(xp.where(there, xp.where(gap < 0, gap / unit, share), NOTHING))

    return xp.concatenate([one(lower, low, 1.0), one(upper, high, -1.0)])
