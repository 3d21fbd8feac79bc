"""Names of a package that are loaded with their module, when first used (PEP 562).

As by scientific-python's lazy_loader (SPEC 1): too little code for a dependency, and here the
error for an extra that is not installed is one of the package's own.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any

from hilbertsd.errors import HilbertSDError

EXTRAS = {"equinox": "nets", "optax": "nets"}
"""Of which extra a distribution is, where a whole module needs it."""


def attach(
    package: str, homes: Mapping[str, Collection[str]], modules: Collection[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package.

    ``homes`` has the names that each module of the package provides, ``modules`` those that are
    names themselves. Type checkers, which do not read them, take imports under TYPE_CHECKING. A
    name must not be that of its module: once this is imported, it would be the module.
    """
    home_of = {name: f"{package}.{home}" for home, names in homes.items() for name in names}

    def load(name: str) -> Any:
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            value = getattr(importlib.import_module(home_of[name]), name)
        except ModuleNotFoundError as error:
            if error.name not in EXTRAS:
                raise
            extra = EXTRAS[error.name]
            raise HilbertSDError(
                f"{package}.{name} needs {error.name}, of the extra {extra}: pip install "
                f"'hilbertsd[{extra}]', or '.[{extra}]' in a checkout."
            ) from None
        setattr(sys.modules[package], name, value)
        return value

    def listed() -> list[str]:
        here = sys.modules[package]
        return sorted({*vars(here), *here.__all__})

    return load, listed
