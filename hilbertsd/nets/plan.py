"""Which way to a tangent kernel: operations and memory counted for each, the least one taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hilbertsd.errors import HilbertSDError
from hilbertsd.nets.layers import Graph, Layer

METHODS = ("jacobian", "structured", "products")


@dataclass(frozen=True)
class Cost:
    """What one way takes.

    Attributes
    ----------
    operations : int
        Floating-point operations, a multiplication and an addition counted as two.
    batch : int
        Points at a time, rows and columns alike.
    memory : int
        Bytes at a time beside the result, an upper bound from the sizes of what is written.
    """

    operations: int
    batch: int
    memory: int


@dataclass(frozen=True)
class Plan:
    """How a tangent kernel is computed, and what the other ways would take.

    Attributes
    ----------
    method : str
        "jacobian", "structured" or "products".
    batch : int
        Points at a time.
    factored : tuple of Layer
        The layers that are taken by their factors; empty except for "structured".
    costs : dict
        `Cost` of each method that fits the memory; "structured" only where it has layers to take.
    outputs : int
        Q, the outputs of a point that enter.

    Examples
    --------
    >>> print(Plan("products", 2, (), {"products": Cost(1200, 2, 64)}, 3))
    products, 2 points at a time, 3 outputs
      products     1.2e+03 operations, 64 bytes
    """

    method: str
    batch: int
    factored: tuple[Layer, ...]
    costs: dict[str, Cost]
    outputs: int

    def __str__(self) -> str:
        """Return one line for the choice and one for each method that could do it."""
        layers = f", {len(self.factored)} layers by their factors" if self.factored else ""
        lines = [f"{self.method}, {self.batch} points at a time, {self.outputs} outputs{layers}"]
        for method, cost in self.costs.items():
            lines.append(f"  {method:<12} {cost.operations:.3g} operations, {cost.memory} bytes")
        return "\n".join(lines)


@dataclass(frozen=True)
class Task:
    """What is asked for: rows × columns points, all outputs or their mean, in so many bytes."""

    rows: int
    columns: int
    symmetric: bool
    outputs: int
    traced: bool
    itemsize: int
    memory: int
    batch: int | None

    @property
    def pairs(self) -> int:
        """Pairs of points, each unordered pair once where the kernel is symmetric."""
        if self.symmetric:
            return self.rows * (self.rows + 1) // 2
        return self.rows * self.columns

    @property
    def block(self) -> int:
        """Numbers of the kernel for one pair."""
        return 1 if self.traced else self.outputs**2

    @property
    def products(self) -> int:
        """Inner products of gradients for one pair."""
        return self.outputs if self.traced else self.outputs**2


def choose(graph: Graph, sizes: Sequence[int], task: Task, method: str) -> Plan:
    """Return the plan for one method, or for "auto" the one of fewest operations.

    ``sizes`` are the entries of each array of parameters.
    """
    factored = _worth_factoring(graph, task)
    if method == "structured":
        factored = factored or graph.layers
        if not factored:
            raise HilbertSDError(
                "method='structured' found no array of parameters that is used once, as the weight "
                "of a matrix product or a convolution; use method='auto'."
            )
    candidates = {"jacobian": (), "structured": factored, "products": ()}
    if not factored:
        del candidates["structured"]
    costs, wanted = {}, {}
    for name, layers in candidates.items():
        costs[name], wanted[name] = _cost(graph, sizes, task, name, layers)
    asked = [method] if method != "auto" else list(candidates)
    fitting = [name for name in asked if costs[name].memory <= task.memory]
    if not fitting:
        least = min(asked, key=lambda name: costs[name].memory)
        at = f"with batch={task.batch}" if task.batch else "for one point at a time"
        raise HilbertSDError(
            f"method={least!r} takes about {costs[least].memory} bytes {at}, above memory="
            f"{task.memory}; raise memory, ask for one output or their mean, or apply the kernel "
            "without forming it (tangent_operator)."
        )
    best = min(fitting, key=lambda name: costs[name].operations)
    shown = {name: cost for name, cost in costs.items() if cost.memory <= task.memory}
    return Plan(best, costs[best].batch, tuple(candidates[best]), shown, task.outputs)


def _worth_factoring(graph: Graph, task: Task) -> tuple[Layer, ...]:
    """Return the layers whose factors take fewer operations than their gradients."""
    points = task.rows if task.symmetric else task.rows + task.columns

    def by_gradient(layer: Layer) -> int:
        form = 2 * points * task.outputs * layer.places * layer.parameters
        return form + 2 * task.pairs * task.products * layer.parameters

    return tuple(
        layer
        for layer in graph.layers
        if task.pairs * _by_factors(layer, task) < by_gradient(layer)
    )


def _by_factors(layer: Layer, task: Task) -> int:
    """Operations for one pair."""
    places = layer.places**2
    return places * (2 * layer.inputs + task.products * (2 * layer.outputs + 2))


def _cost(
    graph: Graph, sizes: Sequence[int], task: Task, method: str, layers: Sequence[Layer]
) -> tuple[Cost, int]:
    outputs, item = task.outputs, task.itemsize
    total = sum(sizes)
    if method == "products":
        # Per column a pullback at one point and a pushforward at all of them.
        one = graph.activations * item
        fixed = (2 * total + graph.activations * 2) * item
        batch, memory = _batch(task, fixed, one, 0)
        columns = (task.pairs // task.rows if task.symmetric else task.columns) * outputs
        operations = columns * 3 * graph.operations + task.pairs * outputs * 2 * graph.operations
        return Cost(operations, batch, memory), batch
    factored = {layer.leaf for layer in layers}
    rest = sum(size for i, size in enumerate(sizes) if i not in factored)
    kept = outputs * rest + sum(
        layer.places * (layer.inputs + outputs * layer.outputs) for layer in layers
    )
    # Features of rows and columns, and the reverse sweep that makes them, factors and all.
    passing = sum(
        layer.places * (layer.inputs + outputs * layer.outputs)
        for layer in graph.layers
        if layer.places > 1 and layer.leaf not in factored
    )
    one = (2 * kept + passing + (1 + outputs) * graph.activations) * item
    pair = 2 * task.block * item
    fixed = max(
        (layer.places**2 * task.products for layer in layers if layer.places > 1), default=0
    )
    batch, memory = _batch(task, 0, one + fixed * item, pair)
    blocks = math.ceil(task.rows / batch)
    # Row blocks are made once, column blocks once for every row block.
    made = task.rows + (task.rows * (blocks - 1) // 2 if task.symmetric else blocks * task.columns)
    sweep = graph.operations * (1 + outputs)
    form = (
        2
        * outputs
        * sum(
            layer.places * layer.parameters for layer in graph.layers if layer.leaf not in factored
        )
    )
    by_pair = 2 * task.products * rest + sum(_by_factors(layer, task) for layer in layers)
    return Cost(made * (sweep + form) + task.pairs * by_pair, batch, memory), batch


def _batch(task: Task, fixed: int, one: int, pair: int) -> tuple[int, int]:
    """Return points at a time, evenly split, and the bytes: fixed + one · b + pair · b²."""
    most = max(task.rows, task.columns)

    def memory(b: int) -> int:
        return fixed + one * b + pair * b * b

    if task.batch is not None:
        batch = min(task.batch, most)
        return batch, memory(batch)
    low, high = 1, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if memory(middle) <= task.memory else (low, middle - 1)
    batch = math.ceil(most / math.ceil(most / low))
    return batch, memory(batch)
