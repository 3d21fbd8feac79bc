"""Ways to make a Gram matrix, or to apply one that is never formed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hilbertsd import lazy
from hilbertsd.operators.gram import cross_gram, gram
from hilbertsd.operators.semiseparable import semiseparable

if TYPE_CHECKING:
    from hilbertsd.operators.sharding import sharded, sharded_cross
    from hilbertsd.operators.tiling import KernelOperator, tiled, tiled_cross

__all__ = [
    "KernelOperator",
    "cross_gram",
    "gram",
    "semiseparable",
    "sharded",
    "sharded_cross",
    "tiled",
    "tiled_cross",
]

# These need JAX, which is loaded with them.
__getattr__, __dir__ = lazy.attach(
    __name__,
    {
        "sharding": ("sharded", "sharded_cross"),
        "tiling": ("KernelOperator", "tiled", "tiled_cross"),
    },
)
