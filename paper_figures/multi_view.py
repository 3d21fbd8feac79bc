"""The multi-view experiment: networks that see one of a class's two features, and their students.

Allen-Zhu & Li (ICLR 2023) and He & Ozay (ICLR 2022): a network alone learns one feature of a class
and errs on the single-view samples of the other; distillation from E independent networks leaves a
share 2^{−(E+1)} of the features missed. Here are the data, the training and what is measured; the
figures `multi_view_regimes` and `fkd_multi_view` run it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hilbertsd.datasets import multi_view, noisy_labels
from hilbertsd.nets import feature_scores, initialise, keys, patch_network, train
from hilbertsd.objectives import cross_entropy, kd
from hilbertsd.objectives.grams import correlation, fkd, linear

Array = Any


@dataclass(frozen=True)
class Setting:
    """Data, network and training; the defaults are the regime in which features are missed."""

    classes: int = 8
    dimension: int = 128
    samples: int = 300
    patches: int = 8
    single_view: float = 0.02
    """Share μ of single-view training samples."""
    weak: float = 0.1
    """Strength ρ of a single-view sample's other feature; strong ones have 1 to 2."""
    distractors: float = 0.15
    """Probability of each feature of another class."""
    distractor_strength: float = 0.4
    noise: float = 0.1
    """σ_p; a patch's noise has the norm σ_p √d."""
    label_noise: float = 0.0
    """Share of training labels drawn anew."""
    width: int = 6
    """Hidden units m of a class."""
    scale: float = 0.1
    """Standard deviation σ_0 of the initial weights."""
    q: int = 4
    threshold: float = 2.0
    """ϱ, above which a unit is linear."""
    optimizer: str = "descent"
    """"descent" or "adam"."""
    learning_rate: float = 4.0
    momentum: float = 0.9
    """Nesterov's, of gradient descent."""
    batch: int | None = None
    """All samples by default."""
    steps: int = 600


TOWARDS_THEORY: dict[str, Any] = {
    "classes": 12,
    "threshold": 4.0,
    "single_view": 0.0,
    "steps": 1200,
}
"""What is changed in the clearest regime: networks alone come closest to the theory's 1/2."""


class Problem(NamedTuple):
    """Training samples, and test samples that show both features of their class, or one."""

    x: np.ndarray
    y: np.ndarray
    features: np.ndarray
    """(k, 2, d)."""
    x_single: np.ndarray
    y_single: np.ndarray
    view: np.ndarray
    """Which of its class's features a single-view sample shows."""
    x_multi: np.ndarray
    y_multi: np.ndarray


def problem(setting: Setting, seed: int, test: int = 800) -> Problem:
    """Draw training samples, ``test`` single-view samples and half as many multi-view ones."""

    def draw(samples: int, test: int, single_view: float) -> Any:
        return multi_view(
            samples,
            test,
            classes=setting.classes,
            dimension=setting.dimension,
            patches=setting.patches,
            patches_per_feature=1,
            single_view_fraction=single_view,
            weak_strength=setting.weak,
            distractor_probability=setting.distractors,
            distractor_strength=setting.distractor_strength,
            feature_noise=0.0,
            noise=setting.noise,
            seed=seed,
        )

    data, single = draw(setting.samples, 1, setting.single_view), draw(1, test, 1.0)
    multi = draw(1, test // 2, 0.0)
    given = noisy_labels(data.true, setting.classes, rate=setting.label_noise, seed=seed)
    return Problem(
        data.x_train,
        given,
        data.features,
        single.x_test,
        single.y_test,
        single.view_test,
        multi.x_test,
        multi.y_test,
    )


# --- training


@lru_cache(maxsize=64)
def untrained(setting: Setting) -> Any:
    """Return the function of a key that makes a network, the same object each time."""

    def make(key: Array) -> Any:
        return patch_network(
            setting.dimension,
            setting.classes,
            setting.width,
            scale=setting.scale,
            q=setting.q,
            threshold=setting.threshold,
            key=key,
        )

    return make


def start(setting: Setting, count: int, seed: int) -> Any:
    """Return ``count`` untrained networks, stacked; those of a seed begin with the same ones."""
    return initialise(untrained(setting), keys(range(count), seed))


@lru_cache(maxsize=64)
def objective(kind: str, weight: float = 0.0, norm_weight: float = 0.0) -> Any:
    """Return the loss of one network on its batch.

    "alone": cross-entropy (+ norm_weight · mean ‖h‖²). "kd": weight is the temperature, nine
    tenths of the loss imitate. "correlation", "linear": cross-entropy + weight · FKD with that
    kernel (+ norm_weight · mean ‖h‖²).
    """

    def loss(network: Any, state: Any, batch: Any, key: Array) -> tuple[Array, Any]:
        found, _ = jax.vmap(network.activations, (0, None), (0, None))(batch["x"], state)
        h, outputs, y = found.features, found.outputs, batch["y"]
        if kind == "kd":
            imitated = kd(outputs, batch["target"], y, temperature=weight, imitation_weight=0.9)
            return imitated, state
        total = cross_entropy(outputs, y) + norm_weight * jnp.mean(jnp.sum(h**2, axis=1))
        if kind != "alone":
            total = total + weight * fkd(linear(h), batch["target"], kernel=kind)
        return total, state

    return loss


@lru_cache(maxsize=64)
def optimiser(name: str, learning_rate: float, momentum: float) -> optax.GradientTransformation:
    """Return the optimiser of a setting, the same object each time."""
    if name == "adam":
        return optax.adam(learning_rate)
    return optax.sgd(learning_rate, momentum=momentum, nesterov=True)


def fit(
    setting: Setting,
    networks: Any,
    data: Problem,
    loss: Any,
    targets: Array | None = None,
    seed: int = 0,
) -> Any:
    """Train stacked networks; ``targets`` has one entry a network, or is None."""
    model, state = networks
    samples: dict[str, Any] = {"x": data.x, "y": data.y}
    axes: dict[str, Any] = {"x": None, "y": None}
    if targets is not None:
        samples["target"], axes["target"] = targets, 0
    done = train(
        loss,
        model,
        state,
        samples,
        keys(range(len(model.weights)), seed, 1),
        optimizer=optimiser(setting.optimizer, setting.learning_rate, setting.momentum),
        steps=setting.steps,
        batch=setting.batch,
        seed_axes=axes,
        every=setting.steps,
    )
    return done.model, done.state


def member(networks: Any, chosen: Any) -> Any:
    """Return some of the stacked networks, as many times as they are named."""
    return jax.tree.map(lambda a: np.asarray(a)[np.asarray(chosen)], networks)


# --- what is measured


@jax.jit
def activations(networks: Any, x: Array) -> tuple[Array, Array]:
    """Return features (S, N, k m) and logits (S, N, k) of stacked networks, one after the other."""

    def of_one(network: Any) -> tuple[Array, Array]:
        model, state = network
        found, _ = jax.vmap(model.activations, (0, None), (0, None))(x, state)
        return found.features, found.outputs

    return jax.lax.map(of_one, networks)


class Measured(NamedTuple):
    """Of S networks, or of one committee."""

    loss: np.ndarray
    """(S,) training cross-entropy."""
    fitted: np.ndarray
    """(S,) share of training samples classified as given."""
    multi_view_error: np.ndarray
    """(S,) on multi-view test samples."""
    errors: np.ndarray
    """(S, k, 2) on the single-view test samples of each class and feature."""
    scores: np.ndarray
    """(S, k, 2) Λ, see `feature_scores`."""

    @property
    def miss_rate(self) -> np.ndarray:
        """(S,) error on single-view test samples, all features counting alike."""
        return self.errors.mean((1, 2))

    @property
    def missed(self) -> np.ndarray:
        """(S, k, 2) whether most single-view samples of a feature are classified wrongly."""
        return self.errors > 0.5


def measure(networks: Any, data: Problem) -> Measured:
    """Measure every one of the stacked networks."""
    outputs = np.asarray(activations(networks, data.x)[1])
    single = np.asarray(activations(networks, data.x_single)[1]).argmax(-1) != data.y_single
    multi = np.asarray(activations(networks, data.x_multi)[1]).argmax(-1) != data.y_multi
    return Measured(
        np.array([float(cross_entropy(z, data.y)) for z in outputs]),
        (outputs.argmax(-1) == data.y).mean(-1),
        multi.mean(-1),
        by_feature(single, data),
        np.asarray(feature_scores(networks[0].weights, data.features)),
    )


def by_feature(single: np.ndarray, data: Problem) -> np.ndarray:
    """Return the mean (S, k, 2) of (S, N) over the single-view samples of each feature."""
    classes = range(len(data.features))
    chosen = [[(data.y_single == j) & (data.view == v) for v in (0, 1)] for j in classes]
    return np.stack([[single[:, c].mean(-1) for c in row] for row in chosen]).transpose(2, 0, 1)


def committee_kernels(networks: Any, x: Array, sizes: tuple[int, ...]) -> np.ndarray:
    """Return the feature kernels (len(sizes), N, N) of the first E networks: mean of theirs."""
    kernels = np.stack([np.asarray(linear(h)) for h in activations(networks, x)[0]])
    return np.stack([kernels[:size].mean(0) for size in sizes])


def committee_outputs(networks: Any, x: Array, sizes: tuple[int, ...]) -> np.ndarray:
    """Return the mean logits (len(sizes), N, k) of the first E networks."""
    outputs = np.asarray(activations(networks, x)[1])
    return np.stack([outputs[:size].mean(0) for size in sizes])


def recognition(kernel: np.ndarray, data: Problem) -> np.ndarray:
    """Return (k, 2) how surely a kernel on the single-view test samples tells who share a feature.

    For feature v it is the probability that two samples of v correlate more than a sample of v and
    one of another class do: 1 where the kernel knows v, 1/2 where it knows nothing of it.
    """
    R = np.asarray(correlation(kernel))
    found = np.zeros((len(data.features), 2))
    for j, view in np.ndindex(found.shape):
        sharing = (data.y_single == j) & (data.view == view)
        alike = R[np.ix_(sharing, sharing)][np.triu_indices(sharing.sum(), 1)]
        others = np.sort(R[np.ix_(sharing, data.y_single != j)].ravel())
        below = np.searchsorted(others, alike) + np.searchsorted(others, alike, side="right")
        found[j, view] = below.mean() / (2 * len(others))
    return found


def changed(setting: Setting, **changes: Any) -> Setting:
    """Return the setting with some of its numbers replaced."""
    return dataclasses.replace(setting, **changes)
