"""Distillation objectives as pure JAX functions of a student and a constant teacher.

Functions of features, feature maps and logits are named here; those of two Gram matrices live in
:mod:`~hilbertsd.objectives.grams` and :mod:`~hilbertsd.objectives.dependence` under the same names.
"""

from hilbertsd.objectives import dependence, first_order, grams, projector
from hilbertsd.objectives.contrastive import (
    Heads,
    Memory,
    contrastive_heads,
    contrastive_memory,
    crd,
    crd_normalisers,
    info_nce,
    refresh,
)
from hilbertsd.objectives.features import (
    ab,
    batch_normalised,
    fitnet,
    logsum,
    vid,
    vid_raw_variance,
)
from hilbertsd.objectives.inheriting import (
    exploration,
    halves,
    inheritance,
    inheritance_exploration,
    reconstruction,
)
from hilbertsd.objectives.logits import cross_entropy, kd, logit_regression
from hilbertsd.objectives.maps import at, attention_map, average_pool, flow, fsp, ft, nst, od
from hilbertsd.objectives.projector import projector_loss
from hilbertsd.objectives.registry import OBJECTIVES, Objective, objective
from hilbertsd.objectives.relational import (
    alignment,
    alignment_loss,
    cc,
    cka,
    cka_loss,
    fitted_projector,
    fkd,
    hsic,
    hsic_loss,
    pkt,
    rkd,
    rkd_angle,
    rkd_distance,
    sp,
)

__all__ = [
    "OBJECTIVES",
    "Heads",
    "Memory",
    "Objective",
    "ab",
    "alignment",
    "alignment_loss",
    "at",
    "attention_map",
    "average_pool",
    "batch_normalised",
    "cc",
    "cka",
    "cka_loss",
    "contrastive_heads",
    "contrastive_memory",
    "crd",
    "crd_normalisers",
    "cross_entropy",
    "dependence",
    "exploration",
    "first_order",
    "fitnet",
    "fitted_projector",
    "fkd",
    "flow",
    "fsp",
    "ft",
    "grams",
    "halves",
    "hsic",
    "hsic_loss",
    "info_nce",
    "inheritance",
    "inheritance_exploration",
    "kd",
    "logit_regression",
    "logsum",
    "nst",
    "objective",
    "od",
    "pkt",
    "projector",
    "projector_loss",
    "reconstruction",
    "refresh",
    "rkd",
    "rkd_angle",
    "rkd_distance",
    "sp",
    "vid",
    "vid_raw_variance",
]
