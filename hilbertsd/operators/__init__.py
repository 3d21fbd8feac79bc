"""Ways to make a Gram matrix, or to apply one that is never formed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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
_HOMES = {
    "KernelOperator": "tiling",
    "sharded": "sharding",
    "sharded_cross": "sharding",
    "tiled": "tiling",
    "tiled_cross": "tiling",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module = importlib.import_module(f"hilbertsd.operators.{_HOMES[name]}")
        return getattr(module, name)
    raise AttributeError(f"module 'hilbertsd.operators' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
