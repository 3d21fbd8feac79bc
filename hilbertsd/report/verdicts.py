"""The verdicts on the statements of the theory on a chain: as JSON, and as a table for a person."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hilbertsd.report.chain import heading_of
from hilbertsd.report.layout import WIDTH, grid, plain
from hilbertsd.report.numbers import number_text, percent, span
from hilbertsd.theory import REGISTRY, Chain, Statement, Verdict, check, views
from hilbertsd.version import __version__

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hilbertsd.distillation import Distillation

FORMAT, VERSION = "hilbertsd-verdicts", 1
WORDS = {"holds": "holds", "vacuous": "vacuous", "not applicable": "n/a", "fails": "FAILS"}
SHORT = {
    "no_better_competitor": "Proposition 1: no competitor",
    "residual_increases": "Residual increases with c",
    "multiplier_mean_bound": "Multiplier, mean eigenvalue",
    "multiplier_reduced_bound": "Multiplier, reduced eigenvalue",
    "realised_alpha": "The α_t of the recurrence",
    "realised_recurrence": "The recurrence with that α_t",
    "norm_drop": "Norm falls by at most √(Kε)",
    "power_drop": "Power falls by at least K ε",
    "rounds_at_least": "Rounds before collapse, without κ",
    "kantorovich_drop": "Power falls by a share of the norm",
    "rounds_at_most_dated": "Collapse dated by κ",
    "weight_ratio_reduced": "Weights from reduced eigenvalue",
    "sparsity_index_guaranteed": "Index after the guaranteed rounds",
    "equivalent_kernel_function": "Equivalent kernel: same function",
    "equivalent_kernel": "Equivalent kernel: same labels",
    "matched_early_stopping": "Against early stopping, matched",
}
"""Titles for the table's lines where the statement's own takes more than one."""
WORST = ("fails", "holds", "vacuous", "not applicable")
"""Of several outputs the line of a statement shows the first of these, and of it the tightest."""


class Reading(NamedTuple):
    """A verdict, and the numbers at the place where it is closest to failing."""

    statement: Statement
    verdict: Verdict
    lower: float
    actual: float
    upper: float
    """NaN where there are none, -inf and inf where the claim has no such side."""


def readings(result: Distillation) -> tuple[Reading, ...]:
    """Check every statement on a chain, and read the numbers where the slack is smallest.

    Raises
    ------
    HilbertSDError
        If the result does not hold every eigenvalue.

    Examples
    --------
    >>> import hilbertsd as hsd
    >>> from hilbertsd.theory.examples import headline
    >>> found = {r.verdict.statement: r for r in readings(hsd.self_distill(*headline()))}
    >>> proposition_4 = found["guaranteed_rounds"]
    >>> print(f"{proposition_4.lower:.2f} <= {proposition_4.actual:.0f}")
    3.65 <= 114
    """
    chains: dict[int, dict[str, Chain | None]] = {}
    found = []
    for verdict in check(result):
        output = verdict.output or 0
        if output not in chains:
            chains[output] = views(result, output)
        statement = REGISTRY[verdict.statement]
        numbers = (np.nan,) * 3
        chain = chains[output][statement.about]
        if verdict.where is not None and chain is not None:
            sides = np.broadcast_arrays(*(np.asarray(v, float) for v in statement.sides(chain)))
            numbers = tuple(float(side[verdict.where]) for side in sides[:3])
        found.append(Reading(statement, verdict, *numbers))
    return tuple(found)


def counts(found: Iterable[Reading]) -> dict[str, int]:
    """How many verdicts there are of each status."""
    seen = Counter(reading.verdict.status for reading in found)
    return {status: seen[status] for status in WORDS}


def to_json(result: Distillation, found: Sequence[Reading]) -> str:
    """Encode the verdicts; what is not finite becomes null."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "hilbertsd": __version__,
        "problem": result.provenance.get("problem", {}),
        "summary": counts(found),
        "verdicts": [_record(reading) for reading in found],
    }
    return json.dumps(document, allow_nan=False, ensure_ascii=False, indent=1) + "\n"


def _record(reading: Reading) -> dict[str, Any]:
    statement, verdict = reading.statement, reading.verdict

    def finite(value: float | None) -> float | None:
        return None if value is None or not np.isfinite(value) else float(value)

    return {
        "statement": statement.name,
        "title": statement.title,
        "kind": statement.kind,
        "section": statement.section,
        "source": statement.source,
        "output": verdict.output,
        "status": verdict.status,
        "why": verdict.why,
        "lower": finite(reading.lower),
        "actual": finite(reading.actual),
        "upper": finite(reading.upper),
        "slack": finite(verdict.slack),
        "tightness": finite(verdict.tightness),
        "tolerance": finite(verdict.tolerance),
        "where": None if verdict.where is None else list(verdict.where),
    }


# ------------------------------------------------------------------ the table


def text(
    result: Distillation,
    found: Sequence[Reading],
    heading: Mapping[str, str] | None = None,
    *,
    verbose: bool = False,
    width: int = WIDTH,
    terminal: bool = False,
) -> str:
    """Return the verdicts as text, by sections of the paper; several outputs as their worst.

    Parameters
    ----------
    result, found
        A chain and its :func:`readings`.
    heading
        Lines to put first, as for :func:`hilbertsd.report.chain.text`.
    verbose
        Say of every statement what it claims, where it comes from, and where it is nearest.
    """
    from rich.console import Group
    from rich.text import Text

    several = len({reading.verdict.output for reading in found}) > 1
    parts: list[RenderableType] = [grid(heading_of(result, heading or {})), Text(_dates(result))]
    sections = _sections(found)
    width_of_words = max(len(_word(claim)) for _, claims in sections for claim in claims)
    for i, (section, claims) in enumerate(sections):
        table = _details(claims, several) if verbose else _table(claims, width_of_words, i == 0)
        parts += [Text(), Text(section, style="bold"), table]
    parts += [Text(), *(Text(line) for line in _remarks(found, several))]
    return plain(Group(*parts), width=width, terminal=terminal)


def _sections(found: Sequence[Reading]) -> list[tuple[str, list[list[Reading]]]]:
    """The readings of each statement, one an output, by section in the order of the paper."""
    groups: dict[str, dict[str, list[Reading]]] = {}
    for reading in found:
        group = groups.setdefault(reading.statement.section, {})
        group.setdefault(reading.statement.name, []).append(reading)
    return [(section, list(groups[section].values())) for section in sorted(groups)]


def _shown(outputs: Sequence[Reading]) -> Reading:
    """Of the readings of one statement, the one with the least slack of the worst status."""

    def order(reading: Reading) -> tuple[int, float]:
        slack = reading.verdict.slack
        return WORST.index(reading.verdict.status), np.inf if slack is None else slack

    return min(outputs, key=order)


def _word(outputs: Sequence[Reading]) -> str:
    seen = counts(outputs)
    status = _shown(outputs).verdict.status
    share = "" if seen[status] == len(outputs) else f" {seen[status]}/{len(outputs)}"
    return WORDS[status] + share


def _table(claims: Sequence[list[Reading]], word_width: int, header: bool) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    # Fixed widths: the tables of all sections line up.
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, expand=True, show_header=header)
    table.add_column("", overflow="fold", ratio=1)
    for name in ("lower ≤", "actual", "≤ upper", "slack"):
        table.add_column(name, justify="right", width=7, overflow="fold", style="dim")
    table.add_column("tight", justify="right", width=5)
    table.add_column("", width=word_width, overflow="fold")
    for outputs in claims:
        shown = _shown(outputs)
        statement, verdict = shown.statement, shown.verdict
        slack = verdict.slack
        if slack is not None and verdict.tolerance is not None and abs(slack) <= verdict.tolerance:
            slack = 0.0  # equality, within rounding
        numbers = (shown.lower, shown.actual, shown.upper, slack)
        look = {"fails": "bold red", "holds": "green"}.get(verdict.status, "dim")
        table.add_row(
            Text(SHORT.get(statement.name, statement.title)),
            *(number_text(value) for value in numbers),
            percent(verdict.tightness),
            Text(_word(outputs), style=look),
        )
    return table


def _details(claims: Sequence[list[Reading]], several: bool) -> RenderableType:
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    blocks: list[RenderableType] = []
    for outputs in claims:
        shown = _shown(outputs)
        statement, verdict = shown.statement, shown.verdict
        claim = " ".join((statement.__doc__ or "").strip().split("\n\n")[0].split())
        lines = [claim, f"{statement.kind}; {statement.source}"]
        if verdict.slack is not None and verdict.tolerance is not None:
            lines.append(
                f"slack {verdict.slack:.3g}, rounding {verdict.tolerance:.1g}"
                + ("" if verdict.tightness is None else f", tight to {verdict.tightness:.3g}")
            )
        where = f" (output {verdict.output})" if several and verdict.output is not None else ""
        lines.append(f"{verdict.why}{where}")
        blocks.append(Text(f"  {statement.title}: {_word(outputs)}"))
        blocks += [Padding(Text(line), (0, 0, 0, 6)) for line in lines]
    return Group(*blocks)


def _dates(result: Distillation) -> str:
    rounds = result.collapse_round
    each = rounds if isinstance(rounds, tuple) else (rounds,)
    known = [n for n in each if n is not None]
    first = np.ravel(result.label_ratios[0])
    ratio = f"r_0 = {span(first)}"
    if not known:
        return f"{ratio}; no collapse up to round {result.rounds}."
    part = "" if len(known) == len(each) else f" for {len(known)} of {len(each)} outputs"
    return f"{ratio}; collapse at round {span(np.array(known))}{part}."


def _remarks(found: Sequence[Reading], several: bool) -> list[str]:
    outputs = len({reading.verdict.output for reading in found})
    seen, statements = counts(found), len({reading.statement.name for reading in found})
    lines = [
        f"{statements} statements" + (f" on {outputs} outputs" if several else "") + ": "
        f"{seen['holds']} hold, {seen['vacuous']} vacuous, "
        f"{seen['not applicable']} not applicable, {seen['fails']} fail."
    ]
    reasons: dict[tuple[str, str], dict[str, int]] = {}
    for statement, verdict, *_ in found:
        if verdict.status == "holds":
            continue
        why = verdict.why.partition(":")[0] if verdict.status == "vacuous" else verdict.why
        title = statement.title
        if verdict.status == "fails" and several:
            title += f", output {verdict.output}"
        titles = reasons.setdefault((verdict.status, why), {})
        titles[title] = titles.get(title, 0) + 1
    for (status, why), titles in reasons.items():
        named = [
            title if not several or count in (1, outputs) else f"{title} ({count} outputs)"
            for title, count in titles.items()
        ]
        lines.append(f"{status.capitalize()}, {why}: {'; '.join(named)}.")
    return lines
