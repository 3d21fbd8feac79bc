"""Certificates: a chain enclosed in ball arithmetic, and every statement decided on it.

The problem is taken in exact rationals, its spectrum and chain are enclosed at rising working
precision, the enclosures are rounded to what the certificate will say, and the statements are
evaluated on these alone, so that a reader of the file sees what they saw.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any, cast, overload

import numpy as np

from hilbertsd import inputs
from hilbertsd.errors import HilbertSDError, InfeasibleToleranceError
from hilbertsd.kernels.kernel import Kernel
from hilbertsd.kernels.parse import parse_kernel
from hilbertsd.theory import balls, enclosures
from hilbertsd.theory.balls import Ball, Undecided, flint
from hilbertsd.theory.certificate import (
    HOLDS_TO,
    MOST_BITS,
    MOST_KERNEL,
    Certificate,
    CertifiedChain,
    Decision,
    Enclosure,
    Verdict,
    weight_exponent,
)
from hilbertsd.theory.chain import Chain
from hilbertsd.theory.enclosures import ExactProblem, MorePrecision
from hilbertsd.theory.exact import (
    MOST_POINTS,
    MOST_ROUNDS,
    MOST_WORK,
    Problem,
    exact_gram,
    rationals,
    symmetric_matrix,
    tolerances,
)
from hilbertsd.theory.statement import REGISTRY, Check, Statement

GUARD_BITS = 64
"""Beyond the published bits, for the evaluation of statements."""
WORKING_FACTORS = (2, 4, 8)
"""Working precisions tried, in units of the published bits."""

KernelLike = Kernel | Callable[[Any, Any], Any]


@overload
def certify(
    G: Any,
    y: Any,
    eps: Any,
    rounds: int = ...,
    *,
    joint: bool = ...,
    bits: int = ...,
    max_bits: int = ...,
    statements: Mapping[str, Statement] | None = ...,
) -> Certificate: ...
@overload
def certify(
    kernel: KernelLike,
    x: Any,
    y: Any,
    eps: Any,
    rounds: int = ...,
    *,
    joint: bool = ...,
    bits: int = ...,
    max_bits: int = ...,
    statements: Mapping[str, Statement] | None = ...,
) -> Certificate: ...
def certify(
    *problem: Any,
    joint: bool = False,
    bits: int = 256,
    max_bits: int = 1024,
    statements: Mapping[str, Statement] | None = None,
    **named: Any,
) -> Certificate:
    """Prove what happens in a chain, and decide every statement of the theory on it.

    ``certify(G, y, eps, rounds)`` is about the exact rationals that the floats of G are, and
    about (G + Gᵀ)/2, formed in rationals, where rounding left G a little unsymmetric. A Gram
    matrix that should be singular is, in floats, mostly not: that of the cubic spline on the
    floats 0, 0.1, .. 1, evaluated as (59) is written, has exact rank 10 instead of 9 and a
    negative eigenvalue, and is refused. So is every G with a negative eigenvalue, however small;
    the error names a multiple of the identity that lifts it above 0, of the size of rounding, for
    kernels such as the Gaussian, which have no rational form.

    ``certify(kernel, x, y, eps, rounds)`` builds the Gram matrix in rationals, for kernels that
    are rational functions: splines, Brownian motion and bridge, polynomials, and what is made of
    them. Null spaces and the residual floor are then exact. Floats in x, y and eps are again the
    rationals they are; text and Fractions, ``"0.1"`` or ``Fraction(1, 10)``, say what they say.

    A verdict is

    * ``proved``: lower <= actual <= upper for all numbers in the enclosures. Equality cannot be
      proved in balls. For an identity, and for an inequality that may be attained, ``holds_to``
      is ``"1e-30"``, and what is proved is lower − δ <= actual <= upper + δ with δ = 1e-30 of the
      statement's scale; the balls of the two sides overlap where the inequality is not proved.
    * ``refuted``: lower > actual or actual > upper somewhere, for all numbers in the enclosures.
    * ``undecided``: neither, at ``max_bits``.
    * ``not applicable``: a hypothesis fails, as decided on the nearest floats.

    Parameters
    ----------
    G, y, eps, rounds
        (K, K) Gram matrix with its 1/K, (K,) or (K, Q) labels, tolerances, and rounds after
        ordinary training (default 10), as for :func:`hilbertsd.self_distill`: eps is a number,
        (Q,), one an output, or (T, 1) or (T, Q), one a fit, T = rounds + 1. K is at most 300.
    kernel, x
        A kernel or a function of two points, and (K,) or (K, d) points, in place of G.
    joint
        Whether all outputs share one tolerance (1/K) ‖F − Y‖_F² <= ε and one multiplier. Else each
        has its own, and the certificate one chain an output.
    bits
        Precision of the enclosures to begin with, in bits of the eigenvalues.
    max_bits
        They double until everything is decided, up to this.
    statements
        What to decide; all of the theory by default.

    Raises
    ------
    InfeasibleToleranceError
        If ε is at or below the exact residual floor.
    HilbertSDError
        If G has a negative eigenvalue, the kernel is not rational, the input has another fault,
        the exact algebra would take more than ``MOST_WORK`` operations, or ``max_bits`` do not
        suffice to enclose the chain.

    Notes
    -----
    Enclosures: :mod:`hilbertsd.theory.enclosures`. Check a certificate, by other means, with
    :func:`hilbertsd.theory.verifier.check_certificate`.

    Examples
    --------
    >>> from hilbertsd.kernels import brownian_bridge
    >>> certificate = certify(brownian_bridge(), ["0", "1/3", "2/3"], ["0", "1", "2"], eps="1/10")
    >>> certificate.rank, certificate.collapse_round
    (2, 4)
    >>> G, Y = [["2/3", "1/3"], ["1/3", "2/3"]], [["1", "2"], ["0", "1"]]
    >>> certify(G, Y, "1/10").collapse_round, certify(G, Y, "1/5", joint=True).collapse_round
    ((2, 5), (3, 3))
    """
    given = _given(_bound(problem, named), inputs.flag("joint", joint))
    if not 64 <= bits <= max_bits <= MOST_BITS or bits % 4:
        raise HilbertSDError(
            f"64 <= bits <= max_bits <= {MOST_BITS} and a multiple of 4 are needed, got bits = "
            f"{bits} and max_bits = {max_bits}"
        )
    chosen = REGISTRY if statements is None else statements
    if (work := given.work(bits)) > MOST_WORK:
        raise HilbertSDError(
            f"this problem would cost some {work:.1g} bit operations, certificates at most "
            f"{MOST_WORK:.0g}: K⁴ for each output and each bit of precision and of the numbers; "
            "take fewer points or outputs, or round their numbers"
        )
    exact = ExactProblem(given.matrix, given.columns)
    for outputs, (eps, *_) in zip(given.outputs, given.tolerances, strict=True):
        power, floor = (_sum(of[q] for q in outputs) for of in (exact.powers, exact.floors))
        if power > exact.size * eps and eps <= floor:
            raise InfeasibleToleranceError(float(eps), float(floor), exact.rank, 0.0, exact.size)
    while True:
        last = 2 * bits > max_bits or given.work(2 * bits) > MOST_WORK
        certificate = _certified(given, exact, bits, chosen)
        if certificate is None and last:
            raise HilbertSDError(
                f"{bits} bits do not suffice to enclose this chain: eigenvalues are too close to "
                "each other, or eps to the residual floor; raise max_bits"
            )
        if certificate is not None and (last or _decided(certificate)):
            return certificate
        bits *= 2


def _sum(values: Iterable[flint.fmpq]) -> Fraction:
    return sum((Fraction(int(v.p), int(v.q)) for v in values), Fraction(0))


ON_GRAM = inspect.signature(lambda G, y, eps, rounds=10: None)
ON_KERNEL = inspect.signature(lambda kernel, x, y, eps, rounds=10: None)


def _bound(args: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of one of the two forms by name."""
    first = args[0] if args else named.get("kernel")
    on_kernel = isinstance(first, Kernel) or (callable(first) and not hasattr(first, "shape"))
    try:
        bound = (ON_KERNEL if on_kernel else ON_GRAM).bind(*args, **named)
    except TypeError as error:
        raise HilbertSDError(
            "certify takes (G, y, eps, rounds) or (kernel, x, y, eps, rounds), by position or by "
            f"name, rounds optional: {error}"
        ) from None
    bound.apply_defaults()
    return bound.arguments


def _given(bound: dict[str, Any], joint: bool) -> Problem:
    rounds = inputs.whole_number("rounds", bound["rounds"], most=MOST_ROUNDS)
    y = rationals("y", bound["y"])
    if y.ndim not in (1, 2):
        raise HilbertSDError(f"y must have shape (K,) or (K, Q), got {y.shape}")
    eps = tolerances(rationals("eps", bound["eps"]), y, rounds, joint)
    gram = text = points = None
    if "kernel" in bound:
        kernel, points = bound["kernel"], rationals("x", bound["x"])
        size = len(points)
        points = points.reshape(size, -1)
        text = _as_text(kernel)
        if text is None:
            gram, points = exact_gram(kernel, points), None
    else:
        gram = symmetric_matrix(bound["G"])
        size = len(gram)
    if len(y) != size:
        raise HilbertSDError(
            f"y must have shape ({size},) or ({size}, Q) to match the {size} points, got {y.shape}"
        )
    if size > MOST_POINTS:
        raise HilbertSDError(f"certify takes at most {MOST_POINTS} points, got {size}")
    return Problem(gram, text, points, y, eps, rounds, joint and y.ndim == 2)


def _as_text(kernel: KernelLike) -> str | None:
    """Return the kernel as text that reads back as the same kernel, where there is one."""
    if isinstance(kernel, Kernel):
        with contextlib.suppress(HilbertSDError):
            if len(repr(kernel)) <= MOST_KERNEL and parse_kernel(repr(kernel)) == kernel:
                return repr(kernel)
    return None


def _decided(certificate: Certificate) -> bool:
    return _ended(certificate) and all(v.verdict != "undecided" for v in certificate.verdicts)


def _ended(certificate: Certificate) -> bool:
    return all(chain.outcome != "undecided" for chain in certificate.chains)


def _certified(
    given: Problem, exact: ExactProblem, bits: int, statements: Mapping[str, Statement]
) -> Certificate | None:
    """Return the certificate at one precision; None where the enclosures stay too wide."""
    found = None
    for factor in WORKING_FACTORS:
        with flint.ctx.workprec(factor * bits), contextlib.suppress(MorePrecision):
            found = _enclosed(given, exact, bits)
            if _ended(found):
                break
    if found is None:
        return None
    with flint.ctx.workprec(bits + GUARD_BITS):
        decided = []
        for index, chain in enumerate(found.chains):
            views = _views(found, index)
            verdicts = tuple(_verdict(s, views[s.about]) for s in statements.values())
            decided.append(replace(chain, verdicts=verdicts))
    return replace(found, chains=tuple(decided))


def _enclosed(given: Problem, exact: ExactProblem, bits: int) -> Certificate:
    seen = enclosures.spectrum(exact)

    def rounded(values: list[flint.arb], width: int) -> tuple[Enclosure, ...]:
        return tuple(enclosures.published(value, width) for value in values)

    eigenvalues = rounded(seen.eigenvalues, bits)
    if any(low.upper >= high.lower for low, high in pairwise(eigenvalues)):
        raise MorePrecision  # told apart by the balls, not by what would be published
    chains = []
    for outputs, eps in zip(given.outputs, given.tolerances, strict=True):
        rounds = enclosures.chain(exact, seen, outputs, eps)
        powers = [_sum([exact.powers[q]]) for q in outputs]
        last_bits = [weight_exponent(power, bits) for power in powers]
        part = CertifiedChain(
            residual_floor=_sum(exact.floors[q] for q in outputs),
            weights=tuple(
                tuple(enclosures.published(w, None, last_bit) for w in seen.weights[q])
                for q, last_bit in zip(outputs, last_bits, strict=True)
            ),
            multipliers=rounded(rounds.multipliers, 3 * bits // 4),
            label_ratios=rounded(rounds.label_ratios, bits // 2) if any(powers) else (),
            basis_weights=tuple(rounded(row, bits // 2) for row in rounds.basis_weights),
            outcome=rounds.outcome,
        )
        chains.append(part)
    nullity, counts = exact.size - exact.rank, tuple(seen.multiplicities)
    return Certificate(given, bits, nullity, eigenvalues, counts, tuple(chains))


def _views(whole: Certificate, index: int) -> dict[str, Chain | None]:
    """A published chain as statements see it; None where no fit starts in the range of G."""
    found, given = whole.chains[index], whole.problem
    size, fits = given.size, len(found.multipliers)

    def ball(value: Enclosure) -> Ball:
        return Ball.between(value.lower, value.upper)

    # The copies of an eigenvalue are one ball; all of the weight lies on the first copy, which a
    # rotation within the eigenspace arranges, one for each output: they change no sum of squares.
    d, start, distinct = [], [], []
    shares = [[ball(weight) for weight in row] for row in found.weights]
    for k, (value, count) in enumerate(zip(whole.eigenvalues, whole.multiplicities, strict=True)):
        distinct.append(len(d))
        d += [ball(value)] * count
        start.append([row[k].sqrt() for row in shares])
        start += [[Ball(0)] * len(shares)] * (count - 1)
    nodes = balls.array_of(d)
    outputs = balls.array_of(v for row in start for v in row).reshape(len(d), len(shares))
    first = balls.sum(outputs**2, axis=1)
    z, columns = [np.sqrt(first) if len(shares) > 1 else outputs[:, 0]], [outputs]
    c = balls.array_of(ball(value) for value in found.multipliers)
    for multiplier in c:
        kept = nodes / (multiplier + nodes)
        z.append(kept * z[-1])
        columns.append(kept[:, None] * columns[-1])
    eps = given.tolerances[index]
    root = {value: Ball(size * value).sqrt() for value in set(eps)}
    s = balls.array_of(root[value] for value in [*eps, eps[-1]][: fits + 1])
    on_range = s.copy()
    if fits:
        on_range[0] = Ball(size * (eps[0] - found.residual_floor)).sqrt()
    chain = Chain(
        xp=cast(Any, balls),
        size=size,
        d=nodes,
        z=np.stack(z),
        c=c,
        s=on_range,
        collapsed=found.outcome == "collapsed",
        constant=len(root) == 1,
        null=Ball(size * found.residual_floor),
        distinct=tuple(distinct),
        columns=np.stack(columns) if given.joint else None,
    )
    if found.residual_floor == 0:
        return {"rounds": chain, "chain": chain}
    if fits == 0:
        return {"rounds": chain, "chain": None}
    later = replace(
        chain,
        z=chain.z[1:],
        c=c[1:],
        s=s[1:],
        start=1,
        constant=len(set(eps[1:])) <= 1,
        null=Ball(0),
        columns=None if chain.columns is None else chain.columns[1:],
    )
    return {"rounds": chain, "chain": later}


def _verdict(statement: Statement, chain: Chain | None) -> Verdict:
    decision, reason, holds_to = _decide(statement, chain)
    return Verdict(statement.name, statement.title, statement.source, decision, reason, holds_to)


def _decide(statement: Statement, chain: Chain | None) -> tuple[Decision, str | None, str | None]:
    if chain is None:
        return "not applicable", "a non-trivial fit of labels in the range of G", None
    if (missing := statement.missing(_nearest(chain))) is not None:
        return "not applicable", missing.name, None
    try:
        check = statement.sides(chain)
    except Undecided:
        return "undecided", None, None
    return _judge(check, statement.kind == "identity")


def _nearest(chain: Chain) -> Chain:
    """The chain in floats, on which hypotheses are decided."""

    def floats(values: np.ndarray) -> np.ndarray:
        return np.vectorize(lambda ball: ball.mid, otypes=[float])(values)

    d, z, c, s = (
        floats(v) if v.size else v.astype(float) for v in (chain.d, chain.z, chain.c, chain.s)
    )
    return replace(chain, xp=np, d=d, z=z, c=c, s=s)


def _judge(check: Check, identity: bool) -> tuple[Decision, str | None, str | None]:
    lower, actual, upper, scale = np.broadcast_arrays(
        *(np.asarray(side, dtype=object) for side in check[:4])
    )
    allowance = flint.arb(HOLDS_TO)
    certain = near = True
    for low, value, high, size in zip(lower.flat, actual.flat, upper.flat, scale.flat, strict=True):
        low, value, high, size = (Ball(v).arb for v in (low, value, high, size))
        if value.is_nan():
            certain = near = False
            continue
        if value < low or value > high:
            return "refuted", None, None
        certain = certain and low <= value and value <= high
        room = allowance * abs(size)
        near = near and value - low >= -room and high - value >= -room
    if certain and not identity:
        return "proved", None, None
    return ("proved", None, HOLDS_TO) if near else ("undecided", None, None)
