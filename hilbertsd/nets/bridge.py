"""The bridge: chains of trained networks beside the theory's chain on the infinite-width kernel.

A network in NTK parametrisation trained on (1/K) Σ_k (f_θ(x_k) − f_θ0(x_k) − y_k)² + c ‖θ − θ_0‖²
is, linearised at θ_0, the fit of Proposition 1 with G = Θ/K and the same c: with J the Jacobian at
the points the minimiser is θ − θ_0 = Jᵀ (JJᵀ + cKI)⁻¹ y, and JJᵀ = Θ = K G. There is no factor
between the two multipliers, because the loss and the penalty of both are without a ½. As the width
grows Θ tends to its limit and the network to its linearisation, so the chain tends to the theory's.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from hilbertsd import filters, inputs
from hilbertsd.distill import decompose, self_distill
from hilbertsd.errors import HilbertSDError, PrecisionWarning
from hilbertsd.kernels import Kernel
from hilbertsd.nets import fitting
from hilbertsd.nets.finite_width import finite_width
from hilbertsd.nets.functional import Network
from hilbertsd.nets.stopping import descent_steps, flow_time
from hilbertsd.nets.tangent import empirical_ntk
from hilbertsd.operators.gram import cross_gram, gram
from hilbertsd.routes.dense import Decomposition

Array = Any
Draw = Callable[[int, Any], tuple[Network, Any]]
"""(width, key) -> f, θ_0."""

METHODS = ("ridge", "gradient_flow", "gradient_descent")
MULTIPLIERS = ("theory", "labels")
FLOW_STEP = 0.1
"""Steps of the gradient flow, as a share of those of gradient descent."""
SHARE = 0.1
"""A fit whose remaining error exceeds this share of the measured distance is warned of."""


@dataclass(frozen=True, eq=False)
class Distances:
    """Relative distances ‖f − f'‖/‖f_theory‖ over some points, (W, S, T); NaN after collapse.

    Attributes
    ----------
    network
        Between the trained network and the theory.
    kernel
        Between the chain on the empirical tangent kernels, which is that of the linearised
        networks, and the theory: what the finite width does to the kernel.
    nonlinearity
        Between the network and that chain: what it does beyond its linearisation.
    remaining
        The error of the training itself, NaN for the other methods than "ridge": what the last
        half of the iterations has changed, or the fit's error bound where that ended them.
    """

    network: np.ndarray
    kernel: np.ndarray
    nonlinearity: np.ndarray
    remaining: np.ndarray


@dataclass(frozen=True, eq=False)
class Bridge:
    """Chains of networks measured against the theory's, for W widths, S seeds and T fits.

    Attributes
    ----------
    method, eps, widths, seeds
        As asked for.
    train, test
        Distances at the training and at the test points.
    stops
        (T,) the theory's multipliers c_t, flow times τ_t or numbers of steps; NaN after collapse.
    network_stops
        (W, S, T) the networks' own.
    label_ratios, network_label_ratios
        (T + 1,) and (W, S, T + 1): r_t = ‖y_t‖/√(Kε); 0 after collapse.
    collapse_round, network_collapse_round
        int or None, and (W, S): the first t with r_t <= 1; None and −1 where it is not reached.
    residuals
        (W, S, T) (1/K) Σ (f_t − y_t)² of the networks: the theory's is ε.
    gradient_norm, error_bound
        (W, S, T) of each fit: see `hilbertsd.nets.fitting.Fit`.
    """

    method: str
    eps: float
    widths: tuple[int, ...]
    seeds: tuple[int, ...]
    train: Distances
    test: Distances
    stops: np.ndarray
    network_stops: np.ndarray
    label_ratios: np.ndarray
    network_label_ratios: np.ndarray
    collapse_round: int | None
    network_collapse_round: np.ndarray
    residuals: np.ndarray
    gradient_norm: np.ndarray
    error_bound: np.ndarray

    def __repr__(self) -> str:
        """Name what a reader asks first; the arrays are attributes."""
        distances = self.test.network[..., 0].mean(axis=1)
        return (
            f"<Bridge: {self.method}, widths {self.widths}, {len(self.seeds)} seeds, "
            f"{len(self.stops)} fits, mean distance from the theory at the test points, round 0, "
            f"{', '.join(f'{distance:.3g}' for distance in distances)}>"
        )


def bridge(
    kernel: Kernel,
    x: Array,
    y: Array,
    x_test: Array,
    eps: float,
    *,
    widths: Sequence[int] = (64, 256, 1024),
    seeds: Iterable[int] = (0, 1, 2),
    rounds: int = 2,
    method: str = "ridge",
    multipliers: str = "theory",
    fresh: bool = True,
    network: Draw | None = None,
    step_size: float | None = None,
    rtol: float = 1e-3,
    dtype: str = "float32",
    progress: Callable[[str], None] | None = None,
) -> Bridge:
    """Run the theory's chain on a kernel and chains of networks of finite width, and compare.

    Round t trains a network on y_t = f_{t−1} at the training points, y_0 = y, by one of the rules
    that have a filter: see `hilbertsd.nets.fitting`. The fits are f_θ − f_θ0.

    Parameters
    ----------
    kernel
        The tangent kernel at infinite width, `hilbertsd.kernels.ntk`.
    x, y, x_test
        (K, p) training points, (K,) labels, (N, p) test points.
    eps : float
        ε, in squared units of the labels.
    widths, seeds
        Of the networks. A seed fixes all networks of a chain.
    rounds : int
        After ordinary training: fits t = 0 .. rounds, up to collapse.
    method
        "ridge": the penalised loss with multiplier c_t, by L-BFGS. "gradient_flow",
        "gradient_descent": the loss alone, stopped where it reaches ε.
    multipliers
        Of "ridge": "theory" takes the c_t of the theory's chain, which ends where that collapses;
        "labels" takes in each round the multiplier that the kernel has for the labels at hand,
        and goes on until these have collapsed.
    fresh : bool
        A new θ_0 in every round, or the same.
    network
        (width, key) -> (f, θ_0), with f(params, x) of one output; by default
        `hilbertsd.nets.finite_width` of the kernel.
    step_size
        η of gradient descent; 1/d_max of the kernel's Gram matrix by default.
    rtol : float
        Of the penalised fits: see `hilbertsd.nets.fitting.penalized`.
    dtype : "float32" or "float64"
        That the networks drawn by default compute in; all else is float64.
    progress
        Called with words for what begins.

    Raises
    ------
    HilbertSDError
        If an argument is out of range, the labels collapse at the start, or a network does not
        reach ε.

    Warns
    -----
    PrecisionWarning
        Where the error that the training leaves is not small beside the distance measured.

    Examples
    --------
    >>> from hilbertsd.kernels import ntk
    >>> x = np.linspace(-1.0, 1.0, 8)[:, None]
    >>> y = np.sin(2 * x[:, 0])
    >>> found = bridge(ntk(1, "erf", bias_variance=1.0), x, y, 0.9 * x, 0.02, widths=(64,),
    ...                seeds=(0,), rounds=1, rtol=1e-5, dtype="float64")
    >>> found.test.network.shape, bool((found.test.network < 0.5).all())
    ((1, 1, 2), True)
    """
    ask = _Question.checked(kernel, x, y, x_test, eps, rounds, method, multipliers, step_size)
    sizes = inputs.whole_numbers("widths", widths, least=1, distinct=True)
    numbers = inputs.whole_numbers("seeds", seeds, distinct=True)
    draw = network
    if draw is None:
        if ask.x.ndim != 2:
            raise HilbertSDError(f"x must have shape (K, p), got {ask.x.shape}; or pass network=.")
        draw = partial(_drawn, kernel, ask.x.shape[1], dtype)
    theory = _on_kernel(ask)
    shape = (len(sizes), len(numbers))
    chains = np.empty(shape, dtype=object)
    for i, width in enumerate(sizes):
        for j, seed in enumerate(numbers):
            if progress is not None:
                progress(f"{method}, width {width}, seed {seed}")
            key = jax.random.fold_in(jax.random.key(seed), width)
            chains[i, j] = _of_networks(ask, theory, partial(draw, width), key, fresh, rtol)

    def stacked(values: Callable[[_Chain], np.ndarray]) -> np.ndarray:
        """Return one array a chain along the axes of widths and seeds."""
        parts = [values(chain) for chain in chains.ravel()]
        return np.stack(parts).reshape(*shape, *parts[0].shape)

    def distances(place: int) -> Distances:
        size = np.linalg.norm(theory.fits[place], axis=1)
        size = np.where(np.isnan(theory.stops), np.nan, size)

        def relative(gap: Callable[[_Chain], np.ndarray]) -> np.ndarray:
            return stacked(lambda chain: np.linalg.norm(gap(chain), axis=1) / size)

        return Distances(
            network=relative(lambda chain: chain.fits[place] - theory.fits[place]),
            kernel=relative(lambda chain: chain.linear[place] - theory.fits[place]),
            nonlinearity=relative(lambda chain: chain.fits[place] - chain.linear[place]),
            remaining=relative(lambda chain: chain.remaining[place]),
        )

    result = Bridge(
        method=method,
        eps=ask.eps,
        widths=sizes,
        seeds=numbers,
        train=distances(0),
        test=distances(1),
        stops=theory.stops,
        network_stops=stacked(lambda chain: chain.stops),
        label_ratios=theory.label_ratios,
        network_label_ratios=stacked(lambda chain: chain.label_ratios),
        collapse_round=_collapse(theory.label_ratios),
        network_collapse_round=stacked(
            lambda chain: np.array(-1 if (t := _collapse(chain.label_ratios)) is None else t)
        ),
        residuals=stacked(lambda chain: chain.residuals),
        gradient_norm=stacked(lambda chain: chain.gradient_norm),
        error_bound=stacked(lambda chain: chain.error_bound),
    )
    _warn(result)
    return result


def log_slope(widths: Sequence[int] | np.ndarray, errors: Sequence[float] | np.ndarray) -> float:
    """Return the slope of log error against log width, by least squares.

    Examples
    --------
    >>> round(log_slope([64, 256, 1024], [0.4, 0.2, 0.1]), 12)
    -0.5
    """
    return float(np.polyfit(np.log(widths), np.log(errors), 1)[0])


@dataclass(frozen=True, eq=False)
class _Question:
    """What is asked of all chains, checked."""

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    eps: float
    fits: int
    method: str
    multipliers: str
    step_size: float
    spectrum: Decomposition
    """Of the kernel's Gram matrix."""
    cross: np.ndarray
    """(N, K), with the 1/K."""

    @staticmethod
    def checked(
        kernel: Kernel,
        x: Array,
        y: Array,
        x_test: Array,
        eps: float,
        rounds: int,
        method: str,
        multipliers: str,
        step_size: float | None,
    ) -> _Question:
        """Check the arguments and make the Gram matrices."""
        inputs.one_of("method", method, METHODS)
        inputs.one_of("multipliers", multipliers, MULTIPLIERS)
        x, x_test = inputs.real_array("x", x), inputs.real_array("x_test", x_test)
        y = inputs.labels(y, len(x))
        if y.ndim != 1:
            raise HilbertSDError(f"y must have shape ({len(x)},), one output, got {y.shape}.")
        tolerance = float(inputs.tolerances(eps, fits=1, outputs=1, joint=False)[0, 0])
        if np.mean(y**2) <= tolerance:
            raise HilbertSDError(
                f"eps = {tolerance:.6g} is not below the labels' mean square "
                f"{np.mean(y**2):.6g}: every fit is zero; choose a smaller eps."
            )
        spectrum = decompose(gram(kernel, x))
        largest = 1 / float(spectrum.eigenvalues[-1])
        if step_size is not None and not inputs.positive("step_size", step_size) < 2 * largest:
            raise HilbertSDError(
                f"step_size must be positive and below 2/d_max = {2 * largest:.6g}, "
                f"got {step_size!r}."
            )
        return _Question(
            x=x,
            y=y,
            x_test=x_test,
            eps=tolerance,
            fits=inputs.whole_number("rounds", rounds, most=inputs.MOST_ROUNDS) + 1,
            method=method,
            multipliers=multipliers,
            step_size=largest if step_size is None else float(step_size),
            spectrum=spectrum,
            cross=cross_gram(kernel, x_test, x),
        )

    def ratio(self, labels: np.ndarray) -> float:
        """Return r = ‖y‖/√(Kε)."""
        return float(np.sqrt(np.mean(labels**2) / self.eps))

    def response(self, eigenvalues: np.ndarray, stop: float) -> np.ndarray:
        """Return the method's filter."""
        if self.method == "ridge":
            return filters.ridge(eigenvalues, stop)
        if self.method == "gradient_flow":
            return filters.gradient_flow(eigenvalues, stop)
        return filters.gradient_descent(eigenvalues, self.step_size, int(stop))

    def stop(self, spectrum: Decomposition, labels: np.ndarray) -> float:
        """Return c, τ or the number of steps at which the residual on a kernel reaches ε."""
        if self.method == "ridge":
            return float(self_distill(spectrum, labels, self.eps, rounds=0).multipliers[0])
        if self.method == "gradient_flow":
            return flow_time(spectrum, labels, self.eps)
        return descent_steps(spectrum, labels, self.eps, self.step_size)


class _Chain(NamedTuple):
    """Fits (T, K) and (T, N) of one chain and what goes with them; zero after collapse."""

    fits: tuple[np.ndarray, np.ndarray]
    linear: tuple[np.ndarray, np.ndarray]
    remaining: tuple[np.ndarray, np.ndarray]
    stops: np.ndarray
    label_ratios: np.ndarray
    residuals: np.ndarray
    gradient_norm: np.ndarray
    error_bound: np.ndarray


class _Start(NamedTuple):
    """A network before training, and its empirical tangent kernel with the 1/K."""

    f: Network
    params: Any
    spectrum: Decomposition
    cross: np.ndarray


def _empty(ask: _Question) -> _Chain:
    def both() -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((ask.fits, len(ask.x))), np.zeros((ask.fits, len(ask.x_test)))

    each = (np.full(ask.fits, np.nan) for _ in range(4))
    stops, residuals, gradient_norm, error_bound = each
    ratios = np.zeros(ask.fits + 1)
    return _Chain(both(), both(), both(), stops, ratios, residuals, gradient_norm, error_bound)


def _fit_kernel(
    ask: _Question, spectrum: Decomposition, cross: np.ndarray, labels: np.ndarray, stop: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the filter's predictions at the training and the test points."""
    response = ask.response(spectrum.eigenvalues, stop)
    return spectrum.apply(response, labels), cross @ spectrum.dual_coef(response, labels)


def _on_kernel(ask: _Question) -> _Chain:
    """Run the theory's chain."""
    chain, labels = _empty(ask), ask.y
    chain.label_ratios[0] = ask.ratio(labels)
    for t in range(ask.fits):
        if chain.label_ratios[t] <= 1:
            break
        chain.stops[t] = ask.stop(ask.spectrum, labels)
        labels, at_test = _fit_kernel(ask, ask.spectrum, ask.cross, labels, chain.stops[t])
        chain.fits[0][t], chain.fits[1][t] = labels, at_test
        chain.label_ratios[t + 1] = ask.ratio(labels)
    return chain


def _of_networks(
    ask: _Question, theory: _Chain, draw: Callable[[Any], tuple[Network, Any]], key: Any,
    fresh: bool, rtol: float,
) -> _Chain:  # fmt: skip
    """Run the chain of networks, and beside it that of their linearisations."""

    def start_of(t: int) -> _Start:
        f, start = draw(jax.random.fold_in(key, t))
        return _Start(f, start, *_tangent(f, start, ask))

    chain = _empty(ask)
    labels, linear_labels = ask.y, ask.y
    chain.label_ratios[0] = ask.ratio(labels)
    prescribed = ask.method == "ridge" and ask.multipliers == "theory"
    here = start_of(0)
    for t in range(ask.fits):
        if chain.label_ratios[t] <= 1 or (prescribed and math.isnan(theory.stops[t])):
            break
        here = start_of(t) if fresh and t else here
        if ask.ratio(linear_labels) > 1:
            # Early stopping looks at the network's own loss, the multiplier at the labels alone.
            own = ask.spectrum if ask.method == "ridge" else here.spectrum
            stop = theory.stops[t] if prescribed else ask.stop(own, linear_labels)
            linear_labels, at_test = _fit_kernel(
                ask, here.spectrum, here.cross, linear_labels, stop
            )
            chain.linear[0][t], chain.linear[1][t] = linear_labels, at_test
        else:
            linear_labels = np.zeros_like(linear_labels)
        c = theory.stops[t] if prescribed else None
        fit = _train(ask, here.f, here.params, labels, c, rtol)
        for place, points in enumerate((ask.x, ask.x_test)):
            found = fitting.predictions(here.f, here.params, fit.move, points)
            chain.fits[place][t] = found
            chain.remaining[place][t] = (
                fit.error_bound * np.sqrt(np.mean(labels**2))
                if fit.halfway is None
                else found - fitting.predictions(here.f, here.params, fit.halfway, points)
            )
        labels = chain.fits[0][t]
        chain.stops[t], chain.residuals[t] = fit.stop, fit.residual
        chain.gradient_norm[t], chain.error_bound[t] = fit.gradient_norm, fit.error_bound
        chain.label_ratios[t + 1] = ask.ratio(labels)
    return chain


def _train(
    ask: _Question, f: Network, start: Any, labels: np.ndarray, c: float | None, rtol: float
) -> fitting.Fit:
    if ask.method == "ridge":
        c = ask.stop(ask.spectrum, labels) if c is None else c
        return fitting.penalized(f, start, ask.x, labels, c, rtol=rtol)
    if ask.method == "gradient_flow":
        step = FLOW_STEP * ask.step_size
        return fitting.flow(f, start, ask.x, labels, ask.eps, step)
    return fitting.descent(f, start, ask.x, labels, ask.eps, ask.step_size)


def _tangent(f: Network, start: Any, ask: _Question) -> tuple[Decomposition, np.ndarray]:
    """Return the empirical tangent kernel at the start, decomposed, and its cross matrix."""
    size = len(ask.x)
    own = empirical_ntk(f, start, ask.x, dtype="float64") / size
    return decompose(own), empirical_ntk(f, start, ask.x_test, ask.x, dtype="float64") / size


def _drawn(kernel: Any, features: int, dtype: str, width: int, key: Any) -> tuple[Network, Any]:
    return finite_width(kernel, features, width, key, dtype=dtype)


def _collapse(ratios: np.ndarray) -> int | None:
    """Return the first t with 0 < r_t <= 1; zeros are rounds that were not run."""
    found = np.flatnonzero((ratios > 0) & (ratios <= 1))
    return int(found[0]) if len(found) else None


def _warn(result: Bridge) -> None:
    if result.method != "ridge":
        return
    for place, points in (("train", result.train), ("test", result.test)):
        share = points.remaining / points.network
        if np.nanmax(share, initial=0.0) > SHARE:
            i, j, t = np.unravel_index(int(np.nanargmax(share)), share.shape)
            warnings.warn(
                f"at width {result.widths[i]}, seed {result.seeds[j]}, round {t} the training "
                f"leaves an error of about {share[i, j, t]:.2g} of the distance measured at the "
                f"{place} points; see Bridge.{place}.remaining, and lower rtol",
                PrecisionWarning,
                stacklevel=3,
            )
