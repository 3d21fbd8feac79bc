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


def law(statement: Statement, result: Distillation) -> None:
    """What the property test asserts; a planted mistake has to break it."""
    found = verdict(statement, result)
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


@st.composite
def drawn(draw) -> Distillation:
    """Spectra from one scale to singular, repeated and clustered; labels spread or focussed."""
    size = draw(st.integers(1, 8))
    base = problem(
        draw(SEEDS),
        size,
        decades=draw(st.floats(0.0, 6.0)),
        zeros=draw(st.integers(0, size // 2)),
        repeated=draw(st.integers(0, size // 2)),
        clustered=draw(st.integers(0, size // 2)),
    )
    d, z = base.eigenvalues, base.coordinates.copy()
    focus = draw(st.sampled_from(("none", "smallest", "largest", "staircase")))
    first = int(np.flatnonzero(d)[0])
    if focus == "staircase":
        d = 10.0 ** np.linspace(-draw(st.floats(0.0, 12.0)), 0.0, size)
        eps = (1 - draw(st.floats(0.01, 0.3))) / size
        return distill(d, np.ones(size), eps, 3 * size)
    if focus != "none":
        z *= 10.0 ** -draw(st.floats(1.0, 6.0))
        z[first if focus == "smallest" else -1] = 1.0
    joint = draw(st.integers(0, 3)) == 0
    labels = np.stack([z, z[::-1]], axis=1) if joint else z
    floor = float(np.sum(labels[d == 0] ** 2) / size)
    share = 10 ** draw(st.floats(-5.0, -0.01))
    eps = floor + share * (float(np.sum(labels**2) / size) - floor)
    rounds = draw(st.integers(0, 30))
    if draw(st.integers(0, 4)) == 0:
        growth = np.linspace(1.0, 1.0 + draw(st.floats(0.0, 2.0)), rounds + 1)
        return distill(d, labels, eps * growth[:, None], rounds, joint)
    return distill(d, labels, eps, rounds, joint)


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
