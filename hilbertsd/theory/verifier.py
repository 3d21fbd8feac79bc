"""An independent checker of certificates: the characteristic polynomial and linear solves.

The maker of a certificate works with approximate eigenvectors. The checker knows none. It shares
with the maker the ball arithmetic, the file's form and the formulas of kernels and statements;
every number is re-established by other means:

* G is positive semidefinite, has its nullity and its eigenvalues where the certificate says, and
  as often: the characteristic polynomial p is computed exactly; all its roots are real, so by
  Descartes' rule the sign changes of p(x + σ) count the eigenvalues above σ, exactly. That no
  others hide in a repeated one: p has as many distinct roots as are listed.
* The weights are residues: yᵀ(x − G)⁻¹y = n(x)/μ(x), μ the squarefree part of p, so
  ‖P_j y‖² = n(d_j)/μ'(d_j), with n made of the exact moments yᵀGᵏy. At d = 0 it is K ε_floor.
  One output at a time; where outputs share a multiplier, y below is the matrix of them.
* Multipliers and label ratios by linear solves: :mod:`hilbertsd.theory.linear_solves`.
* Statements are evaluated again on the enclosures alone, at the certificate's precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from os import PathLike
from typing import Any, cast

import numpy as np

from hilbertsd.errors import HilbertSDError
from hilbertsd.theory import balls
from hilbertsd.theory.balls import Ball, Undecided, flint
from hilbertsd.theory.certificate import (
    HOLDS_TO,
    MOST_BYTES,
    Certificate,
    CertificateError,
    CertifiedChain,
    Enclosure,
    Verdict,
    from_json,
    weight_exponent,
)
from hilbertsd.theory.chain import Chain
from hilbertsd.theory.claims import claims, fmpq, require, spelled
from hilbertsd.theory.exact import MOST_WORK
from hilbertsd.theory.linear_solves import check_chain
from hilbertsd.theory.statement import REGISTRY, Statement

LEAST_BITS = 64
WORKING_FACTORS = (1, 2, 4)
"""Working precisions tried for the chain, in units of 64 more than twice the certificate's."""


def check_certificate(
    certificate: Certificate | PathLike[str] | str,
    statements: Mapping[str, Statement] | None = None,
) -> tuple[Verdict, ...]:
    """Re-establish everything that a certificate claims, and return its verdicts.

    What is accepted is true, of the problem that the certificate states: one with every label
    negated, or with rounds that the chain never reaches asked for, is another true one. Nothing
    ties it to your data; compare ``problem`` with what you meant.

    Parameters
    ----------
    certificate
        A certificate, the path of its file (a ``pathlib.Path``), or the text in that. It is data:
        nothing of it is executed, and what it may ask of the checker is limited.
    statements
        What it has to decide; all of the theory by default.

    Raises
    ------
    CertificateError
        If it is damaged, of another version, larger than ``MOST_WORK`` allows, or claims
        something that could not be re-established; the message says what.
    OSError
        If there is no such file.

    Examples
    --------
    >>> from hilbertsd.kernels import brownian_bridge
    >>> from hilbertsd.theory.certify import certify
    >>> certificate = certify(brownian_bridge(), ["0", "1/3", "2/3"], ["0", "1", "2"], "1/10")
    >>> decisions = {verdict.verdict for verdict in check_certificate(certificate)}
    >>> decisions <= {"proved", "not applicable"}
    True
    >>> check_certificate(certificate.to_json().replace('"nullity": 1', '"nullity": 0'))
    Traceback (most recent call last):
    hilbertsd.theory.certificate.CertificateError: this certificate was altered: ...
    """
    certificate = from_json(_text(certificate))
    if certificate.bits < LEAST_BITS or certificate.bits % 4:
        raise CertificateError(f"{certificate.bits} is no precision of a certificate")
    try:
        matrix = certificate.problem.matrix
        work = certificate.problem.work(certificate.bits)
    except CertificateError:
        raise
    except HilbertSDError as error:
        raise CertificateError(f"this certificate states no problem: {error}") from None
    require(work <= MOST_WORK, "so large a problem at so many bits")
    size, problem = certificate.problem.size, certificate.problem
    if matrix.shape != (size, size):
        raise CertificateError("the Gram matrix and the labels do not fit together")
    gram = flint.fmpq_mat(size, size, [fmpq(v) for v in matrix.ravel()])
    chosen = REGISTRY if statements is None else statements
    with flint.ctx.workprec(2 * certificate.bits + 64):
        squarefree = _check_spectrum(certificate, gram)
    for index, outputs in enumerate(problem.outputs):
        columns = [[fmpq(v) for v in problem.columns[:, q]] for q in outputs]
        with flint.ctx.workprec(2 * certificate.bits + 64):
            nodes = _check_weights(certificate, index, gram, columns, squarefree)
        entries = [v for row in zip(*columns, strict=True) for v in row]
        y = flint.fmpq_mat(size, len(outputs), entries)
        for factor in WORKING_FACTORS:  # late rounds inherit the errors of all before them
            with flint.ctx.workprec(factor * (2 * certificate.bits + 64)):
                try:
                    check_chain(certificate, index, gram, y, nodes)
                    break
                except CertificateError:
                    if factor == WORKING_FACTORS[-1]:
                        raise
        _check_verdicts(certificate, index, chosen)
    return certificate.verdicts


def _text(certificate: Certificate | PathLike[str] | str) -> str:
    if isinstance(certificate, Certificate):
        return certificate.to_json()
    if not isinstance(certificate, PathLike):
        return certificate
    with open(certificate, "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise CertificateError(f"a certificate has at most {MOST_BYTES} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise CertificateError("this is not a certificate: it is not UTF-8 text") from None


# ---- the spectrum, from the characteristic polynomial


def _above(polynomial: flint.fmpq_poly, sigma: Fraction) -> int:
    """Count the roots above σ of a polynomial that has only real ones, by Descartes' rule."""
    shifted = polynomial(flint.fmpq_poly([fmpq(sigma), 1]))
    signs = [c > 0 for c in shifted.coeffs() if c != 0]
    return sum(a != b for a, b in pairwise(signs))


def _check_spectrum(certificate: Certificate, gram: flint.fmpq_mat) -> flint.fmpq_poly:
    """Establish nullity and eigenvalues; return the polynomial that has each of them once."""
    size, found = gram.nrows(), certificate.eigenvalues
    counts = certificate.multiplicities
    p = gram.charpoly()
    nullity = next(k for k, c in enumerate(p.coeffs()) if c != 0)
    require(nullity == certificate.nullity, "the nullity")
    require(_above(p, Fraction(0)) + nullity == size, "that no eigenvalue is negative")
    require(spelled(found, certificate.bits), "the spelling of the eigenvalues")
    require(len(found) == len(counts), "the number of eigenvalues")
    require(sum(counts) + nullity == size and 0 not in counts, "the multiplicities")
    squarefree = p // p.gcd(p.derivative())
    require(squarefree.degree() == len(found) + (nullity > 0), "the distinct eigenvalues")
    last = Fraction(0)
    for value, count in zip(found, counts, strict=True):
        require(value.lower > last, "the order of the eigenvalues")
        require(_above(p, value.lower) - _above(p, value.upper) == count, "an eigenvalue")
        last = value.upper
    return squarefree


def _check_weights(
    certificate: Certificate,
    index: int,
    gram: flint.fmpq_mat,
    columns: list[list[flint.fmpq]],
    squarefree: flint.fmpq_poly,
) -> list[flint.arb]:
    """Establish the floor and the weights of a chain's outputs; return finer eigenvalues."""
    size, chain, slope = gram.nrows(), certificate.chains[index], squarefree.derivative()
    require(len(chain.weights) == len(columns), "the number of outputs")
    floor, nodes = flint.fmpq(0), []
    for row, column in zip(chain.weights, columns, strict=True):
        require(len(row) == len(certificate.eigenvalues), "the number of weights")
        y = flint.fmpq_mat(size, 1, column)
        numerator = _resolvent(gram, y, squarefree)
        if certificate.nullity:
            floor += numerator(flint.fmpq(0)) / slope(flint.fmpq(0)) / size
        power = (y.transpose() * y)[0, 0]
        last_bit = weight_exponent(Fraction(int(power.p), int(power.q)), certificate.bits)
        nodes = []
        for value, weight in zip(certificate.eigenvalues, row, strict=True):
            require(weight.exponent == last_bit, "the spelling of the weights")
            node, residue = _residue(numerator, squarefree, value, last_bit)
            require(claims(weight, residue), "a weight of the labels")
            nodes.append(node)
    require(floor == fmpq(chain.residual_floor), "the residual floor")
    return nodes


def _residue(
    numerator: flint.fmpq_poly, squarefree: flint.fmpq_poly, enclosure: Enclosure, last_bit: int
) -> tuple[flint.arb, flint.arb]:
    """The root in an enclosure and n/μ' there, the latter well beyond its last bit.

    The terms of the polynomials cancel: precision rises until what is left is enough, at most to
    that of the exact coefficients.
    """
    slope = squarefree.derivative()
    height = max(c.height_bits() for f in (numerator, squarefree) for c in f.coeffs())
    precision, most = flint.ctx.prec, 4 * (flint.ctx.prec + height)
    while True:
        with flint.ctx.workprec(precision):
            node = _refined(squarefree, slope, enclosure)
            residue = flint.arb_poly(numerator)(node) / flint.arb_poly(slope)(node)
            enough = residue.rad() < flint.arb(2) ** (last_bit - 16)
        if enough or precision > most:
            return node, residue
        precision *= 2


def _refined(
    polynomial: flint.fmpq_poly, slope: flint.fmpq_poly, enclosure: Enclosure
) -> flint.arb:
    """A small ball around the one simple root in an enclosure, or the enclosure itself."""
    value, derivative = flint.arb_poly(polynomial), flint.arb_poly(slope)
    lower, upper = flint.arb(fmpq(enclosure.lower)), flint.arb(fmpq(enclosure.upper))
    centre = ((lower + upper) / 2).mid()
    for _ in range(flint.ctx.prec.bit_length()):
        step = (value(centre) / derivative(centre)).mid()
        centre = (centre - step).mid()
        if not abs(step) > abs(centre) * flint.arb(2) ** (16 - flint.ctx.prec):
            break
    error = value(centre) / derivative(centre)
    width = (8 * error.abs_upper() + centre * flint.arb(2) ** (8 - flint.ctx.prec)).mid()
    while True:
        low, high = (centre - width).mid(), (centre + width).mid()
        if not (lower < low and high < upper):
            return lower.union(upper)
        if value(low) * value(high) < 0:
            return low.union(high)
        width = (2**16 * width).mid()


def _resolvent(
    gram: flint.fmpq_mat, y: flint.fmpq_mat, squarefree: flint.fmpq_poly
) -> flint.fmpq_poly:
    """The numerator n of yᵀ(x − G)⁻¹y = Σ_k yᵀGᵏy x^{−k−1} = n(x)/μ(x)."""
    degree, row = squarefree.degree(), y.transpose()
    moments, image = [], y
    for _ in range(degree):
        moments.append((row * image)[0, 0])
        image = gram * image
    coefficients = [squarefree[i] for i in range(degree + 1)]
    return flint.fmpq_poly(
        [
            sum((coefficients[i + k + 1] * moments[k] for k in range(degree - i)), flint.fmpq(0))
            for i in range(degree)
        ]
    )


# ---- the statements, on the enclosures alone


def _check_verdicts(
    certificate: Certificate, index: int, statements: Mapping[str, Statement]
) -> None:
    found = certificate.chains[index]
    names = [verdict.name for verdict in found.verdicts]
    require(names == list(statements), "the list of statements")
    tolerances = certificate.problem.tolerances[index]
    with flint.ctx.workprec(certificate.bits + 64):
        whole = _whole_chain(certificate, found, tolerances)
        for verdict in found.verdicts:
            statement = statements[verdict.name]
            chain: Chain | None = whole
            if statement.about == "chain" and found.residual_floor > 0:
                # the labels leave the null space in round 0: the constant chain starts after it
                chain = _after_first(whole, tolerances) if whole.fits else None
            expected = _outcome(statement, chain)
            given = (verdict.title, verdict.source, *verdict[3:])
            require(given == (statement.title, statement.source, *expected), verdict.name)


def _whole_chain(
    certificate: Certificate, found: CertifiedChain, tolerances: tuple[Fraction, ...]
) -> Chain:
    """Labels as products of basis weights, A_t = (1 + c_t/d)⁻¹, from the range part of y."""
    size, nodes, norms, parts, firsts = certificate.problem.size, [], [], [], []
    for d, count, *weights in zip(
        certificate.eigenvalues, certificate.multiplicities, *found.weights, strict=True
    ):
        # one output: its own weight, whole, so that nothing is lost to a sum
        firsts.append(len(nodes))
        squares = [_ball(w) for w in weights]
        nodes += [_ball(d)] * count
        power = squares[0] if len(squares) == 1 else balls.sum(balls.array_of(squares))
        norms += [power.sqrt()] + [Ball(0)] * (count - 1)
        parts += [[v.sqrt() for v in squares]] + [[Ball(0) for _ in squares]] * (count - 1)
    d = balls.array_of(nodes)
    norm = balls.array_of(norms)
    part = balls.array_of(v for row in parts for v in row).reshape(len(nodes), len(found.weights))
    multipliers = balls.array_of(map(_ball, found.multipliers))
    kept = [balls.array_of([Ball(1)] * len(nodes))]
    for c in multipliers:
        kept.append(kept[-1] * (d / (c + d)))
    allowed = [size * eps for eps in (*tolerances, tolerances[-1])][: len(kept)]
    roots = {bound: Ball(bound).sqrt() for bound in allowed}
    s = balls.array_of(roots[bound] for bound in allowed)
    if len(multipliers):
        s[0] = Ball(allowed[0] - size * found.residual_floor).sqrt()
    return Chain(
        xp=cast(Any, balls),
        size=size,
        d=d,
        z=np.stack([k * norm for k in kept]),
        c=multipliers,
        s=s,
        collapsed=found.outcome == "collapsed",
        constant=min(tolerances) == max(tolerances),
        null=Ball(size * found.residual_floor),
        distinct=tuple(firsts),
        columns=np.stack([k[:, None] * part for k in kept]) if certificate.problem.joint else None,
    )


def _ball(value: Enclosure) -> Ball:
    return Ball.between(value.lower, value.upper)


def _after_first(whole: Chain, tolerances: tuple[Fraction, ...]) -> Chain:
    later = tolerances[1:] or tolerances
    fields = {name: getattr(whole, name) for name in ("z", "c", "s", "columns")}
    kept = {name: None if value is None else value[1:] for name, value in fields.items()}
    return replace(whole, **kept, start=1, constant=min(later) == max(later), null=Ball(0))


def _outcome(statement: Statement, chain: Chain | None) -> tuple[str, str | None, str | None]:
    """Verdict, reason and holds_to of a statement on a chain in balls."""
    if chain is None:
        return "not applicable", "a non-trivial fit of labels in the range of G", None
    rounded = {
        field: np.array([getattr(b, "mid", b) for b in v.flat], dtype=float).reshape(v.shape)
        for field in ("d", "z", "c", "s")
        for v in [np.asarray(getattr(chain, field))]
    }
    failed = statement.missing(replace(chain, xp=np, **rounded))
    if failed is not None:
        return "not applicable", failed.name, None
    try:
        check = statement.sides(chain)
    except Undecided:
        return "undecided", None, None
    gaps, allowances = [], []
    fields = (np.asarray(side, dtype=object) for side in check[:4])
    for lower, actual, upper, scale in np.broadcast(*fields):
        for gap in (Ball(actual) - lower, Ball(upper) - actual):
            gaps.append(gap.arb)
            allowances.append(flint.arb(HOLDS_TO) * abs(Ball(scale).arb))
    if any(gap < 0 for gap in gaps):
        return "refuted", None, None
    if statement.kind != "identity" and all(gap >= 0 for gap in gaps):
        return "proved", None, None
    near = all(gap >= -room for gap, room in zip(gaps, allowances, strict=True))
    return ("proved", None, HOLDS_TO) if near else ("undecided", None, None)
