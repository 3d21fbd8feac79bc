"""A chain of networks on disk: a folder with a manifest and one file a round, nothing pickled."""

from __future__ import annotations

import hashlib
import json
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import numpy as np

from hilbertsd.errors import HilbertSDError
from hilbertsd.nets.protocol import Make, made
from hilbertsd.nets.supervised import network_outputs
from hilbertsd.provenance import provenance
from hilbertsd.storage import replacing

if TYPE_CHECKING:
    from hilbertsd.datasets import Classification

FORMAT = "hilbertsd-network-chain"
VERSION = 1
MANIFEST = "manifest.json"
STARTS_AGREE = 1e-3
"""Outputs at the start are the same network's if they agree to this, relative to the largest."""
FOLLOWS = ("changed", "class_counts", "test_class_counts", "digest")
"""Of data, what follows from the settings beside it: told where these agree."""


class Folder:
    """Where the rounds of one chain are kept; a round's file appears whole or not at all."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)

    def claim(self, identity: dict[str, Any]) -> None:
        """Write the manifest, or see that the one that is there is of the same chain.

        Raises
        ------
        HilbertSDError
            If the folder holds another chain, naming what differs, or rounds of an unknown one.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HilbertSDError(f"{str(self.path)!r} cannot be the folder: {error}") from None
        identity = as_json(identity)
        if not any(self.path.glob("round-*.npz")):  # nor does a manifest alone hold anything
            head = {"format": FORMAT, "version": VERSION}
            with replacing(self.path / MANIFEST) as file:
                json.dump(head | {"identity": identity, "made by": made_by()}, file, indent=1)
                file.write("\n")
            return
        if not (self.path / MANIFEST).exists():
            raise HilbertSDError(
                f"{str(self.path)!r} holds rounds without {MANIFEST}, which says of what chain "
                "they are; take another folder."
            )
        found = self.manifest()["identity"]
        require_same(self.path, "chain", found, identity)

    def manifest(self) -> dict[str, Any]:
        """Return what the manifest says."""
        name = repr(str(self.path / MANIFEST))
        try:
            document = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise HilbertSDError(f"there is no file {name}") from None
        except ValueError as error:
            raise HilbertSDError(f"{name} is damaged: {error}") from None
        if not isinstance(document, dict) or "identity" not in document:
            raise HilbertSDError(f"{name} is damaged: it does not say what chain it is of")
        head = (document.get("format"), document.get("version"))
        if head != (FORMAT, VERSION):
            raise HilbertSDError(f"{name} is {head}, not {(FORMAT, VERSION)}")
        return document

    def rounds(self) -> int:
        """Return how many rounds are there, from the first without a gap."""
        count = 0
        while self.round(count).exists():
            count += 1
        return count

    def round(self, number: int) -> Path:
        """Return the file of a round."""
        return self.path / f"round-{number:03d}.npz"

    def write(self, number: int, network: Any, arrays: dict[str, np.ndarray]) -> None:
        """Write a round: the network's arrays and others beside them."""
        leaves = jax.tree.leaves(eqx.filter(network, eqx.is_array))
        numbered = {f"leaf {i:04d}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
        with replacing(self.round(number), "wb") as file:
            np.savez(file, allow_pickle=False, **numbered, **arrays)

    def arrays(self, number: int, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
        """Return a round's arrays without the network's, if they have these names and shapes."""
        found = {k: v for k, v in self._read(number).items() if not k.startswith("leaf ")}
        if {name: array.shape for name, array in found.items()} != shapes:
            raise HilbertSDError(
                f"{str(self.round(number))!r} does not hold what a round of this chain does; "
                "delete it, and the rounds after it, to train them again."
            )
        return found

    def network(self, number: int, like: Any) -> tuple[Any, Any]:
        """Return a round's network, with the structure of ``like``, arrays or their shapes."""
        arrays, rest = eqx.partition(like, _is_array)
        leaves, structure = jax.tree.flatten(arrays)
        found = [v for k, v in sorted(self._read(number).items()) if k.startswith("leaf ")]
        if [(a.shape, a.dtype) for a in found] != [(a.shape, a.dtype) for a in leaves]:
            raise HilbertSDError(
                f"{str(self.round(number))!r} holds another network than the one given."
            )
        return eqx.combine(jax.tree.unflatten(structure, map(jax.numpy.asarray, found)), rest)

    def _read(self, number: int) -> dict[str, np.ndarray]:
        path = self.round(number)
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
                return dict(archive)
        except FileNotFoundError:
            raise HilbertSDError(f"there is no file {str(path)!r}") from None
        except Exception as error:  # zip, zlib and header parsers each raise their own
            raise HilbertSDError(
                f"{str(path)!r} is damaged ({type(error).__name__}); delete it, and the rounds "
                "after it, to train them again."
            ) from None


def made_by() -> dict[str, Any]:
    """Return versions and the kind of device."""
    import optax

    found = provenance()["versions"]
    for module in (jax, eqx, optax):
        found[module.__name__] = module.__version__
    return {"versions": found, "device": jax.devices()[0].device_kind}


def digest(*arrays: np.ndarray) -> str:
    """Return a digest of shapes, types and bytes."""
    found = hashlib.sha256()
    for array in map(np.ascontiguousarray, arrays):
        found.update(f"{array.shape} {array.dtype.str}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def described(data: Classification) -> dict[str, Any]:
    """Return what data are, for an identity."""
    arrays = (data.x_train, data.given, data.true, data.x_test, data.y_test)
    return {"name": data.name, "settings": data.settings, "digest": digest(*arrays)}


def fingerprint(make: Make, key: Any, x: Any) -> list[float]:
    """Return numbers that tell networks by their start: outputs at four points, and `sizes`.

    ``key`` has shape (1,). The same function may be written in other parameters, and learns
    differently then.
    """
    model, state = made(make, key)
    return [*network_outputs(model, state, x[:4]).ravel().tolist(), *sizes(model)]


def sizes(model: Any) -> list[float]:
    """Return the root mean square of each array of parameters."""
    arrays = jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
    return [float(jax.numpy.sqrt(jax.numpy.mean(array**2))) for array in arrays]


def starts_agree(found: Any, given: Any) -> bool:
    """Whether two lists of numbers are those of the same network at its start."""
    one, other = np.asarray(found, float), np.asarray(given, float)
    scale = STARTS_AGREE * max(float(np.abs(one).max(initial=0)), 1e-30)
    return one.shape == other.shape and bool(np.abs(one - other).max(initial=0) <= scale)


def _plain(value: Any) -> Any:
    """Return NumPy's numbers and arrays as JSON has them."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise HilbertSDError(f"settings must be JSON to be kept in a folder, got {value!r}.")


def _is_array(value: Any) -> bool:
    return eqx.is_array(value) or isinstance(value, jax.ShapeDtypeStruct)


def as_json(document: Any) -> Any:
    """Return a document as JSON gives it back."""
    return json.loads(json.dumps(document, default=_plain))


def require_same(folder: Path, what: str, found: Any, given: Any) -> None:
    """Refuse a folder whose identity is not the one given.

    Raises
    ------
    HilbertSDError
        Naming what differs, as it was and as it is, and the ways out.
    """
    if different := sorted(_differences(found, given)):
        raise HilbertSDError(
            f"{str(folder)!r} holds another {what}: {'; '.join(different)}. Take another folder "
            "(on the command line: another --output), delete this one, or take the settings that "
            f"the {what} was begun with."
        )


def _differences(found: Any, given: Any, name: str = "") -> list[str]:
    """Return sentences on what differs between two JSON documents."""
    if isinstance(found, dict) and isinstance(given, dict):
        by_key = {
            key: _differences(found.get(key), given.get(key), f"{name}.{key}".strip("."))
            for key in found.keys() | given.keys()
        }
        told = {key: sentences for key, sentences in by_key.items() if key not in FOLLOWS}
        return list(chain.from_iterable(told.values())) or [*chain.from_iterable(by_key.values())]
    whose, _, last = name.rpartition(".")
    if last == "start":
        networks = f"the {whose}'s networks" if whose else "its networks"
        otherwise = f"{networks} start otherwise (another model, or another device)"
        return [] if starts_agree(found, given) else [otherwise]
    if found == given:
        return []
    if last == "digest":
        return ["the points or labels are others"]
    return [f"{name} was {found!r}, now {given!r}"]
