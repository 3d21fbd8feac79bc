"""hilbertsd certify: what happens in a chain proved in ball arithmetic, or such a proof checked.

Only typer is imported at the top; everything heavy loads once the command runs.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hilbertsd import progress
from hilbertsd.cli.exits import FAILED, refuse
from hilbertsd.cli.options import Options, Output, posing
from hilbertsd.cli.output import chosen_folder, say, show, write_texts
from hilbertsd.errors import HilbertSDError

if TYPE_CHECKING:
    from hilbertsd.cli.problem import Problem
    from hilbertsd.theory.certificate import Certificate

CERTIFICATE = "certificate.json"


@posing
def certify(
    options: Options,
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Instead of making a certificate, re-establish everything that this one claims: "
            "exit code 0 if it is accepted, 1 if it is rejected.",
        ),
    ] = None,
    output: Output = None,
) -> None:
    """Prove in ball arithmetic what happens in a chain.

    At most 300 points. The numbers are taken as the exact rationals that the floats are, those of
    the example as the tenths that they are meant to be, and the Gram matrix in rationals where the
    kernel allows. Writes certificate.json.
    """
    import hilbertsd.theory.balls  # noqa: F401 - or the error that says how to install it

    if check is not None:
        refuse(output is not None, "--check writes nothing; take --output away")
        given = ", ".join(options.given().values())
        refuse(given != "", f"--check reads the problem from the certificate; take {given} away")
        _check(check)
        return
    folder = chosen_folder("certify", output)
    from hilbertsd.cli.problem import pose
    from hilbertsd.report.certificate import text

    with progress.phases() as phase:
        phase("kernel and data")
        problem = pose(options)
        phase("certificate")
        start = time.perf_counter()
        certificate = _certified(problem)
        seconds = time.perf_counter() - start
    show(text(certificate, problem.heading, seconds))
    write_texts(folder, {CERTIFICATE: certificate.to_json()})
    show(f"Written to {folder}: {CERTIFICATE}\n")
    if any(verdict.verdict == "refuted" for verdict in certificate.verdicts):
        raise typer.Exit(FAILED)


def _certified(problem: Problem) -> Certificate:
    """Certify with the Gram matrix in rationals where the kernel allows, else on its floats."""
    from fractions import Fraction

    from hilbertsd.distill import decompose
    from hilbertsd.operators.gram import gram
    from hilbertsd.theory.certificate import MOST_POINTS
    from hilbertsd.theory.certify import certify as proved
    from hilbertsd.theory.exact import exact_gram

    x, y = problem.data.x, problem.data.y
    many = f"a certificate is about at most {MOST_POINTS} points, these are {len(y)}"
    refuse(len(y) > MOST_POINTS, many)
    eps: Any = problem.tolerance.value
    if problem.tolerance.kind == "absolute":
        eps = Fraction(str(eps))  # 0.045 is meant as 9/200
    else:
        eps = problem.tolerance.values(y, decompose(gram(problem.kernel, x)), joint=problem.joint)
    points: Any = x if problem.data.exact is None else problem.data.exact
    try:
        exact_gram(problem.kernel, points)
    except HilbertSDError:
        return _certified_on_floats(problem, eps)
    return proved(problem.kernel, points, y, eps, problem.rounds, joint=problem.joint)


def _certified_on_floats(problem: Problem, eps: Any) -> Certificate:
    """Certify with the Gram matrix as the rationals that its floats are.

    Where that should be singular, rounding mostly makes an eigenvalue negative.
    """
    import numpy as np

    from hilbertsd.distill import decompose
    from hilbertsd.operators.gram import gram
    from hilbertsd.theory.certify import certify as proved
    from hilbertsd.theory.enclosures import IndefiniteGramError

    x = problem.data.x
    G = gram(problem.kernel, x)
    try:
        return proved(G, problem.data.y, eps, problem.rounds, joint=problem.joint)
    except IndefiniteGramError as error:
        rank = np.count_nonzero(decompose(G).eigenvalues)
        if rank == len(x):
            raise
        repeated = len(np.unique(x, axis=0)) < len(x)
        raise HilbertSDError(
            f"{problem.kernel!r} has no rational form, and the Gram matrix of its floats, of "
            f"numerical rank {rank} of {len(x)}, has a negative eigenvalue from rounding; choose a "
            "rougher or shorter kernel, such as --kernel 'matern(0.5, 1)'"
            + (", and drop points that repeat" if repeated else "")
        ) from error


def _check(path: Path) -> None:
    """Print what is re-established; a rejected certificate ends with exit code 1."""
    from hilbertsd.report.certificate import counted, ended
    from hilbertsd.theory.certificate import MOST_BYTES, CertificateError, from_json
    from hilbertsd.theory.verifier import check_certificate

    with progress.phases() as phase:
        phase("reading")
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
        start = time.perf_counter()
        try:
            if len(content) > MOST_BYTES:
                raise CertificateError(f"a certificate has at most {MOST_BYTES} bytes")
            text = content.decode("utf-8")
            phase("checking")
            proved = check_certificate(text)
        except (CertificateError, UnicodeDecodeError) as error:
            reason = error if isinstance(error, CertificateError) else "it is not UTF-8 text"
            say(f"rejected: {path}: {reason}")
            raise typer.Exit(FAILED) from None
        certificate = from_json(text)
    seconds = time.perf_counter() - start
    show(
        f"accepted: {path}: rank {certificate.rank} of {certificate.problem.size}; "
        f"{ended(certificate)}; "
        f"{counted(v.verdict for v in proved)}; {seconds:.2g} seconds\n"
    )
