"""A problem as the options pose it: data, kernel, tolerance and rounds, ready to be solved."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hilbertsd.cli.data import Data, from_dataset, from_table
from hilbertsd.cli.exits import refuse
from hilbertsd.cli.kernel import (
    kernel_from_text,
    lives_on_interval,
    median_gaussian,
    require_domain,
)
from hilbertsd.cli.options import Dataset, Options
from hilbertsd.cli.tolerance import Tolerance
from hilbertsd.distill import decompose, self_distill
from hilbertsd.errors import HilbertSDError
from hilbertsd.operators.gram import gram
from hilbertsd.tables import read_table

if TYPE_CHECKING:
    from hilbertsd.distillation import Distillation
    from hilbertsd.kernels import Kernel


class Usual(NamedTuple):
    """What stands in for options that are not given; without a kernel the data choose one."""

    kernel: str | None = None
    eps: str = "auto"
    rounds: int = 10


USUAL = {
    Dataset.example: Usual("cubic_spline", "0.045"),
    # hilbertsd.theory.examples.headline in the words of the options
    Dataset.headline: Usual("matern(0.5, 0.3)", "5.7e-5", 200),
}
FOR_A_FILE = ("target", "drop", "header", "standardize", "center")


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything that a chain takes, and the lines that tell a person about it."""

    data: Data
    kernel: Kernel
    tolerance: Tolerance
    rounds: int
    joint: bool
    heading: dict[str, str]

    @property
    def title(self) -> str:
        """Data and kernel, for a figure."""
        return f"{self.heading['data']}, {self.kernel!r}"

    def solve(
        self, phase: Callable[[str], None], *, keep_eigenvectors: bool = False
    ) -> Distillation:
        """Run the chain, naming its phases; the result's provenance says what was asked."""
        y = self.data.y
        phase("Gram matrix")
        G = gram(self.kernel, self.data.x)
        phase("eigendecomposition")
        decomposition = decompose(G)
        del G
        phase("rounds")
        eps = self.tolerance.values(y, decomposition, joint=self.joint)
        result = self_distill(
            *(decomposition, y, eps, self.rounds),
            joint=self.joint,
            keep_eigenvectors=keep_eigenvectors,
        )
        record = self.data.record | {"kernel": repr(self.kernel), "eps": str(self.tolerance)}
        return dataclasses.replace(result, provenance=result.provenance | {"problem": record})


def pose(options: Options) -> Problem:
    """Read data, kernel and tolerance.

    Raises
    ------
    HilbertSDError
        If the options contradict each other, or what they say cannot be read.
    """
    given = options.given()
    refuse({"file", "dataset"} <= given.keys(), "give a file or --dataset, not both")
    for name in FOR_A_FILE:
        unused = options.file is None and name in given
        refuse(unused, f"{given.get(name)} is for a file; the datasets are ready as they are")
    eps = _once("--eps", options.eps, "run once for each tolerance")
    text = _once("--kernel", options.kernel, "add kernels in one text, as in 'k1 + k2'")
    many = "put all conditions into one, with commas between"
    boundary = _once("--boundary", options.boundary, many)
    interval = _once("--interval", options.interval, "all operators share one interval")

    dataset = options.dataset or Dataset.example
    usual = USUAL.get(dataset, Usual()) if options.file is None else Usual()
    operators = options.operator or []
    rounds = usual.rounds if options.rounds is None else options.rounds
    tolerance = Tolerance.parse(eps or usual.eps)
    text = text or (None if operators else usual.kernel)
    kernel = kernel_from_text(text, operators, boundary, interval)
    if options.file is None:
        data = from_dataset(dataset.value)
    else:
        data = _from_file(options.file, options, kernel)
    choice = ""
    if kernel is None:
        kernel, how = median_gaussian(data.x)
        choice = f", {how}"
    require_domain(kernel, data.x)
    _require_memory(data, rounds)
    heading = data.note | {"kernel": f"{kernel!r}{choice}"}
    if tolerance.kind != "absolute":
        heading["ε"] = str(tolerance)
    return Problem(data, kernel, tolerance, rounds, options.joint, heading)


def _once(option: str, values: list[str] | None, way_out: str) -> str | None:
    """Return the one value of an option; a second one would take the first one's place silently."""
    refuse(values is not None and len(values) > 1, f"{option} is given more than once; {way_out}")
    refuse(values == [""], f"{option} is empty; leave it out for its default")
    return values[0] if values else None


def _from_file(file: Path, options: Options, kernel: Kernel | None) -> Data:
    """Read a table; a kernel on an interval takes the features as they are."""
    on_interval = lives_on_interval(kernel)
    refuse(
        on_interval and options.standardize is True,
        f"standardized features leave the interval of {kernel!r}; take --standardize away",
    )
    targets, drop = options.target or [], options.drop or []
    table = read_table(file, targets=targets, drop=drop, header=options.header)
    standardize = not on_interval and options.standardize is not False
    return from_table(table, standardize=standardize, center=options.center is not False)


def _require_memory(data: Data, rounds: int) -> None:
    """Refuse what the machine cannot hold; the operating system would end the process instead."""
    size = len(data.x)
    need = 8 * (4 * size**2 + 4 * (rounds + 2) * data.y.size)
    try:
        have = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return
    if need > have:
        raise HilbertSDError(
            f"{size} points and {rounds} rounds need about {need / 1e9:.3g} GB of memory, this "
            f"machine has {have / 1e9:.3g} GB; take fewer rows or rounds"
        )
