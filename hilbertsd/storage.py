"""Chains on disk: JSON and npz, both without loss and neither with anything that executes."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import tempfile
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import IO, Any

import numpy as np

from hilbertsd.errors import HilbertSDError

FORMAT = "hilbertsd-chain"
VERSION = 1
PARTS = ("spectrum", "enclosure")


@contextlib.contextmanager
def replacing(path: str | PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file that takes the place of ``path`` once the block has succeeded."""
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(target.parent))
    encoding = None if "b" in mode else "utf-8"
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, mode, encoding=encoding) as file:
            yield file
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # mkstemp's files are private
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def to_json(result: Any) -> str:
    """Encode a chain; floats as their shortest exact decimal, infinities as strings."""
    document = {"format": FORMAT, "version": VERSION} | _plain(result)
    return json.dumps(document, allow_nan=False, ensure_ascii=False) + "\n"


def from_json(text: str) -> dict[str, Any]:
    """Decode the fields of a chain and of its parts."""
    try:
        document = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        hint = "; from_json takes the text, not a path" if str(text).endswith(".json") else ""
        raise HilbertSDError(f"this is not JSON: {error}{hint}") from None
    return _fields(document)


def to_npz(result: Any, path: str | PathLike[str]) -> None:
    """Write the arrays of a chain, and everything else as one JSON string beside them."""
    arrays: dict[str, np.ndarray] = {}

    def set_aside(prefix: str, value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return {
                field.name: set_aside(f"{prefix}{field.name}.", getattr(value, field.name))
                for field in dataclasses.fields(value)
            }
        if isinstance(value, np.ndarray):
            arrays[prefix[:-1]] = value
            return {"npz": prefix[:-1]}
        return value

    rest = {"format": FORMAT, "version": VERSION} | set_aside("", result)
    with replacing(path, "wb") as file:
        chain = np.array(json.dumps(rest, allow_nan=False))
        np.savez_compressed(file, allow_pickle=False, chain=chain, **arrays)


def from_npz(path: str | PathLike[str]) -> dict[str, Any]:
    """Read the fields of a chain and of its parts."""
    name = repr(str(path))
    try:
        # opened here: np.load leaves its own file open where the archive is damaged
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            document = json.loads(str(archive["chain"]))
            arrays = {name: archive[name] for name in archive.files if name != "chain"}
    except FileNotFoundError:
        raise HilbertSDError(f"there is no file {name}") from None
    except Exception as error:  # zip, zlib and header parsers each raise their own
        what = type(error).__name__
        raise HilbertSDError(
            f"{name} is not a chain: not an npz file of this package ({what})"
        ) from None
    return _fields(document, arrays)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        flat = [v if np.isfinite(v) else str(v) for v in value.ravel().tolist()]
        return {"shape": list(value.shape), "data": flat}
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    return value


def _fields(document: Any, arrays: dict[str, np.ndarray] | None = None) -> dict[str, Any]:
    if not isinstance(document, dict) or document.pop("format", None) != FORMAT:
        raise HilbertSDError(f"this is not a chain: its format is not {FORMAT!r}")
    version = document.pop("version", None)
    if type(version) is not int or version != VERSION:
        raise HilbertSDError(
            f"this chain has version {version!r}, this package reads {VERSION}; "
            "upgrade hilbertsd, or write the chain again"
        )

    def array(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        try:
            if value.keys() == {"npz"}:
                return (arrays or {})[value["npz"]]
            if value.keys() == {"shape", "data"}:
                data = [float(v) for v in value["data"]]
                return np.array(data, dtype=np.float64).reshape(value["shape"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise HilbertSDError(f"this is not a chain: a damaged array ({error})") from None
        return value

    return {
        # the parts of a chain are dataclasses of their own
        key: {k: array(v) for k, v in value.items()}
        if key in PARTS and isinstance(value, dict)
        else array(value)
        for key, value in document.items()
    }
