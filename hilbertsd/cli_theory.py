"""The theory on the command line: verify, certify, attack; registered on the same application.

Only typer is imported at the top; everything heavy loads once a command runs.
"""

from __future__ import annotations

import enum
import json as _json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hilbertsd import cli, progress
from hilbertsd.cli_problem import Posed, poses
from hilbertsd.errors import HilbertSDError

if TYPE_CHECKING:
    from hilbertsd.distillation import Distillation
    from hilbertsd.theory.attack import Attack, Effort
    from hilbertsd.theory.certificate import Certificate

FAILED = 1
EXIT_CODES = cli.EXIT_CODES.replace("2 bad input", "1 a claim fails; 2 bad input")
CERTIFICATE = "certificate.json"
ADVERSARY = "attack.json"


class Budget(enum.StrEnum):
    """How long the adversary searches."""

    quick = "quick"
    standard = "standard"
    thorough = "thorough"


_Output = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder for the results. Default: hilbertsd-out.")
]


@cli.app.command(epilog=EXIT_CODES)
@poses
def verify(
    pose: Callable[[], Posed],
    output: _Output = None,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Say of each statement what it claims and where."),
    ] = False,
    json: Annotated[
        bool,
        typer.Option("--json", help="Print the verdicts as JSON; write files only with --output."),
    ] = False,
) -> None:
    """Run a chain and check every statement of the theory on it.

    Each line is a statement at the place where it is nearest to failing: lower <= actual <= upper,
    the slack relative to the statement's scale, and how nearly it is attained. A statement holds,
    is vacuous (it says no more than is known without it), is not applicable, or fails. Without
    arguments: the illustrative example of Mobahi, Farajtabar & Bartlett (2020). Writes
    chain.json, verdicts.json, table.txt and a figure of values between their bounds.
    """
    folder = output if output is not None or json else cli.DEFAULT_OUTPUT
    if folder is not None:
        cli._require_folder(folder)
    with progress.phases() as phase:
        phase("kernel and data")
        posed = pose()
        phase("chain")
        result = posed.solve()
        phase("statements")
        from hilbertsd import verdicts

        found = verdicts.readings(result)
        document = verdicts.to_json(result, found)
        table = verdicts.text(result, found, posed.heading, verbose=verbose)
        written = ""
        if folder is not None:
            phase("writing")
            written = _write_verdicts(folder, posed, result, document, table)
    if json:
        cli._print(document)
    else:
        if sys.stdout.isatty():
            columns = shutil.get_terminal_size().columns
            look = {"verbose": verbose, "width": columns, "terminal": True}
            table = verdicts.text(result, found, posed.heading, **look)
        cli._print(table + f"{written}\n")
    if verdicts.counts(found)["fails"]:
        raise typer.Exit(FAILED)


def _write_verdicts(
    folder: Path, posed: Posed, result: Distillation, document: str, table: str
) -> str:
    from hilbertsd import bounds, plots

    texts = {"chain.json": result.to_json(), "verdicts.json": document, "table.txt": table}
    outputs = result.labels.shape[2] if result.labels.ndim == 3 and not result.joint else 1
    title = f"{posed.heading['data']}, {posed.kernel!r}"
    if outputs > 1:
        title += f", output 0 of {outputs}"
    written = _write_texts(folder, texts)
    figures = plots.save(bounds.figure(result, title=title), folder / "bounds")
    return f"Written to {folder}: {', '.join([*written, *(path.name for path in figures)])}"


def _write_texts(folder: Path, texts: dict[str, str]) -> list[str]:
    from hilbertsd.storage import replacing

    folder.mkdir(parents=True, exist_ok=True)
    for name, content in texts.items():
        with replacing(folder / name) as file:
            file.write(content)
    return list(texts)


# ------------------------------------------------------------------ certificates


@cli.app.command(epilog=EXIT_CODES)
@poses
def certify(
    pose: Callable[[], Posed],
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Instead of making a certificate, re-establish everything that this one claims: "
            "exit code 0 if it is accepted, 1 if it is rejected.",
        ),
    ] = None,
    output: _Output = None,
) -> None:
    """Prove what happens in a chain in ball arithmetic, and write the certificate.

    One output, at most 300 points. The numbers are taken as the exact rationals that the floats
    are, those of the example as the tenths that they are meant to be, and the Gram matrix in
    rationals where the kernel allows. Writes certificate.json.
    """
    _require_flint()
    if check is not None:
        cli._refuse(output is not None, "--check writes nothing; take --output away")
        _check(check)
        return
    folder = output if output is not None else cli.DEFAULT_OUTPUT
    cli._require_folder(folder)
    with progress.phases() as phase:
        phase("kernel and data")
        posed = pose()
        phase("certificate")
        start = time.perf_counter()
        certificate = _certified(posed)
        seconds = time.perf_counter() - start
        phase("writing")
        _write_texts(folder, {CERTIFICATE: certificate.to_json()})
    cli._print(_certificate_text(certificate, posed.heading, seconds))
    cli._print(f"Written to {folder}: {CERTIFICATE}\n")
    if any(verdict.verdict == "refuted" for verdict in certificate.verdicts):
        raise typer.Exit(FAILED)


def _require_flint() -> None:
    try:
        import flint  # noqa: F401
    except ImportError:
        raise HilbertSDError(
            "certificates need python-flint; install it with: pip install 'hilbertsd[certify]'"
        ) from None


def _certified(posed: Posed) -> Certificate:
    """Certify with the Gram matrix in rationals where the kernel allows, else on its floats."""
    from fractions import Fraction

    from hilbertsd.distill import decompose
    from hilbertsd.operators.gram import gram
    from hilbertsd.theory.certificate import MOST_POINTS
    from hilbertsd.theory.certify import certify as proved
    from hilbertsd.theory.exact import exact_gram

    x, y = posed.problem.x, posed.problem.y
    cli._refuse(y.ndim > 1, "a certificate is about one output; choose one with --target")
    many = f"a certificate is about at most {MOST_POINTS} points, these are {len(y)}"
    cli._refuse(len(y) > MOST_POINTS, many)
    eps: Any = posed.tolerance.value
    if posed.tolerance.kind == "absolute":
        eps = Fraction(str(eps))  # 0.045 is meant as 9/200
    else:
        eps = float(posed.tolerance.values(y, decompose(gram(posed.kernel, x)), joint=False))
    # The points of the example are tenths, which floats are not.
    points = [Fraction(k, 10) for k in range(11)] if posed.example else x
    try:
        exact_gram(posed.kernel, points if posed.example else x)
    except HilbertSDError:
        return proved(gram(posed.kernel, x), y, eps, posed.rounds)
    return proved(posed.kernel, points, y, eps, posed.rounds)


def _certificate_text(certificate: Certificate, heading: dict[str, str], seconds: float) -> str:
    from hilbertsd import verdicts

    given = certificate.problem
    exact = "in rationals, from the kernel" if given.gram is None else "as floats, exactly"
    fits = len(certificate.multipliers)
    ended = {
        "collapsed": f"proved: collapse at round {fits}",
        "running": f"proved: no collapse up to round {fits}",
        "undecided": f"{fits} fits are proved; whether another follows is undecided",
    }[certificate.outcome]
    lines = heading | {
        "Gram": exact,
        "rank": f"{certificate.rank} of {given.size}, proved; residual floor "
        f"{float(certificate.residual_floor):.6g}, exact",
        "chain": ended,
        "bits": f"{certificate.bits}, {seconds:.2g} seconds",
    }
    rows = [(v.title, v.verdict, v.holds_to or v.reason or "") for v in certificate.verdicts]
    return verdicts.decisions(lines, rows)


def _check(path: Path) -> None:
    """Print what is re-established; a rejected certificate ends with exit code 1."""
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
            cli._say(f"rejected: {path}: {reason}")
            raise typer.Exit(FAILED) from None
        certificate = from_json(text)
    seconds = time.perf_counter() - start
    counted = ", ".join(
        f"{sum(v.verdict == kind for v in proved)} {kind}"
        for kind in ("proved", "refuted", "undecided", "not applicable")
    )
    when = certificate.collapse_round
    ended = f"collapse at round {when}" if when is not None else certificate.outcome
    cli._print(
        f"accepted: {path}: rank {certificate.rank} of {certificate.problem.size}, {ended}; "
        f"{counted}; {seconds:.2g} seconds\n"
    )


# ------------------------------------------------------------------ the adversary


@cli.app.command(epilog=EXIT_CODES)
def attack(
    statement: Annotated[
        str | None,
        typer.Argument(
            metavar="[STATEMENT]",
            help="By its name in the registry, such as guaranteed_rounds; all of them without.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of the search.")] = 0,
    budget: Annotated[
        Budget | None,
        typer.Option(
            metavar="NAME",
            help="quick (about two seconds a statement, two minutes for all, without gradients), "
            "standard (10 to 40 seconds a statement, a quarter of an hour for all) or thorough "
            "(minutes a statement). Default: standard for one statement, quick for all.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for attack.json and the figure tightness."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Search for chains on which a statement has the least slack, or fails.

    Prints how nearly each statement is attained, where, and how the least slack grows with the
    condition number κ, the number of eigenvalues and the number of fits. Slack 0 is equality, 1
    says no more than was known. An apparent violation counts once it is confirmed in ball
    arithmetic; then the exit code is 1.
    """
    if output is not None:
        cli._require_folder(output)
    from hilbertsd.theory.attack import find
    from hilbertsd.theory.tightness import attack_table

    budget = budget or (Budget.quick if statement is None else Budget.standard)
    effort = efforts()[budget]
    claims = None if statement is None else [find(statement)]
    start = time.perf_counter()
    with progress.phases() as phase:
        attacks = attack_table(
            *(claims, None),
            effort=effort,
            seed=seed,
            progress=lambda done, count, title: phase(f"{done + 1}/{count} {title}"),
        )
    seconds = time.perf_counter() - start
    command = f"hilbertsd attack {statement or ''}".strip() + f" --budget {budget} --seed {seed}"
    document = _attack_json(attacks, command)
    written = "" if output is None else _write_attacks(output, attacks, document)
    if json:
        cli._print(document)
    else:
        from hilbertsd import verdicts

        cli._print(verdicts.attacks_text(attacks, f"{command}: {seconds:.3g} seconds"))
        cli._print(written)
    if any(found.violated for found in attacks):
        raise typer.Exit(FAILED)


def efforts() -> dict[Budget, Effort]:
    """What each budget buys; without gradient steps nothing has to be compiled."""
    from hilbertsd.theory.attack import Effort

    return {
        Budget.quick: Effort(points=128, population=24, generations=24, steps=0),
        Budget.standard: Effort(),
        Budget.thorough: Effort(points=4096, population=128, generations=240, steps=600),
    }


def _attack_json(attacks: tuple[Attack, ...], command: str) -> str:
    from hilbertsd.theory.record import to_record

    return _json.dumps(to_record(attacks, command), ensure_ascii=False, indent=1) + "\n"


def _write_attacks(folder: Path, attacks: tuple[Attack, ...], document: str) -> str:
    from hilbertsd import plots
    from hilbertsd.theory.tightness import figure

    names = _write_texts(folder, {ADVERSARY: document})
    if any(found.kind != "identity" for found in attacks):
        names += [path.name for path in plots.save(figure(attacks), folder / "tightness")]
    return f"Written to {folder}: {', '.join(names)}\n"
