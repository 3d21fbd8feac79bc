"""What a chain of networks is made of, as the options say: data, network, training.

Only typer is imported at the top; everything heavy loads once a command runs.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hilbertsd.cli.exits import refuse
from hilbertsd.cli.output import say
from hilbertsd.errors import HilbertSDError

if TYPE_CHECKING:
    from hilbertsd.datasets import Classification
    from hilbertsd.nets import ChainSettings

DATASETS = ("digits", "cifar10", "cifar100", "teacher-student")
MODELS = re.compile(r"(mlp|convnet|resnet|vgg)([0-9]*)")
DIGITS = 1797
"""Points of scikit-learn's digits."""
WIDTHS = {"mlp": (256, 256), "convnet": (32, 64)}
"""Unless the user says otherwise; the others have those of the literature."""
BOTTLENECK = 50
"""Residual networks of this depth and more have bottleneck blocks."""


def described(flag: str, metavar: str, text: str, **more: Any) -> Any:
    """Return an option with its help."""
    return typer.Option(flag, metavar=metavar, help=text, **more)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What a person asks for, in the person's words."""

    dataset: Annotated[
        str,
        described(
            "--dataset",
            "NAME",
            "digits (scikit-learn's 1797 images of 8 x 8), cifar10 or cifar100 (with --folder), or "
            "teacher-student (Gaussian vectors labelled by a random network).",
        ),
    ] = "digits"
    folder: Annotated[
        Path | None,
        described("--folder", "DIR", "Where the archive of CIFAR is, as it is published."),
    ] = None
    train: Annotated[
        int | None,
        described("--train", "N", "Training points. Default: 1000; CIFAR: all."),
    ] = None
    noise: Annotated[
        float,
        described("--noise", "RATE", "Share of the training labels that are wrong."),
    ] = 0.3
    noise_kind: Annotated[
        str,
        described(
            "--noise-kind",
            "NAME",
            "symmetric (one of the other classes), uniform (any class) or pair (the next class).",
        ),
    ] = "symmetric"
    model: Annotated[
        str,
        described("--model", "NAME", "mlp, convnet, resnet8, 14, 20, .., 50, or vgg8, 11, .., 19."),
    ] = "mlp"
    widths: Annotated[
        str | None,
        described(
            "--widths",
            "N,..",
            "Neurons (mlp) or channels (convnet) of each hidden layer, or channels of the first "
            "stage (resnet, vgg). Default: 256,256; 32,64; the literature's.",
        ),
    ] = None
    loss: Annotated[
        str,
        described(
            "--loss",
            "NAME",
            "softmax-squared (squared error of the softmax of the outputs), squared (of the "
            "outputs) or cross-entropy.",
        ),
    ] = "softmax-squared"
    labels: Annotated[
        str,
        described("--labels", "NAME", "soft (the predictions) or hard (one-hot at the largest)."),
    ] = "soft"
    ground_truth_weight: Annotated[
        float,
        described(
            "--ground-truth-weight", "A", "Targets are A * given labels + (1 - A) * predictions."
        ),
    ] = 0.0
    weight_decay: Annotated[
        float,
        described("--weight-decay", "C", "The loss has C * (sum of the squared parameters) added."),
    ] = 5e-4
    learning_rate: Annotated[float, described("--learning-rate", "R", "Of Adam.")] = 3e-3
    steps: Annotated[int, described("--steps", "N", "Of training, in each round.")] = 500
    batch: Annotated[int, described("--batch", "N", "Points in a minibatch.")] = 64


@dataclass(frozen=True)
class Architecture:
    """A kind of network; equal ones share their compiled programs."""

    kind: str
    depth: int | None
    widths: tuple[int, ...] | None
    shape: tuple[int, ...]
    """Of a point."""
    classes: int

    def __call__(self, key: Any) -> tuple[Any, Any]:
        """Return model and state of a random start."""
        from hilbertsd import nets

        known: dict[str, Any] = {"shape": self.shape, "outputs": self.classes, "key": key}
        if self.kind == "mlp":
            return nets.mlp(known.pop("shape"), widths=self.widths or WIDTHS["mlp"], **known)
        if self.kind == "convnet":
            return nets.convnet(channels=self.widths or WIDTHS["convnet"], stride=2, **known)
        known |= {"depth": self.depth} | ({} if self.widths is None else {"width": self.widths[0]})
        if self.kind == "vgg":
            return nets.vgg(**known)
        block = "basic" if (self.depth or 0) < BOTTLENECK else "bottleneck"
        return nets.resnet(block=block, **known)


@dataclass(frozen=True, eq=False)
class Posed:
    """Data, networks and settings of a chain, and the lines that tell a person about them."""

    data: Classification
    make: Architecture
    settings: ChainSettings
    heading: dict[str, str]
    setting: str
    """Data and noise, for a title."""

    @property
    def title(self) -> str:
        """What is trained, on what."""
        return f"{self.setting}; {self.heading['network']}, {self.settings.training.loss}"


def pose(asked: Experiment, *, model: str = "--model", widths: str = "--widths") -> Posed:
    """Return what the options ask for; the network's may have other names.

    Raises
    ------
    HilbertSDError
        If an option is out of its range, options do not go together, or Equinox is missing.

    Examples
    --------
    >>> posed = pose(Experiment(train=100, model="resnet8", widths="4"))
    >>> posed.title
    'digits, 100 points, 30% symmetric label noise; resnet8 (4), softmax-squared'
    """
    from hilbertsd.nets import ChainSettings, Training

    _check(asked)
    architecture = _architecture(asked, model, widths)
    settings = ChainSettings(
        Training(
            loss=asked.loss,
            learning_rate=asked.learning_rate,
            weight_decay=asked.weight_decay,
            steps=asked.steps,
            batch=asked.batch,
        ),
        labels=asked.labels,
        ground_truth_weight=asked.ground_truth_weight,
    )
    data = _data(asked)
    make = architecture(data.x_train.shape[1:], data.classes)
    refuse(
        make.kind != "mlp" and len(make.shape) != 3,
        f"{model} {asked.model} takes images, and {data.name} has vectors; take mlp",
    )
    name = asked.model
    if make.widths is not None:
        name += f" ({', '.join(map(str, make.widths))})"
    rate = data.settings["rate"]
    noise = f"{100 * rate:.3g}% {data.settings['noise']} label noise" if rate else "no label noise"
    points = f"{len(data.given)} points"
    targets = f"{asked.labels} labels"
    if asked.ground_truth_weight:
        targets += f", given labels with weight {asked.ground_truth_weight:g}"
    batches = f"batches of {asked.batch}"
    if asked.batch >= len(data.given):
        batches = f"all {points} in every batch"
    heading = {
        "data": f"{data.name}: {points}, {len(data.y_test)} for the test, {data.classes} classes",
        "noise": f"{noise}: {data.settings['changed']} labels changed" if rate else "none",
        "network": name,
        "training": f"{asked.loss}, weight decay {asked.weight_decay:g}, {asked.steps} steps of "
        f"Adam ({asked.learning_rate:g}) with {batches}",
        "targets": targets,
    }
    return Posed(data, make, settings, heading, f"{data.name}, {points}, {noise}")


def _check(asked: Experiment) -> None:
    """Refuse numbers and names that no library function should see, by the options' names."""
    from hilbertsd import inputs as check
    from hilbertsd.datasets.noise import KINDS
    from hilbertsd.nets.chain import LABELS
    from hilbertsd.nets.losses import LOSSES

    check.rate("--noise", asked.noise)
    check.one_of("--noise-kind", asked.noise_kind, KINDS)
    check.one_of("--loss", asked.loss, tuple(LOSSES))
    check.one_of("--labels", asked.labels, LABELS)
    check.rate("--ground-truth-weight", asked.ground_truth_weight)
    check.nonnegative("--weight-decay", asked.weight_decay)
    check.positive("--learning-rate", asked.learning_rate)
    check.whole_number("--steps", asked.steps, least=1)
    check.whole_number("--batch", asked.batch, least=1)
    if asked.train is None:
        return
    check.whole_number("--train", asked.train, least=1)
    refuse(
        asked.dataset == "digits" and asked.train >= DIGITS,
        f"--train must be at most {DIGITS - 1} for digits, which has {DIGITS} points, so that one "
        f"is left for the test; got {asked.train}",
    )


def _data(asked: Experiment) -> Classification:
    from hilbertsd import datasets

    cifar = asked.dataset in ("cifar10", "cifar100")
    refuse(
        asked.dataset not in DATASETS,
        f"--dataset must be one of {', '.join(DATASETS)}, got {asked.dataset!r}",
    )
    refuse(
        cifar and asked.folder is None,
        f"--dataset {asked.dataset} needs --folder, where its archive is",
    )
    refuse(not cifar and asked.folder is not None, "--folder is for cifar10 and cifar100 only")
    noise: dict[str, Any] = {"noise": asked.noise_kind, "rate": asked.noise}
    if asked.folder is not None:
        read = getattr(datasets, asked.dataset)
        return read(asked.folder, asked.train, scaling="standard", **noise)
    train = 1000 if asked.train is None else asked.train
    if asked.dataset == "digits":
        return datasets.digit_images(train, flat=False, **noise)
    return datasets.teacher_student(train, **noise)


@contextlib.contextmanager
def interrupts_explained(
    folder: Path | None, what: str, finished: Callable[[Path], int]
) -> Iterator[None]:
    """Say after Ctrl-C how much is kept in the folder, and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        count = 0 if folder is None else finished(folder)
        if folder is None:
            say(
                "nothing is kept without --output DIR; with it, the same command goes on from what "
                "is finished"
            )
        elif not count:
            say(f"no {what} is finished yet, so nothing is kept; the same command begins anew")
        else:
            kept = f"{what} is" if count == 1 else f"{what}s are"
            say(f"{count} finished {kept} kept in {folder}; the same command goes on from there")
        raise


def _architecture(
    asked: Experiment, model: str, option: str
) -> Callable[[tuple[int, ...], int], Architecture]:
    """Return the network without the shape of a point and the number of classes."""
    from hilbertsd import inputs as check

    found = MODELS.fullmatch(asked.model)
    deep = found is not None and found[1] not in WIDTHS
    if found is None or bool(found[2]) != deep:
        raise HilbertSDError(
            f"{model} must be mlp, convnet, resnet8, 14, 20, .. or vgg8, 11, .., got "
            f"{asked.model!r}"
        )
    widths = WIDTHS.get(found[1])
    if asked.widths is not None:
        try:
            widths = tuple(int(part) for part in asked.widths.split(","))
        except ValueError:
            raise HilbertSDError(
                f"{option} must be whole numbers separated by commas, got {asked.widths!r}"
            ) from None
        widths = check.whole_numbers(option, widths, least=1)
        refuse(
            deep and len(widths) != 1,
            f"{option} is one number for {asked.model}, the channels of its first stage, got "
            f"{asked.widths!r}",
        )
    return partial(Architecture, found[1], int(found[2]) if deep else None, widths)
