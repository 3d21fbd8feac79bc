"""A chain as a table for a person: what happened in which round, and how far to trust it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hilbertsd.report.layout import WIDTH, grid, plain
from hilbertsd.report.numbers import short, span

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from hilbertsd.distillation import Distillation

MAX_NAMED = 20
"""Up to so many outputs, each is named on the line about collapse."""

FIT, COLLAPSED, UNDECIDED = "fit", "collapsed", "undecided"


def text(
    result: Distillation,
    heading: Mapping[str, str] | None = None,
    *,
    outputs: Sequence[str] | None = None,
    width: int = WIDTH,
    terminal: bool = False,
) -> str:
    """Return the report as text.

    Parameters
    ----------
    result
        From :func:`hilbertsd.self_distill`.
    heading
        Lines to put first, such as ``{"kernel": "cubic_spline()"}``; a line "ε" says in words
        what the tolerance is.
    outputs
        Names of the Q outputs, for the line about collapse; 0, 1, .. without.
    width
        Columns to fill; in fewer than 80, cells are folded, never cut.
    terminal
        Whether to emphasise the way a terminal understands.

    Examples
    --------
    >>> import numpy as np, hilbertsd as hsd
    >>> result = hsd.self_distill(np.eye(2), np.array([3.0, 4.0]), eps=0.6, rounds=6)
    >>> "Round 4: collapsed" in text(result)
    True
    """
    return plain(render(result, heading, outputs=outputs), width=width, terminal=terminal)


def render(
    result: Distillation,
    heading: Mapping[str, str] | None = None,
    *,
    outputs: Sequence[str] | None = None,
) -> Group:
    """Return the report for a rich console: heading, table, remarks."""
    from rich.console import Group
    from rich.text import Text

    single = result.joint or np.ndim(result.multipliers) == 1 or result.multipliers.shape[1] == 1
    table = _one_chain(result) if single else _several_chains(result)
    remarks = [Text(line) for line in _remarks(result, single, outputs)]
    return Group(grid(heading_of(result, heading or {})), Text(), table, Text(), *remarks)


def heading_of(result: Distillation, heading: Mapping[str, str]) -> dict[str, str]:
    """Return the given lines and what the chain itself says about its problem."""
    size, outputs = result.labels.shape[1], _columns(result.multipliers).shape[1]
    lines = dict(heading)
    lines["size"] = f"K = {size} points, Q = {outputs} output{'s' if outputs > 1 else ''}"
    if result.joint and outputs > 1:
        lines["size"] += " with one tolerance"
    # Last among the given lines, and in numbers first.
    given = lines.pop("ε", "")
    lines["ε"] = span(_columns(result.eps), 6) + (f" = {given}" if given else "")
    spectrum = result.spectrum
    if spectrum is not None and spectrum.kind == "exact":
        floor = span(np.atleast_1d(spectrum.residual_floor), 6)
        kappa = short(spectrum.condition_number)
        lines["rank"] = f"{spectrum.rank} of {size}, κ = {kappa}, residual floor {floor}"
    lines["method"] = str(result.provenance.get("settings", {}).get("method", "unknown"))
    return lines


def _table(names: Iterable[str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    for name in names:
        left = name in ("", "what")
        # Folding, never an ellipsis, where even the shortest numbers do not fit.
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    return table


def _quantities(result: Distillation) -> dict[str, np.ndarray]:
    """Return the columns of numbers, each (T, Q), Q = 1 for a joint tolerance."""
    spectrum = result.spectrum
    full = spectrum if spectrum is not None and spectrum.kind == "exact" else None
    residuals = _columns(result.residuals)
    values: dict[str, np.ndarray] = {}
    if full is not None:
        lower, upper = (_columns(bound) for bound in result.multiplier_brackets)
        values |= {"lower": lower, "c_t": _columns(result.multipliers), "upper": upper}
    else:
        values["c_t"] = _columns(result.multipliers)
    values["error"] = _columns(result.multiplier_error)
    values["r_t"] = _columns(result.label_ratios)[:-1]
    values["residual"] = residuals
    if full is not None:
        values["tr B_t"] = _columns(full.effective_dimension)
        values["sparsity"] = _columns(full.sparsity_index)
    if result.joint:
        values = {name: columns[:, :1] for name, columns in values.items()}
        values["residual"] = residuals.sum(axis=1, keepdims=True)
    return values


def _one_chain(result: Distillation) -> Table:
    values = _quantities(result)
    table = _table(["t", *values, "what"])
    ratios = _columns(result.label_ratios)[:, 0]
    errors = _columns(result.label_ratio_error)[:, 0]
    for t, multiplier in enumerate(values["c_t"][:, 0]):
        undecided = abs(ratios[t] - 1) <= errors[t]
        if np.isfinite(multiplier):
            cells = [_formatted(name, columns[t, 0]) for name, columns in values.items()]
            table.add_row(str(t), *cells, UNDECIDED if undecided else FIT)
            continue
        shown = {"c_t": multiplier, "r_t": ratios[t], "residual": values["residual"][t, 0]}
        cells = [_formatted(name, shown[name]) if name in shown else "" for name in values]
        table.add_row(str(t), *cells, UNDECIDED if undecided else COLLAPSED)
        break  # what follows is zero
    return table


def _several_chains(result: Distillation) -> Table:
    values = _quantities(result)
    table = _table(["t", "alive", "", *values])
    alive = np.isfinite(result.multipliers)
    for t, living in enumerate(alive):
        count = f"{living.sum()}/{len(living)}"
        if not living.any():
            table.add_row(str(t), count)
            break
        for name, pick in (("min", np.min), ("max", np.max)):
            cells = [_formatted(key, pick(columns[t][living])) for key, columns in values.items()]
            first = name == "min"
            table.add_row(str(t) if first else "", count if first else "", name, *cells)
    return table


def _remarks(result: Distillation, single: bool, outputs: Sequence[str] | None) -> list[str]:
    rounds = result.rounds
    collapse = result.collapse_round
    each = collapse if isinstance(collapse, tuple) else (collapse,)
    names = list(outputs) if outputs is not None else [str(q) for q in range(len(each))]
    if single:
        stop = each[0]
        if stop is None:
            last = short(float(_columns(result.label_ratios)[-1, 0]), ".5g")
            lines = [f"No collapse up to round {rounds}: r_{rounds + 1} = {last} is above 1."]
        else:
            reach = "this and all later rounds" if stop <= rounds else "the next round"
            ratio = short(float(_columns(result.label_ratios)[stop, 0]), ".5g")
            lines = [
                f"Round {stop}: collapsed, r_{stop} = {ratio} <= 1, so {reach} "
                f"{'are' if stop <= rounds else 'is'} the zero function."
            ]
    else:
        lines = [
            "min and max are over the outputs not yet collapsed.",
            f"Collapse: {_collapse_rounds(each, rounds, names)}.",
        ]
    decided = np.atleast_1d(np.asarray(result.collapse_decided))
    if not decided.all():
        which = (
            ""
            if single
            else f" for outputs {', '.join(names[q] for q in np.flatnonzero(~decided))}"
        )
        lines.append(f"Undecided{which}: an r_t equals 1 within its rounding error.")
    lines.append(
        "Estimated relative errors, at most: multipliers "
        f"{short(result.multiplier_error.max(), '.0e')}, labels "
        f"{short(result.label_error.max(), '.0e')}; absolute, r_t: "
        f"{short(result.label_ratio_error.max(), '.0e')}."
    )
    return lines


def _collapse_rounds(each: tuple[int | None, ...], rounds: int, names: Sequence[str]) -> str:
    by_round: dict[int | None, list[str]] = {}
    for name, stop in zip(names, each, strict=True):
        by_round.setdefault(stop, []).append(name)
    order = sorted(by_round, key=lambda stop: (stop is None, stop))
    named = len(each) <= MAX_NAMED
    parts = []
    for stop in order:
        outputs = by_round[stop]
        who = f"output{'s' if len(outputs) > 1 else ''} {', '.join(outputs)}"
        if not named:
            who = f"{len(outputs)} output{'s' if len(outputs) > 1 else ''}"
        parts.append(f"{who} " + (f"at {stop}" if stop is not None else f"not up to {rounds + 1}"))
    return "; ".join(parts)


def _columns(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, dtype=float).reshape(len(values), -1)


def _formatted(name: str, value: float) -> str:
    if np.isnan(value):
        return "-"
    if np.isinf(value):
        return "∞"
    if name == "c_t":
        return short(value, ".4e")
    if name in ("lower", "upper"):
        return short(value, ".1e")
    if name == "error":
        return short(value, ".0e")
    return _four_digits(value)


def _four_digits(value: float) -> str:
    """Four significant digits in at most seven characters."""
    value = float(f"{value:.3e}")
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e5:
        return short(value, ".1e")
    return f"{value:.{max(0, 3 - int(np.floor(np.log10(abs(value)))))}f}"
