"""The verdicts on the statements of the theory on a chain: as JSON, and as a table for a person."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hilbertsd.report.chain import heading_of
from hilbertsd.report.layout import WIDTH, grid, plain
from hilbertsd.report.numbers import number_text, percent, span
from hilbertsd.theory import REGISTRY, Verdict, Verdicts, views
from hilbertsd.version import __version__

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hilbertsd.distillation import Distillation

FORMAT, VERSION = "hilbertsd-verdicts", 2
WORDS = {
    "holds": "holds",
    "vacuous": "vacuous",
    "undecided": "OPEN",
    "not applicable": "n/a",
    "fails": "FAILS",
}
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
COLUMNS = (
    "A line shows the place that is nearest to failing, of those where the statement says "
    "something. slack: how far that is, relative to the statement's scale. tight: how nearly the "
    "bound is attained there; 100% is equality, 0% says no more than is known without it."
)
OUTPUT_COLUMN = " out: the output that is nearest; a count of outputs where not all agree."
LOOKS = {"fails": "bold red", "undecided": "bold yellow", "holds": "green"}
WORST = ("fails", "undecided", "holds", "vacuous", "not applicable")
"""Of several outputs the line of a statement shows the first of these, and of it the tightest."""


def to_json(result: Distillation, found: Verdicts) -> str:
    """Encode the verdicts; what is not finite becomes null.

    Parameters
    ----------
    result, found
        A chain and what :func:`hilbertsd.theory.check` says about it.
    """
    document = {
        "format": FORMAT,
        "version": VERSION,
        "hilbertsd": __version__,
        "problem": result.provenance.get("problem", {}),
        "chain": _chain_record(result),
        "summary": found.counts,
        "verdicts": [_record(verdict) for verdict in found],
    }
    return json.dumps(document, allow_nan=False, ensure_ascii=False, indent=1) + "\n"


def _chain_record(result: Distillation) -> dict[str, Any]:
    """What the verdicts are about, in numbers; lists have one entry an output, or one if joint."""
    spectrum = result.spectrum
    eps, ratios = (np.reshape(of, (len(of), -1)) for of in (result.eps, result.label_ratios))
    eps, ratios = (of[:, :1] if result.joint else of for of in (eps, ratios))
    rounds = result.collapse_round
    each = list(rounds) if isinstance(rounds, tuple) else [rounds]
    constant = bool((eps == eps[0]).all())
    record = {
        "points": result.labels.shape[1],
        "joint": result.joint,
        "rounds": result.rounds,
        "eps": (eps[0] if constant else eps).tolist(),
        "r_0": ratios[0].tolist(),
        "collapse_round": each[:1] if result.joint else each,
    }
    if spectrum is not None:
        floor = np.atleast_1d(spectrum.residual_floor).tolist()
        record |= {"rank": spectrum.rank, "residual_floor": floor}
    return record


def _record(verdict: Verdict) -> dict[str, Any]:
    statement = REGISTRY[verdict.statement]

    def finite(value: float | None) -> float | None:
        return None if value is None or not np.isfinite(value) else float(value)

    return {
        "statement": statement.name,
        "title": statement.title,
        "kind": statement.kind,
        "section": statement.section,
        "source": statement.source,
        "output": verdict.output,
        "from_round": verdict.start,
        "status": verdict.status,
        "why": verdict.why,
        "lower": finite(verdict.lower),
        "actual": finite(verdict.actual),
        "upper": finite(verdict.upper),
        "slack": finite(verdict.slack),
        "tightness": finite(verdict.tightness),
        "tolerance": finite(verdict.tolerance),
        "where": None if verdict.where is None else list(verdict.where),
        "place": verdict.place,
    }


# ------------------------------------------------------------------ the table


def text(
    result: Distillation,
    found: Verdicts,
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
        A chain and what :func:`hilbertsd.theory.check` says about it.
    heading
        Lines to put first, as for :func:`hilbertsd.report.chain.text`.
    verbose
        Say of every statement what it claims, where it comes from, and where it is nearest.
    """
    from rich.console import Group
    from rich.text import Text

    several = len({verdict.output for verdict in found}) > 1
    lines = [_dates(result), *_start(result)]
    parts: list[RenderableType] = [grid(heading_of(result, heading or {})), *map(Text, lines)]
    if not (fitted := bool(np.isfinite(result.multipliers).any())):  # little is left to speak of
        parts.append(Text("Everything has collapsed at the start: every fit is the zero function."))
    shown = [v for v in found if fitted or v.status != "not applicable"]
    sections = _sections(shown)
    word_width = max(len(_word(claim)) for _, claims in sections for claim in claims)
    for i, (section, claims) in enumerate(sections):
        table = _details(claims) if verbose else _table(claims, word_width, i == 0, several)
        parts += [Text(), Text(section, style="bold"), table]
    remarks = [_count(found, several), *_loudly(found)]
    remarks += _reasons(found, several) if fitted else ["The others are about fits."]
    remarks += [] if verbose else [COLUMNS + (OUTPUT_COLUMN if several else "")]
    parts += [Text(), *map(Text, remarks)]
    return plain(Group(*parts), width=width, terminal=terminal)


def _sections(found: Iterable[Verdict]) -> list[tuple[str, list[list[Verdict]]]]:
    """The verdicts on each statement, one an output, by section in the order of the paper."""
    groups: dict[str, dict[str, list[Verdict]]] = {}
    for verdict in found:
        group = groups.setdefault(REGISTRY[verdict.statement].section, {})
        group.setdefault(verdict.statement, []).append(verdict)
    return [(section, list(groups[section].values())) for section in sorted(groups)]


def _shown(outputs: Sequence[Verdict]) -> Verdict:
    """Of the verdicts on one statement, the one with the least slack of the worst status."""

    def order(verdict: Verdict) -> tuple[int, float]:
        return WORST.index(verdict.status), np.inf if verdict.slack is None else verdict.slack

    return min(outputs, key=order)


def _word(outputs: Sequence[Verdict]) -> str:
    status = _shown(outputs).status
    seen = sum(verdict.status == status for verdict in outputs)
    share = "" if seen == len(outputs) else f" {seen}/{len(outputs)}"
    return WORDS[status] + share


def _table(
    claims: Sequence[list[Verdict]], word_width: int, header: bool, several: bool
) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    # Fixed widths: the tables of all sections line up.
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, expand=True, show_header=header)
    table.add_column("", overflow="fold", ratio=1)
    for name in ("lower ≤", "actual", "≤ upper", "slack"):
        table.add_column(name, justify="right", width=7, overflow="fold", style="dim")
    table.add_column("tight", justify="right", width=5)
    if several:
        table.add_column("out", justify="right", width=3, overflow="fold")
    table.add_column("", width=word_width, overflow="fold")
    for outputs in claims:
        verdict = _shown(outputs)
        statement, slack = REGISTRY[verdict.statement], verdict.slack
        if verdict.status == "undecided":
            slack = None
        elif slack is not None and abs(slack) <= (verdict.tolerance or 0.0):
            slack = 0.0  # equality, within rounding
        numbers = (verdict.lower, verdict.actual, verdict.upper, slack)
        look = LOOKS.get(verdict.status, "dim")
        which = "" if slack is None or verdict.output is None else str(verdict.output)
        table.add_row(
            Text(SHORT.get(statement.name, statement.title)),
            *(number_text(value) for value in numbers),
            percent(verdict.tightness),
            *([which] if several else []),
            Text(_word(outputs), style=look),
        )
    return table


def _details(claims: Sequence[list[Verdict]]) -> RenderableType:
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    blocks: list[RenderableType] = []
    for outputs in claims:
        verdict = _shown(outputs)
        statement = REGISTRY[verdict.statement]
        claim = " ".join((statement.__doc__ or "").strip().split("\n\n")[0].split())
        lines = [claim, f"{statement.kind}; {statement.source}"]
        if verdict.start:
            lines.append(f"of the chain from round {verdict.start} on, which it calls round 0")
        if verdict.slack is not None and verdict.tolerance is not None:
            lines.append(
                f"slack {verdict.slack:.3g}, rounding {verdict.tolerance:.1g}"
                + ("" if verdict.tightness is None else f", tight {verdict.tightness:.3g}")
            )
        where = "" if verdict.output is None else f" (output {verdict.output})"
        lines.append(f"{verdict.why}{where}")
        blocks.append(Text(f"  {statement.title} ({statement.name}): {_word(outputs)}"))
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
    open_ = "" if np.all(result.collapse_decided) else ", within rounding of another one"
    return f"{ratio}; collapse at round {span(np.array(known))}{part}{open_}."


def _start(result: Distillation) -> list[str]:
    """Say where statements about a chain begin if that is not round 0, and why."""
    several = result.labels.ndim == 3 and not result.joint
    outputs = range(result.labels.shape[2] if several else 1)
    chains = [views(result, output)["chain"] for output in outputs]
    later = [chain for chain in chains if chain is not None and chain.start > 0]
    if not later or result.spectrum is None:
        return []
    start = later[0].start
    ratio = span(np.array([float(chain.r[0]) for chain in later]), 3)
    fits = span(np.array([float(chain.fits) for chain in later]), 3)
    part = f" of {len(later)} of {len(outputs)} outputs" if len(later) < len(outputs) else ""
    return [
        f"Rank {result.spectrum.rank} < {result.labels.shape[1]}: statements about a chain of "
        f"labels in the range of G{part} start at round {start}, with r_{start} = {ratio} and "
        f"{fits} fit{'s' * (fits != '1')} from there on, because round 0 fits only what y_0 has "
        "in that range, with the tolerance ε − residual floor. The dates of the collapse are "
        "about y_0 itself."
    ]


def _count(found: Verdicts, several: bool) -> str:
    seen, statements = found.counts, len({verdict.statement for verdict in found})
    outputs = len({verdict.output for verdict in found})
    on = f" on {outputs} outputs, {statements * outputs} verdicts" if several else ""
    return (
        f"{statements} statements{on}: {seen['holds']} hold, {seen['vacuous']} vacuous, "
        + f"{seen['undecided']} undecided, " * (seen["undecided"] > 0)
        + f"{seen['not applicable']} not applicable, {seen['fails']} fail."
    )


def _loudly(found: Verdicts) -> list[str]:
    """What nobody should miss: that some statements were not decided."""
    count = found.counts["undecided"]
    if not count:
        return []
    return [
        f"NOT CHECKED: {count} of {len(found)} verdicts. Rounding errors of this chain are too "
        "large to say whether these statements hold, or whether they apply; 'hilbertsd certify' "
        "decides without rounding, up to 300 points."
    ]


def _reasons(found: Verdicts, several: bool) -> list[str]:
    """What does not simply hold, by its reason."""
    outputs = len({verdict.output for verdict in found})
    reasons: dict[tuple[str, str], dict[str, int]] = {}
    for verdict in found:
        if verdict.status == "holds":
            continue
        numbered = verdict.status in ("vacuous", "undecided")
        why = verdict.why.partition(":")[0] if numbered else verdict.why
        if verdict.status == "not applicable" and verdict.start:
            why += f" (of the chain from round {verdict.start} on)"
        title = verdict.title
        if verdict.status == "fails" and several:
            title += f", output {verdict.output}"
        titles = reasons.setdefault((verdict.status, why), {})
        titles[title] = titles.get(title, 0) + 1
    lines = []
    for (status, why), titles in reasons.items():
        named = [
            title if not several or count in (1, outputs) else f"{title} ({count} outputs)"
            for title, count in titles.items()
        ]
        lines.append(f"{status.capitalize()}, {why}: {'; '.join(named)}.")
    return lines
