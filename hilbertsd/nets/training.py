"""Training of many networks at once: any loss, any optimiser, whole runs on the device."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from hilbertsd import inputs as check
from hilbertsd.errors import HilbertSDError

Array = Any
Loss = Callable[[Any, Any, Any, Array], tuple[Array, Any]]
"""(model, state, batch, key) -> (loss, state) of one network."""
Monitor = Callable[[Any, Any, Any], Array]
"""(model, state, data) -> a number, of one network and all of its data."""

SEEDS = "seeds"
SEEDS_IN = ("parallel", "turn")
EVERY = 100
"""Steps between two calls of the device, unless the user says otherwise."""


class Trained(NamedTuple):
    """Networks after training; every array of model and state has the seeds as first axis.

    Attributes
    ----------
    model, state
        As they went in, trained; `member` picks one network.
    losses
        (S, steps) of the minibatch before each step, NaN after a network has stopped.
    steps
        (S,) done by each network.
    stopped
        (S,) whether it reached the threshold before its steps were spent.
    """

    model: Any
    state: Any
    losses: np.ndarray
    steps: np.ndarray
    stopped: np.ndarray


def keys(seeds: Sequence[int], *numbers: int) -> Array:
    """Return one key a seed, shape (S,): that of the seed, with each number folded in.

    Always Threefry keys, whatever JAX's default is set to.

    Examples
    --------
    >>> keys([0, 1], 3).shape
    (2,)
    """
    numbered = check.whole_numbers("seeds", seeds, 2**31 - 1)
    if not numbered:
        raise HilbertSDError("seeds is empty; pass at least one.")
    found = jax.vmap(lambda seed: jax.random.key(seed, impl="threefry2x32"))(jnp.asarray(numbered))
    for number in numbers:
        found = jax.vmap(jax.random.fold_in, in_axes=(0, None))(found, number)
    return found


def initialise(make: Callable[[Array], Any], keys: Array) -> Any:
    """Return ``make(key)`` of every key, stacked: each array gets the seeds as first axis.

    The same function is compiled once.

    Raises
    ------
    HilbertSDError
        If ``make`` is no function.

    Examples
    --------
    >>> from hilbertsd.nets import mlp
    >>> models, states = initialise(lambda key: mlp(3, 2, (4,), key=key), keys([0, 1, 2]))
    >>> models.dense.weight.shape
    (3, 2, 4)
    """
    if not callable(make):
        raise HilbertSDError(
            f"make must be a function of a key, such as lambda key: mlp(64, 10, key=key), got "
            f"{type(make).__name__}."
        )
    return _made(make, keys)


@eqx.filter_jit
def _made(make: Callable[[Array], Any], keys: Array) -> Any:
    return eqx.filter_vmap(make)(keys)


def member(stacked: Any, index: int) -> Any:
    """Return one network's part of what has the seeds as first axis.

    Raises
    ------
    HilbertSDError
        If there is no network of that number.
    """
    arrays, rest = eqx.partition(stacked, eqx.is_array)
    for leaf in jax.tree.leaves(arrays)[:1]:  # JAX would return the last one
        check.whole_number("index", index, len(leaf) - 1)
    return eqx.combine(jax.tree.map(lambda a: a[index], arrays), rest)


def train(
    loss: Loss,
    model: Any,
    state: Any,
    data: Any,
    keys: Array,
    *,
    optimizer: optax.GradientTransformation,
    steps: int,
    batch: int | None = 64,
    seed_axes: Any = None,
    monitor: Monitor | None = None,
    threshold: Any = None,
    every: int = EVERY,
    seeds_in: str | None = None,
    devices: Sequence[Any] | None = None,
    report: Callable[[int, Array], None] | None = None,
) -> Trained:
    """Train S networks at once and return them.

    Every floating-point array of ``model`` is trained: any pytree, so also a network with a
    projector beside it. Steps run ``every`` at a time in a `lax.scan` on the device; without a
    threshold the result does not depend on that number.

    A minibatch is drawn without replacement from its epoch's permutation, which is the network's
    own; the (K mod batch) examples at its end sit that epoch out. Everything random follows from
    the keys.

    Parameters
    ----------
    loss : callable
        ``(model, state, batch, key) -> (loss, state)`` of one network; ``batch`` has the structure
        of ``data``. Pass the same function again and the program is not compiled again.
    model, state : pytrees
        Stacked over the seeds, as from `initialise`.
    data : pytree
        Arrays with the K examples as first axis.
    keys : (S,) key array
        As from `keys`.
    optimizer : optax.GradientTransformation
        Likewise the same object, where programs shall be shared.
    steps : int
        The most steps.
    batch : int, optional
        Examples in a minibatch; None, or K and more, for all in their order.
    seed_axes : pytree, optional
        A prefix of ``data`` with 0 for arrays that have the seeds before the examples, (S, K, ...),
        and None for arrays that all networks share; by default all are shared.
    monitor, threshold : callable and number or (S,), optional
        A network stops where ``monitor(model, state, data)`` is at most its threshold. Asked
        before every ``every``-th step, the first included.
    every : int
        Steps between two checks, two reports, and two moments at which Ctrl-C is answered.
    seeds_in : "parallel" or "turn", optional
        Networks side by side (`vmap`) or one after the other. By default "turn" for convolutions
        on a CPU, whose large arrays then stay nearer the cache (1.3 to 1.5 times the speed),
        otherwise "parallel".
    devices : sequence of jax.Device, optional
        Over which the seeds are dealt out; by default all. Networks do not communicate.
    report : callable, optional
        ``report(steps_done, losses)`` after every ``every`` steps, losses (S,).

    Returns
    -------
    Trained

    Raises
    ------
    HilbertSDError
        If an argument is out of range, or a loss is not finite.

    Examples
    --------
    >>> from hilbertsd.nets import fitting_loss, mlp
    >>> seeds = keys([0, 1])
    >>> model, state = initialise(lambda key: mlp(1, 1, (16,), key=key), seeds)
    >>> x = np.linspace(-1, 1, 32, dtype=np.float32)[:, None]
    >>> done = train(fitting_loss("squared"), model, state, {"x": x, "targets": np.abs(x)}, seeds,
    ...              optimizer=optax.adam(0.01), steps=300, batch=16)
    >>> done.losses.shape, bool((done.losses[:, -1] < 0.1 * done.losses[:, 0]).all())
    ((2, 300), True)
    """
    steps, every = check.whole_number("steps", steps), check.whole_number("every", every, least=1)
    if (monitor is None) != (threshold is None):
        raise HilbertSDError("monitor and threshold go together: pass both, or neither.")
    count = len(keys)
    params, rest = eqx.partition(model, eqx.is_inexact_array)
    fixed, static = eqx.partition(rest, eqx.is_array)
    leaves, structure, axes = _examples(data, seed_axes, count)
    size = next(
        len(a) if axis is None else a.shape[1] for a, axis in zip(leaves, axes, strict=True)
    )
    part = size if batch is None else min(check.whole_number("batch", batch, least=1), size)
    task = _Task(loss, optimizer, monitor, static, structure, axes, size, part)
    moments = eqx.filter_vmap(optimizer.init)(params)
    order = jnp.zeros((count, size if part < size else 0), jnp.int32)
    run = _Run(params, moments, state, order, jnp.ones(count, bool))
    own = _Own(
        keys,
        fixed,
        [jnp.asarray(a) for a, axis in zip(leaves, axes, strict=True) if axis == 0],
        jnp.broadcast_to(jnp.asarray(math.nan if threshold is None else threshold, jnp.float32),
                         (count,)),
    )  # fmt: skip
    shared = [jnp.asarray(a) for a, axis in zip(leaves, axes, strict=True) if axis is None]
    over = _Over.of(count, seeds_in, devices, model)
    run, own = over.dealt((run, own))
    losses, done = np.full((count, steps), np.nan, np.float32), np.zeros(count, int)
    for start in range(0, steps, every):
        length = min(every, steps - start)
        run, block = _advance(task, over, run, own, shared, jnp.asarray(start), length)
        values, running = np.asarray(block)[:count], np.asarray(run.running)[:count]
        losses[running, start : start + length] = values[running]
        done += length * running
        _require_finite(losses[:, start : start + length], running, start)
        if report is not None:
            report(start + length, values[:, -1])
        if not running.any():
            break
    run = jax.tree.map(lambda a: a[:count], run)
    model = eqx.combine(run.params, fixed, static)
    return Trained(model, run.state, losses, done, ~np.asarray(run.running))


def applied(
    function: Callable[..., Any],
    model: Any,
    state: Any,
    x: Any,
    seeds_in: str | None = None,
    devices: Sequence[Any] | None = None,
) -> Any:
    """Return ``function(model, state, x)`` of every network, stacked; x is shared by all."""
    arrays, static = eqx.partition(model, eqx.is_array)
    count = len(jax.tree.leaves(arrays)[0])
    over = _Over.of(count, seeds_in, devices, model)
    found = _apply(function, static, over, over.dealt((arrays, state)), x)
    return jax.tree.map(lambda a: a[:count], found)


@eqx.filter_jit
def _apply(function: Any, static: Any, over: _Over, own: Any, x: Any) -> Any:
    def of_one(mine: Any, x: Any) -> Any:
        arrays, state = mine
        return function(eqx.combine(arrays, static), state, x)

    return over(of_one, own, x)


# --- one network


class _Run(NamedTuple):
    """What changes from step to step."""

    params: Any
    moments: Any
    state: Any
    order: Array
    """The permutation of this epoch, empty where a batch is everything."""
    running: Array


class _Own(NamedTuple):
    """What a network has for itself and does not change."""

    key: Array
    fixed: Any
    data: list[Array]
    threshold: Array


class _Task(NamedTuple):
    """What is compiled into the program."""

    loss: Loss
    optimizer: optax.GradientTransformation
    monitor: Monitor | None
    static: Any
    structure: Any
    axes: tuple[int | None, ...]
    size: int
    batch: int

    def data(self, own: Sequence[Array], shared: Sequence[Array]) -> Any:
        """Return the network's data as the user gave them."""
        mine, all_ = iter(own), iter(shared)
        leaves = [next(all_) if axis is None else next(mine) for axis in self.axes]
        return jax.tree.unflatten(self.structure, leaves)


def _block(
    task: _Task, run: _Run, own: _Own, shared: list[Array], start: Array, length: int
) -> tuple[_Run, Array]:
    """Take one network ``length`` steps further, unless it has reached its threshold."""
    data = task.data(own.data, shared)
    for_order, for_noise = jax.random.split(own.key)
    epoch = task.size // task.batch

    def minibatch(order: Array, t: Array) -> tuple[Array, Any]:
        if task.batch == task.size:
            return order, data
        order = lax.cond(
            t % epoch == 0,
            lambda: jax.random.permutation(
                jax.random.fold_in(for_order, t // epoch), task.size
            ).astype(jnp.int32),
            lambda: order,
        )
        at = lax.dynamic_slice_in_dim(order, (t % epoch) * task.batch, task.batch)
        return order, jax.tree.map(lambda a: a[at], data)

    def step(run: _Run, t: Array) -> tuple[_Run, Array]:
        order, examples = minibatch(run.order, t)

        def of_params(params: Any) -> tuple[Array, Any]:
            model = eqx.combine(params, own.fixed, task.static)
            return task.loss(model, run.state, examples, jax.random.fold_in(for_noise, t))

        (value, state), gradient = jax.value_and_grad(of_params, has_aux=True)(run.params)
        updates, moments = task.optimizer.update(gradient, run.moments, run.params)
        params = optax.apply_updates(run.params, updates)
        return _Run(params, moments, state, order, run.running), value

    def advance(run: _Run) -> tuple[_Run, Array]:
        return lax.scan(step, run, start + jnp.arange(length))

    if task.monitor is None:
        return advance(run)
    value = task.monitor(eqx.combine(run.params, own.fixed, task.static), run.state, data)
    run = run._replace(running=run.running & ~(value <= own.threshold))
    # side by side, JAX turns this into a choice of results: a stopped network stays as it is
    return lax.cond(run.running, advance, lambda run: (run, jnp.zeros(length)), run)


# --- many networks


class _Over(NamedTuple):
    """How many networks are gone through."""

    seeds_in: str
    mesh: Mesh
    surplus: int
    """Networks repeated at the end, so that all devices have equally many."""

    @classmethod
    def of(cls, count: int, seeds_in: str | None, devices: Any, model: Any) -> _Over:
        """Return the way that was asked for, or the faster one."""
        chosen = jax.devices() if devices is None else list(devices)
        if not chosen:
            raise HilbertSDError("devices is empty; pass at least one, or None for all.")
        if seeds_in is None:
            convolves = any(a.ndim > 4 for a in jax.tree.leaves(eqx.filter(model, eqx.is_array)))
            slow = convolves and chosen[0].platform == "cpu"
            seeds_in = "turn" if slow else "parallel"
        check.one_of("seeds_in", seeds_in, SEEDS_IN)
        each = math.ceil(count / len(chosen))
        used = math.ceil(count / each)
        return cls(seeds_in, Mesh(np.array(chosen[:used]), (SEEDS,)), used * each - count)

    def dealt(self, tree: Any) -> Any:
        """Return the tree with its surplus, each device's part on it."""

        def deal(a: Array) -> Array:
            if self.surplus:
                a = jnp.concatenate([a, jnp.repeat(a[-1:], self.surplus, axis=0)])
            return jax.device_put(a, jax.sharding.NamedSharding(self.mesh, P(SEEDS)))

        return jax.tree.map(deal, tree)

    def __call__(self, function: Callable[..., Any], own: Any, *shared: Any) -> Any:
        """Return ``function(own, *shared)`` of every network's own part."""

        def of_device(own: Any, *shared: Any) -> Any:
            if self.seeds_in == "turn":
                return lax.map(lambda mine: function(mine, *shared), own)
            return jax.vmap(function, in_axes=(0, *[None] * len(shared)))(own, *shared)

        if self.mesh.size == 1:
            return of_device(own, *shared)
        specs = (P(SEEDS), *[P()] * len(shared))
        return jax.shard_map(
            of_device, mesh=self.mesh, in_specs=specs, out_specs=P(SEEDS), check_vma=False
        )(own, *shared)


@eqx.filter_jit
def _advance(
    task: _Task, over: _Over, run: _Run, own: _Own, shared: list[Array], start: Array, length: int
) -> tuple[_Run, Array]:
    def of_one(mine: tuple[_Run, _Own], shared: list[Array], start: Array) -> tuple[_Run, Array]:
        return _block(task, *mine, shared, start, length)

    return over(of_one, (run, own), shared, start)


# --- checks


def _examples(data: Any, seed_axes: Any, count: int) -> tuple[list[Any], Any, tuple[Any, ...]]:
    """Return arrays, structure and seed axes of the data, after comparing their lengths."""
    leaves, structure = jax.tree.flatten(data)
    try:
        spread = jax.tree.broadcast(seed_axes, data, is_leaf=lambda axis: axis is None)
    except ValueError as error:
        raise HilbertSDError(f"seed_axes is no prefix of data: {error}") from None
    axes = tuple(jax.tree.leaves(spread, is_leaf=lambda axis: axis is None))
    if not leaves or any(axis not in (0, None) for axis in axes):
        raise HilbertSDError(f"data must hold arrays and seed_axes 0 or None, got {seed_axes!r}.")
    sizes = set()
    for leaf, axis in zip(leaves, axes, strict=True):
        shape = np.shape(leaf)
        if axis == 0 and shape[:1] != (count,):
            raise HilbertSDError(
                f"an array of shape {shape} should have the {count} seeds as first axis."
            )
        sizes.add(shape[1:2] if axis == 0 else shape[:1])
    if len(sizes) != 1 or () in sizes or (0,) in sizes:
        raise HilbertSDError(
            f"the arrays of data have {sorted(sizes)} examples; all need the same number, at "
            "least 1."
        )
    return leaves, structure, axes


def _require_finite(losses: np.ndarray, running: np.ndarray, start: int) -> None:
    wrong = ~np.isfinite(losses) & running[:, None]
    if wrong.any():
        network, step = np.argwhere(wrong)[0]
        raise HilbertSDError(
            f"the loss of network {network} is {losses[network, step]} at step {start + step}: "
            "take a smaller learning rate, or look for a logarithm of 0 in the loss."
        )
