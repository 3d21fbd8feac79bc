"""The page of the documentation that lists every statement, written from the registry.

What SymPy proves is data here, and a test keeps it true; what ball arithmetic decides and how tight
a statement is come from certificates and from a recorded run of the adversary.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hilbertsd.theory.certificate import Verdict
from hilbertsd.theory.instances import problems, summary
from hilbertsd.theory.statement import REGISTRY, Statement

WIDTH = 100
HEADINGS = (
    "statement",
    "kind",
    "hypotheses",
    "proof",
    "certificates",
    "least slack",
    "with κ",
    "with m",
    "with n",
    "null space",
    "ε varies",
    "tight at",
)
LINES = ("kappa", "nodes", "fits")
COMMAND = "hilbertsd attack --budget quick --seed 0 --output docs/attack"
SYMPY: dict[str, tuple[str, ...]] = {
    "stationarity": ("test_stationarity_is_the_linear_system",),
    "optimality": ("test_stationarity_is_the_linear_system",),
    "no_better_competitor": ("test_growth_of_R_away_from_the_optimum",),
    "training_residual": ("test_proposition_2",),
    "residual_increases": ("test_the_secular_equation_increases",),
    "multiplier_mean_bound": ("test_power_mean_is_concave", "test_jensen_is_the_tangent_at_zero"),
    "multiplier_reduced_bound": ("test_reduced_eigenvalue_is_the_slope_at_infinity",),
    "one_round_ratio": ("test_one_round_bounds_are_the_extreme_entries_of_A",),
    "tangent_below": ("test_tangents_slope_and_offset", "test_tangent_lemmas"),
    "tangent_above": ("test_tangents_slope_and_offset", "test_tangent_lemmas"),
    "label_norm_lower_bound": ("test_closed_form_of_the_recurrence", "test_tangent_lemmas"),
    "label_norm_upper_bound": ("test_closed_form_of_the_recurrence", "test_tangent_lemmas"),
    "guaranteed_rounds": ("test_proposition_4_from_one_round",),
    "power_drop": ("test_power_drop",),
    "kantorovich_drop": ("test_kantorovich_drop",),
    "label_ratio_iterated": ("test_iterated_ratio_solves_the_drop",),
    "rounds_at_most_dated": ("test_date_by_the_condition_number",),
    "weight_ratio": ("test_theorem_5_grows_with_c_and_shrinks_with_r",),
    "weight_ratio_a_posteriori": ("test_theorem_5_grows_with_c_and_shrinks_with_r",),
    "weight_ratio_reduced": ("test_theorem_5_grows_with_c_and_shrinks_with_r",),
    "sparsity_index": ("test_theorem_5_grows_with_c_and_shrinks_with_r",),
    "index_decreases_in_tolerance": ("test_theorem_6_monotone",),
    "index_limit": ("test_theorem_6_limit", "test_theorem_6_rate"),
    "early_stopping_ratio": ("test_one_fit_is_below_the_ratio_of_eigenvalues",),
    "self_distillation_ratio": ("test_one_fit_is_below_the_ratio_of_eigenvalues",),
    "matched_early_stopping": ("test_convexity_behind_the_matched_comparison",),
    "equivalent_kernel": ("test_equivalent_kernel",),
    "equivalent_kernel_function": ("test_equivalent_kernel",),
    "equivalent_spectrum_decreases": ("test_equivalent_kernel_round_by_round_and_decreasing",),
    "local_rademacher_bound": ("test_local_rademacher_fixed_point",),
}
"""Statements whose algebra SymPy proves, and the tests in tests/theory/test_proofs.py that do it;
what remains of a proof, and all of the others, is in words in the statement's docstring."""
BY_CONSTRUCTION = frozenset(
    {
        "stationarity",
        "training_residual",
        "unrolled_labels",
        "realised_recurrence",
        "guaranteed_rounds_near_interpolation",
        "equivalent_kernel",
        "equivalent_kernel_function",
    }
)
"""Identities of labels that are made of the multipliers, whatever these are: a certificate, whose
labels are, cannot refute them. Of a result they are about what it hands out."""
READING = (
    "**How to read it.** A chain is a sequence of n non-trivial fits on the range of G, with m "
    "positive eigenvalues d_min .. d_max and κ = d_max/d_min; letters are those of [the "
    "notation](notation.md). A statement is *about single rounds* if it speaks of one fit at a "
    "time, or of the labels as they are, on any G and with any tolerances; others are *about the "
    "chain of constant tolerance in the range of G*, which on a singular G starts at round 1. "
    "Bounds of ratios of weights are written, and compared, as logarithms: products of numbers "
    "near 1 lose every digit."
)
KINDS = (
    "**Kinds.** An *identity* says that two numbers are the same; *lower*, *upper* and "
    "*two-sided* are bounds from below, from above, from both sides; *monotone* says that "
    "something only increases, or only decreases, from round to round or with ε; a *limit* "
    "encloses what something tends to as ε → 0, with the rate."
)
SLACK = (
    "**Slack** is how far from equality the adversary found the statement at least: the gap over "
    "what is true beyond what is known without it. 0 is equality, 1 says no more than was known, "
    "and more than 1 says less than that. Where nothing is known the gap is compared with both "
    "sides. The columns *with κ*, *with m*, *with n* give the least slack at a fixed condition "
    "number, number of eigenvalues and number of fits: how good the bound is away from its best "
    "case. A dash stands where the statement is applicable to no such chain. This slack is not "
    "that of `hilbertsd verify`, which is relative to the size of what is compared ([Reading a "
    "verdict](checking-the-theory.md#reading-a-verdict))."
)
PROPERTIES = (
    "**What was tested.** Every statement is tested on named chains, on chains drawn from their "
    "spectrum, in fifty digits, and with at least two planted mistakes that the property test, "
    "certificates and the adversary have to find (`tests/theory/test_statements.py`, "
    "`test_certify.py`, `test_attack.py`); for each of its hypotheses there is a chain that "
    "breaks the claim once the hypothesis is dropped, or an argument that it is not needed "
    "(`test_controls.py`). Each side of a bound is compared with the actual value where it is "
    "attained, so that a weaker one is noticed (`test_sides.py`), and the code that is evaluated "
    "is compared with its derivation on SymPy's symbols (`test_formulas.py`)."
)
CERTIFICATES = (
    "**What is proved.** Proofs are in the docstrings, which stand below; where SymPy proves the "
    "algebra as well, the tests are named. Certificates prove a statement in ball arithmetic, "
    "but on one problem at a time; the column says on how many of {count} problems it is "
    "applicable and proved ({names}). Balls never prove equality: `to 1e-30` says that lower − δ "
    "<= actual <= upper + δ is proved, with δ that share of the statement's scale. *By "
    "construction* are the identities that hold of labels made of any multipliers, as those of a "
    "certificate are: there they say nothing, and they were not at risk; `hilbertsd verify` "
    "evaluates them on the labels and dual coefficients that a result hands out. What balls "
    "cannot decide is a label ratio of exactly 1, and hypotheses are decided on the nearest "
    "floats."
)


def page(
    record: Mapping[str, Any] | None = None,
    figure: str | None = None,
    decided: Mapping[str, Sequence[Verdict]] | None = None,
) -> str:
    """Return the page in Markdown.

    Parameters
    ----------
    record
        Findings of the adversary, from :func:`hilbertsd.theory.record.to_record`; without them
        the page says which command makes them.
    figure
        Path of the figure of tightness, as the page links it.
    decided
        What certificates decide, from :func:`hilbertsd.theory.instances.decided`; without them
        the page says so.

    Examples
    --------
    >>> print(page().splitlines()[0])
    # Every statement of the theory
    """
    return "\n".join(map(_wrapped, _lines(record, figure, decided or {}))) + "\n"


def _lines(
    record: Mapping[str, Any] | None, figure: str | None, decided: Mapping[str, Sequence[Verdict]]
) -> Iterator[str]:
    yield "# Every statement of the theory"
    yield ""
    yield from (
        "<!-- Written by: python -m hilbertsd.theory --write docs/statements.md -->",
        "",
        f"{len(REGISTRY)} statements in the order of the paper's sections: what each claims, from "
        "which hypotheses, how it is proved, and how nearly it is attained. `hilbertsd verify` "
        "evaluates them on your data, `hilbertsd certify` decides them in ball arithmetic, "
        "`hilbertsd attack` searches for the chain on which they are nearest to failing; "
        "[Checking the theory](checking-the-theory.md) shows all three.",
        "",
        READING,
        "",
        KINDS,
        "",
        SLACK,
        "",
        CERTIFICATES.format(count=len(problems()), names=", ".join(problems())),
        "",
        PROPERTIES,
        "",
    )
    found: Mapping[str, Any] = record["statements"] if record else {}
    if record:
        yield (
            "**What was searched.** Chains of constant tolerance in the range of "
            "G, then singular G, whose null space leaves less of the tolerance to round 0, and "
            "tolerances that vary from round to round; there, statements about the chain of "
            f"constant tolerance claim nothing. Recorded by `{record['command']} --output "
            "docs/attack`."
        )
    else:
        yield f"The adversary has not been run; `{COMMAND}` fills the column of slacks."
    yield ""
    sections: dict[str, list[Statement]] = {}
    for statement in REGISTRY.values():
        sections.setdefault(statement.section, []).append(statement)
    for section in sorted(sections):
        yield from (f"## {section}", "")
        yield f"| {' | '.join(HEADINGS)} |"
        yield f"|{'---|' * len(HEADINGS)}"
        for statement in sections[section]:
            yield _row(statement, found.get(statement.name), decided.get(statement.name))
        yield ""
        for statement in sections[section]:
            yield from _entry(statement)
    if record and figure:
        yield from ("## How nearly they are attained", "", f"![Least slack]({figure})", "")
        yield (
            "A circle is the least slack over all chains searched; dots are those at a fixed "
            "condition number, number of eigenvalues, or number of fits, missing where the "
            "statement is applicable to none of those. Identities are left out."
        )


def _wrapped(line: str) -> str:
    """Break prose; tables, headings and what is set apart stay on their lines."""
    if line.startswith(("|", "#", "!", "<!")) or "\n" in line:
        return line
    return textwrap.fill(line, WIDTH, break_long_words=False, break_on_hyphens=False)


def _row(
    statement: Statement, found: Mapping[str, Any] | None, decided: Sequence[Verdict] | None
) -> str:
    requires = "; ".join(h.name for h in statement.requires) or "none"
    constructed = ", by construction" if statement.name in BY_CONSTRUCTION else ""
    proof = "SymPy, and words" if statement.name in SYMPY else "words"
    cells = (
        f"[{statement.title}](#{statement.name})",
        statement.kind,
        requires,
        proof,
        "not certified" if decided is None else summary(decided) + constructed,
        "not attacked" if found is None else _slack(found, where=True),
        *("not attacked" if found is None else _line(found, by) for by in LINES),
        *(
            "not attacked" if found is None else _slack(found["elsewhere"][where])
            for where in ("null space", "every round")
        ),
        statement.tight or "no such problem is known",
    )
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _slack(found: Mapping[str, Any], where: bool = False) -> str:
    if found["violated"]:
        return f"**violated**, {found['slack']:.2g}"
    if found["slack"] is None:
        return "claims nothing"
    slack = _digits(found["slack"])
    if not where or found["kind"] == "identity":
        return slack
    return f"{slack} at κ = {found['condition_number']:.2g}, r_0 = {found['label_ratio']:.2g}"


def _line(found: Mapping[str, Any], by: str) -> str:
    """The least slack along a line: "0 at 1, 0.5 at 100"."""
    if found["kind"] == "identity":
        return ""
    return ", ".join(f"{_digits(slack)} at {value:g}" for value, slack in found["by"][by])


def _digits(slack: float | None) -> str:
    return "–" if slack is None else f"{0.0 if abs(slack) < 1e-12 else slack:.2g}"


def _entry(statement: Statement) -> Iterator[str]:
    words = inspect.cleandoc(statement.__doc__ or "")
    proof = re.sub(r":func:`~?(?:[\w.]+\.)?(\w+)`", r"\1", words)
    about = {
        "rounds": "single rounds, or the labels as they are, on any G",
        "chain": "the chain of constant tolerance in the range of G",
    }
    tests = [f"`{name}`" for name in SYMPY.get(statement.name, ())]
    yield from (
        f'<a id="{statement.name}"></a>**{_prose(statement.title)}** (`{statement.name}`), '
        f"{_prose(statement.source)}; about {about[statement.about]}."
        + (f" Algebra proved in {', '.join(tests)} (`test_proofs.py`)." if tests else ""),
        "",
        f"```text\n{proof}\n```",
        "",
    )


def _cell(text: str) -> str:
    return _prose(text).replace("|", "\\|")


def _prose(text: str) -> str:
    """Underscores and asterisks as they stand."""
    if text.startswith("["):  # a link: only its text
        label, _, target = text.rpartition("](")
        return f"{_prose(label[1:]).join('[]')}({target}"
    return text if "**" in text else text.replace("_", "\\_").replace("*", "\\*")
