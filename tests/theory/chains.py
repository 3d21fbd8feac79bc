"""Chains on which statements are tried: named ones, drawn ones, and the same in 50 digits."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import mpmath as mp
import numpy as np
import reference
from hypothesis import strategies as st
from problems import SEEDS, problem

import hilbertsd as hsd
from hilbertsd.distillation import Distillation
from hilbertsd.theory import REGISTRY, Chain, Statement, Verdict, examples, judge, views

DIGITS = 50


def quietly(make: Callable[[], Distillation]) -> Distillation:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # near collapse they are right, and not what is tested
        return make()


def distill(d, z, eps, rounds: int, joint: bool = False) -> Distillation:
    """A chain on a diagonal Gram matrix: its spectrum is what was asked for, to the last bit."""
    G, y = np.diag(d), np.asarray(z, float)
    return quietly(lambda: hsd.self_distill(G, y, eps, rounds, joint=joint))


def verdict(statement: Statement, result: Distillation) -> Verdict:
    return judge(statement, views(result)[statement.about])


def unconditional(statement: Statement) -> Statement:
    """The statement without its hypotheses."""
    return replace(statement, requires=())


def law(statement: Statement, chains: dict[str, Chain | None]) -> None:
    """What the property test asserts of a result's views; a planted mistake has to break it."""
    found = judge(statement, chains[statement.about])
    assert found.status != "fails", f"{statement.name}: {found.why}, slack {found.slack}"


def _paper() -> Distillation:
    x, y = hsd.datasets.example()
    return hsd.self_distill(hsd.gram(hsd.kernels.cubic_spline(), x), y, 0.045, 10)


@functools.cache
def named() -> dict[str, Distillation]:
    """Ordinary and extreme chains."""
    rng = np.random.default_rng(0)
    spread = 10.0 ** np.linspace(-3, 0, 6)
    ramp = np.array([1.0, 1.05, 1.1, 1.2])
    labels = rng.standard_normal(6)
    outputs = rng.standard_normal((6, 3))
    points = np.linspace(0, 1, 12)
    smooth = hsd.gram(hsd.kernels.gaussian(0.5), points)
    return {
        "paper": _paper(),
        "headline": hsd.self_distill(*examples.headline()),
        "one scale": hsd.self_distill(*examples.one_scale(8.5)),
        "staircase": distill(10.0 ** np.arange(-9, 1, 3), np.ones(4), 0.9 / 4, 20),
        "spread": distill(spread, labels, 0.05, 30),
        "near one scale": distill(ramp, np.ones(4), 0.03, 30),
        "labels at d_min": distill([1.0, 5.0], [3.0, 0.0], 2.0, 5),
        "labels at d_max": distill([1.0, 5.0], [0.0, 3.0], 0.1, 12),
        "kantorovich": distill([1.0, 4.0], [2.0, 2.5], 0.625, 5),  # y_1 = (1, 2), c_0 = 1
        "singular": distill([0.0, 0.0, 0.1, 1.0], [0.1, 0.1, 1.0, 2.0], 0.02, 20),
        "near collapse": distill(spread, labels, np.mean(labels**2) / 1.0001, 3),
        "varying": distill(spread, labels, 0.05 * np.linspace(1, 2, 9)[:, None], 8),
        "joint": distill(spread, outputs, 0.2, 20, joint=True),
        "collapsed": distill(spread, labels, 100.0, 2),
        # κ = 2e13 and 83 fits: basis weights from 1 down to below the smallest float
        "long": quietly(lambda: hsd.self_distill(smooth, np.sin(3 * points), 1e-4, 100)),
        "long spread": distill(10.0 ** np.linspace(-12, 0, 8), np.ones(8), 1e-4, 600),
        "long smooth": distill([1e-9, 1.0], [1e-3, 1.0], 1 / 3200, 80),
        "whole": distill(np.full(4, 0.5), np.ones(4), 0.04, 8),
    }


def random_chain(seed: int) -> Distillation:
    """A chain drawn from its spectrum, labels and label ratio; what it is made for is drawn first.

    Hypothesis draws the seed alone: its own floats prefer 0 and 1, which makes half of all spectra
    one scale.
    """
    rng = np.random.default_rng([seed, 11])
    if rng.random() < 0.08:
        return _whole(rng)
    size = int(rng.integers(3, 9)) if rng.random() < 0.9 else int(rng.integers(1, 3))
    mild = rng.random() < 0.45  # κ <= 10 and long: here the paper's bounds say something
    singular, focus = rng.random() < 0.3, rng.random()
    base = problem(
        seed,
        size,
        decades=10 ** rng.uniform(-1.3, 0.0) if mild else rng.uniform(0.5, 12.0),
        zeros=int(rng.integers(1, size // 2 + 1)) if singular and size > 1 else 0,
        repeated=int(rng.integers(0, size // 2 + 1)) * int(rng.integers(2)),
        clustered=int(rng.integers(0, size // 2 + 1)) * int(rng.integers(2)),
    )
    d, z = base.eigenvalues, base.coordinates.copy()
    if focus < 0.3:  # in the direction of the smallest or of the largest eigenvalue
        z *= 10.0 ** -rng.uniform(1.0, 6.0)
        z[np.flatnonzero(d)[0] if focus < 0.15 else -1] = 1.0
    elif focus < 0.4:  # smooth: small where the eigenvalue is
        z *= np.sqrt(d) + 1e-3
    elif focus < 0.5:  # the staircase, which lives longest
        d, z = 10.0 ** np.linspace(-rng.uniform(0.0, 12.0), 0.0, size), np.ones(size)
    joint = rng.random() < 0.15
    labels = np.stack([z, z[::-1]], axis=1) if joint else z
    ratio = _label_ratio(rng, mild)
    power = float(np.sum(labels**2) / size)
    floor = float(np.sum(labels[d == 0] ** 2) / size)
    eps = power / ratio**2
    if eps <= floor < power:
        eps = floor + 10 ** rng.uniform(-4.0, -0.01) * (power - floor)
    most = int(min(np.ceil(ratio**2) + 1, 300))
    rounds = most if rng.random() < 0.8 else int(rng.integers(0, most + 1))
    if rng.random() < 0.12:
        rounds = min(rounds, 30)
        steps = np.linspace(1.0, rng.uniform(1.0, 3.0), rounds + 1)
        falling = floor == 0 and rng.random() < 0.5
        return distill(d, labels, (eps / steps if falling else eps * steps)[:, None], rounds, joint)
    return distill(d, labels, eps, rounds, joint)


def _label_ratio(rng: np.random.Generator, mild: bool) -> float:
    kind = rng.random()
    if kind < 0.06:
        return rng.uniform(0.1, 1.0)  # collapsed at the start
    if kind < 0.13:
        return 1 + 10 ** rng.uniform(-9.0, -1.0)
    return 10 ** (rng.uniform(0.5, 2.2) if mild or kind < 0.23 else rng.uniform(0.02, 1.0))


def _whole(rng: np.random.Generator) -> Distillation:
    """Labels in one eigenspace with a whole r_0: some r_t is 1, within rounding."""
    ratio, size = int(rng.integers(1, 21)), int(rng.integers(1, 5))
    d, z = np.sort(10 ** rng.uniform(-1.0, 1.0, size)), np.zeros(size)
    if rng.random() < 0.5:
        d[:], z[:] = d[0], rng.integers(1, 6, size)
    else:
        z[-1] = 10 ** rng.uniform(-1.0, 1.0)
    return distill(d, z, np.mean(z**2) / ratio**2, ratio + 1)


def drawn() -> st.SearchStrategy[Distillation]:
    """Spectra from one scale to singular, repeated and clustered; labels spread or focussed."""
    return SEEDS.map(random_chain)


NAMES = tuple(REGISTRY)


def _elementwise(function):
    return np.frompyfunc(function, 1, 1)


MULTIPRECISION = SimpleNamespace(
    sqrt=_elementwise(mp.sqrt),
    log=_elementwise(mp.log),
    log1p=_elementwise(mp.log1p),
    exp=_elementwise(mp.exp),
    sum=np.sum,
    stack=np.stack,
    concatenate=np.concatenate,
    cumsum=np.cumsum,
    where=np.where,
)
"""What statements ask of an array namespace, in mpmath."""


@functools.cache
def multiprecision() -> dict[str, dict[str, Chain]]:
    """Chains in 50 digits, from a recurrence and a root finder of the tests' own."""
    problems = {
        "spread": ([1e-4, 1e-2, 1e-2, 0.5, 1.0], [1.0, -2.0, 0.5, 3.0, 1.0], 0.01, 12),
        "one scale": ([0.5, 0.5], [3.0, 4.0], 0.1, 20),
        "narrow": ([1.0, 1.5, 2.0], [1.0, 1.0, 1.0], 0.001, 60),
        "staircase": ([1e-9, 1e-6, 1e-3, 1.0], [1.0, 1.0, 1.0, 1.0], 0.24, 12),
        "labels at d_min": ([1.0, 5.0], [3.0, 1e-9], 2.0, 5),
        "singular": ([0.0, 0.1, 1.0], [0.1, 1.0, 2.0], 0.05, 20),
        "joint": ([1e-3, 0.1, 1.0], [[1.0, 2.0], [0.0, 1.0], [3.0, 1.0]], 0.2, 20),
    }
    with mp.workdps(DIGITS):
        return {name: _exact(*p) for name, p in problems.items()}


def _exact(d, z, eps, rounds) -> dict[str, Chain]:
    d = reference.multiprecision(np.array(d))
    labels = reference.multiprecision(np.array(z).reshape(len(d), -1))
    multipliers, coordinates = reference.chain(d, labels, eps, rounds)
    inside = d > 0
    columns = np.array(coordinates)[:, inside]
    allowed = len(d) * mp.mpf(eps)
    floor = sum((labels[~inside] ** 2).ravel(), mp.mpf(0))
    s = np.array([mp.sqrt(allowed)] * len(coordinates))
    first = s.copy()
    first[0] = mp.sqrt(allowed - floor)
    power = np.sum(columns**2, axis=2)
    distinct = np.flatnonzero(np.diff(d[inside], prepend=-mp.mpf(1)) > 0)
    whole = Chain(
        MULTIPRECISION,  # type: ignore[arg-type]
        len(d),
        d[inside],
        MULTIPRECISION.sqrt(power) if columns.shape[2] > 1 else columns[..., 0],
        np.array(multipliers),
        first,
        collapsed=bool(sum(power[-1]) <= allowed),
        constant=floor == 0,
        distinct=tuple(int(k) for k in distinct),
        columns=columns if columns.shape[2] > 1 else None,
    )
    later = replace(whole, z=whole.z[1:], c=whole.c[1:], s=s[1:], start=1, constant=True)
    return {"rounds": whole, "chain": whole if floor == 0 else later}
