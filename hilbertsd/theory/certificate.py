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
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from os import PathLike
from typing import Any, Literal, NamedTuple

import numpy as np

from hilbertsd import inputs
from hilbertsd.errors import HilbertSDError
from hilbertsd.kernels.parse import parse_kernel
from hilbertsd.storage import replacing
from hilbertsd.theory.exact import MOST_CHARACTERS, exact_gram
from hilbertsd.version import __version__

FORMAT = "hilbertsd-certificate"
VERSION = 2
RADIUS = Fraction(513, 1024)
"""Radius of an enclosure in units of its last bit."""
HOLDS_TO = "1e-30"
"""Relative gap below which two sides that may be equal are said to agree."""

MOST_BYTES = 64_000_000
MOST_POINTS = 300
MOST_ROUNDS = 1000
MOST_OUTPUTS = 100
MOST_BITS = 4096

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
class Problem:
    """Chains in exact rationals: a Gram matrix, or a kernel and points that make it, and labels.

    Attributes
    ----------
    gram
        (K, K) Fractions, symmetric, with the 1/K; None where a kernel is given.
    kernel, points
        The kernel as text, and (K, d) Fractions; or None.
    y
        (K,) or (K, Q) Fractions.
    eps
        Fractions of shape (), (Q,), (T, 1) or (T, Q), T = rounds + 1; () or (T, 1) if joint.
    rounds, joint
        Rounds after ordinary training, and whether all outputs share a multiplier, as in
        :func:`hilbertsd.self_distill`.
    """

    gram: np.ndarray | None
    kernel: str | None
    points: np.ndarray | None
    y: np.ndarray
    eps: np.ndarray
    rounds: int
    joint: bool = False

    @property
    def size(self) -> int:
        """K, the number of points."""
        return len(self.y)

    @property
    def columns(self) -> np.ndarray:
        """(K, Q) labels, also where there is one output."""
        return self.y.reshape(self.size, -1)

    @property
    def outputs(self) -> tuple[tuple[int, ...], ...]:
        """The outputs of each chain: all of them if joint, else one."""
        every = range(self.columns.shape[1])
        return (tuple(every),) if self.joint else tuple((q,) for q in every)

    @cached_property
    def tolerances(self) -> tuple[tuple[Fraction, ...], ...]:
        """ε_0 .. ε_{T−1} of each chain."""
        fits, chains = self.rounds + 1, len(self.outputs)
        return tuple(map(tuple, np.broadcast_to(self.eps, (fits, chains)).T))

    @cached_property
    def matrix(self) -> np.ndarray:
        """(K, K) the Gram matrix in Fractions."""
        if self.gram is not None:
            return self.gram
        assert self.kernel is not None
        return exact_gram(parse_kernel(self.kernel), self.points)


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

    Where there is one chain, its attributes can be read here too.

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
    if not isinstance(text, str) or len(text) > MOST_BYTES:
        raise CertificateError(f"a certificate is text of at most {MOST_BYTES} characters")
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
        what = f"{type(error).__name__}: {error}"[:200]
        raise CertificateError(f"this certificate is damaged ({what})") from None
    seal = document.pop("digest", None)
    if digest(document) != digest(spelled):  # of the text, in which true is not 1
        raise CertificateError("this certificate is not spelled as certificates are")
    if seal != digest(spelled):
        raise CertificateError("this certificate was altered: its digest is another")
    return certificate


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


def tolerances(eps: np.ndarray, y: np.ndarray, rounds: int, joint: bool) -> np.ndarray:
    """Return tolerances in Fractions, refused unless positive and of a shape that fits."""
    outputs = y.shape[1] if y.ndim == 2 else 1
    if not 1 <= outputs <= MOST_OUTPUTS:
        raise HilbertSDError(f"certificates take 1 to {MOST_OUTPUTS} outputs, got {outputs}")
    inputs.tolerances(np.ones(eps.shape), fits=rounds + 1, outputs=outputs, joint=joint)
    if (least := min(eps.flat)) <= 0:
        raise HilbertSDError(f"eps must be positive, got {float(least):.6g}")
    return eps[:, None] if outputs == 1 and eps.shape == (rounds + 1,) else eps


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
    if not isinstance(text, str) or not re.fullmatch(
        "0x[0-9a-f]+/0x[0-9a-f]*[1-9a-f][0-9a-f]*", text
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
