"""Each objective on many batches in one compiled program: values and both gradients by label."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import jax
import numpy as np
from cases import CASES, Case, batch, features
from problems import orthogonal

STEP = 1e-5
"""Of central differences."""
TINY, HUGE, APART = 2.0**-60, 2.0**66, 2.0**30
"""Factors at which products of features leave the range of float32, exact in floating point."""
SHIFT = 1000.0
QUICK = {"xla_backend_optimization_level": 0}
"""Compiling is most of the time here."""


class Outcome(NamedTuple):
    value: np.ndarray
    gradient: np.ndarray
    teacher_gradient: np.ndarray


def scaled_samples(x, factors):
    return x * factors.reshape(-1, *(1,) * (x.ndim - 1))


def padded(s, shape):
    """The student as a teacher: zero features or channels beside its own."""
    return np.concatenate([s, np.zeros((len(s), shape[1] - s.shape[1], *shape[2:]))], axis=1)


def degenerate(case: Case):
    """Batches on which a norm, a distance, a variance or a gap vanishes."""
    s, t = batch(case)
    twice = s.copy()
    twice[1] = s[0]
    same = padded(s, t.shape)
    return {
        "zero student": (0 * s, t),
        "zero sample": (scaled_samples(s, np.arange(len(s)) != 1), t),
        "zero teacher": (s, 0 * t),
        "both zero": (0 * s, 0 * t),
        "all samples equal": (0 * s + s[:1], t),
        "two samples equal": (twice, t),
        "large": (1e4 * s, t),
        "small": (1e-12 * s, t),
        "student is teacher": (s, same),
        "both constant": (0 * s + s[:1], 0 * t + same[:1]),
    }


def transformed(case: Case):
    """Batches for definitions, finite differences and laws, all made of the second."""
    s, t = batch(case, 1)
    factors = 10 ** np.random.default_rng(3).uniform(-1, 1, len(s))
    batches = {
        "first": batch(case, 0),
        "second": (s, t),
        "reversed": (s[::-1], t[::-1]),
        "rolled student": (np.roll(s, 1, axis=0), t),
        "hundredfold": (100 * s, t),
        "factors": (scaled_samples(s, factors), t),
        "no number": (scaled_samples(s, np.where(np.arange(len(s)) == 2, np.nan, 1)), t),
        "tiny": (TINY * s, t),
        "huge": (HUGE * s, t),
        "apart": (scaled_samples(s, APART ** (-1.0) ** np.arange(len(s))), t),
        "shifted": (s + SHIFT, t - SHIFT),
        "one far": (s + 1e3 * (np.arange(len(s)) == 0).reshape(-1, *(1,) * (s.ndim - 1)), t),
    }
    if s.ndim == 2:
        batches["turned"] = (s @ orthogonal(s.shape[1], 1), t @ orthogonal(t.shape[1], 2))
    for k in range(2):
        for sign, label in ((1, "ahead"), (-1, "behind")):
            batches[f"{label} {k}"] = (s + sign * STEP * features(s.shape, 50 + k), t)
    return batches


@cache
def evaluated(name: str, dtype: str) -> dict[str, Outcome]:
    case = CASES[name]
    batches = {**transformed(case), **degenerate(case)}
    with jax.enable_x64(dtype == "float64"):
        s, t = (np.stack(x).astype(dtype) for x in zip(*batches.values(), strict=True))
        both = jax.vmap(jax.value_and_grad(case.call, (0, 1)))
        values, (gradients, teachers) = jax.jit(both, compiler_options=QUICK)(s, t)
    outcomes = zip(*(np.asarray(x) for x in (values, gradients, teachers)), strict=True)
    return {label: Outcome(*x) for label, x in zip(batches, outcomes, strict=True)}


def evaluated_alone(name: str, dtype: str) -> Outcome:
    """On a batch of one."""
    case = CASES[name]
    s, t = (x[:1].astype(dtype) for x in batch(case))
    with jax.enable_x64(dtype == "float64"):
        step = jax.jit(jax.value_and_grad(case.call, (0, 1)), compiler_options=QUICK)
        value, (gradient, teacher) = step(s, t)
        return Outcome(np.asarray(value), np.asarray(gradient), np.asarray(teacher))
