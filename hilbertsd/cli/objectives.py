"""hilbertsd objectives: which there are, and students of one teacher compared.

Only typer is imported at the top; everything heavy loads once a command runs.
"""

from __future__ import annotations

import dataclasses
import json as _json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hilbertsd.cli.exits import EXIT_CODES, refuse
from hilbertsd.cli.experiment import Experiment, described, interrupts_explained, pose
from hilbertsd.cli.options import Output
from hilbertsd.cli.output import chosen_folder, look, show, write_texts
from hilbertsd.errors import HilbertSDError

if TYPE_CHECKING:
    from hilbertsd.schemes.comparison import Comparison
    from hilbertsd.schemes.terms import Term

DEFAULT = "kd,sp,rkd,cc,pkt,crd,fkd"
MEASURED = "measured"
"""Folder of each objective's accuracies, beside the results."""

app = typer.Typer(rich_markup_mode=None)


@app.callback(invoke_without_command=True, epilog=EXIT_CODES)
def objectives(context: typer.Context) -> None:
    """Distillation objectives: which there are, and a comparison on one data set."""
    if context.invoked_subcommand is None:
        show(f"{context.get_help()}\n")


@app.command("list", epilog=EXIT_CODES)
def listed(
    json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the objectives: what each compares, and its source."""
    from hilbertsd.objectives import OBJECTIVES

    if json:
        names = ("name", "takes", "source", "same_shape")
        found = [{key: getattr(entry, key) for key in names} for entry in OBJECTIVES.values()]
        show(_json.dumps(found, ensure_ascii=False, indent=1) + "\n")
        return
    rows = [("name", "takes", "source")]
    rows += [(entry.name, entry.takes, entry.source) for entry in OBJECTIVES.values()]
    first, second = (max(len(row[i]) for row in rows) for i in (0, 1))
    show("".join(f"{a:{first}}  {b:{second}}  {c}\n" for a, b, c in rows))


@app.command(epilog=EXIT_CODES)
def compare(
    objectives: Annotated[
        str, described("--objectives", "NAME,..", "See 'hilbertsd objectives list'.")
    ] = DEFAULT,
    weights: Annotated[
        str | None,
        described(
            "--weights",
            "W,..",
            "One a name in --objectives, in order. Default: the package's, which are shown; needed "
            "for objectives that have none.",
        ),
    ] = None,
    seeds: Annotated[
        int, described("--seeds", "N", "Teachers and students of seeds 0 to N - 1.")
    ] = 10,
    teacher: Annotated[
        str, described("--teacher", "NAME", "mlp, convnet, resnet8, 14, .. or vgg8, 11, ...")
    ] = "mlp",
    teacher_widths: Annotated[
        str | None,
        described(
            "--teacher-widths",
            "N,..",
            "As --widths of 'hilbertsd networks'. Default: 256; convnet: 32,64.",
        ),
    ] = None,
    student: Annotated[str, described("--student", "NAME", "Likewise.")] = "mlp",
    student_widths: Annotated[
        str | None,
        described("--student-widths", "N,..", "Likewise. Default: 8; convnet: 8,16."),
    ] = None,
    dataset: Annotated[
        str,
        described(
            "--dataset",
            "NAME",
            "digits, cifar10 or cifar100 (with --folder), or teacher-student.",
        ),
    ] = "digits",
    folder: Annotated[
        Path | None,
        described("--folder", "DIR", "Where the archive of CIFAR is, as it is published."),
    ] = None,
    train: Annotated[
        int | None,
        described("--train", "N", "Training points. Default: 200; CIFAR: all."),
    ] = None,
    noise: Annotated[
        float, described("--noise", "RATE", "Share of the training labels that are wrong.")
    ] = 0.0,
    own_weight: Annotated[
        float,
        described("--own-weight", "A", "Of the cross-entropy with the labels beside an objective."),
    ] = 1.0,
    weight_decay: Annotated[
        float,
        described("--weight-decay", "C", "The loss has C * (sum of the squared parameters) added."),
    ] = 1e-4,
    learning_rate: Annotated[float, described("--learning-rate", "R", "Of Adam.")] = 3e-3,
    steps: Annotated[int, described("--steps", "N", "Of training, each network.")] = 400,
    batch: Annotated[int, described("--batch", "N", "Points in a minibatch.")] = 64,
    output: Output = None,
    json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print the accuracies as JSON; write files only with --output."
        ),
    ] = False,
) -> None:
    """Compare objectives: students of one teacher with one objective each, and alone.

    For every seed a teacher is trained, then a student alone and one with each objective, all from
    the same start and with the same minibatches. Prints test accuracy and gain over the student
    alone, mean and 95 % interval over the seeds, with the weights used. Writes table.txt,
    comparison.json, figure.pdf and figure.png, and each objective to the folder measured as soon as
    it is finished: the same command goes on from there, also with more objectives. A folder holds
    one setting; for another take another --output. Weights decide much: the package's were chosen
    once on other seeds of digits. Takes the extra nets: pip install 'hilbertsd[nets]'.
    Without arguments: about a minute on two cores.
    """
    from hilbertsd import inputs as check

    # --json writes only with --output
    results = None if json and output is None else chosen_folder("objectives", output)
    check.whole_number("--seeds", seeds, least=1)
    check.nonnegative("--own-weight", own_weight)
    terms = _terms(objectives, weights)
    shared = {
        "dataset": dataset,
        "folder": folder,
        "train": 200 if train is None and folder is None else train,
        "noise": noise,
        "loss": "cross-entropy",
        "weight_decay": weight_decay,
        "learning_rate": learning_rate,
        "steps": steps,
        "batch": batch,
    }
    if student_widths is None:
        student_widths = {"mlp": "8", "convnet": "8,16"}.get(student)
    if teacher_widths is None and teacher == "mlp":
        teacher_widths = "256"
    taught = pose(
        Experiment(model=student, widths=student_widths, **shared),
        model="--student",
        widths="--student-widths",
    )
    posed = pose(
        Experiment(model=teacher, widths=teacher_widths, **shared),
        model="--teacher",
        widths="--teacher-widths",
    )
    from hilbertsd.report.objectives import text
    from hilbertsd.schemes import compare_objectives
    from hilbertsd.schemes.comparison import Measured

    kept = None if results is None else results / MEASURED
    with interrupts_explained(kept, "measurement", lambda found: Measured(found).finished()):
        found = compare_objectives(
            posed.make,
            taught.make,
            posed.data,
            terms,
            posed.settings.training,
            own_weight=own_weight,
            seeds=range(seeds),
            folder=kept,
            progress=True,
        )
    heading = {key: posed.heading[key] for key in ("data", "noise")} | {
        "teacher": posed.heading["network"],
        "student": taught.heading["network"],
        "training": posed.heading["training"],
        "weights": "the package's, chosen for students of 8 hidden units on 200 digits"
        if weights is None
        else "as given",
    }
    if own_weight != 1:
        heading["own weight"] = f"{own_weight:g}"
    added = {name: _words(terms[name]) for name in terms}
    document = _document(found, heading)
    show(document if json else text(found.accuracy, added, heading, **look()))
    if results is not None:
        texts = {
            "table.txt": text(found.accuracy, added, heading),
            "comparison.json": document,
        }
        pair = f"{heading['teacher']} teaches {heading['student']}"
        title = f"{posed.setting}; {pair}; {seeds} seed{'s' * (seeds > 1)}"
        written = _write(results, found, title, texts)
        if not json:
            show(f"{written}\n")


def _terms(objectives: str, weights: str | None) -> dict[str, tuple[Term, ...]]:
    """Return the terms by name."""
    from hilbertsd.schemes import suggested

    names = [name.strip() for name in objectives.split(",")]
    refuse(len(set(names)) != len(names), f"--objectives names one twice: {objectives}")
    if weights is None:
        return {name: (suggested(name),) for name in names}
    try:
        numbers = [float(part) for part in weights.split(",")]
    except ValueError:
        raise HilbertSDError(
            f"--weights must be numbers separated by commas, got {weights!r}"
        ) from None
    refuse(
        len(numbers) != len(names),
        f"--weights has {len(numbers)} numbers for the {len(names)} names in --objectives",
    )
    return {name: (suggested(name, weight),) for name, weight in zip(names, numbers, strict=True)}


def _words(terms: tuple[Term, ...]) -> str:
    """Return what is added to a student's own loss, such as 3 fkd(norm_weight=0.001)."""

    def one(found: Term) -> str:
        settings = ", ".join(f"{key}={value}" for key, value in found.settings)
        return f"{found.weight:g} {found.objective}" + (f"({settings})" if settings else "")

    return " + ".join(one(found) for found in terms)


def _document(found: Comparison, heading: dict[str, str]) -> str:
    """Return everything measured, and on what, as JSON."""
    from hilbertsd.report.objectives import interval

    gain = found.gains

    def plain(value: Any) -> Any:
        pair = value._asdict()
        return {key: None if number != number else number for key, number in pair.items()}

    document = {
        "format": "hilbertsd-objectives",
        "version": 1,
        "setting": heading,
        "seeds": list(found.seeds),
        "training": dataclasses.asdict(found.training),
        "provenance": found.provenance,
        "students": {
            name: {
                "added": [one._asdict() for one in found.terms[name]],
                "test_accuracy": values.tolist(),
                "interval": plain(interval(values)),
                "gain": plain(gain[name]) if name in gain else None,
            }
            for name, values in found.accuracy.items()
        },
    }
    return _json.dumps(document, allow_nan=False, ensure_ascii=False, indent=1) + "\n"


def _write(folder: Path, found: Comparison, title: str, texts: dict[str, str]) -> str:
    """Write texts and the figure into the folder and return a line that says so."""
    from hilbertsd import plots
    from hilbertsd.report.objectives import figure

    names = write_texts(folder, texts)
    drawn = figure(found.accuracy, title=title)
    names += [path.name for path in plots.save(drawn, folder / "figure")]
    return f"wrote {', '.join(names)} and the folder {MEASURED} to {folder}"
