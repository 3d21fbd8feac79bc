"""The theory of self-distillation in Hilbert space, made executable.

>>> import hilbertsd as hsd
>>> x, y = hsd.datasets.example()
>>> G = hsd.gram(hsd.kernels.cubic_spline(), x)
>>> result = hsd.self_distill(G, y, eps=0.045, rounds=10)
>>> result.collapse_round
4
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hilbertsd import lazy
from hilbertsd.version import __version__

if TYPE_CHECKING:
    from hilbertsd import (
        batch,
        datasets,
        filters,
        kernels,
        nets,
        objectives,
        operators,
        plots,
        schemes,
        theory,
    )
    from hilbertsd.distill import decompose, self_distill
    from hilbertsd.distillation import Distillation
    from hilbertsd.enclosure import Enclosure
    from hilbertsd.errors import (
        CollapseWarning,
        HilbertSDError,
        InfeasibleToleranceError,
        PrecisionWarning,
    )
    from hilbertsd.multiplier import alpha_to_multiplier, multiplier_to_alpha
    from hilbertsd.operators.gram import cross_gram, gram, primal_coef
    from hilbertsd.routes.dense import Decomposition
    from hilbertsd.routes.group import RouteError
    from hilbertsd.spectrum import Spectrum
    from hilbertsd.theory.certify import certify
    from hilbertsd.theory.verifier import check_certificate

__all__ = [
    "CollapseWarning",
    "Decomposition",
    "Distillation",
    "Enclosure",
    "HilbertSDError",
    "InfeasibleToleranceError",
    "PrecisionWarning",
    "RouteError",
    "Spectrum",
    "__version__",
    "alpha_to_multiplier",
    "batch",
    "certify",
    "check_certificate",
    "cross_gram",
    "datasets",
    "decompose",
    "filters",
    "gram",
    "kernels",
    "multiplier_to_alpha",
    "nets",
    "objectives",
    "operators",
    "plots",
    "primal_coef",
    "schemes",
    "self_distill",
    "theory",
]

# Loaded when first used: importing the package costs little more than NumPy.
__getattr__, __dir__ = lazy.attach(
    __name__,
    {
        "distill": ("decompose", "self_distill"),
        "distillation": ("Distillation",),
        "enclosure": ("Enclosure",),
        "errors": (
            "CollapseWarning",
            "HilbertSDError",
            "InfeasibleToleranceError",
            "PrecisionWarning",
        ),
        "multiplier": ("alpha_to_multiplier", "multiplier_to_alpha"),
        "operators.gram": ("cross_gram", "gram", "primal_coef"),
        "routes.dense": ("Decomposition",),
        "routes.group": ("RouteError",),
        "spectrum": ("Spectrum",),
        "theory.certify": ("certify",),
        "theory.verifier": ("check_certificate",),
    },
    modules=(
        "batch",
        "datasets",
        "filters",
        "kernels",
        "nets",
        "objectives",
        "operators",
        "plots",
        "schemes",
        "theory",
    ),
)
