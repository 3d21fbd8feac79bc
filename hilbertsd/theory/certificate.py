"""Certificates on disk: the problem, what was enclosed, what was decided; plain JSON, no code.

Numbers of the problem are exact rationals, ``"9/200"``. An enclosure is written ``"0x1a2bp-7"``,
a whole mantissa m and an exponent e, and claims |value − m 2^e| <= 513/1024 · 2^e: correctly
rounded but for ties. Mantissas have a fixed number of bits, so a number has one spelling, and one
unit more or less in the last place is a false claim. The digest finds damage; it is no signature.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from hilbertsd import inputs
from hilbertsd.errors import HilbertSDError
from hilbertsd.kernels.parse import parse_kernel
from hilbertsd.storage import replacing
from hilbertsd.theory.exact import (
    MOST_CHARACTERS,
    MOST_POINTS,
    MOST_ROUNDS,
    Problem,
    tolerances,
)
from hilbertsd.version import __version__

FORMAT = "hilbertsd-certificate"
VERSION = 2
RADIUS = Fraction(513, 1024)
"""Radius of an enclosure in units of its last bit."""
HOLDS_TO = "1e-30"
"""Relative gap below which two sides that may be equal are said to agree."""

MOST_BYTES = 64_000_000
MOST_BITS = 4096
MOST_KERNEL = 300
"""Longest text of a kernel; MOST_FLOOR that of a residual floor, in which K numbers multiply."""
MOST_FLOOR = 2**17

Decision = Literal["proved", "refuted", "undecided", "not applicable"]
Outcome = Literal["collapsed", "running", "undecided"]


class CertificateError(HilbertSDError):
    """A certificate that is damaged, or that claims what cannot be re-established."""


class Enclosure(NamedTuple):
    """A number known to within 513/1024 units of its last bit."""

    mantissa: int
    exponent: int

    @property
    def lower(self) -> Fraction:
        """The least it can be."""
        return (self.mantissa - RADIUS) * Fraction(2) ** self.exponent

    @property
    def upper(self) -> Fraction:
        """The most it can be."""
        return (self.mantissa + RADIUS) * Fraction(2) ** self.exponent

    def __str__(self) -> str:
        return f"{self.mantissa:#x}p{self.exponent}"

    def __float__(self) -> float:
        return float(self.mantissa * Fraction(2) ** self.exponent)


def weight_exponent(power: Fraction, bits: int) -> int:
    """The last bit of weights: ``bits`` below the leading bit of ‖y‖², or of 1 for y = 0."""
    if power == 0:
        return -bits
    return power.numerator.bit_length() - power.denominator.bit_length() + 1 - bits


class Verdict(NamedTuple):
    """What was decided about one statement on one problem."""

    name: str
    title: str
    source: str
    verdict: Decision
    reason: str | None
    """The hypothesis that fails where the statement is not applicable, else None."""
    holds_to: str | None
    """``"1e-30"`` where the claim, or a side of it that may be attained, is proved to that share of
    its scale; None where it is proved without."""


@dataclass(frozen=True, eq=False)
class CertifiedChain:
    """What was enclosed and decided about one chain.

    Attributes
    ----------
    residual_floor
        Exact: ε_floor, the sum over the outputs of the chain.
    weights
        For each output of the chain the squared norms of the projections of its labels on the
        eigenspaces.
    multipliers
        c_t of the n non-trivial fits.
    label_ratios
        r_0 .. r_n.
    basis_weights
        (n, m) of B_t, one for each distinct positive eigenvalue.
    outcome
        ``"collapsed"``: r_n <= 1 is proved, so n is the collapse round. ``"running"``: r_n > 1 is
        proved and all fits asked for are done. ``"undecided"``: the fit n is proved non-trivial,
        but not whether r_{n+1} exceeds 1; the chain is cut there.
    verdicts
        One for every registered statement.
    """

    residual_floor: Fraction
    weights: tuple[tuple[Enclosure, ...], ...]
    multipliers: tuple[Enclosure, ...]
    label_ratios: tuple[Enclosure, ...]
    basis_weights: tuple[tuple[Enclosure, ...], ...]
    outcome: Outcome
    verdicts: tuple[Verdict, ...] = ()

    @property
    def collapse_round(self) -> int | None:
        """The proved collapse round; None where the chain did not reach it or it is undecided."""
        return len(self.multipliers) if self.outcome == "collapsed" else None


@dataclass(frozen=True, eq=False)
class Certificate:
    """Everything that was enclosed and decided about one problem.

    Where there is one chain, its attributes can be read here too. ``repr`` is one line;
    :meth:`to_json` has it all.

    Attributes
    ----------
    problem
        The problem, in rationals.
    bits
        Bits of the eigenvalues and of the weights (relative to ‖y‖²); multipliers have 3/4 as
        many, label ratios and basis weights half.
    nullity
        Exact: the number of zero eigenvalues.
    eigenvalues, multiplicities
        The distinct positive eigenvalues, ascending; how often each occurs, exactly.
    chains
        One an output, or one for all of them if joint.
    """

    problem: Problem
    bits: int
    nullity: int
    eigenvalues: tuple[Enclosure, ...]
    multiplicities: tuple[int, ...]
    chains: tuple[CertifiedChain, ...]

    @property
    def rank(self) -> int:
        """Exact rank of G."""
        return self.problem.size - self.nullity

    @property
    def collapse_round(self) -> int | tuple[int | None, ...] | None:
        """The proved collapse round; a tuple, one an output, for labels of shape (K, Q).

        None where the chain did not reach it or it is undecided.
        """
        if self.problem.y.ndim == 1:
            return self.chains[0].collapse_round
        return tuple(c.collapse_round for c in self.chains for _ in c.weights)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Those of the chains, one after the other."""
        return tuple(verdict for chain in self.chains for verdict in chain.verdicts)

    def __getattr__(self, name: str) -> Any:
        """Read an attribute of the only chain."""
        if name.startswith("_") or name not in CertifiedChain.__dataclass_fields__:
            raise AttributeError(f"a certificate has no {name!r}")
        chain, *others = self.chains
        if others:
            raise HilbertSDError(
                f"this certificate is about {len(self.chains)} chains, one an output: read {name} "
                "of one of them, certificate.chains[0] for instance"
            )
        return getattr(chain, name)

    def __repr__(self) -> str:
        """Say in one line what was decided."""
        rounds = self.collapse_round
        each = rounds if isinstance(rounds, tuple) else (rounds,)
        known = sorted({n for n in each if n is not None})
        ends = f"collapse at round {' or '.join(map(str, known))}" if known else "no collapse"
        if known and None in each:
            ends += " in some outputs"
        decided = Counter(verdict.verdict for verdict in self.verdicts)
        counts = ", ".join(
            f"{decided[kind]} {kind}" for kind in get_args(Decision) if decided[kind]
        )
        joint = ", joint" if self.problem.joint else ""
        return (
            f"<Certificate of K={self.problem.size} points, Q={self.problem.columns.shape[1]}"
            f"{joint}: rank {self.rank}, {ends}; {counts or 'no statements'}; {self.bits} bits>"
        )

    def to_json(self) -> str:
        """Encode the certificate."""
        document = self._document()
        return json.dumps(document | {"digest": digest(document)}, indent=1) + "\n"

    def save(self, path: str | PathLike[str]) -> None:
        """Write the certificate to a file, which appears only when it is complete."""
        with replacing(path) as file:
            file.write(self.to_json())

    def _document(self) -> dict[str, Any]:
        p = self.problem
        gram = None if p.gram is None else [row[: j + 1] for j, row in enumerate(p.gram)]
        return {
            "format": FORMAT,
            "version": VERSION,
            "hilbertsd": __version__,
            "problem": {
                "gram": _texts(gram),
                "kernel": p.kernel,
                "points": _texts(p.points),
                "y": _texts(p.y),
                "eps": _texts(p.eps),
                "rounds": p.rounds,
                "joint": p.joint,
            },
            "bits": self.bits,
            "holds_to": HOLDS_TO,
            "spectrum": {
                "nullity": self.nullity,
                "eigenvalues": _texts(self.eigenvalues),
                "multiplicities": list(self.multiplicities),
            },
            "chains": [
                {
                    "residual_floor": _hexadecimal(chain.residual_floor),
                    "weights": _texts(chain.weights),
                    "multipliers": _texts(chain.multipliers),
                    "label_ratios": _texts(chain.label_ratios),
                    "basis_weights": _texts(chain.basis_weights),
                    "outcome": chain.outcome,
                    "statements": [verdict._asdict() for verdict in chain.verdicts],
                }
                for chain in self.chains
            ],
        }


def digest(document: dict[str, Any]) -> str:
    """Return the SHA-256 of a document without its digest."""
    content = {key: value for key, value in document.items() if key != "digest"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def from_json(text: str) -> Certificate:
    """Decode a certificate: only its form is checked here, none of its claims.

    Raises
    ------
    CertificateError
        If it is not a certificate of this version, or not spelled as one.
    """
    if not isinstance(text, str):
        raise CertificateError(f"a certificate is text, not {type(text).__name__}")
    if len(text) > MOST_BYTES:
        raise CertificateError(f"a certificate is text of at most {MOST_BYTES} characters")
    if not text.lstrip().startswith("{"):
        raise CertificateError(
            f"this is not a certificate: {text[:40]!r}; give the content of its file, or its path "
            "as a pathlib.Path"
        )
    try:
        document = json.loads(
            text, object_pairs_hook=_distinct, parse_float=_refused, parse_constant=_refused
        )
    except (ValueError, RecursionError) as error:
        raise CertificateError(f"this is not a certificate: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise CertificateError(f"this is not a certificate: its format is not {FORMAT!r}")
    for key, known in (("version", VERSION), ("hilbertsd", __version__)):
        if document.get(key) != known:
            raise CertificateError(
                f"this certificate has {key} {str(document.get(key))[:40]!r}, this package reads "
                f"{known!r}: a certificate is about the statements of one version; check it with "
                "that one, or make it again"
            )
    try:
        certificate = _decoded(document)
        spelled = certificate._document()
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = (f"{error} is missing" if isinstance(error, KeyError) else f"{error}")[:200]
        raise CertificateError(f"this certificate is damaged: {what}") from None
    seal = document.pop("digest", None)
    if digest(document) != digest(spelled):  # of the text, in which true is not 1
        where = _differs(document, spelled)
        raise CertificateError(f"this certificate is not spelled as certificates are, at {where}")
    if seal != digest(spelled):
        raise CertificateError(
            "this certificate was altered: its content does not match its digest"
        )
    return certificate


def _differs(given: Any, spelled: Any, path: str = "") -> str:
    """Where a document is not what its own content would be written as."""
    if isinstance(given, dict) and isinstance(spelled, dict):
        for key in [*given, *spelled]:
            if key not in given or key not in spelled:
                return f"{path}{key} (one key too {'few' if key in spelled else 'many'})"
            if (where := _differs(given[key], spelled[key], f"{path}{key}.")) != "":
                return where
        return ""
    if isinstance(given, list) and isinstance(spelled, list) and len(given) == len(spelled):
        parts = enumerate(zip(given, spelled, strict=True))
        return next((w for i, (a, b) in parts if (w := _differs(a, b, f"{path}{i}.")) != ""), "")
    same = json.dumps(given, sort_keys=True) == json.dumps(spelled, sort_keys=True)
    return "" if same else path.rstrip(".")


def _decoded(document: dict[str, Any]) -> Certificate:
    given, spectrum = document["problem"], document["spectrum"]
    y = _array(given["y"], 2)
    size = len(y) if y.ndim else 0
    if not 1 <= size <= MOST_POINTS:
        raise ValueError(f"{size} points")
    gram = points = kernel = None
    if given["kernel"] is None:
        lower = [[_rational(v) for v in row] for row in given["gram"]]
        if [len(row) for row in lower] != list(range(1, size + 1)):
            raise ValueError("the Gram matrix is not a lower triangle")
        gram = np.empty((size, size), dtype=object)
        for j, row in enumerate(lower):
            gram[j, : j + 1] = gram[: j + 1, j] = row
    else:
        kernel = given["kernel"]
        if len(kernel) > MOST_KERNEL:
            raise ValueError(f"the kernel's text is longer than {MOST_KERNEL}")
        if repr(parse_kernel(kernel)) != kernel:
            raise ValueError("the kernel has another name")
        points = np.array([[_rational(v) for v in row] for row in given["points"]], dtype=object)
        if points.ndim != 2 or len(points) != size or points.size > 100 * MOST_POINTS:
            raise ValueError("as many points as labels are needed")
    rounds = _whole(given["rounds"], MOST_ROUNDS)
    joint = inputs.flag("joint", given["joint"])
    if joint and y.ndim == 1:
        raise ValueError("one output shares its multiplier with none")
    eps = tolerances(_array(given["eps"], 2), y, rounds, joint)
    problem = Problem(gram, kernel, points, y, eps, rounds, joint)
    if len(document["chains"]) != len(problem.outputs):
        raise ValueError("as many chains as there are outputs are needed, or one if joint")
    return Certificate(
        problem,
        _whole(document["bits"], MOST_BITS),
        _whole(spectrum["nullity"], size),
        tuple(map(_enclosure, spectrum["eigenvalues"])),
        tuple(_whole(v, size) for v in spectrum["multiplicities"]),
        tuple(map(_chain, document["chains"])),
    )


def _chain(part: dict[str, Any]) -> CertifiedChain:
    return CertifiedChain(
        _from_hexadecimal(part["residual_floor"]),
        tuple(tuple(map(_enclosure, row)) for row in part["weights"]),
        tuple(map(_enclosure, part["multipliers"])),
        tuple(map(_enclosure, part["label_ratios"])),
        tuple(tuple(map(_enclosure, row)) for row in part["basis_weights"]),
        part["outcome"],
        tuple(Verdict(**entry) for entry in part["statements"]),
    )


def _array(texts: Any, deepest: int) -> np.ndarray:
    """Read nested lists of rationals, at most so deep."""
    if isinstance(texts, str):
        array = np.empty((), dtype=object)
        array[()] = _rational(texts)
        return array
    if not isinstance(texts, list) or not texts or deepest == 0:
        raise ValueError("numbers in nested lists are needed")
    rows = [_array(entry, deepest - 1) for entry in texts]
    if len({row.shape for row in rows}) > 1:
        raise ValueError("lists of the same length are needed")
    return np.stack(rows)


def _texts(values: Any) -> Any:
    """Spell nested sequences of numbers."""
    if values is None:
        return None
    if isinstance(values, np.ndarray) and values.ndim == 0:
        values = values.item()
    if isinstance(values, (Fraction, Enclosure)):
        return str(values)
    return [_texts(value) for value in values]


def _rational(text: Any) -> Fraction:
    if not isinstance(text, str) or len(text) > MOST_CHARACTERS:
        raise ValueError("a number is a short text")
    if not re.fullmatch(r"-?\d+(/\d+)?", text, re.ASCII):
        raise ValueError(f"{text[:40]!r} is not a rational number")
    numerator, _, denominator = text.partition("/")
    if denominator and int(denominator) == 0:
        raise ValueError("a number divides by zero")
    return Fraction(int(numerator), int(denominator or 1))


def _hexadecimal(value: Fraction) -> str:
    # Of a projection: too long for the decimal conversion, which takes quadratic time.
    return f"{value.numerator:#x}/{value.denominator:#x}"


def _from_hexadecimal(text: Any) -> Fraction:
    if (
        not isinstance(text, str)
        or len(text) > MOST_FLOOR
        or not re.fullmatch("0x[0-9a-f]+/0x[0-9a-f]*[1-9a-f][0-9a-f]*", text)
    ):
        raise ValueError("the residual floor is not a rational number")
    numerator, _, denominator = text.partition("/")
    return Fraction(int(numerator, 16), int(denominator, 16))


def _enclosure(text: Any) -> Enclosure:
    if not isinstance(text, str) or len(text) > MOST_CHARACTERS:
        raise ValueError("an enclosure is a short text")
    if not (match := re.fullmatch(r"(-?0x[0-9a-f]+)p(-?\d{1,4})", text, re.ASCII)):
        raise ValueError(f"{text[:40]!r} is not an enclosure")
    return Enclosure(int(match[1], 16), int(match[2]))


def _whole(value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"{str(value)[:40]} is not a whole number up to {most}")
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key occurs twice")
    return document


def _refused(token: str) -> Any:
    raise ValueError(f"the number {token[:40]} is not whole")
