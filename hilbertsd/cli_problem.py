"""The options of ``hilbertsd distill`` that pose a problem, for commands that ask about one.

Only typer is imported at the top; everything heavy loads once a command runs.
"""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hilbertsd import cli

if TYPE_CHECKING:
    from hilbertsd.distillation import Distillation
    from hilbertsd.kernels import Kernel
    from hilbertsd.problem import Problem, Tolerance

HEADLINE = {"kernel": "matern(0.5, 0.3)", "eps": "5.7e-5", "rounds": 200}
"""What :func:`hilbertsd.theory.examples.headline` is, in the words of the options."""


class Dataset(enum.StrEnum):
    """Data that come with the package, and the example on which the bounds say something."""

    example = "example"
    headline = "headline"
    digits = "digits"
    diabetes = "diabetes"


_POSE = "file kernel operator boundary interval eps target drop header standardize center joint"


@dataclass(frozen=True, eq=False)
class Posed:
    """A problem as the options pose it."""

    problem: Problem
    kernel: Kernel
    tolerance: Tolerance
    rounds: int
    joint: bool
    example: bool
    heading: dict[str, str]

    def solve(self) -> Distillation:
        """Run the chain; the result's provenance says what was asked."""
        import dataclasses

        from hilbertsd.distill import decompose, self_distill
        from hilbertsd.operators.gram import gram

        decomposition = decompose(gram(self.kernel, self.problem.x))
        y = self.problem.y
        eps = self.tolerance.values(y, decomposition, joint=self.joint)
        result = self_distill(decomposition, y, eps, self.rounds, joint=self.joint)
        record = self.problem.record | {"kernel": repr(self.kernel), "eps": str(self.tolerance)}
        return dataclasses.replace(result, provenance=result.provenance | {"problem": record})


def _posed(
    dataset: Dataset | None,
    rounds: int | None,
    *,
    file: Path | None,
    kernel: list[str] | None,
    operator: list[str] | None,
    boundary: list[str] | None,
    interval: list[str] | None,
    eps: list[str] | None,
    target: list[str] | None,
    drop: list[str] | None,
    header: bool | None,
    standardize: bool | None,
    center: bool | None,
    joint: bool,
) -> Posed:
    """Read data, kernel and tolerance, as ``distill`` does."""
    cli._refuse(file is not None and dataset is not None, "give a file or --dataset, not both")
    for name, value in {
        "--target": target,
        "--drop": drop,
        "--header/--no-header": header,
        "--standardize/--no-standardize": standardize,
        "--center/--no-center": center,
    }.items():
        unused = file is None and value not in (None, [])
        cli._refuse(unused, f"{name} is for a file; the datasets are ready as they are")
    tolerance_text = cli._once("--eps", eps, "run once for each tolerance")
    kernel_text = cli._once("--kernel", kernel, "add kernels in one text, as in 'k1 + k2'")
    conditions = cli._once("--boundary", boundary, "put all into one, with commas between")
    ends = cli._once("--interval", interval, "all operators share one interval")

    from hilbertsd import problem as asked

    example = file is None and dataset in (None, Dataset.example)
    if file is None and dataset is Dataset.headline:
        rounds = HEADLINE["rounds"] if rounds is None else rounds
        tolerance_text = tolerance_text or HEADLINE["eps"]
        kernel_text = kernel_text or (None if operator else HEADLINE["kernel"])
    if example:
        tolerance_text = tolerance_text or cli.EXAMPLE_EPS
        kernel_text = kernel_text or (None if operator else "cubic_spline")
    tolerance = asked.Tolerance.parse(tolerance_text or "auto")
    g = asked.kernel_from_text(kernel_text, operator or [], conditions, ends)
    if file is None:
        name = (dataset or Dataset.example).value
        problem = asked.from_dataset("example" if name == "headline" else name)
        problem.note["data"] = f"dataset {name}"
    else:
        from hilbertsd.tables import read_table

        on_interval = asked.lives_on_interval(g)
        cli._refuse(
            on_interval and standardize is True,
            f"standardized features leave the interval of {g!r}; take --standardize away",
        )
        table = read_table(file, targets=target or [], drop=drop or [], header=header)
        problem = asked.from_table(
            *(table, table.name),
            standardize=not on_interval and standardize is not False,
            center=center is not False,
        )
    choice = ""
    if g is None:
        g, choice = asked.median_gaussian(problem.x)
    rounds = 10 if rounds is None else rounds
    asked.require_domain(g, problem)
    asked.require_memory(problem, rounds)
    heading = problem.note | {"kernel": f"{g!r}, {choice}" if choice else repr(g)}
    if tolerance.kind != "absolute":
        heading["ε"] = str(tolerance)
    return Posed(problem, g, tolerance, rounds, joint, example, heading)


def poses(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of ``distill`` that pose a problem, as one function to call.

    The command takes ``pose`` first, so that it decides what comes before the work.
    """
    shared = inspect.signature(cli.distill, eval_str=True).parameters
    own = inspect.signature(command, eval_str=True).parameters
    dataset = typer.Option(
        metavar="NAME",
        help="Instead of a file: example (the default; 11 noisy points of a sine), headline (the "
        "same points, near interpolation with a kernel of modest condition: the bounds say "
        "something), digits (1797 points, ten outputs) or diabetes (442 points).",
    )
    count = typer.Option(
        min=0, metavar="N", help="Rounds after ordinary training. Default: 10; headline: 200."
    )
    asked = {name: shared[name] for name in _POSE.split()}
    asked["dataset"] = shared["dataset"].replace(annotation=Annotated[Dataset | None, dataset])
    asked["rounds"] = shared["rounds"].replace(
        annotation=Annotated[int | None, count], default=None
    )
    rest = {name: parameter for name, parameter in own.items() if name != "pose"}

    @functools.wraps(command)
    def run(**values: Any) -> None:
        posing = {name: values.pop(name) for name in asked}
        command(lambda: _posed(**posing), **values)

    parameters = [*asked.values(), *rest.values()]
    keyword = inspect.Parameter.KEYWORD_ONLY
    run.__signature__ = inspect.Signature([p.replace(kind=keyword) for p in parameters])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    del run.__wrapped__  # type: ignore[attr-defined]
    return run
