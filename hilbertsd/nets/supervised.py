"""Networks fitted to targets, and what they are worth: accuracies and losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from hilbertsd import inputs as check
from hilbertsd.nets.losses import DECAYED, LOSSES, fitting_loss
from hilbertsd.nets.protocol import Make, made, output_count
from hilbertsd.nets.training import Trained, applied, train

Array = Any

OPTIMIZERS: dict[str, Callable[[float], optax.GradientTransformation]] = {
    "adam": optax.adam,
    "sgd": optax.sgd,
    "momentum": partial(optax.sgd, momentum=0.9),
}
POINTS = 1024
"""Examples at a time where no gradient is taken."""


@dataclass(frozen=True)
class Training:
    """How one network is fitted to its targets; JSON by `dataclasses.asdict`.

    Attributes
    ----------
    loss
        "softmax-squared", "squared" or "cross-entropy": see `fitting_loss`.
    optimizer
        "adam", "sgd" or "momentum" (0.9).
    learning_rate
        Of the optimiser, constant.
    weight_decay
        Coefficient of Σ θ² in the loss, θ the ``decayed`` parameters.
    decayed
        "all", or "weights": those of two axes or more.
    steps
        The most steps.
    batch
        Examples in a minibatch; None for all.
    stop_at
        Loss on all targets, without the decay and in inference mode, at which a network stops;
        by default none.
    check_every
        Steps between two looks at that loss, and between two reports.
    """

    loss: str = "softmax-squared"
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    decayed: str = "all"
    steps: int = 2000
    batch: int | None = 64
    stop_at: float | None = None
    check_every: int = 100

    def __post_init__(self) -> None:
        check.one_of("loss", self.loss, tuple(LOSSES))
        check.one_of("optimizer", self.optimizer, tuple(OPTIMIZERS))
        check.one_of("decayed", self.decayed, DECAYED)
        check.whole_number("steps", self.steps)
        check.whole_number("check_every", self.check_every, least=1)
        if self.batch is not None:
            check.whole_number("batch", self.batch, least=1)
        if self.stop_at is not None:
            check.nonnegative("stop_at", self.stop_at)
        check.positive("learning_rate", self.learning_rate)
        check.nonnegative("weight_decay", self.weight_decay)


class Curves(NamedTuple):
    """Of each network, shape (S,), or of each round and network, (T, S).

    Losses are the training's, a mean over the examples without weight decay, in inference mode.
    """

    train_accuracy: np.ndarray
    """Share of the training points whose largest output is at the given label."""
    train_loss: np.ndarray
    """Against the given labels, one-hot."""
    true_accuracy: np.ndarray
    """At the training points, against the labels before noise."""
    true_loss: np.ndarray
    test_accuracy: np.ndarray
    test_loss: np.ndarray
    fit_loss: np.ndarray
    """Against the targets that the network was fitted to."""
    steps: np.ndarray
    """Done by each network."""


def fit(
    make: Make,
    x: Array,
    targets: Array,
    training: Training,
    keys: Array,
    *,
    start_keys: Array | None = None,
    threshold: Any = None,
    seeds_in: str | None = None,
    devices: Sequence[Any] | None = None,
    report: Callable[[int, Array], None] | None = None,
) -> Trained:
    """Fit a network a key to targets, each from its own random start.

    Parameters
    ----------
    make : callable
        ``make(key) -> (model, state)``, such as ``lambda key: mlp(64, 10, key=key)``.
    x : (K, ...)
        Training points.
    targets : (K, Q) or (S, K, Q)
        The same for all networks, or of each.
    training : Training
        The settings.
    keys : (S,) key array
        For the order of the examples, and the start.
    start_keys : (S,) key array, optional
        For the start alone.
    threshold : number or (S,), optional
        In place of ``training.stop_at``.
    seeds_in, devices, report
        As for `train`.

    Returns
    -------
    Trained

    Raises
    ------
    HilbertSDError
        As for `train`.

    Examples
    --------
    >>> from hilbertsd.nets import keys, mlp
    >>> x = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    >>> targets = np.eye(2, dtype=np.float32)[(x[:, 0] > 0).astype(int)]
    >>> settings = Training(loss="cross-entropy", stop_at=0.1)
    >>> done = fit(lambda key: mlp(3, 2, (32,), key=key), x, targets, settings, keys([0, 1]))
    >>> bool(done.stopped.all()), bool((done.steps % 100 == 0).all())
    (True, True)
    """
    for_start, for_order = jax.vmap(jax.random.split, out_axes=1)(keys)
    model, state = made(make, for_start if start_keys is None else start_keys)
    output_count(model, state, x)
    targets = jnp.asarray(targets)
    limit = training.stop_at if threshold is None else threshold
    return train(
        fitting_loss(training.loss, training.weight_decay, training.decayed),
        model,
        state,
        {"x": jnp.asarray(x), "targets": targets},
        for_order,
        **schedule(training),
        seed_axes={"x": None, "targets": 0 if targets.ndim == 3 else None},
        monitor=None if limit is None else _full_loss(training.loss),
        threshold=limit,
        seeds_in=seeds_in,
        devices=devices,
        report=report,
    )


def network_outputs(
    model: Any,
    state: Any,
    x: Array,
    *,
    seeds_in: str | None = None,
    devices: Sequence[Any] | None = None,
) -> np.ndarray:
    """Return the raw outputs of stacked networks in inference mode, shape (S, n, Q).

    Raises
    ------
    HilbertSDError
        If the networks cannot be called with the points.

    Examples
    --------
    >>> from hilbertsd.nets import initialise, keys, mlp
    >>> networks = initialise(lambda key: mlp(3, 2, (4,), key=key), keys([0, 1]))
    >>> network_outputs(*networks, np.ones((5, 3), np.float32)).shape
    (2, 5, 2)
    """
    output_count(model, state, x)
    return np.asarray(applied(_outputs, model, state, jnp.asarray(x), seeds_in, devices))


def measure(
    outputs: np.ndarray, test_outputs: np.ndarray, targets: np.ndarray, data: Any, loss: str
) -> dict[str, np.ndarray]:
    """Return the fields of `Curves` but the steps, (S,) each, from outputs (S, K, Q), (S, N, Q).

    ``data`` is a `hilbertsd.datasets.Classification`; what its test set gives is NaN if that is
    empty.
    """
    error, nothing = LOSSES[loss].error, np.full(len(outputs), np.nan)
    hot = partial(one_hot, classes=data.classes)

    def share(found: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return (found.argmax(axis=-1) == labels).mean(axis=-1) if len(labels) else nothing

    def mean(found: np.ndarray, aims: np.ndarray) -> np.ndarray:
        return np.asarray(error(found, aims)).mean(axis=-1, dtype=float) if aims.size else nothing

    return {
        "train_accuracy": share(outputs, data.given),
        "train_loss": mean(outputs, hot(data.given)),
        "true_accuracy": share(outputs, data.true),
        "true_loss": mean(outputs, hot(data.true)),
        "test_accuracy": share(test_outputs, data.y_test),
        "test_loss": mean(test_outputs, hot(data.y_test)),
        "fit_loss": mean(outputs, targets),
    }


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return (..., Q) float32 targets: 1 at the label, 0 elsewhere."""
    return np.eye(classes, dtype=np.float32)[labels]


def _outputs(model: Any, state: Any, x: Array) -> Array:
    """Return the outputs of one network, some points at a time."""
    model = eqx.nn.inference_mode(model)
    return lax.map(lambda point: model(point, state)[0], x, batch_size=POINTS)


@lru_cache
def _full_loss(loss: str) -> Callable[[Any, Any, Any], Array]:
    error = LOSSES[loss].error
    return lambda model, state, data: jnp.mean(
        error(_outputs(model, state, data["x"]), data["targets"])
    )


def schedule(training: Training) -> dict[str, Any]:
    """Return a training as `train` takes it; the same settings give the same optimiser object."""
    return {
        "optimizer": _optimizer(training.optimizer, training.learning_rate),
        "steps": training.steps,
        "batch": training.batch,
        "every": training.check_every,
    }


@lru_cache
def _optimizer(name: str, learning_rate: float) -> optax.GradientTransformation:
    return OPTIMIZERS[name](learning_rate)
