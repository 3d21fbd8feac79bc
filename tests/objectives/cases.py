"""Every objective with a batch it takes, learned arguments held, and its definition in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import definitions
import numpy as np

from hilbertsd import objectives

B = 6


def features(shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


W = features((4, 5), 7)
RHO = features((4,), 8)
HEADS = tuple(features(shape, 9) for shape in ((4, 7), (7,), (5, 7), (7,)))
BANKS = tuple(x / np.linalg.norm(x, axis=1, keepdims=True) for x in features((2, 11, 7), 10))
NEGATIVES = np.random.default_rng(11).integers(0, 11, (B, 3))
LABELS = np.arange(B) % 4


def cast(tree, like):
    """Learned arguments in the precision of the batch."""
    return tuple(np.asarray(x, dtype=like) for x in tree)


def crd(s, t, **settings):
    heads, banks = cast(HEADS, t.dtype), cast(BANKS, t.dtype)
    return objectives.crd(
        s,
        t,
        objectives.Heads(*heads),
        objectives.Memory(*banks),
        np.arange(len(s)),
        NEGATIVES[: len(s)],
        **settings,
    )


@dataclass(frozen=True)
class Case:
    call: Callable[..., Any]
    definition: Callable[..., float]
    student: tuple[int, ...] = (B, 4)
    teacher: tuple[int, ...] = (B, 5)
    zero_at_equal: bool = False
    gram: Callable[..., Any] | None = None


o, r, g, d = objectives, definitions, objectives.grams, objectives.dependence
p = objectives.projector


def relational(name, home=g, definition=None, zero_at_equal=True, **settings):
    return Case(
        partial(getattr(o, name), **settings),
        partial(definition or getattr(r, name), **settings),
        zero_at_equal=zero_at_equal,
        gram=partial(getattr(home, name), **settings) if home else None,
    )


def opposite(definition, offset=0.0):
    return lambda s, t, **settings: offset - definition(s, t, **settings)


SAME = {"student": (B, 4), "teacher": (B, 4)}
MAPS = {"student": (3, 4, 2, 3), "teacher": (3, 5, 2, 3)}
EQUAL_MAPS = {"student": (3, 4, 2, 3), "teacher": (3, 4, 2, 3)}

CASES = {
    "kd": Case(o.kd, r.kd, **SAME, zero_at_equal=True),
    "kd, labels": Case(
        lambda s, t: o.kd(s, t, LABELS[: len(s)], temperature=2.0, imitation_weight=0.7),
        lambda s, t: r.kd(s, t, LABELS, 2.0, 0.7),
        **SAME,
    ),
    "logits": Case(o.logit_regression, r.mean_square, **SAME, zero_at_equal=True),
    "fkd": relational("fkd"),
    "fkd, linear": relational("fkd", kernel="linear"),
    "fkd, norm": relational("fkd", norm_weight=0.3, zero_at_equal=False),
    "fkd, plain norm": relational("fkd", norm_weight=0.3, power=1, zero_at_equal=False),
    "sp": relational("sp"),
    "sp, L1": relational("sp", norm="L1"),
    "cc": relational("cc"),
    "cc, third order": relational("cc", gamma=0.7, order=3),
    "cc, Gaussian": relational("cc", order=np.inf),
    "pkt": relational("pkt"),
    "rkd": relational("rkd"),
    "rkd_distance": relational("rkd_distance"),
    "rkd_angle": relational("rkd_angle"),
    "cka_loss": relational("cka_loss", d, opposite(r.cka, 1)),
    "cka_loss, unbiased": relational("cka_loss", d, opposite(r.cka, 1), unbiased=True),
    "cka_loss, Gaussian": relational("cka_loss", None, opposite(r.cka, 1), kernel="gaussian"),
    "cka_loss, pairs": relational(
        "cka_loss", None, opposite(r.cka, 1), kernel="gaussian", median="pairs", bandwidth=0.6
    ),
    "hsic_loss": relational("hsic_loss", d, opposite(r.hsic), False),
    "hsic_loss, V": relational("hsic_loss", d, opposite(r.hsic), False, estimator="v-statistic"),
    "hsic_loss, unbiased": relational(
        "hsic_loss", d, opposite(r.hsic), False, estimator="unbiased"
    ),
    "alignment_loss": relational("alignment_loss", d, opposite(r.alignment, 1)),
    "fitted_projector": relational("fitted_projector", p, zero_at_equal=False),
    "fitted_projector, weak": relational(
        "fitted_projector", p, zero_at_equal=False, weight_decay=0.1
    ),
    "projector": Case(
        lambda s, t: o.projector_loss(s, t, np.asarray(W, dtype=t.dtype)),
        lambda s, t: r.projector(s, t, W),
    ),
    "projector, decay": Case(
        lambda s, t: o.projector_loss(s, t, np.asarray(W, dtype=t.dtype), weight_decay=0.3),
        lambda s, t: r.projector(s, t, W, 0.3),
    ),
    "fitnet": Case(o.fitnet, r.mean_square, **SAME, zero_at_equal=True),
    "vid": Case(
        lambda s, t: o.vid(s, t, np.asarray(RHO, dtype=t.dtype)),
        lambda s, t: r.vid(s, t, RHO),
        **EQUAL_MAPS,
    ),
    "ab": Case(o.ab, r.ab, **SAME),
    "ab, batch": Case(
        partial(o.ab, margin=0.5, reduction="batch"),
        partial(r.ab, margin=0.5, reduction="batch"),
        **SAME,
    ),
    "logsum": Case(
        lambda s, t: o.logsum(s, t, np.asarray(W, dtype=t.dtype), np.ones(5, t.dtype)),
        lambda s, t: r.logsum(s, t, W),
    ),
    "logsum, linear": Case(
        partial(o.logsum, exponent=1.0), lambda s, t: r.logsum(s, t, np.eye(4), 1.0), **SAME
    ),
    "info_nce": Case(o.info_nce, r.info_nce, **SAME),
    "info_nce, symmetric": Case(
        partial(o.info_nce, temperature=0.5, symmetric=True),
        partial(r.info_nce, temperature=0.5, symmetric=True),
        **SAME,
    ),
    "crd": Case(crd, lambda s, t: r.crd(s, t, HEADS, BANKS, np.arange(B), NEGATIVES)),
    "crd, normalised": Case(
        partial(crd, normalisers=(20.0, 30.0)),
        lambda s, t: r.crd(s, t, HEADS, BANKS, np.arange(B), NEGATIVES, 0.07, (20.0, 30.0)),
    ),
    "at": Case(o.at, r.at, **MAPS, zero_at_equal=True),
    "nst": Case(o.nst, r.nst, **EQUAL_MAPS, zero_at_equal=True),
    "ft": Case(o.ft, r.ft, **EQUAL_MAPS, zero_at_equal=True),
    "ft, channel mean": Case(
        partial(o.ft, factor="channel mean"),
        partial(r.ft, factor="channel mean"),
        **MAPS,
        zero_at_equal=True,
    ),
    "od": Case(o.od, r.od, **EQUAL_MAPS, zero_at_equal=True),
    "od, unit norm": Case(
        partial(o.od, unit_norm=True),
        partial(r.od, unit_norm=True),
        **EQUAL_MAPS,
        zero_at_equal=True,
    ),
    "fsp": Case(
        lambda s, t: o.fsp((s[:, :2], s[:, 2:]), (t[:, :2], t[:, 2:])),
        lambda s, t: r.fsp((s[:, :2], s[:, 2:]), (t[:, :2], t[:, 2:])),
        **EQUAL_MAPS,
        zero_at_equal=True,
    ),
    "inheritance, AT": Case(
        partial(o.inheritance, base="AT"),
        partial(r.inheritance, base="AT"),
        **MAPS,
        zero_at_equal=True,
    ),
    "inheritance": Case(o.inheritance, r.inheritance, **EQUAL_MAPS, zero_at_equal=True),
    "inheritance, OD": Case(
        partial(o.inheritance, base="OD"),
        partial(r.inheritance, base="OD"),
        **EQUAL_MAPS,
        zero_at_equal=True,
    ),
    "exploration": Case(o.exploration, opposite(r.inheritance), **EQUAL_MAPS, zero_at_equal=True),
}


def batch(case: Case, seed: int = 0):
    return features(case.student, seed), features(case.teacher, seed + 100)
