"""Chains of networks: each is trained on what the last one predicts.

References
----------
Mobahi, Farajtabar & Bartlett, "Self-distillation amplifies regularization in Hilbert space",
NeurIPS 2020, section 5 and appendix D.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import jax
import numpy as np

from hilbertsd import inputs as check
from hilbertsd.datasets import Classification
from hilbertsd.datasets.classification import classification_set
from hilbertsd.errors import HilbertSDError
from hilbertsd.nets.checkpoint import (
    Folder,
    described,
    fingerprint,
    made_by,
    sizes,
    starts_agree,
)
from hilbertsd.nets.losses import LOSSES
from hilbertsd.nets.protocol import Make
from hilbertsd.nets.supervised import Curves, Training, fit, measure, network_outputs, one_hot
from hilbertsd.nets.training import Trained, initialise, keys
from hilbertsd.progress import counted

Array = Any

LABELS = ("soft", "hard")
INITIALIZATIONS = ("fresh", "same")
CONTROL = 1_000_003
"""Folded into the keys of early-stopping controls, so that they are networks of their own."""


@dataclass(frozen=True)
class ChainSettings:
    """What a chain of networks is made of; JSON by `dataclasses.asdict`."""

    training: Training = field(default_factory=Training)
    labels: str = "soft"
    """"soft": the predictions; "hard": one-hot at their largest (appendix D.3)."""
    ground_truth_weight: float = 0.0
    """a: the targets are a · given labels + (1 − a) · predictions."""
    initialization: str = "fresh"
    """"fresh": each round from another random start, as in the paper; "same": from one."""

    def __post_init__(self) -> None:
        check.one_of("labels", self.labels, LABELS)
        check.one_of("initialization", self.initialization, INITIALIZATIONS)
        check.rate("ground_truth_weight", self.ground_truth_weight)


@dataclass(frozen=True, eq=False)
class NetworkChain:
    """What S chains of T rounds did; round 0 is trained on the given labels."""

    settings: ChainSettings
    seeds: tuple[int, ...]
    curves: Curves
    """Each (T, S)."""
    outputs: np.ndarray
    """(T, S, K, Q) raw outputs at the training points, float32."""
    network: tuple[Any, Any]
    """Model and state of the last round, stacked over the seeds."""
    provenance: dict[str, Any]

    def __repr__(self) -> str:
        """Name what a reader asks first; the arrays are attributes."""
        rounds, seeds, points, outputs = self.outputs.shape
        first, last = self.curves.test_accuracy[[0, -1]].mean(axis=1)
        return (
            f"<NetworkChain: {points} points, {outputs} outputs, {seeds} seeds, {rounds} rounds, "
            f"mean test accuracy from {first:.3f} to {last:.3f}>"
        )

    @property
    def rounds(self) -> int:
        """T, round 0 included."""
        return len(self.outputs)

    @property
    def predictions(self) -> np.ndarray:
        """(T, S, K, Q) what the loss compares with targets: softmax of the outputs, or these."""
        return np.asarray(LOSSES[self.settings.training.loss].predictions(self.outputs))


def train_chain(
    make: Make,
    data: Classification,
    settings: ChainSettings | None = None,
    *,
    rounds: int = 10,
    seeds: Sequence[int] = tuple(range(10)),
    folder: str | PathLike[str] | None = None,
    seeds_in: str | None = None,
    devices: Sequence[Any] | None = None,
    progress: bool = False,
) -> NetworkChain:
    """Train chains of networks, each network on the predictions of the one before.

    Round 0 is trained on the given labels, one-hot; the targets of round t + 1 are
    a · y + (1 − a) · (predictions of round t at the training points) (Mobahi et al. 2020, section
    5), in inference mode. The seeds are independent chains. Everything random in round t of a
    seed follows from (seed, t).

    Parameters
    ----------
    make : callable
        ``make(key) -> (model, state)``, such as ``lambda key: mlp(64, 10, key=key)``.
    data : Classification
        See `hilbertsd.datasets`.
    settings : ChainSettings, optional
        By default soft labels, fresh starts and `Training` as it is.
    rounds : int
        After round 0.
    seeds : sequence of int
        One chain each.
    folder : path, optional
        Where each round is written as soon as it is finished: a chain that was interrupted goes
        on from there, and ends with the same bits on the same device, if its programs are
        deterministic there, as they are on a CPU. More rounds may be asked for than before.
    seeds_in, devices
        As for `train`.
    progress : bool
        Whether to show it, with the time left, on standard error.

    Returns
    -------
    NetworkChain

    Raises
    ------
    HilbertSDError
        If an argument is out of range, the folder holds another chain, or training diverges.

    Examples
    --------
    >>> from hilbertsd.datasets import digit_images
    >>> from hilbertsd.nets import mlp
    >>> settings = ChainSettings(Training(steps=5), labels="hard")
    >>> chain = train_chain(lambda key: mlp(64, 10, (4,), key=key), digit_images(50), settings,
    ...                     rounds=2, seeds=[0, 1])
    >>> chain.curves.test_accuracy.shape, chain.outputs.shape     # rounds × seeds (× points × Q)
    ((3, 2), (3, 2, 50, 10))
    """
    settings = ChainSettings() if settings is None else settings
    if not isinstance(settings, ChainSettings):
        raise HilbertSDError(
            f"settings must be ChainSettings, got {type(settings).__name__}; one of how each "
            "network is fitted is ChainSettings(training)."
        )
    classification_set(data)
    rounds = check.whole_number("rounds", rounds, check.MOST_ROUNDS)
    seeds = check.whole_numbers("seeds", seeds, distinct=True)
    given = one_hot(data.given, data.classes)
    kept = None if folder is None else Folder(folder)
    done = 0
    if kept is not None:
        kept.claim(_identity(make, data, settings, seeds))
        done = min(kept.rounds(), rounds + 1)
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(Curves._fields, (len(seeds),))
    shapes["outputs"] = (len(seeds), *given.shape)
    records = [kept.arrays(t, shapes) for t in range(done)] if kept is not None else []
    network: tuple[Any, Any] | None = None
    where = {"seeds_in": seeds_in, "devices": devices}
    with _progress(progress, settings.training.steps, rounds + 1, done) as report:
        for t in range(done, rounds + 1):
            targets = _targets(records[-1]["outputs"], given, settings) if t else given
            start = 0 if settings.initialization == "same" else t
            fitted = fit(
                make,
                data.x_train,
                targets,
                settings.training,
                keys(seeds, t),
                start_keys=_start_keys(seeds, start),
                report=report(t),
                **where,
            )
            records.append(_record(fitted, targets, data, settings.training.loss, where))
            network = (fitted.model, fitted.state)
            if kept is not None:
                kept.write(t, network, records[-1])
    if network is None:  # every round was there
        assert kept is not None
        network = kept.network(rounds, _like(make, len(seeds)))
    return NetworkChain(
        settings,
        seeds,
        _curves(records),
        np.stack([record["outputs"] for record in records]),
        network,
        made_by() | {"data": described(data), "rounds": rounds},
    )


def load_network(folder: str | PathLike[str], make: Make, round_: int) -> tuple[Any, Any]:
    """Return model and state of one round of a saved chain, stacked over the seeds.

    Parameters
    ----------
    folder : path
        That was given to `train_chain`.
    make : callable
        Likewise.
    round_ : int
        Which.

    Raises
    ------
    HilbertSDError
        If the round is not there or the networks are others: of other shapes, or, as of another
        parametrisation, with parameters of other sizes at the start.
    """
    kept = Folder(folder)
    identity = kept.manifest()["identity"]
    seeds = identity["seeds"]
    network = kept.network(check.whole_number("round_", round_), _like(make, len(seeds)))
    found = sizes(initialise(make, _start_keys(seeds[:1], 0))[0])
    if not starts_agree(identity["start"][-len(found) :], found):
        raise HilbertSDError(
            f"{str(kept.path)!r} holds a network whose parameters start at other sizes than those "
            "of the one given; make it as the chain did, in the same parametrisation."
        )
    return network


def early_stopping_controls(
    make: Make,
    data: Classification,
    chain: NetworkChain,
    *,
    check_every: int = 10,
    seeds_in: str | None = None,
    devices: Sequence[Any] | None = None,
    progress: bool = False,
) -> Curves:
    """Train from scratch on the given labels until each round's training loss is reached.

    For every round and seed a network of its own, which stops as soon as its loss against the
    given labels is at most that of the chain (Mobahi et al. 2020, Fig. 6), or the chain's budget
    of steps is spent. It was reached where ``curves.train_loss <= chain.curves.train_loss``.

    Parameters
    ----------
    make, data
        As for the chain.
    chain : NetworkChain
        Whose training losses are matched.
    check_every : int
        Steps between two looks at the training loss, so that it is overshot little.
    seeds_in, devices, progress
        As for `train_chain`.

    Returns
    -------
    Curves
        Each (T, S).

    Raises
    ------
    HilbertSDError
        As for `train_chain`.
    """
    training = dataclasses.replace(chain.settings.training, check_every=check_every, stop_at=None)
    given = one_hot(data.given, data.classes)
    where = {"seeds_in": seeds_in, "devices": devices}
    records = []
    with _progress(progress, training.steps, chain.rounds, 0) as report:
        for t in range(chain.rounds):
            fitted = fit(
                make,
                data.x_train,
                given,
                training,
                keys(chain.seeds, CONTROL, t),
                threshold=chain.curves.train_loss[t],
                report=report(t),
                **where,
            )
            records.append(_record(fitted, given, data, training.loss, where))
    return _curves(records)


def _record(
    fitted: Trained, targets: np.ndarray, data: Classification, loss: str, where: dict[str, Any]
) -> dict[str, np.ndarray]:
    """Return the fields of `Curves` and the outputs at the training points, of one round."""
    outputs = network_outputs(fitted.model, fitted.state, data.x_train, **where)
    tested = network_outputs(fitted.model, fitted.state, data.x_test, **where)
    for found in (outputs, tested):
        if not np.isfinite(found).all():
            network = int(np.argwhere(~np.isfinite(found))[0, 0])
            raise HilbertSDError(
                f"the outputs of network {network} are not finite after training: take a smaller "
                "learning rate."
            )
    found = measure(outputs, tested, targets, data, loss)
    return found | {"steps": fitted.steps, "outputs": outputs}


def _curves(records: Sequence[dict[str, np.ndarray]]) -> Curves:
    return Curves(*(np.stack([record[name] for record in records]) for name in Curves._fields))


def _targets(outputs: np.ndarray, given: np.ndarray, settings: ChainSettings) -> np.ndarray:
    """Return the next round's targets (S, K, Q) from this round's outputs."""
    if settings.labels == "hard":
        predicted = one_hot(outputs.argmax(axis=-1), outputs.shape[-1])
    else:
        predicted = np.asarray(LOSSES[settings.training.loss].predictions(outputs))
    a = np.float32(settings.ground_truth_weight)
    return a * given + (1 - a) * predicted


def _start_keys(seeds: Sequence[int], number: int) -> Array:
    """Return the keys of the starts: those that `fit` takes by itself in that round."""
    return jax.vmap(jax.random.split, out_axes=1)(keys(seeds, number))[0]


def _like(make: Make, count: int) -> Any:
    """Return shapes and types of the stacked networks."""
    import equinox as eqx

    return eqx.filter_eval_shape(lambda: initialise(make, keys(range(count))))


# --- what makes a chain the same chain


def _identity(
    make: Make, data: Classification, settings: ChainSettings, seeds: tuple[int, ...]
) -> dict[str, Any]:
    return {
        "settings": dataclasses.asdict(settings),
        "seeds": list(seeds),
        "data": described(data),
        "start": fingerprint(make, _start_keys(seeds[:1], 0), data.x_train),
    }


@contextlib.contextmanager
def _progress(shown: bool, steps: int, rounds: int, done: int) -> Iterator[Any]:
    """Return what makes each round's report from all rounds' progress."""
    if not shown:
        yield lambda t: None
        return
    with counted((rounds - done) * steps) as advance:

        def of_round(t: int) -> Callable[[int, Array], None]:
            # other rounds share what the first two compiled
            begins = "compiling" if t - done < 2 else f"step 0 of {steps}"
            advance((t - done) * steps, f"round {t} of {rounds - 1}, {begins}")

            def report(step: int, losses: Array) -> None:
                what = f"round {t} of {rounds - 1}, step {step} of {steps}"
                advance((t - done) * steps + step, what)

            return report

        yield of_round
