"""Distilling the last layer of a network, trained step by step and predicted by the theory.

Retraining the last layer by squared error is kernel regression with the feature kernel (He & Ozay,
ICLR 2022): the chain of `self_distill` on that kernel predicts every round.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import hilbertsd as hsd
from hilbertsd import plots
from hilbertsd.progress import phases
from paper_figures.publish import FIGURES, TEXT_WIDTH, publish
from paper_figures.recorded import MACHINE, recorded
from paper_figures.resumed import remember

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "last_layer"
TRAINERS = ("conjugate gradients", "SGD")
LOOK = {"conjugate gradients": (plots.INK, "o"), "SGD": ("#d55e00", "s")}


@dataclass(frozen=True, eq=False)
class LastLayer:
    """What the figure shows; S seeds, T fits.

    Attributes
    ----------
    multipliers
        (S, T) of the theory's chain, which training takes as its weight decay.
    label_ratios
        (S, T+1) r_t.
    gap
        (2, S, T) ‖Y_{t+1} − theory's‖/‖theory's‖ of the labels that trained layers hand on, by
        conjugate gradients in float64 and by minibatch SGD in float32; each chain takes its own
        labels.
    residual
        (2, S, T) (1/K) ‖Y_{t+1} − Y_t‖² over the tolerance: 1 in the theory.
    predicted, found
        (S, T) and (2, S, T) test accuracy of the theory and of the layers.
    network
        (S,) test accuracy of the networks whose features these are.
    settings
        Of networks, noise, tolerance and training.
    """

    multipliers: np.ndarray
    label_ratios: np.ndarray
    gap: np.ndarray
    residual: np.ndarray
    predicted: np.ndarray
    found: np.ndarray
    network: np.ndarray
    settings: dict[str, Any]


def compute(
    seeds: int = 5,
    samples: int = 500,
    rate: float = 0.3,
    share: float = 0.02,
    rounds: int = 5,
    widths: tuple[int, ...] = (64, 64),
    steps: int = 600,
    sgd_steps: int = 20000,
) -> LastLayer:
    """Train networks on noisy labels, then chains of last layers on their features."""
    from hilbertsd import datasets
    from hilbertsd.nets import Training, fit, keys, mlp, network_outputs
    from hilbertsd.nets.features import network_features
    from hilbertsd.nets.supervised import one_hot
    from hilbertsd.objectives.projector import projector_minimum

    data = datasets.digit_images(samples, seed=0, rate=rate)
    y = one_hot(data.given, 10).astype(float) - 0.1
    with phases() as phase:
        phase("networks")
        done = fit(
            lambda key: mlp(64, 10, widths, key=key),
            data.x_train, one_hot(data.given, 10),
            Training(loss="cross-entropy", steps=steps), keys(range(seeds)),
        )  # fmt: skip
        outputs = network_outputs(done.model, done.state, data.x_test)
        inside = network_features(done.model, done.state, data.x_train)
        beyond = network_features(done.model, done.state, data.x_test)
        scale = np.sqrt(np.mean(np.sum(inside**2, axis=2), axis=1))[:, None, None]
        inside, beyond = inside / scale, beyond / scale  # tr G = 1
        linear = hsd.kernels.linear()
        chains, eps = [], np.zeros((seeds, rounds + 1))
        for s, f in enumerate(inside):
            floor = 2 * projector_minimum(f, y) / samples  # what no layer can fit
            eps[s] = share * (np.sum(y**2) / samples - floor)
            eps[s, 0] += floor  # a chain of one tolerance on the span of the features
            gram = hsd.gram(linear, f)
            chains.append(hsd.self_distill(gram, y, eps[s, :, None], rounds=rounds, joint=True))

        def right(values: np.ndarray) -> float:
            return float(np.mean(values.argmax(axis=-1) == data.y_test))

        gap, residual, found = (np.zeros((2, seeds, rounds + 1)) for _ in range(3))
        predicted = np.zeros((seeds, rounds + 1))
        for s, chain in enumerate(chains):
            cross = hsd.cross_gram(linear, beyond[s], inside[s])
            predicted[s] = [right(chain.predict(cross, t)) for t in range(rounds + 1)]
        trainers = map(remember(NAME), (by_conjugate_gradients, by_minibatches))
        for k, trainer in enumerate(trainers):
            labels = np.repeat(y[None], seeds, axis=0)
            for t in range(rounds + 1):
                phase(f"{TRAINERS[k]}, round {t}")
                decay = np.array([chain.multipliers[t, 0] for chain in chains])
                weights = trainer(inside, labels, decay, sgd_steps)
                after = inside @ weights
                theory = np.stack([chain.labels[t + 1] for chain in chains])
                size = np.linalg.norm(theory, axis=(1, 2))
                gap[k, :, t] = np.linalg.norm(after - theory, axis=(1, 2)) / size
                residual[k, :, t] = np.sum((after - labels) ** 2, axis=(1, 2)) / samples / eps[:, t]
                found[k, :, t] = [right(values) for values in beyond @ weights]
                labels = after
    return LastLayer(
        multipliers=np.array([chain.multipliers[:, 0] for chain in chains]),
        label_ratios=np.array([chain.label_ratios[:, 0] for chain in chains]),
        gap=gap,
        residual=residual,
        predicted=predicted,
        found=found,
        network=np.mean(outputs.argmax(axis=-1) == data.y_test, axis=-1),
        settings={
            "seeds": seeds, "samples": samples, "rate": rate, "share": share, "rounds": rounds,
            "widths": list(widths), "steps": steps, "sgd_steps": sgd_steps,
        },
    )  # fmt: skip


def by_conjugate_gradients(
    features: np.ndarray, labels: np.ndarray, decay: np.ndarray, steps: int
) -> np.ndarray:
    """Minimise (1/K) ‖F W − Y‖² + c ‖W‖² from zero, each output by LSQR, in float64."""
    from scipy.sparse.linalg import lsqr

    def one(f: np.ndarray, y: np.ndarray, c: float) -> np.ndarray:
        damp = np.sqrt(len(f) * c)
        return lsqr(f, y, damp=damp, atol=1e-15, btol=1e-15, iter_lim=steps)[0]

    return np.stack([
        np.stack([one(f, column, c) for column in y.T], axis=1)
        for f, y, c in zip(features, labels, decay, strict=True)
    ])  # fmt: skip


def by_minibatches(
    features: np.ndarray, labels: np.ndarray, decay: np.ndarray, steps: int
) -> np.ndarray:
    """Minimise the same by SGD with momentum in float32, minibatches of 100, falling steps."""
    import jax.numpy as jnp
    import optax

    from hilbertsd.nets import keys, train

    def loss(model, state, batch, key):
        rest = batch["f"] @ model - batch["y"]
        penalty = state * jnp.sum(model**2)
        return jnp.mean(jnp.sum(rest**2, axis=1)) + penalty, state

    seeds, width, outputs = len(features), features.shape[2], labels.shape[2]
    data = {"f": features.astype(np.float32), "y": labels.astype(np.float32)}
    done = train(
        loss, jnp.zeros((seeds, width, outputs)), jnp.asarray(decay, jnp.float32), data,
        keys(range(seeds)), optimizer=optax.sgd(optax.cosine_decay_schedule(0.5, steps), 0.9),
        steps=steps, batch=100, seed_axes={"f": 0, "y": 0}, every=min(1000, steps),
    )  # fmt: skip
    return np.asarray(done.model, dtype=float)


def plot(data: LastLayer) -> Figure:
    """Draw the gaps to the theory, and test accuracies beside it."""
    from matplotlib.figure import Figure

    t = np.arange(data.predicted.shape[1])
    with plots.house_style():
        figure = Figure(figsize=(TEXT_WIDTH, 2.3))
        a, b = figure.subplots(1, 2)
        for name, gap, found in zip(TRAINERS, data.gap, data.found, strict=True):
            color, mark = LOOK[name]
            a.fill_between(t, gap.min(0), gap.max(0), color=color, alpha=0.15, lw=0)
            a.plot(t, np.median(gap, axis=0), mark + "-", color=color, label=name, ms=3)
            size = {"SGD": 5, "conjugate gradients": 2.5}[name]
            b.plot(
                t,
                100 * found.mean(axis=0),
                mark,
                color=color,
                label=name,
                ms=size,
                zorder=10 / size,
            )
        a.set(yscale="log", xlabel="round $t$", title="(a) labels handed on, gap to theory")
        a.legend(loc="center right")
        b.plot(
            t, 100 * data.predicted.mean(axis=0), color=plots.GREY, lw=1, zorder=0, label="theory"
        )
        b.set(xlabel="round $t$", title="(b) test accuracy, %")
        b.legend(loc="lower center")
        plots.settle(figure)
    return figure


def caption(data: LastLayer) -> str:
    """Say what was found, in the numbers of the runs."""
    chosen = data.settings
    worst = [gap.max() for gap in data.gap]
    off = [100 * np.abs(values - 1).max() for values in data.residual]
    mean = 100 * data.predicted.mean(axis=0)
    spread = 100 * np.abs(data.found - data.predicted).max(axis=(1, 2))
    best = int(mean.argmax())
    return f"""
**Distilling the last layer is self-distillation with the feature kernel** (He & Ozay, ICLR 2022).
Last layers, trained on frozen features one after the other, each on the outputs of the one before
and with the weight decay c_t of the theory's chain, hand on the theory's labels. (a) Distance of
every round's labels from those of `self_distill`, relative, median and range over the seeds: at
most {worst[0]:.1e} by conjugate gradients in float64 and {worst[1]:.1e} by SGD in float32; the
residual of every round is its tolerance within {off[0]:.1g} % and {off[1]:.1g} %. (b) Test
accuracy, mean over the seeds; no layer is further than {spread[0]:.2f} and {spread[1]:.2f} points
from its prediction. The networks themselves reach {100 * data.network.mean():.1f} %, the first
layer {mean[0]:.1f} %, the best round t = {best} {mean[best]:.1f} %.

Networks with hidden layers {chosen["widths"]} on {chosen["samples"]} digits,
{100 * chosen["rate"]:.0f} % of the labels wrong, {chosen["seeds"]} seeds. Last layers by squared
error; the tolerance is what no layer can fit and {chosen["share"]:g} of the rest, then that
{chosen["share"]:g} alone.
"""


def main(folder: Path = FIGURES, *, recompute: bool = False, machine: str = MACHINE) -> list[Path]:
    """Draw the figure from its recorded data, measured again if asked."""
    data = recorded(NAME, LastLayer, compute, recompute=recompute, machine=machine)
    return publish(plot(data), caption(data), NAME, folder)


if __name__ == "__main__":
    main()
