"""The chains of networks behind figures 4 to 10: what they are trained on, and their curves.

Several figures show the same chain, which is measured and recorded once. Small sets stand in for
CIFAR unless its archives are given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hilbertsd import datasets, nets
from paper_figures.recorded import RESULTS, recorded
from paper_figures.resumed import parts

if TYPE_CHECKING:
    from hilbertsd.datasets import Classification


@dataclass(frozen=True)
class Setting:
    """Chains to train, one a seed."""

    data: Callable[[], Classification]
    make: Callable[[tuple[int, ...], int, Any], tuple[Any, Any]]
    """(shape of a point, classes, key) -> (model, state)."""
    network: str
    """In words; what comes before " of " is its short name."""
    training: dict[str, Any]
    """Of `hilbertsd.nets.Training`."""
    labels: str = "soft"
    controls: bool = False
    """Whether networks stopped early are trained beside the chains."""
    rounds: int = 20
    seeds: int = 10


@dataclass(frozen=True, eq=False)
class Curves:
    """What is recorded of a chain of T rounds in S seeds: (T, S) each, as `hilbertsd.nets.Curves`.

    Attributes
    ----------
    stopped
        The same, in lists, of networks stopped early at each round's training loss, or nothing.
    network, data, settings
        The network in words, the settings of the data with a digest of them, and those of the
        chain.
    """

    train_accuracy: np.ndarray
    true_accuracy: np.ndarray
    test_accuracy: np.ndarray
    train_loss: np.ndarray
    true_loss: np.ndarray
    test_loss: np.ndarray
    network: str
    data: dict[str, Any]
    settings: dict[str, Any]
    stopped: dict[str, list[list[float]]] = field(default_factory=dict)

    @property
    def controls(self) -> Curves | None:
        """The networks stopped early."""
        found = {name: np.array(values) for name, values in self.stopped.items()}
        return dataclasses.replace(self, **found, stopped={}) if found else None


MEASURED = tuple(f.name for f in dataclasses.fields(Curves))[:6]


def measure(setting: Setting, folder: Path | None = None) -> Curves:
    """Train the chains of a setting: minutes on two cores; resumed where they are in a folder."""
    data = setting.data()
    shape, classes = data.x_train.shape[1:], data.classes

    def make(key: Any) -> tuple[Any, Any]:
        return setting.make(shape, classes, key)

    settings = nets.ChainSettings(nets.Training(**setting.training), labels=setting.labels)
    seeds = range(setting.seeds)
    chain = nets.train_chain(
        make, data, settings, rounds=setting.rounds, seeds=seeds, folder=folder, progress=True
    )
    stopped = {}
    if setting.controls:
        found = nets.early_stopping_controls(make, data, chain, check_every=1, progress=True)
        stopped = {name: getattr(found, name).tolist() for name in MEASURED}
    return Curves(
        **{name: getattr(chain.curves, name) for name in MEASURED},
        network=setting.network,
        data=data.settings | {"digest": chain.provenance["data"]["digest"]},
        settings=dataclasses.asdict(settings),
        stopped=stopped,
    )


@lru_cache
def curves(
    name: str,
    archives: Path | None = None,
    recompute: bool = False,
    machine: str = "two cores",
    folder: Path = RESULTS,
) -> Curves:
    """Return the curves of a setting as recorded; measured at most once in a process."""
    setting, name = settings(archives)[name], recorded_as(name, archives)
    return recorded(
        name,
        Curves,
        partial(measure, setting, parts(name)),
        recompute=recompute,
        machine=machine,
        folder=folder,
    )


def recorded_as(name: str, archives: Path | None = None) -> str:
    """Return the name of a setting's record."""
    return f"networks-{name}" + ("" if archives is None else "-cifar")


def settings(archives: Path | None = None) -> dict[str, Setting]:
    """Return the settings by name: on small sets, or on CIFAR where its archives are."""
    return _small() if archives is None else _cifar(archives)


# --- the settings: the first data set stands for CIFAR-10, the second, harder one for CIFAR-100


def _mlp(shape: tuple[int, ...], classes: int, key: Any) -> tuple[Any, Any]:
    return nets.mlp(shape, classes, (256, 256), key=key)


def _vgg8(shape: Any, classes: int, key: Any) -> tuple[Any, Any]:
    return nets.vgg(shape, classes, 8, width=8, normalization=None, key=key)


def _vgg16(shape: Any, classes: int, key: Any) -> tuple[Any, Any]:
    return nets.vgg(shape, classes, 16, key=key)


def _resnet(shape: Any, classes: int, key: Any) -> tuple[Any, Any]:
    return nets.resnet(shape, classes, 20, key=key)


def _small() -> dict[str, Setting]:
    digits = partial(datasets.digit_images, 1000, rate=0.3, flat=False)
    teacher = partial(datasets.teacher_student, 2000, dimension=10, classes=20, rate=0.4)
    mlp = "MLP of two hidden layers of 256"
    squared, entropy = (
        {"loss": loss, "steps": 500, "learning_rate": 3e-3}
        for loss in ("softmax-squared", "cross-entropy")
    )
    first, second = partial(Setting, digits, _mlp, mlp), partial(Setting, teacher, _mlp, mlp)
    return {
        "squared": first(squared | {"weight_decay": 5e-4}, controls=True),
        "squared-harder": second(squared | {"weight_decay": 2e-4}),
        "entropy": first(entropy | {"weight_decay": 1e-3}),
        "entropy-harder": second(entropy | {"weight_decay": 1e-3}),
        "hard": first(entropy | {"weight_decay": 1e-3}, labels="hard"),
        "hard-harder": second(entropy | {"weight_decay": 5e-4}, labels="hard"),
        "vgg": Setting(
            digits,
            _vgg8,
            "VGG-8 of 8 to 64 channels without normalisation",
            squared | {"weight_decay": 1.5e-4, "learning_rate": 2e-3},
            rounds=12,
        ),
    }


def _cifar(archives: Path) -> dict[str, Setting]:
    """Return the settings at full size, for a GPU."""
    ten = partial(datasets.cifar10, archives, scaling="standard")
    hundred = partial(datasets.cifar100, archives, scaling="standard")
    first, second = (partial(Setting, data, _resnet, "ResNet-20") for data in (ten, hundred))
    squared, entropy = (
        {"loss": loss, "steps": 20_000, "batch": 128, "weight_decay": 1e-4}
        for loss in ("softmax-squared", "cross-entropy")
    )
    return {
        "squared": first(squared, controls=True),
        "squared-harder": second(squared),
        "entropy": first(entropy),
        "entropy-harder": second(entropy),
        "hard": first(entropy, labels="hard"),
        "hard-harder": second(entropy, labels="hard"),
        "vgg": Setting(hundred, _vgg16, "VGG-16", squared),
    }
