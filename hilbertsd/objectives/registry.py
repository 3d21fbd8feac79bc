"""Every objective by name, with what it takes: for trainers and the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hilbertsd.errors import HilbertSDError
from hilbertsd.objectives import (
    contrastive,
    dependence,
    features,
    grams,
    inheriting,
    logits,
    maps,
    projector,
    relational,
)

TAKES = ("logits", "features", "maps", "two maps", "codes")


@dataclass(frozen=True)
class Objective:
    """A loss of (student, teacher), to be minimised, and its conditions."""

    name: str
    function: Callable[..., Any]
    takes: str
    """What student and teacher are: "logits" (B, C); "features" (B, p), (B, q), or flattened from
    (B, ...); "maps" (B, C, H, W); "two maps", a pair from two layers; "codes" (B, ...), of learned
    encoders."""
    source: str
    same_shape: bool = False
    """Whether the student's must first be mapped to the teacher's shape by a learned layer (maps:
    to its number of channels)."""
    needs: tuple[str, ...] = ()
    """Further arguments without a default, some of them learned."""
    gram: Callable[..., Any] | None = None
    """The same as a function of the two Gram matrices of linear kernels."""


def _gram(name: str, source: str, home: Any = grams) -> Objective:
    return Objective(name, getattr(relational, name), "features", source, gram=getattr(home, name))


_ALL = (
    Objective("kd", logits.kd, "logits", "Hinton, Vinyals & Dean 2015", True),
    Objective("logits", logits.logit_regression, "logits", "Ba & Caruana 2014", True),
    _gram("fkd", "He & Ozay 2022"),
    _gram("sp", "Tung & Mori 2019"),
    _gram("cc", "Peng et al. 2019"),
    _gram("pkt", "Passalis & Tefas 2018"),
    _gram("rkd", "Park et al. 2019"),
    _gram("rkd_distance", "Park et al. 2019"),
    _gram("rkd_angle", "Park et al. 2019"),
    _gram("cka_loss", "Kornblith et al. 2019", dependence),
    _gram("hsic_loss", "Gretton et al. 2005", dependence),
    _gram("alignment_loss", "Cristianini et al. 2001", dependence),
    _gram("fitted_projector", "Miles & Mikolajczyk 2024", projector),
    Objective(
        "projector",
        projector.projector_loss,
        "features",
        "Miles & Mikolajczyk 2024",
        needs=("weights",),
    ),
    Objective("fitnet", features.fitnet, "features", "Romero et al. 2015", True),
    Objective("vid", features.vid, "features", "Ahn et al. 2019", True, ("raw_variance",)),
    Objective("ab", features.ab, "features", "Heo et al. 2019", True),
    Objective("logsum", features.logsum, "features", "Miles & Mikolajczyk 2024", True),
    Objective("info_nce", contrastive.info_nce, "features", "van den Oord et al. 2018", True),
    Objective(
        "crd",
        contrastive.crd,
        "features",
        "Tian, Krishnan & Isola 2020",
        needs=("heads", "memory", "positives", "negatives"),
    ),
    Objective("at", maps.at, "maps", "Zagoruyko & Komodakis 2017"),
    Objective("nst", maps.nst, "maps", "Huang & Wang 2017"),
    Objective("ft", maps.ft, "maps", "Kim, Park & Kwak 2018", True),
    Objective("od", maps.od, "maps", "Heo, Kim et al. 2019", True),
    Objective("fsp", maps.fsp, "two maps", "Yim et al. 2017", True),
    Objective("inheritance", inheriting.inheritance, "codes", "Huang et al. 2021", True),
    Objective("exploration", inheriting.exploration, "codes", "Huang et al. 2021", True),
)

OBJECTIVES: dict[str, Objective] = {entry.name: entry for entry in _ALL}


def objective(name: str) -> Objective:
    """Return an objective by its name.

    Raises
    ------
    HilbertSDError
        If there is none of that name; the error lists all names.

    Examples
    --------
    >>> objective("sp").source
    'Tung & Mori 2019'
    """
    if name not in OBJECTIVES:
        raise HilbertSDError(
            f"there is no objective {name!r}; choose one of {', '.join(OBJECTIVES)}"
        )
    return OBJECTIVES[name]
